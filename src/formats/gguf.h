/* GGUF v3 (and v2, which differs in nothing we read): key/value pairs and tensors.
 * Tensor shapes are turned to row-major order, outermost first. */
#ifndef DQ_FORMATS_GGUF_H
#define DQ_FORMATS_GGUF_H

#include "formats/tensor.h"

/* clang-format off */
typedef enum dq_gguf_type {
    DQ_GGUF_U8, DQ_GGUF_I8, DQ_GGUF_U16, DQ_GGUF_I16, DQ_GGUF_U32, DQ_GGUF_I32, DQ_GGUF_F32, DQ_GGUF_BOOL,
    DQ_GGUF_STRING, DQ_GGUF_ARRAY, DQ_GGUF_U64, DQ_GGUF_I64, DQ_GGUF_F64
} dq_gguf_type;
/* clang-format on */

typedef struct dq_gguf dq_gguf;

dlqat_status dq_gguf_open(dq_gguf **file, const char *path, dlqat_error *error);
void dq_gguf_close(dq_gguf *file);
void dq_gguf_forget(const dq_gguf *file); /* dq_map_forget */
/* Whether the file begins with GGUF's magic. */
bool dq_gguf_probe(const char *path);
const char *dq_gguf_path(const dq_gguf *file);

size_t dq_gguf_tensor_count(const dq_gguf *file);
const dq_tensor *dq_gguf_tensor_at(const dq_gguf *file, size_t index);
const dq_tensor *dq_gguf_find(const dq_gguf *file, const char *name);

/* Scalars. Absent: *out keeps what it held. Of another type (any integer type serves an int, either float a real):
 * ERROR_INPUT naming file and key. */
bool dq_gguf_has(const dq_gguf *file, const char *key);
dlqat_status dq_gguf_get_int(const dq_gguf *file, const char *key, int64_t *out, dlqat_error *error);
dlqat_status dq_gguf_get_real(const dq_gguf *file, const char *key, double *out, dlqat_error *error);
dlqat_status dq_gguf_get_bool(const dq_gguf *file, const char *key, bool *out, dlqat_error *error);
/* NUL-terminated copy owned by file; *length may be NULL. */
dlqat_status dq_gguf_get_string(const dq_gguf *file, const char *key, const char **out, size_t *length,
                                dlqat_error *error);
/* Arrays: element type and length; 0 elements when absent. */
size_t dq_gguf_array_length(const dq_gguf *file, const char *key, dq_gguf_type *type);
/* Element of an array of strings: bytes in the map, not NUL-terminated. O(1). */
dlqat_status dq_gguf_array_string(const dq_gguf *file, const char *key, size_t index, const char **out, size_t *length,
                                  dlqat_error *error);
/* count elements of a numeric array, converted to double. */
dlqat_status dq_gguf_array_numbers(const dq_gguf *file, const char *key, double *out, size_t count, dlqat_error *error);

/* Writing: pairs and tensors are declared, then the tensors' bytes follow in the order of declaration. */
typedef struct dq_gguf_writer dq_gguf_writer;

dlqat_status dq_gguf_create(dq_gguf_writer **writer, const char *path, dlqat_error *error);
/* Pairs. An allocation failure is kept and reported by next. */
void dq_gguf_set_u32(dq_gguf_writer *writer, const char *key, uint32_t value);
void dq_gguf_set_i32(dq_gguf_writer *writer, const char *key, int32_t value);
void dq_gguf_set_f32(dq_gguf_writer *writer, const char *key, float value);
void dq_gguf_set_bool(dq_gguf_writer *writer, const char *key, bool value);
void dq_gguf_set_string(dq_gguf_writer *writer, const char *key, const char *value);
void dq_gguf_set_strings(dq_gguf_writer *writer, const char *key, const char *const *values, const size_t *lengths,
                         size_t count);
void dq_gguf_set_i32s(dq_gguf_writer *writer, const char *key, const int32_t *values, size_t count);
void dq_gguf_set_f32s(dq_gguf_writer *writer, const char *key, const float *values, size_t count);
dlqat_status dq_gguf_declare(dq_gguf_writer *writer, const char *name, dq_dtype dtype, int dimensions,
                             const int64_t *shape, void *user, dlqat_error *error);
/* As in safetensors.h. */
dlqat_status dq_gguf_next(dq_gguf_writer *writer, const dq_tensor **tensor, void **user, dlqat_error *error);
dlqat_status dq_gguf_put(dq_gguf_writer *writer, const void *bytes, size_t size, dlqat_error *error);
dlqat_status dq_gguf_finish(dq_gguf_writer *writer, dlqat_error *error);
void dq_gguf_abandon(dq_gguf_writer *writer);

#endif
