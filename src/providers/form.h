/* The forms that several providers' JSON has, for their drivers: requests' URLs and bodies, complaints, keys, amounts
 * and times. Pure. */
#ifndef LLMHOOK_PROVIDERS_FORM_H
#define LLMHOOK_PROVIDERS_FORM_H

#include "base/json.h"
#include "providers/http.h"
#include "providers/provider.h"

#include <stdarg.h>

enum { FORM_MICRO_PER_CENT = 10000 }; /* micro-dollars */
#define FORM_DAY_MS INT64_C(86400000) /* days are UTC's */
/* Of tokens or requests in a row: what PROVIDER_ITEMS_MAX rows say can be added up, also where input is four such counts. */
#define FORM_COUNT_MOST INT64_C(1000000000000)

/* Where DRIVER's API is: base-url, or its usual place. */
const char *form_base(const struct provider_settings *settings, const struct provider_driver *driver);
/* BASE and behind it FORMAT. ERROR_LIMIT when it does not fit. */
bool form_put_url(struct http_request *request, const char *base, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* FORMAT behind the URL that is there. ERROR_LIMIT when it does not fit. */
bool form_append_url(struct http_request *request, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool form_append_url_list(struct http_request *request, struct error *err, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
/* TEXT as it may stand in a URL's query, whatever it is made of: up to three bytes for each of its own. What SIZE has no
 * room for is left out. */
void form_escape(const char *text, char *ret_text, size_t size);
/* Takes over BODY. The method is the caller's to set. No secret in BODY: json-c does not wipe what it frees. */
bool form_put_body(struct http_request *request, struct json_object *body, struct error *err);
/* The same as a POST. */
bool form_post(struct http_request *request, struct json_object *body, struct error *err);
/* Whole cents, rounded up. */
int64_t form_cents(int64_t micro_dollars);
/* How a provider's JSON has a limit of dollars a month. */
struct form_limit {
    const char *amount;  /* the field of the dollars */
    const char *period;  /* that of the time after which the limit begins anew */
    const char *monthly; /* and what stands there */
};
/* Adds the limit, rounded up to whole cents, to BODY. ERROR_INVALID when it is none: then BODY is released. */
bool form_put_limit(struct json_object *body, const struct form_limit *form, int64_t micro_dollars, struct error *err);

/* The text, borrowed from OBJECT; "" where there is none. */
const char *form_text(struct json_object *object, const char *name);
/* The text as provider_quote() gives it. False, and "": there is none. */
bool form_quote(struct json_object *object, const char *name, char *ret_text, size_t size);
/* {"error":{"message":"...","code":"..."}}; a code that is a number says no more than the status. */
void form_read_complaint(const struct http_answer *answer, struct provider_complaint *ret_complaint);
/* Moves a key out of the document, where it is wiped. Owner of *RET: the caller. */
bool form_take_secret(struct json_object *object, const char *name, struct secret **ret_secret, struct error *err);
/* What somebody else made up and may stand in a URL: an id that is none is ERROR_PROTOCOL. */
bool form_get_id(struct json_object *object, const char *name, char ret_id[RECORD_REMOTE_ID_SIZE], struct error *err);
/* The same; missing or null is FALLBACK. */
bool form_get_optional_id(struct json_object *object, const char *name, const char *fallback,
                          char ret_id[RECORD_REMOTE_ID_SIZE], struct error *err);
/* The name of an entry of a list, borrowed from it. Names of others may be longer than ours ever are, hold a NUL, be null or
 * missing: the last three are "". */
bool form_get_name(struct json_object *entry, const char *name, const char **ret_name, struct error *err);
/* Whether TEXT can go back to who made it up, into documents and the ledger, and before people's eyes: one word of
 * printable characters. */
bool form_word_valid(const char *text);
/* How many tokens or requests, at most FORM_COUNT_MOST; missing or null is none. */
bool form_get_count(struct json_object *object, const char *name, int64_t *ret_count, struct error *err);
/* Whether what a list shows of a key ("sk-ant-api03-R2D...igAA": its beginning and its end) is of SECRET. Nothing is shown:
 * it may be any. */
bool form_hint_fits(struct json_object *key, const char *name, const struct secret *secret);
/* Where the page behind PAGE begins in a list by ids: its "last_id", or the id of the last entry of DATA; "": neither. */
void form_last_id(struct json_object *page, struct json_object *data, char *ret_cursor, size_t size);
/* Dollars as micro-dollars, rounded to the nearest; null or missing: -1, there is none. */
bool form_get_dollars(struct json_object *object, const char *name, int64_t *ret_micro_dollars, struct error *err);
/* Micro-dollars; 0: there is none, or it does not begin anew with each month, which to us is none. */
bool form_get_limit(struct json_object *object, const struct form_limit *form, int64_t *ret_micro_dollars,
                    struct error *err);
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
