/* A server on 127.0.0.1 that does exactly what a test says, faults included, and remembers what reached it. It reads
 * whole HTTP/1.1 requests; the n-th request of all connections gets the n-th step, and the last step is repeated. */
#ifndef LLMHOOK_TESTS_UNIT_SCRIPTED_SERVER_H
#define LLMHOOK_TESTS_UNIT_SCRIPTED_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum script_then {
    SCRIPT_KEEP,  /* the connection stays open for more */
    SCRIPT_CLOSE, /* in good order */
    SCRIPT_RESET, /* with a TCP reset */
    SCRIPT_HANG,  /* nothing more comes, and nothing is read */
};

struct script_step {
    const char *bytes; /* what is sent, NULL: nothing */
    enum script_then then;
    size_t flood; /* so many filler bytes after BYTES */
};

struct scripted_server;

/* Copies the array, not the bytes. Aborts when the machine has no sockets. */
struct scripted_server *scripted_server_new(const struct script_step *steps, size_t count);
void scripted_server_free(struct scripted_server *server);

uint16_t scripted_server_port(const struct scripted_server *server);
unsigned scripted_server_connections(struct scripted_server *server);
unsigned scripted_server_requests(struct scripted_server *server);
/* All bytes that ever arrived. */
size_t scripted_server_bytes(struct scripted_server *server);
/* The request of that index (0: the first) as it came, NULL when there were not so many. Valid until the server is
 * freed. */
const char *scripted_server_request(struct scripted_server *server, unsigned index);

/* An HTTP/1.1 answer with these further headers, each ended by \r\n. Kept until fifteen more have been made. */
const char *script_answer(const char *status, const char *headers, const char *body);
/* The same as a string literal, with the body's length. */
#define SCRIPT_ANSWER(status, headers, length, body) \
    "HTTP/1.1 " status " Some Reason\r\n" headers "Content-Length: " length "\r\n\r\n" body

#endif
