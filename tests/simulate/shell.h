/* Put before every file of src/daemon/ that is compiled into the simulator: time is the world's, and memory is the
 * simulated process's, so that a crash can take all of it away at any point. */
#ifndef LLMHOOK_TESTS_SIMULATE_SHELL_H
#define LLMHOOK_TESTS_SIMULATE_SHELL_H

/* The machine's own clocks are there under other names, and never read. */
#define clock_monotonic_ms machine_monotonic_ms
#define clock_wall_ms machine_wall_ms
#include "base/clock.h"
#undef clock_monotonic_ms
#undef clock_wall_ms

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>

int64_t simulated_monotonic_ms(void);
int64_t simulated_wall_ms(void);

static inline int64_t clock_monotonic_ms(void)
{
    return simulated_monotonic_ms();
}

static inline int64_t clock_wall_ms(void)
{
    return simulated_wall_ms();
}

void *simulated_calloc(size_t count, size_t size);
void *simulated_realloc(void *block, size_t size);
void simulated_free(void *block);

/* With parentheses, so that a mere name (a callback called free) is left alone. */
#define calloc(count, size) simulated_calloc(count, size)
#define realloc(block, size) simulated_realloc(block, size)
#define free(block) simulated_free(block)

#endif
