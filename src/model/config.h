/* What a decoder is: read from config.json (both spellings of RoPE), or from GGUF's keys; written back as either. */
#ifndef DQ_MODEL_CONFIG_H
#define DQ_MODEL_CONFIG_H

#include "base/json.h"
#include "formats/gguf.h"

typedef enum dq_family { DQ_LLAMA, DQ_MISTRAL, DQ_QWEN2, DQ_QWEN3 } dq_family;

typedef enum dq_rope_kind { DQ_ROPE_DEFAULT, DQ_ROPE_LINEAR, DQ_ROPE_LLAMA3 } dq_rope_kind;

enum { DQ_MAX_EOS = 8 };

typedef struct dq_config {
    dq_family family;
    int hidden, intermediate, layers, heads, kv_heads, head_width;
    int64_t vocabulary, context; /* context: max_position_embeddings */
    int64_t window;              /* sliding window, 0: none */
    int first_windowed_layer;    /* qwen's max_window_layers: layers below it attend fully; 0 for mistral */
    double rms_eps;
    double rope_theta;
    dq_rope_kind rope;
    double rope_factor, rope_low, rope_high, rope_original; /* llama3; factor alone for linear */
    bool tied, qkv_bias, o_bias, mlp_bias, qk_norm;
    int64_t bos; /* -1: none */
    int64_t eos[DQ_MAX_EOS];
    int eos_count;
} dq_config;

/* "llama", "mistral", "qwen2", "qwen3": model_type of config.json. */
const char *dq_family_name(dq_family family);
/* "LlamaForCausalLM", .. */
const char *dq_family_class(dq_family family);
/* What transformers takes for keys that a config.json of this family leaves out. kv_heads and head_width 0: derived. */
void dq_config_defaults(dq_config *config, dq_family family);
/* Sizes within sane bounds and in agreement with one another; ERROR_INPUT names where and what. */
dlqat_status dq_config_check(const dq_config *config, const char *where, dlqat_error *error);

/* where: for messages, e.g. the path. Absent keys take the family's own defaults; what is not implemented (another
 * model_type, activation, rope type, attention variant) is ERROR_UNSUPPORTED naming the key and the value. */
dlqat_status dq_config_from_json(dq_config *config, const json_t *json, const char *where, dlqat_error *error);
dlqat_status dq_config_from_gguf(dq_config *config, const dq_gguf *file, dlqat_error *error);
/* A config.json that transformers and mlx-lm read; a new reference. dtype: "float32", "bfloat16", .. */
json_t *dq_config_to_json(const dq_config *config, const char *dtype);
/* general.architecture and {arch}.* */
void dq_config_to_gguf(const dq_config *config, dq_gguf_writer *writer);

/* inv_freq [head_width / 2], scaled as the configuration says (llama3, linear). */
void dq_config_inv_freq(const dq_config *config, float *inv_freq);
/* GGUF holds llama3's scaling as a tensor, rope_freqs.weight [head_width / 2]: what each frequency is divided by. False:
 * this configuration needs none (factors are then 1). */
bool dq_config_rope_factors(const dq_config *config, float *factors);
/* The other way: finds the scaling of which these are the factors (all 1: none; all equal: linear; else llama3), to a
 * relative 1e-5. ERROR_UNSUPPORTED naming where if there is none. */
dlqat_status dq_config_fit_factors(dq_config *config, const float *factors, const char *where, dlqat_error *error);

#endif
