/* A configuration as config.json. */
#include "model/config.h"

#include <math.h>

/* A whole number where it is one: transformers wants integers to look like it. */
static json_t *number(double x) {
    return x == floor(x) && x < 0x1p53 ? json_integer((json_int_t)x) : json_real(x);
}

/* transformers' version 4 spelling: version 5 and mlx-lm read it too. */
json_t *dq_config_to_json(const dq_config *config, const char *dtype) {
    json_t *json =
        json_pack("{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:I, s:I, s:f, s:f, s:b, s:s, s:b}", //
                  "architectures", dq_family_class(config->family), "model_type", dq_family_name(config->family),
                  "hidden_size", config->hidden, "intermediate_size", config->intermediate, "num_hidden_layers",
                  config->layers, "num_attention_heads", config->heads, "num_key_value_heads", config->kv_heads,
                  "head_dim", config->head_width, "hidden_act", "silu", "vocab_size", (json_int_t)config->vocabulary,
                  "max_position_embeddings", (json_int_t)config->context, "rms_norm_eps", config->rms_eps, "rope_theta",
                  config->rope_theta, "tie_word_embeddings", config->tied, "torch_dtype", dtype, "use_cache", true);
    if (!json) return NULL;
    int failed = 0;
    if (config->rope == DQ_ROPE_DEFAULT)
        failed |= json_object_set_new(json, "rope_scaling", json_null());
    else if (config->rope == DQ_ROPE_LINEAR)
        failed |= json_object_set_new(json, "rope_scaling",
                                      json_pack("{s:s, s:f}", "rope_type", "linear", "factor", config->rope_factor));
    else
        failed |= json_object_set_new(json, "rope_scaling",
                                      json_pack("{s:s, s:f, s:f, s:f, s:o}", "rope_type", "llama3", "factor",
                                                config->rope_factor, "low_freq_factor", config->rope_low,
                                                "high_freq_factor", config->rope_high,
                                                "original_max_position_embeddings", number(config->rope_original)));
    if (config->family == DQ_LLAMA || config->family == DQ_QWEN3)
        failed |= json_object_set_new(json, "attention_bias", json_boolean(config->qkv_bias));
    if (config->family == DQ_LLAMA) failed |= json_object_set_new(json, "mlp_bias", json_boolean(config->mlp_bias));
    json_t *window = config->window ? json_integer(config->window) : json_null();
    if (config->family != DQ_LLAMA) failed |= json_object_set(json, "sliding_window", window);
    json_decref(window);
    if (config->family == DQ_QWEN2 || config->family == DQ_QWEN3) {
        failed |= json_object_set_new(json, "use_sliding_window", json_boolean(config->window > 0));
        failed |= json_object_set_new(json, "max_window_layers",
                                      json_integer(config->window ? config->first_windowed_layer : config->layers));
    }
    failed |= json_object_set_new(json, "bos_token_id", config->bos < 0 ? json_null() : json_integer(config->bos));
    if (config->eos_count == 1) {
        failed |= json_object_set_new(json, "eos_token_id", json_integer(config->eos[0]));
    } else {
        json_t *eos = config->eos_count ? json_array() : json_null();
        for (int i = 0; i < config->eos_count; i++) failed |= json_array_append_new(eos, json_integer(config->eos[i]));
        failed |= json_object_set_new(json, "eos_token_id", eos);
    }
    if (!failed) return json;
    json_decref(json);
    return NULL;
}
