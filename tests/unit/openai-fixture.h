/* driver-fixture.h with OpenAI's driver, and what OpenAI's answers look like. */
#ifndef LLMHOOK_TESTS_UNIT_OPENAI_FIXTURE_H
#define LLMHOOK_TESTS_UNIT_OPENAI_FIXTURE_H

#define DRIVER provider_openai
#define WHO "OpenAI"
#define BASE "https://api.openai.com/v1/organization"
#include "driver-fixture.h"

#define ERROR_BODY(message, code) \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"t\",\"param\":null,\"code\":\"" code "\"}}"
#define PROJECT(id, name, created, rest) \
    "{\"id\":\"" id "\",\"object\":\"organization.project\",\"name\":" name ",\"created_at\":" created rest "}"
#define LIST(items, more, last) \
    "{\"object\":\"list\",\"data\":[" items "],\"first_id\":null,\"last_id\":" last ",\"has_more\":" more ",\"new\":{}}"
#define ACCOUNT(id, name, created) \
    "{\"object\":\"organization.project.service_account\",\"id\":\"" id "\",\"name\":\"" name \
    "\",\"role\":\"member\",\"created_at\":" created "}"

#endif
