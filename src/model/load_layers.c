#include "model/load.h"

#include <stdio.h>
#include <string.h>

/* Where the model's small arrays lie; called twice, see base/arena.h. */
static void lay_out(dq_model *model, dq_arena *arena) {
    const dq_config *config = &model->config;
    size_t hidden = (size_t)config->hidden, head_width = (size_t)config->head_width;
    dq_layer *layers = dq_arena_take(arena, (size_t)config->layers, sizeof *layers);
    if (layers) model->layer = layers;
    model->inv_freq = dq_arena_take(arena, head_width / 2, sizeof(float));
    model->final_norm = dq_arena_take(arena, hidden, sizeof(float));
    for (int l = 0; l < config->layers; l++) {
        dq_layer unused, *layer = layers ? &layers[l] : &unused;
        layer->input_norm = dq_arena_take(arena, hidden, sizeof(float));
        layer->post_norm = dq_arena_take(arena, hidden, sizeof(float));
        layer->q_norm = config->qk_norm ? dq_arena_take(arena, head_width, sizeof(float)) : NULL;
        layer->k_norm = config->qk_norm ? dq_arena_take(arena, head_width, sizeof(float)) : NULL;
        for (int k = 0; k < DQ_LINEARS_PER_LAYER; k++) {
            size_t out = (size_t)dq_linear_out(config, (dq_linear_kind)k);
            layer->linear[k].name = dq_arena_take(arena, DQ_NAME_SIZE, 1);
            layer->linear[k].bias =
                dq_linear_has_bias(config, (dq_linear_kind)k) ? dq_arena_take(arena, out, sizeof(float)) : NULL;
        }
    }
}

const dq_tensor *dq_load_find(const dq_loader *loader, const char *name) {
    return loader->gguf ? dq_gguf_find(loader->model->gguf, name)
                        : dq_safetensors_find(loader->model->safetensors, name);
}

/* The tensor module.suffix of that shape and of a type that can be read. */
static dlqat_status find_tensor(const dq_loader *loader, const char *module, const char *suffix, int dimensions,
                                const int64_t *shape, const dq_tensor **tensor, dlqat_error *error) {
    char name[DQ_NAME_SIZE + 16];
    snprintf(name, sizeof name, "%s.%s", module, suffix);
    *tensor = dq_load_find(loader, name);
    if (!*tensor)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no tensor %s, which a %s model of this configuration must have",
                       loader->where, name, dq_family_name(loader->model->config.family));
    const dq_dtype_traits *type = dq_dtype_info((*tensor)->dtype);
    if (!type->to_f32)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: tensor %s is stored as %s, which cannot be read as weights",
                       loader->where, name, type->name);
    return dq_tensor_expect(*tensor, loader->where, dimensions, shape, error);
}

/* heads > 0: q or k of that many heads. */
static dlqat_status load_weight(const dq_loader *loader, const char *module, int64_t out, int64_t in, int heads,
                                dq_weight *weight, dlqat_error *error) {
    char scales[DQ_NAME_SIZE + 16];
    snprintf(scales, sizeof scales, "%s.scales", module);
    if (!loader->gguf && dq_load_find(loader, scales)) return dq_load_affine(loader, module, out, in, weight, error);
    if (json_is_object(json_object_get(loader->quantization, module)))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: config.json says that %s is quantized, but there is no tensor %s",
                       loader->where, module, scales);
    const int64_t shape[2] = {out, in};
    const dq_tensor *tensor;
    DQ_TRY(find_tensor(loader, module, "weight", 2, shape, &tensor, error));
    *weight = dq_weight_from_tensor(tensor, loader->permuted ? heads : 0);
    return DLQAT_OK;
}

static dlqat_status load_vector(const dq_loader *loader, const char *module, const char *suffix, int64_t n, int heads,
                                float *dst, dlqat_error *error) {
    const dq_tensor *tensor;
    DQ_TRY(find_tensor(loader, module, suffix, 1, &n, &tensor, error));
    if (!loader->permuted || !heads) {
        dq_tensor_rows(tensor, 0, 1, dst);
        return DLQAT_OK;
    }
    /* A bias is permuted as the rows it belongs to: read it as a matrix of one column. */
    dq_tensor column = *tensor;
    column.dimensions = 2;
    column.shape[1] = 1;
    dq_weight weight = dq_weight_from_tensor(&column, heads);
    dq_weight_rows(&weight, 0, n, dst);
    return DLQAT_OK;
}

static dlqat_status load_linear(const dq_loader *loader, int l, dq_linear_kind kind, dlqat_error *error) {
    const dq_config *config = &loader->model->config;
    dq_linear *linear = &loader->model->layer[l].linear[kind];
    int heads = kind == DQ_Q ? config->heads : kind == DQ_K ? config->kv_heads : 0;
    int64_t out = dq_linear_out(config, kind), in = dq_linear_in(config, kind);
    char module[DQ_NAME_SIZE];
    dq_part_name(linear->name, false, kind, l);
    dq_part_name(module, loader->gguf, kind, l);
    DQ_TRY(load_weight(loader, module, out, in, heads, &linear->base, error));
    linear->active = linear->base;
    if (linear->bias) DQ_TRY(load_vector(loader, module, "bias", out, heads, linear->bias, error));
    return DLQAT_OK;
}

static dlqat_status load_norm(const dq_loader *loader, int part, int l, int64_t n, float *dst, dlqat_error *error) {
    char module[DQ_NAME_SIZE];
    dq_part_name(module, loader->gguf, part, l);
    return load_vector(loader, module, "weight", n, 0, dst, error);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static bool is_used(const dq_loader *loader, const char *name) {
    const dq_config *config = &loader->model->config;
    int part, layer;
    const char *suffix;
    /* Buffers that older writers saved; computed here. RoPE factors were read with the configuration. */
    if (ends_with(name, "rotary_emb.inv_freq") || (loader->gguf && !strcmp(name, "rope_freqs.weight"))) return true;
    if (!dq_part_parse(name, loader->gguf, &part, &layer, &suffix) || layer >= config->layers) return false;
    if (part == DQ_PART_HEAD && config->tied)
        return true; /* a copy of the embedding; transformers passes over it too */
    if ((part == DQ_PART_Q_NORM || part == DQ_PART_K_NORM) && !config->qk_norm) return false;
    if (!strcmp(suffix, "weight")) return true;
    bool linear = part < DQ_LINEARS_PER_LAYER;
    if (!strcmp(suffix, "bias")) return linear && dq_linear_has_bias(config, (dq_linear_kind)part);
    bool matrix = linear || part == DQ_PART_EMBEDDING || part == DQ_PART_HEAD;
    return matrix && loader->quantization && (!strcmp(suffix, "scales") || !strcmp(suffix, "biases"));
}

/* A tensor left over means that the model computes something else than is computed here. */
static dlqat_status refuse_unused(const dq_loader *loader, dlqat_error *error) {
    const dq_model *model = loader->model;
    size_t count = loader->gguf ? dq_gguf_tensor_count(model->gguf) : dq_safetensors_count(model->safetensors);
    for (size_t i = 0; i < count; i++) {
        const dq_tensor *tensor =
            loader->gguf ? dq_gguf_tensor_at(model->gguf, i) : dq_safetensors_at(model->safetensors, i);
        if (!is_used(loader, tensor->name))
            return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                           "%s: tensor %.200s has no place in a %s model of %d layers with this configuration",
                           loader->where, tensor->name, dq_family_name(model->config.family), model->config.layers);
    }
    return DLQAT_OK;
}

dlqat_status dq_load_layers(const dq_loader *loader, dlqat_error *error) {
    dq_model *model = loader->model;
    const dq_config *config = &model->config;
    char module[DQ_NAME_SIZE];
    /* The embedding first: a header that lies about sizes fails here, before anything is allocated by it. */
    dq_part_name(module, loader->gguf, DQ_PART_EMBEDDING, 0);
    DQ_TRY(load_weight(loader, module, config->vocabulary, config->hidden, 0, &model->embedding, error));
    size_t tensors = loader->gguf ? dq_gguf_tensor_count(model->gguf) : dq_safetensors_count(model->safetensors);
    if (tensors < (size_t)config->layers * DQ_LINEARS_PER_LAYER)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: %zu tensors are too few for %d layers", loader->where, tensors,
                       config->layers);
    lay_out(model, &model->arena);
    DQ_TRY(dq_arena_reserve(&model->arena, "the model's layers", error));
    lay_out(model, &model->arena);
    dq_config_inv_freq(config, model->inv_freq);

    for (int l = 0; l < config->layers; l++) {
        dq_layer *layer = &model->layer[l];
        for (int k = 0; k < DQ_LINEARS_PER_LAYER; k++) DQ_TRY(load_linear(loader, l, (dq_linear_kind)k, error));
        DQ_TRY(load_norm(loader, DQ_PART_INPUT_NORM, l, config->hidden, layer->input_norm, error));
        DQ_TRY(load_norm(loader, DQ_PART_POST_NORM, l, config->hidden, layer->post_norm, error));
        if (!config->qk_norm) continue;
        DQ_TRY(load_norm(loader, DQ_PART_Q_NORM, l, config->head_width, layer->q_norm, error));
        DQ_TRY(load_norm(loader, DQ_PART_K_NORM, l, config->head_width, layer->k_norm, error));
    }
    DQ_TRY(load_norm(loader, DQ_PART_FINAL_NORM, 0, config->hidden, model->final_norm, error));
    model->head = model->embedding;
    if (!config->tied) {
        dq_part_name(module, loader->gguf, DQ_PART_HEAD, 0);
        DQ_TRY(load_weight(loader, module, config->vocabulary, config->hidden, 0, &model->head, error));
    }
    return refuse_unused(loader, error);
}
