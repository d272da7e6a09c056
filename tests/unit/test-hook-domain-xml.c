/* What the hook reads out of a domain's XML itself: the UUID, and what it says itself of keys. */
#include "check.h"

#include "../../hooks/domain-xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define URN "urn:llmhook:vm:1"

/* A copy of exactly LENGTH bytes, so that reading beyond them shows under ASan and valgrind. */
static struct domain_xml read_exactly(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    struct domain_xml domain = domain_xml_read(copy, length);
    free(copy);
    return domain;
}

static struct domain_xml read_text(const char *text)
{
    return read_exactly(text, strlen(text));
}

static void test_required(void **state)
{
    static const char *const rows[] = {
        "<domain><metadata><llmhook:vm xmlns:llmhook=\"" URN "\" required=\"yes\"/></metadata></domain>",
        "<domain><metadata><l:vm xmlns:l='" URN "' required='true'></l:vm></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' required='on'/></metadata></domain>",
        "<domain><metadata><vm required='1' xmlns='" URN "'/></metadata></domain>",
        "<domain><metadata><a:vm\n\trequired = \"yes\"\r\n xmlns:a\n=\n'" URN "'\n></a:vm ></metadata></domain>",
        "<domain><metadata xmlns:a='" URN "'><a:vm required='yes'/></metadata></domain>",
        "<domain xmlns:a='" URN "'><metadata><a:vm required='yes'/></metadata></domain>",
        "<domain xmlns:a='urn:other'><metadata><a:vm xmlns:a='" URN "' required='yes'/></metadata></domain>",
        "<?xml version='1.0'?><!DOCTYPE domain><!-- <a> --><domain type='kvm'><name>x</name>"
        "<title><![CDATA[<metadata>]]></title><metadata><o:o xmlns:o='urn:o'><o:p required='no'/></o:o>"
        "<!-- <l:vm required='no'/> --><l:vm xmlns:l='" URN "' owner='a>b' required='yes'>"
        "<l:key provider='openai'/></l:vm></metadata></domain>",
        "<domain><metadata/><devices/><metadata><vm xmlns='" URN "' required='yes'/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' required='yes'/></metadata>", /* cut behind it */
        "<domain><!--><metadata><x></metadata>--><metadata><vm xmlns='" URN "' required='yes'/></metadata></domain>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (read_text(rows[i]).required != DOMAIN_REQUIRED_YES)
            fail_msg("not seen: %s", rows[i]);
    }
}

static void test_not_required(void **state)
{
    static const char *const rows[] = {
        "",
        "not XML at all",
        "<",
        "<domain/>",
        "<domain><metadata/></domain>",
        "<domain><metadata><vm xmlns='" URN "'/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' required='no'/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' required=''/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' required='yes!'/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' not-required='yes'/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "' required=yes/></metadata></domain>",
        "<domain><metadata><vm xmlns='" URN "2' required='yes'/></metadata></domain>",
        "<domain><metadata><vm xmlns='urn:llmhook:vm' required='yes'/></metadata></domain>",
        "<domain><metadata><vm required='yes'/></metadata></domain>",
        "<domain><metadata><llmhook:vm required='yes'/></metadata></domain>",
        "<domain><metadata><l:key xmlns:l='" URN "' required='yes'/></metadata></domain>",
        "<domain><metadata><l:vm xmlns:l='" URN "'><l:key required='yes'/></l:vm></metadata></domain>",
        "<domain><metadata><vm xmlns:l='" URN "' required='yes'/></metadata></domain>",
        "<domain><metadata><l:vm xmlns='" URN "' required='yes'/></metadata></domain>",
        "<domain xmlns:a='" URN "'><metadata><a:vm xmlns:a='urn:other' required='yes'/></metadata></domain>",
        /* a declaration ends with its element */
        "<domain><metadata><o xmlns:l='" URN "'/><l:vm required='yes'/></metadata></domain>",
        "<domain><metadata><o xmlns:l='" URN "'></o><l:vm required='yes'/></metadata></domain>",
        "<domain><devices xmlns:l='" URN "'></devices><metadata><l:vm required='yes'/></metadata></domain>",
        /* somewhere else */
        "<domain><!--<metadata><vm xmlns='" URN "' required='yes'/></metadata>--></domain>",
        "<domain><metadata><!-- <vm xmlns='" URN "' required='yes'/> --></metadata></domain>",
        "<domain><metadata><![CDATA[<vm xmlns='" URN "' required='yes'/>]]></metadata></domain>",
        "<domain><metadata><o><![CDATA[</o><vm xmlns='" URN "' required='yes'/>]]></o></metadata></domain>",
        "<domain><metadata><?pi <vm xmlns='" URN "' required='yes'/> ?></metadata></domain>",
        "<domain><metadata></metadata><vm xmlns='" URN "' required='yes'/></domain>",
        "<domain><devices><vm xmlns='" URN "' required='yes'/></devices></domain>",
        "<domain xmlns:a='" URN "'><devices><a:vm required='yes'/></devices></domain>",
        "<domain xmlns:a='" URN "'><metadata/><devices><a:vm required='yes'/></devices></domain>",
        "<domain xmlns:a='" URN "'><metadata></metadata><devices><a:vm required='yes'/></devices></domain>",
        "<domain><devices><metadata><vm xmlns='" URN "' required='yes'/></metadata></devices></domain>",
        "<domain><metadata><o><vm xmlns='" URN "' required='yes'/></o></metadata></domain>",
        "<metadata><vm xmlns='" URN "' required='yes'/></metadata>",
        "<domain><metadata><o a=\"<vm xmlns='" URN "' required='yes'/>\"/></metadata></domain>",
        "<domain><metadata><o a='required' b='" URN "'/></metadata></domain>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (read_text(rows[i]).required == DOMAIN_REQUIRED_YES)
            fail_msg("seen in: %s", rows[i]);
    }
}

static void test_own_element(void **state)
{
    static const struct {
        const char *xml;
        bool vm, keys;
        enum domain_required required;
    } rows[] = {
        {"<domain><metadata><vm xmlns='" URN "'/></metadata></domain>", true, false, DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><vm xmlns='" URN "'></vm></metadata></domain>", true, false, DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><vm xmlns='" URN "'><key/></vm></metadata></domain>", true, true, DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><l:vm xmlns:l='" URN "'>\n<l:key provider='a'></l:key><l:key/></l:vm></metadata></domain>",
         true, true, DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><l:vm xmlns:l='" URN "'><k:key xmlns:k='" URN "'/></l:vm></metadata></domain>", true, true,
         DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><l:vm xmlns:l='" URN "' required='no'><l:key/></l:vm></metadata></domain>", true, true,
         DOMAIN_REQUIRED_NO},
        {"<domain><metadata><l:vm xmlns:l='" URN "' required='?'/></metadata></domain>", true, false, DOMAIN_REQUIRED_NO},
        {"<domain><metadata><l:vm xmlns:l='" URN "' required='1'/><o><l:key/></o></metadata></domain>", true, false,
         DOMAIN_REQUIRED_YES},
        /* keys of somebody else's, or somewhere else */
        {"<domain><metadata><l:vm xmlns:l='" URN "'><key/></l:vm></metadata></domain>", true, false, DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><vm xmlns='" URN "'><key xmlns='urn:o'/></vm></metadata></domain>", true, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><vm xmlns='" URN "'><o:o xmlns:o='urn:o'><key/></o:o></vm></metadata></domain>", true, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata><vm xmlns='" URN "'><!-- <key/> --></vm></metadata></domain>", true, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain xmlns:l='" URN "'><metadata><l:vm/></metadata><o><l:vm><l:key/></l:vm></o><l:key/></domain>", true, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain xmlns:l='" URN "'><metadata><l:key/><o><l:key/></o></metadata></domain>", false, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata/></domain>", false, false, DOMAIN_REQUIRED_OPEN},
        /* libvirt's elements are in no namespace: this is none of them */
        {"<domain><metadata xmlns='" URN "'><vm required='yes'><key/></vm></metadata></domain>", false, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain><metadata xmlns='urn:o'><l:vm xmlns:l='" URN "' required='yes'/></metadata></domain>", false, false,
         DOMAIN_REQUIRED_OPEN},
        {"<domain xmlns='urn:o'><metadata xmlns=''><l:vm xmlns:l='" URN "' required='yes'/></metadata></domain>", true, false,
         DOMAIN_REQUIRED_YES},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct domain_xml domain = read_text(rows[i].xml);
        if (domain.has_vm != rows[i].vm || domain.has_keys != rows[i].keys || domain.required != rows[i].required)
            fail_msg("vm %d, keys %d, required %d in: %s", domain.has_vm, domain.has_keys, domain.required, rows[i].xml);
    }
}

static void test_uuid(void **state)
{
    static const struct {
        const char *xml, *uuid;
    } rows[] = {
        {"<domain><name>a</name><uuid>" UUID "</uuid></domain>", UUID},
        {"<domain><uuid>\n  6BA7B810-9DAD-11D1-80B4-00C04FD430C8 \t</uuid></domain>", UUID},
        {"<domain type='kvm'><uuid >" UUID "</uuid ></domain>", UUID},
        {"<domain><title>&lt;uuid></title><description><![CDATA[<uuid>x</uuid>]]></description><uuid>" UUID "</uuid>"
         "</domain>", UUID},
        {"<domain><metadata><uuid>11111111-1111-1111-1111-111111111111</uuid></metadata><uuid>" UUID "</uuid></domain>",
         UUID},
        {"<domain><uuid>" UUID "</uuid><uuid>11111111-1111-1111-1111-111111111111</uuid></domain>", UUID},
        {"<domain><sysinfo><system><entry name='uuid'>" UUID "</entry></system></sysinfo></domain>", ""},
        {"<domain><!-- <uuid>" UUID "</uuid> --></domain>", ""},
        {"<domain><uuid xmlns='urn:o'>" UUID "</uuid></domain>", ""},
        {"<domain><metadata><uuid>" UUID "</uuid></metadata></domain>", ""},
        {"<uuid>" UUID "</uuid>", ""},
        {"<domain><uuid/>" UUID "</domain>", ""},
        {"<domain><uuid></uuid></domain>", ""},
        {"<domain><uuid>" UUID, ""},
        {"<domain><uuid>" UUID "0</uuid></domain>", ""},
        {"<domain><uuid>6ba7b8109dad11d180b400c04fd430c8</uuid></domain>", ""},
        {"<domain><uuid>6ba7b810-9dad-11d1-80b4-00c04fd430cg</uuid></domain>", ""},
        {"<domain><uuid>../../../../../../../../../../etc/x</uuid></domain>", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct domain_xml domain = read_text(rows[i].xml);
        if (strcmp(domain.uuid, rows[i].uuid) != 0)
            fail_msg("'%s' instead of '%s' from %s", domain.uuid, rows[i].uuid, rows[i].xml);
    }
}

#define BOOT "<entry name='opt/io.systemd.credentials/llmhook.env' file='/run/llmhookd/boot/" UUID ".env'/>"
#define HEAD "<domain><uuid>" UUID "</uuid>"

static void test_boot_credential(void **state)
{
    static const struct {
        const char *xml;
        bool found;
    } rows[] = {
        {HEAD "<sysinfo type='fwcfg'>" BOOT "</sysinfo></domain>", true},
        {HEAD "<sysinfo type='smbios'><system/></sysinfo><sysinfo type='fwcfg'><entry name='opt/o'>x</entry>" BOOT
         "</sysinfo></domain>",
         true},
        {"<domain><sysinfo type='fwcfg'>" BOOT "</sysinfo><uuid>" UUID "</uuid></domain>", true},
        {HEAD "<sysinfo type='fwcfg'>" BOOT, true}, /* cut behind it */
        {"<domain><sysinfo type='fwcfg'>" BOOT "</sysinfo></domain>", false},
        {"<domain><uuid>11111111-1111-1111-1111-111111111111</uuid><sysinfo>" BOOT "</sysinfo></domain>", false},
        {HEAD "<sysinfo><entry name='opt/io.systemd.credentials/llmhook.env'>x</entry></sysinfo></domain>", false},
        {HEAD "<sysinfo><entry name='opt/io.systemd.credentials/llmhook.env' file=''/></sysinfo></domain>", false},
        {HEAD "<sysinfo><entry name='opt/io.systemd.credentials/llmhook.env' file='/run/llmhookd/boot/../" UUID
         ".env'/></sysinfo></domain>",
         false},
        {HEAD "<sysinfo><entry name='opt/other' file='/run/llmhookd/boot/" UUID ".env'/></sysinfo></domain>", false},
        {HEAD "<sysinfo><entry file='/run/llmhookd/boot/" UUID ".env'/></sysinfo></domain>", false},
        {HEAD "<metadata>" BOOT "</metadata></domain>", false},
        {HEAD "<sysinfo/>" BOOT "</domain>", false},
        {HEAD "<sysinfo xmlns='urn:o'>" BOOT "</sysinfo></domain>", false},
        {HEAD "<sysinfo><entry xmlns='urn:o' name='opt/io.systemd.credentials/llmhook.env' file='/run/llmhookd/boot/" UUID
         ".env'/></sysinfo></domain>",
         false},
        {HEAD "<sysinfo><o>" BOOT "</o></sysinfo></domain>", false},
        {HEAD "<sysinfo><!-- " BOOT " --></sysinfo></domain>", false},
        {HEAD "<devices><sysinfo>" BOOT "</sysinfo></devices></domain>", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (read_text(rows[i].xml).boot_credential != rows[i].found)
            fail_msg("%sseen in: %s", rows[i].found ? "not " : "", rows[i].xml);
    }
}

static void test_no_text(void **state)
{
    (void)state;
    struct domain_xml domain = domain_xml_read(NULL, 0);
    assert_string_equal(domain.uuid, "");
    assert_false(domain.has_vm);
}

static void test_more_declarations_than_kept(void **state)
{
    char xml[4096] = "<domain><metadata><vm xmlns='" URN "' required='yes'";
    (void)state;
    for (int i = 0; i < 100; i++) {
        size_t used = strlen(xml);
        snprintf(xml + used, sizeof xml - used, " xmlns:p%d='urn:p'", i);
    }
    strcat(xml, "/></metadata></domain>");
    assert_int_equal(read_text(xml).required, DOMAIN_REQUIRED_YES);
}

static const char typical[] =
    "<?xml version='1.0'?><!-- c --><domain type='kvm' id='1' xmlns:q='urn:q'>\n"
    "  <name>dev</name>\n  <uuid>" UUID "</uuid>\n"
    "  <metadata>\n    <o:x xmlns:o='urn:o'><![CDATA[ <vm> ]]></o:x>\n"
    "    <l:vm xmlns:l=\"" URN "\" required = 'yes'><l:key provider='openai'/></l:vm>\n"
    "  </metadata>\n  <devices><disk/></devices>\n</domain>\n";

static void test_truncations(void **state)
{
    const char *uuid_end = strstr(typical, "</uuid>") + 1;
    const char *vm_end = strstr(typical, "'yes'>") + 6;
    (void)state;
    for (const char *end = typical; end < typical + sizeof typical; end++) {
        struct domain_xml domain = read_exactly(typical, (size_t)(end - typical));
        assert_string_equal(domain.uuid, end >= uuid_end ? UUID : "");
        assert_int_equal(domain.required == DOMAIN_REQUIRED_YES, end >= vm_end);
    }
}

static void test_damaged_xml_does_no_harm(void **state)
{
    static const char likely[] = "<>/!-[]?='\" :xm";
    uint64_t random = 11;
    unsigned seen = 0;
    (void)state;
    for (int round = 0; round < 100000; round++) {
        char text[sizeof typical];
        memcpy(text, typical, sizeof typical);
        for (int changes = 1 + round % 4; changes > 0; changes--) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[(random >> 33) % (sizeof typical - 1)] = likely[(random >> 20) % sizeof likely];
        }
        struct domain_xml domain = read_exactly(text, sizeof text - 1);
        assert_true(domain.uuid[0] == '\0' || strlen(domain.uuid) == DOMAIN_UUID_LENGTH);
        assert_null(strchr(domain.uuid, '/'));
        seen += domain.required == DOMAIN_REQUIRED_YES;
    }
    assert_true(seen > 1000); /* the damage was not always fatal, or nothing was tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_not_required),
        cmocka_unit_test(test_own_element),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_boot_credential),
        cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_more_declarations_than_kept),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_damaged_xml_does_no_harm),
    };
    return check_run(tests);
}
