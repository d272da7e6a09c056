#include "provider.h"

#include "anthropic-federation.h"
#include "anthropic.h"
#include "gateway.h"
#include "openai.h"
#include "vault.h"

#include <stdio.h>
#include <string.h>

const struct provider *const providers[] = {
    &anthropic_federation_provider, &anthropic_provider, &litellm_provider, &openrouter_provider,
    &vault_provider,                &openai_provider,    NULL};

/* Matches segment by segment; every segment that '*' stood for is copied into arg. */
static bool match_path(const char *pattern, const char *path, char arg[ROUTE_ARGS][ID_SIZE * 2])
{
    size_t n_args = 0;

    while (*pattern != '\0') {
        if (*pattern == '*') {
            size_t length = strcspn(path, "/");

            if (length == 0 || length >= ID_SIZE * 2 || n_args == ROUTE_ARGS)
                return false;
            memcpy(arg[n_args], path, length);
            arg[n_args++][length] = '\0';
            path += length;
            pattern++;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static const struct provider *provider_of(const char *path)
{
    for (size_t i = 0; providers[i] != NULL; i++) {
        for (const char *const *prefix = providers[i]->prefixes; *prefix != NULL; prefix++) {
            if (strncmp(path, *prefix, strlen(*prefix)) == 0)
                return providers[i];
        }
    }
    return &openai_provider;
}

/* path_known tells a wrong method (405) from a wrong path (404). */
static const struct route *find_route(const struct request *request, struct call *call,
                                      const struct provider **provider, bool *path_known)
{
    *path_known = false;
    for (size_t i = 0; providers[i] != NULL; i++) {
        for (size_t j = 0; j < providers[i]->n_routes; j++) {
            const struct route *route = &providers[i]->routes[j];

            if (!match_path(route->pattern, request->path, call->arg))
                continue;
            *path_known = true;
            *provider = providers[i];
            if (strcmp(route->method, request->method) == 0)
                return route;
        }
    }
    return NULL;
}

void provider_error(const char *path, struct answer *answer, int status, const char *type,
                    const char *code, const char *message)
{
    provider_of(path)->error(answer, status, type, code, message);
}

const char *provider_pattern(const struct request *request)
{
    const struct provider *provider;
    struct call call = {.store = NULL};
    const struct route *route;
    bool path_known;

    route = find_route(request, &call, &provider, &path_known);
    return route != NULL ? route->pattern : "other";
}

struct json_object *provider_routes(const char *name_only)
{
    struct json_object *list = json_object_new_array();
    char name[256];

    for (size_t i = 0; providers[i] != NULL; i++) {
        if (name_only != NULL && strcmp(name_only, providers[i]->name) != 0)
            continue;
        for (size_t j = 0; j < providers[i]->n_routes; j++) {
            snprintf(name, sizeof(name), "%s %s", providers[i]->routes[j].method,
                     providers[i]->routes[j].pattern);
            json_object_array_add(list, json_object_new_string(name));
        }
    }
    return list;
}

void provider_answer(struct store *store, const struct request *request, struct answer *answer)
{
    struct call call = {.store = store, .request = request, .answer = answer};
    const struct provider *provider = provider_of(request->path);
    char message[256];
    bool path_known;

    call.route = find_route(request, &call, &provider, &path_known);
    if (call.route == NULL) {
        snprintf(message, sizeof(message), "%s (%s %.150s)",
                 path_known ? "Method not allowed" : "Invalid URL", request->method, request->path);
        provider->error(answer, path_known ? 405 : 404, "invalid_request_error", NULL, message);
        return;
    }
    pthread_mutex_lock(&store->lock);
    if (provider->admit(&call))
        call.route->handle(&call);
    pthread_mutex_unlock(&store->lock);
}
