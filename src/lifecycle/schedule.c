#include "lifecycle/schedule.h"

#include <stdio.h>
#include <string.h>

enum {
    /* A revocation must be through within five seconds of the provider being reachable again, so the gate never
     * stays closed longer than three for a mere outage. */
    OUTAGE_FIRST_MS = 250,
    OUTAGE_CAP_MS = 3000,
    THROTTLE_FIRST_MS = 1000,
    THROTTLE_CAP_MS = 30000,
    /* The credential is read anew at each try, so this is how long a corrected admin key waits to be noticed. */
    UNAUTHORIZED_FIRST_MS = 1000,
    UNAUTHORIZED_CAP_MS = 30000,
    RETRY_AFTER_MAX_MS = 3600000,
};

/* splitmix64's finaliser: spreads consecutive seeds over the whole range. */
static uint64_t spread(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

int64_t schedule_spread(int64_t period_ms, uint64_t seed)
{
    return period_ms - (int64_t)(spread(seed) % (uint64_t)(period_ms / 10 + 1));
}

int64_t schedule_within(int64_t window_ms, uint64_t seed)
{
    return (int64_t)(spread(seed) % (uint64_t)(window_ms + 1));
}

int64_t schedule_backoff(int64_t failures, int64_t first_ms, int64_t cap_ms, uint64_t seed)
{
    int64_t delay = first_ms;
    for (int64_t i = 1; i < failures && delay < cap_ms; i++)
        delay *= 2;
    if (delay > cap_ms)
        delay = cap_ms;
    delay -= (int64_t)(spread(seed ^ (uint64_t)failures) % (uint64_t)(delay / 4 + 1));
    return delay;
}

int64_t schedule_look_again(int64_t since, int64_t looked_at, int64_t first_ms)
{
    int64_t waited = looked_at - since;
    if (waited < 0)
        return since + first_ms;
    return looked_at + (waited > first_ms ? waited : first_ms);
}

bool schedule_allow(int64_t *spent, int64_t now, int64_t every_ms, int64_t burst)
{
    int64_t after = (*spent > now ? *spent : now) + every_ms;
    if (after - now > burst * every_ms)
        return false;
    *spent = after;
    return true;
}

bool schedule_is_news(char *told, size_t size, const char *text, int64_t *spent, int64_t now, int64_t every_ms, int64_t burst)
{
    if (strncmp(told, text, size - 1) == 0 || !schedule_allow(spent, now, every_ms, burst))
        return false;
    snprintf(told, size, "%s", text);
    return true;
}

bool gate_ready(const struct gate *gate, int64_t now)
{
    return gate->failures == 0 || (!gate->probing && now >= gate->closed_until);
}

void gate_begin(struct gate *gate)
{
    if (gate->failures > 0)
        gate->probing = true;
}

static int64_t closed_for(const struct gate *gate, enum outcome outcome, int64_t retry_after_ms, uint64_t seed)
{
    int64_t asked = retry_after_ms < RETRY_AFTER_MAX_MS ? retry_after_ms : RETRY_AFTER_MAX_MS;
    if (outcome == OUTCOME_THROTTLED && asked < 0)
        return schedule_backoff(gate->failures, THROTTLE_FIRST_MS, THROTTLE_CAP_MS, seed);
    if (outcome == OUTCOME_UNAUTHORIZED)
        return schedule_backoff(gate->failures, UNAUTHORIZED_FIRST_MS, UNAUTHORIZED_CAP_MS, seed);
    int64_t outage = schedule_backoff(gate->failures, OUTAGE_FIRST_MS, OUTAGE_CAP_MS, seed);
    /* A 503 that leaves a doubt is no throttling, and asks for time all the same. Who asks for none, or for a time that is
     * over by a clock that is ahead, would be asked again as fast as he answers. */
    bool told = outcome == OUTCOME_THROTTLED || outcome == OUTCOME_UNKNOWN;
    return told && asked > outage ? asked : outage;
}

bool gate_end(struct gate *gate, enum outcome outcome, int64_t retry_after_ms, int64_t started_at, int64_t now,
              uint64_t seed)
{
    bool failed = outcome == OUTCOME_UNREACHABLE || outcome == OUTCOME_THROTTLED || outcome == OUTCOME_UNAUTHORIZED ||
                  outcome == OUTCOME_UNKNOWN;
    if (!failed) {
        bool opened = gate->failures > 0;
        *gate = (struct gate){.why = OUTCOME_OK};
        return opened;
    }
    /* Of the calls that were under way when the provider failed, the first one closes the gate; the others tell
     * nothing new and must not push the next try further away. */
    if (gate->failures > 0 && started_at < gate->closed_at)
        return false;
    gate->failures++;
    gate->probing = false;
    gate->why = outcome;
    gate->closed_at = now;
    gate->closed_until = now + closed_for(gate, outcome, retry_after_ms, seed);
    return false;
}
