/* The two clocks of the sandbox, in milliseconds where a name says nothing else. */
#ifndef SANDBOX_CLOCK_H
#define SANDBOX_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ms(clockid_t which)
{
    struct timespec now;

    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

static inline int64_t mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

/* When this month began, UTC, in seconds. */
static inline int64_t month_start(void)
{
    time_t now = (time_t)(unix_ms() / 1000);
    struct tm date;

    gmtime_r(&now, &date);
    date.tm_mday = 1;
    date.tm_hour = date.tm_min = date.tm_sec = 0;
    return (int64_t)timegm(&date);
}

#endif
