#ifdef HAVE_CONFIG_H
#endif

#include "control/service.h"

#include "base/json.h"
#include "control/io.llmhook.varlink.h"
#include "control/org.varlink.service.varlink.h"

#include <json-c/json.h>
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

/* --- what the interface says of a method --- */

/* Behind the parenthesis; NULL: there is no such method. */
static const char *parameters_of(const char *method)
{
    static const char keyword[] = "\nmethod ";
    size_t length = strlen(method);
    for (const char *at = strstr(io_llmhook_varlink, keyword); at; at = strstr(at, keyword)) {
        at += strlen(keyword);
        if (strncmp(at, method, length) == 0 && at[length] == '(')
            return at + length + 1;
    }
    return NULL;
}

/* The type of the parameter NAME, as in "?string, ..."; NULL: there is none of that name. */
static const char *type_of(const char *declared, const char *name)
{
    size_t length = strlen(name);
    while (*declared && *declared != ')') {
        declared += strspn(declared, ", \n");
        if (strncmp(declared, name, length) == 0 && strncmp(declared + length, ": ", 2) == 0)
            return declared + length + 2;
        declared += strcspn(declared, ",)");
    }
    return NULL;
}

static bool is_of_type(struct json_object *value, const char *type)
{
    static const struct {
        const char *name;
        enum json_type type;
    } types[] = {{"[]", json_type_array},     {"string", json_type_string}, {"int", json_type_int},
                 {"bool", json_type_boolean}, {"object", json_type_object}};
    if (*type == '?') {
        if (!value) /* null is as if it were not there */
            return true;
        type++;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strncmp(type, types[i].name, strlen(types[i].name)) == 0)
            return json_object_is_type(value, types[i].type);
    return true; /* a type of the interface's own: who reads it looks */
}

const char *control_service_surplus(const char *method, struct json_object *parameters)
{
    const char *declared = parameters_of(method);
    if (!declared)
        return NULL;
    json_object_object_foreach(parameters, name, value)
    {
        const char *type = type_of(declared, name);
        if (!type || !is_of_type(value, type))
            return name;
    }
    return NULL;
}
