/* The journal's chain, gone through in pieces (chain.c), and those who wait for it: audit.c and history.c behind a real socket.
 * Everything here happens in the turns of a loop, so what comes before what is certain. */
#include "../ledger/fixture.h"

#include "config-fixture.h"
#include "daemon/chain.h"
#include "poll-loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SLICES = 20, LINES = SLICES * CHAIN_SLICE, TURNS_MAX = 1000 };

/* Of the triggers that keep the journal. */
#define UNLOCK "DROP TRIGGER journal_is_not_rewritten;"

struct world {
    struct engine engine;
    struct poll_loop *loop;
    struct control_server *server;
    char path[100];
};

static struct world *begin(const struct place *place, unsigned lines)
{
    struct world *world = calloc(1, sizeof *world);
    struct engine *engine = &world->engine;
    assert_non_null(world);
    world->loop = poll_loop_new();
    engine->loop = poll_loop_base(world->loop);
    engine->config = parse("[daemon]\naudit-interval = never\n");
    engine->ledger = open_ledger(place);
    engine->swept = true;
    must(ledger_begin(engine->ledger, &err));
    for (unsigned i = 0; i < lines; i++) {
        struct journal_record line = {.at = 1 + i, .domain = UUID_1, .event = "key minted", .actor = "llmhookd"};
        must(ledger_journal_append(engine->ledger, &line, &err));
    }
    must(ledger_commit(engine->ledger, &err));
    must(audit_prepare(engine, &err));
    snprintf(world->path, sizeof world->path, "%s/socket", place->root);
    must(control_server_new(engine->loop, world->path, methods_table, engine, &world->server, &err));
    return world;
}

static void finish(struct world *world)
{
    control_server_free(world->server);
    ledger_close(world->engine.ledger);
    free(world->engine.audit_past);
    config_free(world->engine.config);
    poll_loop_free(world->loop);
    free(world);
}

/* --- callers --- */

/* Sends MESSAGE, which is a call without its NUL, and does not wait. The caller's to close. */
static int call(const struct world *world, const char *message)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", world->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, message, strlen(message) + 1), (ssize_t)strlen(message) + 1);
    return fd;
}

#define HISTORY "{\"method\":\"io.llmhook.History\",\"parameters\":{\"domain\":\"" UUID_1 "\",\"after\":%d}}"
#define AUDIT "{\"method\":\"io.llmhook.Audit\",\"parameters\":{\"guests\":false}}"
#define INFO "{\"method\":\"org.varlink.service.GetInfo\"}"

static int call_history(const struct world *world)
{
    char message[256];
    snprintf(message, sizeof message, HISTORY, LINES - 1); /* the last page */
    return call(world, message);
}

static bool answered(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void turn_until_answered(struct world *world, int fd)
{
    for (unsigned turns = 0; !answered(fd); turns++) {
        assert_true(turns < TURNS_MAX);
        poll_loop_turn(world->loop, 1000);
    }
}

static void check_answer(struct world *world, int fd, const char *wanted)
{
    char answer[4096];
    turn_until_answered(world, fd);
    ssize_t length = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT);
    assert_true(length > 0);
    answer[length] = '\0';
    if (!strstr(answer, wanted))
        fail_msg("%s has no '%s'", answer, wanted);
    close(fd);
}

/* The daemon answers somebody else before it answers FD, which waits for the chain. */
static void check_goes_on(struct world *world, int fd)
{
    while (!world->engine.chain && !answered(fd))
        poll_loop_turn(world->loop, 1000);
    assert_false(answered(fd));
    int other = call(world, INFO);
    turn_until_answered(world, other);
    assert_false(answered(fd));
    assert_non_null(world->engine.chain);
    close(other);
}

static void test_history_does_not_hold_up_the_loop(void **state)
{
    struct world *world = begin(*state, LINES);
    int fd = call_history(world);
    check_goes_on(world, fd);
    check_answer(world, fd, "\"events\":[{");
    assert_null(world->engine.chain);
    finish(world);
}

static void test_an_audit_does_not_hold_up_the_loop(void **state)
{
    struct world *world = begin(*state, LINES);
    int fd = call(world, AUDIT);
    check_goes_on(world, fd);
    check_answer(world, fd, "\"complete\":true,\"problems\":[],\"rows\":[]");
    finish(world);
}

static void test_both_see_what_was_changed_in_a_later_piece(void **state)
{
    struct world *world = begin(*state, LINES);
    char sql[128], wanted[64];
    int line = LINES - CHAIN_SLICE / 2;
    snprintf(sql, sizeof sql, UNLOCK "UPDATE journal SET actor = 'nobody' WHERE id = %d", line);
    by_hand(*state, sql);
    snprintf(wanted, sizeof wanted, "verify journal: line %d does not fit its hash", line);
    int history = call_history(world), audit = call(world, AUDIT);
    check_answer(world, history, wanted);
    check_answer(world, audit, wanted);
    finish(world);
}

static void test_who_asked_may_leave(void **state)
{
    struct world *world = begin(*state, LINES);
    int history = call_history(world), audit = call(world, AUDIT);
    check_goes_on(world, history);
    close(history);
    close(audit);
    for (unsigned turns = 0; world->engine.chain; turns++) {
        assert_true(turns < TURNS_MAX);
        poll_loop_turn(world->loop, 1000);
    }
    finish(world);
}

/* --- the pieces --- */

struct told {
    unsigned times;
    struct error result;
};

static void take(void *context, const struct error *result)
{
    struct told *told = context;
    told->times++;
    told->result = *result;
}

static void test_a_piece_a_turn(void **state)
{
    struct world *world = begin(*state, LINES);
    struct told told = {.times = 0};
    unsigned turns = 0;
    chain_verify(&world->engine, take, &told);
    assert_int_equal(told.times, 0);
    for (; !told.times; turns++)
        poll_loop_turn(world->loop, 1000);
    /* One more, which finds that there is nothing behind the last line. */
    assert_int_equal(turns, SLICES + 1);
    assert_int_equal(told.result.code, ERROR_NONE);
    finish(world);
}

static void test_lines_that_come_meanwhile_are_gone_through(void **state)
{
    struct world *world = begin(*state, 2 * CHAIN_SLICE);
    struct told told = {.times = 0};
    char wanted[64];
    chain_verify(&world->engine, take, &told);
    poll_loop_turn(world->loop, 1000);
    for (unsigned i = 0; i < 3; i++) {
        struct journal_record line = {.at = 1, .event = "key minted", .actor = "llmhookd"};
        must(ledger_journal_append(world->engine.ledger, &line, &err));
    }
    by_hand(*state, UNLOCK "UPDATE journal SET actor = 'nobody' WHERE id = (SELECT max(id) FROM journal)");
    while (!told.times)
        poll_loop_turn(world->loop, 1000);
    snprintf(wanted, sizeof wanted, "line %d does not fit its hash", 2 * CHAIN_SLICE + 3);
    check_error(told.result, ERROR_INVALID, wanted);
    finish(world);
}

/* Who asks later is not told what was seen before he asked. */
static void test_who_asks_meanwhile_waits_for_the_next(void **state)
{
    struct world *world = begin(*state, 3 * CHAIN_SLICE);
    struct told early = {.times = 0}, late = {.times = 0};
    chain_verify(&world->engine, take, &early);
    poll_loop_turn(world->loop, 1000);
    by_hand(*state, UNLOCK "UPDATE journal SET actor = 'nobody' WHERE id = 1");
    chain_verify(&world->engine, take, &late);
    while (!early.times)
        poll_loop_turn(world->loop, 1000);
    assert_int_equal(early.result.code, ERROR_NONE);
    assert_int_equal(late.times, 0);
    while (!late.times)
        poll_loop_turn(world->loop, 1000);
    check_error(late.result, ERROR_INVALID, "line 1 does not fit its hash");
    assert_int_equal(early.times, 1);
    assert_null(world->engine.chain);
    finish(world);
}

int main(void)
{
    must(secret_init(&err));
    /* What the disk makes of a commit is tested elsewhere; here it would only take its time. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    const struct CMUnitTest tests[] = {
        case_of(test_history_does_not_hold_up_the_loop),
        case_of(test_an_audit_does_not_hold_up_the_loop),
        case_of(test_both_see_what_was_changed_in_a_later_piece),
        case_of(test_who_asked_may_leave),
        case_of(test_a_piece_a_turn),
        case_of(test_lines_that_come_meanwhile_are_gone_through),
        case_of(test_who_asks_meanwhile_waits_for_the_next),
    };
    return check_run(tests);
}
