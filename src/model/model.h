/* A decoder and its weights, from an HF directory (plain or in MLX's affine layout), a GGUF file, or a run directory.
 * Weights are mapped, not copied; small ones (norms, biases) are read to f32. */
#ifndef DQ_MODEL_MODEL_H
#define DQ_MODEL_MODEL_H

#include "base/arena.h"
#include "formats/affine.h"
#include "formats/safetensors.h"
#include "kernels/coded.h"
#include "model/config.h"
#include "text/tokenizer.h"

/* A matrix [out, in] from which f32 rows can be had. What a linear multiplies with is one of these; the model knows no
 * more of quantization than that. Rows are in Hugging Face's order whatever the file's (llama's q/k in GGUF are permuted). */
typedef struct dq_weight dq_weight;
struct dq_weight {
    int64_t out, in;
    /* Rows [first, first + count) to dst [count, in]. May be called from several threads at once, and gives the same bits
     * however the rows are divided among calls. */
    void (*rows)(const dq_weight *weight, int64_t first, int64_t count, float *dst);
    const float *resident; /* all rows as f32, where somebody keeps them; else NULL. Saves the call. */
    enum { DQ_WEIGHT_TENSOR, DQ_WEIGHT_AFFINE, DQ_WEIGHT_OTHER } kind;
    const dq_tensor *tensor; /* DQ_WEIGHT_TENSOR */
    int permuted_heads;      /* > 0: rows lie in GGUF's llama order for that many heads */
    dq_affine affine;        /* DQ_WEIGHT_AFFINE */
    dq_coded coded;          /* the same as the kernels take it; DQ_CODING_NONE: they cannot */
    const void *user;        /* DQ_WEIGHT_OTHER */
};

/* GGUF's llama order of the rows of q and k, [out, in] of so many heads: where our row lies in the file, and back. */
int64_t dq_llama_row(int64_t out, int heads, int64_t row);
int64_t dq_llama_row_inverse(int64_t out, int heads, int64_t row);

/* tensor: [out, in] of a type with to_f32; must outlive the weight. Resident where it is mapped as f32 in our order. */
dq_weight dq_weight_from_tensor(const dq_tensor *tensor, int permuted_heads);
dq_weight dq_weight_from_affine(const dq_affine *matrix);

typedef enum dq_linear_kind { DQ_Q, DQ_K, DQ_V, DQ_O, DQ_GATE, DQ_UP, DQ_DOWN, DQ_LINEARS_PER_LAYER } dq_linear_kind;

typedef struct dq_linear {
    char *name;       /* module path: "model.layers.0.mlp.down_proj" */
    dq_weight base;   /* as the file holds it */
    dq_weight active; /* what the passes multiply with; equals base until somebody puts another here */
    float *bias;      /* [out] or NULL */
} dq_linear;

typedef struct dq_layer {
    dq_linear linear[DQ_LINEARS_PER_LAYER];
    float *input_norm, *post_norm; /* [hidden] */
    float *q_norm, *k_norm;        /* [head_width] or NULL */
} dq_layer;

typedef struct dq_model {
    dq_config config;
    char *path;
    dq_layer *layer; /* [config.layers] */
    float *final_norm;
    dq_weight embedding, head; /* [vocabulary, hidden]; head equals embedding when tied */
    float *inv_freq;
    json_t *config_json;         /* config.json of an HF directory, else NULL */
    dq_safetensors *safetensors; /* one of these two holds the bytes */
    dq_gguf *gguf;
    dq_tokenizer *tokenizer; /* NULL when the model came without (a directory with weights only) */
    dq_arena arena;          /* layers, names, norms, biases, inv_freq */
} dq_model;

/* path: an HF directory, a GGUF file, or a run directory (its model/ is taken). need_tokenizer: missing is an error. */
dlqat_status dq_model_open(dq_model **model, const char *path, bool need_tokenizer, dlqat_error *error);
void dq_model_close(dq_model *model);
/* Takes what was read of the file's weights out of memory; they stay readable. */
void dq_model_forget(const dq_model *model);

int dq_model_linear_count(const dq_model *model); /* 7 * layers */
dq_linear *dq_model_linear(dq_model *model, int index);
uint64_t dq_model_parameters(const dq_model *model); /* tied embeddings once */

/* Rows of any weight, through resident where there is one. */
void dq_weight_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst);

#endif
