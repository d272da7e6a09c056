#ifdef HAVE_CONFIG_H
#endif

#include "control/service.h"

#include "base/json.h"
#include "control/io.llmhook.varlink.h"
#include "control/org.varlink.service.varlink.h"

#include <string.h>

static void get_info(struct control_call *call)
{
    struct json_object *interfaces = json_object_new_array();
    json_object_array_add(interfaces, json_object_new_string(CONTROL_SERVICE_INTERFACE));
    json_object_array_add(interfaces, json_object_new_string(CONTROL_INTERFACE));
    struct json_object *info = json_object_new_object();
    json_put_string(info, "vendor", "llmhook");
    json_put_string(info, "product", "llmhookd");
    json_put_string(info, "version", PACKAGE_VERSION);
    json_put_string(info, "url", PACKAGE_URL);
    json_put(info, "interfaces", interfaces);
    control_reply(call, info);
}

static void get_description(struct control_call *call, struct json_object *parameters)
{
    char name[256];
    struct error err = ERROR_INIT;
    if (!json_get_string(parameters, "interface", name, sizeof name, &err)) {
        control_invalid_parameter(call, "interface");
        return;
    }
    const char *text = !strcmp(name, CONTROL_INTERFACE)           ? io_llmhook_varlink
                       : !strcmp(name, CONTROL_SERVICE_INTERFACE) ? org_varlink_service_varlink
                                                                  : NULL;
    struct json_object *answer = json_object_new_object();
    json_put_string(answer, text ? "description" : "interface", text ? text : name);
    if (text)
        control_reply(call, answer);
    else
        control_error(call, CONTROL_SERVICE_INTERFACE ".InterfaceNotFound", answer);
}

void control_service_run(struct control_call *call, const char *method, struct json_object *parameters)
{
    if (!strcmp(method, "GetInfo")) {
        get_info(call);
    } else if (!strcmp(method, "GetInterfaceDescription")) {
        get_description(call, parameters);
    } else {
        struct json_object *unknown = json_object_new_object();
        json_put_string(unknown, "method", method);
        control_error(call, CONTROL_SERVICE_INTERFACE ".MethodNotFound", unknown);
    }
}
