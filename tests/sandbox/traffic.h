/* What was asked of the sandbox: counts by route and a ring of the latest requests. No bodies, no headers. */
#ifndef SANDBOX_TRAFFIC_H
#define SANDBOX_TRAFFIC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void traffic_log_to_stderr(bool yes);

/* Returns the request's number, from 1. route is static. fault is static or NULL. */
int64_t traffic_begin(const char *method, const char *route, const char *path, const char *fault,
                      size_t bytes_in);
/* status 0 = the connection was closed without an answer. Called before the answer is sent. */
void traffic_end(int64_t seq, int status, size_t bytes_out);

void traffic_connection(bool opened);

struct json_object *traffic_stats(void);
/* The requests with a number above since that the ring still has. */
struct json_object *traffic_requests(int64_t since);
void traffic_free(void);

#endif
