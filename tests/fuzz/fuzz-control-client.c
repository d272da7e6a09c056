/* What the command makes of a daemon's replies. The input is what comes over the socket, and then its end; a letter before
 * it says which method is called. */
#include "fuzz.h"

#include "base/json.h"
#include "base/log.h"

#include "control/client.c"

#include <json-c/json.h>
#include <unistd.h>

enum { CALLS = 3, PATIENCE_MS = 5000 };

/* Before the end there is no answer. */
static void on_continued(void *context, struct json_object *parameters)
{
    struct json_object *const *answer = context;
    must(!*answer && json_object_is_type(parameters, json_type_object));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const methods[] = {"Status", "Show", "Audit", "Revoke", "Doctor", "org.varlink.service.GetInfo"};
    struct fuzz_input input = fuzz_input(data, size);
    const char *method = methods[fuzz_byte(&input) % (sizeof methods / sizeof methods[0])];
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    for (size_t sent = 0; sent < input.left;) {
        ssize_t count = send(ends[1], input.rest + sent, input.left - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count <= 0)
            break; /* more than a socket holds: cut */
        sent += (size_t)count;
    }
    must(shutdown(ends[1], SHUT_WR) == 0);
    struct control_client *client = calloc(1, sizeof *client);
    must(client);
    client->fd = ends[0];
    client->in.maximum = CONTROL_MESSAGE_MAX + 64 * 1024 + 1;
    bool lost = false;
    for (int i = 0; i < CALLS; i++) {
        struct error err = ERROR_INIT;
        struct json_object *parameters = NULL;
        bool ok = control_client_call_more(client, method, NULL, PATIENCE_MS, i % 2 ? on_continued : NULL, &parameters,
                                           &parameters, &err);
        must(ok == (parameters != NULL));
        must(!ok || (json_object_is_type(parameters, json_type_object) && !lost));
        must(ok || (err.code != ERROR_NONE && err.text[0] && memchr(err.text, '\0', sizeof err.text)));
        must(err.code != ERROR_TIMEOUT);
        /* What the daemon gives as a reason may read like that, too. */
        must(client->broken || (err.code != ERROR_PROTOCOL && err.code != ERROR_LIMIT) ||
             strncmp(err.text, "llmhookd's answer to ", 21) != 0);
        lost = lost || client->broken;
        json_object_put(parameters);
    }
    control_client_free(client);
    close(ends[1]);
    return 0;
}
