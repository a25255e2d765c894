#include "formats/safetensors.h"

#include "base/arena.h"
#include "base/json.h"
#include "formats/tensor_writer.h"

#include <stdlib.h>
#include <string.h>

struct dq_safetensors_writer {
    dq_tensor_writer tensors;
    json_t *metadata; /* NULL until the first pair */
    bool failed;      /* a pair could not be kept */
};

dlqat_status dq_safetensors_create(dq_safetensors_writer **result, const char *path, dlqat_error *error) {
    *result = NULL;
    dq_safetensors_writer *writer = dq_alloc(1, sizeof *writer, path, error);
    if (!writer) return DLQAT_ERROR_MEMORY;
    dlqat_status status = dq_tensor_writer_open(&writer->tensors, path, 1, error);
    if (status == DLQAT_OK)
        *result = writer;
    else
        dq_safetensors_abandon(writer);
    return status;
}

void dq_safetensors_set_metadata(dq_safetensors_writer *writer, const char *key, const char *value) {
    if (!writer->metadata) writer->metadata = json_object();
    if (json_object_set_new(writer->metadata, key, json_string(value)) != 0) writer->failed = true;
}

dlqat_status dq_safetensors_declare(dq_safetensors_writer *writer, const char *name, dq_dtype dtype, int dimensions,
                                    const int64_t *shape, void *user, dlqat_error *error) {
    if (!dq_dtype_info(dtype)->safetensors)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: tensor %s: safetensors has no type %s",
                       writer->tensors.out.path, name, dq_dtype_info(dtype)->name);
    if (strcmp(name, "__metadata__") == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no tensor can have the name %s", writer->tensors.out.path, name);
    return dq_tensor_writer_declare(&writer->tensors, name, dtype, dimensions, shape, user, error);
}

/* Wide types first, so that every tensor lies on a multiple of its element's size. */
static int by_alignment(const void *a, const void *b) {
    const dq_tensor *x = &((const dq_declared *)a)->tensor, *y = &((const dq_declared *)b)->tensor;
    const int wide_x = dq_dtype_info(x->dtype)->block_bytes, wide_y = dq_dtype_info(y->dtype)->block_bytes;
    return wide_x != wide_y ? wide_y - wide_x : strcmp(x->name, y->name);
}

/* {"dtype", "shape", "data_offsets"} of one tensor; NULL without memory. */
static json_t *entry_json(const dq_tensor *tensor, uint64_t begin) {
    json_t *shape = json_array();
    bool good = shape != NULL;
    for (int i = 0; i < tensor->dimensions; i++)
        good = good && json_array_append_new(shape, json_integer(tensor->shape[i])) == 0;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dq_dtype_info(tensor->dtype)->name, "shape", shape,
                              "data_offsets", (json_int_t)begin, (json_int_t)(begin + tensor->bytes));
    if (good) return entry;
    json_decref(entry);
    return NULL;
}

/* The header's JSON, or NULL without memory, or when a name is not UTF-8. */
static char *header_text(const dq_safetensors_writer *writer) {
    json_t *header = json_object();
    bool good = header && !writer->failed;
    if (good && writer->metadata) good = json_object_set(header, "__metadata__", writer->metadata) == 0;
    uint64_t begin = 0;
    for (size_t i = 0; good && i < writer->tensors.count; i++) {
        const dq_tensor *tensor = &writer->tensors.entries[i].tensor;
        good = json_object_set_new(header, tensor->name, entry_json(tensor, begin)) == 0;
        begin += tensor->bytes;
    }
    char *text = good ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

static dlqat_status write_header(dq_safetensors_writer *writer, dlqat_error *error) {
    dq_tensor_writer *tensors = &writer->tensors;
    DQ_TRY(dq_tensor_writer_check_names(tensors, error));
    if (tensors->count) qsort(tensors->entries, tensors->count, sizeof *tensors->entries, by_alignment);
    char *text = header_text(writer);
    if (!text)
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no header could be made: no memory, or a name that is not UTF-8",
                       tensors->out.path);
    const uint64_t length = strlen(text), padded = (length + 7) & ~(uint64_t)7;
    dlqat_status status = dq_writer_put(&tensors->out, &padded, sizeof padded, error);
    if (status == DLQAT_OK) status = dq_writer_put(&tensors->out, text, (size_t)length, error);
    if (status == DLQAT_OK) status = dq_writer_put(&tensors->out, "        ", (size_t)(padded - length), error);
    free(text);
    tensors->begun = status == DLQAT_OK;
    return status;
}

dlqat_status dq_safetensors_next(dq_safetensors_writer *writer, const dq_tensor **tensor, void **user,
                                 dlqat_error *error) {
    *tensor = NULL;
    if (!writer->tensors.begun) DQ_TRY(write_header(writer, error));
    return dq_tensor_writer_next(&writer->tensors, tensor, user, error);
}

dlqat_status dq_safetensors_put(dq_safetensors_writer *writer, const void *bytes, size_t size, dlqat_error *error) {
    return dq_tensor_writer_put(&writer->tensors, bytes, size, error);
}

dlqat_status dq_safetensors_finish(dq_safetensors_writer *writer, dlqat_error *error) {
    dlqat_status status = writer->tensors.begun ? DLQAT_OK : write_header(writer, error);
    if (status == DLQAT_OK) status = dq_tensor_writer_commit(&writer->tensors, error);
    dq_safetensors_abandon(writer);
    return status;
}

void dq_safetensors_abandon(dq_safetensors_writer *writer) {
    if (!writer) return;
    dq_tensor_writer_close(&writer->tensors);
    json_decref(writer->metadata);
    dq_free(writer);
}
