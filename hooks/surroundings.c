#include "surroundings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef LLMHOOK_TEST_ROOT
static const char *root(void)
{
    const char *value = getenv("LLMHOOK_TEST_ROOT");
    return value ? value : "/nonexistent";
}

bool surroundings_privileged(void)
{
    const char *user = getenv("LLMHOOK_TEST_UID");
    return !user || strcmp(user, "0") == 0;
}
#else
static const char *root(void)
{
    return "";
}

bool surroundings_privileged(void)
{
    return geteuid() == 0;
}
#endif

void surroundings_path(char *path, size_t size, const char *absolute)
{
    const char *before = root();
    size_t first = strlen(before);
    size_t second = strlen(absolute);
    path[0] = '\0';
    if (first + second < size) {
        memcpy(path, before, first);
        memcpy(path + first, absolute, second + 1);
    }
}
