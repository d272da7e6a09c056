/* Runs a fuzz target over files: those named, or its corpus, $srcdir/tests/fuzz/corpus/TARGET, where the program is called
 * fuzz-TARGET. Prints TAP. One that breaks ends the program; the line before says which file it was. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

enum { INPUT_MAX = 1024 * 1024 };

static void run_file(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("Bail out! %s: %s\n", path, strerror(errno));
        exit(1);
    }
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    uint8_t *copy = malloc(length ? length : 1);
    must(copy);
    memcpy(copy, bytes, length);
    printf("# %s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char *argv[])
{
    char path[4096];
    const char *source = getenv("srcdir"), *name = strrchr(argv[0], '/');
    name = name ? name + 1 : argv[0];
    name += strncmp(name, "fuzz-", 5) == 0 ? 5 : 0;
    printf("1..1\n");
    if (argc > 1) {
        for (int i = 1; i < argc; i++)
            run_file(argv[i]);
        printf("ok 1 - %s: %d inputs\n", name, argc - 1);
        return 0;
    }
    struct dirent **entries;
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", source ? source : ".", name);
    int count = scandir(path, &entries, visible, by_name);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s/%s", source ? source : ".", name, entries[i]->d_name);
        run_file(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    /* The empty input is in no corpus. */
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("%s 1 - %s: %d inputs\n", count > 0 ? "ok" : "not ok", name, count < 0 ? 0 : count);
    return count > 0 ? 0 : 1;
}
