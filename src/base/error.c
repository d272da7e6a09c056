#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 0))) static void set_text(struct error *err, const char *format, va_list arguments)
{
    vsnprintf(err->text, sizeof err->text, format, arguments);
}

bool error_set(struct error *err, enum error_code code, const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        err->code = code;
        set_text(err, format, arguments);
        va_end(arguments);
    }
    return false;
}

static enum error_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_EXISTS;
    case EACCES:
    case EPERM:
        return ERROR_DENIED;
    case ETIMEDOUT:
        return ERROR_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
        return ERROR_LOST;
    default:
        return ERROR_IO;
    }
}

bool error_set_errno(struct error *err, int errnum, const char *format, ...)
{
    if (err) {
        char reason[128];
        va_list arguments;
        va_start(arguments, format);
        err->code = code_of_errno(errnum);
        set_text(err, format, arguments);
        va_end(arguments);
        size_t used = strlen(err->text);
        /* strerror_r's GNU form returns the text, not always in the buffer. */
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror_r(errnum, reason, sizeof reason));
    }
    return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
    if (err) {
        struct error inner = *err;
        va_list arguments;
        va_start(arguments, format);
        set_text(err, format, arguments);
        va_end(arguments);
        size_t used = strlen(err->text);
        if (used + 2 < sizeof err->text) {
            size_t room = sizeof err->text - used - 3;
            memcpy(err->text + used, ": ", 2);
            size_t length = strnlen(inner.text, room);
            memcpy(err->text + used + 2, inner.text, length);
            err->text[used + 2 + length] = '\0';
        }
    }
    return false;
}

const char *error_code_name(enum error_code code)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",       [ERROR_INVALID] = "invalid",   [ERROR_NOT_FOUND] = "not-found",
        [ERROR_EXISTS] = "exists",   [ERROR_DENIED] = "denied",     [ERROR_BUSY] = "busy",
        [ERROR_TIMEOUT] = "timeout", [ERROR_LOST] = "lost",         [ERROR_IO] = "io",
        [ERROR_PROTOCOL] = "protocol", [ERROR_LIMIT] = "limit",
    };
    return (unsigned)code < sizeof names / sizeof names[0] && names[code] ? names[code] : "unknown";
}
