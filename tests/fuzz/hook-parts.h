/* The hook's parts beside the daemon's, for targets that hold them against each other: a structure and a function of
 * the hook have names that the daemon has too. Include this before a file of hooks/, and fuzz.h before this. */
#ifndef LLMHOOK_TESTS_FUZZ_HOOK_PARTS_H
#define LLMHOOK_TESTS_FUZZ_HOOK_PARTS_H

#include "base/utf8.h"
#include "host/domain_xml.h"

#define domain_xml hook_domain_xml
#define domain_xml_read hook_domain_xml_read
#include "hooks/domain-xml.h"

#endif
