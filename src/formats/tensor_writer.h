/* What the writers of safetensors and GGUF share: tensors are declared, a header is made of them, then their bytes follow
 * in order, each complete before the next. */
#ifndef DQ_FORMATS_TENSOR_WRITER_H
#define DQ_FORMATS_TENSOR_WRITER_H

#include "base/file.h"
#include "formats/tensor.h"

typedef struct dq_declared {
    dq_tensor tensor; /* name owned by the writer */
    void *user;
} dq_declared;

typedef struct dq_tensor_writer {
    dq_writer out;
    dq_declared *entries;
    size_t count, capacity;
    bool begun;     /* the header is written */
    size_t handed;  /* entries that next has named; the last of them is being put */
    size_t put;     /* bytes of that one so far */
    size_t padding; /* every tensor's bytes are filled up to a multiple of it */
} dq_tensor_writer;

dlqat_status dq_tensor_writer_open(dq_tensor_writer *writer, const char *path, size_t padding, dlqat_error *error);
dlqat_status dq_tensor_writer_declare(dq_tensor_writer *writer, const char *name, dq_dtype dtype, int dimensions,
                                      const int64_t *shape, void *user, dlqat_error *error);
/* Fails when two tensors have one name. */
dlqat_status dq_tensor_writer_check_names(const dq_tensor_writer *writer, dlqat_error *error);
/* As dq_safetensors_next, _put and _finish say; the header has been written before. */
dlqat_status dq_tensor_writer_next(dq_tensor_writer *writer, const dq_tensor **tensor, void **user, dlqat_error *error);
dlqat_status dq_tensor_writer_put(dq_tensor_writer *writer, const void *bytes, size_t size, dlqat_error *error);
dlqat_status dq_tensor_writer_commit(dq_tensor_writer *writer, dlqat_error *error);
/* Frees everything; removes the file unless it was committed. */
void dq_tensor_writer_close(dq_tensor_writer *writer);

#endif
