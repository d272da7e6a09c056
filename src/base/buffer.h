/* Bytes that grow up to a maximum given at birth. Everything that comes from a peer is collected in one.
 *
 * The content is wiped before memory is given back, because what passes through here (a provider's answer,
 * an agent's command) may hold a key. */
#ifndef LLMHOOK_BASE_BUFFER_H
#define LLMHOOK_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data;  /* NUL-terminated behind length whenever it is not NULL */
    size_t length;
    size_t capacity;
    size_t maximum; /* of length, in bytes */
};

#define BUFFER_INIT(max) {NULL, 0, 0, (max)}

/* False when the maximum would be passed or memory is short; the buffer is then as it was. */
bool buffer_append(struct buffer *buffer, const void *bytes, size_t length);
bool buffer_append_text(struct buffer *buffer, const char *text);
bool buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes COUNT bytes away from the front. */
void buffer_consume(struct buffer *buffer, size_t count);

/* Wipes and releases. The buffer can be used again afterwards, with the same maximum. */
void buffer_clear(struct buffer *buffer);

/* The content, never NULL. */
const char *buffer_text(const struct buffer *buffer);

#define cleanup_buffer __attribute__((cleanup(buffer_clear)))

#endif
