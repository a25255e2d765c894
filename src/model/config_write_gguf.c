/* A configuration as GGUF keys. */
#include "model/config.h"

#include <stdio.h>

/* GGUF knows mistral as llama. */
void dq_config_to_gguf(const dq_config *config, dq_gguf_writer *writer) {
    const char *architecture = config->family == DQ_MISTRAL ? "llama" : dq_family_name(config->family);
    char key[96];
    dq_gguf_set_string(writer, "general.architecture", architecture);
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"vocab_size", config->vocabulary},
        {"context_length", config->context},
        {"embedding_length", config->hidden},
        {"block_count", config->layers},
        {"feed_forward_length", config->intermediate},
        {"attention.head_count", config->heads},
        {"attention.head_count_kv", config->kv_heads},
        {"attention.key_length", config->head_width},
        {"attention.value_length", config->head_width},
        {"rope.dimension_count", config->head_width},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", architecture, numbers[i].name);
        dq_gguf_set_u32(writer, key, (uint32_t)numbers[i].value);
    }
    if (config->family == DQ_MISTRAL && config->window)
        dq_gguf_set_u32(writer, "llama.attention.sliding_window", (uint32_t)config->window);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", architecture);
    dq_gguf_set_f32(writer, key, (float)config->rms_eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", architecture);
    dq_gguf_set_f32(writer, key, (float)config->rope_theta);
    if (config->rope == DQ_ROPE_LINEAR) {
        snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
        dq_gguf_set_string(writer, key, "linear");
        snprintf(key, sizeof key, "%s.rope.scaling.factor", architecture);
        dq_gguf_set_f32(writer, key, (float)config->rope_factor);
    }
}
