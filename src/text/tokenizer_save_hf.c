/* tokenizer.json and its companions, written from any tokenizer. */
#include "text/tokenizer_parts.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* jansson's *_new functions take what they are given, NULL included, and fail then: one check at the end of each object is
 * enough. */
typedef struct saving {
    const dq_tokenizer *tokenizer;
    bool failed;
} saving;

static json_t *text_of(const char *text, size_t length) {
    return json_stringn(text ? text : "", text ? length : 0);
}

static json_t *token_of(const dq_tokenizer *tokenizer, int32_t id) {
    size_t length = 0;
    const char *text = dq_vocabulary_text(&tokenizer->vocabulary, id, &length);
    return text ? json_stringn(text, length) : json_null();
}

static void set(saving *s, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value)) s->failed = true;
}

static void append(saving *s, json_t *array, json_t *value) {
    if (json_array_append_new(array, value)) s->failed = true;
}

/* ---- Steps ----------------------------------------------------------------------------------------------------- */

static json_t *pattern_of(saving *s, const dq_step *step) {
    json_t *pattern = json_object();
    set(s, pattern, step->literal ? "String" : "Regex", text_of(step->source, step->source_length));
    return pattern;
}

static json_t *split_of(saving *s, const dq_step *step) {
    static const char *const behaviours[] = {[DQ_SPLIT_ISOLATED] = "Isolated",
                                             [DQ_SPLIT_REMOVED] = "Removed",
                                             [DQ_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                             [DQ_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
                                             [DQ_SPLIT_CONTIGUOUS] = "Contiguous"};
    json_t *object = json_pack("{ss}", "type", "Split");
    set(s, object, "pattern", pattern_of(s, step));
    set(s, object, "behavior", json_string(behaviours[step->behaviour]));
    set(s, object, "invert", json_boolean(step->invert));
    return object;
}

static json_t *metaspace_of(saving *s, const dq_step *step) {
    static const char *const schemes[] = {
        [DQ_PREPEND_ALWAYS] = "always", [DQ_PREPEND_FIRST] = "first", [DQ_PREPEND_NEVER] = "never"};
    json_t *object = json_pack("{ss}", "type", "Metaspace");
    set(s, object, "replacement", text_of(step->content, step->content_length));
    set(s, object, "prepend_scheme", json_string(schemes[step->prepend]));
    set(s, object, "split", json_boolean(step->split));
    return object;
}

static json_t *step_of(saving *s, const dq_step *step) {
    static const char *const forms[] = {[DQ_NFC] = "NFC", [DQ_NFD] = "NFD", [DQ_NFKC] = "NFKC", [DQ_NFKD] = "NFKD"};
    json_t *object = NULL;
    switch (step->kind) {
    case DQ_STEP_UNICODE_FORM:
        return json_pack("{ss}", "type", forms[step->form]);
    case DQ_STEP_BYTE_FALLBACK:
        return json_pack("{ss}", "type", "ByteFallback");
    case DQ_STEP_FUSE:
        return json_pack("{ss}", "type", "Fuse");
    case DQ_STEP_SPLIT:
        return split_of(s, step);
    case DQ_STEP_METASPACE:
        return metaspace_of(s, step);
    case DQ_STEP_BYTE_LEVEL:
        return json_pack("{ss sb sb sb}", "type", "ByteLevel", "add_prefix_space", step->add_prefix_space,
                         "trim_offsets", 1, "use_regex", step->pattern != NULL);
    case DQ_STEP_PREPEND:
        object = json_pack("{ss}", "type", "Prepend");
        set(s, object, "prepend", text_of(step->content, step->content_length));
        return object;
    case DQ_STEP_REPLACE:
        object = json_pack("{ss}", "type", "Replace");
        set(s, object, "pattern", pattern_of(s, step));
        set(s, object, "content", text_of(step->content, step->content_length));
        return object;
    case DQ_STEP_STRIP:
        object =
            json_pack("{ss sI sI}", "type", "Strip", "start", (json_int_t)step->left, "stop", (json_int_t)step->right);
        set(s, object, "content", text_of(step->content, step->content_length));
        return object;
    }
    return object;
}

static json_t *steps_of(saving *s, const dq_steps *steps, const char *members) {
    if (!steps->count) return json_null();
    if (steps->count == 1) return step_of(s, &steps->at[0]);
    json_t *list = json_array();
    for (size_t i = 0; i < steps->count; i++) append(s, list, step_of(s, &steps->at[i]));
    return json_pack("{ss so}", "type", "Sequence", members, list);
}

/* ---- Post-processor -------------------------------------------------------------------------------------------- */

static void add_specials(saving *s, const dq_ids *ids, int type, json_t *list, json_t *specials) {
    for (size_t i = 0; i < ids->count; i++) {
        json_t *name = token_of(s->tokenizer, ids->at[i]);
        const char *key = json_string_value(name) ? json_string_value(name) : "";
        append(s, list, json_pack("{s{ss si}}", "SpecialToken", "id", key, "type_id", type));
        set(s, specials, key, json_pack("{ss s[i] s[s]}", "id", key, "ids", (int)ids->at[i], "tokens", key));
        json_decref(name);
    }
}

static json_t *processor_of(saving *s) {
    const dq_tokenizer *tokenizer = s->tokenizer;
    if (!tokenizer->prefix.count && !tokenizer->suffix.count) return json_null();
    json_t *lists[2], *specials = json_object(); /* of one text, and of two */
    for (int texts = 0; texts < 2; texts++) {
        lists[texts] = json_array();
        for (int text = 0; text <= texts; text++) {
            add_specials(s, &tokenizer->prefix, text, lists[texts], specials);
            append(s, lists[texts], json_pack("{s{ss si}}", "Sequence", "id", text ? "B" : "A", "type_id", text));
            add_specials(s, &tokenizer->suffix, text, lists[texts], specials);
        }
    }
    return json_pack("{ss so so so}", "type", "TemplateProcessing", "single", lists[0], "pair", lists[1],
                     "special_tokens", specials);
}

/* ---- Model ----------------------------------------------------------------------------------------------------- */

static json_t *added_of(saving *s) {
    json_t *list = json_array();
    const dq_added_tokens *added = &s->tokenizer->added;
    for (size_t i = 0; i < added->count; i++) {
        const dq_added_token *token = &added->at[i];
        json_t *object = json_pack("{si}", "id", (int)token->id);
        set(s, object, "content", text_of(token->content, token->length));
        set(s, object, "single_word", json_boolean(token->single_word));
        set(s, object, "lstrip", json_boolean(token->lstrip));
        set(s, object, "rstrip", json_boolean(token->rstrip));
        set(s, object, "normalized", json_boolean(token->normalized));
        set(s, object, "special", json_boolean(token->special));
        append(s, list, object);
    }
    return list;
}

static json_t *vocabulary_of(saving *s) {
    const dq_vocabulary *vocabulary = &s->tokenizer->vocabulary;
    json_t *object = json_object();
    for (size_t id = 0; id < vocabulary->count; id++) {
        size_t length;
        const char *text = dq_vocabulary_text(vocabulary, (int64_t)id, &length);
        if (!text || dq_vocabulary_find(vocabulary, text, length) != (int32_t)id) continue;
        if (json_object_setn_new(object, text, length, json_integer((json_int_t)id))) s->failed = true;
    }
    return object;
}

static dlqat_status model_of(saving *s, json_t **model, dlqat_error *error) {
    const dq_tokenizer *tokenizer = s->tokenizer;
    dq_merge *merges;
    size_t count;
    DQ_TRY(dq_tokenizer_merges(tokenizer, &merges, &count, error));
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *pair = json_array();
        append(s, pair, token_of(tokenizer, merges[i].left));
        append(s, pair, token_of(tokenizer, merges[i].right));
        append(s, list, pair);
    }
    free(merges);
    const dq_bpe *bpe = &tokenizer->bpe;
    *model = json_pack("{ss sn so sn sn sb sb sb so so}", "type", "BPE", "dropout", "unk_token",
                       token_of(tokenizer, bpe->unk), "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                       bpe->fuse_unk, "byte_fallback", bpe->byte_fallback, "ignore_merges", bpe->ignore_merges, "vocab",
                       vocabulary_of(s), "merges", list);
    return DLQAT_OK;
}

/* ---- Files ----------------------------------------------------------------------------------------------------- */

static dlqat_status save(const saving *s, json_t *value, const char *directory, const char *name, dlqat_error *error) {
    char *path = dq_path_join(directory, name);
    dlqat_status status = path && value && !s->failed
                              ? dq_json_save(value, path, error)
                              : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory to write %s", directory, name);
    free(path);
    json_decref(value);
    return status;
}

static dlqat_status save_tokenizer(saving *s, const char *directory, dlqat_error *error) {
    const dq_tokenizer *tokenizer = s->tokenizer;
    json_t *model;
    DQ_TRY(model_of(s, &model, error));
    json_t *root = json_pack("{ss sn sn}", "version", "1.0", "truncation", "padding");
    set(s, root, "added_tokens", added_of(s));
    set(s, root, "normalizer", steps_of(s, &tokenizer->normalizer, "normalizers"));
    set(s, root, "pre_tokenizer", steps_of(s, &tokenizer->pretokenizer, "pretokenizers"));
    set(s, root, "post_processor", processor_of(s));
    set(s, root, "decoder", steps_of(s, &tokenizer->decoder, "decoders"));
    set(s, root, "model", model);
    return save(s, root, directory, "tokenizer.json", error);
}

static void set_names(saving *s, json_t *object) {
    const dq_tokenizer *tokenizer = s->tokenizer;
    const int32_t ids[] = {tokenizer->bos, tokenizer->eos, tokenizer->unk, tokenizer->pad};
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    for (size_t i = 0; i < 4; i++)
        if (ids[i] >= 0) set(s, object, keys[i], token_of(tokenizer, ids[i]));
}

/* add_bos_token and add_eos_token make transformers put its own post-processor in place of ours; where that would not be the
 * same one they are left out. */
static void set_additions(saving *s, json_t *config) {
    const dq_ids *prefix = &s->tokenizer->prefix, *suffix = &s->tokenizer->suffix;
    if (prefix->count > 1 || (prefix->count && prefix->at[0] != s->tokenizer->bos)) return;
    if (suffix->count > 1 || (suffix->count && suffix->at[0] != s->tokenizer->eos)) return;
    set(s, config, "add_bos_token", json_boolean(prefix->count));
    set(s, config, "add_eos_token", json_boolean(suffix->count));
}

dlqat_status dq_tokenizer_save_hf(const dq_tokenizer *tokenizer, const char *directory, dlqat_error *error) {
    saving s = {.tokenizer = tokenizer};
    DQ_TRY(save_tokenizer(&s, directory, error));
    /* The class that takes tokenizer.json as it is; LlamaTokenizer would put parts of its own in. */
    json_t *config =
        json_pack("{ss sb}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0);
    set_additions(&s, config);
    set_names(&s, config);
    if (tokenizer->chat_template) set(&s, config, "chat_template", json_string(tokenizer->chat_template));
    DQ_TRY(save(&s, config, directory, "tokenizer_config.json", error));
    json_t *map = json_object();
    set_names(&s, map);
    return save(&s, map, directory, "special_tokens_map.json", error);
}
