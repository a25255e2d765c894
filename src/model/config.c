#include "model/config.h"

#include <math.h>
#include <string.h>

/* Defaults of transformers' configuration classes. */
static const struct {
    const char *name, *class_name;
    int intermediate, kv_heads, head_width;
    int64_t vocabulary, context, window;
    int first_windowed_layer;
    int64_t bos, eos; /* -1: none */
} families[] = {
    [DQ_LLAMA] = {"llama", "LlamaForCausalLM", 11008, 0, 0, 32000, 2048, 0, 0, 1, 2},
    [DQ_MISTRAL] = {"mistral", "MistralForCausalLM", 14336, 8, 0, 32000, 131072, 4096, 0, 1, 2},
    /* Qwen's window counts only under use_sliding_window, which is false by default. */
    [DQ_QWEN2] = {"qwen2", "Qwen2ForCausalLM", 22016, 32, 0, 151936, 32768, 4096, 28, -1, -1},
    [DQ_QWEN3] = {"qwen3", "Qwen3ForCausalLM", 22016, 32, 128, 151936, 32768, 4096, 28, -1, -1},
};

const char *dq_family_name(dq_family family) {
    return families[family].name;
}

const char *dq_family_class(dq_family family) {
    return families[family].class_name;
}

void dq_config_defaults(dq_config *config, dq_family family) {
    *config = (dq_config){
        .family = family,
        .hidden = 4096,
        .intermediate = families[family].intermediate,
        .layers = 32,
        .heads = 32,
        .kv_heads = families[family].kv_heads,
        .head_width = families[family].head_width,
        .vocabulary = families[family].vocabulary,
        .context = families[family].context,
        .window = families[family].window,
        .first_windowed_layer = families[family].first_windowed_layer,
        .rms_eps = 1e-6,
        .rope_theta = 10000,
        .rope = DQ_ROPE_DEFAULT,
        .qkv_bias = family == DQ_QWEN2,
        .qk_norm = family == DQ_QWEN3,
        .bos = families[family].bos,
        .eos_count = families[family].eos >= 0,
    };
    config->eos[0] = families[family].eos;
}

static dlqat_status in_bounds(int64_t value, int64_t max, const char *what, const char *where, dlqat_error *error) {
    if (value >= 1 && value <= max) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: %s is %lld, expected 1 to %lld", where, what, (long long)value,
                   (long long)max);
}

static bool positive(double x) {
    return isfinite(x) && x > 0;
}

static dlqat_status check_rope(const dq_config *config, const char *where, dlqat_error *error) {
    if (!positive(config->rope_theta))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: rope_theta is %g, expected a number above 0", where,
                       config->rope_theta);
    if (config->rope == DQ_ROPE_DEFAULT) return DLQAT_OK;
    if (!positive(config->rope_factor))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the RoPE scaling's factor is %g, expected a number above 0",
                       where, config->rope_factor);
    if (config->rope == DQ_ROPE_LINEAR) return DLQAT_OK;
    if (!positive(config->rope_low) || !positive(config->rope_high) || config->rope_high <= config->rope_low)
        return dq_fail(
            error, DLQAT_ERROR_INPUT,
            "%s: llama3 RoPE scaling has low_freq_factor %g and high_freq_factor %g, expected 0 < low < high", where,
            config->rope_low, config->rope_high);
    if (!positive(config->rope_original))
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: original_max_position_embeddings is %g, expected a number above 0", where,
                       config->rope_original);
    return DLQAT_OK;
}

dlqat_status dq_config_check(const dq_config *config, const char *where, dlqat_error *error) {
    /* The bounds are generous; they keep every product of two sizes far from overflow. */
    DQ_TRY(in_bounds(config->hidden, 1 << 20, "the hidden size", where, error));
    DQ_TRY(in_bounds(config->intermediate, 1 << 22, "the intermediate size", where, error));
    DQ_TRY(in_bounds(config->layers, 1 << 14, "the number of layers", where, error));
    DQ_TRY(in_bounds(config->heads, 1 << 14, "the number of attention heads", where, error));
    DQ_TRY(in_bounds(config->kv_heads, 1 << 14, "the number of key/value heads", where, error));
    DQ_TRY(in_bounds(config->head_width, 1 << 12, "the head width", where, error));
    DQ_TRY(in_bounds(config->vocabulary, INT32_MAX, "the vocabulary size", where, error));
    DQ_TRY(in_bounds(config->context, INT32_MAX, "the context length", where, error));
    if (config->heads % config->kv_heads)
        return dq_fail(
            error, DLQAT_ERROR_INPUT,
            "%s: %d attention heads cannot share %d key/value heads; the one must be a multiple of the other", where,
            config->heads, config->kv_heads);
    if (config->head_width % 2)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the head width is %d; RoPE needs an even one", where,
                       config->head_width);
    if (config->window < 0 || config->window > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: sliding_window is %lld, expected a number of tokens", where,
                       (long long)config->window);
    if (config->first_windowed_layer < 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: max_window_layers is %d, expected 0 or more", where,
                       config->first_windowed_layer);
    if (!positive(config->rms_eps) || config->rms_eps >= 1)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: rms_norm_eps is %g, expected a small number above 0", where,
                       config->rms_eps);
    if (config->bos < -1 || config->bos >= config->vocabulary)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: bos_token_id %lld is outside the vocabulary of %lld", where,
                       (long long)config->bos, (long long)config->vocabulary);
    for (int i = 0; i < config->eos_count; i++)
        if (config->eos[i] < 0 || config->eos[i] >= config->vocabulary)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: eos_token_id %lld is outside the vocabulary of %lld", where,
                           (long long)config->eos[i], (long long)config->vocabulary);
    return check_rope(config, where, error);
}
