/* A provider as the daemon opens it; what it asks of it goes to remote.c. */
#include "world.h"

#include <stdio.h>

bool provider_new(struct http *http, const struct provider_settings *settings, provider_credential_fn *credential,
                  void *credential_context, struct provider **ret_provider, struct error *err)
{
    (void)http, (void)credential, (void)credential_context, (void)err;
    struct provider *provider = simulated_calloc(1, sizeof *provider);
    provider->settings = *settings;
    provider->host = world.current;
    provider->remote = (unsigned)(settings->name[1] - '0');
    snprintf(provider->environment, sizeof provider->environment, "KEY_%.8s", settings->name);
    *ret_provider = provider;
    return true;
}

void provider_free(struct provider *provider)
{
    simulated_free(provider);
}

const struct provider_settings *provider_settings(const struct provider *provider)
{
    return &provider->settings;
}

unsigned provider_capabilities(const struct provider *provider)
{
    return world.remotes[provider->remote].abilities;
}

bool provider_key_is_file(const struct provider *provider)
{
    (void)provider;
    return false;
}

unsigned provider_type_capabilities(const char *type)
{
    (void)type;
    return 0;
}

int64_t provider_key_refresh(const struct provider *provider)
{
    return world.remotes[provider->remote].abilities & PROVIDER_EXPIRES ? TOKEN_MS / 2 : 0;
}

const char *provider_environment(const struct provider *provider)
{
    return provider->environment;
}

/* Guests here are told keys alone. */
size_t provider_variables(const struct provider *provider, const char *environment, const char *container,
                          struct provider_variable ret[PROVIDER_VARIABLES_MAX])
{
    (void)provider, (void)environment, (void)container, (void)ret;
    return 0;
}
