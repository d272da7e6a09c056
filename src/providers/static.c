/* The host's own key, given to each domain as it is: minting copies it, and nothing can be taken back.
 *
 * It is what `key` points to, which arrives here as the credential. Its id is made of its fingerprint, so that CHECK can
 * tell whether the one a domain has is still the host's. No list: there is nobody to ask. */
#include "providers/provider.h"

#include <stdio.h>

enum { SHOWN_HEX = 32 }; /* of the fingerprint, in the id */

static bool static_check(const struct provider_settings *settings, struct error *err)
{
    if (!settings->environment[0])
        return error_set(err, ERROR_INVALID,
                         "a static key has no usual variable in the guest: write environment = OPENAI_API_KEY, or what "
                         "it is called there");
    if (settings->base_url[0] || settings->ca_file[0])
        return error_set(err, ERROR_INVALID,
                         "nobody is asked for a static key: leave out base-url and ca-file");
    return true;
}

static void identify(const struct secret *key, struct provider_result *result)
{
    char fingerprint[SECRET_FINGERPRINT_SIZE];
    secret_fingerprint(key, fingerprint);
    snprintf(result->key_id, sizeof result->key_id, "shared-%.*s", SHOWN_HEX, fingerprint);
}

/* A key that is not there any more keeps no domain from ending. */
static bool static_keyless(const struct provider_settings *settings, enum provider_verb verb)
{
    (void)settings;
    return verb != PROVIDER_MINT_KEY && verb != PROVIDER_CHECK;
}

static void static_perform(const struct provider_settings *settings, const struct provider_call *call,
                           const struct secret *credential, struct provider_result *result)
{
    (void)settings;
    result->outcome = OUTCOME_OK;
    switch (call->verb) {
    case PROVIDER_MINT_KEY:
        result->secret = secret_copy(credential);
        if (!result->secret) {
            result->outcome = OUTCOME_UNREACHABLE;
            error_set(&result->error, ERROR_IO, "out of memory");
            return;
        }
        identify(credential, result);
        return;
    case PROVIDER_CHECK:
        identify(credential, result);
        return;
    case PROVIDER_FIND_KEYS: /* a copy that was lost on its way is nowhere */
    case PROVIDER_INVENTORY:
    case PROVIDER_REVOKE_KEY: /* the host still has it, and so does whoever was given it */
        return;
    default:
        result->outcome = OUTCOME_UNSUPPORTED;
        error_set(&result->error, ERROR_INVALID, "a static key has no %s", provider_verb_name(call->verb));
    }
}

const struct provider_driver provider_static = {
    .type = "static",
    .default_environment = "",
    .key_setting = "key",
    .capabilities = PROVIDER_CAN_MINT | PROVIDER_CAN_LIST | PROVIDER_SHARED,
    .check = static_check,
    .keyless = static_keyless,
    .perform = static_perform,
};
