/* Forward and backward of the whole decoder over one packed batch, written out by operation.
 *
 *   h0 = E[ids]
 *   block: x1 = rmsnorm(h) ; q,k,v = x1 W^T (+bias) ; (qwen3: per-head rmsnorm of q, k) ; rope ; a = attention ; h' = h + a Wo^T
 *          x2 = rmsnorm(h') ; h'' = h' + (silu(x2 Wg^T) * x2 Wu^T) Wd^T
 *   loss = mean over label tokens of cross-entropy( rmsnorm(h_L) W_head^T )
 *
 * A pass owns the activations for up to `capacity` tokens; nothing is allocated after it is opened. */
#ifndef DQ_MODEL_PASS_H
#define DQ_MODEL_PASS_H

#include "kernels/kernels.h"
#include "model/model.h"
#include "text/dataset.h"

typedef struct dq_pass dq_pass;

typedef struct dq_pass_options {
    int64_t capacity; /* tokens of the largest batch */
    int64_t keys;     /* keys of the largest one that shares prefixes (dq_batch); 0: none does */
    bool training;    /* keep what the backward needs */
    bool checkpoint;  /* of each block keep the input alone and recompute the rest in the backward */
    int64_t
        cache; /* > 0: a key/value cache of that many positions, for generation; then capacity bounds a prompt piece */
    bool int8; /* generation: products with packed weights round their inputs to 8 bits (dq_coded_product) */
    int threads; /* that make weights at one time; 0: one. More of compute's are not used for it */
} dq_pass_options;

/* Bytes that dq_pass_open would take. */
size_t dq_pass_bytes(const dq_model *model, const dq_pass_options *options);
/* Of these, the chunk of logits. */
size_t dq_pass_logits_bytes(const dq_model *model, const dq_pass_options *options);
dlqat_status dq_pass_open(dq_pass **pass, const dq_model *model, const dq_pass_options *options, dlqat_error *error);
void dq_pass_close(dq_pass *pass);

/* Runs the blocks over the batch; the final hidden states stay in the pass. */
dlqat_status dq_pass_forward(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, dlqat_error *error);
/* Sum over label tokens of the cross-entropy (not divided). Logits are made for label tokens only, in chunks.
 * With backward: also the gradient of scale * sum at the final hidden states, for dq_pass_backward. each (may be NULL):
 * [labels] loss of every label token, in batch order. */
dlqat_status dq_pass_loss(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, bool backward, float scale,
                          double *sum, double *each, dlqat_error *error);

/* Linears index to index + count - 1 (dq_model_linear's), which read one x: y_i = x W_i^T, dL/dW_i = dy_i^T x. */
enum { DQ_LINEARS_TOGETHER = 3 };
typedef struct dq_linears_gradient {
    int index, count;
    int64_t T;
    const float *const *dy; /* [count] of [T, out] */
    const float *x;         /* [T, in] */
    const void *packed;     /* x as the B[T, in] of dq_kernels.gemm_packed, if that is asked for, else NULL */
    const float
        *dots[DQ_LINEARS_TOGETHER]; /* [out] sum_t dy_ti y_ti, y without a bias; NULL where it is not asked for */
} dq_linears_gradient;

/* Who wants the gradients of weights. Any member may be NULL (or an element of the arrays). Arrays are added to. */
typedef struct dq_gradients {
    void *user;
    /* What is given is valid during the call only. */
    void (*linears)(void *user, const dq_compute *compute, const dq_linears_gradient *given);
    bool packed;
    bool (*dots)(void *user, int index); /* of which linears dots are asked for */
    float *embedding;                    /* [vocabulary, hidden]: the input's part, and the head's when tied */
    float *head;                         /* untied */
    float *final_norm;
    float *const *input_norm, *const *post_norm; /* [layers] of [hidden] */
} dq_gradients;

/* Backward of the last forward and loss(backward). Layers last to first. When head / embedding gradients are wanted they must be
 * given to dq_pass_loss's caller before it: set with dq_pass_want. */
void dq_pass_want(dq_pass *pass, const dq_gradients *gradients); /* kept until changed; NULL: none */
dlqat_status dq_pass_backward(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, dlqat_error *error);

/* Logits [count, vocabulary] of tokens [first, first + count) of the last forward. */
dlqat_status dq_pass_logits(dq_pass *pass, const dq_compute *compute, int64_t first, int64_t count, float *logits,
                            dlqat_error *error);

/* Generation: runs count ids at positions [past, past + count) with the cache (which holds `past` positions) and adds
 * theirs to it. dq_pass_logits then speaks of these count tokens. past 0 starts anew. */
dlqat_status dq_pass_decode(dq_pass *pass, const dq_compute *compute, const int32_t *ids, int64_t count,
                            dlqat_error *error);
void dq_pass_rewind(dq_pass *pass, int64_t past);
int64_t dq_pass_past(const dq_pass *pass);

#endif
