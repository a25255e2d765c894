/* What stands beside tokenizer.json: the names of the special tokens, whether they are added, the chat template. */
#include "text/tokenizer_parts.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* A token's name: a string, or an AddedToken object; NULL when there is none. */
static const char *token_name(const json_t *config, const char *key) {
    const json_t *value = json_object_get(config, key);
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

/* needed: that the vocabulary lacks it is an error (a model without its EOS would never end). */
static dlqat_status read_token(const dq_tokenizer *tokenizer, const json_t *config, const char *key, const char *where,
                               bool needed, int32_t *id, dlqat_error *error) {
    const char *name = token_name(config, key);
    if (!name || !*name) return DLQAT_OK;
    int32_t found = dq_tokenizer_find(tokenizer, name);
    if (found >= 0) *id = found;
    if (found < 0 && needed)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the %s \"%.60s\" is not in the vocabulary of %s", where, key,
                       name, tokenizer->source);
    return DLQAT_OK;
}

static dlqat_status read_tokens(dq_tokenizer *tokenizer, const json_t *config, const char *where, dlqat_error *error) {
    DQ_TRY(read_token(tokenizer, config, "bos_token", where, true, &tokenizer->bos, error));
    DQ_TRY(read_token(tokenizer, config, "eos_token", where, true, &tokenizer->eos, error));
    DQ_TRY(read_token(tokenizer, config, "pad_token", where, false, &tokenizer->pad, error));
    return read_token(tokenizer, config, "unk_token", where, false, &tokenizer->unk, error);
}

static dlqat_status set_template(dq_tokenizer *tokenizer, const char *text, dlqat_error *error) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    if (!copy) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the chat template", tokenizer->source);
    memcpy(copy, text, size);
    free(tokenizer->chat_template);
    tokenizer->chat_template = copy;
    return DLQAT_OK;
}

/* A string, or a list of {name, template} of which the one named "default" counts. */
static dlqat_status read_template(dq_tokenizer *tokenizer, const json_t *value, const char *where, dlqat_error *error) {
    if (!value || json_is_null(value)) return DLQAT_OK;
    if (json_is_string(value)) return set_template(tokenizer, json_string_value(value), error);
    if (!json_is_array(value))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"chat_template\" must be a string or an array", where);
    const json_t *item;
    size_t index;
    json_array_foreach(value, index, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *text = json_string_value(json_object_get(item, "template"));
        if (!name || !text)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: each of \"chat_template\" must have a name and a template",
                           where);
        if (!strcmp(name, "default")) DQ_TRY(set_template(tokenizer, text, error));
    }
    return DLQAT_OK;
}

/* add_bos_token and add_eos_token overrule the post-processor, as in transformers. */
static dlqat_status read_additions(dq_tokenizer *tokenizer, const json_t *config, const char *where,
                                   dlqat_error *error) {
    const json_t *bos_key = json_object_get(config, "add_bos_token"),
                 *eos_key = json_object_get(config, "add_eos_token");
    bool bos = false, eos = false;
    DQ_TRY(dq_json_get_bool(config, "add_bos_token", where, &bos, error));
    DQ_TRY(dq_json_get_bool(config, "add_eos_token", where, &eos, error));
    bool has_bos = json_is_boolean(bos_key), has_eos = json_is_boolean(eos_key);
    if (has_bos) {
        tokenizer->prefix.count = 0;
        if (bos && tokenizer->bos >= 0) DQ_TRY(dq_ids_add(&tokenizer->prefix, tokenizer->bos, error));
    }
    if (has_bos || has_eos) {
        tokenizer->suffix.count = 0;
        if (eos && tokenizer->eos >= 0) DQ_TRY(dq_ids_add(&tokenizer->suffix, tokenizer->eos, error));
    }
    return DLQAT_OK;
}

static dlqat_status read_file(dq_tokenizer *tokenizer, const char *path, bool whole, dlqat_error *error) {
    if (!dq_file_exists(path)) return DLQAT_OK;
    json_t *config;
    DQ_TRY(dq_json_load(path, &config, error));
    dlqat_status status =
        json_is_object(config) ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_INPUT, "%s: must be an object", path);
    if (status == DLQAT_OK) status = read_tokens(tokenizer, config, path, error);
    if (status == DLQAT_OK && whole) status = read_additions(tokenizer, config, path, error);
    if (status == DLQAT_OK && whole)
        status = read_template(tokenizer, json_object_get(config, "chat_template"), path, error);
    json_decref(config);
    return status;
}

static dlqat_status read_jinja(dq_tokenizer *tokenizer, const char *path, dlqat_error *error) {
    if (!dq_file_exists(path)) return DLQAT_OK;
    char *text;
    DQ_TRY(dq_read_file(path, &text, NULL, error));
    dlqat_status status = set_template(tokenizer, text, error);
    free(text);
    return status;
}

dlqat_status dq_tokenizer_read_config(dq_tokenizer *tokenizer, const char *directory, dlqat_error *error) {
    /* In order of rising weight. */
    static const char *const names[] = {"special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja"};
    for (size_t i = 0; i < 3; i++) {
        char *path = dq_path_join(directory, names[i]);
        if (!path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", directory);
        dlqat_status status = i < 2 ? read_file(tokenizer, path, i == 1, error) : read_jinja(tokenizer, path, error);
        free(path);
        if (status != DLQAT_OK) return status;
    }
    return DLQAT_OK;
}
