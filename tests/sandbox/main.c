/*
 * llmhook-sandbox: answers as the providers do, in memory, with faults on demand.
 *
 * Threads: one epoll thread per listener (providers, control), a clock for what is answered
 * late, and this one, which waits for a signal.
 */
#include "control.h"
#include "faults.h"
#include "server.h"
#include "store.h"
#include "traffic.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ADMIN_KEY_MAX = 512 };

struct options {
    const char *listen, *control, *admin_key_file, *second_admin_key_file, *port_file;
    bool verbose;
};

static const char usage[] =
    "usage: llmhook-sandbox --listen ADDRESS:PORT --control SOCKET --admin-key-file FILE\n"
    "                       [--second-admin-key-file FILE] [--port-file FILE] [--verbose]\n"
    "PORT 0 lets the kernel choose; --port-file receives the choice. Prints 'ready' when it is.\n";

static bool read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"control", required_argument, NULL, 'c'},
        {"admin-key-file", required_argument, NULL, 'k'},
        {"second-admin-key-file", required_argument, NULL, 's'},
        {"port-file", required_argument, NULL, 'p'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            options->listen = optarg;
            break;
        case 'c':
            options->control = optarg;
            break;
        case 'k':
            options->admin_key_file = optarg;
            break;
        case 's':
            options->second_admin_key_file = optarg;
            break;
        case 'p':
            options->port_file = optarg;
            break;
        case 'v':
            options->verbose = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && options->listen != NULL && options->control != NULL &&
           options->admin_key_file != NULL;
}

/* The first line of the file. */
static bool read_admin_key(const char *path, char key[ADMIN_KEY_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, key, ADMIN_KEY_MAX - 1) : -1;

    if (size < 0)
        fprintf(stderr, "llmhook-sandbox: cannot read %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (size < 0)
        return false;
    key[size] = '\0';
    key[strcspn(key, "\r\n")] = '\0';
    if (key[0] == '\0')
        fprintf(stderr, "llmhook-sandbox: %s holds no key\n", path);
    return key[0] != '\0';
}

static bool add_organisation(struct store *store, const char *admin_key_file)
{
    char admin_key[ADMIN_KEY_MAX];
    bool ok = read_admin_key(admin_key_file, admin_key);

    if (ok && store_organisation(store, admin_key) != NULL) {
        fprintf(stderr, "llmhook-sandbox: %s holds the first organisation's key\n", admin_key_file);
        ok = false;
    }
    if (ok)
        store_add_organisation(store, admin_key);
    sodium_memzero(admin_key, sizeof(admin_key));
    return ok;
}

/* Whoever waits for the file never sees half of it. */
static bool write_port_file(const char *path, int port)
{
    char temporary[4096];
    FILE *file;
    bool written;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return false;
    file = fopen(temporary, "we");
    if (file == NULL)
        return false;
    written = fprintf(file, "%d\n", port) > 0;
    if (fclose(file) != 0 || !written)
        return false;
    return rename(temporary, path) == 0;
}

/* Thousands of clients at once need as many descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void wait_for_end(const sigset_t *signals)
{
    int received;

    sigwait(signals, &received);
}

static int run(const struct options *options, struct store *store, const sigset_t *signals)
{
    struct server *server = server_start(store, options->listen);
    struct control *control;
    int status = EXIT_FAILURE;

    if (server == NULL)
        return status;
    control = control_start(store, server, options->control);
    if (control != NULL) {
        if (options->port_file == NULL || write_port_file(options->port_file, server_port(server))) {
            puts("ready");
            fflush(stdout);
            wait_for_end(signals);
            status = EXIT_SUCCESS;
        } else {
            fprintf(stderr, "llmhook-sandbox: cannot write %s: %s\n", options->port_file,
                    strerror(errno));
        }
        control_stop(control);
    }
    server_stop(server);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {.listen = NULL};
    struct store *store;
    sigset_t signals;
    int status;

    if (!read_options(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    store = store_new();
    if (!add_organisation(store, options.admin_key_file) ||
        (options.second_admin_key_file != NULL &&
         !add_organisation(store, options.second_admin_key_file))) {
        store_free(store);
        return EXIT_FAILURE;
    }
    traffic_log_to_stderr(options.verbose);
    raise_descriptor_limit();

    /* Blocked before any thread starts, so that only sigwait() sees them. */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    status = run(&options, store, &signals);
    faults_remove(0);
    traffic_free();
    store_free(store);
    return status;
}
