/*
 * Faults on demand. A fault matches requests by method and path and says what happens to them;
 * the server carries it out.
 */
#ifndef SANDBOX_FAULTS_H
#define SANDBOX_FAULTS_H

#include "exchange.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_mode {
    FAULT_NONE,
    FAULT_LATENCY,     /* answered late */
    FAULT_STATUS,      /* an error status instead of the answer */
    FAULT_HANG,        /* no answer until the faults are cleared */
    FAULT_DROP_BEFORE, /* the connection is closed, nothing was executed */
    FAULT_DROP_AFTER,  /* executed, then the connection is closed */
    FAULT_GARBAGE,     /* executed, then an answer that is cut or is no JSON */
    FAULT_HUGE,        /* executed, then an answer that never ends */
    FAULT_DUPLICATE,   /* executed twice, answered once */
    FAULT_REDIRECT,    /* 302 */
};

/* When a faulty request has its effect, relative to the fault. */
enum fault_execute { EXECUTE_BEFORE, EXECUTE_AFTER, EXECUTE_NEVER };

/* A copy for the one request it hit; fault_clear() frees its texts. */
struct fault {
    int64_t id;
    enum fault_mode mode;
    enum fault_execute execute;
    int64_t delay_ms;
    int status;
    char *type, *code, *message; /* of the error, each may be NULL */
    char *body;                  /* replaces the answer's body, may be NULL */
    char *location;
    int64_t retry_after, retry_after_ms; /* -1 = none */
    int should_retry;                    /* 1, 0, -1 = no header */
};

/* All functions lock what they need. */

/* Returns the id, or 0 with a sentence in error (not owned). */
int64_t faults_add(struct json_object *description, const char **error);
/* id 0: all of them. The number removed. */
int64_t faults_remove(int64_t id);
struct json_object *faults_list(void);
/* Uses up one hit of the first fault that matches. False: none does. */
bool faults_take(const struct request *request, struct fault *fault);
void fault_clear(struct fault *fault);
const char *fault_name(enum fault_mode mode);

#endif
