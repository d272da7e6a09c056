/* What the ledger costs, each figure beside its floor on the same disk, in turns, medians:
 *
 *   ledger-transition  a key's transition (save and journal line, one transaction) against a bare 4 KiB append + fsync
 *   ledger-walk        ledger_each_live_key() over all rows against reading the ledger's file
 *   ledger-open        opening that ledger, all checks included, against the same
 *
 *   ledger-bench [FOLDER [ROUNDS [ROWS]]]
 *
 * FOLDER: where to make a folder that is removed afterwards (its disk is what is measured); default: here. */
#include "base/secret.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, WALKS = 9 };

static char folder[PATH_MAX - 32], ledger_path[PATH_MAX], floor_path[PATH_MAX];

static void remove_all(void)
{
    static const char *const names[] = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.lock", "floor"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "ledger-bench: %s: %s\n", what, why);
    exit(2);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void print(const char *name, double value, double floor_value, const char *unit)
{
    printf("%-18s value %10.1f  floor %10.1f  ratio %6.2f  %s\n", name, value, floor_value, value / floor_value, unit);
}

static double append(int fd)
{
    static const char block[BLOCK] = {1};
    double began = now_us();
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block || fsync(fd) < 0)
        die("append", strerror(errno));
    return now_us() - began;
}

static double transition(struct ledger *ledger, struct key_record *key)
{
    struct error err = ERROR_INIT;
    struct journal_record line = {
        .at = 1, .domain = "11111111-1111-4111-8111-111111111111", .key_id = key->id, .event = "key active",
        .cause = "the guest has proven it", .actor = "llmhookd",
    };
    double began = now_us();
    key->state = key->state == KEY_ACTIVE ? KEY_SUSPENDED : KEY_ACTIVE;
    if (!ledger_begin(ledger, &err) || !ledger_save_key(ledger, key, &err) ||
        !ledger_journal_append(ledger, &line, &err) || !ledger_commit(ledger, &err))
        die("transition", err.text);
    return now_us() - began;
}

static struct ledger *open_ledger(double *ret_us)
{
    struct ledger *ledger = NULL;
    struct error err = ERROR_INIT;
    double began = now_us();
    if (!ledger_open(ledger_path, &ledger, &err))
        die("open", err.text);
    if (ret_us)
        *ret_us = now_us() - began;
    return ledger;
}

/* ROWS keys, ten to a domain; KEY is the last. */
static void fill(struct ledger *ledger, unsigned rows, struct key_record *key)
{
    struct error err = ERROR_INIT;
    struct grant_record grant = {.id = 0};
    bool ok = ledger_begin(ledger, &err);
    for (unsigned i = 0; ok && i < rows; i++) {
        if (i % 10 == 0) {
            grant = (struct grant_record){.provider = "openai", .environment = "OPENAI_API_KEY", .last_generation = 10};
            snprintf(grant.domain, sizeof grant.domain, "%08x-1111-4111-8111-111111111111", i);
            ok = ledger_save_grant(ledger, &grant, &err);
        }
        *key = (struct key_record){.grant_id = grant.id, .generation = i % 10 + 1, .state = KEY_ACTIVE, .created_at = 1};
        snprintf(key->name, sizeof key->name, "llmhook-somehost-%s-openai-%u", grant.domain, i % 10);
        snprintf(key->remote_id, sizeof key->remote_id, "user-%024u", i);
        secret_fingerprint_bytes(&i, sizeof i, key->fingerprint);
        ok = ok && ledger_save_key(ledger, key, &err);
    }
    if (!ok || !ledger_commit(ledger, &err) || !ledger_checkpoint(ledger, &err))
        die("fill", err.text);
}

static bool count(void *context, const struct key_record *record, struct error *err)
{
    (void)err;
    *(unsigned *)context += record->state == KEY_ACTIVE || record->state == KEY_SUSPENDED;
    return true;
}

static double walk(struct ledger *ledger, unsigned rows)
{
    struct error err = ERROR_INIT;
    unsigned counted = 0;
    double began = now_us();
    if (!ledger_each_live_key(ledger, count, &counted, &err))
        die("walk", err.text);
    double took = now_us() - began;
    if (counted != rows)
        die("walk", "it did not see every key");
    return took;
}

static double read_file(void)
{
    static char block[1 << 16];
    double began = now_us();
    int fd = open(ledger_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(ledger_path, strerror(errno));
    while (read(fd, block, sizeof block) > 0)
        ;
    close(fd);
    return now_us() - began;
}

static void bench_transitions(struct ledger *ledger, struct key_record *key, unsigned rounds)
{
    double *ours = calloc(rounds, sizeof *ours), *floors = calloc(rounds, sizeof *floors);
    int fd = open(floor_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || !ours || !floors)
        die(floor_path, strerror(errno));
    for (unsigned i = 0; i < rounds; i++) {
        floors[i] = append(fd);
        ours[i] = transition(ledger, key);
    }
    close(fd);
    double value = median(ours, rounds);
    print("ledger-transition", value, median(floors, rounds), "us");
    printf("%-18s %.0f a second\n", "", 1e6 / value);
    free(ours);
    free(floors);
}

static void bench_walks(struct ledger *ledger, unsigned rows)
{
    double walks[WALKS], opens[WALKS], floors[WALKS];
    for (unsigned i = 0; i < WALKS; i++) {
        floors[i] = read_file();
        walks[i] = walk(ledger, rows);
    }
    ledger_close(ledger);
    print("ledger-walk", median(walks, WALKS), median(floors, WALKS), "us");
    for (unsigned i = 0; i < WALKS; i++) {
        floors[i] = read_file();
        ledger_close(open_ledger(&opens[i]));
    }
    print("ledger-open", median(opens, WALKS), median(floors, WALKS), "us");
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 500;
    unsigned rows = argc > 3 ? (unsigned)atoi(argv[3]) : 100000;
    struct key_record key;
    if (rounds < 1 || rows < 1 || !secret_init(NULL))
        die("usage", "ledger-bench [FOLDER [ROUNDS [ROWS]]]");
    snprintf(folder, sizeof folder, "%s/ledger-bench-XXXXXX", argc > 1 ? argv[1] : ".");
    if (!mkdtemp(folder))
        die(folder, strerror(errno));
    atexit(remove_all);
    snprintf(ledger_path, sizeof ledger_path, "%s/ledger.sqlite", folder);
    snprintf(floor_path, sizeof floor_path, "%s/floor", folder);
    struct ledger *ledger = open_ledger(NULL);
    fill(ledger, rows, &key);
    bench_transitions(ledger, &key, rounds);
    bench_walks(ledger, rows);
    return 0;
}
