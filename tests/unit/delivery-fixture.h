/* For tests of what is delivered: entries of a set, made of constants. */
#ifndef LLMHOOK_TESTS_UNIT_DELIVERY_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_DELIVERY_FIXTURE_H

#include "check.h"

#include "base/secret.h"
#include "qemu-guest-agent/delivery.h"
#include "qemu-guest-agent/manifest.h"

#include <stdio.h>
#include <string.h>

#define KEY "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"

static struct delivery_entry entry_of(enum delivery_kind kind, const char *name, const char *content)
{
    struct delivery_entry made = {.kind = kind};
    if (kind == DELIVERY_PLAIN)
        made.text = content;
    else
        assert_non_null(made.secret = secret_new(content, strlen(content)));
    snprintf(made.environment, sizeof made.environment, "%s", name);
    return made;
}

static struct delivery_entry entry(const char *name, const char *value)
{
    return entry_of(DELIVERY_VALUE, name, value);
}

static void release(struct delivery_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        secret_free((struct secret *)entries[i].secret);
}

static int start(void **state)
{
    (void)state;
    return secret_init(NULL) ? 0 : -1;
}

#endif
