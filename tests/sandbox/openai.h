/*
 * OpenAI's administration API and the little of its model API that shows whether a key works.
 * Held to the official specification; where that is silent, README.md says what was chosen.
 */
#ifndef SANDBOX_OPENAI_H
#define SANDBOX_OPENAI_H

#include "fields.h"
#include "id-page.h"
#include "provider.h"

extern const struct provider openai_provider;

void openai_error(struct answer *answer, int status, const char *type, const char *code,
                  const char *param, const char *message);

/*
 * The request's body, checked. NULL when it does not fit: the error is answered already.
 * Otherwise the caller owns the object.
 */
struct json_object *openai_body(struct call *call, const struct field *fields);

/* The project named by the path's first '*', or NULL after answering 404. */
struct project *openai_project(struct call *call);
/* The same, but an archived one is refused with 400. */
struct project *openai_active_project(struct call *call);

/* Answers that what has this ID, NULL where it has none, is gone; KIND is its "object". */
void openai_answer_deleted(struct call *call, const char *kind, const char *id);

/* Begins a page of a list by ids. False: an error is answered. */
bool openai_list_begin(struct call *call, struct id_page *page, int64_t limit_default, int64_t limit_min);
/* Answers with it. */
void openai_list_end(struct id_page *page);

/* openai-projects.c */
void openai_create_project(struct call *call);
void openai_list_projects(struct call *call);
void openai_get_project(struct call *call);
void openai_update_project(struct call *call);
void openai_archive_project(struct call *call);

/* openai-keys.c */
void openai_create_account(struct call *call);
void openai_list_accounts(struct call *call);
void openai_get_account(struct call *call);
void openai_update_account(struct call *call);
void openai_delete_account(struct call *call);
void openai_create_key(struct call *call);
void openai_list_keys(struct call *call);
void openai_get_key(struct call *call);
void openai_delete_key(struct call *call);
void openai_list_admin_keys(struct call *call);
void openai_get_admin_key(struct call *call);
void openai_create_admin_key(struct call *call);
void openai_delete_admin_key(struct call *call);

/* openai-limits.c */
void openai_list_rate_limits(struct call *call);
void openai_update_rate_limit(struct call *call);
void openai_get_spend_limit(struct call *call);
void openai_set_spend_limit(struct call *call);
void openai_delete_spend_limit(struct call *call);
void openai_create_spend_alert(struct call *call);
void openai_list_spend_alerts(struct call *call);
void openai_get_spend_alert(struct call *call);
void openai_delete_spend_alert(struct call *call);

/* openai-usage.c */
void openai_costs(struct call *call);
void openai_usage_completions(struct call *call);

/* openai-models.c */
void openai_list_models(struct call *call);
void openai_get_model(struct call *call);
void openai_chat_completion(struct call *call);
void openai_response(struct call *call);

#endif
