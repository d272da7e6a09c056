/* For tests of where a credential comes from: files in a folder that is there as long as the group runs, and what a reference
 * gives. */
#ifndef LLMHOOK_TESTS_UNIT_CREDENTIAL_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_CREDENTIAL_FIXTURE_H

#include "check.h"

#include "base/cleanup.h"
#include "credentials/credential.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/llmhook-credential-XXXXXX";

static int make_directory(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    return secret_init(&err) && mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    DIR *listing = opendir(directory);
    if (!listing)
        return -1;
    for (struct dirent *entry; (entry = readdir(listing));)
        unlinkat(dirfd(listing), entry->d_name, 0); /* not "." and "..", which are folders */
    closedir(listing);
    return rmdir(directory);
}

/* Makes DIRECTORY/NAME anew. Its path is valid until the next. */
static const char *make_file(const char *name, const char *content, size_t length, mode_t mode)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    unlink(path);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    return path;
}

static const char *make(const char *name, const char *content, mode_t mode)
{
    return make_file(name, content, strlen(content), mode);
}

static void gives(const char *reference, const char *wanted)
{
    struct error err = ERROR_INIT;
    cleanup_secret struct secret *secret = NULL;
    if (!credential_fetch(reference, &secret, &err))
        fail_msg("%s: %s", reference, err.text);
    assert_string_equal(secret_reveal(secret), wanted);
}

static void fails(const char *reference, enum error_code code, const char *piece)
{
    struct error err = ERROR_INIT;
    struct secret *secret = NULL;
    assert_false(credential_fetch(reference, &secret, &err));
    assert_null(secret);
    check_error(err, code, piece);
    assert_null(strstr(err.text, "sk-")); /* every secret of these tests begins so, or has digits */
    assert_null(strstr(err.text, "0123456789"));
}

#endif
