/* http.c and TLS: a key goes only to a server whose certificate is right. The certificates are made here with
 * openssl(1); the server is libmicrohttpd, which counts the requests that get through the handshake. */
#include "check.h"

#include "base/buffer.h"
#include "base/durable.h"
#include "poll-loop.h"
#include "providers/http.h"
#include "scripted-server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 }; /* under valgrind, beside another suite */

static const char key[] = "sk-admin-0123456789abcdefghij";
static char directory[] = "/tmp/llmhook-tls-XXXXXX";
static char right_cert[64], right_key[64], wrong_cert[64], wrong_key[64], old_cert[64], old_key[64], old_request[64],
    complaints[64];
static time_t old_since; /* what is old was made no later */

/* Its exit code; -1: it was ended. NO_OPENSSL: there is none. What it says is in complaints. */
enum { NO_OPENSSL = 127 };
static int run_openssl(const char *const *arguments)
{
    pid_t child = fork();
    if (child == 0) {
        int file = open(complaints, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        execvp("openssl", (char *const *)(uintptr_t)arguments);
        _exit(NO_OPENSSL);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int make_certificate(const char *cert, const char *key_file, const char *names)
{
    const char *const arguments[] = {"openssl", "req",     "-x509",  "-newkey", "ec",      "-pkeyopt",
                                     "ec_paramgen_curve:prime256v1",
                                     "-nodes",  "-days",   "2",      "-subj",   "/CN=llmhook test", "-addext", names,
                                     "-keyout", key_file,  "-out",   cert,      NULL};
    return run_openssl(arguments);
}

/* Right in everything but its time, which ends as it begins: from 3.4 on openssl(1) makes none that has ended before. */
static int make_expired(void)
{
    const char *const request[] = {"openssl", "req",    "-newkey", "ec",     "-pkeyopt", "ec_paramgen_curve:prime256v1",
                                   "-nodes",  "-subj",  "/CN=llmhook test", "-addext", "subjectAltName=IP:127.0.0.1",
                                   "-keyout", old_key,  "-out",    old_request, NULL};
    const char *const sign[] = {"openssl", "x509", "-req",  "-in", old_request,       "-signkey", old_key,
                                "-days",   "0",    "-copy_extensions", "copy", "-out", old_cert, NULL};
    int status = run_openssl(request);
    if (status == 0)
        status = run_openssl(sign);
    old_since = time(NULL);
    return status;
}

struct fixture {
    struct poll_loop *loop;
    struct http *http;
    struct MHD_Daemon *server;
    struct buffer cert, key;
    atomic_uint requests, with_key;
    char location[64]; /* not empty: every answer is a redirect there */
    struct secret *secret;
    uint16_t port;
};

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **request)
{
    struct fixture *f = context;
    (void)url, (void)method, (void)version, (void)upload, (void)upload_size, (void)request;
    const char *header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    f->requests++;
    f->with_key += header && strstr(header, key);
    struct MHD_Response *response = MHD_create_response_from_buffer(2, (char *)(uintptr_t) "{}", MHD_RESPMEM_PERSISTENT);
    if (f->location[0])
        MHD_add_response_header(response, "Location", f->location);
    enum MHD_Result result = MHD_queue_response(connection, f->location[0] ? 307 : 200, response);
    MHD_destroy_response(response);
    return result;
}

static void open_fixture(struct fixture *f, const char *cert, const char *key_file)
{
    struct error err = ERROR_INIT;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memset(f, 0, sizeof *f);
    f->cert = f->key = (struct buffer)BUFFER_INIT(65536);
    assert_true(durable_read(cert, &f->cert, &err) && durable_read(key_file, &f->key, &err));
    assert_true(secret_init(&err));
    f->loop = poll_loop_new();
    assert_true(http_new(poll_loop_base(f->loop), &f->http, &err));
    f->secret = secret_new(key, strlen(key));
    f->server = MHD_start_daemon(MHD_USE_TLS | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, f,
                                 MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_HTTPS_MEM_CERT, buffer_text(&f->cert),
                                 MHD_OPTION_HTTPS_MEM_KEY, buffer_text(&f->key), MHD_OPTION_END);
    assert_non_null(f->server);
    f->port = MHD_get_daemon_info(f->server, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static void close_fixture(struct fixture *f)
{
    http_free(f->http);
    MHD_stop_daemon(f->server);
    poll_loop_free(f->loop);
    secret_free(f->secret);
    buffer_clear(&f->cert);
    buffer_clear(&f->key);
}

struct seen {
    bool done;
    enum http_end end;
    long status;
    struct error error;
};

static void on_done(void *context, struct http_answer *given)
{
    *(struct seen *)context = (struct seen){true, given->end, given->status, given->error};
}

static struct seen post(const struct fixture *f, uint16_t port, const char *ca_file, int64_t timeout_ms)
{
    struct seen seen = {.done = false};
    struct http_request request = HTTP_REQUEST_INIT;
    request.method = HTTP_POST;
    snprintf(request.url, sizeof request.url, "https://127.0.0.1:%u/v1", port);
    snprintf(request.secret_header, sizeof request.secret_header, "Authorization: Bearer ");
    request.secret = f->secret;
    request.ca_file = ca_file;
    request.timeout_ms = timeout_ms;
    request.unheard_ms = PATIENCE_MS; /* all authorities are read in that time, which takes seconds there */
    http_start(f->http, &request, on_done, &seen);
    assert_true(poll_loop_until(f->loop, &seen.done, PATIENCE_MS));
    return seen;
}

static void test_trusted_server_is_answered(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, right_cert, right_key);
    struct seen seen = post(&f, f.port, right_cert, PATIENCE_MS);
    if (seen.end != HTTP_ANSWERED)
        fail_msg("%s", seen.error.text);
    assert_int_equal(seen.status, 200);
    assert_int_equal(f.with_key, 1); /* so the others would have been seen as well */
    close_fixture(&f);
}

static void check_nothing_sent(struct fixture *f, const char *ca_file, const char *piece)
{
    struct seen seen = post(f, f->port, ca_file, PATIENCE_MS);
    assert_int_equal(seen.end, HTTP_NOT_SENT);
    check_error(seen.error, ERROR_DENIED, "nothing was sent: ");
    if (!strcasestr(seen.error.text, piece))
        fail_msg("'%s' says nothing of '%s'", seen.error.text, piece);
    assert_int_equal(f->requests, 0);
}

static void test_self_signed_certificate_gets_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, right_cert, right_key);
    check_nothing_sent(&f, NULL, "certificate");
    close_fixture(&f);
}

static void test_certificate_for_another_name_gets_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, wrong_cert, wrong_key);
    check_nothing_sent(&f, wrong_cert, "127.0.0.1");
    close_fixture(&f);
}

static void test_expired_certificate_gets_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, old_cert, old_key);
    while (time(NULL) <= old_since) /* it is valid in the second in which it ends */
        poll_loop_turn(f.loop, 50);
    check_nothing_sent(&f, old_cert, "expired");
    close_fixture(&f);
}

/* 307 has a client send the whole request again, key and all: the other host hears nothing of us. */
static void test_redirect_to_another_host_gets_nothing(void **state)
{
    (void)state;
    struct script_step step = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SCRIPT_KEEP, 0};
    struct scripted_server *other = scripted_server_new(&step, 1);
    struct fixture f;
    open_fixture(&f, right_cert, right_key);
    snprintf(f.location, sizeof f.location, "http://localhost:%u/v1", scripted_server_port(other));
    struct seen seen = post(&f, f.port, right_cert, PATIENCE_MS);
    assert_int_equal(seen.end, HTTP_ANSWERED);
    assert_int_equal(seen.status, 307); /* which a provider refuses, see test-provider */
    assert_int_equal(f.requests, 1);
    assert_int_equal(scripted_server_connections(other), 0);
    assert_int_equal(scripted_server_bytes(other), 0);
    close_fixture(&f);
    scripted_server_free(other);
}

static void test_other_authority_gets_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, right_cert, right_key);
    check_nothing_sent(&f, wrong_cert, "certificate");
    close_fixture(&f);
}

static void test_missing_ca_file_gets_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, right_cert, right_key);
    check_nothing_sent(&f, "/nonexistent/ca.pem", "/nonexistent/ca.pem");
    close_fixture(&f);
}

static void test_server_without_tls_gets_no_request(void **state)
{
    (void)state;
    struct script_step step = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SCRIPT_KEEP, 0};
    struct scripted_server *plain = scripted_server_new(&step, 1);
    struct fixture f;
    open_fixture(&f, right_cert, right_key);
    /* It waits for the end of a request that never comes. */
    struct seen seen = post(&f, scripted_server_port(plain), NULL, 500);
    assert_int_equal(seen.end, HTTP_NOT_SENT);
    assert_int_equal(scripted_server_requests(plain), 0);
    assert_true(scripted_server_bytes(plain) > 0); /* a ClientHello */
    close_fixture(&f);
    scripted_server_free(plain);
}

static void tell_complaints(int status)
{
    char line[512];
    printf("1..1\nnot ok 1 - openssl(1) makes the certificates\n# exit code %d\n", status);
    FILE *file = fopen(complaints, "r");
    while (file && fgets(line, sizeof line, file))
        printf("# %.*s\n", (int)strcspn(line, "\n"), line);
    if (file)
        fclose(file);
}

static void remove_all(void)
{
    const char *const files[] = {right_cert, right_key, wrong_cert, wrong_key, old_cert, old_key, old_request, complaints};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trusted_server_is_answered),
        cmocka_unit_test(test_self_signed_certificate_gets_nothing),
        cmocka_unit_test(test_certificate_for_another_name_gets_nothing),
        cmocka_unit_test(test_expired_certificate_gets_nothing),
        cmocka_unit_test(test_redirect_to_another_host_gets_nothing),
        cmocka_unit_test(test_other_authority_gets_nothing),
        cmocka_unit_test(test_missing_ca_file_gets_nothing),
        cmocka_unit_test(test_server_without_tls_gets_no_request),
    };
    if (!mkdtemp(directory))
        return 1;
    snprintf(right_cert, sizeof right_cert, "%s/right.pem", directory);
    snprintf(right_key, sizeof right_key, "%s/right.key", directory);
    snprintf(wrong_cert, sizeof wrong_cert, "%s/wrong.pem", directory);
    snprintf(wrong_key, sizeof wrong_key, "%s/wrong.key", directory);
    snprintf(old_cert, sizeof old_cert, "%s/old.pem", directory);
    snprintf(old_key, sizeof old_key, "%s/old.key", directory);
    snprintf(old_request, sizeof old_request, "%s/old.csr", directory);
    snprintf(complaints, sizeof complaints, "%s/complaints", directory);
    int failed = make_expired();
    if (!failed)
        failed = make_certificate(right_cert, right_key, "subjectAltName=IP:127.0.0.1");
    if (!failed)
        failed = make_certificate(wrong_cert, wrong_key, "subjectAltName=DNS:elsewhere.example");
    if (failed == NO_OPENSSL) {
        printf("1..0 # SKIP openssl(1) cannot be run here, so there are no certificates\n");
        failed = 0;
    } else if (failed) {
        tell_complaints(failed);
    } else {
        failed = check_run(tests);
    }
    remove_all();
    return failed;
}
