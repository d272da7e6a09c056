/* What is decided about every combination there is, as tables that a person wrote down from the design, not from the
 * code: what is done about a key in each of its states for each thing a domain can be doing; what an answer makes of
 * it; and what is concluded from each reason for a stop. */
#include "plan-fixture.h"

enum { STATES = DOMAIN_MIGRATED + 1, REASONS = STOP_DAEMON + 1, OUTCOMES = OUTCOME_UNKNOWN + 1 };

/* A key as the plan may meet it. */
enum situation {
    NO_KEY,
    PLANNED,
    MINTING_ASKED, /* its answer is waited for */
    MINTING_LEFT,  /* nobody waits for it: the daemon was restarted */
    MINTED,
    ACTIVE,
    SUSPENDED,
    SUSPENDING,    /* or resuming: what the provider makes of it is not known */
    RETIRING,
    REVOKING,      /* its id is known */
    DOUBTED,       /* it may exist, and has not been looked for */
    LOOKED,        /* a list without it has been seen, too early to be sure */
    SETTLED,       /* and one that was late enough */
    FOUND,         /* it did exist, and its id is known by now */
    HISTORY,
    SITUATIONS,
};

static const char *const situation_names[SITUATIONS] = {
    "none",     "planned", "minting", "minting, left", "minted", "active", "suspended", "suspending", "retiring",
    "revoking", "doubted", "looked",  "settled",       "found",  "history"};

/* A domain with its agent connected, which wants one key, in an open container. One letter an action, a column
 * each for: unknown, undefined, off, starting, running, paused, saved, migrated. */
static const char decided[SITUATIONS][STATES + 1] = {
    [NO_KEY] = ".c.nnn..",
    [PLANNED] = ".xxmmm..",
    [MINTING_ASKED] = "........",
    [MINTING_LEFT] = "dddddddd",
    [MINTED] = ".ee.D...",
    [ACTIVE] = ".ee.D...",
    [SUSPENDED] = ".eeuuu.u",
    [SUSPENDING] = ".eeuuu.u",
    [RETIRING] = ".eennn..",
    [REVOKING] = "rrrrrrrr",
    [DOUBTED] = "ffffffff",
    [LOOKED] = "...nnn..",
    [SETTLED] = "gggggggg",
    [FOUND] = "rrrrrrrr",
    [HISTORY] = ".c.nnn..", /* it is not among the facts any more */
};

/* The same where the policy says that it is to be suspended on stop and on save, and the provider can. */
static const char suspended[SITUATIONS][STATES + 1] = {
    [NO_KEY] = ".c.nnn..",
    [PLANNED] = ".xxmmm..",
    [MINTING_ASKED] = "........",
    [MINTING_LEFT] = "dddddddd",
    [MINTED] = ".es.D.s.",
    [ACTIVE] = ".es.D.s.",
    [SUSPENDED] = ".e.uuu.u",
    [SUSPENDING] = ".esuuusu",
    [RETIRING] = ".eennns.", /* after a stop nobody has it */
    [REVOKING] = "rrrrrrrr",
    [DOUBTED] = "ffffffff",
    [LOOKED] = "...nnn..",
    [SETTLED] = "gggggggg",
    [FOUND] = "rrrrrrrr",
    [HISTORY] = ".c.nnn..",
};

/* And where the month's limit is reached: nothing of it works, whatever the domain does, and nothing new is made. */
static const char suspended_over_budget[SITUATIONS][STATES + 1] = {
    [NO_KEY] = ".c......",
    [PLANNED] = ".xx.....",
    [MINTING_ASKED] = "........",
    [MINTING_LEFT] = "dddddddd",
    [MINTED] = "sessSsss",
    [ACTIVE] = "sessSsss",
    [SUSPENDED] = ".e......",
    [SUSPENDING] = "sessssss",
    [RETIRING] = "seesssss",
    [REVOKING] = "rrrrrrrr",
    [DOUBTED] = "ffffffff",
    [LOOKED] = "........",
    [SETTLED] = "gggggggg",
    [FOUND] = "rrrrrrrr",
    [HISTORY] = ".c......",
};

/* The same where it cannot be suspended, or is not to be. */
static const char revoked_over_budget[SITUATIONS][STATES + 1] = {
    [NO_KEY] = ".c......",
    [PLANNED] = "xxxxxxxx",
    [MINTING_ASKED] = "........",
    [MINTING_LEFT] = "dddddddd",
    [MINTED] = "eeeeEeee",
    [ACTIVE] = "eeeeEeee",
    [SUSPENDED] = "eeeeeeee",
    [SUSPENDING] = "eeeeeeee",
    [RETIRING] = "eeeeeeee",
    [REVOKING] = "rrrrrrrr",
    [DOUBTED] = "ffffffff",
    [LOOKED] = "........",
    [SETTLED] = "gggggggg",
    [FOUND] = "rrrrrrrr",
    [HISTORY] = ".c......",
};

static const char *action(char letter)
{
    static const struct {
        char letter;
        const char *words; /* plan_kind_name()'s */
    } actions[] = {{'.', ""},           {'n', "plan key"},  {'x', "drop key"},   {'m', "mint key"},
                   {'d', "doubt key"},  {'D', "deliver"},   {'e', "end key"},    {'r', "revoke key"},
                   {'f', "find key"},   {'g', "key gone"},  {'c', "end container"},
                   {'s', "suspend key"}, {'S', "suspend key,deliver"}, {'E', "end key,deliver"}, {'u', "resume key"}};
    size_t i = 0;
    while (actions[i].letter != letter)
        i++;
    return actions[i].words;
}

static void world(enum domain_state state)
{
    world_begin(state, PLAN_CAN_CONTAIN | PLAN_CAN_LIMIT_CONTAINER, KEY_PLANNED);
    w.grant = (struct grant_record){.id = 1, .domain = "uuid", .provider = "openai", .overlap_ms = 1000};
    w.facts.agent = AGENT_CONNECTED;
    transition_key_new(&w.records[0], &w.grant, 1, 0, "h0st", 1);
    w.records[0].id = 1;
}

static void key_is(enum situation situation)
{
    static const enum key_state states[SITUATIONS] = {
        [PLANNED] = KEY_PLANNED, [MINTING_ASKED] = KEY_MINTING, [MINTING_LEFT] = KEY_MINTING,
        [MINTED] = KEY_MINTED,   [ACTIVE] = KEY_ACTIVE,         [SUSPENDED] = KEY_SUSPENDED,
        [SUSPENDING] = KEY_SUSPENDED,
        [RETIRING] = KEY_RETIRING, [REVOKING] = KEY_REVOKING,   [DOUBTED] = KEY_REVOKING,
        [LOOKED] = KEY_REVOKING, [SETTLED] = KEY_REVOKING,      [FOUND] = KEY_REVOKING,
        [HISTORY] = KEY_REVOKED,
    };
    w.records[0].state = states[situation];
    w.records[0].unknown = situation == DOUBTED || situation == LOOKED || situation == SETTLED || situation == FOUND;
    if (situation >= MINTED && (!w.records[0].unknown || situation == FOUND))
        strcpy(w.records[0].remote_id, "sa_1");
    w.records[0].suspended_at = situation == SUSPENDED ? 1 : 0;
    w.records[0].retiring_at = situation == RETIRING ? 1 : 0;
    w.keys[0].busy = situation == MINTING_ASKED;
    w.keys[0].doubted_at = situation == SETTLED ? NOW - PLAN_SETTLE_MS - 20 : NOW - 500;
    w.keys[0].looked_at = situation == LOOKED ? NOW - 100 : situation == SETTLED ? NOW - 10 : 0;
    if (situation == NO_KEY || situation == HISTORY)
        w.grant_facts.keys_count = 0;
}

static void check_kinds(const char *wanted, const char *what)
{
    char got[256] = "";
    plan_domain(&w.facts, NOW, &w.plan, &w.status);
    for (size_t i = 0; i < w.plan.count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? "," : "",
                 plan_kind_name(w.plan.actions[i].kind));
    if (strcmp(got, wanted) != 0)
        fail_msg("%s, domain %s: '%s', and '%s' was decided", what, domain_state_name(w.facts.state), got, wanted);
}

static void every_key_for_every_domain(void **state)
{
    (void)state;
    for (int situation = 0; situation < SITUATIONS; situation++)
        for (int s = 0; s < STATES; s++) {
            world((enum domain_state)s);
            key_is((enum situation)situation);
            check_kinds(action(decided[situation][s]), situation_names[situation]);
        }
}

/* An operator's word ends it whatever the domain does. A policy that does not ask for it (any more) ends it unless
 * nothing is known of the domain; one that cannot be read begins nothing and ends nothing that may be in use. What was
 * asked of the provider goes to its end in any case. */
static void every_key_that_is_not_to_be(void **state)
{
    static const char *const whys[] = {"held", "not wanted", "policy unreadable"};
    (void)state;
    for (int situation = PLANNED; situation < HISTORY; situation++)
        for (int s = 0; s < STATES; s++)
            for (int why = 0; why < 3; why++) {
                char what[64], wanted[64];
                char letter = decided[situation][s];
                if (why == 0 || (why == 1 && s != DOMAIN_UNKNOWN))
                    letter = decided[situation][DOMAIN_OFF];
                else if (why == 2 && (letter == 'n' || letter == 'm' || letter == 'u'))
                    letter = '.';
                /* What the guest has is taken out of it in the same look. */
                bool taken_out = why < 2 && s == DOMAIN_RUNNING && (situation == MINTED || situation == ACTIVE);
                snprintf(wanted, sizeof wanted, "%s%s", action(letter), taken_out ? ",deliver" : "");
                world((enum domain_state)s);
                key_is((enum situation)situation);
                w.grant.held_at = why == 0;
                w.grant_facts.wanted = why != 1;
                w.facts.policy_known = why != 2;
                snprintf(what, sizeof what, "%s, %s", situation_names[situation], whys[why]);
                check_kinds(wanted, what);
            }
}

/* What becomes of keys that are not to be used for now: by what the policy says, and by what the provider can. Where it
 * cannot suspend, a key is revoked on stop and over budget, and kept on save. */
static void every_fate(void **state)
{
    enum { CAN = 1, SAYS = 2, OVER = 4, OVER_REVOKES = 8, UNKNOWN = 16 };
    static const struct {
        const char *what;
        const char (*decided)[STATES + 1];
        unsigned with;
    } fates[] = {
        {"nothing said", decided, 0},
        {"nothing said, can suspend", decided, CAN},
        {"suspend", suspended, CAN | SAYS},
        {"suspend, and it cannot", decided, SAYS},
        {"suspend, nobody knows whether it can", suspended, SAYS | UNKNOWN},
        {"over budget", suspended_over_budget, CAN | SAYS | OVER},
        {"over budget, to be revoked", revoked_over_budget, CAN | SAYS | OVER | OVER_REVOKES},
        {"over budget, and it cannot", revoked_over_budget, SAYS | OVER},
    };
    (void)state;
    for (size_t f = 0; f < sizeof fates / sizeof fates[0]; f++)
        for (int situation = 0; situation < SITUATIONS; situation++)
            for (int s = 0; s < STATES; s++) {
                char what[96];
                const char *wanted = action(fates[f].decided[situation][s]);
                unsigned with = fates[f].with;
                snprintf(what, sizeof what, "%s, %s", situation_names[situation], fates[f].what);
                world((enum domain_state)s);
                key_is((enum situation)situation);
                w.grant_facts.abilities |= with & CAN ? PLAN_CAN_SUSPEND : 0;
                w.grant_facts.over_budget = with & OVER;
                w.grant_facts.provider_ok = !(with & UNKNOWN);
                w.grant.on_stop = w.grant.on_save = with & SAYS ? POLICY_FATE_SUSPEND : POLICY_FATE_DEFAULT;
                w.grant.over_budget = with & OVER_REVOKES ? POLICY_FATE_REVOKE : POLICY_FATE_DEFAULT;
                /* Who is not configured is asked nothing. */
                if ((with & UNKNOWN) && strchr("msrfun", fates[f].decided[situation][s]))
                    wanted = "";
                check_kinds(wanted, what);
            }
}

/* Keys that are claimed from a pool are suspended on stop unless the policy says otherwise. */
static void the_fate_of_what_is_claimed(void **state)
{
    (void)state;
    world(DOMAIN_OFF);
    key_is(ACTIVE);
    w.grant_facts.abilities |= PLAN_CAN_SUSPEND | PLAN_CLAIMS;
    check_kinds("suspend key", "claimed");
    w.grant.on_stop = POLICY_FATE_REVOKE;
    check_kinds("end key", "claimed, to be revoked");
    w.grant.on_stop = POLICY_FATE_DEFAULT;
    w.facts.state = DOMAIN_ABSENT;
    check_kinds("end key", "claimed, undefined");
}

enum answer { MINT, REVOKE, FIND, FIND_NONE, REVOKE_FOUND, SUSPEND, RESUME, ANSWERS };

/* Of which row the answer is, and what each outcome makes of it: ok, gone, refused, unauthorized, unreachable,
 * throttled, unsupported, unknown. */
static const struct {
    const char *name;
    enum situation before, after[OUTCOMES];
} answers[ANSWERS] = {
    [MINT] = {"mint", MINTING_ASKED, {MINTED, PLANNED, PLANNED, PLANNED, PLANNED, PLANNED, PLANNED, DOUBTED}},
    [REVOKE] = {"revoke", REVOKING, {HISTORY, HISTORY, REVOKING, REVOKING, REVOKING, REVOKING, REVOKING, REVOKING}},
    [FIND] = {"find", DOUBTED, {FOUND, HISTORY, DOUBTED, DOUBTED, DOUBTED, DOUBTED, DOUBTED, DOUBTED}},
    [FIND_NONE] = {"find none", DOUBTED, {DOUBTED, HISTORY, DOUBTED, DOUBTED, DOUBTED, DOUBTED, DOUBTED, DOUBTED}},
    [REVOKE_FOUND] = {"revoke found", FOUND, {DOUBTED, DOUBTED, FOUND, FOUND, FOUND, FOUND, FOUND, FOUND}},
    [SUSPEND] = {"suspend", SUSPENDING, {SUSPENDED, HISTORY, SUSPENDING, SUSPENDING, SUSPENDING, SUSPENDING, SUSPENDING,
                                         SUSPENDING}},
    [RESUME] = {"resume", SUSPENDING, {MINTED, HISTORY, SUSPENDING, SUSPENDING, SUSPENDING, SUSPENDING, SUSPENDING, SUSPENDING}},
};

static void apply(enum answer answer, enum outcome outcome)
{
    const char *error = outcome == OUTCOME_OK ? "" : "went wrong";
    switch (answer) {
    case MINT:
        transition_key_minted(&w.records[0], outcome, "sa_1", "abc", error, 2);
        break;
    case FIND:
    case FIND_NONE:
        transition_key_found(&w.records[0], outcome, answer == FIND ? "sa_1" : "", error, 2);
        break;
    case SUSPEND:
        transition_key_suspended(&w.records[0], outcome, true, error, 2);
        break;
    case RESUME:
        transition_key_resumed(&w.records[0], outcome, error, 2);
        break;
    case REVOKE:
    case REVOKE_FOUND:
    case ANSWERS:
        transition_key_revoked(&w.records[0], outcome, error, 2);
        break;
    }
    w.keys[0].busy = false;
    if (w.records[0].state == KEY_REVOKED)
        w.grant_facts.keys_count = 0;
}

/* The row is as it was decided, and what is done next is what is decided for such a row: in every state that the domain
 * may be in by the time of the answer. */
static void every_outcome_for_every_domain(void **state)
{
    (void)state;
    for (int answer = 0; answer < ANSWERS; answer++)
        for (int outcome = 0; outcome < OUTCOMES; outcome++)
            for (int s = 0; s < STATES; s++) {
                char what[64];
                enum situation after = answers[answer].after[outcome];
                snprintf(what, sizeof what, "%s: %s", answers[answer].name, outcome_name((enum outcome)outcome));
                world((enum domain_state)s);
                key_is(answers[answer].before);
                apply((enum answer)answer, (enum outcome)outcome);
                struct key_record *key = &w.records[0], got = *key;
                key_is(after);
                if (got.state != key->state || got.unknown != key->unknown || !got.suspended_at != !key->suspended_at)
                    fail_msg("%s makes it %s%s, and %s was decided", what, key_state_name(got.state),
                             got.unknown ? " in doubt" : "", situation_names[after]);
                *key = got;
                check_kinds(action(decided[after][s]), what);
            }
}

/* A key needs an open container; and what is being minted, used or removed goes on as far as the container allows. */
static void a_container_in_any_state(void **state)
{
    static const char *const wanted[][3] = {
        /* for a key that is:      planned             active     revoking */
        [CONTAINER_PLANNED] =   {"find container",    "find container,deliver",    "key gone"},
        [CONTAINER_CREATING] =  {"doubt container",   "doubt container,deliver",   "key gone"},
        [CONTAINER_OPEN] =      {"mint key",          "deliver",                   "revoke key"},
        [CONTAINER_ARCHIVING] = {"archive container", "archive container,deliver", "revoke key"},
        [CONTAINER_ARCHIVED] =  {"plan container",    "deliver",                   "key gone"},
        /* None of them: nothing is begun. */
        [CONTAINER_ARCHIVED + 1] = {"", "deliver", "key gone"},
    };
    static const enum situation keys[] = {PLANNED, ACTIVE, REVOKING};
    (void)state;
    for (int c = 0; c <= CONTAINER_ARCHIVED + 1; c++)
        for (int k = 0; k < 3; k++) {
            world(DOMAIN_RUNNING);
            key_is(keys[k]);
            w.container.state = (enum container_state)c;
            check_kinds(wanted[c][k], container_state_name(w.container.state));
        }
}

/* --- why a domain stopped --- */

/* One letter a state; columns as in enum stop_reason: none, unknown, shutdown, destroyed, crashed, migrated, saved,
 * failed, from snapshot, daemon. */
static char letter(enum domain_state state)
{
    return "?AOtrpSM"[state];
}

static const struct domain_timing timing = {.start_grace_ms = 120000, .undefine_grace_ms = 10000};

static void check_conclusion(char wanted, const struct domain_sighting *sighting, const struct domain_hints *hints,
                             int recorded, bool transient, int64_t now, const char *what)
{
    int64_t next;
    char got = letter(domain_conclude(sighting, hints, (enum stop_reason)recorded, transient, &timing, now, &next));
    if (got != wanted)
        fail_msg("%s, recorded %s, %s: %c, and %c was decided", what, stop_reason_name((enum stop_reason)recorded),
                 transient ? "transient" : "persistent", got, wanted);
}

/* libvirt lists it, and says why it does not run. Only where it has forgotten, or where a start failed, does the ledger
 * know better: what was saved or migrated still is. */
static void every_reason_that_libvirt_gives(void **state)
{
    static const char wanted[REASONS][REASONS + 1] = {
        [STOP_NONE] = "OOOOOMSOOO",     [STOP_UNKNOWN] = "OOOOOMSOOO", [STOP_SHUTDOWN] = "OOOOOOOOOO",
        [STOP_DESTROYED] = "OOOOOOOOOO", [STOP_CRASHED] = "OOOOOOOOOO", [STOP_MIGRATED] = "MMMMMMMMMM",
        [STOP_SAVED] = "SSSSSSSSSS",    [STOP_FAILED] = "OOOOOMSOOO",  [STOP_FROM_SNAPSHOT] = "OOOOOOOOOO",
        [STOP_DAEMON] = "OOOOOOOOOO",
    };
    const struct domain_hints older = {.starting_at = 100, .stopped_at = 200, .stopped = STOP_DESTROYED};
    (void)state;
    for (int reason = 0; reason < REASONS; reason++)
        for (int recorded = 0; recorded < REASONS; recorded++)
            for (int more = 0; more < 4; more++) {
                struct domain_sighting sighting = {.asked_at = 1000, .exists = true, .persistent = true,
                                                   .reason = (enum stop_reason)reason};
                struct domain_hints hints = more & 1 ? older : (struct domain_hints){0};
                check_conclusion(wanted[reason][recorded], &sighting, &hints, recorded, more & 2, 2000,
                                 stop_reason_name((enum stop_reason)reason));
                sighting.managed_save = true;
                check_conclusion('S', &sighting, &hints, recorded, more & 2, 2000, "managed save");
            }
}

/* The hook or an event has said it since libvirt was last asked. The hook ends a domain, an event does not: it may be
 * about the boot before. What the ledger says of an earlier stop has no part in it. */
static void every_reason_that_is_heard(void **state)
{
    static const char hook[] = "??OOOMS??O", event[] = "?????MS???";
    const struct domain_sighting sightings[] = {
        {0},
        {.asked_at = 1000, .exists = true, .active = true},
        {.asked_at = 1000, .exists = true, .active = true, .paused = true},
        {.asked_at = 1000, .exists = true, .reason = STOP_CRASHED},
        {.asked_at = 1000, .exists = true, .managed_save = true},
        {.asked_at = 1000},
    };
    (void)state;
    for (int reason = 0; reason < REASONS; reason++)
        for (int recorded = 0; recorded < REASONS; recorded++)
            for (size_t i = 0; i < sizeof sightings / sizeof sightings[0]; i++)
                for (int more = 0; more < 4; more++) {
                    struct domain_hints hints = {.starting_at = 500, .stopped_at = 1500, .stopped_certain = more & 1,
                                                 .stopped = (enum stop_reason)reason};
                    check_conclusion((more & 1 ? hook : event)[reason], &sightings[i], &hints, recorded, more & 2, 2000,
                                     stop_reason_name((enum stop_reason)reason));
                    /* A start that was called since is a start, whatever was before. */
                    hints.starting_at = 1600;
                    check_conclusion('t', &sightings[i], &hints, recorded, more & 2, 2000, "started since");
                }
}

/* libvirt does not list it. */
static void every_reason_for_one_that_is_missing(void **state)
{
    /* For ten seconds it may be an update; then it is undefined, unless it is known to live on elsewhere. */
    static const char soon[2][REASONS + 1] = {"??OOOM?O?O", "??OOOMSO?O"};
    static const char later[2][REASONS + 1] = {"AAAAAMAAAA", "AAAAAMSAAA"};
    /* Heard before libvirt was asked, and an end. */
    static const bool ends[REASONS] = {[STOP_SHUTDOWN] = true, [STOP_DESTROYED] = true, [STOP_CRASHED] = true,
                                       [STOP_FAILED] = true, [STOP_DAEMON] = true};
    const struct domain_sighting missing = {.asked_at = 11999}, still_missing = {.asked_at = 12000};
    (void)state;
    for (int heard = 0; heard < REASONS; heard++)
        for (int recorded = 0; recorded < REASONS; recorded++)
            for (int transient = 0; transient < 2; transient++) {
                struct domain_hints hints = {.missing_since = 2000, .starting_at = 500, .stopped_at = heard ? 1500 : 0,
                                             .stopped = (enum stop_reason)heard};
                int last = heard == STOP_SAVED || heard == STOP_MIGRATED ? heard : recorded; /* what keeps, goes on */
                char wanted = soon[transient][last];
                if (!heard)
                    hints.starting_at = 0;
                if (heard && ends[heard] && wanted == '?')
                    wanted = 'O';
                check_conclusion(wanted, &missing, &hints, recorded, transient, 12000, "missing");
                check_conclusion(later[transient][last], &still_missing, &hints, recorded, transient, 12000, "for good");
            }
}

/* A value that is none of the reasons ends nothing by being heard or recorded. */
static void no_reason_at_all(void **state)
{
    const struct domain_sighting running = {.asked_at = 1000, .exists = true, .active = true};
    const struct domain_sighting missing = {.asked_at = 1000};
    const struct domain_hints heard = {.stopped_at = 1500, .stopped_certain = true, .stopped = (enum stop_reason)99};
    const struct domain_hints gone = {.missing_since = 1000};
    (void)state;
    check_conclusion('?', &running, &heard, STOP_DESTROYED, false, 2000, "no reason");
    check_conclusion('?', &missing, &gone, REASONS, false, 2000, "missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_for_every_domain),
        cmocka_unit_test(every_key_that_is_not_to_be),
        cmocka_unit_test(every_fate),
        cmocka_unit_test(the_fate_of_what_is_claimed),
        cmocka_unit_test(every_outcome_for_every_domain),
        cmocka_unit_test(a_container_in_any_state),
        cmocka_unit_test(every_reason_that_libvirt_gives),
        cmocka_unit_test(every_reason_that_is_heard),
        cmocka_unit_test(every_reason_for_one_that_is_missing),
        cmocka_unit_test(no_reason_at_all),
    };
    return check_run(tests);
}
