/* What somebody else does to the organisation, behind the back of the program under test. */
#ifndef SANDBOX_OUTSIDE_H
#define SANDBOX_OUTSIDE_H

#include "store.h"

/* Does what the description's "action" says; the ids made go into result. NULL or a sentence. */
const char *outside_act(struct store *store, struct json_object *description,
                        struct json_object *result);

#endif
