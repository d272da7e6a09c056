/* HTTP: the only user of libcurl, on the daemon's loop.
 *
 * https only, plain http to loopback alone; no redirects; no proxy but the one that the system's administrator set
 * for https; a total deadline; a limit on what is read; nothing of a body or header is ever logged.
 *
 * A request that may have reached its server is never sent a second time: libcurl would, when a connection that was
 * kept open dies under a request, and the server may have acted on the first. GET and DELETE may be repeated. */
#ifndef LLMHOOK_PROVIDERS_HTTP_H
#define LLMHOOK_PROVIDERS_HTTP_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HTTP_ANSWER_MAX = 4 * 1024 * 1024,       /* bytes of an answer's body */
    HTTP_HEADERS_MAX = 256 * 1024,           /* bytes of an answer's headers */
    HTTP_BODY_MAX = 64 * 1024,               /* bytes of a request's body */
    HTTP_HOST_CONNECTIONS_MAX = 64,          /* what goes beyond waits for a free one */
    HTTP_RETRY_AFTER_MAX_MS = 24 * 3600 * 1000, /* a longer wish is cut to this */
};

struct http;

/* Gives libcurl allocators that wipe what they free. http_new() does it too, but libcurl keeps those of whoever comes
 * first: a program that links another user of libcurl (libvirt is one) calls this before that one starts. */
bool http_prepare(struct error *err);

/* Call it before other users of libcurl in this process start (libvirt is one), so that what libcurl frees is wiped.
 * Owner of *RET: the caller. */
bool http_new(struct loop *loop, struct http **ret_http, struct error *err);
/* Ends what is running, each with its callback. Not from inside a callback. */
void http_free(struct http *http);

struct loop *http_loop(const struct http *http);

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE, HTTP_PATCH };

struct http_request {
    enum http_method method;
    char url[8192];
    struct buffer body;            /* JSON; empty: none */
    char secret_header[64];        /* "Authorization: Bearer " or "x-api-key: ": the credential is put behind it */
    const struct secret *secret;   /* borrowed during http_start(); NULL: none */
    const char *const *headers;    /* further "Name: value" lines, NULL-terminated, static; may be NULL */
    char header[192];              /* one more such line, of the request's own; empty: none */
    const char *ca_file;           /* trusted instead of the system's authorities; NULL or empty: those */
    bool once;                     /* a GET that makes something: it is not repeated either */
    int64_t timeout_ms;            /* for everything, waiting for a free connection included */
    unsigned unheard_ms;           /* the most that connecting takes, or a packet waits for its receipt; 0: 4000 */
    size_t answer_max;             /* bytes of the answer's body; 0: HTTP_ANSWER_MAX */
};
#define HTTP_REQUEST_INIT {.body = BUFFER_INIT(HTTP_BODY_MAX)}

enum http_end {
    HTTP_ANSWERED,    /* a whole answer with a status */
    HTTP_NOT_SENT,    /* nothing of the request left this machine: it did not happen */
    HTTP_UNANSWERED,  /* it may have happened: cut off, timed out, too long, not HTTP */
};

struct http_answer {
    enum http_end end;
    long status;             /* HTTP_ANSWERED: 200 to 999 */
    struct buffer body;      /* HTTP_ANSWERED; wiped after the callback */
    int64_t retry_after_ms;  /* from Retry-After-Ms or Retry-After (seconds or a date); -1: not given */
    struct error error;      /* unless HTTP_ANSWERED: in words, with host and port, nothing of path, headers or body */
};

/* Of an answer with a status. */
static inline bool http_succeeded(const struct http_answer *answer)
{
    return answer->status >= 200 && answer->status < 300;
}

typedef void http_done_fn(void *context, struct http_answer *answer);

/* Copies what it needs of REQUEST. The callback comes exactly once, in the loop's thread, never from inside this.
 * Returns a number that names the transfer until its callback comes. */
uint64_t http_start(struct http *http, const struct http_request *request, http_done_fn *done, void *context);

/* The same in the calling thread, which waits for the end: never the loop's. The caller clears the answer's body. */
void http_wait(const struct http_request *request, struct http_answer *ret_answer);

/* Ends a transfer without its callback. Returns how it ended: HTTP_NOT_SENT or HTTP_UNANSWERED. A number that names
 * no transfer is HTTP_UNANSWERED. */
enum http_end http_cancel(struct http *http, uint64_t transfer);

/* True when URL may carry a credential: https, or http to a loopback address; no user or password in it. Else a
 * sentence why not. */
bool http_url_allowed(const char *url, struct error *err);

/* Whether URL is one of this machine itself: what it says means another machine in a guest. */
bool http_url_loopback(const char *url);

/* Reads the value of a Retry-After header (seconds or a date; milliseconds with MILLISECONDS) at NOW_MS of the wall
 * clock. -1 when it is neither. */
int64_t http_retry_after(const char *value, bool milliseconds, int64_t now_ms);

#endif
