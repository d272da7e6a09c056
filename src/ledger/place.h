/* Where the ledger lies: a private folder, private files, and the lock that makes this process their only writer. */
#ifndef LLMHOOK_LEDGER_PLACE_H
#define LLMHOOK_LEDGER_PLACE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Makes PATH's folder (0700) when it is missing. One that is there is never altered; it must be ours, and private. */
bool place_prepare(const char *path, struct error *err);

/* Takes `ledger.lock` beside `ledger.sqlite` for as long as the descriptor is open. ERROR_BUSY names the process that has it. */
bool place_lock(const char *path, int *ret_lock, struct error *err);
void place_unlock(int lock);

/* *RET_THERE: whether the ledger exists; its files are then ours and 0600. Refuses what a crash or a mishap with the
 * files cannot have left behind: an empty ledger, a WAL without one. */
bool place_look(const char *path, bool *ret_there, struct error *err);

/* A new ledger is written under a name of its own and gets the real one when it is complete, so that there never is
 * half of one. place_begin() makes the empty file (0600) and gives its name, place_finish() renames it. */
bool place_begin(const char *path, char *ret_new, size_t size, struct error *err);
bool place_finish(const char *path, const char *new_path, struct error *err);

#endif
