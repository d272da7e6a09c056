/* The folders that are made: with their mode, and never at the cost of one that was there. */
#include "check.h"

#include "base/durable.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[64];

static int setup(void **state)
{
    (void)state;
    snprintf(work, sizeof work, "/tmp/durable.XXXXXX");
    return mkdtemp(work) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[PATH_MAX];
    (void)state;
    snprintf(path, sizeof path, "%s/folder", work);
    rmdir(path);
    return rmdir(work);
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void a_new_one_has_its_mode_whatever_the_umask(void **state)
{
    char path[PATH_MAX];
    struct error err = ERROR_INIT;
    (void)state;
    snprintf(path, sizeof path, "%s/folder", work);
    mode_t before = umask(0077);
    assert_true(durable_directory(path, 0755, &err));
    umask(before);
    assert_int_equal(mode_of(path), 0755);
    assert_true(durable_directory(path, 0755, &err));
}

static void one_that_was_there_stays_as_it_is(void **state)
{
    static const struct {
        mode_t there, wanted;
        bool fits;
    } rows[] = {{01777, 0755, false}, {0775, 0755, false}, {0755, 0700, false}, {0750, 0700, false},
                {0755, 0755, true}, {0700, 0755, true}, {0700, 0700, true}, {02700, 0700, true}};
    char path[PATH_MAX];
    (void)state;
    snprintf(path, sizeof path, "%s/folder", work);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char wanted[PATH_MAX + 200];
        struct error err = ERROR_INIT;
        assert_int_equal(chmod(path, rows[i].there), 0);
        bool ok = durable_directory(path, rows[i].wanted, &err);
        assert_int_equal(mode_of(path), rows[i].there);
        assert_int_equal(ok, rows[i].fits);
        if (ok)
            continue;
        snprintf(wanted, sizeof wanted, "%s was there and is open to others (mode %04o): chmod %03o it if nothing else uses it, or "
                 "name another", path, (unsigned)rows[i].there, (unsigned)rows[i].wanted);
        assert_string_equal(err.text, wanted);
        assert_int_equal(err.code, ERROR_DENIED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_one_has_its_mode_whatever_the_umask, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_there_stays_as_it_is, setup, teardown),
    };
    return check_run(tests);
}
