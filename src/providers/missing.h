/* A 404 about a key, where all keys are in one account: it is no proof. The admin key may be another account's, another
 * server may stand behind base-url, or whoever answered is mistaken; and who believes it forgets a key that lives. So two
 * more are asked, and only what neither knows is gone:
 *
 *   the key itself, where its secret is at hand    401: nobody can use it. Else it is there, whoever's it is
 *   the list of all keys                           it is not in it. A key that is suspended is refused, and listed
 *
 * Both only read, and are judged as reads. Pure. */
#ifndef LLMHOOK_PROVIDERS_MISSING_H
#define LLMHOOK_PROVIDERS_MISSING_H

#include "providers/reading.h"

/* In a progress' step. What is below is the driver's. */
enum { MISSING_KEY = 1 << 16, MISSING_LIST = 1 << 17 };

/* Whether CALL is about one key. */
bool missing_may(const struct provider_call *call);
/* After the 404. UNTOUCHED: nothing of this call has been done. ASK_KEY: call->chosen is that key's secret. */
enum provider_next missing_begin(struct provider_progress *progress, bool untouched, bool ask_key);
/* Of what was answered to the key itself. */
enum provider_next missing_key_answered(struct reading *reading);
/* The list was read to its end, or until the key was found: then it is the one item of the result. */
enum provider_next missing_list_read(struct reading *reading);

#endif
