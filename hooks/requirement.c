#include "requirement.h"

#include "base/durable.h"
#include "reply.h"
#include "surroundings.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_MAX = 1024 * 1024,
    DEADLINE_DEFAULT_MS = 10000,
};

static void read_deadline(struct requirement *requirement, const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end > text && *end == '\0' && value >= 0 && value <= REPLY_WAIT_MAX_MS)
        requirement->deadline_ms = value;
}

struct requirement requirement_read(const char *name)
{
    struct requirement requirement = {.by_name = false, .deadline_ms = DEADLINE_DEFAULT_MS};
    char path[PATH_MAX];
    cleanup_buffer struct buffer file = BUFFER_INIT(FILE_MAX);
    surroundings_path(path, sizeof path, REQUIRED_PATH);
    if (!durable_read(path, &file, NULL) || !file.data)
        return requirement;
    char *rest = file.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "name ", 5) == 0 && fnmatch(line + 5, name, 0) == 0)
            requirement.by_name = true;
        else if (strncmp(line, "deadline ", 9) == 0)
            read_deadline(&requirement, line + 9);
    }
    return requirement;
}
