/* What lies beside the weights in a Hugging Face directory. */
#include "base/file.h"
#include "export/export_plan.h"

#include <stdlib.h>

static const char *const names[] = {
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "NOTICE",
    "NOTICE.txt",
};

static dlqat_status copy_all(const char *from, const char *to, dlqat_error *error) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *source = dq_path_join(from, names[i]), *target = dq_path_join(to, names[i]);
        dlqat_status status = DLQAT_OK;
        if (!source || !target)
            status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", to);
        else if (dq_file_exists(source))
            status = dq_copy_file(source, target, error);
        free(source);
        free(target);
        DQ_TRY(status);
    }
    return DLQAT_OK;
}

static bool has_file(const char *directory, const char *name) {
    char *path = dq_path_join(directory, name);
    bool there = path && dq_file_exists(path);
    free(path);
    return there;
}

/* What transformers generates with when the file says nothing: which token begins a text, and which end it. */
static dlqat_status write_generation(const dq_config *config, const char *directory, dlqat_error *error) {
    json_t *json = json_object(), *eos = json_array();
    int failed = !json || !eos;
    for (int i = 0; i < config->eos_count; i++) failed |= json_array_append_new(eos, json_integer(config->eos[i]));
    if (config->bos >= 0) failed |= json_object_set_new(json, "bos_token_id", json_integer(config->bos));
    if (config->eos_count)
        failed |= json_object_set(json, "eos_token_id", config->eos_count == 1 ? json_array_get(eos, 0) : eos);
    char *path = dq_path_join(directory, "generation_config.json");
    dlqat_status status =
        failed || !path ? dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for generation_config.json", directory)
                        : dq_json_save(json, path, error);
    free(path);
    json_decref(eos);
    json_decref(json);
    return status;
}

dlqat_status dq_write_companions(const dq_model *model, const char *directory, dlqat_error *error) {
    bool from_gguf = model->gguf != NULL;
    if (model->tokenizer && (from_gguf || !has_file(model->path, "tokenizer.json")))
        DQ_TRY(dq_tokenizer_save_hf(model->tokenizer, directory, error));
    if (from_gguf) return write_generation(&model->config, directory, error);
    return copy_all(model->path, directory, error);
}
