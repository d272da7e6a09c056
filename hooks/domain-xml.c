#include "domain-xml.h"

#include "base/boot-credential.h"

#include <string.h>

/* The document is walked from '<' to '<'. Depth 0 is outside, 1 is inside the root (<domain>), 2 inside <metadata>,
 * 3 inside our element there. Only elements on that path can matter, so only their namespace declarations are kept. */

#define NAMESPACE "urn:llmhook:vm:1"

enum { DECLARATIONS_MAX = 32 }; /* a domain has one or two */

struct piece {
    const char *text;
    size_t length;
};

struct declaration {
    int depth; /* of the element that carries it */
    struct piece prefix;
    bool ours;
    bool none; /* xmlns='' */
};

struct scan {
    const char *at;
    const char *end;
    int depth; /* of elements that are open */
    bool in_metadata;
    bool in_vm;
    bool in_sysinfo;
    struct piece boot_file; /* of the first entry of that name; text is NULL when there is none */
    struct declaration declarations[DECLARATIONS_MAX];
    size_t declared;
    struct domain_xml found;
};

struct tag {
    struct piece name;
    struct piece required, entry_name, file; /* the values; text is NULL when the attribute is absent */
    bool empty;            /* <a/> */
};

static bool equals(struct piece piece, const char *text)
{
    return piece.length == strlen(text) && memcmp(piece.text, text, piece.length) == 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && is_space(*scan->at))
        scan->at++;
}

static bool starts_with(const struct scan *scan, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(scan->end - scan->at) >= length && memcmp(scan->at, text, length) == 0;
}

/* Moves behind the next TEXT. False, and nothing left to read, when there is none. */
static bool skip_past(struct scan *scan, const char *text)
{
    const char *found = memmem(scan->at, (size_t)(scan->end - scan->at), text, strlen(text));
    scan->at = found ? found + strlen(text) : scan->end;
    return found;
}

static struct piece read_name(struct scan *scan)
{
    struct piece name = {scan->at, 0};
    while (scan->at < scan->end && !is_space(*scan->at) && !strchr("=/><\"'", *scan->at))
        scan->at++;
    name.length = (size_t)(scan->at - name.text);
    return name;
}

static bool read_quoted(struct scan *scan, struct piece *value)
{
    if (scan->at == scan->end || (*scan->at != '"' && *scan->at != '\''))
        return false;
    const char *start = scan->at + 1;
    const char *close = memchr(start, *scan->at, (size_t)(scan->end - start));
    if (!close)
        return false;
    *value = (struct piece){start, (size_t)(close - start)};
    scan->at = close + 1;
    return true;
}

static void note_declaration(struct scan *scan, struct piece name, struct piece value)
{
    struct piece prefix = {"", 0};
    if (name.length > 6 && memcmp(name.text, "xmlns:", 6) == 0)
        prefix = (struct piece){name.text + 6, name.length - 6};
    else if (!equals(name, "xmlns"))
        return;
    if (scan->declared < DECLARATIONS_MAX)
        scan->declarations[scan->declared++] =
            (struct declaration){scan->depth, prefix, equals(value, NAMESPACE), value.length == 0};
}

/* Reads from the element's name to behind its '>'. False when the text is not XML any more. */
static bool read_tag(struct scan *scan, struct tag *tag)
{
    *tag = (struct tag){.name = read_name(scan)};
    bool on_path = scan->depth < 2 || (scan->depth == 2 && (scan->in_metadata || scan->in_sysinfo)) ||
                   (scan->depth == 3 && scan->in_vm);
    while (tag->name.length > 0) {
        skip_space(scan);
        if (starts_with(scan, "/>") || starts_with(scan, ">")) {
            tag->empty = *scan->at == '/';
            scan->at += tag->empty ? 2 : 1;
            return true;
        }
        struct piece name = read_name(scan);
        struct piece value;
        skip_space(scan);
        if (name.length == 0 || !starts_with(scan, "="))
            return false;
        scan->at++;
        skip_space(scan);
        if (!read_quoted(scan, &value))
            return false;
        if (on_path)
            note_declaration(scan, name, value);
        if (equals(name, "required"))
            tag->required = value;
        else if (equals(name, "name"))
            tag->entry_name = value;
        else if (equals(name, "file"))
            tag->file = value;
    }
    return false;
}

/* The innermost declaration of PREFIX; NULL: there is none. */
static const struct declaration *find_declaration(const struct scan *scan, struct piece prefix)
{
    for (size_t i = scan->declared; i > 0; i--) {
        const struct declaration *declaration = &scan->declarations[i - 1];
        if (declaration->prefix.length == prefix.length
            && memcmp(declaration->prefix.text, prefix.text, prefix.length) == 0)
            return declaration;
    }
    return NULL;
}

/* True when NAME is LOCAL in our namespace. */
static bool is_ours(const struct scan *scan, struct piece name, const char *local)
{
    const char *colon = memchr(name.text, ':', name.length);
    struct piece prefix = {name.text, colon ? (size_t)(colon - name.text) : 0};
    size_t skipped = colon ? prefix.length + 1 : 0;
    if (!equals((struct piece){name.text + skipped, name.length - skipped}, local))
        return false;
    const struct declaration *declaration = find_declaration(scan, prefix);
    return declaration && declaration->ours;
}

/* True when NAME is LOCAL in no namespace, as all of libvirt's own elements are. */
static bool is_libvirts(const struct scan *scan, struct piece name, const char *local)
{
    if (!equals(name, local))
        return false;
    const struct declaration *declaration = find_declaration(scan, (struct piece){"", 0});
    return !declaration || declaration->none;
}

static bool means_yes(struct piece value)
{
    return equals(value, "yes") || equals(value, "true") || equals(value, "on") || equals(value, "1");
}

static void note_vm(struct scan *scan, const struct tag *tag)
{
    scan->found.has_vm = true;
    if (tag->required.text)
        scan->found.required = means_yes(tag->required) ? DOMAIN_REQUIRED_YES : DOMAIN_REQUIRED_NO;
}

/* The text at the scanner's place, up to the next tag, if it is a UUID. */
static void read_uuid(struct scan *scan)
{
    char uuid[DOMAIN_UUID_LENGTH + 1];
    const char *at = scan->at;
    while (at < scan->end && is_space(*at))
        at++;
    for (size_t i = 0; i < DOMAIN_UUID_LENGTH; i++, at++) {
        if (at == scan->end)
            return;
        char c = *at >= 'A' && *at <= 'F' ? (char)(*at - 'A' + 'a') : *at;
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return;
        uuid[i] = c;
    }
    while (at < scan->end && is_space(*at))
        at++;
    if (at == scan->end || *at != '<')
        return;
    uuid[DOMAIN_UUID_LENGTH] = '\0';
    memcpy(scan->found.uuid, uuid, sizeof uuid);
}

static void drop_declarations(struct scan *scan)
{
    while (scan->declared > 0 && scan->declarations[scan->declared - 1].depth >= scan->depth)
        scan->declared--;
}

static bool enter_element(struct scan *scan)
{
    struct tag tag;
    if (!read_tag(scan, &tag))
        return false;
    if (scan->depth == 1 && is_libvirts(scan, tag.name, "uuid") && !tag.empty && !scan->found.uuid[0])
        read_uuid(scan);
    if (scan->depth == 2) {
        scan->in_vm = scan->in_metadata && is_ours(scan, tag.name, "vm");
        if (scan->in_vm)
            note_vm(scan, &tag);
    }
    if (scan->depth == 3 && scan->in_vm && is_ours(scan, tag.name, "key"))
        scan->found.has_keys = true;
    if (scan->depth == 2 && scan->in_sysinfo && is_libvirts(scan, tag.name, "entry") && tag.entry_name.text && tag.file.text &&
        equals(tag.entry_name, BOOT_CREDENTIAL_ENTRY) && !scan->boot_file.text)
        scan->boot_file = tag.file;
    if (tag.empty) {
        drop_declarations(scan);
        return true;
    }
    if (scan->depth == 1) {
        scan->in_metadata = is_libvirts(scan, tag.name, "metadata");
        scan->in_sysinfo = is_libvirts(scan, tag.name, "sysinfo");
    }
    scan->depth++;
    return true;
}

static bool leave_element(struct scan *scan)
{
    if (scan->depth == 0)
        return false;
    scan->depth--;
    drop_declarations(scan);
    return skip_past(scan, ">");
}

/* Another domain's file, or one of somebody else's, is not ours to make. */
static bool is_own_file(struct piece file, const char *uuid)
{
    static const char folder[] = BOOT_CREDENTIAL_FOLDER "/";
    size_t before = sizeof folder - 1;
    return file.text && uuid[0] && file.length == before + DOMAIN_UUID_LENGTH + strlen(BOOT_CREDENTIAL_SUFFIX) &&
           memcmp(file.text, folder, before) == 0 && memcmp(file.text + before, uuid, DOMAIN_UUID_LENGTH) == 0 &&
           memcmp(file.text + before + DOMAIN_UUID_LENGTH, BOOT_CREDENTIAL_SUFFIX, strlen(BOOT_CREDENTIAL_SUFFIX)) == 0;
}

struct domain_xml domain_xml_read(const char *xml, size_t length)
{
    if (length == 0)
        return (struct domain_xml){.uuid = ""};
    struct scan scan = {.at = xml, .end = xml + length};
    bool ok = true;
    while (ok && (scan.at = memchr(scan.at, '<', (size_t)(scan.end - scan.at)))) {
        if (starts_with(&scan, "<!--")) {
            scan.at += 4; /* "<!-->" does not end the comment that it begins */
            ok = skip_past(&scan, "-->");
        } else if (starts_with(&scan, "<![CDATA[")) {
            ok = skip_past(&scan, "]]>");
        } else if (starts_with(&scan, "<?")) {
            ok = skip_past(&scan, "?>");
        } else if (starts_with(&scan, "<!")) {
            ok = skip_past(&scan, ">");
        } else if (starts_with(&scan, "</")) {
            ok = leave_element(&scan);
        } else {
            scan.at++;
            ok = enter_element(&scan);
        }
    }
    scan.found.boot_credential = is_own_file(scan.boot_file, scan.found.uuid);
    return scan.found;
}
