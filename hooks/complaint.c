#include "complaint.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 2048,
    NAME_MAX_BYTES = 512, /* libvirt sets no limit to a domain's name */
};

/* Writes LINE, which holds no newline of ours yet. Names and reasons come from elsewhere: none of them may break the
 * line or reach a terminal as a control sequence. */
static void write_line(char line[LINE_MAX_BYTES])
{
    size_t length = strlen(line);
    if (length == LINE_MAX_BYTES - 1)
        length--;
    utf8_tame(line, length);
    line[length] = '\n';
    /* Whether somebody reads it changes nothing for the domain. */
    ssize_t written = write(STDERR_FILENO, line, length + 1);
    (void)written;
}

void complaint_no_key(const char *domain, const char *reason)
{
    char line[LINE_MAX_BYTES];
    snprintf(line, sizeof line, "llmhook: %.*s requires an LLM key and none could be had: %s", NAME_MAX_BYTES, domain,
             reason);
    write_line(line);
}

void complaint_not_kept(const char *domain, const struct error *err)
{
    char line[LINE_MAX_BYTES];
    snprintf(line, sizeof line, "llmhook: an event of %.*s was not kept for llmhookd, which finds the domain itself "
             "when it starts: %s", NAME_MAX_BYTES, domain, err->text);
    write_line(line);
}
