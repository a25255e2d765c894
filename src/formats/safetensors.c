#include "formats/safetensors.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/shards.h"

#include <stdlib.h>
#include <string.h>

/* One mapped file. The header stays parsed: tensors borrow their names from its keys. */
typedef struct shard {
    dq_map map;
    json_t *header;
    size_t first, count; /* its tensors in dq_safetensors.tensors while that is still in file order */
} shard;

struct dq_safetensors {
    dq_shard_list list;
    shard *shards;
    dq_tensor *tensors;
    size_t count;
};

static const char metadata_key[] = "__metadata__";

static bool dtype_by_name(const char *name, dq_dtype *dtype) {
    for (int i = 0; i < DQ_DTYPE_COUNT; i++) {
        const dq_dtype_traits *type = dq_dtype_info((dq_dtype)i);
        if (type->safetensors && strcmp(type->name, name) == 0) {
            *dtype = (dq_dtype)i;
            return true;
        }
    }
    return false;
}

static dlqat_status parse_header(shard *file, const char *path, dlqat_error *error) {
    const uint64_t most = 100000000; /* the format's own bound */
    uint64_t length;
    if (file->map.size < sizeof length)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: %zu bytes are no safetensors file; is it cut off?", path,
                       file->map.size);
    memcpy(&length, file->map.data, sizeof length);
    if (length > most)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: its header claims %llu bytes; no safetensors file has more than %llu", path,
                       (unsigned long long)length, (unsigned long long)most);
    if (length > file->map.size - sizeof length)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: its header claims %llu bytes, the file has %zu; is it cut off?",
                       path, (unsigned long long)length, file->map.size);
    const char *text = (const char *)file->map.data + sizeof length;
    if (length == 0 || text[0] != '{')
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the header does not begin with '{'; not a safetensors file",
                       path);
    return dq_json_parse(text, (size_t)length, path, &file->header, error);
}

static dlqat_status check_metadata(const json_t *metadata, const char *path, dlqat_error *error) {
    if (!json_is_object(metadata))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"%s\" must be an object", path, metadata_key);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        if (!json_is_string(value))
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"%s\": the value of \"%s\" must be a string", path,
                           metadata_key, key);
    }
    return DLQAT_OK;
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, offsets counted from data. */
static dlqat_status read_entry(dq_tensor *tensor, const json_t *entry, const char *path, const unsigned char *data,
                               size_t data_size, dlqat_error *error) {
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: tensor %s: expected \"dtype\", \"shape\" and \"data_offsets\" of two numbers", path,
                       tensor->name);
    if (!dtype_by_name(json_string_value(dtype), &tensor->dtype))
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: tensor %s has the type %s, which dlqat does not read; convert the file to F32, F16 or BF16",
                       path, tensor->name, json_string_value(dtype));
    if (json_array_size(shape) > DQ_MAX_DIMENSIONS)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: tensor %s has %zu dimensions; dlqat reads at most %d", path,
                       tensor->name, json_array_size(shape), DQ_MAX_DIMENSIONS);
    tensor->dimensions = (int)json_array_size(shape);
    for (int i = 0; i < tensor->dimensions; i++) {
        const json_t *length = json_array_get(shape, (size_t)i);
        if (!json_is_integer(length) || json_integer_value(length) < 0)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s: its shape must consist of whole numbers from 0 up",
                           path, tensor->name);
        tensor->shape[i] = json_integer_value(length);
    }
    char text[96];
    if (!dq_tensor_measure(tensor))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s: the size of shape %s overflows", path, tensor->name,
                       dq_shape_text(text, tensor->dimensions, tensor->shape));
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin) || (uint64_t)json_integer_value(end) > data_size)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: tensor %s: its data_offsets must be two rising whole numbers within the %zu bytes of data; "
                       "is the file cut off?",
                       path, tensor->name, data_size);
    const uint64_t bytes = (uint64_t)(json_integer_value(end) - json_integer_value(begin));
    if (bytes != tensor->bytes)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s has %llu bytes, but %s of %s takes %zu", path,
                       tensor->name, (unsigned long long)bytes, dq_shape_text(text, tensor->dimensions, tensor->shape),
                       dq_dtype_info(tensor->dtype)->name, tensor->bytes);
    tensor->data = data + json_integer_value(begin);
    return DLQAT_OK;
}

static int by_place(const void *a, const void *b) {
    const dq_tensor *x = a, *y = b;
    const uintptr_t px = (uintptr_t)x->data, py = (uintptr_t)y->data;
    if (px != py) return px < py ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty ones first */
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const dq_tensor *)a)->name, ((const dq_tensor *)b)->name);
}

/* The tensors' bytes must follow one another from the first byte of data to the last. */
static dlqat_status check_coverage(dq_tensor *tensors, size_t count, const char *path, const unsigned char *data,
                                   size_t data_size, dlqat_error *error) {
    if (count) qsort(tensors, count, sizeof *tensors, by_place);
    const unsigned char *expected = data;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *begin = tensors[i].data;
        if (begin != expected)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s begins at byte %zu of the data, expected %zu: %s",
                           path, tensors[i].name, (size_t)(begin - data), (size_t)(expected - data),
                           begin < expected ? "it overlaps another tensor" : "the bytes before it belong to no tensor");
        expected = begin + tensors[i].bytes;
    }
    if (expected != data + data_size)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the last %zu bytes belong to no tensor", path,
                       (size_t)(data + data_size - expected));
    return DLQAT_OK;
}

static dlqat_status read_tensors(shard *file, dq_tensor *tensors, const char *path, dlqat_error *error) {
    uint64_t length;
    memcpy(&length, file->map.data, sizeof length);
    const unsigned char *data = file->map.data + sizeof length + length;
    const size_t data_size = file->map.size - sizeof length - (size_t)length;
    const char *name;
    json_t *entry;
    size_t count = 0;
    json_object_foreach(file->header, name, entry) {
        if (strcmp(name, metadata_key) == 0) {
            DQ_TRY(check_metadata(entry, path, error));
            continue;
        }
        tensors[count].name = name;
        DQ_TRY(read_entry(&tensors[count], entry, path, data, data_size, error));
        count++;
    }
    return check_coverage(tensors, count, path, data, data_size, error);
}

static dlqat_status open_shards(dq_safetensors *file, dlqat_error *error) {
    for (size_t i = 0; i < file->list.count; i++) {
        shard *part = &file->shards[i];
        DQ_TRY(dq_map_open(&part->map, file->list.paths[i], error));
        DQ_TRY(parse_header(part, file->list.paths[i], error));
        part->first = file->count;
        part->count = json_object_size(part->header) - (json_object_get(part->header, metadata_key) != NULL);
        file->count += part->count;
    }
    file->tensors = dq_alloc(file->count, sizeof *file->tensors, "the list of tensors", error);
    if (!file->tensors) return DLQAT_ERROR_MEMORY;
    for (size_t i = 0; i < file->list.count; i++)
        DQ_TRY(read_tensors(&file->shards[i], file->tensors + file->shards[i].first, file->list.paths[i], error));
    return DLQAT_OK;
}

/* Every entry of the index must be in the shard that it names. */
static dlqat_status check_index(const dq_safetensors *file, const char *path, dlqat_error *error) {
    const char *name;
    json_t *shard_name;
    json_object_foreach(file->list.weight_map, name, shard_name) {
        const size_t i = dq_shard_find(&file->list, json_string_value(shard_name));
        if (!json_object_get(file->shards[i].header, name))
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the index places tensor %s in %s, which does not have it",
                           path, name, json_string_value(shard_name));
    }
    return DLQAT_OK;
}

dlqat_status dq_safetensors_open(dq_safetensors **result, const char *path, dlqat_error *error) {
    *result = NULL;
    dq_safetensors *file = dq_alloc(1, sizeof *file, path, error);
    if (!file) return DLQAT_ERROR_MEMORY;
    dlqat_status status;
    DQ_TRY_GOTO(status, dq_shard_list_open(&file->list, path, error), failed);
    file->shards = dq_alloc(file->list.count, sizeof *file->shards, path, error);
    if (!file->shards) {
        status = DLQAT_ERROR_MEMORY;
        goto failed;
    }
    DQ_TRY_GOTO(status, open_shards(file, error), failed);
    if (file->list.weight_map) DQ_TRY_GOTO(status, check_index(file, path, error), failed);
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->count; i++)
        if (by_name(&file->tensors[i - 1], &file->tensors[i]) == 0) {
            status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s is in more than one of its files", path,
                             file->tensors[i].name);
            goto failed;
        }
    *result = file;
    return DLQAT_OK;
failed:
    dq_safetensors_close(file);
    return status;
}

void dq_safetensors_close(dq_safetensors *file) {
    if (!file) return;
    for (size_t i = 0; file->shards && i < file->list.count; i++) {
        json_decref(file->shards[i].header);
        dq_map_close(&file->shards[i].map);
    }
    dq_shard_list_close(&file->list);
    dq_free(file->shards);
    dq_free(file->tensors);
    dq_free(file);
}

void dq_safetensors_forget(const dq_safetensors *file) {
    for (size_t i = 0; i < file->list.count; i++) dq_map_forget(&file->shards[i].map);
}

size_t dq_safetensors_count(const dq_safetensors *file) {
    return file->count;
}

const dq_tensor *dq_safetensors_at(const dq_safetensors *file, size_t index) {
    return &file->tensors[index];
}

const dq_tensor *dq_safetensors_find(const dq_safetensors *file, const char *name) {
    const dq_tensor wanted = {.name = name};
    return file->count ? bsearch(&wanted, file->tensors, file->count, sizeof wanted, by_name) : NULL;
}

const char *dq_safetensors_metadata(const dq_safetensors *file, const char *key) {
    for (size_t i = 0; i < file->list.count; i++) {
        const json_t *value = json_object_get(json_object_get(file->shards[i].header, metadata_key), key);
        if (value) return json_string_value(value);
    }
    return NULL;
}
