/* A domain's facts and policy, from the XML that libvirt gives: the only user of libxml2.
 *
 * The XML comes from whoever may define domains, through libvirt or the hook. It is read with no document type, no
 * entity, no network and bounded size and depth; nothing is ever printed. Any thread may call this. */
#ifndef LLMHOOK_HOST_DOMAIN_XML_H
#define LLMHOOK_HOST_DOMAIN_XML_H

#include "base/error.h"
#include "lifecycle/policy.h"
#include "lifecycle/records.h"

#include <stdbool.h>
#include <stddef.h>

enum { DOMAIN_XML_MAX = 8 * 1024 * 1024 }; /* bytes */

#define DOMAIN_XML_NAMESPACE "urn:llmhook:vm:1"
/* Whether URI is meant to be that namespace, in this or another version, well written or not. */
bool domain_xml_is_ours(const char *uri);

/* The entry by which QEMU is to hand the domain's keys to its guest: see base/boot-credential.h. */
enum domain_boot_entry {
    DOMAIN_BOOT_NONE,
    DOMAIN_BOOT_FILE,       /* as it should be */
    DOMAIN_BOOT_OTHER_FILE, /* of its name, and another file */
    DOMAIN_BOOT_TEXT,       /* of its name, with a text in the XML: no place for a secret */
};

struct domain_xml {
    char uuid[RECORD_UUID_SIZE]; /* 8-4-4-4-12, lower case */
    char name[RECORD_NAME_SIZE]; /* no control characters */
    bool has_agent_channel;      /* without it no agent can ever answer */
    bool agent_connected;        /* libvirt says so; XML of a domain that does not run never does */
    enum domain_boot_entry boot_entry;

    bool has_metadata;           /* there is an llmhook:vm, or something that was meant to be one */
    struct policy metadata;      /* all zero (an empty list of keys) when there is none or metadata_error is set */
    struct error metadata_error; /* the XML is fine but our element is not: says which element and attribute */
};

/* ERROR_LIMIT when longer than DOMAIN_XML_MAX; ERROR_INVALID when it is not well-formed, not a <domain>, or has no
 * usable uuid or name. What is wrong inside our own element is metadata_error, and no failure. *RET is left alone on
 * failure. */
bool domain_xml_read(const char *xml, size_t length, struct domain_xml *ret, struct error *err);

#endif
