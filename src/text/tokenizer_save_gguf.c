/* tokenizer.ggml.* and tokenizer.chat_template, written from any tokenizer that llama.cpp has a name for. */
#include "text/tokenizer_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

/* ---- Which kind it is ------------------------------------------------------------------------------------------ */

typedef struct kind {
    const dq_pre *pre; /* of a byte-level one; NULL: SentencePiece */
    bool space_prefix;
} kind;

static bool replaces_spaces(const dq_step *step) {
    return step->kind == DQ_STEP_REPLACE && step->literal && step->source_length == 1 && step->source[0] == ' ' &&
           !strcmp(step->content, "\xe2\x96\x81");
}

/* Hugging Face's legacy form: Prepend and Replace, or Replace alone; and the other one: Metaspace. */
static bool is_sentencepiece(const dq_tokenizer *tokenizer, bool *space_prefix) {
    const dq_steps *normalizer = &tokenizer->normalizer, *words = &tokenizer->pretokenizer;
    if (!tokenizer->bpe.byte_fallback) return false;
    if (!normalizer->count && words->count == 1) {
        const dq_step *step = &words->at[0];
        *space_prefix = step->prepend != DQ_PREPEND_NEVER;
        return step->kind == DQ_STEP_METASPACE && !step->split && !strcmp(step->content, "\xe2\x96\x81");
    }
    *space_prefix = normalizer->count == 2;
    if (words->count || normalizer->count < 1 || normalizer->count > 2) return false;
    const dq_step *first = &normalizer->at[0];
    if (*space_prefix && (first->kind != DQ_STEP_PREPEND || strcmp(first->content, "\xe2\x96\x81"))) return false;
    return replaces_spaces(&normalizer->at[normalizer->count - 1]);
}

static dlqat_status find_kind(const dq_tokenizer *tokenizer, kind *found, dlqat_error *error) {
    const dq_steps *normalizer = &tokenizer->normalizer;
    *found = (kind){0};
    if (is_sentencepiece(tokenizer, &found->space_prefix)) return DLQAT_OK;
    found->pre = dq_pre_by_steps(&tokenizer->pretokenizer, tokenizer->bpe.ignore_merges);
    /* llama.cpp normalizes nothing; that is all that is lost for texts which are in NFC already, as nearly all are. */
    bool plain = !normalizer->count || (normalizer->count == 1 && normalizer->at[0].kind == DQ_STEP_UNICODE_FORM &&
                                        normalizer->at[0].form == DQ_NFC);
    if (found->pre && plain) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                   "%s: llama.cpp has no name for this tokenizer's %s, so it cannot be written to GGUF; export to hf "
                   "or mlx instead",
                   tokenizer->source, found->pre || tokenizer->bpe.byte_fallback ? "normalizer" : "pre-tokenizer");
}

/* ---- Tokens ---------------------------------------------------------------------------------------------------- */

typedef struct table {
    const char **texts;
    size_t *lengths;
    int32_t *types;
    float *scores; /* SentencePiece alone */
    char *names;   /* of unused tokens */
    size_t count;
} table;

static void free_table(table *t) {
    free(t->texts);
    free(t->lengths);
    free(t->types);
    free(t->scores);
    free(t->names);
}

static dlqat_status make_table(table *t, const dq_tokenizer *tokenizer, bool scores, size_t count, dlqat_error *error) {
    enum { NAME = 24 };
    const dq_vocabulary *vocabulary = &tokenizer->vocabulary;
    t->count = count;
    t->texts = calloc(count, sizeof *t->texts);
    t->lengths = calloc(count, sizeof *t->lengths);
    t->types = calloc(count, sizeof *t->types);
    t->scores = calloc(count, sizeof *t->scores);
    t->names = calloc(count, NAME);
    if (!t->texts || !t->lengths || !t->types || !t->scores || !t->names)
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its tokens", tokenizer->source);
    if (scores) DQ_TRY(dq_tokenizer_scores(tokenizer, t->scores, error));
    for (size_t id = 0; id < count; id++) {
        t->types[id] = TYPE_NORMAL;
        t->texts[id] = dq_vocabulary_text(vocabulary, (int64_t)id, &t->lengths[id]);
        if (t->texts[id]) continue;
        char *name = t->names + id * NAME;
        t->lengths[id] = (size_t)snprintf(name, NAME, "[PAD%zu]", id);
        t->texts[id] = name;
        t->types[id] = TYPE_UNUSED;
        if (scores) t->scores[id] = -(float)(1 << 24);
    }
    for (size_t i = 0; i < tokenizer->added.count; i++) {
        const dq_added_token *token = &tokenizer->added.at[i];
        t->types[token->id] = token->special ? TYPE_CONTROL : TYPE_USER_DEFINED;
    }
    for (int byte = 0; byte < 256 && tokenizer->bpe.byte_fallback; byte++)
        if (tokenizer->bpe.bytes[byte] >= 0) t->types[tokenizer->bpe.bytes[byte]] = TYPE_BYTE;
    if (scores && tokenizer->bpe.unk >= 0) t->types[tokenizer->bpe.unk] = TYPE_UNKNOWN;
    return DLQAT_OK;
}

static dlqat_status set_merges(const dq_tokenizer *tokenizer, dq_gguf_writer *writer, dlqat_error *error) {
    dq_merge *merges;
    size_t count;
    DQ_TRY(dq_tokenizer_merges(tokenizer, &merges, &count, error));
    const char **texts = malloc((count + 1) * sizeof *texts);
    size_t *lengths = malloc((count + 1) * sizeof *lengths), at = 0;
    dq_buffer lines = {0};
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *text = dq_vocabulary_text(&tokenizer->vocabulary, merges[i].left, &length);
        dq_buffer_put(&lines, text, length);
        dq_buffer_put(&lines, " ", 1);
        text = dq_vocabulary_text(&tokenizer->vocabulary, merges[i].right, &length);
        dq_buffer_put(&lines, text, length);
        if (lengths) lengths[i] = lines.size - at;
        at = lines.size;
    }
    at = 0;
    bool enough = texts && lengths && !lines.failed;
    for (size_t i = 0; enough && i < count; at += lengths[i++]) texts[i] = lines.data + at;
    if (enough) dq_gguf_set_strings(writer, "tokenizer.ggml.merges", texts, lengths, count);
    free(texts);
    free(lengths);
    free(merges);
    dq_buffer_free(&lines);
    return enough ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its merges", tokenizer->source);
}

/* ---- Keys ------------------------------------------------------------------------------------------------------ */

/* What is put around a text may be BOS and EOS alone. */
static dlqat_status set_additions(const dq_tokenizer *tokenizer, dq_gguf_writer *writer, dlqat_error *error) {
    const dq_ids *prefix = &tokenizer->prefix, *suffix = &tokenizer->suffix;
    bool bos = prefix->count == 1 && prefix->at[0] == tokenizer->bos;
    bool eos = suffix->count == 1 && suffix->at[0] == tokenizer->eos;
    if ((prefix->count && !bos) || (suffix->count && !eos))
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: the tokenizer puts tokens other than BOS and EOS around a text, which GGUF cannot say",
                       tokenizer->source);
    dq_gguf_set_bool(writer, "tokenizer.ggml.add_bos_token", bos);
    dq_gguf_set_bool(writer, "tokenizer.ggml.add_eos_token", eos);
    return DLQAT_OK;
}

static void set_ids(const dq_tokenizer *tokenizer, dq_gguf_writer *writer) {
    const int32_t ids[] = {tokenizer->bos, tokenizer->eos, tokenizer->unk, tokenizer->pad};
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id"};
    for (size_t i = 0; i < 4; i++)
        if (ids[i] >= 0) dq_gguf_set_u32(writer, keys[i], (uint32_t)ids[i]);
}

dlqat_status dq_tokenizer_save_gguf(const dq_tokenizer *tokenizer, dq_gguf_writer *writer, int64_t vocabulary_size,
                                    dlqat_error *error) {
    kind k;
    DQ_TRY(find_kind(tokenizer, &k, error));
    if (vocabulary_size < (int64_t)tokenizer->vocabulary.count || vocabulary_size > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: the tokenizer has %zu ids, but the model's embedding has %lld rows", tokenizer->source,
                       tokenizer->vocabulary.count, (long long)vocabulary_size);
    table t = {0};
    dlqat_status status = make_table(&t, tokenizer, !k.pre, (size_t)vocabulary_size, error);
    if (status == DLQAT_OK) {
        dq_gguf_set_string(writer, "tokenizer.ggml.model", k.pre ? "gpt2" : "llama");
        dq_gguf_set_string(writer, "tokenizer.ggml.pre", k.pre ? k.pre->name : "default");
        dq_gguf_set_strings(writer, "tokenizer.ggml.tokens", t.texts, t.lengths, t.count);
        if (!k.pre) dq_gguf_set_f32s(writer, "tokenizer.ggml.scores", t.scores, t.count);
        dq_gguf_set_i32s(writer, "tokenizer.ggml.token_type", t.types, t.count);
        dq_gguf_set_bool(writer, "tokenizer.ggml.add_space_prefix", k.space_prefix);
        set_ids(tokenizer, writer);
        status = set_additions(tokenizer, writer, error);
    }
    free_table(&t);
    DQ_TRY(status);
    if (k.pre) DQ_TRY(set_merges(tokenizer, writer, error));
    if (tokenizer->chat_template) dq_gguf_set_string(writer, "tokenizer.chat_template", tokenizer->chat_template);
    return DLQAT_OK;
}
