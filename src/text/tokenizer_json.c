/* tokenizer.json of Hugging Face's `tokenizers`: vocabulary, merges, added tokens, post-processor. */
#include "text/tokenizer_parts.h"

#include "base/json.h"

#include <string.h>

typedef struct reading {
    dq_tokenizer *tokenizer;
    const char *where;
    dlqat_error *error;
} reading;

static dlqat_status wrong(const reading *r, const char *what, const char *expected) {
    return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: %s must be %s", r->where, what, expected);
}

/* ---- Model ----------------------------------------------------------------------------------------------------- */

static dlqat_status read_vocabulary(const reading *r, const json_t *vocabulary) {
    void *iterator = json_object_iter((json_t *)vocabulary);
    for (; iterator; iterator = json_object_iter_next((json_t *)vocabulary, iterator)) {
        const char *token = json_object_iter_key(iterator);
        const json_t *id = json_object_iter_value(iterator);
        if (!json_is_integer(id))
            return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: the id of token \"%.60s\" must be a whole number",
                           r->where, token);
        DQ_TRY(dq_vocabulary_add(&r->tokenizer->vocabulary, json_integer_value(id), token,
                                 json_object_iter_key_len(iterator), true, r->error));
    }
    return DLQAT_OK;
}

/* "left right", or ["left", "right"]; *text and *length cover the first form. */
static dlqat_status merge_sides(const reading *r, const json_t *merge, const char *sides[2], size_t lengths[2]) {
    if (json_is_array(merge) && json_array_size(merge) == 2 && json_is_string(json_array_get(merge, 0)) &&
        json_is_string(json_array_get(merge, 1))) {
        for (size_t i = 0; i < 2; i++) {
            sides[i] = json_string_value(json_array_get(merge, i));
            lengths[i] = json_string_length(json_array_get(merge, i));
        }
        return DLQAT_OK;
    }
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge);
        size_t length = json_string_length(merge);
        const char *space = memchr(text, ' ', length);
        if (space && !memchr(space + 1, ' ', length - (size_t)(space + 1 - text))) {
            sides[0] = text;
            lengths[0] = (size_t)(space - text);
            sides[1] = space + 1;
            lengths[1] = length - lengths[0] - 1;
            return DLQAT_OK;
        }
    }
    return wrong(r, "each of \"merges\"", "two tokens: \"left right\" or [\"left\", \"right\"]");
}

static dlqat_status read_merges(const reading *r, const json_t *merges) {
    dq_tokenizer *tokenizer = r->tokenizer;
    size_t count = json_array_size(merges), index;
    if (count >= INT32_MAX / 2) return wrong(r, "the number of \"merges\"", "below a billion");
    DQ_TRY(dq_bpe_reserve(&tokenizer->bpe, count, r->error));
    const json_t *merge;
    dq_buffer joint = {0};
    dlqat_status status = DLQAT_OK;
    uint32_t rank = 0;
    json_array_foreach(merges, index, merge) {
        const char *sides[2];
        size_t lengths[2];
        if (json_is_string(merge) && !strncmp(json_string_value(merge), "#version", 8)) continue;
        DQ_TRY_GOTO(status, merge_sides(r, merge, sides, lengths), done);
        status = dq_tokenizer_add_merge(tokenizer, sides, lengths, rank++, &joint, r->error);
        if (status != DLQAT_OK) goto done;
    }
done:
    dq_buffer_free(&joint);
    return status;
}

/* Variants of BPE that would give other ids if they were passed over. */
static dlqat_status refuse_variants(const reading *r, const json_t *model) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout = 0;
    DQ_TRY(dq_json_get_real(model, "dropout", r->where, &dropout, r->error));
    if (dropout != 0)
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "%s: a model with \"dropout\" is not supported", r->where);
    for (size_t i = 0; i < 2; i++) {
        const char *affix = "";
        DQ_TRY(dq_json_get_string(model, affixes[i], r->where, &affix, r->error));
        if (*affix)
            return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "%s: a model with \"%s\" is not supported", r->where,
                           affixes[i]);
    }
    return DLQAT_OK;
}

static dlqat_status read_model(const reading *r, const json_t *model, size_t added_count) {
    dq_bpe *bpe = &r->tokenizer->bpe;
    if (!json_is_object(model)) return wrong(r, "\"model\"", "an object");
    const json_t *merges = json_object_get(model, "merges"), *vocabulary = json_object_get(model, "vocab");
    const char *type = merges ? "BPE" : "without a name"; /* early files leave the name out */
    DQ_TRY(dq_json_get_string(model, "type", r->where, &type, r->error));
    if (strcmp(type, "BPE"))
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: a model of type \"%.80s\" is not supported, only \"BPE\" is", r->where, type);
    DQ_TRY(refuse_variants(r, model));
    DQ_TRY(dq_json_get_bool(model, "byte_fallback", r->where, &bpe->byte_fallback, r->error));
    DQ_TRY(dq_json_get_bool(model, "fuse_unk", r->where, &bpe->fuse_unk, r->error));
    DQ_TRY(dq_json_get_bool(model, "ignore_merges", r->where, &bpe->ignore_merges, r->error));
    if (!json_is_object(vocabulary)) return wrong(r, "\"vocab\"", "an object of tokens and their ids");
    if (!json_is_array(merges)) return wrong(r, "\"merges\"", "an array");
    DQ_TRY(
        dq_vocabulary_start(&r->tokenizer->vocabulary, r->where, json_object_size(vocabulary) + added_count, r->error));
    DQ_TRY(read_vocabulary(r, vocabulary));
    return read_merges(r, merges);
}

static dlqat_status read_unk(const reading *r, const json_t *model) {
    const char *unk = NULL;
    DQ_TRY(dq_json_get_string(model, "unk_token", r->where, &unk, r->error));
    if (!unk) return DLQAT_OK;
    r->tokenizer->unk = r->tokenizer->bpe.unk = dq_tokenizer_find(r->tokenizer, unk);
    if (r->tokenizer->unk < 0)
        return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: the unk_token \"%.60s\" is not in the vocabulary", r->where,
                       unk);
    return DLQAT_OK;
}

/* ---- Added tokens ---------------------------------------------------------------------------------------------- */

static dlqat_status read_added(const reading *r, const json_t *list) {
    const json_t *item;
    size_t index;
    json_array_foreach(list, index, item) {
        const json_t *content = json_object_get(item, "content"), *id = json_object_get(item, "id");
        if (!json_is_string(content) || !json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            return wrong(r, "each of \"added_tokens\"",
                         "an object with a string \"content\" and a whole number \"id\"");
        dq_added_token token = {.id = (int32_t)json_integer_value(id),
                                .content = (char *)json_string_value(content),
                                .length = json_string_length(content),
                                .normalized = true};
        DQ_TRY(dq_json_get_bool(item, "special", r->where, &token.special, r->error));
        token.normalized = !token.special;
        DQ_TRY(dq_json_get_bool(item, "single_word", r->where, &token.single_word, r->error));
        DQ_TRY(dq_json_get_bool(item, "lstrip", r->where, &token.lstrip, r->error));
        DQ_TRY(dq_json_get_bool(item, "rstrip", r->where, &token.rstrip, r->error));
        DQ_TRY(dq_json_get_bool(item, "normalized", r->where, &token.normalized, r->error));
        DQ_TRY(dq_tokenizer_add_token(r->tokenizer, &token, r->error));
    }
    return DLQAT_OK;
}

/* ---- Post-processor -------------------------------------------------------------------------------------------- */

static dlqat_status template_ids(const reading *r, const json_t *processor, const char *name, dq_ids *out) {
    const json_t *entry = json_object_get(json_object_get(processor, "special_tokens"), name);
    const json_t *ids = json_object_get(entry, "ids"), *id;
    size_t index;
    if (!json_is_array(ids))
        return wrong(r, "\"special_tokens\" of a TemplateProcessing", "an object with the \"ids\" of each");
    json_array_foreach(ids, index, id) {
        if (!json_is_integer(id) || !dq_vocabulary_text(&r->tokenizer->vocabulary, json_integer_value(id), NULL))
            return wrong(r, "each id of a TemplateProcessing", "one of the vocabulary's");
        DQ_TRY(dq_ids_add(out, (int32_t)json_integer_value(id), r->error));
    }
    return DLQAT_OK;
}

/* What stands around A: before goes in front of the prefix so far, after behind the suffix so far. */
static dlqat_status wrap(const reading *r, dq_ids *before, const dq_ids *after) {
    dq_tokenizer *tokenizer = r->tokenizer;
    for (size_t i = 0; i < tokenizer->prefix.count; i++) DQ_TRY(dq_ids_add(before, tokenizer->prefix.at[i], r->error));
    dq_ids inner = tokenizer->prefix;
    tokenizer->prefix = *before;
    *before = inner;
    for (size_t i = 0; i < after->count; i++) DQ_TRY(dq_ids_add(&tokenizer->suffix, after->at[i], r->error));
    return DLQAT_OK;
}

static dlqat_status read_template(const reading *r, const json_t *processor) {
    const json_t *single = json_object_get(processor, "single"), *piece;
    dq_ids before = {0}, after = {0};
    size_t index, texts = 0;
    dlqat_status status = DLQAT_OK;
    json_array_foreach(single, index, piece) {
        const char *special = json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
        const char *sequence = json_string_value(json_object_get(json_object_get(piece, "Sequence"), "id"));
        if (special)
            status = template_ids(r, processor, special, texts ? &after : &before);
        else if (!sequence || strcmp(sequence, "A") || texts++)
            status = wrong(r, "\"single\" of a TemplateProcessing", "special tokens around one Sequence A");
        if (status != DLQAT_OK) break;
    }
    if (status == DLQAT_OK && texts != 1)
        status = wrong(r, "\"single\" of a TemplateProcessing", "an array with one Sequence A");
    if (status == DLQAT_OK) status = wrap(r, &before, &after);
    dq_ids_free(&before);
    dq_ids_free(&after);
    return status;
}

static dlqat_status read_post_processor(const reading *r, const json_t *processor, int depth) {
    enum { DEEPEST = 16 };
    if (!processor || json_is_null(processor)) return DLQAT_OK;
    const char *type = json_string_value(json_object_get(processor, "type"));
    if (!type || depth > DEEPEST) return wrong(r, "\"post_processor\"", "an object with a \"type\"");
    if (!strcmp(type, "ByteLevel")) return DLQAT_OK; /* concerns offsets alone */
    if (!strcmp(type, "TemplateProcessing")) return read_template(r, processor);
    if (strcmp(type, "Sequence"))
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "%s: a post_processor of type \"%.80s\" is not supported",
                       r->where, type);
    const json_t *members = json_object_get(processor, "processors"), *member;
    size_t index;
    if (!json_is_array(members)) return wrong(r, "\"processors\" of a post_processor", "an array");
    json_array_foreach(members, index, member) DQ_TRY(read_post_processor(r, member, depth + 1));
    return DLQAT_OK;
}

/* ---- The file -------------------------------------------------------------------------------------------------- */

dlqat_status dq_tokenizer_read_json(dq_tokenizer *tokenizer, const json_t *root, dlqat_error *error) {
    reading r = {.tokenizer = tokenizer, .where = tokenizer->source, .error = error};
    const json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
    if (!json_is_object(root)) return wrong(&r, "the file", "an object");
    if (added && !json_is_null(added) && !json_is_array(added)) return wrong(&r, "\"added_tokens\"", "an array");
    DQ_TRY(read_model(&r, model, json_array_size(added)));
    DQ_TRY(read_added(&r, added));
    DQ_TRY(read_unk(&r, model));
    DQ_TRY(dq_steps_read_normalizer(&tokenizer->normalizer, json_object_get(root, "normalizer"), r.where, error));
    DQ_TRY(
        dq_steps_read_pretokenizer(&tokenizer->pretokenizer, json_object_get(root, "pre_tokenizer"), r.where, error));
    const json_t *decoder = json_object_get(root, "decoder");
    tokenizer->has_decoder = decoder && !json_is_null(decoder);
    DQ_TRY(dq_steps_read_decoder(&tokenizer->decoder, decoder, r.where, error));
    return read_post_processor(&r, json_object_get(root, "post_processor"), 0);
}
