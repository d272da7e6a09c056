#include "openai.h"

#include "billing.h"
#include "clock.h"

#include <stdio.h>
#include <string.h>

static struct json_object *model_json(const struct model_price *model)
{
    struct json_object *object = json_object_new_object();

    put_string(object, "id", model->name);
    put_string(object, "object", "model");
    put_int(object, "created", 1744316542);
    put_string(object, "owned_by", "system");
    return object;
}

/* Free of charge, so a spent budget does not stop it: what it shows is whether the key lives. */
void openai_list_models(struct call *call)
{
    struct json_object *object = json_object_new_object();
    struct json_object *data = json_object_new_array();

    for (size_t i = 0; i < RATE_LIMIT_MODELS; i++)
        json_object_array_add(data, model_json(&billing_models[i]));
    put_string(object, "object", "list");
    json_object_object_add(object, "data", data);
    answer_json(call->answer, 200, object);
}

static const struct model_price *model_of(struct call *call, const char *name)
{
    const struct model_price *model = billing_model(name);

    if (model == NULL)
        openai_error(call->answer, 404, "invalid_request_error", "model_not_found", "model",
                     "The model does not exist or you do not have access to it.");
    return model;
}

void openai_get_model(struct call *call)
{
    const struct model_price *model = model_of(call, call->arg[0]);

    if (model != NULL)
        answer_json(call->answer, 200, model_json(model));
}

/*
 * The part that chat completions and responses share: reads the body, refuses what the budget
 * forbids, books the use. False when an error is answered. A token is four bytes of the body;
 * the answer has as many tokens as were allowed, sixteen when nothing is said.
 */
struct use {
    const struct model_price *model;
    int64_t input_tokens, output_tokens;
};

static bool use_model(struct call *call, const char *input_name, const char *max_name, struct use *use)
{
    const struct request *request = call->request;
    struct json_object *body = parse_object(request->body, request->body_size);
    const char *missing = NULL;
    char message[96];

    if (body == NULL) {
        openai_error(call->answer, 400, "invalid_request_error", NULL, NULL,
                     "The body of the request is not a valid JSON object.");
        return false;
    }
    if (!json_object_object_get_ex(body, "model", NULL))
        missing = "model";
    else if (!json_object_object_get_ex(body, input_name, NULL))
        missing = input_name;
    if (missing != NULL) {
        snprintf(message, sizeof(message), "Missing required parameter: '%s'.", missing);
        openai_error(call->answer, 400, "invalid_request_error", "missing_required_parameter",
                     missing, message);
        json_object_put(body);
        return false;
    }
    use->model = model_of(call, get_string(body, "model", ""));
    use->input_tokens = (int64_t)request->body_size / 4 + 1;
    use->output_tokens = get_int(body, max_name, 16);
    json_object_put(body);
    if (use->model == NULL)
        return false;
    if (billing_exhausted(call->key->project)) {
        openai_error(call->answer, 429, "insufficient_quota", "project_spend_limit_exceeded", NULL,
                     "The project has reached its monthly spend limit.");
        return false;
    }
    billing_use(call->store, call->key, use->model, use->input_tokens, use->output_tokens);
    return true;
}

static struct json_object *usage_json(const struct use *use, const char *input, const char *output)
{
    struct json_object *object = json_object_new_object();

    put_int(object, input, use->input_tokens);
    put_int(object, output, use->output_tokens);
    put_int(object, "total_tokens", use->input_tokens + use->output_tokens);
    return object;
}

void openai_chat_completion(struct call *call)
{
    struct json_object *object, *choices, *choice, *message;
    struct use use;

    if (!use_model(call, "messages", "max_completion_tokens", &use))
        return;
    message = json_object_new_object();
    put_string(message, "role", "assistant");
    put_string(message, "content", "This is the sandbox.");
    put_string(message, "refusal", NULL);
    choice = json_object_new_object();
    put_int(choice, "index", 0);
    json_object_object_add(choice, "message", message);
    put_string(choice, "logprobs", NULL);
    put_string(choice, "finish_reason", "stop");
    choices = json_object_new_array();
    json_object_array_add(choices, choice);
    object = json_object_new_object();
    put_string(object, "id", "chatcmpl-sandbox");
    put_string(object, "object", "chat.completion");
    put_int(object, "created", unix_ms() / 1000);
    put_string(object, "model", use.model->name);
    json_object_object_add(object, "choices", choices);
    json_object_object_add(object, "usage", usage_json(&use, "prompt_tokens", "completion_tokens"));
    answer_json(call->answer, 200, object);
}

void openai_response(struct call *call)
{
    struct json_object *object, *output, *message, *content, *text;
    struct use use;

    if (!use_model(call, "input", "max_output_tokens", &use))
        return;
    text = json_object_new_object();
    put_string(text, "type", "output_text");
    put_string(text, "text", "This is the sandbox.");
    json_object_object_add(text, "annotations", json_object_new_array());
    content = json_object_new_array();
    json_object_array_add(content, text);
    message = json_object_new_object();
    put_string(message, "type", "message");
    put_string(message, "id", "msg_sandbox");
    put_string(message, "status", "completed");
    put_string(message, "role", "assistant");
    json_object_object_add(message, "content", content);
    output = json_object_new_array();
    json_object_array_add(output, message);
    object = json_object_new_object();
    put_string(object, "id", "resp_sandbox");
    put_string(object, "object", "response");
    put_int(object, "created_at", unix_ms() / 1000);
    put_string(object, "status", "completed");
    put_string(object, "model", use.model->name);
    json_object_object_add(object, "output", output);
    json_object_object_add(object, "usage", usage_json(&use, "input_tokens", "output_tokens"));
    answer_json(call->answer, 200, object);
}
