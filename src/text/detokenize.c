/* Decoders: from token strings back to text. */
#include "text/steps.h"

#include "text/utf8.h"

#include <string.h>

/* A token all of whose characters stand for bytes gives those bytes, any other (an added token) itself. */
static void unmap_bytes(const char *token, size_t length, dq_buffer *out) {
    size_t before = out->size;
    for (size_t i = 0; i < length;) {
        uint32_t point;
        size_t size = dq_utf8_next(token + i, length - i, &point);
        int byte = size ? dq_point_to_byte(point) : -1;
        if (byte < 0) {
            if (!out->failed) out->size = before;
            dq_buffer_put(out, token, length);
            return;
        }
        unsigned char value = (unsigned char)byte;
        dq_buffer_put(out, &value, 1);
        i += size;
    }
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void byte_fallback(const char *token, size_t length, dq_buffer *out) {
    if (length == 6 && !memcmp(token, "<0x", 3) && token[5] == '>') {
        int high = hex_digit(token[3]), low = hex_digit(token[4]);
        if (high >= 0 && low >= 0) {
            unsigned char byte = (unsigned char)(high << 4 | low);
            dq_buffer_put(out, &byte, 1);
            return;
        }
    }
    dq_buffer_put(out, token, length);
}

static void strip(const dq_step *step, const char *token, size_t length, dq_buffer *out) {
    size_t size = step->content_length, start = 0, end = length;
    for (int64_t i = 0; i < step->left && end - start >= size && !memcmp(token + start, step->content, size); i++)
        start += size;
    for (int64_t i = 0; i < step->right && end - start >= size && !memcmp(token + end - size, step->content, size); i++)
        end -= size;
    dq_buffer_put(out, token + start, end - start);
}

/* Every content becomes a space; in the first token, where one was put in front, it goes. */
static dlqat_status spaces_back(const dq_step *step, const char *token, size_t length, bool first, dq_buffer *out,
                                dlqat_error *error) {
    bool drop = first && step->prepend != DQ_PREPEND_NEVER;
    return dq_pattern_replace(step->pattern, token, length, " ", drop ? 0 : 1, out, error);
}

static dlqat_status apply(const dq_step *step, const dq_pieces *in, dq_pieces *out, dlqat_error *error) {
    size_t start = 0;
    for (size_t i = 0; i < in->count; start = in->ends[i++]) {
        const char *token = in->text.data + start;
        size_t length = in->ends[i] - start;
        dq_buffer *text = &out->text;
        switch (step->kind) {
        case DQ_STEP_BYTE_LEVEL:
            unmap_bytes(token, length, text);
            break;
        case DQ_STEP_BYTE_FALLBACK:
            byte_fallback(token, length, text);
            break;
        case DQ_STEP_STRIP:
            strip(step, token, length, text);
            break;
        case DQ_STEP_METASPACE:
            DQ_TRY(spaces_back(step, token, length, i == 0, text, error));
            break;
        case DQ_STEP_REPLACE:
            DQ_TRY(dq_pattern_replace(step->pattern, token, length, step->content, step->content_length, text, error));
            break;
        default:
            dq_buffer_put(text, token, length);
            break; /* FUSE */
        }
        bool fuses = step->kind == DQ_STEP_FUSE || step->kind == DQ_STEP_BYTE_LEVEL;
        if (!fuses || i + 1 == in->count) DQ_TRY(dq_pieces_end(out, error));
    }
    return dq_buffer_check(&out->text, "decoded text", error);
}

dlqat_status dq_detokenize(const dq_steps *steps, bool has_decoder, dq_pieces *tokens, dq_buffer *out,
                           dlqat_error *error) {
    dq_pieces next = {0};
    dlqat_status status = DLQAT_OK;
    for (size_t i = 0; i < steps->count && status == DLQAT_OK; i++) {
        dq_pieces_clear(&next);
        status = apply(&steps->at[i], tokens, &next, error);
        dq_pieces swap = *tokens;
        *tokens = next;
        next = swap;
    }
    size_t start = 0;
    for (size_t i = 0; i < tokens->count && status == DLQAT_OK; start = tokens->ends[i++]) {
        if (i && !has_decoder) dq_buffer_put(out, " ", 1);
        dq_buffer_put(out, tokens->text.data + start, tokens->ends[i] - start);
    }
    dq_pieces_free(&next);
    return status == DLQAT_OK ? dq_buffer_check(out, "decoded text", error) : status;
}
