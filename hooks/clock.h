/* The two clocks of the hook: milliseconds that no clock setting moves. */
#ifndef LLMHOOK_HOOKS_CLOCK_H
#define LLMHOOK_HOOKS_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ms(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The same, going on during suspend: the daemon's clock, for when something was. */
static inline int64_t clock_boot_ms(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What is left until DEADLINE as poll() wants it: never negative, so never "for ever". */
static inline int clock_left(int64_t deadline)
{
    int64_t left = deadline - clock_ms();
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

#endif
