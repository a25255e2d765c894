#define _DEFAULT_SOURCE
#include "formats/tensor_writer.h"

#include "base/arena.h"
#include "formats/names.h"

#include <stdlib.h>
#include <string.h>

dlqat_status dq_tensor_writer_open(dq_tensor_writer *writer, const char *path, size_t padding, dlqat_error *error) {
    memset(writer, 0, sizeof *writer);
    writer->padding = padding;
    return dq_writer_open(&writer->out, path, error);
}

dlqat_status dq_tensor_writer_declare(dq_tensor_writer *writer, const char *name, dq_dtype dtype, int dimensions,
                                      const int64_t *shape, void *user, dlqat_error *error) {
    const char *path = writer->out.path;
    if (writer->begun)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s was declared after the header was written", path, name);
    dq_declared entry = {.tensor = {.dtype = dtype, .dimensions = dimensions}, .user = user};
    bool fits = dimensions >= 0 && dimensions <= DQ_MAX_DIMENSIONS;
    for (int i = 0; fits && i < dimensions; i++) entry.tensor.shape[i] = shape[i];
    if (!fits || !dq_tensor_measure(&entry.tensor))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s: a shape that %s cannot have", path, name,
                       dq_dtype_info(dtype)->name);
    if (writer->count == writer->capacity) {
        const size_t capacity = writer->capacity ? 2 * writer->capacity : 64;
        dq_declared *longer = realloc(writer->entries, capacity * sizeof *longer);
        if (!longer) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its list of tensors", path);
        writer->entries = longer;
        writer->capacity = capacity;
    }
    entry.tensor.name = strdup(name);
    if (!entry.tensor.name) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its list of tensors", path);
    writer->entries[writer->count++] = entry;
    return DLQAT_OK;
}

dlqat_status dq_tensor_writer_check_names(const dq_tensor_writer *writer, dlqat_error *error) {
    dq_name *names = dq_alloc(writer->count, sizeof *names, "the list of tensors", error);
    if (!names) return DLQAT_ERROR_MEMORY;
    for (size_t i = 0; i < writer->count; i++) names[i] = (dq_name){writer->entries[i].tensor.name, i};
    const char *twice = dq_names_sort(names, writer->count);
    dq_free(names);
    if (!twice) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s was declared twice", writer->out.path, twice);
}

/* Ends the tensor that is being put, if any: it must be complete. */
static dlqat_status end_current(dq_tensor_writer *writer, dlqat_error *error) {
    if (writer->handed == 0) return DLQAT_OK;
    const dq_tensor *current = &writer->entries[writer->handed - 1].tensor;
    if (writer->put != current->bytes)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s got %zu of its %zu bytes", writer->out.path,
                       current->name, writer->put, current->bytes);
    return DLQAT_OK;
}

dlqat_status dq_tensor_writer_next(dq_tensor_writer *writer, const dq_tensor **tensor, void **user,
                                   dlqat_error *error) {
    *tensor = NULL;
    if (user) *user = NULL;
    DQ_TRY(end_current(writer, error));
    if (writer->handed == writer->count) return DLQAT_OK;
    *tensor = &writer->entries[writer->handed].tensor;
    if (user) *user = writer->entries[writer->handed].user;
    writer->handed++;
    writer->put = 0;
    return DLQAT_OK;
}

dlqat_status dq_tensor_writer_put(dq_tensor_writer *writer, const void *bytes, size_t size, dlqat_error *error) {
    if (writer->handed == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: bytes came before the first tensor", writer->out.path);
    const dq_tensor *current = &writer->entries[writer->handed - 1].tensor;
    if (size > current->bytes - writer->put)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s got more than its %zu bytes", writer->out.path,
                       current->name, current->bytes);
    if (size == 0) return DLQAT_OK;
    DQ_TRY(dq_writer_put(&writer->out, bytes, size, error));
    writer->put += size;
    if (writer->put < current->bytes) return DLQAT_OK;
    return dq_writer_pad(&writer->out, (writer->padding - current->bytes % writer->padding) % writer->padding, error);
}

dlqat_status dq_tensor_writer_commit(dq_tensor_writer *writer, dlqat_error *error) {
    DQ_TRY(end_current(writer, error));
    /* Empty tensors at the end need no turn of their own. */
    for (size_t i = writer->handed; i < writer->count; i++)
        if (writer->entries[i].tensor.bytes != 0)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s was declared, but its bytes never came",
                           writer->out.path, writer->entries[i].tensor.name);
    return dq_writer_commit(&writer->out, error);
}

void dq_tensor_writer_close(dq_tensor_writer *writer) {
    dq_writer_discard(&writer->out);
    for (size_t i = 0; i < writer->count; i++) free((void *)(uintptr_t)writer->entries[i].tensor.name);
    free(writer->entries);
    memset(writer, 0, sizeof *writer);
}
