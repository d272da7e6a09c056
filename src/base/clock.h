/* The two clocks. Decisions take the time as a parameter; only the daemon's edge reads a clock. */
#ifndef LLMHOOK_BASE_CLOCK_H
#define LLMHOOK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Also of a file's times, as stat() gives them. */
static inline int64_t clock_ms_of(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Milliseconds that never jump and go on during suspend: for waiting, retrying and measuring. */
static inline int64_t clock_monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return clock_ms_of(now);
}

/* Milliseconds since the epoch, UTC: for what is written down and shown. It may jump. */
static inline int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_ms_of(now);
}

#endif
