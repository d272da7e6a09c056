/* What happened to a domain's keys, as the journal has it. */
#ifndef LLMHOOK_CLI_HISTORY_H
#define LLMHOOK_CLI_HISTORY_H

#include "cli/cli.h"

/* Prints EVENTS (safe to print; an array, or NULL) as a table, an event a row; nothing when there is none. NOW, wall-clock
 * milliseconds: each says how long ago it was; 0: the local date and time. */
void history_print_events(const struct cli *cli, struct json_object *events, int64_t now);

#endif
