/* The forms that several providers' JSON has, for their drivers: requests' URLs and bodies, complaints, keys, amounts
 * and times. Pure. */
#ifndef LLMHOOK_PROVIDERS_FORM_H
#define LLMHOOK_PROVIDERS_FORM_H

#include "base/json.h"
#include "providers/http.h"
#include "providers/provider.h"

enum { FORM_MICRO_PER_CENT = 10000 }; /* micro-dollars */

/* BASE and behind it FORMAT. ERROR_LIMIT when it does not fit. */
bool form_put_url(struct http_request *request, const char *base, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes over BODY. The method is the caller's to set. No secret in BODY: json-c does not wipe what it frees. */
bool form_put_body(struct http_request *request, struct json_object *body, struct error *err);
/* Whole cents, rounded up. */
int64_t form_cents(int64_t micro_dollars);
/* The configured limits of MODEL, or NULL. */
const struct provider_rate *form_find_rate(const struct provider_settings *settings, const char *model);
/* A number of dollars, rounded up to whole cents. */
void form_put_dollars(struct json_object *body, const char *name, int64_t micro_dollars);

/* {"error":{"message":"...","code":"..."}}; a code that is a number says no more than the status. */
void form_read_complaint(const struct http_answer *answer, struct provider_complaint *ret_complaint);
/* Moves a key out of the document, where it is wiped. Owner of *RET: the caller. */
bool form_take_secret(struct json_object *object, const char *name, struct secret **ret_secret, struct error *err);
/* Dollars as micro-dollars, rounded to the nearest; null or missing: -1, there is none. */
bool form_get_dollars(struct json_object *object, const char *name, int64_t *ret_micro_dollars, struct error *err);
/* Whether AMOUNT, as read back, is WANTED as it was sent. */
bool form_same_dollars(int64_t amount, int64_t wanted);
/* "2026-11-25T23:45:00Z", with a fraction or an offset from UTC if need be; no offset is UTC. Wall-clock milliseconds. */
bool form_get_time(struct json_object *object, const char *name, int64_t *ret_ms, struct error *err);
/* Such a text for WALL_MS; whole seconds. */
void form_write_time(int64_t wall_ms, char *ret_text, size_t size);
/* Oldest first. */
void form_sort_by_age(struct provider_result *result);
/* Of sorted items: each once. */
void form_drop_doubles(struct provider_result *result);

#endif
