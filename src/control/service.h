/* org.varlink.service: what the server answers about itself. Private to this folder. */
#ifndef LLMHOOK_CONTROL_SERVICE_H
#define LLMHOOK_CONTROL_SERVICE_H

#include "control/control.h"

#define CONTROL_SERVICE_INTERFACE "org.varlink.service"

/* Answers CALL of METHOD (without the interface), whatever METHOD is. */
void control_service_run(struct control_call *call, const char *method, struct json_object *parameters);

/* Which of PARAMETERS the interface does not give METHOD of ours, or gives another type; NULL: none. Whether one is missing
 * the method itself looks. Borrowed from PARAMETERS. */
const char *control_service_surplus(const char *method, struct json_object *parameters);

#endif
