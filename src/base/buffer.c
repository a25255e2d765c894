#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(dq_buffer *buffer, size_t more) {
    if (buffer->failed) return false;
    if (more < buffer->capacity - buffer->size) return true; /* one byte stays free for the NUL */
    size_t wanted = buffer->capacity ? buffer->capacity : 256;
    while (wanted - buffer->size <= more && wanted < SIZE_MAX / 2) wanted *= 2;
    char *larger = wanted - buffer->size > more ? realloc(buffer->data, wanted) : NULL;
    if (!larger) {
        buffer->failed = true;
        return false;
    }
    buffer->data = larger;
    buffer->capacity = wanted;
    return true;
}

void dq_buffer_put(dq_buffer *buffer, const void *bytes, size_t size) {
    if (!make_room(buffer, size)) return;
    if (size) memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void dq_buffer_puts(dq_buffer *buffer, const char *text) { dq_buffer_put(buffer, text, strlen(text)); }

void dq_buffer_format(dq_buffer *buffer, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        buffer->failed = true;
    else if (make_room(buffer, (size_t)length)) {
        vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, again);
        buffer->size += (size_t)length;
    }
    va_end(again);
}

dlqat_status dq_buffer_check(const dq_buffer *buffer, const char *what, dlqat_error *error) {
    return buffer->failed ? dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for %s", what) : DLQAT_OK;
}

void dq_buffer_free(dq_buffer *buffer) {
    free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}
