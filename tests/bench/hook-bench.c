/* What the hook adds to starting a program: fork, exec and wait for the hook (its test build) against the same for an
 * empty program built the same way, in turns, so that both see the same machine. A thread plays the daemon and
 * accepts. Both get 10 KiB of XML in a pipe, which is filled beforehand: making it is not timed.
 *
 *   hook-bench HOOK EMPTY [RUNS [MAX_RATIO]]
 *
 * Prints the medians in microseconds and their ratio; fails when a hook failed, when the daemon did not hear every
 * run, or when the ratio passes MAX_RATIO. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    XML_BYTES = 10 * 1024,
    RUNS_DEFAULT = 1000,
    WARM_UP = 20,
};

struct daemon {
    int listener;
    atomic_int heard; /* complete messages */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "hook-bench: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void *accept_events(void *argument)
{
    static const char answer[] = "{\"parameters\":{\"verdict\":\"accepted\"}}"; /* its NUL is sent too */
    struct daemon *daemon = argument;
    char block[65536];
    int fd;
    while ((fd = accept(daemon->listener, NULL, NULL)) >= 0) {
        ssize_t count;
        while ((count = read(fd, block, sizeof block)) > 0) {
            if (block[count - 1] == '\0') {
                daemon->heard++;
                if (write(fd, answer, sizeof answer) < 0)
                    break;
            }
        }
        close(fd);
    }
    return NULL;
}

static void make_directory(const char *root, const char *below, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s%s", root, below);
    if (mkdir(path, 0700) < 0)
        die(path);
}

static void start_daemon(const char *root, struct daemon *daemon)
{
    char path[PATH_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    make_directory(root, "/run", path);
    make_directory(root, "/run/llmhookd", path);
    if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/run/llmhookd/socket", root)
        >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(root);
    }
    daemon->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (daemon->listener < 0 || bind(daemon->listener, (struct sockaddr *)&address, sizeof address) < 0
        || listen(daemon->listener, 16) < 0)
        die(address.sun_path);
    errno = pthread_create(&thread, NULL, accept_events, daemon);
    if (errno)
        die("thread");
    pthread_detach(thread);
}

static void remove_root(const char *root)
{
    static const char *const below[] = {"/run/llmhookd/socket", "/run/llmhookd", "/run", ""};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        snprintf(path, sizeof path, "%s%s", root, below[i]);
        remove(path);
    }
}

static void compose_xml(char xml[XML_BYTES])
{
    static const char head[] = "<domain type='kvm' id='1'>\n  <uuid>6ba7b810-9dad-11d1-80b4-00c04fd430c8</uuid>\n";
    static const char line[] = "    <address type='pci' domain='0x0000' bus='0x00' slot='0x02'/>\n";
    static const char tail[] = "</domain>\n";
    size_t used = sizeof head - 1;
    memcpy(xml, head, used);
    for (; used + sizeof line + sizeof tail < XML_BYTES; used += sizeof line - 1)
        memcpy(xml + used, line, sizeof line - 1);
    memset(xml + used, ' ', XML_BYTES - used);
    memcpy(xml + XML_BYTES - (sizeof tail - 1), tail, sizeof tail - 1);
}

/* Microseconds from before fork to after wait. */
static double run(const char *program, const char *xml)
{
    int input[2];
    int status;
    char *arguments[] = {(char *)program, "bench", "start", "begin", "-", NULL};
    if (pipe2(input, O_CLOEXEC) < 0 || write(input[1], xml, XML_BYTES) != XML_BYTES)
        die("pipe");
    close(input[1]);
    double began = now_us();
    pid_t child = fork();
    if (child == 0) {
        dup2(input[0], STDIN_FILENO);
        execv(program, arguments);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("fork");
    double took = now_us() - began;
    close(input[0]);
    if (status != 0) {
        fprintf(stderr, "hook-bench: %s: wait status %d\n", program, status);
        exit(2);
    }
    return took;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

int main(int argc, char *argv[])
{
    size_t runs = argc > 3 ? strtoul(argv[3], NULL, 10) : RUNS_DEFAULT;
    double most = argc > 4 ? strtod(argv[4], NULL) : 0;
    char root[] = "/tmp/hook-bench.XXXXXX";
    static struct daemon daemon;
    char xml[XML_BYTES];
    if (argc < 3 || runs == 0) {
        fprintf(stderr, "usage: hook-bench HOOK EMPTY [RUNS [MAX_RATIO]]\n");
        return 2;
    }
    double *hook = calloc(runs, sizeof *hook);
    double *empty = calloc(runs, sizeof *empty);
    if (!hook || !empty || !mkdtemp(root) || setenv("LLMHOOK_TEST_ROOT", root, 1) < 0)
        die("set up");
    start_daemon(root, &daemon);
    compose_xml(xml);
    for (size_t i = 0; i < WARM_UP + runs; i++) {
        size_t at = i < WARM_UP ? 0 : i - WARM_UP;
        empty[at] = run(argv[2], xml);
        hook[at] = run(argv[1], xml);
    }
    int heard = daemon.heard;
    remove_root(root);
    double floor_us = median(empty, runs);
    double hook_us = median(hook, runs);
    printf("floor_us %.1f\nhook_us %.1f\nratio %.3f\n", floor_us, hook_us, hook_us / floor_us);
    free(hook);
    free(empty);
    if ((size_t)heard != WARM_UP + runs) {
        fprintf(stderr, "hook-bench: the daemon heard %d of %zu runs\n", heard, WARM_UP + runs);
        return 1;
    }
    return most > 0 && hook_us / floor_us > most;
}
