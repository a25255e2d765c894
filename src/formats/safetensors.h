/* safetensors: one file, or the directory of an HF model with one or many.
 * Layout: u64le N, N bytes of JSON, then the tensors' bytes; the reader checks all that the format's README demands. */
#ifndef DQ_FORMATS_SAFETENSORS_H
#define DQ_FORMATS_SAFETENSORS_H

#include "formats/tensor.h"

typedef struct dq_safetensors dq_safetensors;

/* path: a .safetensors file; or a directory with model.safetensors, or with model.safetensors.index.json and its shards,
 * or with several model*.safetensors. The tensors' data stay mapped until close. */
dlqat_status dq_safetensors_open(dq_safetensors **file, const char *path, dlqat_error *error);
void dq_safetensors_close(dq_safetensors *file);
/* Takes what was read of the tensors out of memory (dq_map_forget). */
void dq_safetensors_forget(const dq_safetensors *file);

size_t dq_safetensors_count(const dq_safetensors *file);
const dq_tensor *dq_safetensors_at(const dq_safetensors *file, size_t index); /* sorted by name */
const dq_tensor *dq_safetensors_find(const dq_safetensors *file, const char *name);
/* Value of "__metadata__"; NULL if absent. */
const char *dq_safetensors_metadata(const dq_safetensors *file, const char *key);

/* Writing: everything is declared first (so the header is known), then each tensor's bytes follow in the order that
 * dq_safetensors_order gives (alignment descending, then name), in pieces if the caller likes. */
typedef struct dq_safetensors_writer dq_safetensors_writer;

dlqat_status dq_safetensors_create(dq_safetensors_writer **writer, const char *path, dlqat_error *error);
void dq_safetensors_set_metadata(dq_safetensors_writer *writer, const char *key, const char *value);
/* user: handed back by next. Names must be distinct. */
dlqat_status dq_safetensors_declare(dq_safetensors_writer *writer, const char *name, dq_dtype dtype, int dimensions,
                                    const int64_t *shape, void *user, dlqat_error *error);
/* Writes the header at the first call; then *tensor (data NULL) and *user are the next ones to put; *tensor is NULL at the end. */
dlqat_status dq_safetensors_next(dq_safetensors_writer *writer, const dq_tensor **tensor, void **user,
                                 dlqat_error *error);
/* Bytes of the tensor that next named, in as many pieces as wanted; too many is an error, too few is one at next. */
dlqat_status dq_safetensors_put(dq_safetensors_writer *writer, const void *bytes, size_t size, dlqat_error *error);
/* Commits (sync, rename) and frees the writer, also when it fails. */
dlqat_status dq_safetensors_finish(dq_safetensors_writer *writer, dlqat_error *error);
void dq_safetensors_abandon(dq_safetensors_writer *writer);

#endif
