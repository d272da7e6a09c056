#include "exchange.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void clear_secret(char *text)
{
    if (text != NULL)
        sodium_memzero(text, strlen(text));
    free(text);
}

void request_clear(struct request *request)
{
    for (size_t i = 0; i < request->n_query; i++) {
        free(request->query[i].name);
        free(request->query[i].value);
    }
    free(request->query);
    free(request->method);
    free(request->path);
    free(request->content_type);
    free(request->body);
    free(request->api_version);
    free(request->api_beta);
    clear_secret(request->bearer);
    clear_secret(request->api_key);
    clear_secret(request->vault_token);
    free(request->vault_namespace);
    memset(request, 0, sizeof(*request));
}

void request_add_query(struct request *request, const char *name, const char *value)
{
    struct parameter *grown =
        realloc(request->query, (request->n_query + 1) * sizeof(*request->query));

    if (grown == NULL)
        abort();
    request->query = grown;
    request->query[request->n_query].name = strdup(name);
    request->query[request->n_query].value = strdup(value != NULL ? value : "");
    request->n_query++;
}

const char *request_query(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->n_query; i++) {
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    }
    return NULL;
}

void answer_init(struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->content_type = "application/json";
    answer->retry_after = -1;
    answer->retry_after_ms = -1;
    answer->should_retry = -1;
}

void answer_clear(struct answer *answer)
{
    if (answer->body != NULL)
        sodium_memzero(answer->body, answer->size);
    free(answer->body);
    free(answer->location);
    answer_init(answer);
}

void answer_text(struct answer *answer, int status, const char *body)
{
    free(answer->body);
    answer->status = status;
    answer->body = strdup(body);
    answer->size = answer->body != NULL ? strlen(answer->body) : 0;
}

void answer_json(struct answer *answer, int status, struct json_object *object)
{
    answer_text(answer, status, json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

bool parameter_is(const struct parameter *parameter, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(parameter->name, name, length) != 0)
        return false;
    return parameter->name[length] == '\0' || strcmp(parameter->name + length, "[]") == 0;
}

bool request_passes(const struct request *request, const char *name, const char *id)
{
    bool asked = false;

    for (size_t i = 0; i < request->n_query; i++) {
        if (!parameter_is(&request->query[i], name))
            continue;
        asked = true;
        if (id != NULL && strcmp(request->query[i].value, id) == 0)
            return true;
    }
    return !asked;
}
