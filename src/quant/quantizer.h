/* The quantizer of one linear: its trainable state, the weight it makes, and the gradients of that state.
 *
 * Parameters (f32 masters), per group or per adapter:
 *     s, b, m [out, groups]     A [rank, in], B [out, rank]     pooled adapter: A [rank, groups]
 * Derived from them, never kept:
 *     S, O [out, groups]        what the file stores (grid.h)
 * The weight:  W_hat = fl(fl(S u) + O),  u = clip(round((V - b)/s)) - Qn,  V = W0 + c B A  (fakequant.h)
 * The same code makes W_hat for the training forward, for evaluation and for export: what is trained is what is shipped. */
#ifndef DQ_QUANT_QUANTIZER_H
#define DQ_QUANT_QUANTIZER_H

#include "base/arena.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "quant/grid.h"

/* Where the frozen weight W0 comes from: rows [first, first + count) as f32 to dst [count, in]. Callable from several threads. */
typedef struct dq_base {
    void (*rows)(const void *user, int64_t first, int64_t count, float *dst);
    const void *user;
    const dq_coded *coded; /* the same as the kernels take it; NULL: they cannot */
} dq_base;

typedef enum dq_parameter_kind {
    DQ_PARAMETER_SCALE,
    DQ_PARAMETER_OFFSET,
    DQ_PARAMETER_MAGNITUDE,
    DQ_PARAMETER_A,
    DQ_PARAMETER_B,
    DQ_PARAMETERS
} dq_parameter_kind;

/* One array of trainable numbers. gradient, moment1 and moment2 are NULL where it is never trained; they mean something in a
 * phase that trains it alone. */
typedef struct dq_parameter {
    float *value, *gradient, *moment1, *moment2;
    int64_t rows, columns; /* 0 x 0: the recipe has none */
} dq_parameter;

typedef struct dq_quantizer {
    const char *name; /* module path, borrowed */
    dq_recipe recipe;
    dq_grid grid;
    dq_base base;
    int64_t out, in, groups;
    int rank;
    float c;        /* alpha / rank */
    uint32_t index; /* of the linear: its random stream */
    const dq_kernels *kernels;
    dq_parameter parameter[DQ_PARAMETERS];
    int8_t *floor_exponent; /* [out, groups] of dq_grid_floor */
    /* W_hat as it is kept from one refresh to the next: its codes, which of them are not clipped, S and O [out, groups]. NULL:
     * made anew from the parameters wherever it is needed, to the same bits. */
    dq_fakequant_kept kept;
    float *kept_S, *kept_O;
    int64_t exceptions; /* weights that the channel-wise backward takes one by one; -1: it does not apply */
} dq_quantizer;

/* Short names of the parameters in files and messages: "s", "b", "m", "A", "B". */
const char *dq_parameter_name(dq_parameter_kind kind);

/* Sets the shapes and carves the values from the arena (count first, then carve). */
void dq_quantizer_lay_out(dq_quantizer *q, dq_arena *arena);
/* Carves room for W_hat as it is kept: 9 bits a weight and 64 a group. */
void dq_quantizer_lay_out_kept(dq_quantizer *q, dq_arena *arena);
/* When a parameter is trained: in phase 1, in phase 2, or in both. */
typedef enum dq_when { DQ_NEVER, DQ_PHASE_1, DQ_PHASE_2, DQ_BOTH_PHASES } dq_when;
dq_when dq_quantizer_when(const dq_quantizer *q, dq_parameter_kind kind);
/* Carves gradients and moments of the parameters that are trained just then. Those of phase 1 alone and of phase 2 alone are
 * never needed at one time, and may lie in the same place. */
void dq_quantizer_lay_out_optimizer(dq_quantizer *q, dq_arena *arena, dq_when when);

/* s, b from W0 by the recipe's start; m = 1; A at random from (seed, index), B = 0; then refresh. A weight that is not finite
 * is ERROR_INPUT naming the tensor. scratch: a row for each of compute->threads. */
dlqat_status dq_quantizer_start(dq_quantizer *q, const dq_compute *compute, uint64_t seed, float *scratch,
                                dlqat_error *error);

/* Rows that a thread makes at one time: A passes through its cache once for all of them. */
enum { DQ_QUANTIZER_ROWS = 16 };

/* After parameters changed: keeps s at or above its floor, follows V where the range is minmax, checks S and O, and makes what is
 * kept of W_hat. Returns how many groups the floor holds. compute->threads threads; scratch: DQ_QUANTIZER_ROWS rows of `in`
 * for each. A stored scale that overflows its type is ERROR_NUMERIC. */
dlqat_status dq_quantizer_refresh(dq_quantizer *q, const dq_compute *compute, float *scratch, int64_t *held,
                                  dlqat_error *error);

/* S and O of groups [first, first + count) of a row. */
void dq_quantizer_stored(const dq_quantizer *q, int64_t row, int64_t first, int64_t count, float *S, float *O);
/* Rows [first, first + count) of W_hat to dst [count, in]; callable from several threads, the same bits however divided. */
void dq_quantizer_rows(const dq_quantizer *q, int64_t first, int64_t count, float *dst);
/* Codes u of the same rows, [count, in]; scratch [in]. */
void dq_quantizer_codes(const dq_quantizer *q, int64_t first, int64_t count, uint8_t *codes, float *scratch);
/* W_hat as the kernels take it, where it is kept; else of DQ_CODING_NONE. */
dq_coded dq_quantizer_coded(const dq_quantizer *q);

/* What the backward of a linear y = x W_hat^T reads. */
typedef struct dq_linear_gradient {
    int64_t T;
    const float *dy;    /* [T, out] */
    const float *x;     /* [T, in] */
    const void *packed; /* x as the B of dy^T x (dq_kernels.pack), or NULL */
    const float *dots;  /* [out] sum_t dy_ti y_ti, without a bias; NULL: not known */
} dq_linear_gradient;

/* Whether phase `trained` can do without G = dy^T x, given dots (quantizer_channel.c): only where a row is one group, W_hat is
 * kept and few weights are clipped, so it may change with every refresh. And whether that is faster. */
bool dq_quantizer_admits_dots(const dq_quantizer *q, dq_trained trained);
bool dq_quantizer_gains_by_dots(const dq_quantizer *q, dq_trained trained);

/* Adds to the gradients of what `trained` names; without G where dots are given, which must then be admitted.
 * scratch: dq_quantizer_scratch floats. */
size_t dq_quantizer_scratch(const dq_quantizer *q, int64_t T, int threads);
void dq_quantizer_backward(dq_quantizer *q, const dq_compute *compute, dq_trained trained, const dq_linear_gradient *g,
                           float *scratch);

/* What the kernels see of rows [first, first + count), but for S and O. */
dq_fakequant dq_quantizer_view(const dq_quantizer *q, int64_t first, int64_t count);
/* V of these rows to dst [count, in]; and what is kept of them. */
void dq_quantizer_adapted(const dq_quantizer *q, const dq_fakequant *view, int64_t first, int64_t count, float *dst);
dq_fakequant_kept dq_quantizer_kept_rows(const dq_quantizer *q, int64_t first);

/* Whether a phase trains this parameter here (b never without an offset). */
bool dq_quantizer_trains(const dq_quantizer *q, dq_parameter_kind kind, dq_trained trained);

#endif
