/* The functions of one variant, named dq_OPERATION_VARIANT, and the table that holds them. Included by the files that
 * define them and by dispatch.c.
 *
 * To add an operation: a pointer in struct dq_kernels (kernels.h), its prototype in DQ_VARIANT_DECLARE, a row in
 * dispatch.c, a plain definition in reference/, one in vector/ (or the reference's file among the sources of every
 * variant, floor.cmake), a row in tests/kernels/emulated.c and a case in tests/kernels/operations.c. avx512bf16 and amx
 * are avx512 with other matrix products and attention, and alone have pack_coded, which the macro declares for all. */
#ifndef DQ_KERNELS_VARIANT_H
#define DQ_KERNELS_VARIANT_H

#include "kernels/kernels.h"

#define DQ_VARIANT_DECLARE(v)                                                                                          \
    void dq_gemm_##v(const dq_compute *compute, const dq_gemm *g);                                                     \
    size_t dq_packed_bytes_##v(const dq_compute *compute, int64_t k, int64_t n);                                       \
    void dq_pack_##v(const dq_compute *compute, const dq_pack *piece, void *packed);                                   \
    size_t dq_packed_a_bytes_##v(const dq_compute *compute, int64_t m, int64_t k);                                     \
    void dq_pack_a_##v(const dq_compute *compute, const dq_gemm *g, void *packed);                                     \
    bool dq_pack_coded_##v(const dq_compute *compute, const dq_coded *w, int64_t first, const dq_pack *piece,          \
                           bool transposed, void *packed);                                                             \
    void dq_gemm_packed_##v(const dq_compute *compute, const dq_gemm *g, const dq_packed *packed);                     \
    void dq_rmsnorm_forward_##v(const dq_compute *compute, float *y, float *r_out, const float *x, const float *w,     \
                                float eps, int64_t T, int64_t D);                                                      \
    void dq_rmsnorm_backward_##v(const dq_compute *compute, float *dx, float *dw, const float *dy, const float *x,     \
                                 const float *w, const float *r, int64_t T, int64_t D);                                \
    void dq_rope_##v(const dq_compute *compute, float *x, const int32_t *position, const float *inv_freq, int64_t T,   \
                     int heads, int head_width, bool inverse);                                                         \
    void dq_swiglu_forward_##v(const dq_compute *compute, float *y, const float *gate, const float *up, int64_t n);    \
    void dq_swiglu_backward_##v(const dq_compute *compute, float *dgate, float *dup, const float *dy,                  \
                                const float *gate, const float *up, int64_t T, int64_t D, float *gate_dots,            \
                                float *up_dots);                                                                       \
    void dq_column_dots_##v(const dq_compute *compute, float *dots, const float *dy, const float *y,                   \
                            const float *less, const float *bias, int64_t T, int64_t D);                               \
    void dq_attention_forward_##v(const dq_compute *compute, const dq_attention *a);                                   \
    void dq_attention_backward_##v(const dq_compute *compute, const dq_attention *a, const float *do_, float *delta,   \
                                   float *dq, float *dk, float *dv);                                                   \
    void dq_cross_entropy_##v(const dq_compute *compute, float *logits, const int32_t *label, double *loss, int64_t n, \
                              int64_t V, float scale, bool gradient);                                                  \
    void dq_adamw_##v(const dq_compute *compute, const dq_adamw *o, float *x, float *m, float *v_, const float *g,     \
                      int64_t n);                                                                                      \
    void dq_add_##v(const dq_compute *compute, float *y, const float *x, int64_t n);                                   \
    void dq_bias_forward_##v(const dq_compute *compute, float *y, const float *bias, int64_t T, int64_t D);            \
    void dq_bias_backward_##v(const dq_compute *compute, float *dbias, const float *dy, int64_t T, int64_t D);         \
    double dq_sum_of_squares_##v(const dq_compute *compute, const float *x, int64_t n);                                \
    void dq_sampled_multiply_##v(const dq_compute *compute, const dq_sampled *p);                                      \
    dq_fakequant_adapt_fn dq_fakequant_adapt_##v;                                                                      \
    dq_fakequant_codes_fn dq_fakequant_codes_##v;                                                                      \
    dq_fakequant_decode_fn dq_fakequant_decode_##v;                                                                    \
    dq_fakequant_backward_fn dq_fakequant_backward_##v;                                                                \
    dq_fakequant_keep_fn dq_fakequant_keep_##v;                                                                        \
    dq_fakequant_kept_backward_fn dq_fakequant_kept_backward_##v;                                                      \
    dq_coded_rows_fn dq_coded_rows_##v;                                                                                \
    void dq_coded_multiply_##v(const dq_compute *compute, const dq_coded_product *p);                                  \
    void dq_tables_multiply_##v(const dq_compute *compute, const dq_coded_product *p)

#endif
