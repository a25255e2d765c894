#include "text/dataset_row.h"

#include <stdlib.h>
#include <string.h>

void dq_dataset_builder_free(dq_dataset_builder *builder) {
    dq_encoder_close(builder->encoder);
    dq_ids_free(&builder->whole);
    dq_ids_free(&builder->prefix);
    dq_buffer_free(&builder->text);
    dq_buffer_free(&builder->scratch);
    free(builder->segments);
}

static dlqat_status reserve(void **array, size_t *capacity, size_t wanted, size_t size, dlqat_error *error) {
    if (wanted <= *capacity) return DLQAT_OK;
    size_t larger = *capacity ? *capacity : 1024;
    while (larger < wanted && larger < SIZE_MAX / 2) larger *= 2;
    void *grown = larger >= wanted && larger <= SIZE_MAX / size ? realloc(*array, larger * size) : NULL;
    if (!grown) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the data set");
    *array = grown;
    *capacity = larger;
    return DLQAT_OK;
}

/* Appends a row whose tokens from `learned` on are targets where flags is NULL, else those that flags names. */
static dlqat_status append_row(dq_dataset_builder *builder, const int32_t *ids, const uint8_t *flags, size_t count,
                               dlqat_error *error) {
    dq_dataset *data = builder->data;
    size_t room = (size_t)builder->options->max_length, labels = 0;
    size_t kept = count < room ? count : room;
    for (size_t i = 1; i < kept; i++) labels += flags ? flags[i] : 1;
    if (!labels) {
        data->dropped++;
        return DLQAT_OK;
    }
    size_t capacity = builder->token_capacity; /* one capacity for two arrays */
    DQ_TRY(reserve((void **)&data->ids, &capacity, data->tokens + kept, sizeof *data->ids, error));
    DQ_TRY(reserve((void **)&data->learned, &builder->token_capacity, data->tokens + kept, 1, error));
    DQ_TRY(reserve((void **)&data->begin, &builder->row_capacity, data->rows + 2, sizeof *data->begin, error));
    memcpy(data->ids + data->tokens, ids, kept * sizeof *ids);
    for (size_t i = 0; i < kept; i++) data->learned[data->tokens + i] = i > 0 && (flags ? flags[i] : 1);
    data->begin[data->rows] = data->tokens;
    data->tokens += kept;
    data->begin[++data->rows] = data->tokens;
    data->labels += labels;
    data->truncated += kept < count;
    return DLQAT_OK;
}

static dlqat_status put_id(dq_ids *ids, int32_t id, dlqat_error *error) {
    void *array = ids->at;
    DQ_TRY(reserve(&array, &ids->capacity, ids->count + 1, sizeof *ids->at, error));
    ids->at = array;
    ids->at[ids->count++] = id;
    return DLQAT_OK;
}

/* ids becomes [BOS] text. Special tokens are not left to the tokenizer's post-processor, so that no EOS comes between. */
static dlqat_status encode(const dq_dataset_builder *builder, const char *text, size_t length, bool bos, dq_ids *ids,
                           dlqat_error *error) {
    const dq_tokenizer *tokenizer = builder->options->tokenizer;
    ids->count = 0;
    if (bos && dq_tokenizer_adds_bos(tokenizer)) DQ_TRY(put_id(ids, dq_tokenizer_bos(tokenizer), error));
    return dq_encoder_encode(builder->encoder, text, length, DQ_ENCODE_PLAIN, ids, error);
}

/* Every row ends with EOS; twice says nothing more. */
static dlqat_status end_row(const dq_dataset_builder *builder, dlqat_error *error, dq_ids *ids) {
    int32_t eos = dq_tokenizer_eos(builder->options->tokenizer);
    if (ids->count && ids->at[ids->count - 1] == eos) return DLQAT_OK;
    return put_id(ids, eos, error);
}

/* The index of the first token of builder->whole that begins at or behind byte `border` of the text; a token across the
 * border lies before it, thus in the prompt. The text is tokenized as a whole, for its ids must be those that any other
 * program gives; where the border lies in them, the text before it tells, tokenized alone: mostly its ids begin the
 * whole's. Where they do not, a token reaches across the border, and from the first different one on the texts of the
 * ids are measured. */
static dlqat_status border_index(dq_dataset_builder *builder, size_t border, bool bos, size_t *index,
                                 dlqat_error *error) {
    const dq_tokenizer *tokenizer = builder->options->tokenizer;
    dq_ids *whole = &builder->whole, *prefix = &builder->prefix;
    DQ_TRY(encode(builder, builder->text.data, border, bos, prefix, error));
    size_t same = 0, bytes = 0;
    while (same < prefix->count && same < whole->count && prefix->at[same] == whole->at[same]) same++;
    *index = same;
    if (same == prefix->count) return DLQAT_OK;
    builder->scratch.size = 0;
    DQ_TRY(dq_tokenizer_decode(tokenizer, prefix->at + same, prefix->count - same, false, &builder->scratch, error));
    bytes = builder->scratch.size;
    builder->scratch.size = 0;
    while (*index < whole->count && builder->scratch.size < bytes) {
        DQ_TRY(dq_tokenizer_decode(tokenizer, whole->at + *index, 1, false, &builder->scratch, error));
        ++*index;
    }
    return DLQAT_OK;
}

/* The row of builder->text, of which the segments say what is learned; it ends with the last learned one. bos: the
 * text does not hold BOS itself. */
static dlqat_status add_segments(dq_dataset_builder *builder, size_t count, bool bos, dlqat_error *error) {
    while (count && !builder->segments[count - 1].learned) count--;
    if (!count) {
        builder->data->dropped++;
        return DLQAT_OK;
    }
    size_t room = (size_t)builder->options->max_length, at = 0;
    DQ_TRY(encode(builder, builder->text.data, builder->segments[count - 1].end, bos, &builder->whole, error));
    size_t tokens = builder->whole.count;
    DQ_TRY(end_row(builder, error, &builder->whole));
    uint8_t *flags = calloc(builder->whole.count, 1);
    if (!flags) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a row");
    dlqat_status status = DLQAT_OK;
    /* Borders beyond the cut decide nothing; so a row costs at most room / 2 prefixes of at most room tokens. */
    for (size_t i = 0; i < count && at < room && status == DLQAT_OK; i++) {
        size_t end = tokens;
        if (i + 1 < count) status = border_index(builder, builder->segments[i].end, bos, &end, error);
        if (end < at) end = at;
        if (builder->segments[i].learned && status == DLQAT_OK) memset(flags + at, 1, end - at);
        at = end;
    }
    flags[builder->whole.count - 1] = 1;
    if (status == DLQAT_OK) status = append_row(builder, builder->whole.at, flags, builder->whole.count, error);
    free(flags);
    return status;
}

dlqat_status dq_dataset_add_chat(dq_dataset_builder *builder, const dq_message *messages, size_t count,
                                 dlqat_error *error) {
    const dq_template *template = builder->options->template;
    size_t room = 2 * count + 2;
    void *segments = builder->segments;
    DQ_TRY(reserve(&segments, &builder->segment_capacity, room, sizeof *builder->segments, error));
    builder->segments = segments;
    builder->text.size = 0;
    DQ_TRY(dq_template_render(template, builder->options->tokenizer, messages, count, false, &builder->text,
                              builder->segments, &room, error));
    return add_segments(builder, room, !template->adds_bos, error);
}

/* Stanford's way: the target is the output with EOS directly behind it, and as many tokens are unlearned as the prompt
 * has when tokenized alone. */
static dlqat_status add_alpaca(dq_dataset_builder *builder, const char *instruction, const char *input,
                               const char *output, dlqat_error *error) {
    dq_ids *whole = &builder->whole, *prefix = &builder->prefix;
    builder->text.size = 0;
    dq_template_alpaca_prompt(instruction, input, &builder->text);
    DQ_TRY(dq_buffer_check(&builder->text, "a row", error));
    DQ_TRY(encode(builder, builder->text.data, builder->text.size, true, prefix, error));
    dq_buffer_puts(&builder->text, output);
    DQ_TRY(dq_buffer_check(&builder->text, "a row", error));
    DQ_TRY(encode(builder, builder->text.data, builder->text.size, true, whole, error));
    DQ_TRY(put_id(whole, dq_tokenizer_eos(builder->options->tokenizer), error));
    uint8_t *flags = calloc(whole->count, 1);
    if (!flags) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a row");
    for (size_t i = prefix->count; i < whole->count; i++) flags[i] = 1;
    dlqat_status status = append_row(builder, whole->at, flags, whole->count, error);
    free(flags);
    return status;
}

dlqat_status dq_dataset_add_instruction(dq_dataset_builder *builder, const char *instruction, const char *input,
                                        const char *output, dlqat_error *error) {
    if (builder->options->template->kind == DQ_TEMPLATE_ALPACA)
        return add_alpaca(builder, instruction, input, output, error);
    dq_buffer user = {0};
    dq_buffer_puts(&user, instruction);
    if (*input) {
        dq_buffer_puts(&user, "\n\n");
        dq_buffer_puts(&user, input);
    }
    dlqat_status status = dq_buffer_check(&user, "a row", error);
    if (status == DLQAT_OK) {
        const dq_message messages[] = {{"user", user.data}, {"assistant", output}};
        status = dq_dataset_add_chat(builder, messages, 2, error);
    }
    dq_buffer_free(&user);
    return status;
}

dlqat_status dq_dataset_add_text(dq_dataset_builder *builder, const char *text, size_t length, dlqat_error *error) {
    DQ_TRY(encode(builder, text, length, true, &builder->whole, error));
    DQ_TRY(end_row(builder, error, &builder->whole));
    return append_row(builder, builder->whole.at, NULL, builder->whole.count, error);
}

dlqat_status dq_dataset_add_plain(dq_dataset_builder *builder, const char *text, size_t length, dlqat_error *error) {
    const dq_tokenizer *tokenizer = builder->options->tokenizer;
    bool bos = dq_tokenizer_adds_bos(tokenizer);
    size_t room = (size_t)builder->options->max_length - bos;
    DQ_TRY(encode(builder, text, length, false, &builder->whole, error));
    DQ_TRY(end_row(builder, error, &builder->whole));
    for (size_t at = 0; at < builder->whole.count; at += room) {
        size_t count = builder->whole.count - at < room ? builder->whole.count - at : room;
        const int32_t *ids = builder->whole.at + at;
        if (bos) {
            builder->prefix.count = 0;
            DQ_TRY(put_id(&builder->prefix, dq_tokenizer_bos(tokenizer), error));
            for (size_t i = 0; i < count; i++) DQ_TRY(put_id(&builder->prefix, ids[i], error));
            ids = builder->prefix.at;
        }
        DQ_TRY(append_row(builder, ids, NULL, count + bos, error));
    }
    return DLQAT_OK;
}
