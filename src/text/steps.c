#include "text/steps.h"

#include <stdlib.h>
#include <string.h>

static char *copy_bytes(const char *bytes, size_t length) {
    char *copy = malloc(length + 1);
    if (copy) {
        if (length) memcpy(copy, bytes, length);
        copy[length] = '\0';
    }
    return copy;
}

static void free_step(dq_step *step) {
    free(step->source);
    free(step->content);
    dq_pattern_free(step->pattern);
}

dlqat_status dq_steps_add(dq_steps *steps, const dq_step *step, const char *where, dlqat_error *error) {
    if (steps->count == steps->capacity) {
        size_t capacity = steps->capacity ? steps->capacity * 2 : 8;
        dq_step *larger = realloc(steps->at, capacity * sizeof *larger);
        if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the tokenizer", where);
        steps->at = larger;
        steps->capacity = capacity;
    }
    dq_step copy = *step;
    copy.pattern = NULL;
    copy.source = step->source ? copy_bytes(step->source, step->source_length) : NULL;
    copy.content = step->content ? copy_bytes(step->content, step->content_length) : NULL;
    dlqat_status status = DLQAT_OK;
    if ((step->source && !copy.source) || (step->content && !copy.content))
        status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the tokenizer", where);
    else if (copy.source)
        status = dq_pattern_compile(&copy.pattern, copy.source, copy.source_length, copy.literal, where, error);
    if (status == DLQAT_OK)
        steps->at[steps->count++] = copy;
    else
        free_step(&copy);
    return status;
}

void dq_steps_free(dq_steps *steps) {
    for (size_t i = 0; i < steps->count; i++) free_step(&steps->at[i]);
    free(steps->at);
    memset(steps, 0, sizeof *steps);
}

dlqat_status dq_pieces_end(dq_pieces *pieces, dlqat_error *error) {
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity ? pieces->capacity * 2 : 64;
        size_t *larger = realloc(pieces->ends, capacity * sizeof *larger);
        if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the words of a text");
        pieces->ends = larger;
        pieces->capacity = capacity;
    }
    pieces->ends[pieces->count++] = pieces->text.size;
    return DLQAT_OK;
}

void dq_pieces_clear(dq_pieces *pieces) {
    pieces->text.size = 0;
    pieces->count = 0;
}

void dq_pieces_free(dq_pieces *pieces) {
    dq_buffer_free(&pieces->text);
    free(pieces->ends);
    memset(pieces, 0, sizeof *pieces);
}

/* The bytes that print in Latin-1 stand for themselves; the others, in order, for U+0100, U+0101, .. */
static bool prints(unsigned char byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
}

uint32_t dq_byte_to_point(unsigned char byte) {
    if (prints(byte)) return byte;
    if (byte <= ' ') return 0x100u + byte;
    return byte == 0xad ? 0x143u : 0x121u + (byte - 0x7fu);
}

int dq_point_to_byte(uint32_t point) {
    if (point < 0x100) return prints((unsigned char)point) ? (int)point : -1;
    if (point <= 0x120) return (int)(point - 0x100);
    if (point <= 0x142) return (int)(point - 0x121 + 0x7f);
    return point == 0x143 ? 0xad : -1;
}
