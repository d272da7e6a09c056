/* What all drivers share: pure, without HTTP.
 *
 * What a status means. "Creating" verbs (create a container, mint a key) must never be done twice, so whatever leaves
 * a doubt is UNKNOWN for them, and the caller looks by name before anything else. "Switching" ones (suspend a key, resume
 * it) can be repeated, but what is done late undoes what the other has done since, so the caller has to know of the doubt.
 * All other verbs can be repeated.
 *
 *   status                 creating, switching   other
 *   401                    UNAUTHORIZED          UNAUTHORIZED
 *   429                    THROTTLED             THROTTLED    counted before anything is done
 *   408, 409, 5xx          UNKNOWN               UNREACHABLE, or THROTTLED when it came with Retry-After
 *   3xx                    REFUSED               REFUSED      redirects are not followed: a key does not go elsewhere
 *   other 4xx              REFUSED               REFUSED      with the provider's own words
 *
 * 503 with Retry-After is no exception for those in doubt: a gateway says the same when it lost the server behind it after
 * passing the request on. 409 is among the doubtful because it is also said of a lock that timed out, and of a name that an
 * earlier attempt of ours may have taken. A 401 is never quoted: it repeats a part of the key. */
#include "lifecycle/budget.h"
#include "providers/http.h"
#include "providers/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SHORTEST = 16 }; /* characters, with its mark */

const char *provider_verb_name(enum provider_verb verb)
{
    static const char *const names[] = {
        [PROVIDER_FIND_CONTAINER] = "find-container",
        [PROVIDER_CREATE_CONTAINER] = "create-container",
        [PROVIDER_LIMIT_CONTAINER] = "limit-container",
        [PROVIDER_RATE_LIMIT_CONTAINER] = "rate-limit-container",
        [PROVIDER_ARCHIVE_CONTAINER] = "archive-container",
        [PROVIDER_FIND_KEYS] = "find-keys",
        [PROVIDER_MINT_KEY] = "mint-key",
        [PROVIDER_REVOKE_KEY] = "revoke-key",
        [PROVIDER_SUSPEND_KEY] = "suspend-key",
        [PROVIDER_LIMIT_KEY] = "limit-key",
        [PROVIDER_FIND_ADMIN_KEYS] = "find-admin-keys",
        [PROVIDER_CREATE_ADMIN_KEY] = "create-admin-key",
        [PROVIDER_DELETE_ADMIN_KEY] = "delete-admin-key",
        [PROVIDER_RESUME_KEY] = "resume-key",
        [PROVIDER_RENEW_KEY] = "renew-key",
        [PROVIDER_IDENTIFY_KEY] = "identify-key",
        [PROVIDER_INVENTORY] = "inventory",
        [PROVIDER_USAGE] = "usage",
        [PROVIDER_CHECK] = "check",
    };
    return (unsigned)verb < sizeof names / sizeof names[0] ? names[verb] : "unknown";
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, *(const char *const *)b);
}

bool provider_inventory_names(const struct provider_call *call, const char *name)
{
    return strncmp(name, call->name_prefix, strlen(call->name_prefix)) == 0;
}

bool provider_inventory_has(const struct provider_call *call, const char *id, const char *name)
{
    return provider_inventory_names(call, name) ||
           (call->known_count && bsearch(id, call->known_ids, call->known_count, sizeof *call->known_ids, compare_texts));
}

bool provider_container_matches(const char *name, const char *identity)
{
    size_t length = strlen(identity);
    if (!length || strchr(identity, ' '))
        return false;
    return strncmp(name, identity, length) == 0 && (name[length] == '\0' || name[length] == ' ');
}

static bool one_of(char c, const char *others)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(others, c));
}

bool provider_id_valid(const char *id)
{
    size_t length = 0;
    while (one_of(id[length], "_-"))
        length++;
    return length > 0 && length < RECORD_REMOTE_ID_SIZE && id[length] == '\0';
}

bool provider_result_add(struct provider_result *result, const struct provider_item *item)
{
    size_t count = result->items_count;
    if (count >= PROVIDER_ITEMS_MAX)
        return false;
    if ((count & (count - 1)) == 0) { /* full whenever the count is a power of two */
        struct provider_item *more = realloc(result->items, (count ? count * 2 : 1) * sizeof *more);
        if (!more)
            return false;
        result->items = more;
    }
    result->items[result->items_count++] = *item;
    return true;
}

bool provider_usage_add(struct provider_result *result, const struct provider_usage *usage)
{
    size_t count = result->usage_count;
    if (count >= PROVIDER_ITEMS_MAX)
        return false;
    if ((count & (count - 1)) == 0) { /* as above */
        struct provider_usage *more = realloc(result->usage, (count ? count * 2 : 1) * sizeof *more);
        if (!more)
            return false;
        result->usage = more;
    }
    result->usage[result->usage_count] = *usage;
    if (usage->micro_dollars > BUDGET_MOST)
        result->usage[result->usage_count].micro_dollars = BUDGET_MOST;
    result->usage_count++;
    return true;
}

void provider_result_clear(struct provider_result *result)
{
    secret_free(result->secret);
    free(result->items);
    free(result->usage);
    *result = (struct provider_result){.outcome = OUTCOME_UNKNOWN, .retry_after_ms = -1};
}

/* Where the key ends that begins at TEXT, or NULL when none does: a provider's, a token that this host has signed (a JWT
 * begins with an object of JSON, in base64), a token of Vault's. Within a word ("risk-free") only what is as long as a key
 * is taken for one. */
static const char *end_of_key(const char *text, size_t length, bool word_begins)
{
    static const char *const marks[] = {"sk-", "eyJ", "hvs."};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        size_t mark = strlen(marks[i]), end = mark;
        if (length <= mark || memcmp(text, marks[i], mark) != 0)
            continue;
        while (end < length && one_of(text[end], "_-*."))
            end++;
        return end > (word_begins ? mark + 1 : KEY_SHORTEST) ? text + end : NULL; /* "sk-" alone is no key */
    }
    return NULL;
}

void provider_quote(const char *text, size_t length, char *ret_text, size_t size)
{
    static const char hidden[] = "[key]";
    size_t out = 0;
    for (size_t in = 0; in < length && out + 1 < size;) {
        const char *end = end_of_key(text + in, length - in, in == 0 || !one_of(text[in - 1], ""));
        if (end) {
            size_t take = strnlen(hidden, size - 1 - out);
            memcpy(ret_text + out, hidden, take);
            out += take;
            in = (size_t)(end - text);
        } else {
            ret_text[out++] = text[in] >= ' ' && text[in] <= '~' ? text[in] : '?';
            in++;
        }
    }
    ret_text[out] = '\0';
}

static bool creates(enum provider_verb verb)
{
    return verb == PROVIDER_CREATE_CONTAINER || verb == PROVIDER_MINT_KEY || verb == PROVIDER_CREATE_ADMIN_KEY;
}

static bool switches(enum provider_verb verb)
{
    return verb == PROVIDER_SUSPEND_KEY || verb == PROVIDER_RESUME_KEY;
}

enum provider_verb provider_judged_verb(const struct provider_call *call, const struct provider_progress *progress)
{
    return progress->unchanged || call->only_read ? PROVIDER_CHECK : call->verb;
}

enum outcome provider_doubt(enum provider_verb verb)
{
    switch (verb) {
    case PROVIDER_FIND_CONTAINER:
    case PROVIDER_FIND_KEYS:
    case PROVIDER_FIND_ADMIN_KEYS:
    case PROVIDER_IDENTIFY_KEY:
    case PROVIDER_INVENTORY:
    case PROVIDER_RENEW_KEY: /* of which no answer does no harm: it is asked for again */
    case PROVIDER_USAGE:
    case PROVIDER_CHECK:
        return OUTCOME_UNREACHABLE;
    case PROVIDER_CREATE_CONTAINER:
    case PROVIDER_LIMIT_CONTAINER:
    case PROVIDER_RATE_LIMIT_CONTAINER:
    case PROVIDER_ARCHIVE_CONTAINER:
    case PROVIDER_MINT_KEY:
    case PROVIDER_REVOKE_KEY:
    case PROVIDER_SUSPEND_KEY:
    case PROVIDER_LIMIT_KEY:
    case PROVIDER_RESUME_KEY:
    case PROVIDER_CREATE_ADMIN_KEY:
    case PROVIDER_DELETE_ADMIN_KEY:
        break;
    }
    return OUTCOME_UNKNOWN;
}

void provider_judge(enum provider_verb verb, const char *who, const struct http_answer *answer,
                    const struct provider_complaint *complaint, struct provider_result *result)
{
    long status = answer->status;
    struct error *err = &result->error;
    /* ": its words (code)", or nothing. */
    char words[sizeof complaint->message + sizeof complaint->code + 8] = "";
    if (complaint->readable && complaint->code[0])
        snprintf(words, sizeof words, ": %s (%s)", complaint->message, complaint->code);
    else if (complaint->readable)
        snprintf(words, sizeof words, ": %s", complaint->message);

    result->retry_after_ms = answer->retry_after_ms;
    if (status == 401) {
        result->outcome = OUTCOME_UNAUTHORIZED;
        error_set(err, ERROR_DENIED, "%s does not accept the admin key (401): replace it where admin-key points", who);
    } else if (status == 429) {
        result->outcome = OUTCOME_THROTTLED;
        error_set(err, ERROR_BUSY, "%s asks for fewer requests (429)%s", who, words);
    } else if (status == 408 || status == 409 || status >= 500) {
        bool asked = answer->retry_after_ms >= 0, doubt = creates(verb) || switches(verb);
        result->outcome = doubt ? OUTCOME_UNKNOWN : asked ? OUTCOME_THROTTLED : OUTCOME_UNREACHABLE;
        error_set(err, ERROR_LOST, "%s could not do it now (%ld)%s", who, status, words);
    } else if (status >= 300 && status < 400) {
        result->outcome = OUTCOME_REFUSED;
        error_set(err, ERROR_PROTOCOL, "%s answered with a redirect (%ld), redirect refused: correct base-url", who,
                  status);
    } else if (!complaint->readable) {
        result->outcome = OUTCOME_REFUSED;
        error_set(err, ERROR_PROTOCOL, "the answer (%ld) does not look like one of %s: check base-url and any proxy",
                  status, who);
    } else {
        result->outcome = OUTCOME_REFUSED;
        error_set(err, status == 403 ? ERROR_DENIED : ERROR_INVALID, "%s refused (%ld)%s", who, status, words);
    }
}
