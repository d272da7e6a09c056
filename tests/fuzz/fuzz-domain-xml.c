/* A domain's XML: libvirt's, the hook's and the metadata in it.
 *
 * What the daemon reads is within its bounds, says the same when it is written down and read again, and is what the hook
 * finds in the text as libvirt writes it, with its scanner that is no XML parser. */
#include "fuzz.h"

#include "hook-parts.h"

#include "base/buffer.h"
#include "hooks/domain-xml.c"

#include <inttypes.h>
#include <libxml/parser.h>
#include <libxml/tree.h>

#undef domain_xml
#undef domain_xml_read

static bool is_uuid(const char *uuid)
{
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? uuid[i] != '-' : !uuid[i] || !strchr("0123456789abcdef", uuid[i]))
            return false;
    }
    return !uuid[36];
}

static void check_policy(const struct policy *policy)
{
    must(policy->count <= POLICY_KEYS_MAX);
    must(!policy->owner[0] || policy_owner_valid(policy->owner));
    must(!policy->readers[0] || policy_readers_valid(policy->readers));
    must(policy->required <= POLICY_FLAG_NO && policy->boot_credential <= POLICY_FLAG_NO);
    for (unsigned i = 0; i < policy->count; i++) {
        const struct policy_key *key = &policy->keys[i];
        must(policy_provider_valid(key->provider));
        must(!key->environment[0] || policy_environment_valid(key->environment));
        must(key->monthly_limit >= 0 && key->monthly_limit < INT64_C(1000000000000));
        must(key->rotate_ms == POLICY_NEVER || key->rotate_ms == 0 || key->rotate_ms >= 3600 * 1000);
        must(key->overlap_ms == POLICY_NO_OVERLAP || (key->overlap_ms >= 0 && key->overlap_ms <= INT64_C(30) * 24 * 3600 * 1000));
        must(key->on_stop != POLICY_FATE_KEEP && key->on_save != POLICY_FATE_REVOKE && key->over_budget != POLICY_FATE_KEEP);
        for (unsigned j = 0; j < i; j++) {
            must(strcmp(key->provider, policy->keys[j].provider) != 0);
            must(!key->environment[0] || strcmp(key->environment, policy->keys[j].environment) != 0);
        }
    }
    struct policy resolved;
    policy_resolve(NULL, policy, &resolved);
    must(resolved.count == policy->count && resolved.required != POLICY_FLAG_DEFAULT &&
         resolved.boot_credential != POLICY_FLAG_DEFAULT);
    for (unsigned i = 0; i < resolved.count; i++)
        must(resolved.keys[i].monthly_limit > 0 && resolved.keys[i].rotate_ms != 0);
}

static void write_policy(struct buffer *xml, const struct policy *policy)
{
    static const char *const flags[] = {"", " required='yes'", " required='no'"};
    static const char *const boot_flags[] = {"", " boot-credential='yes'", " boot-credential='no'"};
    must(buffer_printf(xml, "<metadata><v:vm xmlns:v='" DOMAIN_XML_NAMESPACE "'%s%s", flags[policy->required],
                       boot_flags[policy->boot_credential]));
    if (policy->owner[0])
        must(buffer_printf(xml, " owner='%s'", policy->owner));
    if (policy->readers[0])
        must(buffer_printf(xml, " readers='%s'", policy->readers));
    must(buffer_append_text(xml, ">"));
    for (unsigned i = 0; i < policy->count; i++) {
        const struct policy_key *key = &policy->keys[i];
        must(buffer_printf(xml, "<v:key provider='%s'", key->provider));
        if (key->environment[0])
            must(buffer_printf(xml, " environment='%s'", key->environment));
        if (key->monthly_limit)
            must(buffer_printf(xml, " monthly-limit='%" PRId64 ".%06" PRId64 "'", key->monthly_limit / 1000000,
                               key->monthly_limit % 1000000));
        if (key->rotate_ms == POLICY_NEVER)
            must(buffer_append_text(xml, " rotate='never'"));
        else if (key->rotate_ms)
            must(buffer_printf(xml, " rotate='%" PRId64 "ms'", key->rotate_ms));
        if (key->overlap_ms)
            must(buffer_printf(xml, " overlap='%" PRId64 "ms'", key->overlap_ms == POLICY_NO_OVERLAP ? 0 : key->overlap_ms));
        if (key->on_stop)
            must(buffer_printf(xml, " on-stop='%s'", policy_fate_name(key->on_stop)));
        if (key->on_save)
            must(buffer_printf(xml, " on-save='%s'", policy_fate_name(key->on_save)));
        if (key->over_budget)
            must(buffer_printf(xml, " over-budget='%s'", policy_fate_name(key->over_budget)));
        must(buffer_append_text(xml, "/>"));
    }
    must(buffer_append_text(xml, "</v:vm></metadata>"));
}

static bool same_policy(const struct policy *a, const struct policy *b)
{
    bool same = a->count == b->count && a->required == b->required && a->boot_credential == b->boot_credential &&
                strcmp(a->owner, b->owner) == 0 &&
                strcmp(a->readers, b->readers) == 0;
    for (unsigned i = 0; same && i < a->count; i++)
        same = strcmp(a->keys[i].provider, b->keys[i].provider) == 0 &&
               strcmp(a->keys[i].environment, b->keys[i].environment) == 0 &&
               a->keys[i].monthly_limit == b->keys[i].monthly_limit && a->keys[i].rotate_ms == b->keys[i].rotate_ms &&
               a->keys[i].overlap_ms == b->keys[i].overlap_ms && a->keys[i].on_stop == b->keys[i].on_stop &&
               a->keys[i].on_save == b->keys[i].on_save && a->keys[i].over_budget == b->keys[i].over_budget;
    return same;
}

/* What was understood, written down anew, is understood as the same. */
static void check_written(const struct domain_xml *domain)
{
    struct buffer xml = BUFFER_INIT(64 * 1024);
    struct domain_xml again;
    struct error err = ERROR_INIT;
    must(buffer_printf(&xml, "<domain><name>x</name><uuid>%s</uuid>", domain->uuid));
    write_policy(&xml, &domain->metadata);
    must(buffer_append_text(&xml, "</domain>"));
    must_succeed(domain_xml_read(buffer_text(&xml), xml.length, &again, &err), err);
    must(again.metadata_error.code == ERROR_NONE && again.has_metadata);
    must(same_policy(&again.metadata, &domain->metadata));
    buffer_clear(&xml);
}

/* The document as libxml2 writes it, which is what libvirt gives to hooks of the parts that matter here. */
static void check_hook(const char *text, size_t size, const struct domain_xml *domain)
{
    xmlDoc *doc = xmlReadMemory(text, (int)size, NULL, "UTF-8", XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlChar *written = NULL;
    int length = 0;
    must(doc);
    xmlDocDumpMemoryEnc(doc, &written, &length, "UTF-8");
    must(written);
    struct hook_domain_xml hook = hook_domain_xml_read((const char *)written, (size_t)length);
    /* More declarations than it keeps are nothing that libvirt or a tool would write. */
    size_t declarations = 0;
    for (const char *at = (const char *)written; (at = strstr(at, "xmlns")); at++)
        declarations++;
    if (declarations <= DECLARATIONS_MAX && domain->metadata_error.code == ERROR_NONE) {
        must(hook.has_vm == domain->has_metadata && hook.has_keys == (domain->metadata.count > 0));
        must((hook.required == DOMAIN_REQUIRED_YES) == (domain->metadata.required == POLICY_FLAG_YES) &&
             (hook.required == DOMAIN_REQUIRED_NO) == (domain->metadata.required == POLICY_FLAG_NO));
    }
    /* libvirt writes a UUID without anything inside of it. */
    must(!hook.uuid[0] || strcmp(hook.uuid, domain->uuid) == 0);
    xmlFree(written);
    xmlFreeDoc(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy nothing;
    struct domain_xml domain;
    struct error err = ERROR_INIT;
    struct hook_domain_xml hook = hook_domain_xml_read((const char *)data, size);
    must(!hook.uuid[0] || is_uuid(hook.uuid));
    if (!domain_xml_read((const char *)data, size, &domain, &err)) {
        must(err.code == ERROR_INVALID || err.code == ERROR_LIMIT);
        fuzz_check_error(&err);
        return 0;
    }
    must(is_uuid(domain.uuid));
    must(domain.name[0] && memchr(domain.name, '\0', sizeof domain.name));
    for (const char *at = domain.name; *at; at++)
        must((unsigned char)*at >= ' ' && *at != 127);
    must(domain.has_agent_channel || !domain.agent_connected);
    must(domain.boot_entry <= DOMAIN_BOOT_TEXT);
    fuzz_check_error(&domain.metadata_error);
    if (domain.metadata_error.code != ERROR_NONE) {
        must(domain.has_metadata && same_policy(&domain.metadata, &nothing));
    } else {
        check_policy(&domain.metadata);
        check_written(&domain);
    }
    check_hook((const char *)data, size, &domain);
    return 0;
}
