/* config.json of a Hugging Face directory, in transformers' version 4 and version 5 spellings. */
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys that change what the decoder computes and that no supported family has: refused unless null, false or the
 * number that leaves them without effect. */
static const struct {
    const char *key;
    double neutral;
} foreign_keys[] = {
    {"num_experts", 0},           {"num_local_experts", 0},      {"n_routed_experts", 0},
    {"num_experts_per_tok", 0},   {"attn_logit_softcapping", 0}, {"final_logit_softcapping", 0},
    {"logit_scale", 1},           {"logits_scaling", 1},         {"residual_multiplier", 1},
    {"embedding_multiplier", 1},  {"attention_multiplier", 0},   {"query_pre_attn_scalar", 0},
    {"partial_rotary_factor", 1}, {"no_rope_layers", 0},         {"qk_layernorm", 0},
    {"use_qk_norm", 0},           {"add_cross_attention", 0},    {"num_nextn_predict_layers", 0},
};

static dlqat_status refuse(const char *where, const char *key, const json_t *value, const char *instead,
                           dlqat_error *error) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    dlqat_status status = dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: \"%s\": %.200s is not supported; %s", where, key,
                                  text ? text : "?", instead);
    free(text);
    return status;
}

static dlqat_status get_size(const json_t *json, const char *key, const char *where, int *out, dlqat_error *error) {
    int64_t value = *out;
    DQ_TRY(dq_json_get_int(json, key, where, &value, error));
    if (value < 0 || value > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"%s\" is %lld, expected a size", where, key, (long long)value);
    *out = (int)value;
    return DLQAT_OK;
}

static dlqat_status read_family(dq_family *family, const json_t *json, const char *where, dlqat_error *error) {
    const char *name = NULL;
    DQ_TRY(dq_json_get_string(json, "model_type", where, &name, error));
    if (!name)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: no \"model_type\"; expected llama, mistral, qwen2 or qwen3. Is this a model's config.json?",
                       where);
    int found = -1;
    for (int i = DQ_LLAMA; i <= DQ_QWEN3; i++)
        if (!strcmp(name, dq_family_name((dq_family)i))) found = i;
    if (found < 0)
        return refuse(where, "model_type", json_object_get(json, "model_type"), "llama, mistral, qwen2 and qwen3 are",
                      error);
    *family = (dq_family)found;
    const json_t *class_name = json_array_get(json_object_get(json, "architectures"), 0);
    if (class_name &&
        (!json_is_string(class_name) || strcmp(json_string_value(class_name), dq_family_class(*family)) != 0)) {
        char instead[96];
        snprintf(instead, sizeof instead, "this family's is %s", dq_family_class(*family));
        return refuse(where, "architectures", class_name, instead, error);
    }
    return DLQAT_OK;
}

static dlqat_status refuse_foreign(const json_t *json, const char *where, dlqat_error *error) {
    for (size_t i = 0; i < sizeof foreign_keys / sizeof foreign_keys[0]; i++) {
        const json_t *value = json_object_get(json, foreign_keys[i].key);
        if (!value || json_is_null(value) || json_is_false(value)) continue;
        if (json_is_number(value) && json_number_value(value) == foreign_keys[i].neutral) continue;
        return refuse(where, foreign_keys[i].key, value, "no supported family has it", error);
    }
    const json_t *activation = json_object_get(json, "hidden_act");
    if (activation && !json_is_null(activation)) {
        const char *name = json_string_value(activation);
        if (!name || (strcmp(name, "silu") != 0 && strcmp(name, "swish") != 0))
            return refuse(where, "hidden_act", activation, "silu is", error);
    }
    const json_t *quantized = json_object_get(json, "quantization_config");
    if (quantized && !json_is_null(quantized) && !json_object_get(json, "quantization")) {
        const json_t *method = json_object_get(quantized, "quant_method");
        return refuse(where, "quantization_config", method ? method : quantized,
                      "give the model before its quantization, or one in MLX's affine layout", error);
    }
    return DLQAT_OK;
}

/* Version 4: rope_theta beside rope_scaling {type or rope_type, ..}. Version 5: both in rope_parameters. Where a file has
 * both objects rope_scaling wins, as in transformers. */
static dlqat_status read_rope(dq_config *config, const json_t *json, const char *where, dlqat_error *error) {
    DQ_TRY(dq_json_get_real(json, "rope_theta", where, &config->rope_theta, error));
    const char *key = "rope_scaling";
    const json_t *rope = json_object_get(json, key);
    if (!rope || json_is_null(rope) || (json_is_object(rope) && json_object_size(rope) == 0))
        rope = json_object_get(json, key = "rope_parameters");
    if (!rope || json_is_null(rope)) return DLQAT_OK;
    if (!json_is_object(rope)) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"%s\" must be an object", where, key);
    const char *member;
    json_t *value;
    json_object_foreach((json_t *)rope, member, value) {
        if (json_is_object(value)) return refuse(where, key, rope, "one RoPE for all layers is", error);
    }
    DQ_TRY(dq_json_get_real(rope, "rope_theta", where, &config->rope_theta, error));
    double rotated = 1;
    DQ_TRY(dq_json_get_real(rope, "partial_rotary_factor", where, &rotated, error));
    if (rotated != 1) return refuse(where, key, rope, "heads must be rotated whole", error);

    const char *type = "default";
    DQ_TRY(dq_json_get_string(rope, "type", where, &type, error));
    DQ_TRY(dq_json_get_string(rope, "rope_type", where, &type, error));
    if (!strcmp(type, "default")) return DLQAT_OK;
    if (!strcmp(type, "linear"))
        config->rope = DQ_ROPE_LINEAR;
    else if (!strcmp(type, "llama3"))
        config->rope = DQ_ROPE_LLAMA3;
    else
        return refuse(where, key, rope, "default, linear and llama3 are", error);
    /* Left out they stay 0, which the check refuses by name. */
    DQ_TRY(dq_json_get_real(rope, "factor", where, &config->rope_factor, error));
    if (config->rope == DQ_ROPE_LINEAR) return DLQAT_OK;
    DQ_TRY(dq_json_get_real(rope, "low_freq_factor", where, &config->rope_low, error));
    DQ_TRY(dq_json_get_real(rope, "high_freq_factor", where, &config->rope_high, error));
    config->rope_original = (double)config->context;
    DQ_TRY(dq_json_get_real(rope, "original_max_position_embeddings", where, &config->rope_original, error));
    return dq_json_get_real(json, "original_max_position_embeddings", where, &config->rope_original, error);
}

/* layer_types names every layer's attention. Accepted: full up to some layer, windowed from there on. */
static dlqat_status read_layer_types(dq_config *config, const json_t *json, const char *where, dlqat_error *error) {
    const json_t *types = json_object_get(json, "layer_types");
    if (!types || json_is_null(types)) return DLQAT_OK;
    if (!json_is_array(types) || json_array_size(types) != (size_t)config->layers)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"layer_types\" must be a list of %d, one for each layer", where,
                       config->layers);
    int first = config->layers;
    for (int i = 0; i < config->layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        bool windowed = type && !strcmp(type, "sliding_attention");
        if (!windowed && (!type || strcmp(type, "full_attention") != 0))
            return refuse(where, "layer_types", json_array_get(types, (size_t)i),
                          "full_attention and sliding_attention are", error);
        if (windowed && config->window == 0)
            return dq_fail(error, DLQAT_ERROR_INPUT,
                           "%s: \"layer_types\" has sliding_attention, but no sliding window is in use", where);
        if (windowed && first == config->layers) first = i;
        if (!windowed && first < i)
            return refuse(where, "layer_types", types, "full layers first, then sliding ones, are", error);
    }
    if (config->family == DQ_MISTRAL && config->window && first != 0)
        return refuse(where, "layer_types", types, "mistral's layers share one window", error);
    config->first_windowed_layer = first;
    return DLQAT_OK;
}

static dlqat_status read_window(dq_config *config, const json_t *json, const char *where, dlqat_error *error) {
    const json_t *window = json_object_get(json, "sliding_window");
    if (window && json_is_null(window)) config->window = 0;
    DQ_TRY(dq_json_get_int(json, "sliding_window", where, &config->window, error));
    if (config->family == DQ_LLAMA) {
        if (config->window) return refuse(where, "sliding_window", window, "llama has none; mistral does", error);
    } else if (config->family != DQ_MISTRAL) {
        bool used = false;
        DQ_TRY(dq_json_get_bool(json, "use_sliding_window", where, &used, error));
        DQ_TRY(get_size(json, "max_window_layers", where, &config->first_windowed_layer, error));
        if (!used) config->window = 0;
    }
    DQ_TRY(read_layer_types(config, json, where, error));
    if (config->window == 0 || config->first_windowed_layer >= config->layers) {
        config->window = 0;
        config->first_windowed_layer = 0;
    }
    return DLQAT_OK;
}

static dlqat_status read_biases(dq_config *config, const json_t *json, const char *where, dlqat_error *error) {
    bool attention = false, mlp = false;
    DQ_TRY(dq_json_get_bool(json, "attention_bias", where, &attention, error));
    DQ_TRY(dq_json_get_bool(json, "mlp_bias", where, &mlp, error));
    if (config->family == DQ_LLAMA || config->family == DQ_QWEN3) config->qkv_bias = config->o_bias = attention;
    if (config->family == DQ_MISTRAL && attention)
        return refuse(where, "attention_bias", json_true(), "mistral has none; llama may", error);
    if (config->family != DQ_LLAMA && mlp)
        return refuse(where, "mlp_bias", json_true(), "only llama may have it", error);
    config->mlp_bias = mlp;
    return DLQAT_OK;
}

static dlqat_status read_tokens(dq_config *config, const json_t *json, const char *where, dlqat_error *error) {
    const json_t *bos = json_object_get(json, "bos_token_id");
    if (bos && json_is_null(bos)) config->bos = -1;
    DQ_TRY(dq_json_get_int(json, "bos_token_id", where, &config->bos, error));
    const json_t *eos = json_object_get(json, "eos_token_id");
    if (!eos) return DLQAT_OK;
    config->eos_count = 0;
    if (json_is_null(eos)) return DLQAT_OK;
    size_t count = json_is_array(eos) ? json_array_size(eos) : 1;
    if (count > DQ_MAX_EOS)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: \"eos_token_id\" lists %zu tokens; up to %d are supported",
                       where, count, DQ_MAX_EOS);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id))
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"eos_token_id\" must be a token id or a list of them",
                           where);
        config->eos[config->eos_count++] = json_integer_value(id);
    }
    return DLQAT_OK;
}

dlqat_status dq_config_from_json(dq_config *config, const json_t *json, const char *where, dlqat_error *error) {
    if (!json_is_object(json)) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: expected a JSON object", where);
    dq_family family = DQ_LLAMA;
    DQ_TRY(read_family(&family, json, where, error));
    DQ_TRY(refuse_foreign(json, where, error));
    dq_config_defaults(config, family);
    DQ_TRY(get_size(json, "hidden_size", where, &config->hidden, error));
    DQ_TRY(get_size(json, "intermediate_size", where, &config->intermediate, error));
    DQ_TRY(get_size(json, "num_hidden_layers", where, &config->layers, error));
    DQ_TRY(get_size(json, "num_attention_heads", where, &config->heads, error));
    /* null means as many as heads; only an absent key takes the family's number. */
    const json_t *kv_heads = json_object_get(json, "num_key_value_heads");
    if (config->kv_heads == 0 || (kv_heads && json_is_null(kv_heads))) config->kv_heads = config->heads;
    DQ_TRY(get_size(json, "num_key_value_heads", where, &config->kv_heads, error));
    DQ_TRY(get_size(json, "head_dim", where, &config->head_width, error));
    if (config->head_width == 0 && config->heads > 0) {
        if (config->hidden % config->heads)
            return dq_fail(error, DLQAT_ERROR_INPUT,
                           "%s: hidden_size %d is no multiple of num_attention_heads %d, and there is no head_dim",
                           where, config->hidden, config->heads);
        config->head_width = config->hidden / config->heads;
    }
    DQ_TRY(dq_json_get_int(json, "vocab_size", where, &config->vocabulary, error));
    DQ_TRY(dq_json_get_int(json, "max_position_embeddings", where, &config->context, error));
    DQ_TRY(dq_json_get_real(json, "rms_norm_eps", where, &config->rms_eps, error));
    DQ_TRY(dq_json_get_bool(json, "tie_word_embeddings", where, &config->tied, error));
    DQ_TRY(read_rope(config, json, where, error));
    DQ_TRY(read_biases(config, json, where, error));
    DQ_TRY(read_tokens(config, json, where, error));
    DQ_TRY(read_window(config, json, where, error));
    return dq_config_check(config, where, error);
}
