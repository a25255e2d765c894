#include "base/file.h"
#include "model/load.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *text) {
    size_t size = strlen(text) + 1;
    char *result = malloc(size);
    if (result) memcpy(result, text, size);
    return result;
}

/* The directory or file that holds the model: path itself, or, of a run directory, its model/. */
static dlqat_status locate(const char *path, char **found, dlqat_error *error) {
    bool is_run = false;
    char *inner = dq_path_join(path, "model");
    char *config = inner ? dq_path_join(inner, "config.json") : NULL;
    if (config) is_run = dq_file_exists(config);
    *found = is_run ? copy(inner) : copy(path);
    bool failed = !config || !*found;
    free(config);
    free(inner);
    return failed ? dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", path) : DLQAT_OK;
}

static bool has_file(const char *directory, const char *name) {
    char *path = dq_path_join(directory, name);
    bool there = path && dq_file_exists(path);
    free(path);
    return there;
}

static dlqat_status open_tokenizer(dq_model *model, bool needed, dlqat_error *error) {
    bool there = model->gguf ? dq_gguf_has(model->gguf, "tokenizer.ggml.model")
                             : has_file(model->path, "tokenizer.json") || has_file(model->path, "tokenizer.model");
    if (there && model->gguf) return dq_tokenizer_from_gguf(&model->tokenizer, model->gguf, error);
    if (there) return dq_tokenizer_open(&model->tokenizer, model->path, error);
    if (!needed) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT,
                   model->gguf ? "%s: no tokenizer in this file (key tokenizer.ggml.model)"
                               : "%s: no tokenizer.json or tokenizer.model in this directory",
                   model->path);
}

static dlqat_status open_model(dq_model *model, const char *path, bool need_tokenizer, dlqat_error *error) {
    DQ_TRY(locate(path, &model->path, error));
    if (dq_is_directory(model->path)) {
        if (!has_file(model->path, "config.json"))
            return dq_fail(error, DLQAT_ERROR_INPUT,
                           "%s: no config.json in this directory; expected a Hugging Face model, a GGUF file, or a run",
                           model->path);
        DQ_TRY(dq_load_hf(model, error));
    } else if (!dq_file_exists(model->path)) {
        return dq_fail(error, DLQAT_ERROR_IO, "%s: no such file or directory", model->path);
    } else if (dq_gguf_probe(model->path)) {
        DQ_TRY(dq_load_gguf(model, error));
    } else {
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: not a GGUF file; expected one, or a Hugging Face model directory, or a run", model->path);
    }
    return open_tokenizer(model, need_tokenizer, error);
}

dlqat_status dq_model_open(dq_model **model, const char *path, bool need_tokenizer, dlqat_error *error) {
    *model = calloc(1, sizeof **model);
    if (!*model) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a model", path);
    dlqat_status status = open_model(*model, path, need_tokenizer, error);
    if (status == DLQAT_OK) return DLQAT_OK;
    dq_model_close(*model);
    *model = NULL;
    return status;
}

void dq_model_close(dq_model *model) {
    if (!model) return;
    dq_tokenizer_close(model->tokenizer);
    dq_safetensors_close(model->safetensors);
    dq_gguf_close(model->gguf);
    json_decref(model->config_json);
    dq_arena_release(&model->arena);
    free(model->path);
    free(model);
}

void dq_model_forget(const dq_model *model) {
    if (model->safetensors) dq_safetensors_forget(model->safetensors);
    if (model->gguf) dq_gguf_forget(model->gguf);
}

int dq_model_linear_count(const dq_model *model) {
    return DQ_LINEARS_PER_LAYER * model->config.layers;
}

dq_linear *dq_model_linear(dq_model *model, int index) {
    return &model->layer[index / DQ_LINEARS_PER_LAYER].linear[index % DQ_LINEARS_PER_LAYER];
}

uint64_t dq_model_parameters(const dq_model *model) {
    const dq_config *config = &model->config;
    uint64_t hidden = (uint64_t)config->hidden;
    uint64_t layer = 2 * hidden + (config->qk_norm ? 2 * (uint64_t)config->head_width : 0);
    for (int k = 0; k < DQ_LINEARS_PER_LAYER; k++) {
        uint64_t out = (uint64_t)dq_linear_out(config, (dq_linear_kind)k);
        layer += out * (uint64_t)dq_linear_in(config, (dq_linear_kind)k);
        if (dq_linear_has_bias(config, (dq_linear_kind)k)) layer += out;
    }
    uint64_t embeddings = (config->tied ? 1 : 2) * (uint64_t)config->vocabulary * hidden;
    return embeddings + (uint64_t)config->layers * layer + hidden;
}
