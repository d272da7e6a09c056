/* What llmhook reads in a domain's XML, for tests in shell: the XML on standard input, words on standard output. */
#include "base/buffer.h"
#include "host/domain_xml.h"

#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    static const char *const flags[] = {"default", "yes", "no"};
    cleanup_buffer struct buffer xml = BUFFER_INIT(DOMAIN_XML_MAX + 1);
    struct domain_xml domain;
    struct error err = ERROR_INIT;
    char bytes[4096];
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, stdin)) > 0;)
        if (!buffer_append(&xml, bytes, got))
            return 2;
    if (!domain_xml_read(buffer_text(&xml), xml.length, &domain, &err)) {
        printf("error=%s\n", err.text);
        return 1;
    }
    printf("name=%s channel=%s metadata=%s", domain.name, domain.has_agent_channel ? "yes" : "no",
           domain.has_metadata ? "yes" : "no");
    if (domain.metadata_error.code)
        printf(" error=%s", domain.metadata_error.text);
    else if (domain.has_metadata)
        printf(" owner=%s required=%s", domain.metadata.owner, flags[domain.metadata.required]);
    for (unsigned i = 0; i < domain.metadata.count; i++)
        printf(" %s=%" PRId64, domain.metadata.keys[i].provider, domain.metadata.keys[i].monthly_limit);
    putchar('\n');
    return 0;
}
