/* Where alerts go: the journal, a webhook, a program, mail. The daemon folder's own. */
#ifndef LLMHOOK_DAEMON_ALERT_SINKS_H
#define LLMHOOK_DAEMON_ALERT_SINKS_H

#include "base/error.h"
#include "config/config.h"
#include "lifecycle/alert.h"

struct json_object;

enum { ALERT_SINKS = 3 };
/* ALERT_TO_WEBHOOK and so on, and what they are called. */
extern const enum alert_sink alert_sinks[ALERT_SINKS];
const char *alert_sink_name(enum alert_sink sink);
/* Those that are configured. */
unsigned alert_sinks_wanted(const struct config_alerts *config);

/* Into systemd's journal, with its MESSAGE_ID and LLMHOOK_ fields; on standard error, like any other line, where there
 * is no journal. */
void alert_to_journal(const struct alert_record *record, const char *host_id);

/* What a webhook gets and a program reads. "text" alone is what Slack shows. Owner: the caller. */
struct json_object *alert_as_json(const struct alert_record *record, const char *host_id);

/* Tells one of them. It blocks, for half a minute at most. CANCEL: a descriptor that ends it when it becomes readable. */
bool alert_send(const struct config_alerts *config, enum alert_sink sink, const struct alert_record *record,
                const char *host_id, int cancel, struct error *err);

#endif
