/* A Hugging Face directory: config.json, safetensors, a tokenizer. */
#include "base/file.h"
#include "model/load.h"

#include <stdlib.h>
#include <string.h>

/* generation_config.json may name more tokens that end a text than config.json does; generation stops at any. */
static dlqat_status add_generation_eos(dq_config *config, const char *directory, dlqat_error *error) {
    char *path = dq_path_join(directory, "generation_config.json");
    if (!path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", directory);
    json_t *json = NULL;
    dlqat_status status = DLQAT_OK;
    if (dq_file_exists(path)) status = dq_json_load(path, &json, error);
    const json_t *eos = json_object_get(json, "eos_token_id");
    size_t count = json_is_array(eos) ? json_array_size(eos) : json_is_integer(eos);
    for (size_t i = 0; status == DLQAT_OK && i < count; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        bool known = !json_is_integer(id);
        for (int j = 0; j < config->eos_count; j++) known |= config->eos[j] == json_integer_value(id);
        if (known) continue;
        if (config->eos_count == DQ_MAX_EOS)
            status =
                dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: more than %d tokens that end a text", path, DQ_MAX_EOS);
        else
            config->eos[config->eos_count++] = json_integer_value(id);
    }
    if (status == DLQAT_OK) status = dq_config_check(config, path, error);
    json_decref(json);
    free(path);
    return status;
}

dlqat_status dq_load_hf(dq_model *model, dlqat_error *error) {
    char *path = dq_path_join(model->path, "config.json");
    if (!path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", model->path);
    dlqat_status status = dq_json_load(path, &model->config_json, error);
    if (status == DLQAT_OK) status = dq_config_from_json(&model->config, model->config_json, path, error);
    free(path);
    if (status != DLQAT_OK) return status;
    DQ_TRY(add_generation_eos(&model->config, model->path, error));
    DQ_TRY(dq_safetensors_open(&model->safetensors, model->path, error));
    const json_t *quantization = json_object_get(model->config_json, "quantization");
    dq_loader loader = {
        .model = model,
        .where = model->path,
        .quantization = json_is_object(quantization) ? quantization : NULL,
    };
    return dq_load_layers(&loader, error);
}
