#include "eval/text_stream.h"

#include <string.h>

/* Tokens kept back at most while waiting for the end of a character. Four bytes are the longest one has; the rest is for
 * tokens without text in between. */
enum { KEPT_BACK = 16 };

dlqat_status dq_text_stream_open(dq_text_stream *stream, const dq_tokenizer *tokenizer, const int32_t *before,
                                 size_t count, dlqat_error *error) {
    *stream = (dq_text_stream){.tokenizer = tokenizer};
    dlqat_status status = DLQAT_OK;
    size_t first = count > KEPT_BACK ? count - KEPT_BACK : 0;
    for (size_t i = first; status == DLQAT_OK && i < count; i++) status = dq_ids_add(&stream->ids, before[i], error);
    stream->sent = stream->ids.count;
    return status;
}

void dq_text_stream_close(dq_text_stream *stream) {
    dq_ids_free(&stream->ids);
    dq_buffer_free(&stream->shown);
    dq_buffer_free(&stream->text);
}

/* Whether text ends within a character, or with U+FFFD, by which a decoder stands for the start of one. */
static bool is_cut(const char *text, size_t size) {
    if (size >= 3 && memcmp(text + size - 3, "\xef\xbf\xbd", 3) == 0) return true;
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        unsigned char c = (unsigned char)text[size - back];
        if ((c & 0xc0) == 0x80) continue; /* a later byte of a character */
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return length > back;
    }
    return false;
}

static dlqat_status advance(dq_text_stream *stream, bool end, dq_buffer *out, dlqat_error *error) {
    const int32_t *ids = stream->ids.at + stream->context;
    size_t old = stream->sent - stream->context, all = stream->ids.count - stream->context;
    stream->shown.size = stream->text.size = 0;
    DQ_TRY(dq_tokenizer_decode(stream->tokenizer, ids, old, true, &stream->shown, error));
    DQ_TRY(dq_tokenizer_decode(stream->tokenizer, ids, all, true, &stream->text, error));
    size_t size = stream->text.size, before = stream->shown.size;
    bool cut = size > 0 && is_cut(stream->text.data, size);
    if (!end && (size <= before || cut) && all - old < KEPT_BACK) return DLQAT_OK;
    if (size > before) dq_buffer_put(out, stream->text.data + before, size - before);
    stream->context = stream->sent;
    stream->sent = stream->ids.count;
    return dq_buffer_check(out, "generated text", error);
}

dlqat_status dq_text_stream_put(dq_text_stream *stream, int32_t id, dq_buffer *out, dlqat_error *error) {
    DQ_TRY(dq_ids_add(&stream->ids, id, error));
    return advance(stream, false, out, error);
}

dlqat_status dq_text_stream_end(dq_text_stream *stream, dq_buffer *out, dlqat_error *error) {
    return stream->sent < stream->ids.count ? advance(stream, true, out, error) : DLQAT_OK;
}
