/* What the ledger's tests share: a folder for each test, records with every field set, and somebody who works on the
 * file by hand. */
#ifndef LLMHOOK_TESTS_LEDGER_FIXTURE_H
#define LLMHOOK_TESTS_LEDGER_FIXTURE_H

#include "../unit/check.h"

#include "base/secret.h"
#include "ledger/ledger.h"

#include <string.h>

#define UUID_1 "11111111-1111-4111-8111-111111111111"
#define UUID_2 "22222222-2222-4222-8222-222222222222"
#define UUID_3 "33333333-3333-4333-8333-333333333333"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Each test has a folder of its own; the ledger's is one level down, so that the ledger makes it. */
struct place {
    char root[64], folder[96], path[128];
};
int make_place(void **state);
int drop_place(void **state);
#define case_of(function) cmocka_unit_test_setup_teardown(function, make_place, drop_place)

/* Or the test fails. */
struct ledger *open_ledger(const struct place *place);

#define must(call)                               \
    do {                                         \
        struct error err = ERROR_INIT;           \
        if (!(call))                             \
            fail_msg("%s: %s", #call, err.text); \
    } while (0)

/* PIECE "=...": the whole text. */
#define must_fail(call, wanted, piece)                                        \
    do {                                                                      \
        struct error err = ERROR_INIT;                                        \
        const char *part = piece;                                             \
        if (call)                                                             \
            fail_msg("%s succeeded", #call);                                  \
        check_error(err, wanted, part[0] == '=' ? part + 1 : part);           \
        if (part[0] == '=')                                                   \
            assert_string_equal(err.text, part + 1);                          \
    } while (0)

/* Somebody with the sqlite3 command, in the daemon's back or while it is down. */
void by_hand(const struct place *place, const char *sql);
/* The file as an older llmhookd left it. An appended step of schema.c adds the way back here. */
void back_to_schema(const struct place *place, int version);
void by_hand_fails(const struct place *place, const char *sql, const char *wanted);
int64_t number_by_hand(const struct place *place, const char *sql);

/* NULL when there is no such file; else the caller's. */
char *bytes_of(const char *path, size_t *ret_length);
unsigned mode_of(const char *folder, const char *name);
void fingerprint_file(const char *path, char fingerprint[SECRET_FINGERPRINT_SIZE]);

/* Every field is set to something of its own. */
struct domain_record a_domain(const char *uuid);
struct container_record a_container(const char *subject);
struct grant_record a_grant(const char *domain, int64_t container);
struct key_record a_key(int64_t grant, int64_t generation, const char *name);

/* Saves a domain with a container, a grant and a key. */
struct family {
    struct domain_record domain;
    struct container_record container;
    struct grant_record grant;
    struct key_record key;
};
struct family save_family(struct ledger *ledger, const char *uuid);

/* Walks gather into these; one more than there is room for fails. */
enum { GATHERED_MAX = 32 };
#define GATHERED(kind)                          \
    struct kind##s {                            \
        unsigned count;                         \
        struct kind##_record all[GATHERED_MAX]; \
    };                                          \
    bool gather_##kind(void *context, const struct kind##_record *record, struct error *err);
GATHERED(domain)
GATHERED(grant)
GATHERED(container)
GATHERED(key)
GATHERED(journal)

void check_same_grant(const struct grant_record *got, const struct grant_record *wanted);

#endif
