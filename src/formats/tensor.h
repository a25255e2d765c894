/* Named arrays as they lie in a file: a type, a shape, and bytes that somebody else maps. */
#ifndef DQ_FORMATS_TENSOR_H
#define DQ_FORMATS_TENSOR_H

#include "base/error.h"

/* clang-format off */
typedef enum dq_dtype {
    DQ_F32, DQ_F16, DQ_BF16, DQ_F64,
    DQ_U8, DQ_I8, DQ_U16, DQ_I16, DQ_U32, DQ_I32, DQ_U64, DQ_I64, DQ_BOOL,
    /* GGUF blocks */
    DQ_Q4_0, DQ_Q4_1, DQ_Q5_0, DQ_Q5_1, DQ_Q8_0,
    DQ_Q2_K, DQ_Q3_K, DQ_Q4_K, DQ_Q5_K, DQ_Q6_K,
    DQ_DTYPE_COUNT
} dq_dtype;
/* clang-format on */

typedef struct dq_dtype_traits {
    const char *name;   /* safetensors' or ggml's: "BF16", "Q4_1" */
    int block_elements; /* 1 for plain types */
    int block_bytes;
    int safetensors; /* 1 if safetensors knows it under that name */
    int ggml_type;   /* its number in GGUF; -1: none */
    /* n elements (a multiple of block_elements) to f32; NULL where that makes no sense (integers). Bit for bit what
     * gguf-py gives. */
    void (*to_f32)(const void *bytes, float *out, int64_t n);
} dq_dtype_traits;

const dq_dtype_traits *dq_dtype_info(dq_dtype dtype);

enum { DQ_MAX_DIMENSIONS = 4 };

/* Shape in row-major order, outermost first: [out, in] for a linear, whatever the file's own order is. */
typedef struct dq_tensor {
    const char *name; /* owned by the file object it came from */
    dq_dtype dtype;
    int dimensions; /* 0 .. 4 */
    int64_t shape[DQ_MAX_DIMENSIONS];
    const void *data;
    size_t bytes;
} dq_tensor;

int64_t dq_tensor_elements(const dq_tensor *tensor);
/* Sets tensor->bytes from its type and shape; false, with bytes untouched, when the sizes are negative or overflow, or when
 * a row is not made of whole blocks. Only of a tensor that passed may the functions below be called. */
bool dq_tensor_measure(dq_tensor *tensor);
/* "[576, 1536]", for messages. */
const char *dq_shape_text(char buffer[96], int dimensions, const int64_t *shape);
/* Rows [first, first + count) of a [rows, columns] tensor (or of a vector: one row) as f32, count * columns values. */
void dq_tensor_rows(const dq_tensor *tensor, int64_t first, int64_t count, float *out);
/* ERROR_INPUT naming where, the tensor, and the shape that was expected, unless it has just that shape and a type with
 * to_f32. */
dlqat_status dq_tensor_expect(const dq_tensor *tensor, const char *where, int dimensions, const int64_t *shape,
                              dlqat_error *error);

#endif
