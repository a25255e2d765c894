#include "emulated.h"

#include "kernels/variant.h"

DQ_VARIANT_DECLARE(plain16);
DQ_VARIANT_DECLARE(plain16dots);
DQ_VARIANT_DECLARE(plain16tiles);

/* clang-format off: a row each */
#define PRODUCTS(v)                                                                                                    \
    .gemm = dq_gemm_##v, .packed_bytes = dq_packed_bytes_##v, .pack = dq_pack_##v,                                     \
    .packed_a_bytes = dq_packed_a_bytes_##v, .pack_a = dq_pack_a_##v, .gemm_packed = dq_gemm_packed_##v

#define ATTENTION(v) .attention_forward = dq_attention_forward_##v, .attention_backward = dq_attention_backward_##v

#define PRODUCTS_BF16(v) PRODUCTS(v), ATTENTION(v), .pack_coded = dq_pack_coded_##v

#define OPERATIONS                                                                                                     \
    .rmsnorm_forward = dq_rmsnorm_forward_plain16, .rmsnorm_backward = dq_rmsnorm_backward_plain16,                    \
    .rope = dq_rope_plain16, .swiglu_forward = dq_swiglu_forward_plain16,                                              \
    .swiglu_backward = dq_swiglu_backward_plain16, .column_dots = dq_column_dots_plain16,                              \
    .sampled_multiply = dq_sampled_multiply_plain16, .cross_entropy = dq_cross_entropy_plain16,                        \
    .adamw = dq_adamw_plain16, .add = dq_add_plain16, .bias_forward = dq_bias_forward_plain16,                         \
    .bias_backward = dq_bias_backward_plain16, .sum_of_squares = dq_sum_of_squares_plain16,                            \
    .fakequant_adapt = dq_fakequant_adapt_plain16, .fakequant_codes = dq_fakequant_codes_plain16,                      \
    .fakequant_decode = dq_fakequant_decode_plain16, .fakequant_backward = dq_fakequant_backward_plain16,              \
    .fakequant_keep = dq_fakequant_keep_plain16, .fakequant_kept_backward = dq_fakequant_kept_backward_plain16,        \
    .coded_rows = dq_coded_rows_plain16, .coded_multiply = dq_coded_multiply_plain16,                                  \
    .tables_multiply = dq_tables_multiply_plain16
/* clang-format on */

const dq_kernels *kernels_to_test(size_t index, bool *usable) {
    static const dq_kernels emulated[] = {
        {.name = "plain16", PRODUCTS(plain16), ATTENTION(plain16), OPERATIONS},
        {.name = "plain16dots", PRODUCTS_BF16(plain16dots), OPERATIONS},
        {.name = "plain16tiles", PRODUCTS_BF16(plain16tiles), OPERATIONS},
    };
    size_t count = dq_kernels_count();
    if (index < count) return dq_kernels_at(index, usable);
    *usable = true;
    return index - count < sizeof emulated / sizeof emulated[0] ? &emulated[index - count] : NULL;
}
