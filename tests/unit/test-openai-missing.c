/* openai.c after a 404: what it means depends on the project, which is looked at. No network. */
#include "openai-fixture.h"

#define NOT_FOUND ERROR_BODY("No such thing.", "not_found")
#define ARCHIVED ",\"status\":\"archived\""
#define REFUSED_WORDS OUTCOME_REFUSED, ERROR_INVALID, "OpenAI refused (404): No such thing. (not_found)"
#define PROJECT_GONE ERROR_NOT_FOUND, "OpenAI has no such project any more: proj_abc"
#define ACCOUNT_GONE ERROR_NOT_FOUND, "OpenAI has no such service account any more: user-xyz"
#define NOT_OURS                                                                                                     \
    "this admin key does not see OpenAI's project proj_abc (404); projects are never deleted, so it probably belongs " \
    "to another organisation: put back a key of the organisation that the project is in"

struct meaning {
    enum outcome outcome;
    enum error_code code;
    const char *text; /* all of it */
};

static const struct {
    enum provider_verb verb;
    struct meaning live, archived;
} in_project[] = {
    {PROVIDER_REVOKE_KEY, {OUTCOME_GONE, ACCOUNT_GONE}, {OUTCOME_GONE, ACCOUNT_GONE}},
    {PROVIDER_FIND_KEYS, {REFUSED_WORDS}, {OUTCOME_GONE, PROJECT_GONE}},
    {PROVIDER_MINT_KEY, {REFUSED_WORDS}, {OUTCOME_GONE, PROJECT_GONE}},
    {PROVIDER_ARCHIVE_CONTAINER, {REFUSED_WORDS}, {OUTCOME_GONE, PROJECT_GONE}},
    {PROVIDER_RATE_LIMIT_CONTAINER, {REFUSED_WORDS}, {OUTCOME_GONE, PROJECT_GONE}},
    {PROVIDER_LIMIT_CONTAINER,
     {OUTCOME_UNSUPPORTED, ERROR_INVALID,
      "OpenAI has no spend limits for project proj_abc: its account does not offer them"},
     {OUTCOME_GONE, PROJECT_GONE}},
};
enum { IN_PROJECT = sizeof in_project / sizeof in_project[0] };

/* F's next answer is 404, and the look at the project that follows is answered so. */
static void looks(struct fixture *f, long status, const char *body, struct meaning wanted)
{
    reads_on(f, 404, NOT_FOUND);
    asks(f, HTTP_GET, BASE "/projects/proj_abc", NULL);
    reads(f, status, body, wanted.outcome);
    assert_string_equal(f->result.error.text, wanted.text);
    assert_int_equal(f->result.error.code, wanted.code);
    assert_null(f->result.secret);
    end(f);
}

static void look(enum provider_verb verb, long status, const char *body, struct meaning wanted)
{
    struct fixture f;
    begin(&f, verb);
    looks(&f, status, body, wanted);
}

static void test_not_found_in_a_project_that_is_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < IN_PROJECT; i++) {
        enum provider_verb verb = in_project[i].verb;
        look(verb, 200, PROJECT("proj_abc", "\"n\"", "1", ",\"status\":\"active\",\"archived_at\":null"), in_project[i].live);
        look(verb, 200, PROJECT("proj_abc", "\"n\"", "1", ""), in_project[i].live);
        /* No proof that it is archived. */
        look(verb, 200, PROJECT("proj_abc", "\"n\"", "1", ",\"status\":\"frozen\""), in_project[i].live);
        look(verb, 200, PROJECT("proj_abc", "\"n\"", "1", ARCHIVED), in_project[i].archived);
        look(verb, 200, PROJECT("proj_abc", "\"n\"", "1", ",\"archived_at\":9"), in_project[i].archived);
        look(verb, 400, ERROR_BODY("The project is archived.", "project_archived"), in_project[i].archived);
    }
}

/* To another organisation's admin key all that we have is 404: nothing is gone, and nothing is forgotten. */
static void test_a_project_that_is_not_seen_is_not_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < IN_PROJECT; i++) {
        look(in_project[i].verb, 404, NOT_FOUND, (struct meaning){OUTCOME_REFUSED, ERROR_DENIED, NOT_OURS});
        struct fixture f;
        begin(&f, in_project[i].verb);
        snprintf(f.settings.project, sizeof f.settings.project, "proj_abc");
        looks(&f, 404, NOT_FOUND,
              (struct meaning){OUTCOME_REFUSED, ERROR_DENIED, NOT_OURS ", or correct the configured project"});
        begin(&f, in_project[i].verb);
        snprintf(f.settings.project, sizeof f.settings.project, "proj_other"); /* configured since */
        looks(&f, 404, NOT_FOUND, (struct meaning){OUTCOME_REFUSED, ERROR_DENIED, NOT_OURS});
    }
}

/* Nothing was changed and the look changes nothing: not even a mint is in doubt. */
static void test_looks_that_fail(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *body;
        struct meaning wanted;
    } failures[] = {
        {401, ERROR_BODY("Incorrect API key provided", "c"), {OUTCOME_UNAUTHORIZED, ERROR_DENIED,
         "OpenAI does not accept the admin key (401): replace it where admin-key points"}},
        {403, ERROR_BODY("Not enabled", "x"), {OUTCOME_REFUSED, ERROR_DENIED, "OpenAI refused (403): Not enabled (x)"}},
        {429, ERROR_BODY("Slow", "c"), {OUTCOME_THROTTLED, ERROR_BUSY, "OpenAI asks for fewer requests (429): Slow (c)"}},
        {409, ERROR_BODY("Lock", "c"), {OUTCOME_UNREACHABLE, ERROR_LOST, "OpenAI could not do it now (409): Lock (c)"}},
        {503, "", {OUTCOME_UNREACHABLE, ERROR_LOST, "OpenAI could not do it now (503)"}},
        {302, "", {OUTCOME_REFUSED, ERROR_PROTOCOL, "OpenAI answered with a redirect (302), redirect refused: correct base-url"}},
        {404, "<html></html>", {OUTCOME_REFUSED, ERROR_PROTOCOL,
         "the answer (404) does not look like one of OpenAI: check base-url and any proxy"}},
        {404, ERROR_BODY("Invalid URL (GET /x)", ""), {OUTCOME_REFUSED, ERROR_INVALID,
         "OpenAI refused (404): Invalid URL (GET /x)"}},
        {200, "{}", {OUTCOME_UNREACHABLE, ERROR_PROTOCOL, "OpenAI's answer (200) cannot be trusted: field 'id' is missing"}},
        {200, PROJECT("proj_abd", "\"n\"", "1", ARCHIVED), {OUTCOME_UNREACHABLE, ERROR_PROTOCOL,
         "OpenAI's answer (200) cannot be trusted: it shows another project than was asked for"}},
    };
    for (size_t i = 0; i < IN_PROJECT; i++)
        for (size_t k = 0; k < sizeof failures / sizeof failures[0]; k++)
            look(in_project[i].verb, failures[k].status, failures[k].body, failures[k].wanted);
}

/* A 404 that says nothing of a project, or not in OpenAI's words, is no reason to look. */
static void test_not_found_without_a_look(void **state)
{
    (void)state;
    static const enum provider_verb others[] = {PROVIDER_FIND_CONTAINER, PROVIDER_CREATE_CONTAINER, PROVIDER_INVENTORY,
                                                PROVIDER_USAGE, PROVIDER_CHECK};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        judged(others[i], 404, NOT_FOUND, REFUSED_WORDS);
    for (size_t i = 0; i < IN_PROJECT; i++) {
        enum provider_verb verb = in_project[i].verb;
        judged(verb, 404, "<html>not found</html>", OUTCOME_REFUSED, ERROR_PROTOCOL, "does not look like");
        judged(verb, 404, "{\"detail\":\"not found\"}", OUTCOME_REFUSED, ERROR_PROTOCOL, "does not look like");
        judged(verb, 404, ERROR_BODY("Invalid URL (DELETE /v2/x)", ""), OUTCOME_REFUSED, ERROR_INVALID, "Invalid URL");
    }
}

/* Set, and then not there: it may be set, which a look that fails leaves open. */
static void test_a_limit_that_is_not_there_after_it_was_set(void **state)
{
    (void)state;
    struct fixture f;
    static const struct {
        long status;
        const char *body;
        struct meaning wanted;
    } read_back[] = {
        {200, PROJECT("proj_abc", "\"n\"", "1", ""), {REFUSED_WORDS}},
        {200, PROJECT("proj_abc", "\"n\"", "1", ARCHIVED), {OUTCOME_GONE, PROJECT_GONE}},
        {400, ERROR_BODY("The project is archived.", "project_archived"), {OUTCOME_GONE, PROJECT_GONE}},
        {404, NOT_FOUND, {OUTCOME_REFUSED, ERROR_DENIED, NOT_OURS}},
        {200, "{}", {OUTCOME_UNKNOWN, ERROR_PROTOCOL, "OpenAI's answer (200) cannot be trusted: field 'id' is missing"}},
    };
    for (size_t i = 0; i < sizeof read_back / sizeof read_back[0]; i++) {
        begin(&f, PROVIDER_LIMIT_CONTAINER);
        reads_on(&f, 200, "{}");
        looks(&f, read_back[i].status, read_back[i].body, read_back[i].wanted);
    }
}

static void test_a_rate_limit_that_is_not_there_when_it_is_set(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, PROVIDER_RATE_LIMIT_CONTAINER);
    snprintf(f.settings.rates[0].model, sizeof f.settings.rates[0].model, "o3");
    f.settings.rates[0].requests_per_minute = 10;
    f.settings.rates_count = 1;
    reads_on(&f, 200, LIST("{\"id\":\"rl-o3\",\"model\":\"o3\",\"max_requests_per_1_minute\":7,"
                           "\"max_tokens_per_1_minute\":7}", "false", "null"));
    looks(&f, 200, PROJECT("proj_abc", "\"n\"", "1", ""), (struct meaning){REFUSED_WORDS});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_found_in_a_project_that_is_seen),
        cmocka_unit_test(test_a_project_that_is_not_seen_is_not_gone),
        cmocka_unit_test(test_looks_that_fail),
        cmocka_unit_test(test_not_found_without_a_look),
        cmocka_unit_test(test_a_limit_that_is_not_there_after_it_was_set),
        cmocka_unit_test(test_a_rate_limit_that_is_not_there_when_it_is_set),
    };
    return check_run(tests);
}
