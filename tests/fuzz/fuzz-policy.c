/* The words of a policy and references to credentials. What is taken lies within its bounds and, written down, is taken
 * as the same; what is refused is told in plain characters. */
#include "fuzz.h"

#include "credentials/credential.h"
#include "lifecycle/policy.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>

static void check_dollars(const char *text)
{
    struct error err = ERROR_INIT;
    int64_t amount = -5, again;
    char written[64];
    if (!policy_parse_dollars(text, &amount, &err)) {
        fuzz_check_error(&err);
        must(err.code == ERROR_INVALID && amount == -5);
        return;
    }
    must(amount > 0 && amount < INT64_C(1000000000000));
    must(fabs(strtod(text + (*text == '$'), NULL) * 1000000 - (double)amount) < 0.5);
    snprintf(written, sizeof written, "$%" PRId64 ".%06" PRId64 " USD", amount / 1000000, amount % 1000000);
    must_succeed(policy_parse_dollars(written, &again, &err), err);
    must(again == amount);
}

static void check_duration(const char *text)
{
    struct error err = ERROR_INIT;
    int64_t ms = -5, again, rotation = -5, overlap = -5;
    char written[64];
    bool ok = policy_parse_duration(text, &ms, &err), rotates = policy_parse_rotation(text, &rotation, &err);
    bool overlaps = policy_parse_overlap(text, &overlap, &err);
    if (!ok) {
        fuzz_check_error(&err);
        must(err.code == ERROR_INVALID && ms == -5 && !rotates && !overlaps);
        return;
    }
    must(ms == POLICY_NEVER || (ms >= 0 && ms <= INT64_C(3650) * 24 * 3600 * 1000));
    must(rotates == (ms == POLICY_NEVER || ms >= 3600 * 1000));
    must(rotation == (rotates ? ms : -5));
    must(overlaps == (ms >= 0 && ms <= INT64_C(30) * 24 * 3600 * 1000));
    must(overlap == (!overlaps ? -5 : ms ? ms : POLICY_NO_OVERLAP));
    snprintf(written, sizeof written, ms == POLICY_NEVER ? "never" : "%" PRId64 "ms", ms);
    must_succeed(policy_parse_duration(written, &again, &err), err);
    must(again == ms);
}

/* What may become a word of a shell script, of a container's name or of an INI file. */
static void check_words(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+:-";
    size_t length = strlen(text);
    bool words = length > 0 && !text[strspn(text, plain)];
    must(!policy_provider_valid(text) || (words && length < POLICY_PROVIDER_SIZE));
    must(!policy_owner_valid(text) || (words && length < POLICY_OWNER_SIZE && !strchr(text, ':')));
    must(!policy_readers_valid(text) || (words && length < POLICY_READERS_SIZE));
    must(!policy_environment_valid(text) || (words && length < POLICY_ENVIRONMENT_SIZE));
    must(!policy_environment_valid(text) || (strcmp(text, "PATH") != 0 && strncmp(text, "LD_", 3) != 0));
    enum policy_flag flag = POLICY_FLAG_DEFAULT;
    struct error err = ERROR_INIT;
    if (policy_parse_flag(text, &flag, &err))
        must(flag != POLICY_FLAG_DEFAULT && length <= 5);
    else
        fuzz_check_error(&err);
}

static void check_reference(const char *text)
{
    struct error err = ERROR_INIT;
    if (!credential_valid(text, &err)) {
        fuzz_check_error(&err);
        /* It may be the key itself: nothing of it may be repeated. The sentences have no such words. */
        if (strlen(text) >= 12 && !fnmatch("*[0-9]*[0-9]*", text, 0))
            must(!strstr(err.text, text));
        return;
    }
    const char *rest = strchr(text, ':');
    must(rest && rest[1]);
    if (strncmp(text, "credential:", 11) == 0)
        must(!strchr(rest, '/') && rest[1] != '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text((const char *)data, size);
    check_dollars(text);
    check_duration(text);
    check_words(text);
    check_reference(text);
    free(text);
    return 0;
}
