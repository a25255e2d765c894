#include "text/tokenizer_parts.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- Making one ------------------------------------------------------------------------------------------------ */

dlqat_status dq_tokenizer_new(dq_tokenizer **out, const char *path, dlqat_error *error) {
    *out = NULL;
    dq_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    size_t size = strlen(path) + 1;
    char *source = malloc(size);
    if (!tokenizer || !source) {
        free(tokenizer);
        free(source);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the tokenizer", path);
    }
    memcpy(source, path, size);
    tokenizer->source = source;
    tokenizer->bos = tokenizer->eos = tokenizer->unk = tokenizer->pad = -1;
    tokenizer->bpe.unk = -1;
    *out = tokenizer;
    return DLQAT_OK;
}

void dq_tokenizer_close(dq_tokenizer *tokenizer) {
    if (!tokenizer) return;
    free(tokenizer->source);
    free(tokenizer->added_index);
    free(tokenizer->chat_template);
    dq_vocabulary_free(&tokenizer->vocabulary);
    dq_added_tokens_free(&tokenizer->added);
    dq_steps_free(&tokenizer->normalizer);
    dq_steps_free(&tokenizer->pretokenizer);
    dq_steps_free(&tokenizer->decoder);
    dq_bpe_free(&tokenizer->bpe);
    dq_ids_free(&tokenizer->prefix);
    dq_ids_free(&tokenizer->suffix);
    free(tokenizer);
}

dlqat_status dq_tokenizer_add_token(dq_tokenizer *tokenizer, const dq_added_token *token, dlqat_error *error) {
    dq_vocabulary *vocabulary = &tokenizer->vocabulary;
    const char *where = tokenizer->source;
    if (!token->length) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the added token %d is empty", where, token->id);
    size_t length;
    int32_t known = dq_vocabulary_find(vocabulary, token->content, token->length);
    const char *text = dq_vocabulary_text(vocabulary, token->id, &length);
    bool same = text && length == token->length && !memcmp(text, token->content, length);
    if ((text && !same) || (known >= 0 && known != token->id))
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: the added token \"%.60s\" has the id %d, but the vocabulary says otherwise", where,
                       token->content, token->id);
    if (!same) DQ_TRY(dq_vocabulary_add(vocabulary, token->id, token->content, token->length, false, error));
    return dq_added_tokens_add(&tokenizer->added, token, error);
}

/* Enters a token where texts are searched for it, and notes how it is shown. */
static dlqat_status insert_token(dq_tokenizer *tokenizer, size_t index, dq_buffer *text, dlqat_error *error) {
    dq_added_tokens *added = &tokenizer->added;
    dq_added_token *token = &added->at[index];
    text->size = 0;
    if (token->normalized)
        DQ_TRY(dq_normalize(&tokenizer->normalizer, token->content, token->length, text, error));
    else
        dq_buffer_put(text, token->content, token->length);
    DQ_TRY(dq_buffer_check(text, "added tokens", error));
    free(token->shown); /* of an earlier entry of the same token */
    token->shown = malloc(text->size + 1);
    if (!token->shown) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for added tokens", tokenizer->source);
    memcpy(token->shown, text->data, text->size);
    token->shown_length = text->size;
    return dq_trie_insert(token->normalized ? &added->normalized : &added->raw, text->data, text->size, (int32_t)index,
                          error);
}

static dlqat_status insert_tokens(dq_tokenizer *tokenizer, dlqat_error *error) {
    dq_buffer text = {0};
    dlqat_status status = DLQAT_OK;
    for (int special = 1; special >= 0; special--) /* of equal strings a special token's counts */
        for (size_t i = 0; i < tokenizer->added.count && status == DLQAT_OK; i++)
            if (tokenizer->added.at[i].special == special) status = insert_token(tokenizer, i, &text, error);
    dq_buffer_free(&text);
    return status;
}

dlqat_status dq_tokenizer_finish(dq_tokenizer *tokenizer, dlqat_error *error) {
    size_t count = tokenizer->vocabulary.count;
    if (!count) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the vocabulary is empty", tokenizer->source);
    tokenizer->added_index = malloc(count * sizeof *tokenizer->added_index);
    tokenizer->bpe.forbidden = calloc(count, sizeof *tokenizer->bpe.forbidden);
    if (!tokenizer->added_index || !tokenizer->bpe.forbidden)
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the tokenizer", tokenizer->source);
    for (size_t id = 0; id < count; id++) tokenizer->added_index[id] = -1;
    for (size_t i = 0; i < tokenizer->added.count; i++) {
        const dq_added_token *token = &tokenizer->added.at[i];
        tokenizer->added_index[token->id] = (int32_t)i;
        /* Such a string never reaches the model but for DQ_ENCODE_NO_ADDED, whose promise is that it is mere text. */
        tokenizer->bpe.forbidden[token->id] = token->special && !token->single_word && !token->normalized;
    }
    /* Without tokenizer_config.json nothing names BOS and EOS; what is put around a text is them. */
    if (tokenizer->bos < 0 && tokenizer->prefix.count == 1) tokenizer->bos = tokenizer->prefix.at[0];
    if (tokenizer->eos < 0 && tokenizer->suffix.count == 1) tokenizer->eos = tokenizer->suffix.at[0];
    DQ_TRY(insert_tokens(tokenizer, error));
    dq_bpe_finish(&tokenizer->bpe, &tokenizer->vocabulary);
    return DLQAT_OK;
}

/* ---- Encoding -------------------------------------------------------------------------------------------------- */

struct dq_encoder {
    const dq_tokenizer *tokenizer;
    dq_buffer repaired, normalized;
    dq_pieces words;
    dq_bpe_scratch scratch;
    /* of the text at hand */
    bool skip_special;
    dq_ids *ids;
    dlqat_error *error;
};

static dlqat_status encode_plain(dq_encoder *e, const char *text, size_t length, bool first) {
    const dq_tokenizer *tokenizer = e->tokenizer;
    DQ_TRY(dq_pretokenize(&tokenizer->pretokenizer, text, length, first, &e->words, e->error));
    size_t start = 0;
    for (size_t i = 0; i < e->words.count; start = e->words.ends[i++])
        DQ_TRY(dq_bpe_encode(&tokenizer->bpe, &e->scratch, e->words.text.data + start, e->words.ends[i] - start, e->ids,
                             e->error));
    return DLQAT_OK;
}

/* Text between raw added tokens: normalized, then searched for normalized ones. */
static dlqat_status encode_segment(dq_encoder *e, const char *text, size_t length, bool first) {
    const dq_tokenizer *tokenizer = e->tokenizer;
    if (!length) return DLQAT_OK;
    e->normalized.size = 0;
    if (tokenizer->normalizer.count) {
        DQ_TRY(dq_normalize(&tokenizer->normalizer, text, length, &e->normalized, e->error));
        text = e->normalized.data;
        length = e->normalized.size;
    }
    dq_added_walk walk = {.tokens = &tokenizer->added,
                          .trie = &tokenizer->added.normalized,
                          .text = text,
                          .length = length,
                          .skip_special = e->skip_special};
    const dq_added_token *token;
    do {
        size_t start, end;
        token = dq_added_next(&walk, &start, &end);
        if (start < end) DQ_TRY(encode_plain(e, text + start, end - start, first && start == 0));
        if (token) DQ_TRY(dq_ids_add(e->ids, token->id, e->error));
    } while (token);
    return DLQAT_OK;
}

static dlqat_status encode_text(dq_encoder *e, const char *text, size_t length) {
    dq_added_walk walk = {.tokens = &e->tokenizer->added,
                          .trie = &e->tokenizer->added.raw,
                          .text = text,
                          .length = length,
                          .skip_special = e->skip_special};
    const dq_added_token *token;
    do {
        size_t start, end;
        token = dq_added_next(&walk, &start, &end);
        if (start < end) DQ_TRY(encode_segment(e, text + start, end - start, start == 0));
        if (token) DQ_TRY(dq_ids_add(e->ids, token->id, e->error));
    } while (token);
    return DLQAT_OK;
}

static dlqat_status add_all(dq_ids *ids, const dq_ids *more, dlqat_error *error) {
    for (size_t i = 0; i < more->count; i++) DQ_TRY(dq_ids_add(ids, more->at[i], error));
    return DLQAT_OK;
}

dlqat_status dq_encoder_encode(dq_encoder *e, const char *text, size_t length, unsigned flags, dq_ids *ids,
                               dlqat_error *error) {
    const dq_tokenizer *tokenizer = e->tokenizer;
    e->ids = ids;
    e->error = error;
    e->skip_special = flags & DQ_ENCODE_NO_ADDED;
    if (!dq_utf8_valid(text, length)) {
        e->repaired.size = 0;
        dq_utf8_repair(text, length, &e->repaired);
        DQ_TRY(dq_buffer_check(&e->repaired, "the text", error));
        text = e->repaired.data;
        length = e->repaired.size;
    }
    const bool around = flags & DQ_ENCODE_SPECIAL;
    if (around) DQ_TRY(add_all(ids, &tokenizer->prefix, error));
    DQ_TRY(encode_text(e, text, length));
    return around ? add_all(ids, &tokenizer->suffix, error) : DLQAT_OK;
}

static void free_encoder(dq_encoder *e) {
    dq_buffer_free(&e->repaired);
    dq_buffer_free(&e->normalized);
    dq_pieces_free(&e->words);
    dq_bpe_scratch_free(&e->scratch);
}

/* Without it every word is merged anew, so its want is no error. */
static void remember_words(dq_encoder *e) {
    e->scratch.memo = calloc(DQ_MEMO_WORDS, sizeof *e->scratch.memo);
}

dlqat_status dq_tokenizer_encode(const dq_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                                 dq_ids *ids, dlqat_error *error) {
    enum { LONG_TEXT = 1 << 14 }; /* in which words come back often enough */
    dq_encoder e = {.tokenizer = tokenizer};
    if (length >= LONG_TEXT) remember_words(&e);
    dlqat_status status = dq_encoder_encode(&e, text, length, flags, ids, error);
    free_encoder(&e);
    return status;
}

dlqat_status dq_encoder_open(dq_encoder **encoder, const dq_tokenizer *tokenizer, dlqat_error *error) {
    *encoder = calloc(1, sizeof **encoder);
    if (!*encoder) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for an encoder");
    (*encoder)->tokenizer = tokenizer;
    remember_words(*encoder);
    return DLQAT_OK;
}

void dq_encoder_close(dq_encoder *encoder) {
    if (!encoder) return;
    free_encoder(encoder);
    free(encoder);
}

/* ---- Decoding -------------------------------------------------------------------------------------------------- */

static const char *shown_text(const dq_tokenizer *tokenizer, int32_t id, size_t *length) {
    int32_t index = tokenizer->added_index[id];
    if (index < 0) return dq_vocabulary_text(&tokenizer->vocabulary, id, length);
    *length = tokenizer->added.at[index].shown_length;
    return tokenizer->added.at[index].shown;
}

dlqat_status dq_tokenizer_decode(const dq_tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special,
                                 dq_buffer *text, dlqat_error *error) {
    dq_pieces tokens = {0};
    dlqat_status status = DLQAT_OK;
    for (size_t i = 0; i < count && status == DLQAT_OK; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= tokenizer->vocabulary.count) {
            status = dq_fail(error, DLQAT_ERROR_INPUT, "the id %d is not in the vocabulary: expected one from 0 to %zu",
                             ids[i], tokenizer->vocabulary.count - 1);
            break;
        }
        if (skip_special && dq_tokenizer_is_special(tokenizer, ids[i])) continue;
        size_t length;
        const char *token = shown_text(tokenizer, ids[i], &length);
        if (!token) continue;
        dq_buffer_put(&tokens.text, token, length);
        status = dq_pieces_end(&tokens, error);
    }
    if (status == DLQAT_OK) status = dq_buffer_check(&tokens.text, "decoded text", error);
    if (status == DLQAT_OK) status = dq_detokenize(&tokenizer->decoder, tokenizer->has_decoder, &tokens, text, error);
    dq_pieces_free(&tokens);
    return status;
}

/* ---- Asking ---------------------------------------------------------------------------------------------------- */

int32_t dq_tokenizer_vocabulary_size(const dq_tokenizer *tokenizer) {
    return (int32_t)tokenizer->vocabulary.count;
}
int32_t dq_tokenizer_bos(const dq_tokenizer *tokenizer) {
    return tokenizer->bos;
}
int32_t dq_tokenizer_eos(const dq_tokenizer *tokenizer) {
    return tokenizer->eos;
}

bool dq_tokenizer_adds_bos(const dq_tokenizer *tokenizer) {
    return tokenizer->bos >= 0 && tokenizer->prefix.count && tokenizer->prefix.at[0] == tokenizer->bos;
}

int32_t dq_tokenizer_find(const dq_tokenizer *tokenizer, const char *token) {
    size_t length = strlen(token);
    for (size_t i = 0; i < tokenizer->added.count; i++) {
        const dq_added_token *added = &tokenizer->added.at[i];
        if (added->length == length && !memcmp(added->content, token, length)) return added->id;
    }
    return dq_vocabulary_find(&tokenizer->vocabulary, token, length);
}

const char *dq_tokenizer_token(const dq_tokenizer *tokenizer, int32_t id, size_t *length) {
    return dq_vocabulary_text(&tokenizer->vocabulary, id, length);
}

bool dq_tokenizer_is_special(const dq_tokenizer *tokenizer, int32_t id) {
    if (id < 0 || (size_t)id >= tokenizer->vocabulary.count || tokenizer->added_index[id] < 0) return false;
    return tokenizer->added.at[tokenizer->added_index[id]].special;
}

const char *dq_tokenizer_chat_template(const dq_tokenizer *tokenizer) {
    return tokenizer->chat_template;
}
