/* driver-fixture.h with the driver that signs for this host, and how its settings are checked. */
#ifndef LLMHOOK_TESTS_UNIT_FEDERATION_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_FEDERATION_FIXTURE_H

#define DRIVER provider_anthropic_federation
#define WHO "Anthropic"
#include "driver-fixture.h"

#include "base/json.h"
#include "providers/anthropic-federation.h"

#include <json-c/json.h>

/* One setting that is changed, by its place in struct provider_settings. PIECE NULL: it may be so. */
struct changed_setting {
    size_t offset;
    const char *value, *piece;
};

static void settings_become(begin_fn *begin_call, const struct changed_setting *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fixture f;
        struct error err = ERROR_INIT;
        begin_call(&f, PROVIDER_CHECK);
        strcpy((char *)&f.settings + changes[i].offset, changes[i].value);
        assert_int_equal(provider_settings_check(&f.settings, &err), !changes[i].piece);
        if (changes[i].piece)
            check_error(err, ERROR_INVALID, changes[i].piece);
        end(&f);
    }
}

#endif
