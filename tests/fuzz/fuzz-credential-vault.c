/* What Vault says to whoever fetches an admin key from it, vault: and vault-token:, with what is in the input in the place of
 * http.c.
 *
 * The input: a letter (its lowest bits: an AppRole's login; the mount is asked for its version; the token itself is wanted),
 * then the answers, one a part: "STATUS\n" and the body. Behind the last one the connection is lost. */
#include "fuzz.h"

#include "base/json.h"
#include "base/secret.h"
#include "credentials/credential.h"
#include "providers/http.h"

#include <json-c/json.h>

/* Long, and as no word of an honest sentence. */
#define TOKEN "hvs.0123456789abcdefghijTOKEN"
#define ROLE "0123456789abcdefghijROLE"
#define ADMIN_KEY "sk-admin-0123456789abcdefghijADMIN"
#define ADDRESS "https://vault.example:8200"

enum { BY_ROLE = 1, ASKS_VERSION = 2, WANTS_TOKEN = 4 };

static struct fuzz_input answers;
static bool logged_in, given_back;
static unsigned requests;
static long last_status; /* of what was not a giving back */

bool http_url_allowed(const char *url, struct error *err)
{
    (void)err;
    return *url != '\0';
}

static void check_request(const struct http_request *request)
{
    const char *path = request->url + sizeof ADDRESS "/v1/" - 1;
    struct json_object *body = NULL;
    struct error err = ERROR_INIT;
    must(++requests <= 5 && !given_back);
    must(strncmp(request->url, ADDRESS "/v1/", sizeof ADDRESS "/v1/" - 1) == 0);
    for (const char *at = request->url; *at; at++)
        must(*at > ' ' && *at <= '~' && *at != '#' && *at != '?');
    must(!strstr(path, "..") && !strstr(request->url, TOKEN) && !strstr(request->url, ADMIN_KEY));
    must(strcmp(request->secret_header, "X-Vault-Token: ") == 0);
    /* A login is the one request that goes without a token, and that has a body. */
    bool login = strcmp(path, "auth/approle/login") == 0;
    must(login == !request->secret && login == (request->body.length > 0));
    if (login) {
        must_succeed(json_parse(buffer_text(&request->body), request->body.length, &body, &err), err);
        json_object_put(body);
    }
    must(request->method == (login || strstr(path, "revoke-self") ? HTTP_POST : HTTP_GET));
}

void http_wait(const struct http_request *request, struct http_answer *answer)
{
    const char *part;
    size_t length;
    check_request(request);
    *answer = (struct http_answer){.body = BUFFER_INIT(HTTP_ANSWER_MAX), .retry_after_ms = -1};
    if (fuzz_next(&answers, &part, &length) && length >= 3) {
        char status[4] = {part[0], part[1], part[2], '\0'};
        const char *line_end = memchr(part, '\n', length);
        answer->end = HTTP_ANSWERED;
        answer->status = labs(strtol(status, NULL, 10)) % 800 + (part[0] < '2' || part[0] > '9' ? 200 : 0);
        if (line_end)
            must(buffer_append(&answer->body, line_end + 1, length - (size_t)(line_end - part) - 1));
    } else {
        answer->end = HTTP_UNANSWERED;
        error_set(&answer->error, ERROR_LOST, "vault.example:8200: nothing came");
    }
    given_back = strstr(request->url, "revoke-self");
    if (!given_back)
        last_status = answer->end == HTTP_ANSWERED ? answer->status : 0;
    logged_in |= strstr(request->url, "/login") && last_status == 200;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    answers = fuzz_input(data, size);
    logged_in = given_back = false;
    requests = 0;
    last_status = 0;
    unsigned flags = fuzz_byte(&answers);
    struct error err = ERROR_INIT;
    struct secret *secret = NULL;
    struct credential_vault vault = {.address = ADDRESS, .approle_mount = "approle", .name_space = "team",
                                     .kv_version = flags & ASKS_VERSION ? 0 : 2};
    must_succeed(secret_init(&err), err);
    must(setenv("FUZZ_TOKEN", TOKEN, 1) == 0 && setenv("FUZZ_ROLE", ROLE, 1) == 0);
    snprintf(flags & BY_ROLE ? vault.role_id : vault.token, sizeof vault.token, flags & BY_ROLE ? "env:FUZZ_ROLE" : "env:FUZZ_TOKEN");
    if (flags & BY_ROLE)
        snprintf(vault.secret_id, sizeof vault.secret_id, "env:FUZZ_ROLE");
    credential_use_vault(&(struct credential_vault){.address = ""}); /* nothing of the last input is held */
    credential_use_vault(&vault);
    bool ok = credential_fetch(flags & WANTS_TOKEN ? "vault-token:" ADDRESS : "vault:secret/llm/openai#admin_key", &secret, &err);
    fuzz_check_error(&err);
    must(ok == (secret != NULL) && (ok || err.text[0]));
    must(!strstr(err.text, TOKEN) && !strstr(err.text, ROLE) && !strstr(err.text, ADMIN_KEY));
    if (ok) {
        must(secret_length(secret) > 0);
        for (const char *at = secret_reveal(secret); *at; at++)
            must(*at > ' ' && *at <= '~');
        must(last_status == 200 || (flags & WANTS_TOKEN));
    }
    /* A token made by a login for this fetch alone is not left behind. */
    if (logged_in && secret && !(flags & WANTS_TOKEN))
        must(given_back);
    secret_free(secret);
    return 0;
}
