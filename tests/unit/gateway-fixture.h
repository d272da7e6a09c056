/* driver-fixture.h, and what a gateway's driver (OpenRouter's, LiteLLM's) has to do whatever its gateway's words for it are.
 * Whoever includes this defines, besides what that wants:
 *
 *   KEY_ID                   the key whose secret is CHOSEN
 *   KEY_URL                  what is asked with that secret, to see whether the gateway refuses the key itself
 *   LOOK_URL                 the first page of the list in which the key is looked for then
 *   NOT_FOUND                the answer that there is no such key
 *   REFUSAL(code, message)   an answer of any failure
 *   LISTED_AGAIN             a list with the key
 *   NO_LIST                  an answer in its place that is none */
#ifndef LLMHOOK_TESTS_UNIT_GATEWAY_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_GATEWAY_FIXTURE_H

#include "driver-fixture.h"

static const enum provider_verb about_a_key[] = {PROVIDER_REVOKE_KEY, PROVIDER_SUSPEND_KEY, PROVIDER_RESUME_KEY,
                                                 PROVIDER_LIMIT_KEY};

/* A call as this gateway's tests begin it. */
static void begin_here(struct fixture *f, enum provider_verb verb);

static void test_what_cannot_be_asked(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "..", "a/b", "a?b", "a%2fb", "a b", "a#b", "a.b", "\xc3\xa4"};
    struct fixture f;
    for (size_t i = 0; i < COUNT(bad); i++)
        for (size_t v = 0; v < COUNT(about_a_key); v++) {
            begin_here(&f, about_a_key[v]);
            snprintf(f.call.key_id, sizeof f.call.key_id, "%s", bad[i]);
            cannot_ask(&f, "the key's hash is empty or holds");
        }
    begin_here(&f, PROVIDER_FIND_KEYS);
    f.call.key_name[0] = '\0';
    cannot_ask(&f, "no name was given for the key that is looked for");
    f.call.verb = PROVIDER_MINT_KEY;
    cannot_ask(&f, "no name was given for what is to be made");
    begin_here(&f, PROVIDER_MINT_KEY);
    f.call.monthly_limit = 0;
    cannot_ask(&f, "a monthly limit has to be more than nothing");
    f.call.verb = PROVIDER_LIMIT_KEY;
    cannot_ask(&f, "a monthly limit has to be more than nothing");
    begin_here(&f, PROVIDER_INVENTORY);
    f.call.name_prefix[0] = '\0';
    cannot_ask(&f, "an inventory needs the prefix of our names");
    begin_here(&f, PROVIDER_CREATE_CONTAINER);
    cannot_ask(&f, "no such verb");
    end(&f);
}

/* --- changes --- */

struct switching {
    enum provider_verb verb;
    const char *body;
    enum outcome outcome;
};

static void keys_are_switched(const struct switching *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        begin_here(&f, answers[i].verb);
        reads(&f, 200, answers[i].body, answers[i].outcome);
        end(&f);
    }
}

struct reading_back {
    const char *body;
    enum outcome outcome;
    const char *piece;
};

/* What the change of a limit answers is not what counts, but what the key is like when it is read at URL. */
static void limits_are_read_back(const char *url, const struct reading_back *answers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        begin_here(&f, PROVIDER_LIMIT_KEY);
        reads_on(&f, 200, "anything");
        asks(&f, HTTP_GET, url, NULL);
        reads(&f, 200, answers[i].body, answers[i].outcome);
        says(&f, answers[i].piece);
        end(&f);
    }
}

/* --- a key that is not found --- */

static void begin_missing(struct fixture *f, enum provider_verb verb)
{
    begin_here(f, verb);
    snprintf(f->call.key_id, sizeof f->call.key_id, KEY_ID);
    f->call.chosen = chosen;
    reads_on(f, 404, NOT_FOUND);
}

/* Whoever believed a 404 would forget a key that lives: the admin key may be another account's. */
static void test_not_found_is_no_proof(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *body;
        enum outcome outcome;
        enum error_code code;
        const char *piece;
    } alive[] = {
        {200, "{}", OUTCOME_REFUSED, ERROR_DENIED,
         WHO " says (404) that it has no key " KEY_ID
             ", but does not refuse that key itself (200): the admin key is probably another"},
        {400, REFUSAL("400", "The limit is reached"), OUTCOME_REFUSED, ERROR_DENIED, "does not refuse that key itself (400)"},
        {402, REFUSAL("402", "The limit is reached"), OUTCOME_REFUSED, ERROR_DENIED, "does not refuse that key itself (402)"},
        {403, REFUSAL("403", "Not for you"), OUTCOME_REFUSED, ERROR_DENIED, "does not refuse that key itself (403)"},
        {401, "<html>log in</html>", OUTCOME_REFUSED, ERROR_PROTOCOL, "the answer (401) does not look like one of " WHO},
        {404, REFUSAL("404", "No such thing"), OUTCOME_REFUSED, ERROR_INVALID, WHO " refused (404)"},
        {429, REFUSAL("429", "Slow"), OUTCOME_THROTTLED, ERROR_BUSY, "fewer requests"},
        {500, "", OUTCOME_UNREACHABLE, ERROR_LOST, "could not do it now (500)"},
        {302, "", OUTCOME_REFUSED, ERROR_PROTOCOL, "redirect refused"},
    };
    for (size_t v = 0; v < COUNT(about_a_key); v++)
        for (size_t i = 0; i < COUNT(alive); i++) {
            struct fixture f;
            begin_missing(&f, about_a_key[v]);
            asks(&f, HTTP_GET, KEY_URL, NULL);
            asks_with(&f, f.call.chosen);
            reads(&f, alive[i].status, alive[i].body, alive[i].outcome);
            check_error(f.result.error, alive[i].code, alive[i].piece);
            end(&f);
        }
}

/* A key that is suspended is refused, and there. */
static void test_not_found_and_listed(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(about_a_key); v++) {
        struct fixture f;
        begin_missing(&f, about_a_key[v]);
        reads_on(&f, 401, REFUSAL("401", "Refused"));
        asks(&f, HTTP_GET, LOOK_URL, NULL);
        asks_with(&f, NULL);
        reads(&f, 200, LISTED_AGAIN, OUTCOME_REFUSED);
        check_error(f.result.error, ERROR_PROTOCOL, WHO " says (404) that it has no key " KEY_ID ", and lists it");
        assert_int_equal(f.result.items_count, 0);
        end(&f);
    }
}

/* Nothing was changed, and a look changes nothing. */
static void test_looks_that_fail(void **state)
{
    (void)state;
    for (size_t v = 0; v < COUNT(about_a_key); v++) {
        struct fixture f;
        begin_missing(&f, about_a_key[v]);
        reads_on(&f, 401, REFUSAL("401", "Refused"));
        reads(&f, 200, NO_LIST, OUTCOME_UNREACHABLE);
        end(&f);
        begin_missing(&f, about_a_key[v]);
        reads_on(&f, 401, REFUSAL("401", "Refused"));
        reads(&f, 404, NOT_FOUND, OUTCOME_REFUSED);
        check_error(f.result.error, ERROR_INVALID, WHO " refused (404)");
        end(&f);
    }
}

/* A 404 that comes from a path, which a wrong base-url gives, or from somebody on the way, is not about a key. */
static void test_not_found_in_other_words(void **state)
{
    (void)state;
    static const char *const others[] = {"<html>not found</html>", "{\"detail\":\"Not Found\"}"};
    static const char piece[] = "the answer (404) does not look like one of " WHO ": check base-url";
    for (size_t i = 0; i < COUNT(others); i++) {
        for (size_t v = 0; v < COUNT(about_a_key); v++)
            judged(about_a_key[v], 404, others[i], OUTCOME_REFUSED, ERROR_PROTOCOL, piece);
        judged(PROVIDER_MINT_KEY, 404, others[i], OUTCOME_REFUSED, ERROR_PROTOCOL, piece);
    }
    judged(PROVIDER_FIND_KEYS, 404, REFUSAL("404", "No such thing"), OUTCOME_REFUSED, ERROR_INVALID, "No such thing");
    judged(PROVIDER_MINT_KEY, 404, REFUSAL("404", "No such thing"), OUTCOME_REFUSED, ERROR_INVALID, "No such thing");
}

#endif
