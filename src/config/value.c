#include "config/value.h"

#include "lifecycle/policy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool value_copy(char *to, size_t size, const char *value, struct error *err)
{
    size_t length = strlen(value);
    if (length >= size)
        return error_set(err, ERROR_INVALID, "the value is longer than %zu bytes: shorten it", size - 1);
    memcpy(to, value, length + 1);
    return true;
}

bool value_path(char *to, size_t size, const char *value, struct error *err)
{
    if (value[0] != '/')
        return error_set(err, ERROR_INVALID, "'%s' is not an absolute path: write one that begins with /", value);
    return value_copy(to, size, value, err);
}

bool value_word(const char *const *words, const char *value, size_t *ret_index)
{
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool value_duration(int64_t *ret_ms, const char *least, const char *most, const char *value, struct error *err)
{
    int64_t ms = 0, least_ms = 0, most_ms = 0;
    if (!policy_parse_duration(value, &ms, err))
        return false;
    policy_parse_duration(least, &least_ms, NULL);
    policy_parse_duration(most, &most_ms, NULL);
    static_assert(POLICY_NEVER < 0, "never is below every range");
    if (ms < least_ms || ms > most_ms)
        return error_set(err, ERROR_INVALID, "'%s' is out of range: write between %s and %s", value, least, most);
    *ret_ms = ms;
    return true;
}

bool value_count(int64_t *ret_count, int64_t most, const char *value, struct error *err)
{
    int64_t count = 0;
    size_t i;
    for (i = 0; value[i] >= '0' && value[i] <= '9' && count <= most; i++)
        count = count * 10 + (value[i] - '0');
    if (value[i] || count < 1 || count > most)
        return error_set(err, ERROR_INVALID, "'%s' is not a number from 1 to %lld", value, (long long)most);
    *ret_count = count;
    return true;
}

bool value_is_plain(const char *text, const char *more)
{
    for (size_t i = 0; text[i]; i++) {
        bool alnum = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
                     (text[i] >= '0' && text[i] <= '9');
        if (!alnum && (i == 0 || !(strchr("-_.", text[i]) || strchr(more, text[i]))))
            return false;
    }
    return text[0] != '\0';
}

char *value_next_word(char **at)
{
    char *word = *at + strspn(*at, " \t");
    if (!*word)
        return NULL;
    *at = word + strcspn(word, " \t");
    if (**at)
        *(*at)++ = '\0';
    return word;
}

bool value_namespace(char *to, size_t size, const char *value, struct error *err)
{
    if (!value_is_plain(value, "/"))
        return error_set(err, ERROR_INVALID, "'%s' is not a namespace: write it like team/llm", value);
    return value_copy(to, size, value, err);
}
