/* What the hook's tests stand on: a root of their own with or without a daemon in it, the hook run in it, and what can
 * be said of the outcome. The hook (its test build) is $HOOK_TEST_BUILD; $HOOK_INSTRUMENTED is not empty when it is
 * built with sanitizers or for coverage, which make it slow. */
#ifndef LLMHOOK_TESTS_HOOK_HOOK_WORLD_H
#define LLMHOOK_TESTS_HOOK_HOOK_WORLD_H

#include "event-server.h"
#include "hook-run.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define PLAIN "<domain type='kvm'>\n  <name>dev-1</name>\n  <uuid>" UUID "</uuid>\n</domain>\n"
#define REQUIRING "<domain type='kvm'><name>dev-1</name><uuid>" UUID "</uuid><metadata><llmhook:vm " \
                  "xmlns:llmhook=\"urn:llmhook:vm:1\" required=\"yes\"><llmhook:key provider=\"openai\"/></llmhook:vm>" \
                  "</metadata></domain>"
#define ENTRY UUID ".json"
#define NAMED_ENTRY "name-8596fc76092a2e96.json" /* FNV-1a of "dev-1" */

#define ACCEPTED "{\"parameters\":{\"verdict\":\"accepted\"}}"
#define REFUSED "{\"parameters\":{\"verdict\":\"refused\",\"reason\":\"OpenAI says \\\"no money\\\"; add some\"}}"
#define WAIT(ms) "{\"parameters\":{\"verdict\":\"wait\",\"wait_ms\":" #ms "},\"continues\":true}"

enum {
    HANDOVER_MS = 200, /* the promise */
    BEST_OF = 5,
    OPERATIONS = 8,
};

/* All that the hook passes on; `prepare` is the first. */
extern const char *const all_operations[OPERATIONS];

/* XML in a pipe: PLAIN, and REQUIRING. */
extern const struct hook_setting plain;
extern const struct hook_setting requiring;

/* Setup and teardown of each test: a root with /run/llmhookd and /var/lib/llmhook in it. */
int world_make(void **state);
int world_remove(void **state);
#define hook_test(function) cmocka_unit_test_setup_teardown(function, world_make, world_remove)

/* BELOW as it is called outside of the root. */
void world_path(char path[PATH_MAX], const char *below);
void write_file(const char *below, const char *text);

/* The hook for the domain dev-1, with "begin" and "-"; or with arguments of the test's own. */
struct hook_outcome run(const char *operation, const struct hook_setting *setting);
struct hook_outcome run_arguments(const char *const arguments[], const struct hook_setting *setting);

/* A daemon at the hook's socket (see event-server.h). Without scripts it accepts. */
struct event_server *start_server(const char *const scripts[]);
struct event_server *start_behaviour(struct event_behaviour behaviour);
struct event_server *start_accepting(void);
/* Stops the server, which must have heard COUNT messages, the last one of OPERATION. */
void check_heard(struct event_server *server, size_t count, const char *operation, const char *xml);

/* The spool's only file must be NAME. Owner of the text: the caller. NAME NULL: there must be none. */
char *spooled(const char *name);
void check_spooled(const char *name, const char *operation, const char *xml);
void check_message(const char *text, const char *const wanted[4], const char *xml);

/* Exit status 0 and not a word; or 1 and this sentence. */
void check_quiet(const struct hook_outcome *outcome);
void check_failed(const struct hook_outcome *outcome, const char *sentence);

/* Milliseconds. A busy machine has some slack beyond AT_MOST. */
void check_time(const struct hook_outcome *outcome, int64_t at_least, int64_t at_most);
/* What the hook itself takes, whatever else the machine does: the fastest of BEST_OF runs, with little slack. */
void check_best_time(const char *operation, const struct hook_setting *setting, int64_t at_most);

#endif
