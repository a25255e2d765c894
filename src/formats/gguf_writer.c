#include "formats/gguf.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "formats/names.h"
#include "formats/tensor_writer.h"

#include <string.h>

enum { ALIGNMENT = 32, LONGEST_NAME = 63 /* ggml's names have room for 64 bytes with their NUL */ };

struct dq_gguf_writer {
    dq_tensor_writer tensors;
    dq_buffer pairs; /* as they go into the file */
    dq_buffer keys;  /* "key\0key\0..", to find one that was set twice */
    size_t pair_count;
};

dlqat_status dq_gguf_create(dq_gguf_writer **result, const char *path, dlqat_error *error) {
    *result = NULL;
    dq_gguf_writer *writer = dq_alloc(1, sizeof *writer, path, error);
    if (!writer) return DLQAT_ERROR_MEMORY;
    dlqat_status status = dq_tensor_writer_open(&writer->tensors, path, ALIGNMENT, error);
    if (status == DLQAT_OK)
        *result = writer;
    else
        dq_gguf_abandon(writer);
    return status;
}

/* ---- Pairs ---- */

static void put_u32(dq_buffer *buffer, uint32_t value) {
    dq_buffer_put(buffer, &value, sizeof value);
}

static void put_u64(dq_buffer *buffer, uint64_t value) {
    dq_buffer_put(buffer, &value, sizeof value);
}

static void put_string(dq_buffer *buffer, const char *text, size_t length) {
    put_u64(buffer, length);
    dq_buffer_put(buffer, text, length);
}

static void put_key(dq_gguf_writer *writer, const char *key, dq_gguf_type type) {
    dq_buffer_put(&writer->keys, key, strlen(key) + 1);
    put_string(&writer->pairs, key, strlen(key));
    put_u32(&writer->pairs, (uint32_t)type);
    writer->pair_count++;
}

static void put_array_key(dq_gguf_writer *writer, const char *key, dq_gguf_type element, size_t count) {
    put_key(writer, key, DQ_GGUF_ARRAY);
    put_u32(&writer->pairs, (uint32_t)element);
    put_u64(&writer->pairs, count);
}

void dq_gguf_set_u32(dq_gguf_writer *writer, const char *key, uint32_t value) {
    put_key(writer, key, DQ_GGUF_U32);
    put_u32(&writer->pairs, value);
}

void dq_gguf_set_i32(dq_gguf_writer *writer, const char *key, int32_t value) {
    put_key(writer, key, DQ_GGUF_I32);
    dq_buffer_put(&writer->pairs, &value, sizeof value);
}

void dq_gguf_set_f32(dq_gguf_writer *writer, const char *key, float value) {
    put_key(writer, key, DQ_GGUF_F32);
    dq_buffer_put(&writer->pairs, &value, sizeof value);
}

void dq_gguf_set_bool(dq_gguf_writer *writer, const char *key, bool value) {
    const uint8_t byte = value;
    put_key(writer, key, DQ_GGUF_BOOL);
    dq_buffer_put(&writer->pairs, &byte, sizeof byte);
}

void dq_gguf_set_string(dq_gguf_writer *writer, const char *key, const char *value) {
    put_key(writer, key, DQ_GGUF_STRING);
    put_string(&writer->pairs, value, strlen(value));
}

void dq_gguf_set_strings(dq_gguf_writer *writer, const char *key, const char *const *values, const size_t *lengths,
                         size_t count) {
    put_array_key(writer, key, DQ_GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) put_string(&writer->pairs, values[i], lengths[i]);
}

void dq_gguf_set_i32s(dq_gguf_writer *writer, const char *key, const int32_t *values, size_t count) {
    put_array_key(writer, key, DQ_GGUF_I32, count);
    dq_buffer_put(&writer->pairs, values, count * sizeof *values);
}

void dq_gguf_set_f32s(dq_gguf_writer *writer, const char *key, const float *values, size_t count) {
    put_array_key(writer, key, DQ_GGUF_F32, count);
    dq_buffer_put(&writer->pairs, values, count * sizeof *values);
}

/* ---- Tensors ---- */

dlqat_status dq_gguf_declare(dq_gguf_writer *writer, const char *name, dq_dtype dtype, int dimensions,
                             const int64_t *shape, void *user, dlqat_error *error) {
    const char *path = writer->tensors.out.path;
    if (dq_dtype_info(dtype)->ggml_type < 0)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: tensor %s: GGUF has no type %s", path, name,
                       dq_dtype_info(dtype)->name);
    if (strlen(name) > LONGEST_NAME)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: the tensor name %s is longer than GGUF's %d bytes", path,
                       name, LONGEST_NAME);
    return dq_tensor_writer_declare(&writer->tensors, name, dtype, dimensions, shape, user, error);
}

static dlqat_status check_keys(const dq_gguf_writer *writer, dlqat_error *error) {
    dq_name *names = dq_alloc(writer->pair_count, sizeof *names, "the keys", error);
    if (!names) return DLQAT_ERROR_MEMORY;
    const char *key = writer->keys.data;
    for (size_t i = 0; i < writer->pair_count; i++, key += strlen(key) + 1) names[i] = (dq_name){key, i};
    const char *twice = dq_names_sort(names, writer->pair_count);
    dq_free(names);
    if (!twice) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the key %s was set twice", writer->tensors.out.path, twice);
}

static void put_tensors(const dq_gguf_writer *writer, dq_buffer *header) {
    uint64_t offset = 0;
    for (size_t i = 0; i < writer->tensors.count; i++) {
        const dq_tensor *tensor = &writer->tensors.entries[i].tensor;
        put_string(header, tensor->name, strlen(tensor->name));
        put_u32(header, (uint32_t)tensor->dimensions);
        for (int d = tensor->dimensions - 1; d >= 0; d--) put_u64(header, (uint64_t)tensor->shape[d]);
        put_u32(header, (uint32_t)dq_dtype_info(tensor->dtype)->ggml_type);
        put_u64(header, offset);
        offset = (offset + tensor->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

static dlqat_status write_header(dq_gguf_writer *writer, dlqat_error *error) {
    dq_tensor_writer *tensors = &writer->tensors;
    DQ_TRY(dq_buffer_check(&writer->keys, tensors->out.path, error));
    DQ_TRY(dq_buffer_check(&writer->pairs, tensors->out.path, error));
    DQ_TRY(check_keys(writer, error));
    DQ_TRY(dq_tensor_writer_check_names(tensors, error));
    dq_buffer header = {0};
    dq_buffer_puts(&header, "GGUF");
    put_u32(&header, 3);
    put_u64(&header, tensors->count);
    put_u64(&header, writer->pair_count);
    dq_buffer_put(&header, writer->pairs.data, writer->pairs.size);
    put_tensors(writer, &header);
    dlqat_status status = dq_buffer_check(&header, tensors->out.path, error);
    if (status == DLQAT_OK) status = dq_writer_put(&tensors->out, header.data, header.size, error);
    if (status == DLQAT_OK)
        status = dq_writer_pad(&tensors->out, (ALIGNMENT - header.size % ALIGNMENT) % ALIGNMENT, error);
    dq_buffer_free(&header);
    tensors->begun = status == DLQAT_OK;
    return status;
}

dlqat_status dq_gguf_next(dq_gguf_writer *writer, const dq_tensor **tensor, void **user, dlqat_error *error) {
    *tensor = NULL;
    if (!writer->tensors.begun) DQ_TRY(write_header(writer, error));
    return dq_tensor_writer_next(&writer->tensors, tensor, user, error);
}

dlqat_status dq_gguf_put(dq_gguf_writer *writer, const void *bytes, size_t size, dlqat_error *error) {
    return dq_tensor_writer_put(&writer->tensors, bytes, size, error);
}

dlqat_status dq_gguf_finish(dq_gguf_writer *writer, dlqat_error *error) {
    dlqat_status status = writer->tensors.begun ? DLQAT_OK : write_header(writer, error);
    if (status == DLQAT_OK) status = dq_tensor_writer_commit(&writer->tensors, error);
    dq_gguf_abandon(writer);
    return status;
}

void dq_gguf_abandon(dq_gguf_writer *writer) {
    if (!writer) return;
    dq_tensor_writer_close(&writer->tensors);
    dq_buffer_free(&writer->pairs);
    dq_buffer_free(&writer->keys);
    dq_free(writer);
}
