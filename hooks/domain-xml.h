/* The things the hook itself must know of a domain when no daemon can tell it.
 *
 * A scanner, not an XML parser: libvirt has parsed the text and written it anew, so it is well-formed; what is not is
 * read as far as it makes sense. It follows elements, so that a comment, a CDATA section or another element's text
 * cannot pass for what is looked for. Character references are not decoded: libvirt does not write any here. */
#ifndef LLMHOOK_HOOKS_DOMAIN_XML_H
#define LLMHOOK_HOOKS_DOMAIN_XML_H

#include <stdbool.h>
#include <stddef.h>

enum { DOMAIN_UUID_LENGTH = 36 };

enum domain_required { DOMAIN_REQUIRED_OPEN, DOMAIN_REQUIRED_YES, DOMAIN_REQUIRED_NO };

struct domain_xml {
    char uuid[DOMAIN_UUID_LENGTH + 1]; /* lower case; empty when there is none, or none that is valid */
    bool has_vm;                       /* <metadata> holds a vm element of urn:llmhook:vm:1 */
    bool has_keys;                     /* which has a key element: without one the domain wants none */
    enum domain_required required;     /* its attribute; open: there is none. What is no yes counts as no. */
    bool boot_credential;              /* <sysinfo> has the entry of base/boot-credential.h, with this domain's own file */
};

/* XML may be NULL when LENGTH is 0. */
struct domain_xml domain_xml_read(const char *xml, size_t length);

#endif
