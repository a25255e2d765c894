#include "model/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *hf, *gguf;
} stems[DQ_PARTS] = {
    [DQ_Q] = {"self_attn.q_proj", "attn_q"},
    [DQ_K] = {"self_attn.k_proj", "attn_k"},
    [DQ_V] = {"self_attn.v_proj", "attn_v"},
    [DQ_O] = {"self_attn.o_proj", "attn_output"},
    [DQ_GATE] = {"mlp.gate_proj", "ffn_gate"},
    [DQ_UP] = {"mlp.up_proj", "ffn_up"},
    [DQ_DOWN] = {"mlp.down_proj", "ffn_down"},
    [DQ_PART_INPUT_NORM] = {"input_layernorm", "attn_norm"},
    [DQ_PART_POST_NORM] = {"post_attention_layernorm", "ffn_norm"},
    [DQ_PART_Q_NORM] = {"self_attn.q_norm", "attn_q_norm"},
    [DQ_PART_K_NORM] = {"self_attn.k_norm", "attn_k_norm"},
    [DQ_PART_EMBEDDING] = {"model.embed_tokens", "token_embd"},
    [DQ_PART_FINAL_NORM] = {"model.norm", "output_norm"},
    [DQ_PART_HEAD] = {"lm_head", "output"},
};

static const char *stem_of(int part, bool gguf) {
    return gguf ? stems[part].gguf : stems[part].hf;
}

static const char *layer_prefix(bool gguf) {
    return gguf ? "blk." : "model.layers.";
}

void dq_part_name(char name[DQ_NAME_SIZE], bool gguf, int part, int layer) {
    if (part >= DQ_PART_EMBEDDING)
        snprintf(name, DQ_NAME_SIZE, "%s", stem_of(part, gguf));
    else
        snprintf(name, DQ_NAME_SIZE, "%s%d.%s", layer_prefix(gguf), layer, stem_of(part, gguf));
}

bool dq_part_parse(const char *name, bool gguf, int *part, int *layer, const char **suffix) {
    const char *prefix = layer_prefix(gguf), *stem = name;
    bool in_layer = !strncmp(name, prefix, strlen(prefix));
    *layer = -1;
    if (in_layer) {
        const char *digits = name + strlen(prefix);
        size_t count = strspn(digits, "0123456789");
        if (count == 0 || count > 6 || digits[count] != '.') return false;
        *layer = atoi(digits);
        stem = digits + count + 1;
    }
    const char *dot = strrchr(stem, '.');
    if (!dot) return false;
    *suffix = dot + 1;
    size_t length = (size_t)(dot - stem);
    for (int i = in_layer ? 0 : DQ_PART_EMBEDDING; i < (in_layer ? DQ_PART_EMBEDDING : DQ_PARTS); i++) {
        const char *candidate = stem_of(i, gguf);
        if (strlen(candidate) == length && !memcmp(candidate, stem, length)) {
            *part = i;
            return true;
        }
    }
    return false;
}

static int64_t width(const dq_config *config, int heads) {
    return (int64_t)heads * config->head_width;
}

int64_t dq_linear_out(const dq_config *config, dq_linear_kind kind) {
    switch (kind) {
    case DQ_Q:
        return width(config, config->heads);
    case DQ_K:
    case DQ_V:
        return width(config, config->kv_heads);
    case DQ_GATE:
    case DQ_UP:
        return config->intermediate;
    default:
        return config->hidden;
    }
}

int64_t dq_linear_in(const dq_config *config, dq_linear_kind kind) {
    switch (kind) {
    case DQ_O:
        return width(config, config->heads);
    case DQ_DOWN:
        return config->intermediate;
    default:
        return config->hidden;
    }
}

bool dq_linear_has_bias(const dq_config *config, dq_linear_kind kind) {
    if (kind == DQ_O) return config->o_bias;
    return kind < DQ_O ? config->qkv_bias : config->mlp_bias;
}
