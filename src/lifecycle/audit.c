#include "lifecycle/audit.h"

#include "lifecycle/budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UUID_LENGTH = RECORD_UUID_SIZE - 1 };

const char *audit_verdict_name(enum audit_verdict verdict)
{
    static const char *const names[] = {
        [AUDIT_SILENT] = "", [AUDIT_OK] = "ok", [AUDIT_ORPHAN] = "orphan", [AUDIT_STALE] = "stale",
        [AUDIT_ZOMBIE] = "zombie", [AUDIT_MISSING] = "missing", [AUDIT_UNDELIVERED] = "undelivered",
        [AUDIT_OVER_BUDGET] = "over budget", [AUDIT_STUCK] = "stuck", [AUDIT_OTHER_HOST] = "another host's",
        [AUDIT_NOT_OURS] = "not ours",
    };
    return names[verdict];
}

bool audit_verdict_is_drift(enum audit_verdict verdict)
{
    return verdict > AUDIT_OK && verdict < AUDIT_OTHER_HOST;
}

const char *audit_fix_words(enum audit_fix fix)
{
    static const char *const words[] = {
        [AUDIT_FIX_NONE] = "",
        [AUDIT_FIX_REMOVE] = "revoke it",
        [AUDIT_FIX_ADOPT] = "take it into the ledger; it is archived, with all that is in it, when its domain is gone",
        [AUDIT_FIX_CLEAR] = "revoke our keys in it and archive it, with whatever else is in it",
        [AUDIT_FIX_SWITCH] = "suspend or resume it, as its domain needs",
        [AUDIT_FIX_LIMIT] = "set its limit again, now or when its domain runs",
        [AUDIT_FIX_END] = "revoke it, should it be there all the same; a running domain gets a new key",
        [AUDIT_FIX_CHECK] = "set its limit again; if it is gone, it is made anew when it is needed",
        [AUDIT_FIX_DELIVER] = "deliver again",
        [AUDIT_FIX_RETRY] = "try again at once",
    };
    return words[fix];
}

static struct audit_judgement judge(enum audit_verdict verdict, enum audit_fix fix, const char *reason,
                                    const char *remedy)
{
    return (struct audit_judgement){verdict, fix, reason, remedy};
}

static struct audit_judgement silent(void)
{
    return judge(AUDIT_SILENT, AUDIT_FIX_NONE, "", "");
}

static struct audit_judgement fine(const char *reason)
{
    return judge(AUDIT_OK, AUDIT_FIX_NONE, reason, "");
}

static const char by_fix[] = "llmhook audit --fix";

/* --- names --- */

/* Up to the next colon (or, at the end, a space) into RET; the rest is returned, NULL when there is no such piece. */
static const char *take(const char *text, const char *until, char *ret, size_t size)
{
    size_t length = strcspn(text, until);
    if (!length || length >= size)
        return NULL;
    memcpy(ret, text, length);
    ret[length] = '\0';
    return text + length;
}

static bool is_uuid(const char *text)
{
    return strlen(text) == UUID_LENGTH && strspn(text, "0123456789abcdef-") == UUID_LENGTH;
}

/* ":g7", and nothing behind it. 0: it is none, or not written as we write it. */
static int64_t read_generation(const char *text)
{
    if (strncmp(text, ":g", 2) != 0 || strlen(text) > 2 + 18 || text[2] < '1' || text[2] > '9' ||
        text[2 + strspn(text + 2, "0123456789")])
        return 0;
    return strtoll(text + 2, NULL, 10);
}

void audit_read_name(const char *name, const char *host_id, struct audit_identity *ret_identity)
{
    static const char prefix[] = "llmhook:", owner[] = "owner=";
    struct audit_identity identity = {.whose = AUDIT_NAME_NOT_OURS};
    char host[RECORD_NAME_SIZE];
    *ret_identity = identity;
    if (strncmp(name, prefix, strlen(prefix)) != 0)
        return;
    const char *rest = take(name + strlen(prefix), ":", host, sizeof host);
    if (!rest || !*rest)
        return;
    if (strcmp(host, host_id) != 0) {
        ret_identity->whose = AUDIT_NAME_OTHER_HOST;
        return;
    }
    rest++;
    identity.owner = strncmp(rest, owner, strlen(owner)) == 0;
    rest = take(identity.owner ? rest + strlen(owner) : rest, ": ", identity.subject, sizeof identity.subject);
    if (!rest || *rest != ':' || (!identity.owner && !is_uuid(identity.subject)))
        return;
    rest = take(rest + 1, ": ", identity.provider, sizeof identity.provider);
    if (!rest)
        return;
    if (*rest == ':') {
        identity.generation = read_generation(rest);
        if (!identity.generation || identity.owner)
            return;
    }
    identity.whose = AUDIT_NAME_OURS;
    *ret_identity = identity;
}

/* What is not known to the ledger, as far as its name alone decides. SILENT: it does not. */
static struct audit_judgement judge_name(const struct audit_identity *name, bool key, const char *provider,
                                         enum audit_named named)
{
    if (name->whose == AUDIT_NAME_OTHER_HOST)
        return judge(AUDIT_OTHER_HOST, AUDIT_FIX_NONE, "made by llmhook on another host: left alone", "");
    if (name->whose == AUDIT_NAME_NOT_OURS || key != (name->generation > 0))
        return judge(AUDIT_NOT_OURS, AUDIT_FIX_NONE, "not made by this llmhook: left alone", "");
    if (strcmp(name->provider, provider) == 0)
        return silent();
    if (named == AUDIT_NAMED_UNKNOWN)
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "named as ours, for a provider that is not in the configuration",
                     "put its [provider] section back, or remove it by hand");
    return named == AUDIT_NAMED_WITHOUT ? judge(AUDIT_ORPHAN, AUDIT_FIX_NONE,
                                                "named as ours, for another provider, which does not list it",
                                                "remove it at the provider")
                                        : silent();
}

/* --- limits --- */

/* FOUND at the provider, where SET was; 0: none was, or negative: it could not. A negative FOUND is not told. */
static bool limit_changed(int64_t found, int64_t set)
{
    return set > 0 && found >= 0 && !budget_limit_holds(found, set);
}

static struct audit_judgement judge_limit(int64_t found, enum audit_fix fix)
{
    return judge(AUDIT_OVER_BUDGET, fix,
                 found ? "its monthly limit at the provider is not the one that was set"
                       : "it has no monthly limit at the provider any more",
                 by_fix);
}

/* --- keys --- */

static struct audit_judgement judge_revoking(const struct key_record *record, int64_t wall)
{
    if (record->attempts >= AUDIT_STUCK_ATTEMPTS)
        return judge(AUDIT_STUCK, AUDIT_FIX_RETRY, "its revocation keeps failing", "llmhook show tells why it fails");
    if (record->attempts > 0 || record->revoking_at + AUDIT_PATIENCE_MS <= wall)
        return judge(AUDIT_ZOMBIE, AUDIT_FIX_RETRY, "alive though it is to be revoked", "it is tried again by itself");
    return fine("being revoked");
}

/* What the ledger says is suspended, or on its way there or back. */
static struct audit_judgement judge_suspended(const struct audit_listed_key *facts)
{
    const struct key_record *record = facts->record;
    if (!record->suspended_at)
        return record->attempts >= AUDIT_STUCK_ATTEMPTS
                   ? judge(AUDIT_STUCK, AUDIT_FIX_RETRY, "its suspension or resumption keeps failing",
                           "llmhook show tells why it fails")
                   : fine("being suspended or resumed");
    if (facts->tells_suspended && !facts->suspended && record->suspended_at + AUDIT_PATIENCE_MS <= facts->wall)
        return judge(AUDIT_ZOMBIE, AUDIT_FIX_SWITCH, "the ledger says it is suspended; the provider takes it", by_fix);
    return fine("suspended");
}

static struct audit_judgement judge_known_key(const struct audit_listed_key *facts)
{
    if (facts->record->state == KEY_REVOKING)
        return judge_revoking(facts->record, facts->wall);
    if (facts->record->state == KEY_SUSPENDED)
        return judge_suspended(facts);
    if (facts->state == DOMAIN_MIGRATED)
        return facts->elsewhere ? judge(AUDIT_ZOMBIE, AUDIT_FIX_NONE, "its domain has migrated, and has a key of its host there",
                                        "llmhook revoke ends it")
                                : fine("kept: its domain has migrated; llmhook revoke ends it");
    if (facts->state == DOMAIN_OFF || facts->state == DOMAIN_ABSENT)
        return judge(AUDIT_ZOMBIE, AUDIT_FIX_RETRY, "alive though its domain does not run",
                     "llmhook show tells what it waits for");
    /* When it was resumed is not recorded; that its guest has proven it since is. */
    if (facts->tells_suspended && facts->suspended && facts->record->state == KEY_ACTIVE &&
        facts->record->active_at + AUDIT_PATIENCE_MS <= facts->wall)
        return judge(AUDIT_MISSING, AUDIT_FIX_SWITCH, "the provider refuses it: somebody has suspended it there", by_fix);
    if (!facts->limit_unsettled && limit_changed(facts->limit, facts->record->limit_set))
        return judge_limit(facts->limit, AUDIT_FIX_LIMIT);
    return fine("");
}

/* A live row has its name. Whether that is this key is certain only when the row knows an id. */
static struct audit_judgement judge_namesake(const struct key_record *namesake)
{
    if (namesake->state == KEY_PLANNED)
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "named like a key that is about to be minted",
                     "once that is done: llmhook audit --fix");
    if (namesake->unknown || !namesake->remote_id[0])
        return fine("being minted, or looked into after an answer was lost");
    return judge(AUDIT_ORPHAN, AUDIT_FIX_REMOVE, "a second one under the name of a key that the ledger knows", by_fix);
}

struct audit_judgement audit_listed_key(const struct audit_listed_key *facts)
{
    if (facts->record)
        return strcmp(facts->record_provider, facts->provider) == 0 ? judge_known_key(facts) : silent();
    struct audit_judgement named = judge_name(facts->name, true, facts->provider, facts->named);
    if (named.verdict != AUDIT_SILENT)
        return named;
    if (facts->ended_meanwhile || strcmp(facts->name->provider, facts->provider) != 0)
        return silent();
    struct audit_judgement judgement =
        facts->namesake ? judge_namesake(facts->namesake)
                        : judge(AUDIT_ORPHAN, AUDIT_FIX_REMOVE, "named as ours, and the ledger does not know it", by_fix);
    if (judgement.fix != AUDIT_FIX_REMOVE)
        return judgement;
    switch (facts->place) {
    case AUDIT_PLACE_OURS:
        return judgement;
    case AUDIT_PLACE_LATER:
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "named as ours, in a project that is not the one in the ledger",
                     "once that one is settled: llmhook audit --fix");
    case AUDIT_PLACE_SHARED:
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "named as ours, in an unknown project that others use as well",
                     "remove it at the provider");
    default: /* AUDIT_PLACE_FOREIGN */
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "named as ours, in a project that is not", "remove it at the provider");
    }
}

struct audit_judgement audit_unlisted_key(const struct key_record *record, bool container_in_doubt, int64_t asked_at)
{
    switch (record->state) {
    case KEY_MINTED:
    case KEY_ACTIVE:
    case KEY_SUSPENDED:
    case KEY_RETIRING:
        /* Not in the list yet; or claimed without an answer, and so perhaps still without our name. */
        if (!record->minted_at || record->minted_at + PLAN_SETTLE_MS > asked_at)
            break;
        return judge(AUDIT_MISSING, container_in_doubt ? AUDIT_FIX_CHECK : AUDIT_FIX_END,
                     "the ledger says it is alive; the provider does not have it", by_fix);
    case KEY_REVOKING:
        if (record->attempts < AUDIT_STUCK_ATTEMPTS)
            break;
        return judge(AUDIT_STUCK, AUDIT_FIX_RETRY, "not listed, and its revocation keeps failing",
                     "llmhook show tells why it fails");
    default: /* planned, minting, revoked */
        break;
    }
    return silent();
}

/* --- containers --- */

static struct audit_judgement judge_known_container(const struct audit_listed_container *facts)
{
    const struct container_record *record = facts->record;
    if (record->state == CONTAINER_ARCHIVING)
        return record->attempts >= AUDIT_STUCK_ATTEMPTS
                   ? judge(AUDIT_STUCK, AUDIT_FIX_RETRY, "its archiving keeps failing", "llmhook show tells why it fails")
                   : fine("being archived");
    if (!facts->limit_unsettled && limit_changed(facts->limit, record->limit_set))
        return judge_limit(facts->limit, AUDIT_FIX_CHECK);
    return fine("");
}

struct audit_judgement audit_listed_container(const struct audit_listed_container *facts)
{
    static const char unknown[] = "a project named as ours that the ledger does not know";
    const struct container_record *record = facts->record, *namesake = facts->namesake;
    if (record) /* of one that was given only the keys are ours */
        return strcmp(record->provider, facts->provider) == 0 && record->kind != CONTAINER_GIVEN ? judge_known_container(facts)
                                                                                                 : silent();
    struct audit_judgement named = judge_name(facts->name, false, facts->provider, facts->named);
    if (named.verdict != AUDIT_SILENT)
        return named;
    if (facts->ended_meanwhile || strcmp(facts->name->provider, facts->provider) != 0)
        return silent();
    if (namesake && !namesake->remote_id[0])
        return fine("being looked for by its name");
    if (namesake && !facts->namesake_listed)
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "not the project of that name in the ledger, which is missing",
                     "once that one is settled: llmhook audit --fix");
    if (facts->holds_others)
        return judge(AUDIT_ORPHAN, AUDIT_FIX_NONE, "the ledger does not know it, and keys that are not ours are in it",
                     "archive it at the provider when nobody needs it");
    if (namesake)
        return judge(AUDIT_ORPHAN, AUDIT_FIX_CLEAR, "a second project of that name", by_fix);
    return facts->domain_elsewhere ? judge(AUDIT_ORPHAN, AUDIT_FIX_CLEAR, "named as ours, and its domain uses another", by_fix)
                                   : judge(AUDIT_ORPHAN, AUDIT_FIX_ADOPT, unknown, by_fix);
}

struct audit_judgement audit_unlisted_container(const struct container_record *record, int64_t asked_at)
{
    if (record->kind == CONTAINER_GIVEN)
        return silent();
    if (record->state == CONTAINER_OPEN && record->created_at + PLAN_SETTLE_MS <= asked_at)
        return judge(AUDIT_MISSING, AUDIT_FIX_CHECK, "the ledger says it is open; the provider does not have it", by_fix);
    if (record->state == CONTAINER_ARCHIVING && record->attempts >= AUDIT_STUCK_ATTEMPTS)
        return judge(AUDIT_STUCK, AUDIT_FIX_RETRY, "not listed, and its archiving keeps failing",
                     "llmhook show tells why it fails");
    return silent();
}

/* --- guests --- */

struct audit_judgement audit_guest(const struct audit_guest *facts)
{
    if (facts->state != DOMAIN_RUNNING || facts->agent != AGENT_CONNECTED)
        return silent();
    if (!facts->proven) {
        if (!facts->has_keys || (facts->attempts == 0 && facts->waited_ms < AUDIT_PATIENCE_MS))
            return silent();
        return judge(AUDIT_UNDELIVERED, AUDIT_FIX_DELIVER, "minted, and not proven in the guest",
                     "llmhook show tells why; it is tried again by itself");
    }
    switch (facts->probe) {
    case AUDIT_PROBE_SAME:
        return fine("");
    case AUDIT_PROBE_OTHER:
        return judge(AUDIT_STALE, AUDIT_FIX_DELIVER, "the guest holds other keys than it should", by_fix);
    case AUDIT_PROBE_LOST:
        return judge(AUDIT_STALE, AUDIT_FIX_DELIVER, "the guest has lost its keys", by_fix);
    default: /* AUDIT_PROBE_NONE */
        return silent();
    }
}
