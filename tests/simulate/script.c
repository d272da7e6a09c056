/* What happens to the world: made from a seed, printed, read back. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const names[ITEM_KINDS] = {
    [ITEM_NONE] = "none", [ITEM_DEFINE] = "define", [ITEM_START] = "start", [ITEM_FAILED_START] = "failed-start",
    [ITEM_SHUTDOWN] = "shutdown", [ITEM_DESTROY] = "destroy", [ITEM_KILL] = "kill", [ITEM_SAVE] = "save",
    [ITEM_MANAGED_SAVE] = "managed-save", [ITEM_RESTORE] = "restore", [ITEM_REBOOT] = "reboot",
    [ITEM_PAUSE] = "pause", [ITEM_RESUME] = "resume", [ITEM_UNDEFINE] = "undefine", [ITEM_UPDATE] = "update",
    [ITEM_RENAME] = "rename", [ITEM_SNAPSHOT] = "snapshot", [ITEM_REVERT] = "revert", [ITEM_TRANSIENT] = "transient",
    [ITEM_MIGRATE] = "migrate", [ITEM_METADATA] = "metadata", [ITEM_REVOKE] = "revoke", [ITEM_ROTATE] = "rotate",
    [ITEM_AGENT] = "agent", [ITEM_BUDGET] = "budget",
    [ITEM_REMOTE_FAULT] = "provider-fault", [ITEM_OUTSIDER] = "outsider", [ITEM_LIBVIRT_FAULT] = "libvirt-fault",
    [ITEM_EVENT_FAULT] = "event-fault", [ITEM_HOOK_FAULT] = "hook-fault", [ITEM_LEDGER_FAULT] = "ledger-fault",
    [ITEM_CRASH] = "crash", [ITEM_RELOAD] = "reload", [ITEM_GUEST_FAULT] = "guest-fault",
    [ITEM_REBOOT_HOST] = "reboot-host",
};

const char *item_name(enum item_kind kind)
{
    return names[kind];
}

/* splitmix64, for making scripts alone. */
struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice)
{
    uint64_t x = dice->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static int64_t between(struct dice *dice, int64_t from, int64_t to)
{
    return from + (int64_t)(roll(dice) % (uint64_t)(to - from + 1));
}

static void add(struct script *script, int64_t when, enum item_kind kind, int64_t a, int64_t b, int64_t c)
{
    if (script->count < SCRIPT_MAX)
        script->items[script->count++] = (struct item){when, kind, a, b, c};
}

/* How often each thing is done to a domain. */
static const struct {
    enum item_kind kind;
    unsigned weight;
} usual[] = {
    {ITEM_START, 26},   {ITEM_DESTROY, 10}, {ITEM_SHUTDOWN, 7},  {ITEM_KILL, 4},     {ITEM_FAILED_START, 4},
    {ITEM_SAVE, 3},     {ITEM_RESTORE, 4},  {ITEM_MANAGED_SAVE, 3}, {ITEM_REBOOT, 5}, {ITEM_PAUSE, 2},
    {ITEM_RESUME, 2},   {ITEM_UNDEFINE, 5}, {ITEM_DEFINE, 5},    {ITEM_UPDATE, 3},   {ITEM_RENAME, 1},
    {ITEM_SNAPSHOT, 2}, {ITEM_REVERT, 2},   {ITEM_TRANSIENT, 2}, {ITEM_MIGRATE, 6},  {ITEM_METADATA, 4},
    {ITEM_REVOKE, 3},   {ITEM_ROTATE, 6},   {ITEM_AGENT, 4},  {ITEM_BUDGET, 6},
};

static enum item_kind usual_kind(struct dice *dice)
{
    unsigned sum = 0, count = sizeof usual / sizeof usual[0];
    for (unsigned i = 0; i < count; i++)
        sum += usual[i].weight;
    unsigned at_weight = (unsigned)(roll(dice) % sum);
    unsigned i = 0;
    while (at_weight >= usual[i].weight)
        at_weight -= usual[i++].weight;
    return usual[i].kind;
}

void script_make(struct script *script, uint64_t seed)
{
    struct dice dice = {seed * UINT64_C(0xd1342543de82ef95) + 1};
    *script = (struct script){.seed = seed, .every_set = true};
    script->hosts = between(&dice, 0, 2) == 0 ? 2 : 1;
    script->domains = (unsigned)between(&dice, 1, 3);
    script->providers = between(&dice, 0, 2) == 0 ? (unsigned)between(&dice, 2, PROVIDERS_MAX) : 1;
    int64_t length = between(&dice, 60, 240) * 1000;
    for (unsigned d = 0; d < script->domains; d++) {
        if (roll(&dice) % 4)
            add(script, between(&dice, 0, 500), ITEM_METADATA, d, between(&dice, 0, 63), 0);
        add(script, between(&dice, 500, 1500), ITEM_DEFINE, d, 0, 0);
        add(script, between(&dice, 2000, 9000), ITEM_START, d, 0, 0);
    }
    unsigned ops = (unsigned)between(&dice, 6, 16);
    for (unsigned i = 0; i < ops; i++) {
        int64_t when = between(&dice, 4000, length);
        enum item_kind kind = usual_kind(&dice);
        int64_t domain = between(&dice, 0, script->domains - 1);
        add(script, when, kind, domain, between(&dice, 0, 63), 0);
        /* What follows quickly on something is where races are. */
        if (roll(&dice) % 3 == 0)
            add(script, when + between(&dice, 0, 3000), usual_kind(&dice), domain, between(&dice, 0, 63), 0);
    }
    unsigned faults = (unsigned)between(&dice, 2, 5);
    for (unsigned i = 0; i < faults; i++)
        add(script, between(&dice, 500, length), ITEM_REMOTE_FAULT, between(&dice, 0, script->providers - 1),
            between(&dice, 0, 63), between(&dice, 500, 40000));
    unsigned crashes = (unsigned)between(&dice, 0, 4);
    for (unsigned i = 0; i < crashes; i++)
        add(script, between(&dice, 500, length), ITEM_CRASH, between(&dice, 0, script->hosts - 1),
            between(&dice, 0, 63), roll(&dice) % 3 ? between(&dice, 10, 3000) : between(&dice, 3000, 60000));
    static const enum item_kind others[] = {ITEM_OUTSIDER, ITEM_LIBVIRT_FAULT, ITEM_EVENT_FAULT, ITEM_HOOK_FAULT,
                                            ITEM_LEDGER_FAULT, ITEM_RELOAD, ITEM_GUEST_FAULT, ITEM_LEDGER_FAULT,
                                            ITEM_EVENT_FAULT};
    unsigned more = (unsigned)between(&dice, 2, 5);
    for (unsigned i = 0; i < more; i++) {
        enum item_kind kind = others[roll(&dice) % (sizeof others / sizeof others[0])];
        int64_t subjects = kind == ITEM_OUTSIDER ? script->providers : kind == ITEM_GUEST_FAULT ? script->domains : script->hosts;
        add(script, between(&dice, 500, length), kind, between(&dice, 0, subjects - 1), between(&dice, 0, 63),
            between(&dice, 200, 30000));
        if (kind != ITEM_HOOK_FAULT)
            continue;
        /* A stop and a start while nobody listens. */
        static const enum item_kind stops[] = {ITEM_DESTROY, ITEM_SHUTDOWN, ITEM_SAVE, ITEM_MANAGED_SAVE};
        int64_t when = script->items[script->count - 1].at, domain = between(&dice, 0, script->domains - 1);
        add(script, when + between(&dice, 20, 800), stops[roll(&dice) % 4], domain, 0, 0);
        add(script, when + between(&dice, 600, 2500), roll(&dice) % 3 ? ITEM_START : ITEM_RESTORE, domain, 0, 0);
        if (roll(&dice) % 3 == 0)
            add(script, when + between(&dice, 1500, 6000), ITEM_REVOKE, domain, 0, 0);
    }
    if (roll(&dice) % 8 == 0)
        add(script, between(&dice, 5000, length), ITEM_REBOOT_HOST, between(&dice, 0, script->hosts - 1), 0,
            between(&dice, 100, 20000));
}

void script_print(const struct script *script)
{
    printf("seed %" PRIu64 " hosts %u domains %u providers %u%s\n", script->seed, script->hosts, script->domains,
           script->providers, script->every_set ? " every-set" : "");
    for (unsigned done = 0, i; done < script->count; done++) {
        /* In order of time; the list is short. */
        static bool printed[SCRIPT_MAX];
        if (done == 0)
            memset(printed, 0, sizeof printed);
        unsigned first = SCRIPT_MAX;
        for (i = 0; i < script->count; i++)
            if (!printed[i] && (first == SCRIPT_MAX || script->items[i].at < script->items[first].at))
                first = i;
        printed[first] = true;
        const struct item *item = &script->items[first];
        if (item->kind != ITEM_NONE)
            printf("%" PRId64 " %s %" PRId64 " %" PRId64 " %" PRId64 "\n", item->at, names[item->kind], item->a, item->b,
                   item->c);
    }
}

bool script_read(struct script *script, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256], word[32];
    memset(script, 0, sizeof *script);
    if (!file)
        return false;
    bool ok = true, headed = false;
    while (ok && fgets(line, sizeof line, file)) {
        struct item item = {0};
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (!headed) {
            headed = ok = sscanf(line, "seed %" SCNu64 " hosts %u domains %u providers %u", &script->seed,
                                 &script->hosts, &script->domains, &script->providers) == 4 &&
                          script->hosts >= 1 && script->hosts <= HOSTS_MAX && script->domains <= DOMAINS_MAX &&
                          script->providers >= 1 && script->providers <= PROVIDERS_MAX;
            script->every_set = strstr(line, " every-set") != NULL;
            continue;
        }
        ok = sscanf(line, "%" SCNd64 " %31s %" SCNd64 " %" SCNd64 " %" SCNd64, &item.at, word, &item.a, &item.b,
                    &item.c) == 5 && script->count < SCRIPT_MAX;
        for (unsigned kind = 1; ok && kind < ITEM_KINDS; kind++)
            if (strcmp(word, names[kind]) == 0)
                item.kind = (enum item_kind)kind;
        ok = ok && item.kind != ITEM_NONE;
        if (ok)
            script->items[script->count++] = item;
    }
    fclose(file);
    return ok && headed;
}
