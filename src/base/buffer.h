/* A growing byte string. */
#ifndef DQ_BASE_BUFFER_H
#define DQ_BASE_BUFFER_H

#include "base/error.h"

typedef struct dq_buffer {
    char *data; /* NUL-terminated as soon as anything was put; NULL before */
    size_t size, capacity;
    bool failed; /* an allocation failed; all later puts do nothing. Checked once, with dq_buffer_check. */
} dq_buffer;

void dq_buffer_put(dq_buffer *buffer, const void *bytes, size_t size);
void dq_buffer_puts(dq_buffer *buffer, const char *text);
void dq_buffer_format(dq_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
dlqat_status dq_buffer_check(const dq_buffer *buffer, const char *what, dlqat_error *error);
void dq_buffer_free(dq_buffer *buffer);

#endif
