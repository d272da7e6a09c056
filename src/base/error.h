/* An error that travels outwards as the last parameter and is wrapped with context on its way.
 *
 * It lives in the caller's stack frame, allocates nothing and holds no secret: texts are built from names,
 * paths, numbers and other people's status lines, never from credentials or message bodies. */
#ifndef LLMHOOK_BASE_ERROR_H
#define LLMHOOK_BASE_ERROR_H

#include <stdbool.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_INVALID,   /* what the caller or the user wrote is wrong; trying again does not help */
    ERROR_NOT_FOUND, /* the thing named does not exist */
    ERROR_EXISTS,    /* the thing named exists already */
    ERROR_DENIED,    /* permission, authentication or policy says no */
    ERROR_BUSY,      /* somebody else holds it; later may help */
    ERROR_TIMEOUT,   /* no answer in time; it may or may not have happened */
    ERROR_LOST,      /* the connection broke; it may or may not have happened */
    ERROR_IO,        /* the system refused: files, sockets, memory */
    ERROR_PROTOCOL,  /* the peer's answer is not what its protocol says */
    ERROR_LIMIT,     /* larger than we are willing to take */
};

struct error {
    enum error_code code;
    char text[512]; /* one sentence without a final stop, NUL-terminated, cut when longer */
};

#define ERROR_INIT {ERROR_NONE, ""}

/* Records a failure. Always returns false, so that `return error_set(...)` reads as what it is.
 * ERR may be NULL when the caller does not care why. */
bool error_set(struct error *err, enum error_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same with the text of the system's ERRNUM behind it: "open /x: No such file or directory". */
bool error_set_errno(struct error *err, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts context before an error's text: "CONTEXT: what went wrong". Always returns false. */
bool error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A word for a code, as it stands in JSON ("invalid", "not-found", ...). Never NULL. */
const char *error_code_name(enum error_code code);

#endif
