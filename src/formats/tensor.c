#include "formats/tensor.h"

#include "base/half.h"
#include "formats/blocks.h"

#include <stdio.h>
#include <string.h>

/* Files are little-endian and are used where they are mapped. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "dlqat needs a little-endian machine");

static void f32_to_f32(const void *bytes, float *out, int64_t n) {
    if (n > 0) memcpy(out, bytes, (size_t)n * sizeof *out);
}

/* The loads below go through memcpy: a tensor of a safetensors file may begin at any address. */
static void f16_to_f32(const void *bytes, float *restrict out, int64_t n) {
    const unsigned char *in = bytes;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        out[i] = dq_f16_to_f32(h);
    }
}

static void bf16_to_f32(const void *bytes, float *restrict out, int64_t n) {
    const unsigned char *in = bytes;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        out[i] = dq_bf16_to_f32(h);
    }
}

static void f64_to_f32(const void *bytes, float *restrict out, int64_t n) {
    const unsigned char *in = bytes;
    for (int64_t i = 0; i < n; i++) {
        double x;
        memcpy(&x, in + 8 * i, sizeof x);
        out[i] = (float)x;
    }
}

static const dq_dtype_traits traits[DQ_DTYPE_COUNT] = {
    /* name, block elements and bytes, in safetensors, ggml's number, to_f32 */
    [DQ_F32] = {"F32", 1, 4, 1, 0, f32_to_f32},
    [DQ_F16] = {"F16", 1, 2, 1, 1, f16_to_f32},
    [DQ_BF16] = {"BF16", 1, 2, 1, 30, bf16_to_f32},
    [DQ_F64] = {"F64", 1, 8, 1, 28, f64_to_f32},
    [DQ_U8] = {"U8", 1, 1, 1, -1, NULL},
    [DQ_I8] = {"I8", 1, 1, 1, 24, NULL},
    [DQ_U16] = {"U16", 1, 2, 1, -1, NULL},
    [DQ_I16] = {"I16", 1, 2, 1, 25, NULL},
    [DQ_U32] = {"U32", 1, 4, 1, -1, NULL},
    [DQ_I32] = {"I32", 1, 4, 1, 26, NULL},
    [DQ_U64] = {"U64", 1, 8, 1, -1, NULL},
    [DQ_I64] = {"I64", 1, 8, 1, 27, NULL},
    [DQ_BOOL] = {"BOOL", 1, 1, 1, -1, NULL},
    [DQ_Q4_0] = {"Q4_0", DQ_BLOCK, sizeof(dq_block_q4_0), 0, 2, dq_q4_0_to_f32},
    [DQ_Q4_1] = {"Q4_1", DQ_BLOCK, sizeof(dq_block_q4_1), 0, 3, dq_q4_1_to_f32},
    [DQ_Q5_0] = {"Q5_0", DQ_BLOCK, sizeof(dq_block_q5_0), 0, 6, dq_q5_0_to_f32},
    [DQ_Q5_1] = {"Q5_1", DQ_BLOCK, sizeof(dq_block_q5_1), 0, 7, dq_q5_1_to_f32},
    [DQ_Q8_0] = {"Q8_0", DQ_BLOCK, sizeof(dq_block_q8_0), 0, 8, dq_q8_0_to_f32},
    [DQ_Q2_K] = {"Q2_K", DQ_K_BLOCK, sizeof(dq_block_q2_k), 0, 10, dq_q2_k_to_f32},
    [DQ_Q3_K] = {"Q3_K", DQ_K_BLOCK, sizeof(dq_block_q3_k), 0, 11, dq_q3_k_to_f32},
    [DQ_Q4_K] = {"Q4_K", DQ_K_BLOCK, sizeof(dq_block_q4_k), 0, 12, dq_q4_k_to_f32},
    [DQ_Q5_K] = {"Q5_K", DQ_K_BLOCK, sizeof(dq_block_q5_k), 0, 13, dq_q5_k_to_f32},
    [DQ_Q6_K] = {"Q6_K", DQ_K_BLOCK, sizeof(dq_block_q6_k), 0, 14, dq_q6_k_to_f32},
};

const dq_dtype_traits *dq_dtype_info(dq_dtype dtype) {
    return &traits[dtype];
}

int64_t dq_tensor_elements(const dq_tensor *tensor) {
    int64_t elements = 1;
    for (int i = 0; i < tensor->dimensions; i++) elements *= tensor->shape[i];
    return elements;
}

/* Length of the innermost dimension: along it the blocks lie. */
static int64_t columns_of(const dq_tensor *tensor) {
    return tensor->dimensions ? tensor->shape[tensor->dimensions - 1] : 1;
}

bool dq_tensor_measure(dq_tensor *tensor) {
    const dq_dtype_traits *type = dq_dtype_info(tensor->dtype);
    if (columns_of(tensor) % type->block_elements != 0) return false;
    /* The product over the dimensions in front of a 0 must fit too: then elements() cannot overflow either. */
    int64_t elements = 1, bytes;
    for (int i = 0; i < tensor->dimensions; i++)
        if (tensor->shape[i] < 0 || __builtin_mul_overflow(elements, tensor->shape[i], &elements)) return false;
    if (__builtin_mul_overflow(elements / type->block_elements, (int64_t)type->block_bytes, &bytes)) return false;
    if ((uint64_t)bytes > SIZE_MAX) return false;
    tensor->bytes = (size_t)bytes;
    return true;
}

void dq_tensor_rows(const dq_tensor *tensor, int64_t first, int64_t count, float *out) {
    const dq_dtype_traits *type = dq_dtype_info(tensor->dtype);
    int64_t columns = columns_of(tensor), row_bytes = columns / type->block_elements * type->block_bytes;
    type->to_f32((const unsigned char *)tensor->data + first * row_bytes, out, count * columns);
}

const char *dq_shape_text(char buffer[96], int dimensions, const int64_t *shape) {
    int at = snprintf(buffer, 96, "[");
    for (int i = 0; i < dimensions; i++)
        at += snprintf(buffer + at, (size_t)(96 - at), i ? ", %lld" : "%lld", (long long)shape[i]);
    snprintf(buffer + at, (size_t)(96 - at), "]");
    return buffer;
}

dlqat_status dq_tensor_expect(const dq_tensor *tensor, const char *where, int dimensions, const int64_t *shape,
                              dlqat_error *error) {
    bool same = tensor->dimensions == dimensions;
    for (int i = 0; same && i < dimensions; i++) same = tensor->shape[i] == shape[i];
    char is[96], wanted[96];
    if (!same)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s has the shape %s, expected %s", where, tensor->name,
                       dq_shape_text(is, tensor->dimensions, tensor->shape), dq_shape_text(wanted, dimensions, shape));
    if (!dq_dtype_info(tensor->dtype)->to_f32)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s has the type %s, expected real numbers", where,
                       tensor->name, dq_dtype_info(tensor->dtype)->name);
    return DLQAT_OK;
}
