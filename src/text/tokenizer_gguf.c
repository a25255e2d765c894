/* Tokenizers of GGUF files: tokenizer.ggml.model "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE). */
#include "text/tokenizer_parts.h"

#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* tokenizer.ggml.token_type */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

typedef struct reading {
    dq_tokenizer *tokenizer;
    const dq_gguf *file;
    const char *where;
    double *types; /* by id */
    size_t count;
    dlqat_error *error;
} reading;

static int type_of(const reading *r, size_t id) {
    double type = r->types ? r->types[id] : TYPE_NORMAL;
    return type >= TYPE_NORMAL && type <= TYPE_BYTE ? (int)type : TYPE_UNUSED;
}

/* Numbers of an array that must be as long as the list of tokens; NULL with OK when it is absent. */
static dlqat_status read_numbers(const reading *r, const char *key, double **numbers) {
    *numbers = NULL;
    size_t length = dq_gguf_array_length(r->file, key, NULL);
    if (!dq_gguf_has(r->file, key)) return DLQAT_OK;
    if (length != r->count)
        return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: %s has %zu elements, expected one for each of the %zu tokens",
                       r->where, key, length, r->count);
    *numbers = malloc(r->count * sizeof **numbers);
    if (!*numbers) return dq_fail(r->error, DLQAT_ERROR_MEMORY, "%s: no memory for %s", r->where, key);
    return dq_gguf_array_numbers(r->file, key, *numbers, r->count, r->error);
}

static dlqat_status read_tokens(const reading *r) {
    static const char key[] = "tokenizer.ggml.tokens";
    dq_tokenizer *tokenizer = r->tokenizer;
    DQ_TRY(dq_vocabulary_start(&tokenizer->vocabulary, r->where, r->count, r->error));
    for (size_t id = 0; id < r->count; id++) {
        const char *text;
        size_t length;
        DQ_TRY(dq_gguf_array_string(r->file, key, id, &text, &length, r->error));
        if (!dq_utf8_valid(text, length))
            return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: token %zu is not well-formed UTF-8", r->where, id);
        DQ_TRY(dq_vocabulary_add(&tokenizer->vocabulary, (int64_t)id, text, length, true, r->error));
        int type = type_of(r, id);
        if (!length || (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER_DEFINED)) continue;
        dq_added_token token = {
            .id = (int32_t)id, .content = (char *)text, .length = length, .special = type != TYPE_USER_DEFINED};
        DQ_TRY(dq_tokenizer_add_token(tokenizer, &token, r->error));
    }
    return DLQAT_OK;
}

static dlqat_status read_id(const reading *r, const char *key, int32_t *id) {
    int64_t value = *id;
    DQ_TRY(dq_gguf_get_int(r->file, key, &value, r->error));
    bool missing = value == -1 || value == UINT32_MAX || (size_t)*id == (size_t)value; /* none, or our own default */
    if (!dq_vocabulary_text(&r->tokenizer->vocabulary, value, NULL)) {
        if (!missing)
            return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: %s is %lld, which is no token", r->where, key,
                           (long long)value);
        value = -1;
    }
    *id = (int32_t)value;
    return DLQAT_OK;
}

static dlqat_status read_ids(const reading *r, bool add_bos, bool add_eos) {
    dq_tokenizer *t = r->tokenizer;
    DQ_TRY(read_id(r, "tokenizer.ggml.bos_token_id", &t->bos));
    DQ_TRY(read_id(r, "tokenizer.ggml.eos_token_id", &t->eos));
    DQ_TRY(read_id(r, "tokenizer.ggml.unknown_token_id", &t->unk));
    DQ_TRY(read_id(r, "tokenizer.ggml.padding_token_id", &t->pad));
    DQ_TRY(dq_gguf_get_bool(r->file, "tokenizer.ggml.add_bos_token", &add_bos, r->error));
    DQ_TRY(dq_gguf_get_bool(r->file, "tokenizer.ggml.add_eos_token", &add_eos, r->error));
    if (add_bos && t->bos >= 0) DQ_TRY(dq_ids_add(&t->prefix, t->bos, r->error));
    if (add_eos && t->eos >= 0) DQ_TRY(dq_ids_add(&t->suffix, t->eos, r->error));
    return DLQAT_OK;
}

static dlqat_status read_template(const reading *r) {
    const char *text = NULL;
    size_t length = 0;
    DQ_TRY(dq_gguf_get_string(r->file, "tokenizer.chat_template", &text, &length, r->error));
    if (!text) return DLQAT_OK;
    char *copy = malloc(length + 1);
    if (!copy) return dq_fail(r->error, DLQAT_ERROR_MEMORY, "%s: no memory for the chat template", r->where);
    memcpy(copy, text, length);
    copy[length] = '\0';
    r->tokenizer->chat_template = copy;
    return DLQAT_OK;
}

/* ---- Byte-level BPE -------------------------------------------------------------------------------------------- */

static dlqat_status read_merges(const reading *r) {
    static const char key[] = "tokenizer.ggml.merges";
    size_t count = dq_gguf_array_length(r->file, key, NULL);
    if (!dq_gguf_has(r->file, key)) return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: %s is missing", r->where, key);
    DQ_TRY(dq_bpe_reserve(&r->tokenizer->bpe, count, r->error));
    dq_buffer joint = {0};
    dlqat_status status = DLQAT_OK;
    for (size_t rank = 0; rank < count && status == DLQAT_OK; rank++) {
        const char *text;
        size_t length;
        DQ_TRY_GOTO(status, dq_gguf_array_string(r->file, key, rank, &text, &length, r->error), done);
        const char *space =
            length > 1 ? memchr(text + 1, ' ', length - 1) : NULL; /* as llama.cpp: not the first byte */
        if (!space) {
            status = dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: merge %zu must be two tokens with a space between",
                             r->where, rank);
            break;
        }
        const char *sides[2] = {text, space + 1};
        size_t lengths[2] = {(size_t)(space - text), length - (size_t)(space - text) - 1};
        status = dq_tokenizer_add_merge(r->tokenizer, sides, lengths, (uint32_t)rank, &joint, r->error);
    }
done:
    dq_buffer_free(&joint);
    return status;
}

static dlqat_status read_byte_level(const reading *r) {
    dq_tokenizer *t = r->tokenizer;
    const char *name = "default"; /* llama.cpp's reading of a file without the key */
    DQ_TRY(dq_gguf_get_string(r->file, "tokenizer.ggml.pre", &name, NULL, r->error));
    const dq_pre *pre = dq_pre_by_name(name);
    if (!pre)
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: the pre-tokenizer \"%.80s\" (tokenizer.ggml.pre) is not supported", r->where, name);
    for (size_t i = 0; i < DQ_PRE_PATTERNS && pre->patterns[i]; i++) {
        dq_step split = {
            .kind = DQ_STEP_SPLIT, .source = (char *)pre->patterns[i], .source_length = strlen(pre->patterns[i])};
        DQ_TRY(dq_steps_add(&t->pretokenizer, &split, r->where, r->error));
    }
    dq_step bytes = {.kind = DQ_STEP_BYTE_LEVEL};
    DQ_TRY(dq_steps_add(&t->pretokenizer, &bytes, r->where, r->error));
    DQ_TRY(dq_steps_add(&t->decoder, &bytes, r->where, r->error));
    t->has_decoder = true;
    t->bpe.ignore_merges = pre->ignore_merges;
    DQ_TRY(read_merges(r));
    return read_ids(r, pre->add_bos, false);
}

/* ---- SentencePiece --------------------------------------------------------------------------------------------- */

static dlqat_status read_scores(const reading *r) {
    dq_bpe *bpe = &r->tokenizer->bpe;
    double *scores = NULL;
    dlqat_status status = read_numbers(r, "tokenizer.ggml.scores", &scores);
    if (status == DLQAT_OK && !scores)
        status = dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: tokenizer.ggml.scores is missing", r->where);
    bpe->scores = calloc(r->count, sizeof *bpe->scores);
    bpe->mergeable = calloc(r->count, sizeof *bpe->mergeable);
    if (status == DLQAT_OK && (!bpe->scores || !bpe->mergeable))
        status = dq_fail(r->error, DLQAT_ERROR_MEMORY, "%s: no memory for the scores", r->where);
    for (size_t id = 0; id < r->count && status == DLQAT_OK; id++) {
        int type = type_of(r, id);
        bpe->mergeable[id] = type == TYPE_NORMAL || type == TYPE_USER_DEFINED || type == TYPE_UNUSED;
        bpe->scores[id] = (float)scores[id];
        if (!isfinite(bpe->scores[id]))
            status =
                dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: the score of token %zu is not a finite number", r->where, id);
    }
    free(scores);
    return status;
}

static dlqat_status read_sentencepiece(const reading *r) {
    dq_tokenizer *t = r->tokenizer;
    bool prefix = true;
    DQ_TRY(dq_gguf_get_bool(r->file, "tokenizer.ggml.add_space_prefix", &prefix, r->error));
    DQ_TRY(read_scores(r));
    t->bos = 1; /* llama.cpp's defaults */
    t->eos = 2;
    t->unk = 0;
    DQ_TRY(read_ids(r, true, false));
    t->bpe.unk = t->unk;
    t->bpe.byte_fallback = t->bpe.fuse_unk = true;
    return dq_tokenizer_metaspace(t, prefix, true, false, r->error);
}

static dlqat_status read_all(reading *r) {
    const char *model = NULL;
    DQ_TRY(dq_gguf_get_string(r->file, "tokenizer.ggml.model", &model, NULL, r->error));
    dq_gguf_type type = DQ_GGUF_STRING;
    r->count = dq_gguf_array_length(r->file, "tokenizer.ggml.tokens", &type);
    if (!model || !r->count)
        return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: the file has no tokenizer (tokenizer.ggml.model and tokens)",
                       r->where);
    bool bytes = !strcmp(model, "gpt2");
    if (!bytes && strcmp(model, "llama"))
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: a tokenizer of the kind \"%.80s\" (tokenizer.ggml.model) is not supported, only \"gpt2\" "
                       "and \"llama\"",
                       r->where, model);
    DQ_TRY(read_numbers(r, "tokenizer.ggml.token_type", &r->types));
    DQ_TRY(read_tokens(r));
    DQ_TRY(bytes ? read_byte_level(r) : read_sentencepiece(r));
    return read_template(r);
}

dlqat_status dq_tokenizer_from_gguf(dq_tokenizer **out, const dq_gguf *file, dlqat_error *error) {
    *out = NULL;
    dq_tokenizer *tokenizer;
    DQ_TRY(dq_tokenizer_new(&tokenizer, dq_gguf_path(file), error));
    reading r = {.tokenizer = tokenizer, .file = file, .where = tokenizer->source, .error = error};
    dlqat_status status = read_all(&r);
    free(r.types);
    if (status == DLQAT_OK) status = dq_tokenizer_finish(tokenizer, error);
    if (status == DLQAT_OK)
        *out = tokenizer;
    else
        dq_tokenizer_close(tokenizer);
    return status;
}
