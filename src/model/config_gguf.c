/* The configuration of a GGUF file: {arch}.* keys, and what only its tensors tell (tied head, biases, RoPE scaling). */
#include "base/arena.h"
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const dq_gguf *file;
    const char *architecture;
    char key[128]; /* of the last question */
} reader;

static const char *key_of(reader *r, const char *name) {
    snprintf(r->key, sizeof r->key, "%s.%s", r->architecture, name);
    return r->key;
}

static dlqat_status get_size(reader *r, const char *name, bool required, int *out, dlqat_error *error) {
    const char *key = key_of(r, name);
    if (required && !dq_gguf_has(r->file, key))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no key %s, which a model of architecture %s must have",
                       dq_gguf_path(r->file), key, r->architecture);
    int64_t value = *out;
    DQ_TRY(dq_gguf_get_int(r->file, key, &value, error));
    if (value < 0 || value > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: key %s is %lld, expected a size", dq_gguf_path(r->file), key,
                       (long long)value);
    *out = (int)value;
    return DLQAT_OK;
}

/* GGUF keeps reals as f32: 1e-5 comes back as 9.99999974e-06. The shortest decimal that means the same f32 is what was
 * meant, and what a config.json made from it should say. */
static dlqat_status get_real(reader *r, const char *name, double *out, dlqat_error *error) {
    DQ_TRY(dq_gguf_get_real(r->file, key_of(r, name), out, error));
    for (int digits = 6; digits < 9; digits++) {
        char text[40];
        snprintf(text, sizeof text, "%.*g", digits, *out);
        double shorter = strtod(text, NULL);
        if ((float)shorter == (float)*out) {
            *out = shorter;
            break;
        }
    }
    return DLQAT_OK;
}

static dlqat_status read_architecture(reader *r, dq_family *family, dlqat_error *error) {
    const char *path = dq_gguf_path(r->file);
    DQ_TRY(dq_gguf_get_string(r->file, "general.architecture", &r->architecture, NULL, error));
    if (!r->architecture) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no key general.architecture", path);
    if (!strcmp(r->architecture, "llama"))
        *family = DQ_LLAMA;
    else if (!strcmp(r->architecture, "qwen2"))
        *family = DQ_QWEN2;
    else if (!strcmp(r->architecture, "qwen3"))
        *family = DQ_QWEN3;
    else
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: architecture \"%.60s\" is not supported; llama, qwen2 and qwen3 are", path,
                       r->architecture);
    int64_t parts = 1;
    DQ_TRY(dq_gguf_get_int(r->file, "split.count", &parts, error));
    if (parts > 1)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: one of %lld parts of a split GGUF; merge them into one file", path, (long long)parts);
    return DLQAT_OK;
}

/* Keys with which other models reuse these architectures' names. */
static dlqat_status refuse_foreign(reader *r, dlqat_error *error) {
    static const char *const names[] = {
        "expert_count",           "expert_used_count", "logit_scale",
        "residual_scale",         "embedding_scale",   "final_logit_softcapping",
        "attn_logit_softcapping", "attention.scale",   "attention.clamp_kqv",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *key = key_of(r, names[i]);
        double value = 0;
        if (dq_gguf_has(r->file, key)) {
            int64_t whole = 0;
            if (dq_gguf_get_int(r->file, key, &whole, NULL) == DLQAT_OK)
                value = (double)whole;
            else
                DQ_TRY(dq_gguf_get_real(r->file, key, &value, error));
        }
        if (value != 0)
            return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                           "%s: key %s (%g) is not supported: no supported family has it", dq_gguf_path(r->file), key,
                           value);
    }
    return DLQAT_OK;
}

static dlqat_status read_sizes(reader *r, dq_config *config, dlqat_error *error) {
    DQ_TRY(get_size(r, "embedding_length", true, &config->hidden, error));
    DQ_TRY(get_size(r, "feed_forward_length", true, &config->intermediate, error));
    DQ_TRY(get_size(r, "block_count", true, &config->layers, error));
    DQ_TRY(get_size(r, "attention.head_count", true, &config->heads, error));
    config->kv_heads = config->heads;
    DQ_TRY(get_size(r, "attention.head_count_kv", false, &config->kv_heads, error));
    config->head_width = 0;
    DQ_TRY(get_size(r, "attention.key_length", false, &config->head_width, error));
    if (config->head_width == 0 && config->heads > 0) config->head_width = config->hidden / config->heads;
    int value_width = config->head_width, rotated = config->head_width, context = 0;
    DQ_TRY(get_size(r, "attention.value_length", false, &value_width, error));
    DQ_TRY(get_size(r, "rope.dimension_count", false, &rotated, error));
    if (value_width != config->head_width || rotated != config->head_width)
        return dq_fail(
            error, DLQAT_ERROR_UNSUPPORTED,
            "%s: heads of width %d with values of width %d, %d of it rotated; only one width for all is supported",
            dq_gguf_path(r->file), config->head_width, value_width, rotated);
    DQ_TRY(get_size(r, "context_length", true, &context, error));
    config->context = context;
    config->rms_eps = 0;
    return get_real(r, "attention.layer_norm_rms_epsilon", &config->rms_eps, error);
}

static dlqat_status read_window(reader *r, dq_config *config, dlqat_error *error) {
    int window = 0;
    DQ_TRY(get_size(r, "attention.sliding_window", false, &window, error));
    config->window = window;
    config->first_windowed_layer = 0;
    if (window && config->family != DQ_LLAMA)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: key %s: a sliding window is supported for llama alone",
                       dq_gguf_path(r->file), r->key);
    if (window) config->family = DQ_MISTRAL; /* GGUF calls both llama */
    return DLQAT_OK;
}

static dlqat_status read_rope(reader *r, dq_config *config, dlqat_error *error) {
    const char *path = dq_gguf_path(r->file), *type = "none";
    DQ_TRY(get_real(r, "rope.freq_base", &config->rope_theta, error));
    DQ_TRY(dq_gguf_get_string(r->file, key_of(r, "rope.scaling.type"), &type, NULL, error));
    double factor = 0;
    DQ_TRY(get_real(r, "rope.scale_linear", &factor, error)); /* the older spelling */
    DQ_TRY(get_real(r, "rope.scaling.factor", &factor, error));
    if (!strcmp(type, "linear") || (!strcmp(type, "none") && factor != 0 && factor != 1)) {
        config->rope = DQ_ROPE_LINEAR;
        config->rope_factor = factor;
    } else if (strcmp(type, "none") != 0) {
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: RoPE scaling \"%.40s\" is not supported; linear and llama3 are", path, type);
    }
    const dq_tensor *tensor = dq_gguf_find(r->file, "rope_freqs.weight");
    if (!tensor) return DLQAT_OK;
    if (config->rope != DQ_ROPE_DEFAULT)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: both linear RoPE scaling and rope_freqs.weight", path);
    int64_t shape[1] = {config->head_width / 2};
    DQ_TRY(dq_tensor_expect(tensor, path, 1, shape, error));
    float *factors = dq_alloc((size_t)shape[0], sizeof *factors, "RoPE factors", error);
    if (!factors) return DLQAT_ERROR_MEMORY;
    dq_tensor_rows(tensor, 0, 1, factors);
    dlqat_status status = dq_config_fit_factors(config, factors, path, error);
    dq_free(factors);
    return status;
}

/* What no key says: the first layer's tensors stand for all; opening the model checks the rest. */
static dlqat_status read_from_tensors(reader *r, dq_config *config, dlqat_error *error) {
    const dq_tensor *embedding = dq_gguf_find(r->file, "token_embd.weight");
    if (!embedding) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no tensor token_embd.weight", dq_gguf_path(r->file));
    if (embedding->dimensions != 2)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: token_embd.weight must be a matrix", dq_gguf_path(r->file));
    config->vocabulary = embedding->shape[0];
    config->tied = !dq_gguf_find(r->file, "output.weight");
    config->qkv_bias = dq_gguf_find(r->file, "blk.0.attn_q.bias") != NULL;
    config->o_bias = dq_gguf_find(r->file, "blk.0.attn_output.bias") != NULL;
    config->mlp_bias = dq_gguf_find(r->file, "blk.0.ffn_gate.bias") != NULL;
    bool expected_o = config->family == DQ_LLAMA || config->family == DQ_QWEN3 ? config->qkv_bias : false;
    if (config->o_bias != expected_o || (config->mlp_bias && config->family != DQ_LLAMA) ||
        (config->qkv_bias && config->family == DQ_MISTRAL))
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: biases (q, k, v: %s; output: %s; feed-forward: %s) that the family %s does not have",
                       dq_gguf_path(r->file), config->qkv_bias ? "yes" : "no", config->o_bias ? "yes" : "no",
                       config->mlp_bias ? "yes" : "no", dq_family_name(config->family));
    return DLQAT_OK;
}

static dlqat_status read_tokens(reader *r, dq_config *config, dlqat_error *error) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    config->bos = -1;
    config->eos_count = 0;
    DQ_TRY(dq_gguf_get_int(r->file, "tokenizer.ggml.bos_token_id", &config->bos, error));
    for (size_t i = 0; i < 2; i++) {
        int64_t id = -1;
        DQ_TRY(dq_gguf_get_int(r->file, ends[i], &id, error));
        if (id >= 0 && !(config->eos_count && config->eos[0] == id)) config->eos[config->eos_count++] = id;
    }
    return DLQAT_OK;
}

dlqat_status dq_config_from_gguf(dq_config *config, const dq_gguf *file, dlqat_error *error) {
    reader r = {.file = file};
    dq_family family = DQ_LLAMA;
    DQ_TRY(read_architecture(&r, &family, error));
    DQ_TRY(refuse_foreign(&r, error));
    dq_config_defaults(config, family);
    DQ_TRY(read_sizes(&r, config, error));
    DQ_TRY(read_window(&r, config, error));
    DQ_TRY(read_from_tensors(&r, config, error));
    DQ_TRY(read_tokens(&r, config, error));
    /* Before the RoPE tensor is read, so that its size can be relied on. */
    DQ_TRY(dq_config_check(config, dq_gguf_path(file), error));
    DQ_TRY(read_rope(&r, config, error));
    return dq_config_check(config, dq_gguf_path(file), error);
}
