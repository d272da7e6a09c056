#include "heap-search.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

int heap_search(const char *needle)
{
    const char *preload = getenv("LD_PRELOAD");
    if (SANITIZED || (preload && strstr(preload, "valgrind")))
        return -1;
    mallopt(M_PERTURB, 0); /* MALLOC_PERTURB_ wipes what is freed, and would hide what we are to find */
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = -1;
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &start, &end) != 2)
            continue;
        const char *at = (const char *)start, *limit = (const char *)end;
        for (count = 0; (at = memmem(at, (size_t)(limit - at), needle, strlen(needle))); at++)
            count++;
    }
    if (maps)
        fclose(maps);
    return count;
}
