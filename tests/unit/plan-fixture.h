/* For tests of plan_domain(): one domain with one grant and some keys, of which each test changes what it is about. Inline,
 * because not every test needs all of it. */
#ifndef LLMHOOK_TESTS_UNIT_PLAN_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_PLAN_FIXTURE_H

#include "check.h"

#include "lifecycle/plan.h"
#include "lifecycle/schedule.h"
#include "lifecycle/transition.h"

#include <stdio.h>
#include <string.h>

enum { NOW = 1000000, HOUR = 3600000, KEYS_MAX = 4 };
static const int64_t wall = INT64_C(1700000000000);

static struct {
    struct grant_record grant;
    struct container_record container;
    struct key_record records[KEYS_MAX];
    struct plan_container container_facts;
    struct plan_key keys[KEYS_MAX];
    struct plan_grant grant_facts;
    struct plan_facts facts;
    struct plan plan;
    struct plan_grant_status status;
} w;

/* A domain in STATE that wants keys of a provider with ABILITIES, whose container is open and limited. Of the keys, all of
 * them in KEY_STATE, it has the first. */
static inline void world_begin(enum domain_state state, unsigned abilities, enum key_state key_state)
{
    memset(&w, 0, sizeof w);
    w.grant = (struct grant_record){.id = 1};
    w.container = (struct container_record){.id = 5, .state = CONTAINER_OPEN, .remote_id = "proj_1", .limit_set = 7};
    w.container_facts = (struct plan_container){.record = &w.container, .wanted_limit = 7, .wanted_rates = ""};
    for (size_t i = 0; i < KEYS_MAX; i++) {
        w.records[i] = (struct key_record){.id = (int64_t)i + 1, .generation = (int64_t)i + 1, .state = key_state,
                                           .remote_id = "sa", .minted_at = wall};
        w.keys[i].record = &w.records[i];
    }
    w.grant_facts = (struct plan_grant){.record = &w.grant, .wanted = true, .provider_ok = true, .gate_ready = true,
                                        .abilities = abilities, .container = &w.container_facts, .keys = w.keys,
                                        .keys_count = 1};
    w.facts = (struct plan_facts){.state = state, .policy_known = true, .wall = wall, .grants = &w.grant_facts,
                                  .grants_count = 1};
}

/* Its guest has proven what it has. */
static inline void guest_has_proven(void)
{
    w.facts.agent = AGENT_CONNECTED;
    w.facts.delivery_proven = true;
}

static inline void two_keys(enum key_state earlier, enum key_state later)
{
    w.grant_facts.keys_count = 2;
    w.records[0].state = earlier;
    w.records[1].state = later;
}

/* WANTED: "ACTION KEY" of each, separated by commas. */
#define check_plan(wanted, wanted_status)                                                                            \
    do {                                                                                                             \
        char got[256] = "";                                                                                          \
        plan_domain(&w.facts, NOW, &w.plan, &w.status);                                                              \
        for (size_t at = 0; at < w.plan.count; at++)                                                                 \
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s %zu", at ? "," : "",                         \
                     plan_kind_name(w.plan.actions[at].kind), w.plan.actions[at].key);                               \
        assert_string_equal(got, wanted);                                                                            \
        assert_int_equal(w.status.status, wanted_status);                                                            \
    } while (0)

#endif
