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

/* Whether LINE is that of the policy for NAME. */
static bool read_policy(struct requirement *requirement, const char *line, const char *name)
{
    static const struct {
        const char *word;
        bool gives_keys, of_own;
    } kinds[] = {{"name ", true, true}, {"own ", false, true}, {"free ", false, false}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i].word);
        if (strncmp(line, kinds[i].word, length) != 0 || fnmatch(line + length, name, 0) != 0)
            continue;
        requirement->gives_keys = kinds[i].gives_keys;
        requirement->of_own = kinds[i].of_own;
        return true;
    }
    return false;
}

struct requirement requirement_read(const char *name)
{
    struct requirement requirement = {.deadline_ms = DEADLINE_DEFAULT_MS};
    bool matched = false;
    char path[PATH_MAX];
    cleanup_buffer struct buffer file = BUFFER_INIT(FILE_MAX);
    surroundings_path(path, sizeof path, REQUIRED_PATH);
    if (!durable_read(path, &file, NULL) || !file.data)
        return requirement;
    char *rest = file.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "deadline ", 9) == 0)
            read_deadline(&requirement, line + 9);
        else if (!matched)
            matched = read_policy(&requirement, line, name);
    }
    return requirement;
}

bool requirement_holds(const struct requirement *requirement, const struct domain_xml *domain)
{
    if (!domain->has_vm)
        return requirement->gives_keys;
    if (!domain->has_keys)
        return false;
    return domain->required == DOMAIN_REQUIRED_YES || (domain->required == DOMAIN_REQUIRED_OPEN && requirement->of_own);
}
