/* Only the places that libvirt's own format names are looked at: direct children, without a namespace, by path.
 * Whatever else stands in a domain's XML, elements of the same names in other places included, means nothing here. */
#include "host/domain_xml.h"

#include "base/boot-credential.h"
#include "base/cleanup.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FAMILY "urn:llmhook"
#define AGENT_CHANNEL "org.qemu.guest_agent.0"

bool domain_xml_is_ours(const char *uri)
{
    size_t length = strlen(FAMILY);
    return strncasecmp(uri, FAMILY, length) == 0 && (uri[length] == '\0' || uri[length] == ':');
}

static void cleanup_xml_text(xmlChar **text)
{
    xmlFree(*text);
}
#define cleanup_text __attribute__((cleanup(cleanup_xml_text)))

static void cleanup_xml_doc(xmlDoc **doc)
{
    xmlFreeDoc(*doc);
}

static void cleanup_xml_context(xmlParserCtxt **context)
{
    xmlFreeParserCtxt(*context);
}

/* Somebody else's text for an error: shortened, printable ASCII only. */
struct shown {
    char text[64];
};

static const char *show(const xmlChar *text, struct shown *ret_shown)
{
    size_t i;
    for (i = 0; text[i] && i < sizeof ret_shown->text - 4; i++)
        ret_shown->text[i] = text[i] >= ' ' && text[i] <= '~' ? (char)text[i] : '?';
    memcpy(ret_shown->text + i, text[i] ? "..." : "\0\0\0", 4);
    return ret_shown->text;
}

/* --- walking --- */

static bool is_plain_element(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && !node->ns && strcmp((const char *)node->name, name) == 0;
}

/* The first element NAME from NODE on, among its siblings. */
static xmlNode *find(xmlNode *node, const char *name)
{
    while (node && !is_plain_element(node, name))
        node = node->next;
    return node;
}

static bool attribute_is(xmlNode *node, const char *name, const char *wanted)
{
    cleanup_text xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
    return value && strcmp((const char *)value, wanted) == 0;
}

/* --- the domain's own facts --- */

/* libvirt's form alone, in either case. */
static bool read_uuid(xmlNode *domain, char uuid[RECORD_UUID_SIZE], struct error *err)
{
    xmlNode *node = find(domain->children, "uuid");
    cleanup_text xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
    struct shown shown;
    if (!text)
        return error_set(err, ERROR_INVALID, "the domain's XML has no uuid");
    for (size_t i = 0; i < RECORD_UUID_SIZE; i++) {
        char c = (char)text[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (i == RECORD_UUID_SIZE - 1 ? c != '\0' : dash ? c != '-' : !hex)
            return error_set(err, ERROR_INVALID, "the domain's uuid is '%s', which is none", show(text, &shown));
        uuid[i] = c;
    }
    return true;
}

static bool read_name(xmlNode *domain, char name[RECORD_NAME_SIZE], struct error *err)
{
    xmlNode *node = find(domain->children, "name");
    cleanup_text xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
    if (!text || !text[0])
        return error_set(err, ERROR_INVALID, "the domain's XML has no name");
    size_t length = strlen((const char *)text);
    if (length >= RECORD_NAME_SIZE)
        return error_set(err, ERROR_INVALID, "the domain's name is longer than %d bytes", RECORD_NAME_SIZE - 1);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] == 127)
            return error_set(err, ERROR_INVALID, "the domain's name has a control character in it");
    }
    memcpy(name, text, length + 1);
    return true;
}

static void read_agent_channel(xmlNode *domain, struct domain_xml *xml)
{
    xmlNode *devices = find(domain->children, "devices");
    for (xmlNode *channel = devices ? devices->children : NULL; channel; channel = channel->next) {
        xmlNode *target = is_plain_element(channel, "channel") ? find(channel->children, "target") : NULL;
        if (!target || !attribute_is(target, "type", "virtio") || !attribute_is(target, "name", AGENT_CHANNEL))
            continue;
        xml->has_agent_channel = true;
        if (attribute_is(target, "state", "connected"))
            xml->agent_connected = true;
    }
}

/* Of several entries of one name the first counts; QEMU refuses more. */
static void read_boot_entry(xmlNode *domain, struct domain_xml *xml)
{
    char wanted[sizeof BOOT_CREDENTIAL_FOLDER BOOT_CREDENTIAL_SUFFIX + RECORD_UUID_SIZE];
    snprintf(wanted, sizeof wanted, BOOT_CREDENTIAL_FOLDER "/%s" BOOT_CREDENTIAL_SUFFIX, xml->uuid);
    for (xmlNode *info = find(domain->children, "sysinfo"); info; info = find(info->next, "sysinfo")) {
        if (!attribute_is(info, "type", "fwcfg"))
            continue;
        for (xmlNode *entry = find(info->children, "entry"); entry; entry = find(entry->next, "entry")) {
            if (xml->boot_entry != DOMAIN_BOOT_NONE || !attribute_is(entry, "name", BOOT_CREDENTIAL_ENTRY))
                continue;
            xml->boot_entry = !xmlHasProp(entry, (const xmlChar *)"file") ? DOMAIN_BOOT_TEXT
                              : attribute_is(entry, "file", wanted)        ? DOMAIN_BOOT_FILE
                                                                           : DOMAIN_BOOT_OTHER_FILE;
        }
    }
}

/* --- our element --- */

/* Reads one attribute's VALUE into what CONTEXT is; the error's text is a sentence about the value. */
typedef bool attribute_fn(void *context, const char *value, struct error *err);

struct attribute {
    const char *name; /* NULL ends a table */
    attribute_fn *read;
};

/* A llmhook:vm: its policy, and what its keys have unless they say otherwise. */
struct vm {
    struct policy *policy;
    struct policy_key defaults;
};

static bool wrong(const char *value, const char *remedy, struct error *err)
{
    struct shown shown;
    return error_set(err, ERROR_INVALID, "'%s' cannot be used: write %s", show((const xmlChar *)value, &shown), remedy);
}

static bool read_owner(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    if (!policy_owner_valid(value))
        return wrong(value, "up to 64 letters, digits and . _ @ + -, beginning with a letter or digit", err);
    snprintf(vm->policy->owner, sizeof vm->policy->owner, "%s", value);
    return true;
}

static bool read_required(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_flag(value, &vm->policy->required, err);
}

static bool read_boot_credential(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_flag(value, &vm->policy->boot_credential, err);
}

static bool read_readers(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    if (!policy_readers_valid(value))
        return wrong(value, "humans, root, everybody or group:NAME", err);
    snprintf(vm->policy->readers, sizeof vm->policy->readers, "%s", value);
    return true;
}

static bool read_vm_monthly_limit(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_dollars(value, &vm->defaults.monthly_limit, err);
}

static bool read_vm_rotate(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_rotation(value, &vm->defaults.rotate_ms, err);
}

static bool read_vm_overlap(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_overlap(value, &vm->defaults.overlap_ms, err);
}

static bool read_vm_on_stop(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_on_stop(value, &vm->defaults.on_stop, err);
}

static bool read_vm_on_save(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_on_save(value, &vm->defaults.on_save, err);
}

static bool read_vm_over_budget(void *context, const char *value, struct error *err)
{
    struct vm *vm = context;
    return policy_parse_over_budget(value, &vm->defaults.over_budget, err);
}

static const struct attribute vm_attributes[] = {
    {"owner", read_owner}, {"required", read_required}, {"boot-credential", read_boot_credential}, {"readers", read_readers},
    {"monthly-limit", read_vm_monthly_limit}, {"rotate", read_vm_rotate}, {"overlap", read_vm_overlap},
    {"on-stop", read_vm_on_stop}, {"on-save", read_vm_on_save}, {"over-budget", read_vm_over_budget}, {NULL, NULL},
};

static bool read_provider(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    if (!policy_provider_valid(value))
        return wrong(value, "the name of a provider in llmhook.conf", err);
    snprintf(key->provider, sizeof key->provider, "%s", value);
    return true;
}

static bool read_monthly_limit(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    return policy_parse_dollars(value, &key->monthly_limit, err);
}

static bool read_rotate(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    return policy_parse_rotation(value, &key->rotate_ms, err);
}

static bool read_overlap(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    return policy_parse_overlap(value, &key->overlap_ms, err);
}

static bool read_on_stop(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    return policy_parse_on_stop(value, &key->on_stop, err);
}

static bool read_on_save(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    return policy_parse_on_save(value, &key->on_save, err);
}

static bool read_over_budget(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    return policy_parse_over_budget(value, &key->over_budget, err);
}

static bool read_environment(void *context, const char *value, struct error *err)
{
    struct policy_key *key = context;
    /* Not quoted: somebody may write NAME=KEY here. */
    if (!policy_environment_valid(value))
        return error_set(err, ERROR_INVALID,
                         "this cannot be the key's variable: write capitals, digits and _, and no name that shells act on");
    snprintf(key->environment, sizeof key->environment, "%s", value);
    return true;
}

static const struct attribute key_attributes[] = {
    {"provider", read_provider}, {"monthly-limit", read_monthly_limit}, {"rotate", read_rotate},
    {"overlap", read_overlap}, {"on-stop", read_on_stop}, {"on-save", read_on_save}, {"over-budget", read_over_budget},
    {"environment", read_environment}, {NULL, NULL},
};

static bool unknown_attribute(const char *element, const xmlChar *name, const struct attribute *table, struct error *err)
{
    struct shown shown;
    error_set(err, ERROR_INVALID, "llmhook:%s has no attribute '%s': write", element, show(name, &shown));
    for (const struct attribute *known = table; known->name; known++) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, "%s%s", known == table ? " " : known[1].name ? ", " : " or ",
                 known->name);
    }
    return false;
}

/* Attributes of other namespaces belong to others; ours have none, as attributes usually do. */
static bool read_attributes(xmlNode *node, const char *element, const struct attribute *table, void *context, struct error *err)
{
    struct shown shown;
    for (xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        if (attribute->ns) {
            if (!domain_xml_is_ours((const char *)attribute->ns->href))
                continue;
            return error_set(err, ERROR_INVALID, "llmhook:%s: write its attribute '%s' without a prefix", element,
                             show(attribute->name, &shown));
        }
        const struct attribute *known = table;
        while (known->name && strcmp(known->name, (const char *)attribute->name) != 0)
            known++;
        if (!known->name)
            return unknown_attribute(element, attribute->name, table, err);
        cleanup_text xmlChar *value = xmlNodeGetContent((xmlNode *)attribute);
        if (!value)
            return error_set(err, ERROR_IO, "llmhook:%s: there is no memory to read %s", element, known->name);
        if (!known->read(context, (const char *)value, err))
            return error_prefix(err, "llmhook:%s, attribute %s", element, known->name);
    }
    return true;
}

/* Says whether NODE is an element to be read (*RET_NODE), is nothing to us (NULL), or must not be there (false). */
static bool next_child(xmlNode *node, const char *parent, const char *wanted, xmlNode **ret_node, struct error *err)
{
    struct shown shown;
    *ret_node = NULL;
    if (node->type == XML_COMMENT_NODE || node->type == XML_PI_NODE || xmlIsBlankNode(node))
        return true;
    if (node->type != XML_ELEMENT_NODE)
        return error_set(err, ERROR_INVALID, "there is text inside llmhook:%s: remove it", parent);
    if (!node->ns)
        return error_set(err, ERROR_INVALID, "'%s' inside llmhook:%s is in no namespace: write llmhook:%s",
                         show(node->name, &shown),
                         parent, wanted ? wanted : "vm around it");
    if (!domain_xml_is_ours((const char *)node->ns->href))
        return true;
    if (!wanted || strcmp((const char *)node->ns->href, DOMAIN_XML_NAMESPACE) != 0 ||
        strcmp((const char *)node->name, wanted) != 0)
        return error_set(err, ERROR_INVALID, "there is no element '%s' (%s) inside llmhook:%s: remove it",
                         show(node->name, &shown),
                         strcmp((const char *)node->ns->href, DOMAIN_XML_NAMESPACE) == 0 ? DOMAIN_XML_NAMESPACE
                                                                                         : "of another version",
                         parent);
    *ret_node = node;
    return true;
}

static bool read_key(xmlNode *node, const struct vm *vm, struct error *err)
{
    struct policy_key key = vm->defaults;
    xmlNode *ignored;
    if (!read_attributes(node, "key", key_attributes, &key, err))
        return false;
    if (!key.provider[0])
        return error_set(err, ERROR_INVALID, "a llmhook:key has no attribute provider: write provider=\"NAME\"");
    for (xmlNode *child = node->children; child; child = child->next) {
        if (!next_child(child, "key", NULL, &ignored, err))
            return false;
    }
    for (unsigned i = 0; i < vm->policy->count; i++) {
        const struct policy_key *other = &vm->policy->keys[i];
        if (strcmp(other->provider, key.provider) == 0)
            return error_set(err, ERROR_INVALID, "llmhook:key, attribute provider: '%s' is there twice: keep one", key.provider);
        if (key.environment[0] && strcmp(other->environment, key.environment) == 0)
            return error_set(err, ERROR_INVALID, "llmhook:key, attribute environment: '%s' is there twice: write another name",
                             key.environment);
    }
    if (vm->policy->count == POLICY_KEYS_MAX)
        return error_set(err, ERROR_INVALID, "llmhook:vm has more than %d llmhook:key: remove some", POLICY_KEYS_MAX);
    vm->policy->keys[vm->policy->count++] = key;
    return true;
}

static bool read_vm(xmlNode *node, struct policy *policy, struct error *err)
{
    struct vm vm = {.policy = policy};
    if (!read_attributes(node, "vm", vm_attributes, &vm, err))
        return false;
    for (xmlNode *child = node->children; child; child = child->next) {
        xmlNode *key;
        if (!next_child(child, "vm", "key", &key, err) || (key && !read_key(key, &vm, err)))
            return false;
    }
    return true;
}

/* Whether NODE, a child of <metadata>, was meant for us. */
static bool is_ours(const xmlNode *node)
{
    if (node->type != XML_ELEMENT_NODE)
        return false;
    if (node->ns)
        return domain_xml_is_ours((const char *)node->ns->href);
    /* Where a prefix was never declared libxml2 leaves it in the name. */
    return strncmp((const char *)node->name, "llmhook:", strlen("llmhook:")) == 0;
}

static bool check_vm(const xmlNode *node, bool seen, struct error *err)
{
    struct shown shown;
    if (!node->ns)
        return error_set(err, ERROR_INVALID, "the prefix of '%s' is not declared: write xmlns:llmhook=\"" DOMAIN_XML_NAMESPACE
                         "\" into it",
                         show(node->name, &shown));
    if (strcmp((const char *)node->ns->href, DOMAIN_XML_NAMESPACE) != 0)
        return error_set(err, ERROR_INVALID, "the namespace %s is not one that this llmhook knows: write " DOMAIN_XML_NAMESPACE
                         " or install a newer llmhook", show(node->ns->href, &shown));
    if (strcmp((const char *)node->name, "vm") != 0)
        return error_set(err, ERROR_INVALID,
                         "there is no element '%s' (" DOMAIN_XML_NAMESPACE ") inside metadata: write llmhook:vm",
                         show(node->name, &shown));
    if (seen)
        return error_set(err, ERROR_INVALID, "there are two llmhook:vm: put all into one");
    return true;
}

static void read_metadata(xmlNode *domain, struct domain_xml *xml)
{
    bool good = true;
    for (xmlNode *metadata = find(domain->children, "metadata"); metadata; metadata = find(metadata->next, "metadata")) {
        for (xmlNode *node = metadata->children; node && good; node = node->next) {
            if (!is_ours(node))
                continue;
            good = check_vm(node, xml->has_metadata, &xml->metadata_error) && read_vm(node, &xml->metadata, &xml->metadata_error);
            xml->has_metadata = true;
        }
    }
    /* Half a policy must not be taken for one. */
    if (!good)
        memset(&xml->metadata, 0, sizeof xml->metadata);
}

/* --- parsing --- */

/* Called at a <!DOCTYPE, before any entity is declared: here reading ends. */
static void refuse_document_type(void *context, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxt *parser = context;
    (void)name;
    (void)external;
    (void)system;
    *(bool *)parser->_private = true;
    xmlStopParser(parser);
}

static bool parse(const char *text, size_t length, xmlDoc **ret_doc, struct error *err)
{
    /* NOERROR and NOWARNING: libxml2 prints nothing; the error is still kept for us. Neither NOENT, DTDLOAD nor HUGE:
     * entities stay unexpanded, depth and size stay bounded. libvirt writes UTF-8, whatever a declaration may say. */
    static const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA;
    __attribute__((cleanup(cleanup_xml_context))) xmlParserCtxt *context = xmlNewParserCtxt();
    bool has_document_type = false;
    if (!context)
        return error_set(err, ERROR_IO, "there is no memory to read the domain's XML");
    context->_private = &has_document_type;
    context->sax->internalSubset = refuse_document_type;
    xmlDoc *doc = xmlCtxtReadMemory(context, text, (int)length, NULL, "UTF-8", options);
    if (has_document_type) {
        xmlFreeDoc(doc);
        return error_set(err, ERROR_INVALID, "the domain's XML has a document type, which libvirt never writes");
    }
    if (!doc) {
        const xmlError *last = xmlCtxtGetLastError(context);
        const char *message = last && last->message ? last->message : "it is empty";
        char why[80];
        struct shown shown;
        /* libxml2 ends its messages with a line feed. */
        snprintf(why, sizeof why, "%.*s", (int)strcspn(message, "\n"), message);
        return error_set(err, ERROR_INVALID, "the domain's XML cannot be read: line %d: %s", last ? last->line : 1,
                         show((const xmlChar *)why, &shown));
    }
    *ret_doc = doc;
    return true;
}

bool domain_xml_read(const char *xml, size_t length, struct domain_xml *ret, struct error *err)
{
    __attribute__((cleanup(cleanup_xml_doc))) xmlDoc *doc = NULL;
    struct domain_xml result;
    if (length > DOMAIN_XML_MAX)
        return error_set(err, ERROR_LIMIT, "the domain's XML is longer than %d bytes", DOMAIN_XML_MAX);
    if (!parse(xml, length, &doc, err))
        return false;
    xmlNode *domain = xmlDocGetRootElement(doc);
    if (!domain || !is_plain_element(domain, "domain"))
        return error_set(err, ERROR_INVALID, "the XML is not a domain's");
    memset(&result, 0, sizeof result);
    if (!read_uuid(domain, result.uuid, err) || !read_name(domain, result.name, err))
        return false;
    read_agent_channel(domain, &result);
    read_boot_entry(domain, &result);
    read_metadata(domain, &result);
    *ret = result;
    return true;
}
