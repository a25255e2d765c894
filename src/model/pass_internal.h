/* Inside src/model: what a pass owns. */
#ifndef DQ_MODEL_PASS_INTERNAL_H
#define DQ_MODEL_PASS_INTERNAL_H

#include "base/arena.h"
#include "model/names.h"
#include "model/pass.h"

/* What the backward of one block reads. H heads, K key/value heads, d head width, I intermediate. */
typedef struct dq_block {
    float *r1, *r2;       /* [T] 1/rms of the two norms */
    float *q_raw, *k_raw; /* [T, H d], [T, K d]: before the per-head norms; q and k themselves where there are none */
    float *rq, *rk;       /* [T, H], [T, K] */
    float *q, *k, *v;     /* [T, H d], [T, K d] twice: as attention takes them */
    float *o, *log_sum;   /* [T, H d], [T, H] */
    float *middle;        /* [T, D]: the residual stream between attention and feed-forward */
    float *gate, *up;     /* [T, I] */
} dq_block;

typedef enum dq_pass_stage {
    DQ_STAGE_EMPTY,
    DQ_STAGE_FORWARD, /* final hidden states are there */
    DQ_STAGE_LOSS     /* and the loss's gradient at them */
} dq_pass_stage;

struct dq_pass {
    const dq_model *model;
    dq_pass_options options;
    dq_gradients want;
    dq_arena arena;
    dq_pass_stage stage;
    int64_t tokens; /* of the last forward */

    /* hidden[l]: input of block l, [T, D]; hidden[layers]: output of the last. One and the same array unless training. */
    float **hidden;
    dq_block *block; /* [layers]; all alike under checkpointing and outside training */
    float *normed;   /* [T, D]: input of the linears, made again in the backward */
    float *active;   /* [T, I]: silu(gate) up, and then its gradient */
    float *final;    /* [T, D]: after the final norm */
    float *final_r;  /* [T] */
    /* training */
    float *dhidden; /* [T, D]: gradient of the residual stream */
    float *dnormed; /* [T, D] */
    float *delta;   /* [T, H] */
    /* [T, 2 (H + K) d]: gradients of q, k, o and v; NULL where they find room in the block's gate and up, which the backward is
     * done with when it comes to attention. */
    float *attention_gradients;
    /* [keys, K d]: keys, values and their gradients of a batch that shares prefixes, one block's; the gradients in training */
    float *shared_k, *shared_v, *shared_dk, *shared_dv;
    /* loss */
    int64_t loss_rows;             /* label tokens per chunk */
    float *picked;                 /* [loss_rows, D] */
    float *dpicked;                /* the same, training */
    float *logits;                 /* [loss_rows, V] */
    int32_t *labels, *picked_from; /* [loss_rows] */
    double *losses;                /* [loss_rows] */
    float *dots;                   /* [DQ_LINEARS_TOGETHER, dots_floats]: of dq_linears_gradient, training */
    int64_t dots_floats;
    float *packed_input; /* x of linears as the kernels pack it, an A in the forward, a B for gradients */
    /* Weights that are not resident pass through here, a tile of rows at a time: DQ_PACK_UNIT rows made by each of so many
     * threads, and all of the tile packed for the product. */
    int makers;
    int64_t made_floats; /* of one of them */
    float *made, *packed;
    /* generation */
    int64_t past;
    float **cached_k, **cached_v;  /* [layers] of [cache, K d], blocked (dq_attention) */
    int32_t *position, *row_start; /* [T] */
};

/* Where the tokens of a forward stand, and where attention finds keys and values. */
typedef struct dq_span {
    int64_t tokens, first_position;
    const int32_t *position, *row_start;
    /* Where prefixes are shared, as in dq_batch; else 0 and NULL. */
    int64_t keys;
    const int32_t *key, *source;
} dq_span;

dq_span dq_span_of(const dq_batch *batch);
/* Keys and values of block l as the rows have them, where prefixes are shared; elsewhere nothing. */
void dq_keys_spread(const dq_pass *pass, const dq_compute *compute, int l, const dq_span *span);
/* dk, dv [tokens, K d]: a token's gradients are the sums of those that its keys and values have in the rows. */
void dq_keys_gather(const dq_pass *pass, const dq_compute *compute, const dq_span *span, float *dk, float *dv);

int64_t dq_tile_rows(int64_t in);
/* Room for a B as the kernels pack it. */
int64_t dq_packed_floats(int64_t rows, int64_t columns);
int64_t dq_loss_rows(int64_t vocabulary, int64_t hidden, int64_t capacity);

/* y = x W^T, or y += with accumulate. x [T, in], y [T, out]. */
void dq_linear_forward(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, const float *x,
                       float *y, int64_t T, bool accumulate);
/* The same of several weights of one x, at most DQ_CODED_TOGETHER; in generation with few tokens all at once. */
void dq_linears_forward(const dq_pass *pass, const dq_compute *compute, int count, const dq_weight *const *weight,
                        const float *x, float *const *y, int64_t T, bool accumulate);
/* dx = dy W, or dx += with accumulate. The same bits whether the weight is resident or not. */
void dq_linear_backward(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, const float *dy,
                        float *dx, int64_t T, bool accumulate);
/* Hands dL/dy_i and x of linears `kind` and following of block l, which read one x, to whoever trains their weights; dots
 * (dq_linears_gradient): of those who want them. */
void dq_linears_report(const dq_pass *pass, const dq_compute *compute, int l, dq_linear_kind kind, int count,
                       const float *const *dy, const float *x, const float *const *dots, int64_t T);
bool dq_linear_wants_dots(const dq_pass *pass, int l, dq_linear_kind kind);
/* Room for those of a linear, the i-th of those reported together, all 0. */
float *dq_linear_dots(const dq_pass *pass, int l, dq_linear_kind kind, int i);

/* All blocks and the final norm, from hidden[0] = E[ids]. In generation keys and values go to the cache. */
dlqat_status dq_pass_run(dq_pass *pass, const dq_compute *compute, const int32_t *ids, const dq_span *span,
                         dlqat_error *error);
/* Block l. again: in the backward under checkpointing; stops before the last product, whose result is not needed. */
void dq_block_forward(dq_pass *pass, const dq_compute *compute, int l, const dq_span *span, bool again);
/* Puts keys and values of these tokens into the cache, behind those of earlier ones. */
void dq_cache_keep(dq_pass *pass, const dq_compute *compute, int l, const dq_span *span);
dq_attention dq_block_attention(const dq_pass *pass, int l, const dq_span *span);
/* Head width times the pairs of a query and a key it sees, over all heads: half the operations of one product. */
double dq_attention_pairs(const dq_attention *a);
/* r (may be NULL): as in rmsnorm_forward. */
void dq_pass_norm(const dq_pass *pass, const dq_compute *compute, float *y, float *r, const float *x, const float *w,
                  int64_t T);

#endif
