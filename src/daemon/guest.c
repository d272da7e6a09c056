/* What an operator asks for in a guest: to be rid of all that deliveries left there. */
#include "daemon/engine.h"

#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct cleaning {
    struct engine *engine;
    struct control_call *call; /* NULL: whoever asked has gone */
    char uuid[RECORD_UUID_SIZE];
    struct delivery_result result;
    struct host_link *link; /* the worker's, while it runs */
};

static void refuse(struct control_call *call, const char *reason)
{
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, "reason", reason);
    control_error(call, "Failed", answer);
}

static void asker_gone(void *context)
{
    struct cleaning *cleaning = context;
    cleaning->call = NULL;
}

static bool command(void *context, const struct buffer *text, unsigned timeout_s, struct buffer *ret_reply,
                    struct error *err)
{
    struct cleaning *cleaning = context;
    return host_agent_command(cleaning->link, cleaning->uuid, text, timeout_s, ret_reply, err);
}

static void run(void *context, struct host_link *link)
{
    struct cleaning *cleaning = context;
    cleaning->link = link;
    delivery_clean(command, cleaning, &cleaning->result);
    cleaning->link = NULL;
}

static void done(void *context)
{
    struct cleaning *cleaning = context;
    struct vm *vm = engine_find_vm(cleaning->engine, cleaning->uuid);
    bool clean = cleaning->result.outcome == DELIVERY_PROVEN;
    if (vm) {
        vm->delivery.busy = false;
        if (clean) {
            vm->delivery.hooks[0] = '\0';
            log_info("%s: an operator had the guest rid of what deliveries left there", vm->record.name);
        }
        engine_mark(cleaning->engine, vm);
    }
    if (cleaning->call && clean) {
        struct json_object *answer = json_object_new_object();
        json_put_boolean(answer, "found", cleaning->result.written);
        control_reply(cleaning->call, answer);
    } else if (cleaning->call) {
        refuse(cleaning->call, cleaning->result.error.text);
    }
    free(cleaning);
}

void guest_clean(struct engine *engine, struct vm *vm, struct control_call *call)
{
    if (vm->state != DOMAIN_RUNNING || vm->agent != AGENT_CONNECTED) {
        refuse(call, "the domain does not run, or its guest agent is not connected");
        return;
    }
    if (deliveries_any(vm)) {
        refuse(call, "the guest has keys, and their next delivery would put everything back: first take the domain out "
                     "of the policy, or revoke its keys");
        return;
    }
    /* One agent call at a time for a domain. */
    if (vm->delivery.busy) {
        refuse(call, "something is being delivered to the guest right now: try again in a moment");
        return;
    }
    struct cleaning *cleaning = calloc(1, sizeof *cleaning);
    if (!cleaning)
        abort();
    cleaning->engine = engine;
    cleaning->call = call;
    memcpy(cleaning->uuid, vm->record.uuid, sizeof cleaning->uuid);
    vm->delivery.busy = true;
    control_call_on_cancel(call, asker_gone, cleaning);
    pool_submit(deliveries_pool(engine, vm), run, done, cleaning);
}
