/* Domains as libvirt writes them, and XML that somebody made to hurt. */
#include "host/domain_xml.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define UUID "6f0c6a5e-0d5b-4a55-9d5f-0c7e3f1d2b4a"
#define HEAD "<domain type='kvm'><name>dev-1</name><uuid>" UUID "</uuid>"
#define VM "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1'"

/* A running domain, in the shape of `virsh dumpxml`. */
static const char running[] =
    "<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    "  <name>dev-1</name>\n"
    "  <uuid>" UUID "</uuid>\n"
    "  <title>One of Alice's</title>\n"
    "  <description>scratch &amp; build</description>\n"
    "  <metadata>\n"
    "    <libosinfo:libosinfo xmlns:libosinfo=\"http://libosinfo.org/xmlns/libvirt/domain/1.0\">\n"
    "      <libosinfo:os id=\"http://debian.org/debian/12\"/>\n"
    "    </libosinfo:libosinfo>\n"
    "    <llmhook:vm xmlns:llmhook=\"urn:llmhook:vm:1\" owner=\"alice\" required=\"yes\" readers=\"group:dev\">\n"
    "      <!-- for the nightly build -->\n"
    "      <llmhook:key provider=\"openai\" monthly-limit=\"100\" environment=\"NIGHTLY_KEY\"/>\n"
    "      <llmhook:key provider=\"anthropic\" monthly-limit=\"50\" rotate=\"30d\"/>\n"
    "    </llmhook:vm>\n"
    "  </metadata>\n"
    "  <memory unit='KiB'>1048576</memory>\n"
    "  <currentMemory unit='KiB'>1048576</currentMemory>\n"
    "  <vcpu placement='static'>2</vcpu>\n"
    "  <resource>\n    <partition>/machine</partition>\n  </resource>\n"
    "  <os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n    <boot dev='hd'/>\n  </os>\n"
    "  <features>\n    <acpi/>\n    <apic/>\n  </features>\n"
    "  <cpu mode='host-passthrough' check='none' migratable='on'/>\n"
    "  <on_poweroff>destroy</on_poweroff>\n"
    "  <on_reboot>restart</on_reboot>\n"
    "  <devices>\n"
    "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
    "    <disk type='file' device='disk'>\n"
    "      <source file='/var/lib/libvirt/images/dev-1.qcow2' index='1'/>\n"
    "      <target dev='vda' bus='virtio'/>\n"
    "    </disk>\n"
    "    <interface type='network'>\n      <source network='default' portid='0f0f' bridge='virbr0'/>\n    </interface>\n"
    "    <channel type='spicevmc'>\n"
    "      <target type='virtio' name='com.redhat.spice.0' state='disconnected'/>\n"
    "    </channel>\n"
    "    <channel type='unix'>\n"
    "      <source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-3-dev-1/org.qemu.guest_agent.0'/>\n"
    "      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>\n"
    "      <alias name='channel0'/>\n"
    "      <address type='virtio-serial' controller='0' bus='0' port='1'/>\n"
    "    </channel>\n"
    "  </devices>\n"
    "  <seclabel type='dynamic' model='dac' relabel='yes'>\n    <label>+64055:+64055</label>\n  </seclabel>\n"
    "  <qemu:commandline>\n    <qemu:arg value='-no-hpet'/>\n  </qemu:commandline>\n"
    "</domain>\n";

static struct domain_xml read_good(const char *xml)
{
    struct error err = ERROR_INIT;
    struct domain_xml result;
    memset(&result, 0xff, sizeof result);
    if (!domain_xml_read(xml, strlen(xml), &result, &err))
        fail_msg("not read: %s", err.text);
    return result;
}

static void a_running_domain(void **state)
{
    struct domain_xml xml = read_good(running);
    (void)state;
    assert_string_equal(xml.uuid, UUID);
    assert_string_equal(xml.name, "dev-1");
    assert_true(xml.has_agent_channel);
    assert_true(xml.agent_connected);
    assert_true(xml.has_metadata);
    assert_int_equal(xml.metadata_error.code, ERROR_NONE);
    assert_string_equal(xml.metadata.owner, "alice");
    assert_string_equal(xml.metadata.readers, "group:dev");
    assert_int_equal(xml.metadata.required, POLICY_FLAG_YES);
    assert_int_equal(xml.metadata.count, 2);
    assert_string_equal(xml.metadata.keys[0].provider, "openai");
    assert_int_equal(xml.metadata.keys[0].monthly_limit, INT64_C(100000000));
    assert_string_equal(xml.metadata.keys[0].environment, "NIGHTLY_KEY");
    assert_int_equal(xml.metadata.keys[0].rotate_ms, 0);
    assert_string_equal(xml.metadata.keys[1].provider, "anthropic");
    assert_int_equal(xml.metadata.keys[1].monthly_limit, INT64_C(50000000));
    assert_int_equal(xml.metadata.keys[1].rotate_ms, INT64_C(30) * 86400000);
    assert_string_equal(xml.metadata.keys[1].environment, "");
}

static void a_stopped_domain_knows_no_agent_state(void **state)
{
    struct domain_xml xml = read_good(HEAD "<devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>"
                                           "</channel></devices></domain>");
    (void)state;
    assert_true(xml.has_agent_channel);
    assert_false(xml.agent_connected);
    assert_false(xml.has_metadata);
    assert_int_equal(xml.metadata.count, 0);
    assert_int_equal(xml.metadata_error.code, ERROR_NONE);
}

static void agent_channels(void **state)
{
    static const struct {
        const char *devices;
        bool has, connected;
    } cases[] = {
        {"", false, false},
        {"<devices/>", false, false},
        {"<devices><channel type='unix'/></devices>", false, false},
        {"<devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
         "state='disconnected'/></channel></devices>",
         true, false},
        {"<devices><channel><target type='virtio' name='org.qemu.guest_agent.0' state='Connected'/></channel></devices>", true,
         false},
        {"<devices><channel><target type='virtio' name='org.qemu.guest_agent.1' state='connected'/></channel></devices>", false,
         false},
        {"<devices><channel><target type='isa' name='org.qemu.guest_agent.0' state='connected'/></channel></devices>", false,
         false},
        {"<devices><channel><target name='org.qemu.guest_agent.0' state='connected'/></channel></devices>", false, false},
        /* the right thing in the wrong place */
        {"<devices><serial><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></serial></devices>", false,
         false},
        {"<channel><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>", false, false},
        {"<metadata><devices><channel><target type='virtio' name='org.qemu.guest_agent.0' "
         "state='connected'/></channel></devices></metadata>",
         false, false},
        {"<devices xmlns='urn:other'><channel><target type='virtio' name='org.qemu.guest_agent.0' "
         "state='connected'/></channel></devices>",
         false, false},
        {"<devices xmlns:o='urn:o'><channel><target type='virtio' o:name='org.qemu.guest_agent.0'/></channel></devices>", false,
         false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof text, HEAD "%s</domain>", cases[i].devices);
        struct domain_xml xml = read_good(text);
        if (xml.has_agent_channel != cases[i].has || xml.agent_connected != cases[i].connected)
            fail_msg("%s: has %d, connected %d", cases[i].devices, xml.has_agent_channel, xml.agent_connected);
    }
}

#define BOOT_FILE "file='/run/llmhookd/boot/" UUID ".env'"
#define BOOT_NAME "name='opt/io.systemd.credentials/llmhook.env'"

static void boot_entries(void **state)
{
    static const struct {
        const char *text;
        enum domain_boot_entry entry;
    } cases[] = {
        {"", DOMAIN_BOOT_NONE},
        {"<sysinfo type='fwcfg'/>", DOMAIN_BOOT_NONE},
        {"<sysinfo type='fwcfg'><entry " BOOT_NAME " " BOOT_FILE "/></sysinfo>", DOMAIN_BOOT_FILE},
        {"<sysinfo type='smbios'><system/></sysinfo><sysinfo type='fwcfg'><entry name='opt/other'>x</entry><entry " BOOT_FILE
         " " BOOT_NAME "/></sysinfo>", DOMAIN_BOOT_FILE},
        {"<sysinfo type='fwcfg'><entry " BOOT_NAME
         " file='/run/llmhookd/boot/6f0c6a5e-0d5b-4a55-9d5f-0c7e3f1d2b4b.env'/></sysinfo>",
         DOMAIN_BOOT_OTHER_FILE},
        {"<sysinfo type='fwcfg'><entry " BOOT_NAME " file=''/></sysinfo>", DOMAIN_BOOT_OTHER_FILE},
        {"<sysinfo type='fwcfg'><entry " BOOT_NAME ">A_KEY=x</entry></sysinfo>", DOMAIN_BOOT_TEXT},
        {"<sysinfo type='fwcfg'><entry " BOOT_NAME ">A_KEY=x</entry><entry " BOOT_NAME " " BOOT_FILE "/></sysinfo>",
         DOMAIN_BOOT_TEXT},
        /* the right thing in the wrong place */
        {"<sysinfo type='smbios'><entry " BOOT_NAME " " BOOT_FILE "/></sysinfo>", DOMAIN_BOOT_NONE},
        {"<sysinfo><entry " BOOT_NAME " " BOOT_FILE "/></sysinfo>", DOMAIN_BOOT_NONE},
        {"<sysinfo type='fwcfg'><o><entry " BOOT_NAME " " BOOT_FILE "/></o></sysinfo>", DOMAIN_BOOT_NONE},
        {"<sysinfo type='fwcfg'><entry name='opt/llmhook.env' " BOOT_FILE "/></sysinfo>", DOMAIN_BOOT_NONE},
        {"<devices><sysinfo type='fwcfg'><entry " BOOT_NAME " " BOOT_FILE "/></sysinfo></devices>", DOMAIN_BOOT_NONE},
        {"<sysinfo xmlns='urn:o' type='fwcfg'><entry " BOOT_NAME " " BOOT_FILE "/></sysinfo>", DOMAIN_BOOT_NONE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof text, HEAD "%s</domain>", cases[i].text);
        struct domain_xml xml = read_good(text);
        if (xml.boot_entry != cases[i].entry)
            fail_msg("%s: %d, not %d", cases[i].text, (int)xml.boot_entry, (int)cases[i].entry);
    }
}

static void a_boot_credential_is_asked_for(void **state)
{
    struct domain_xml xml = read_good(HEAD "<metadata>" VM " boot-credential='yes'/></metadata></domain>");
    (void)state;
    assert_string_equal(xml.metadata_error.text, "");
    assert_int_equal(xml.metadata.boot_credential, POLICY_FLAG_YES);
    xml = read_good(HEAD "<metadata>" VM " boot-credential='maybe'/></metadata></domain>");
    assert_string_equal(xml.metadata_error.text,
                        "llmhook:vm, attribute boot-credential: 'maybe' is neither yes nor no: write yes or no");
}

static void a_uuid_becomes_lower_case(void **state)
{
    struct domain_xml xml = read_good("<domain><uuid>6F0C6A5E-0D5B-4A55-9D5F-0C7E3F1D2B4A</uuid><name>x "
                                      "y/\xc3\xa4</name></domain>");
    (void)state;
    assert_string_equal(xml.uuid, UUID);
    assert_string_equal(xml.name, "x y/\xc3\xa4");
}

static void check_bad(const char *xml, size_t length, enum error_code code, const char *piece)
{
    struct error err = ERROR_INIT;
    struct domain_xml result;
    memset(&result, 0x5a, sizeof result);
    if (domain_xml_read(xml, length, &result, &err))
        fail_msg("read, although it should not: wanted '%s'", piece);
    check_error(err, code, piece);
    for (size_t i = 0; i < sizeof result; i++)
        assert_int_equal(((unsigned char *)&result)[i], 0x5a);
    for (size_t i = 0; err.text[i]; i++)
        assert_true(isprint((unsigned char)err.text[i]));
}

static void bad_domains(void **state)
{
    static const struct {
        const char *xml, *wrong;
    } bad[] = {
        {"", "the domain's XML cannot be read: line 1: Document is empty"},
        {"   ", "the domain's XML cannot be read: line 1: "},
        {"hello", "the domain's XML cannot be read: line 1: "},
        {HEAD, "the domain's XML cannot be read: line 1: Premature end"},
        {HEAD "\n\n<a></b></domain>", "the domain's XML cannot be read: line 3: "},
        {HEAD "<a x='1' x='2'/></domain>", "Attribute x redefined"},
        {HEAD "</domain><domain/>", "Extra content"},
        {HEAD "&unknown;</domain>", "Entity 'unknown' not defined"},
        {HEAD "<a>\x01</a></domain>", "invalid Char"},
        {HEAD "<a>\xff\xfe</a></domain>", "line 1: "},
        {"<network><name>x</name></network>", "the XML is not a domain's"},
        {"<domain xmlns='urn:other'><name>x</name></domain>", "the XML is not a domain's"},
        {"<o:domain xmlns:o='urn:other'/>", "the XML is not a domain's"},
        {"<domain><name>x</name></domain>", "the domain's XML has no uuid"},
        {"<domain><name>x</name><os><uuid>" UUID "</uuid></os></domain>", "the domain's XML has no uuid"},
        {"<domain><name>x</name><uuid/></domain>", "the domain's uuid is '', which is none"},
        {"<domain><name>x</name><uuid>6f0c6a5e-0d5b-4a55-9d5f-0c7e3f1d2b4</uuid></domain>",
         "the domain's uuid is '6f0c6a5e-0d5b-4a55-9d5f-0c7e3f1d2b4', which is none"},
        {"<domain><name>x</name><uuid>" UUID "0</uuid></domain>", "which is none"},
        {"<domain><name>x</name><uuid>6f0c6a5e00d5b-4a55-9d5f-0c7e3f1d2b4a</uuid></domain>", "which is none"},
        {"<domain><name>x</name><uuid>6f0c6a5e-0d5b-4a55-9d5f-0c7e3f1d2b4g</uuid></domain>", "which is none"},
        {"<domain><name>x</name><uuid>../../../../../../../../../../etc/pass</uuid></domain>", "which is none"},
        {"<domain><uuid>" UUID "</uuid></domain>", "the domain's XML has no name"},
        {"<domain><uuid>" UUID "</uuid><name></name></domain>", "the domain's XML has no name"},
        {"<domain><uuid>" UUID "</uuid><name>a&#10;b</name></domain>", "the domain's name has a control character in it"},
        {"<domain><uuid>" UUID "</uuid><name>a&#127;b</name></domain>", "the domain's name has a control character in it"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        check_bad(bad[i].xml, strlen(bad[i].xml), ERROR_INVALID, bad[i].wrong);
    check_bad(HEAD "<a>\0</a></domain>", sizeof HEAD "<a>\0</a></domain>" - 1, ERROR_INVALID, "cannot be read");
}

static void names_have_a_bound(void **state)
{
    char text[1024], name[RECORD_NAME_SIZE + 1];
    (void)state;
    memset(name, 'n', sizeof name);
    name[RECORD_NAME_SIZE - 1] = '\0';
    snprintf(text, sizeof text, "<domain><uuid>" UUID "</uuid><name>%s</name></domain>", name);
    assert_string_equal(read_good(text).name, name);
    name[RECORD_NAME_SIZE - 1] = 'n';
    name[RECORD_NAME_SIZE] = '\0';
    snprintf(text, sizeof text, "<domain><uuid>" UUID "</uuid><name>%s</name></domain>", name);
    check_bad(text, strlen(text), ERROR_INVALID, "the domain's name is longer than 255 bytes");
}

/* --- XML made to hurt --- */

static void document_types_are_refused(void **state)
{
    static const char *const bad[] = {
        "<!DOCTYPE domain>" HEAD "</domain>",
        "<!DOCTYPE domain SYSTEM 'http://127.0.0.1:9/x.dtd'>" HEAD "</domain>",
        "<!DOCTYPE domain [<!ENTITY x 'y'>]>" HEAD "&x;</domain>",
        "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/hostname'>]>" HEAD "<title>&x;</title></domain>",
        "<!DOCTYPE domain [<!ENTITY % x SYSTEM 'file:///etc/hostname'> %x;]>" HEAD "</domain>",
        "<!DOCTYPE domain [<!ATTLIST domain secret CDATA 'on'>]>" HEAD "</domain>",
        "<!DOCTYPE domain [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c "
        "'&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>"
        "<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'><!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;'>"
        "<!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'><!ENTITY g '&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;'>"
        "<!ENTITY h '&g;&g;&g;&g;&g;&g;&g;&g;&g;&g;'><!ENTITY i '&h;&h;&h;&h;&h;&h;&h;&h;&h;&h;'>]>"
        "<domain owner='&i;'><name>&i;</name></domain>",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        check_bad(bad[i], strlen(bad[i]), ERROR_INVALID, "the domain's XML has a document type, which libvirt never writes");
}

static void depth_and_size_are_bounded(void **state)
{
    size_t length = (size_t)DOMAIN_XML_MAX + 1;
    char *text = malloc(length + 1);
    (void)state;
    assert_non_null(text);
    memset(text, ' ', length);
    memcpy(text, HEAD, sizeof HEAD - 1);
    memcpy(text + length - 9, "</domain>", 10);
    check_bad(text, length, ERROR_LIMIT, "the domain's XML is longer than 8388608 bytes");
    /* One byte less is read. */
    memcpy(text + length - 10, "</domain>", 10);
    assert_string_equal(read_good(text).name, "dev-1");

    for (size_t i = sizeof HEAD - 1; i + 3 < length; i += 3)
        memcpy(text + i, "<a>", 3);
    check_bad(text, length - 1, ERROR_INVALID, "Excessive depth");
    free(text);
}

static void a_declaration_does_not_change_the_encoding(void **state)
{
    struct domain_xml xml = read_good("<?xml version='1.0' encoding='ISO-8859-1'?><domain><uuid>" UUID
                                      "</uuid><name>\xc3\xa4</name></domain>");
    (void)state;
    assert_string_equal(xml.name, "\xc3\xa4");
}

/* libxml2 prints by default. Standard error goes into a file while everything bad is read once more. */
static void nothing_is_printed(void **state)
{
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    struct domain_xml xml;
    assert_non_null(file);
    assert_true(kept >= 0);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    bad_domains(state);
    document_types_are_refused(state);
    domain_xml_read(HEAD "<undeclared:x/></domain>", strlen(HEAD "<undeclared:x/></domain>"), &xml, NULL);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
    fclose(file);
}

/* --- our element --- */

static struct domain_xml read_with_metadata(const char *metadata)
{
    char text[8192];
    assert_true((size_t)snprintf(text, sizeof text, HEAD "<metadata>%s</metadata></domain>", metadata) < sizeof text);
    return read_good(text);
}

static void others_metadata_is_not_ours(void **state)
{
    static const char *const foreign[] = {
        "",
        "<llmhook:vm xmlns:llmhook='urn:other' owner='alice'/>",
        "<vm xmlns='http://llmhook'/>",
        "<vm/>",
        "<llmhooks:vm/>",
        "<o:o xmlns:o='urn:o'>" VM "/></o:o>",
        "<!-- " VM "/> -->",
        "<vm xmlns='urn:llmhooks'/>",
        "<vm xmlns='urn:llmhook-vm:1'/>",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(foreign); i++) {
        struct domain_xml xml = read_with_metadata(foreign[i]);
        if (xml.has_metadata || xml.metadata_error.code != ERROR_NONE)
            fail_msg("taken for ours: %s", foreign[i]);
    }
    /* The right element outside <metadata>. */
    assert_false(read_good(HEAD VM "/></domain>").has_metadata);
    assert_false(read_good(HEAD "<devices><metadata>" VM "/></metadata></devices></domain>").has_metadata);
}

static void prefixes_are_only_prefixes(void **state)
{
    static const char *const ours[] = {
        "<vm xmlns='urn:llmhook:vm:1'><key provider='openai'/></vm>",
        "<a:vm xmlns:a='urn:llmhook:vm:1'><b:key xmlns:b='urn:llmhook:vm:1' provider='openai'/></a:vm>",
        "<a:vm xmlns:a='urn:llmhook:vm:1' xmlns:llmhook='urn:other'><llmhook:key/><a:key provider='openai'/></a:vm>",
        "<a:vm xmlns:a='urn&#58;llmhook:vm:1'><a:key provider='&#111;penai' xml:lang='en'/></a:vm>",
        VM " xmlns:o='urn:o' o:owner='me'><llmhook:key provider='openai' o:x='y'><o:note>x</o:note></llmhook:key><?pi "
           "x?></llmhook:vm>",
        "<x/>" VM "><llmhook:key provider='openai'>\n </llmhook:key></llmhook:vm><o:x xmlns:o='urn:o'/>",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(ours); i++) {
        struct domain_xml xml = read_with_metadata(ours[i]);
        if (!xml.has_metadata || xml.metadata_error.code != ERROR_NONE || xml.metadata.count != 1)
            fail_msg("%s: %s", ours[i], xml.metadata_error.text);
        assert_string_equal(xml.metadata.keys[0].provider, "openai");
        assert_string_equal(xml.metadata.owner, "");
    }
}

static void an_empty_element_opts_out(void **state)
{
    struct domain_xml xml = read_with_metadata(VM "/>");
    (void)state;
    assert_true(xml.has_metadata);
    assert_int_equal(xml.metadata_error.code, ERROR_NONE);
    assert_int_equal(xml.metadata.count, 0);
    assert_int_equal(xml.metadata.required, POLICY_FLAG_DEFAULT);
}

static void the_vm_has_defaults_for_its_keys(void **state)
{
    struct domain_xml xml = read_with_metadata(VM " monthly-limit='7.50' rotate='12h' overlap='2h' on-stop='suspend' "
                                                  "on-save='suspend' over-budget='revoke' "
                                                  "required='no'><llmhook:key provider='a'/>"
                                                  "<llmhook:key provider='b' monthly-limit='$9' rotate='never' overlap='0s' "
                                                  "on-stop='revoke' "
                                                  "on-save='keep' over-budget='suspend'/></llmhook:vm>");
    (void)state;
    assert_int_equal(xml.metadata_error.code, ERROR_NONE);
    assert_int_equal(xml.metadata.required, POLICY_FLAG_NO);
    assert_int_equal(xml.metadata.keys[0].monthly_limit, 7500000);
    assert_int_equal(xml.metadata.keys[0].rotate_ms, 43200000);
    assert_int_equal(xml.metadata.keys[0].overlap_ms, 7200000);
    assert_int_equal(xml.metadata.keys[1].overlap_ms, POLICY_NO_OVERLAP);
    assert_int_equal(xml.metadata.keys[0].on_stop, POLICY_FATE_SUSPEND);
    assert_int_equal(xml.metadata.keys[0].on_save, POLICY_FATE_SUSPEND);
    assert_int_equal(xml.metadata.keys[0].over_budget, POLICY_FATE_REVOKE);
    assert_int_equal(xml.metadata.keys[1].on_stop, POLICY_FATE_REVOKE);
    assert_int_equal(xml.metadata.keys[1].on_save, POLICY_FATE_KEEP);
    assert_int_equal(xml.metadata.keys[1].over_budget, POLICY_FATE_SUSPEND);
    assert_int_equal(xml.metadata.keys[1].monthly_limit, 9000000);
    assert_int_equal(xml.metadata.keys[1].rotate_ms, POLICY_NEVER);
}

#define KEYS_16                                                                                                             \
    "<llmhook:key provider='k1'/><llmhook:key provider='k2'/><llmhook:key provider='k3'/><llmhook:key provider='k4'/>"      \
    "<llmhook:key provider='k5'/><llmhook:key provider='k6'/><llmhook:key provider='k7'/><llmhook:key provider='k8'/>"      \
    "<llmhook:key provider='k9'/><llmhook:key provider='k10'/><llmhook:key provider='k11'/><llmhook:key provider='k12'/>"   \
    "<llmhook:key provider='k13'/><llmhook:key provider='k14'/><llmhook:key provider='k15'/><llmhook:key provider='k16'/>"

static void bad_metadata_names_element_and_attribute(void **state)
{
    static const struct {
        const char *metadata, *wrong;
    } bad[] = {
        {"<llmhook:vm xmlns:llmhook='urn:llmhook:vm:2'/>",
         "the namespace urn:llmhook:vm:2 is not one that this llmhook knows: write urn:llmhook:vm:1 or install a newer llmhook"},
        {"<llmhook:vm xmlns:llmhook='urn:llmhook:vm'/>", "the namespace urn:llmhook:vm is not one"},
        {"<llmhook:vm xmlns:llmhook='urn:llmhook'/>", "the namespace urn:llmhook is not one"},
        {"<vm xmlns='URN:llmhook:VM:1'/>", "the namespace URN:llmhook:VM:1 is not one that this llmhook knows: write urn:llmhook:vm:1"},
        {"<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1/'/>", "the namespace urn:llmhook:vm:1/ is not one"},
        {"<llmhook:vm owner='alice'/>", "the prefix of 'llmhook:vm' is not declared: write xmlns:llmhook=\"urn:llmhook:vm:1\" "
                                        "into it"},
        {"<key xmlns='urn:llmhook:vm:1' provider='openai'/>",
         "there is no element 'key' (urn:llmhook:vm:1) inside metadata: write llmhook:vm"},
        {VM "/>" VM "/>", "there are two llmhook:vm: put all into one"},
        {VM "/></metadata><metadata>" VM "/>", "there are two llmhook:vm: put all into one"},
        {VM " ownr='alice'/>", "llmhook:vm has no attribute 'ownr': write owner, required, boot-credential, readers, "
                               "monthly-limit, rotate, overlap, "
         "on-stop, on-save or over-budget"},
        {VM " provider='openai'/>", "llmhook:vm has no attribute 'provider': write owner"},
        {VM " llmhook:owner='alice'/>", "llmhook:vm: write its attribute 'owner' without a prefix"},
        {VM " owner=''/>", "llmhook:vm, attribute owner: '' cannot be used: write up to 64 letters, digits"},
        {VM " owner='alice&#10;&#155;[2J'/>", "llmhook:vm, attribute owner: 'alice\?\?\?[2J' cannot be used"},
        {VM " owner='a b'/>", "llmhook:vm, attribute owner: 'a b' cannot be used"},
        {VM " required='perhaps'/>", "llmhook:vm, attribute required: 'perhaps' is neither yes nor no: write yes or no"},
        {VM " readers='bob'/>", "llmhook:vm, attribute readers: 'bob' cannot be used: write humans, root, everybody or "
                                "group:NAME"},
        {VM " monthly-limit='lots'/>", "llmhook:vm, attribute monthly-limit: 'lots' is not an amount of US dollars"},
        {VM " rotate='30'/>", "llmhook:vm, attribute rotate: '30' has no unit"},
        {VM " overlap='99d'/>", "llmhook:vm, attribute overlap: '99d' would keep two keys alive for too long"},
        {VM " on-stop='keep'/>", "llmhook:vm, attribute on-stop: 'keep' is not what can become of a key whose domain stops"},
        {VM "><llmhook:key provider='a' on-save='revoke'/></llmhook:vm>",
         "llmhook:key, attribute on-save: 'revoke' is not what can become of a key whose domain is saved: write keep or suspend"},
        {VM "><llmhook:key provider='a' over-budget=''/></llmhook:vm>",
         "llmhook:key, attribute over-budget: '' is not what can become of a key whose limit is reached: write suspend or "
         "revoke"},
        {VM " rotate='59min'/>", "llmhook:vm, attribute rotate: rotating every '59min' is too often"},
        {VM ">hello</llmhook:vm>", "there is text inside llmhook:vm: remove it"},
        {VM "><![CDATA[x]]></llmhook:vm>", "there is text inside llmhook:vm: remove it"},
        {VM "><key provider='openai'/></llmhook:vm>", "'key' inside llmhook:vm is in no namespace: write llmhook:key"},
        {VM "><o:key provider='openai'/></llmhook:vm>", "'o:key' inside llmhook:vm is in no namespace: write llmhook:key"},
        {VM "><llmhook:keys/></llmhook:vm>", "there is no element 'keys' (urn:llmhook:vm:1) inside llmhook:vm: remove it"},
        {VM "><llmhook:vm/></llmhook:vm>", "there is no element 'vm' (urn:llmhook:vm:1) inside llmhook:vm: remove it"},
        {VM "><b:key xmlns:b='urn:llmhook:vm:2' provider='x'/></llmhook:vm>",
         "there is no element 'key' (of another version) inside llmhook:vm: remove it"},
        {VM "><llmhook:key/></llmhook:vm>", "a llmhook:key has no attribute provider: write provider=\"NAME\""},
        {VM "><llmhook:key provider=''/></llmhook:vm>",
         "llmhook:key, attribute provider: '' cannot be used: write the name of a provider in llmhook.conf"},
        {VM "><llmhook:key provider='a b'/></llmhook:vm>", "llmhook:key, attribute provider: 'a b' cannot be used"},
        {VM "><llmhook:key provider='a' owner='x'/></llmhook:vm>",
         "llmhook:key has no attribute 'owner': write provider, monthly-limit, rotate, overlap, on-stop, on-save, over-budget "
         "or environment"},
        {VM "><llmhook:key provider='a' monthly-limit='0'/></llmhook:vm>",
         "llmhook:key, attribute monthly-limit: a limit of '0' buys nothing"},
        {VM "><llmhook:key provider='a' monthly-limit='99999999999999999999999'/></llmhook:vm>",
         "llmhook:key, attribute monthly-limit: '99999999999999999999999' is too much"},
        {VM "><llmhook:key provider='a' rotate='soon'/></llmhook:vm>", "llmhook:key, attribute rotate: 'soon' is not a duration"},
        {VM "><llmhook:key provider='a' environment='PATH'/></llmhook:vm>",
         "llmhook:key, attribute environment: this cannot be the key's variable: write capitals, digits and _"},
        {VM "><llmhook:key provider='a'>x</llmhook:key></llmhook:vm>", "there is text inside llmhook:key: remove it"},
        {VM "><llmhook:key provider='a'><x/></llmhook:key></llmhook:vm>", "'x' inside llmhook:key is in no namespace"},
        {VM "><llmhook:key provider='a'><llmhook:key provider='b'/></llmhook:key></llmhook:vm>",
         "there is no element 'key' (urn:llmhook:vm:1) inside llmhook:key: remove it"},
        {VM "><llmhook:key provider='a'/><llmhook:key provider='a'/></llmhook:vm>",
         "llmhook:key, attribute provider: 'a' is there twice: keep one"},
        {VM "><llmhook:key provider='a' environment='K'/><llmhook:key provider='b' environment='K'/></llmhook:vm>",
         "llmhook:key, attribute environment: 'K' is there twice: write another name"},
        {VM ">" KEYS_16 "<llmhook:key provider='k17'/></llmhook:vm>", "llmhook:vm has more than 16 llmhook:key: remove some"},
    };
    static const struct policy nothing;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct domain_xml xml = read_with_metadata(bad[i].metadata);
        assert_true(xml.has_metadata);
        check_error(xml.metadata_error, ERROR_INVALID, bad[i].wrong);
        assert_string_equal(xml.uuid, UUID);
        assert_memory_equal(&xml.metadata, &nothing, sizeof nothing);
    }
    assert_int_equal(read_with_metadata(VM ">" KEYS_16 "</llmhook:vm>").metadata.count, 16);
}

static void an_error_never_quotes_an_environment(void **state)
{
    struct domain_xml xml = read_with_metadata(VM
                                               "><llmhook:key provider='a' environment='OPENAI_API_KEY=canary'/></llmhook:vm>");
    (void)state;
    check_error(xml.metadata_error, ERROR_INVALID, "attribute environment");
    assert_null(strstr(xml.metadata_error.text, "canary"));
}

/* --- the manual's examples --- */

/* The Nth literal block of llmhook.conf(5) that begins with <metadata>. */
static struct domain_xml read_manual(unsigned nth)
{
    static const char begin[] = ".Bd -literal -offset indent\n<metadata>";
    static char text[32 * 1024], domain[sizeof text + 256];
    const char *source = getenv("srcdir");
    char name[512];
    snprintf(name, sizeof name, "%s/src/config/llmhook.conf.5", source ? source : ".");
    FILE *file = fopen(name, "r");
    if (!file)
        fail_msg("%s cannot be opened", name);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *block = text;
    for (unsigned i = 0; i < nth; i++) {
        block = strstr(block, begin);
        assert_non_null(block);
        block = strchr(block, '\n') + 1;
    }
    *strstr(block, ".Ed\n") = '\0';
    snprintf(domain, sizeof domain, HEAD "%s</domain>", block);
    return read_good(domain);
}

static void the_manuals_examples_are_good(void **state)
{
    struct domain_xml asking = read_manual(1), refusing = read_manual(2);
    (void)state;
    assert_string_equal(asking.metadata_error.text, "");
    assert_string_equal(asking.metadata.owner, "alice");
    assert_int_equal(asking.metadata.count, 1);
    assert_int_equal(asking.metadata.keys[0].monthly_limit, 50000000);
    assert_int_equal(asking.metadata.keys[0].rotate_ms, INT64_C(604800000));
    assert_string_equal(refusing.metadata_error.text, "");
    assert_true(refusing.has_metadata);
    assert_int_equal(refusing.metadata.count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_domain),
        cmocka_unit_test(a_stopped_domain_knows_no_agent_state),
        cmocka_unit_test(agent_channels),
        cmocka_unit_test(boot_entries),
        cmocka_unit_test(a_boot_credential_is_asked_for),
        cmocka_unit_test(a_uuid_becomes_lower_case),
        cmocka_unit_test(bad_domains),
        cmocka_unit_test(names_have_a_bound),
        cmocka_unit_test(document_types_are_refused),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(a_declaration_does_not_change_the_encoding),
        cmocka_unit_test(nothing_is_printed),
        cmocka_unit_test(others_metadata_is_not_ours),
        cmocka_unit_test(prefixes_are_only_prefixes),
        cmocka_unit_test(an_empty_element_opts_out),
        cmocka_unit_test(the_vm_has_defaults_for_its_keys),
        cmocka_unit_test(bad_metadata_names_element_and_attribute),
        cmocka_unit_test(an_error_never_quotes_an_environment),
        cmocka_unit_test(the_manuals_examples_are_good),
    };
    return check_run(tests);
}
