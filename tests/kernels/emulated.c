#include "emulated.h"

#include "kernels/variant.h"

DQ_VARIANT_DECLARE(c);
DQ_VARIANT_DECLARE(plain16);

const dq_kernels *dq_kernels_emulated(void) {
    static const dq_kernels kernels = {
        .name = "plain16",
        .gemm = dq_gemm_plain16,
        .rmsnorm_forward = dq_rmsnorm_forward_plain16,
        .rmsnorm_backward = dq_rmsnorm_backward_plain16,
        .rope = dq_rope_plain16,
        .swiglu_forward = dq_swiglu_forward_plain16,
        .swiglu_backward = dq_swiglu_backward_plain16,
        .attention_forward = dq_attention_forward_plain16,
        .attention_backward = dq_attention_backward_plain16,
        .cross_entropy = dq_cross_entropy_plain16,
        .adamw = dq_adamw_plain16,
        .add = dq_add_plain16,
        .bias_forward = dq_bias_forward_plain16,
        .bias_backward = dq_bias_backward_plain16,
        .sum_of_squares = dq_sum_of_squares_plain16,
    };
    return &kernels;
}
