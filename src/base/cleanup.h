/* Ownership made visible: a variable marked `cleanup_free` owns what it points to until it is stolen. */
#ifndef LLMHOOK_BASE_CLEANUP_H
#define LLMHOOK_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_close __attribute__((cleanup(cleanup_close_fd)))

/* Hands an owned pointer to somebody else: `return steal(&text);` */
#define steal(pointer)                     \
    ({                                     \
        __typeof__(pointer) at = (pointer); \
        __typeof__(*at) taken = *at;       \
        *at = NULL;                        \
        taken;                             \
    })

#endif
