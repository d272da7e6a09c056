/* `llmhook doctor`: what is missing on this host. Private to its files. */
#ifndef LLMHOOK_CLI_DOCTOR_H
#define LLMHOOK_CLI_DOCTOR_H

#include <json-c/json_object.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define DOCTOR_OK "ok"
#define DOCTOR_WARNING "warning"
#define DOCTOR_FAILED "failed"

struct doctor {
    const char *root;        /* stands before every path below, "" for the running system */
    const char *config;      /* the configuration file, without the root */
    bool daemon_answers;
    struct json_object *checks; /* an array of Check, as in io.llmhook.varlink */
};

/* Adds a check; REMEDY may be NULL. The texts are made safe to print when they are printed. */
__attribute__((format(printf, 5, 6))) void doctor_add(struct doctor *doctor, const char *name, const char *result,
                                                      const char *remedy, const char *format, ...);

/* ROOT and SUFFIX. What does not fit names nothing that exists. */
void doctor_path(const struct doctor *doctor, const char *suffix, char path[PATH_MAX]);

/* The value of `key = value` in section [daemon] of the configuration file, or FALLBACK. Only the daemon's own parser
 * says whether the file is right; this tells where to look. */
void doctor_setting(const struct doctor *doctor, const char *key, const char *fallback, char value[PATH_MAX]);

/* Each adds one or more checks. */
void doctor_check_configuration(struct doctor *doctor);
void doctor_check_hook(struct doctor *doctor);
void doctor_check_libvirt(struct doctor *doctor);
void doctor_check_shutdown(struct doctor *doctor);
void doctor_check_state(struct doctor *doctor);

/* "installed", and by whom: where our hook is, for the check of what libvirtd may not have seen. False: nowhere. */
bool doctor_find_hook(const struct doctor *doctor, char path[PATH_MAX], bool *ret_beside_another);

#endif
