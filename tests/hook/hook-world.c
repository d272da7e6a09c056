#include "../unit/check.h"

#include "hook-world.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SLACK_MS = 2000,        /* a single run only shows that nothing waits for ever: the machine may do much else */
    TIGHT_MS = 150,         /* the best of some runs shows the bound */
    INSTRUMENTED_MS = 1000, /* for a sanitizer to start and to look for leaks */
};

const char *const all_operations[OPERATIONS] = {"prepare", "start",   "started", "stopped",
                                                "release", "migrate", "restore", "reconnect"};

static char root[64];

const struct hook_setting plain = {.xml = PLAIN, .xml_length = sizeof PLAIN - 1};
const struct hook_setting requiring = {.xml = REQUIRING, .xml_length = sizeof REQUIRING - 1};

void world_path(char path[PATH_MAX], const char *below)
{
    snprintf(path, PATH_MAX, "%s%s", root, below);
}

static void make_directory(const char *below)
{
    char path[PATH_MAX];
    world_path(path, below);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

/* In memory where that is possible: the bound is the hook's, not that of the disk's fsync. */
int world_make(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s/hook-test.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(root))
        return -1;
    make_directory("/run");
    make_directory("/run/llmhookd");
    make_directory("/var");
    make_directory("/var/lib");
    make_directory("/var/lib/llmhook");
    return 0;
}

int world_remove(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct hook_outcome run_arguments(const char *const arguments[], const struct hook_setting *setting)
{
    const char *program = getenv("HOOK_TEST_BUILD");
    return hook_run(program ? program : "tests/hook/qemu", root, arguments, setting);
}

struct hook_outcome run(const char *operation, const struct hook_setting *setting)
{
    const char *const arguments[] = {"dev-1", operation, "begin", "-", NULL};
    return run_arguments(arguments, setting);
}

struct event_server *start_server(const char *const scripts[])
{
    char path[PATH_MAX];
    world_path(path, "/run/llmhookd/socket");
    return event_server_start(path, &(struct event_behaviour){.scripts = scripts});
}

struct event_server *start_behaviour(struct event_behaviour behaviour)
{
    static const char *const accepting[] = {ACCEPTED, NULL};
    char path[PATH_MAX];
    world_path(path, "/run/llmhookd/socket");
    if (!behaviour.scripts)
        behaviour.scripts = accepting;
    return event_server_start(path, &behaviour);
}

struct event_server *start_accepting(void)
{
    return start_behaviour((struct event_behaviour){.deaf = 0});
}

void write_file(const char *below, const char *text)
{
    char path[PATH_MAX];
    world_path(path, below);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

char *spooled(const char *name)
{
    char path[PATH_MAX];
    world_path(path, "/var/lib/llmhook/spool");
    DIR *directory = opendir(path);
    bool found = false;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!name || strcmp(entry->d_name, name) != 0)
            fail_msg("unexpected in the spool: %s", entry->d_name);
        found = true;
    }
    if (directory)
        closedir(directory);
    if (!name)
        return NULL;
    assert_true(found);
    size_t used = strlen(path);
    snprintf(path + used, sizeof path - used, "/%s", name);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    char *text = calloc(1, (size_t)status.st_size + 1);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, (size_t)status.st_size), status.st_size);
    close(fd);
    assert_int_equal(strlen(text), status.st_size);
    return text;
}

void check_message(const char *text, const char *const wanted[4], const char *xml)
{
    static const char *const names[] = {"domain", "operation", "suboperation", "extra"};
    struct json_object *message = json_tokener_parse(text);
    struct json_object *value;
    struct json_object *parameters;
    assert_non_null(message);
    assert_true(json_object_object_get_ex(message, "method", &value));
    assert_string_equal(json_object_get_string(value), "io.llmhook.HookEvent");
    assert_true(json_object_object_get_ex(message, "more", &value));
    assert_true(json_object_get_boolean(value));
    assert_true(json_object_object_get_ex(message, "parameters", &parameters));
    for (size_t i = 0; i < 4; i++) {
        assert_true(json_object_object_get_ex(parameters, names[i], &value));
        assert_string_equal(json_object_get_string(value), wanted[i]);
    }
    assert_true(json_object_object_get_ex(parameters, "xml", &value));
    /* Not assert_string_equal: it would print megabytes. */
    if (strcmp(json_object_get_string(value), xml) != 0)
        fail_msg("another XML arrived: %d bytes instead of %zu", json_object_get_string_len(value), strlen(xml));
    json_object_put(message);
}

static void check_event(const char *text, const char *operation, const char *xml)
{
    const char *const wanted[] = {"dev-1", operation, "begin", "-"};
    check_message(text, wanted, xml);
}

void check_spooled(const char *name, const char *operation, const char *xml)
{
    char *text = spooled(name);
    check_event(text, operation, xml);
    free(text);
}

void check_quiet(const struct hook_outcome *outcome)
{
    assert_string_equal(outcome->err, "");
    assert_string_equal(outcome->out, "");
    assert_int_equal(outcome->status, 0);
}

void check_failed(const struct hook_outcome *outcome, const char *sentence)
{
    assert_string_equal(outcome->err, sentence);
    assert_string_equal(outcome->out, "");
    assert_int_equal(outcome->status, 1);
}

static int64_t allowed(int64_t at_most, int64_t slack)
{
    const char *instrumented = getenv("HOOK_INSTRUMENTED");
    return at_most + slack + (instrumented && *instrumented ? INSTRUMENTED_MS : 0);
}

void check_time(const struct hook_outcome *outcome, int64_t at_least, int64_t at_most)
{
    if (outcome->ms < at_least || outcome->ms > allowed(at_most, SLACK_MS))
        fail_msg("took %lld ms instead of %lld to %lld", (long long)outcome->ms, (long long)at_least,
                 (long long)allowed(at_most, SLACK_MS));
}

void check_best_time(const char *operation, const struct hook_setting *setting, int64_t at_most)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < BEST_OF; i++) {
        struct hook_outcome outcome = run(operation, setting);
        check_quiet(&outcome);
        if (outcome.ms < best)
            best = outcome.ms;
    }
    if (best > allowed(at_most, TIGHT_MS))
        fail_msg("took %lld ms at best instead of %lld", (long long)best, (long long)allowed(at_most, TIGHT_MS));
}

void check_heard(struct event_server *server, size_t count, const char *operation, const char *xml)
{
    size_t length;
    event_server_stop(server);
    assert_int_equal(event_server_heard(server), count);
    if (count > 0) {
        const char *last = event_server_last(server, &length);
        assert_int_equal(strlen(last), length);
        check_event(last, operation, xml);
    }
    event_server_free(server);
}
