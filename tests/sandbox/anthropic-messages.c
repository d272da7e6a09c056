#include "anthropic.h"

#include "anthropic-federation.h"

#include "clock.h"

#include <string.h>

/*
 * What messages and the counting of their tokens share. A token is four bytes of the body. NULL when an error is
 * answered; otherwise the caller owns the body.
 */
static struct json_object *read_message(struct call *call, const struct anthropic_model **model, int64_t *input_tokens)
{
    struct json_object *body = parse_object(call->request->body, call->request->body_size), *messages;

    if (body == NULL) {
        anthropic_error(call->answer, 400, NULL, NULL, "The request body is not valid JSON.");
        return NULL;
    }
    *model = anthropic_model(get_string(body, "model", ""));
    *input_tokens = (int64_t)call->request->body_size / 4 + 1;
    if (json_object_object_get_ex(body, "messages", &messages) && json_object_is_type(messages, json_type_array) &&
        json_object_array_length(messages) > 0 && *model != NULL)
        return body;
    if (*model == NULL)
        anthropic_error(call->answer, 404, NULL, NULL, "model: no such model");
    else
        anthropic_error(call->answer, 400, NULL, NULL, "messages: at least one message is required");
    json_object_put(body);
    return NULL;
}

/* The answer has as many tokens as were allowed. */
void anthropic_message(struct call *call)
{
    struct console_charge charge = {.at = unix_ms() / 1000, .key = call->own};
    const struct anthropic_model *model = NULL;
    struct json_object *body = read_message(call, &model, &charge.input_tokens);
    struct json_object *object, *content, *text, *usage;
    int64_t most;

    if (body == NULL)
        return;
    most = get_int(body, "max_tokens", 0);
    json_object_put(body);
    if (most < 1) {
        anthropic_error(call->answer, 400, NULL, NULL, "max_tokens: Field required");
        return;
    }
    charge.workspace = charge.key->workspace;
    charge.account = federation_account(call->store, charge.key);
    if (anthropic_exhausted(charge.workspace)) {
        anthropic_error(call->answer, 400, NULL, NULL, "You have reached your specified workspace API usage limits.");
        return;
    }
    charge.model = model->name;
    charge.output_tokens = most;
    charge.micro_usd =
        (charge.input_tokens * model->input_micro_usd + charge.output_tokens * model->output_micro_usd) / 1000000;
    anthropic_bill(call->store, &charge);

    text = json_object_new_object();
    put_string(text, "type", "text");
    put_string(text, "text", "This is the sandbox.");
    put_string(text, "citations", NULL);
    content = json_object_new_array();
    json_object_array_add(content, text);
    usage = json_object_new_object();
    put_int(usage, "input_tokens", charge.input_tokens);
    put_int(usage, "output_tokens", charge.output_tokens);
    put_int(usage, "cache_creation_input_tokens", 0);
    put_int(usage, "cache_read_input_tokens", 0);
    object = json_object_new_object();
    put_string(object, "id", "msg_01sandbox");
    put_string(object, "type", "message");
    put_string(object, "role", "assistant");
    put_string(object, "model", model->name);
    json_object_object_add(object, "content", content);
    put_string(object, "stop_reason", "end_turn");
    put_string(object, "stop_sequence", NULL);
    json_object_object_add(object, "usage", usage);
    answer_json(call->answer, 200, object);
}

/* Free of charge, so a spent budget does not stop it: what it shows is whether the key works. */
void anthropic_count_tokens(struct call *call)
{
    const struct anthropic_model *model = NULL;
    int64_t tokens = 0;
    struct json_object *body = read_message(call, &model, &tokens), *object;

    if (body == NULL)
        return;
    json_object_put(body);
    object = json_object_new_object();
    put_int(object, "input_tokens", tokens);
    answer_json(call->answer, 200, object);
}
