/* Tokens in, whole characters out: a character may be spread over several tokens. */
#ifndef DQ_EVAL_TEXT_STREAM_H
#define DQ_EVAL_TEXT_STREAM_H

#include "text/tokenizer.h"

/* What a token adds to the text depends on those before it (a space at the start is dropped, say), so the text of the last
 * few is made with and without the new one, and the difference goes out once it ends with a whole character. */
typedef struct dq_text_stream {
    const dq_tokenizer *tokenizer;
    dq_ids ids;
    size_t context, sent; /* ids [context, sent): text that went out already, context for [sent, ..) */
    dq_buffer shown, text;
} dq_text_stream;

/* before: the count tokens that the text goes on from; their text does not go out. They may be none. */
dlqat_status dq_text_stream_open(dq_text_stream *stream, const dq_tokenizer *tokenizer, const int32_t *before,
                                 size_t count, dlqat_error *error);
/* Appends to out what can be shown now. */
dlqat_status dq_text_stream_put(dq_text_stream *stream, int32_t id, dq_buffer *out, dlqat_error *error);
/* Appends what is left, whole or not. */
dlqat_status dq_text_stream_end(dq_text_stream *stream, dq_buffer *out, dlqat_error *error);
void dq_text_stream_close(dq_text_stream *stream);

#endif
