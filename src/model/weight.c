/* Where rows of a weight come from. */
#include "model/model.h"

#include <string.h>

static void tensor_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst) {
    dq_tensor_rows(weight->tensor, first, count, dst);
}

/* GGUF's llama rotates neighbouring pairs where Hugging Face rotates halves, so its converter deals the two halves of each
 * head's rows alternately: row h d + p d/2 + j of ours (half p, pair j) is row h d + 2 j + p of the file's. */
int64_t dq_llama_row(int64_t out, int heads, int64_t row) {
    int64_t d = out / heads, head = row / d, within = row % d;
    int64_t half = within / (d / 2), pair = within % (d / 2);
    return head * d + 2 * pair + half;
}

int64_t dq_llama_row_inverse(int64_t out, int heads, int64_t row) {
    int64_t d = out / heads, head = row / d, within = row % d;
    return head * d + within % 2 * (d / 2) + within / 2;
}

static void permuted_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst) {
    for (int64_t i = 0; i < count; i++)
        dq_tensor_rows(weight->tensor, dq_llama_row(weight->out, weight->permuted_heads, first + i), 1,
                       dst + i * weight->in);
}

static void affine_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst) {
    dq_affine_rows(&weight->affine, first, count, dst);
}

static dq_coding coding_of(dq_dtype dtype) {
    switch (dtype) {
    case DQ_F16:
        return DQ_CODING_F16;
    case DQ_BF16:
        return DQ_CODING_BF16;
    case DQ_Q4_0:
        return DQ_CODING_Q4_0;
    case DQ_Q4_1:
        return DQ_CODING_Q4_1;
    case DQ_Q5_0:
        return DQ_CODING_Q5_0;
    case DQ_Q5_1:
        return DQ_CODING_Q5_1;
    case DQ_Q8_0:
        return DQ_CODING_Q8_0;
    default:
        return DQ_CODING_NONE;
    }
}

static dq_coded coded_tensor(const dq_tensor *tensor, int permuted_heads) {
    const dq_dtype_traits *type = dq_dtype_info(tensor->dtype);
    return (dq_coded){
        .coding = coding_of(tensor->dtype),
        .out = tensor->shape[0],
        .in = tensor->shape[1],
        .row_bytes = tensor->shape[1] / type->block_elements * type->block_bytes,
        .codes = tensor->data,
        .head_rows = permuted_heads ? tensor->shape[0] / permuted_heads : 0,
    };
}

static dq_coded coded_affine(const dq_affine *matrix) {
    return (dq_coded){
        .coding = DQ_CODING_BITS,
        .out = matrix->out,
        .in = matrix->in,
        .row_bytes = dq_affine_row_words(matrix->in, matrix->bits) * (int64_t)sizeof *matrix->codes,
        .codes = matrix->codes,
        .bits = matrix->bits,
        .group = matrix->group,
        .scale_type = matrix->scale_dtype == DQ_F16    ? DQ_SCALE_F16
                      : matrix->scale_dtype == DQ_BF16 ? DQ_SCALE_BF16
                                                       : DQ_SCALE_F32,
        .scales = matrix->scales,
        .offsets = matrix->offsets,
    };
}

dq_weight dq_weight_from_tensor(const dq_tensor *tensor, int permuted_heads) {
    dq_weight weight = {
        .out = tensor->shape[0],
        .in = tensor->shape[1],
        .rows = permuted_heads ? permuted_rows : tensor_rows,
        .kind = DQ_WEIGHT_TENSOR,
        .tensor = tensor,
        .permuted_heads = permuted_heads,
        .coded = coded_tensor(tensor, permuted_heads),
    };
    /* What is mapped as f32 can be multiplied with where it lies. */
    if (tensor->dtype == DQ_F32 && !permuted_heads && (uintptr_t)tensor->data % sizeof(float) == 0)
        weight.resident = tensor->data;
    return weight;
}

dq_weight dq_weight_from_affine(const dq_affine *matrix) {
    return (dq_weight){
        .out = matrix->out,
        .in = matrix->in,
        .rows = affine_rows,
        .kind = DQ_WEIGHT_AFFINE,
        .affine = *matrix,
        .coded = coded_affine(matrix),
    };
}

void dq_weight_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst) {
    if (weight->resident)
        memcpy(dst, weight->resident + first * weight->in, (size_t)(count * weight->in) * sizeof *dst);
    else
        weight->rows(weight, first, count, dst);
}
