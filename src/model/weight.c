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

dq_weight dq_weight_from_tensor(const dq_tensor *tensor, int permuted_heads) {
    dq_weight weight = {
        .out = tensor->shape[0],
        .in = tensor->shape[1],
        .rows = permuted_heads ? permuted_rows : tensor_rows,
        .kind = DQ_WEIGHT_TENSOR,
        .tensor = tensor,
        .permuted_heads = permuted_heads,
    };
    /* What is mapped as f32 can be multiplied with where it lies. */
    if (tensor->dtype == DQ_F32 && !permuted_heads && (uintptr_t)tensor->data % sizeof(float) == 0)
        weight.resident = tensor->data;
    return weight;
}

dq_weight dq_weight_from_affine(const dq_affine *matrix) {
    return (dq_weight){
        .out = matrix->out, .in = matrix->in, .rows = affine_rows, .kind = DQ_WEIGHT_AFFINE, .affine = *matrix};
}

void dq_weight_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst) {
    if (weight->resident)
        memcpy(dst, weight->resident + first * weight->in, (size_t)(count * weight->in) * sizeof *dst);
    else
        weight->rows(weight, first, count, dst);
}
