/* Arithmetic on plain arrays: one table of whole operations, filled for the machine at hand.
 *
 * Every array is row-major and dense unless a stride is named. Sizes: T tokens, D width, H query heads, K key/value
 * heads (K divides H), d head width. f32 everywhere; matrix products and those of attention alone may round their two
 * inputs to bf16 (compute->multiply) and always accumulate in f32. No operation allocates: what it needs beyond its arguments is
 * compute->workspace, of dq_workspace_bytes(threads).
 *
 * Threads: operations fork compute->threads OpenMP threads inside. Every sum has a fixed order, so within
 * one variant the bits of a result do not depend on how many threads there are.
 *
 * The table holds nothing that only a host can do, so that another device can fill it. */
#ifndef DQ_KERNELS_KERNELS_H
#define DQ_KERNELS_KERNELS_H

#include "base/error.h"
#include "kernels/fakequant.h"
#include "kernels/coded.h"
#include "kernels/profile.h"

typedef enum dq_multiply { DQ_MULTIPLY_F32, DQ_MULTIPLY_BF16 } dq_multiply;

typedef struct dq_kernels dq_kernels;

typedef struct dq_compute {
    const dq_kernels *kernels;
    int threads;
    dq_multiply multiply;
    void *workspace; /* dq_workspace_bytes(threads) bytes, DQ_ALIGNMENT-aligned, not shared between calls at one time */
    dq_profile *profile; /* NULL: nobody asks where the time goes. Borrowed; who calls the operations keeps it */
} dq_compute;

/* C[m, n] = A[m, k] B[k, n], or += with accumulate. Element (i, p) of A lies at a[i * a_row + p * a_column], (p, j) of B
 * at b[p * b_row + j * b_column], (i, j) of C at c[i * c_row + j]. So a transposed operand is a pair of strides.
 * Each element of C is one sum over p in an order that depends on k alone: its bits do not depend on where in C it
 * lies, nor on threads. With DQ_MULTIPLY_BF16 operands and sums below 2^-126 may count as zero. */
typedef struct dq_gemm {
    int64_t m, n, k;
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t b_row, b_column;
    float *c;
    int64_t c_row;
    bool accumulate;
} dq_gemm;

/* A piece of B[k, n] to pack: rows [first_row, + rows) and columns [first_column, + columns); b points to the first of
 * them, (p, j) of the piece at b[p * b_row + j * b_column]. The piece begins at multiples of DQ_PACK_UNIT, and ends at
 * such or with the matrix. So who makes the rows of a weight W[out, in] one tile after another can put a tile, while it
 * is in cache, into the B of the forward, W^T (k = in, n = out, the tile's rows are columns), and into that of the input
 * gradient, W (k = out, n = in). */
enum { DQ_PACK_UNIT = 64, DQ_PACK_ROWS = 192 };
typedef struct dq_pack {
    int64_t k, n;
    int64_t first_row, rows, first_column, columns;
    const float *b;
    int64_t b_row, b_column;
} dq_pack;

/* The operands of a product that are packed; NULL: not this one. */
typedef struct dq_packed {
    const void *a, *b;
} dq_packed;

/* Causal attention of query_count queries over keys [0, first_position + query_count).
 * Query i stands at key position p = first_position + i and sees keys j with
 *     row_start[i] <= j <= p   and, with window > 0,   j > p - window.
 * row_start[i] is the key position at which the packed row of query i begins; it never decreases. Training:
 * first_position = 0. A query's bits are the same whether it comes alone or with others of its row.
 * With key (first_position = 0, not blocked) query i stands at p = key[i] instead, which increases with i, and keys are
 * [0, key_count): so a row may begin with keys whose queries it leaves to another row.
 * q, o [query_count, H, d]; k, v [.., K, d], or blocked, as a cache holds them for decoding: blocks of DQ_KEY_BLOCK keys, in
 * each, one key/value head after another, k [d, DQ_KEY_BLOCK] and v [DQ_KEY_BLOCK, d]. Head h reads key/value head h / (H/K).
 * o = softmax(scale q k^T) v ; log_sum [query_count, H] = log sum_j exp(scale q_i k_j). Never a T x T matrix.
 * With DQ_MULTIPLY_BF16 products may round their operands to bf16: q, k, v, do, probabilities and their gradients; not where
 * blocked. */
enum { DQ_KEY_BLOCK = 64 };
typedef struct dq_attention {
    int64_t query_count, first_position;
    int heads, kv_heads, head_width;
    int64_t window; /* 0: none */
    float scale;
    const int32_t *row_start; /* [query_count] */
    const float *q, *k, *v;
    float *o, *log_sum;
    bool blocked;       /* the forward's k and v */
    const int32_t *key; /* [query_count], or NULL */
    int64_t key_count;  /* with key alone */
} dq_attention;

/* Some elements of C[m, n] = a^T b, a [T, m], b [T, n]: those of row i in columns column[first[i]] to column[first[i + 1] - 1].
 *     value[e] = sum_t a_ti b_t,column[e]          in f32, whatever compute->multiply
 * A product of sparse shape is worth it as long as few elements are wanted: each costs several times what it does in gemm. */
typedef struct dq_sampled {
    int64_t T, m, n;
    const float *a, *b;
    const int32_t *first;  /* [m + 1], ascending from 0 */
    const int32_t *column; /* [first[m]] */
    float *value;          /* [first[m]] */
    float *room;           /* dq_sampled_room(n) floats */
} dq_sampled;

/* Tokens that are turned at one time, so that an element's are side by side. */
enum { DQ_SAMPLED_TOKENS = 256 };
static inline int64_t dq_sampled_room(int64_t n) {
    return n * DQ_SAMPLED_TOKENS;
}

/* AdamW as torch.optim.AdamW: weight decay on the value, bias-corrected moments, eps after the root. */
typedef struct dq_adamw {
    double learning_rate, beta1, beta2, epsilon, weight_decay; /* double: 1 - beta2 of an f32 0.999 is off by 1e-5 */
    int64_t step;                                              /* 1 on the first call */
    float gradient_scale; /* gradients are multiplied by it first (clipping); 1: as they are */
} dq_adamw;

struct dq_kernels {
    const char *name; /* "c", "avx2", "avx512", "avx512bf16", "amx" */

    void (*gemm)(const dq_compute *compute, const dq_gemm *g);

    /* Products with operands that are packed once and serve several: B takes packed_bytes(k, n) bytes, of which pack fills a
     * piece (serial, pieces touch different bytes), A packed_a_bytes(m, k) bytes, which pack_a fills from g->a (by all
     * threads). gemm_packed reads what is packed instead of g->a and g->b. The result is that of gemm to the bit. What is
     * packed serves these kernels and this compute->multiply alone; slivers.h says how it lies. Best DQ_ALIGNMENT-aligned.
     * The bytes are at most four for each element, with m rounded up to a multiple of DQ_PACK_ROWS, k and n to one of
     * DQ_PACK_UNIT. */
    size_t (*packed_bytes)(const dq_compute *compute, int64_t k, int64_t n);
    void (*pack)(const dq_compute *compute, const dq_pack *piece, void *packed);
    /* The same of a piece, whose b does not count, that is in W's codes: its columns are rows of W from `first` on (transposed),
     * or its rows are. To the bit what decoding them (coded_rows) and packing gives. False, and nothing is packed: not of this
     * weight. NULL: of none. */
    bool (*pack_coded)(const dq_compute *compute, const dq_coded *w, int64_t first, const dq_pack *piece,
                       bool transposed, void *packed);
    size_t (*packed_a_bytes)(const dq_compute *compute, int64_t m, int64_t k);
    void (*pack_a)(const dq_compute *compute, const dq_gemm *g, void *packed);
    void (*gemm_packed)(const dq_compute *compute, const dq_gemm *g, const dq_packed *packed);

    /* y = w * x * r, r = 1/sqrt(mean(x^2) + eps), per row of D; r_out [T] or NULL. y may be x. */
    void (*rmsnorm_forward)(const dq_compute *compute, float *y, float *r_out, const float *x, const float *w,
                            float eps, int64_t T, int64_t D);
    /* dx += r (w dy - x r^2 mean(w dy x)) ; dw += sum_t dy x r, unless dw is NULL. */
    void (*rmsnorm_backward)(const dq_compute *compute, float *dx, float *dw, const float *dy, const float *x,
                             const float *w, const float *r, int64_t T, int64_t D);

    /* Rotates x [T, heads, d] in place, half-split ("rotate_half") layout: pair (i, i + d/2) by angle
     * position[t] * inv_freq[i]; inverse turns back (the backward). angle is formed in f32 as the product of the f32
     * position and inv_freq (as transformers does), cos and sin accurate to f32. */
    void (*rope)(const dq_compute *compute, float *x, const int32_t *position, const float *inv_freq, int64_t T,
                 int heads, int head_width, bool inverse);

    /* y = silu(gate) * up, n elements. */
    void (*swiglu_forward)(const dq_compute *compute, float *y, const float *gate, const float *up, int64_t n);
    /* dgate, dup from dy [T, D]; dgate may be gate, dup may be up (in place). dots: as column_dots, of dgate and gate and of dup
     * and up, before they are overwritten; both NULL: not wanted. */
    void (*swiglu_backward)(const dq_compute *compute, float *dgate, float *dup, const float *dy, const float *gate,
                            const float *up, int64_t T, int64_t D, float *gate_dots, float *up_dots);
    /* dots[j] += sum_t dy_tj (y_tj - less_tj - bias_j); y and less [T, D] and bias [D] may be NULL: 0. */
    void (*column_dots)(const dq_compute *compute, float *dots, const float *dy, const float *y, const float *less,
                        const float *bias, int64_t T, int64_t D);

    void (*attention_forward)(const dq_compute *compute, const dq_attention *a);
    /* Training only (first_position 0): dq, and dk, dv of all keys, are written. a->o and a->log_sum hold the forward's
     * results; do_ [T, H, d] is the gradient of o. delta [T, H]: scratch. */
    void (*attention_backward)(const dq_compute *compute, const dq_attention *a, const float *do_, float *delta,
                               float *dq, float *dk, float *dv);

    /* Softmax cross-entropy of rows of logits [n, V] against label [n] in [0, V): loss[i] = log sum exp - logit[label].
     * With gradient, logits become scale * (softmax - onehot). */
    void (*cross_entropy)(const dq_compute *compute, float *logits, const int32_t *label, double *loss, int64_t n,
                          int64_t V, float scale, bool gradient);

    /* x, first moment m, second moment v, gradient g; n elements. */
    void (*adamw)(const dq_compute *compute, const dq_adamw *o, float *x, float *m, float *v, const float *g,
                  int64_t n);

    /* y += x, n elements */
    void (*add)(const dq_compute *compute, float *y, const float *x, int64_t n);
    /* y[t, :] += bias, y [T, D]; and its gradient dbias += sum_t dy. */
    void (*bias_forward)(const dq_compute *compute, float *y, const float *bias, int64_t T, int64_t D);
    void (*bias_backward)(const dq_compute *compute, float *dbias, const float *dy, int64_t T, int64_t D);
    /* sum of x^2 in double, in an order fixed by n alone. */
    double (*sum_of_squares)(const dq_compute *compute, const float *x, int64_t n);

    /* Elements of a product that is not made whole. */
    void (*sampled_multiply)(const dq_compute *compute, const dq_sampled *p);

    /* Fake quantization of a tile of rows: fakequant.h. Serial; callers divide the rows among threads. */
    dq_fakequant_adapt_fn *fakequant_adapt;
    dq_fakequant_codes_fn *fakequant_codes;
    dq_fakequant_decode_fn *fakequant_decode;
    dq_fakequant_backward_fn *fakequant_backward;
    dq_fakequant_keep_fn *fakequant_keep;
    dq_fakequant_kept_backward_fn *fakequant_kept_backward;

    /* Weights in coded forms: coded.h. */
    dq_coded_rows_fn *coded_rows;
    void (*coded_multiply)(const dq_compute *compute, const dq_coded_product *p);

    /* The same, not for int8, of many tokens with weights that dq_tables_admit (tables.h): S and O are factors of whole sums, and
     * an element's order depends on `in` and on the largest code_bits of the product's weights alone. */
    void (*tables_multiply)(const dq_compute *compute, const dq_coded_product *p);
    int tables_bits; /* up to so many bits of a code it is faster than gemm; 0: never */
};

/* The variants compiled in, reference first; usable: this processor has what it needs. */
size_t dq_kernels_count(void);
const dq_kernels *dq_kernels_at(size_t index, bool *usable);
/* The fastest usable one; name (e.g. "avx2", NULL: the best) picks one: ERROR_USAGE when unknown or not usable here. */
dlqat_status dq_kernels_choose(const char *name, const dq_kernels **kernels, dlqat_error *error);

size_t dq_workspace_bytes(int threads);
/* kernels chosen by name, threads (0: as many as the process may run on), workspace allocated. */
dlqat_status dq_compute_open(dq_compute *compute, const char *kernels, int threads, dq_multiply multiply,
                             dlqat_error *error);
void dq_compute_close(dq_compute *compute);

#endif
