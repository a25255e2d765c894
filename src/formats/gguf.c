#include "formats/gguf.h"

#include "base/arena.h"
#include "base/file.h"
#include "formats/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key and where its value lies in the map. */
typedef struct pair {
    char *key;
    dq_gguf_type type, element; /* element: of an array */
    uint64_t count;             /* elements of an array, bytes of a string, 1 of a scalar */
    const unsigned char *value;
    char *text;                    /* NUL-terminated copy of a string */
    const unsigned char **strings; /* where each string of an array begins, with its length in front */
} pair;

struct dq_gguf {
    char *path;
    dq_map map;
    pair *pairs;
    size_t pair_count;
    dq_tensor *tensors;
    char **tensor_names;
    size_t tensor_count;
    dq_name *pair_index, *tensor_index;
};

static const char magic[4] = {'G', 'G', 'U', 'F'};

/* ---- A cursor over the header: every read is checked against the end of the file. ---- */

typedef struct cursor {
    const unsigned char *at, *end;
    const char *path;
    const char *inside; /* key or tensor that is being read, for messages; NULL: neither */
} cursor;

static size_t left(const cursor *c) {
    return (size_t)(c->end - c->at);
}

static dlqat_status cut_off(const cursor *c, dlqat_error *error) {
    dq_fail(error, DLQAT_ERROR_INPUT, "%s: the header ends in the middle of %s; is the file cut off?", c->path,
            c->inside ? c->inside : "its counts");
    return DLQAT_ERROR_INPUT;
}

static dlqat_status take(cursor *c, void *out, size_t size, dlqat_error *error) {
    if (left(c) < size) return cut_off(c, error);
    memcpy(out, c->at, size);
    c->at += size;
    return DLQAT_OK;
}

/* A string's bytes stay in the map. */
static dlqat_status take_string(cursor *c, const unsigned char **text, uint64_t *length, dlqat_error *error) {
    DQ_TRY(take(c, length, sizeof *length, error));
    if (*length > left(c)) return cut_off(c, error);
    *text = c->at;
    c->at += *length;
    return DLQAT_OK;
}

static char *copy_text(const unsigned char *text, uint64_t length) {
    char *copy = malloc((size_t)length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, (size_t)length);
    copy[length] = '\0';
    return copy;
}

/* A name of a pair or a tensor, as an own copy. */
static dlqat_status take_name(cursor *c, char **name, const char *what, dlqat_error *error) {
    const unsigned char *text;
    uint64_t length;
    c->inside = what;
    DQ_TRY(take_string(c, &text, &length, error));
    if (length == 0 || memchr(text, '\0', (size_t)length))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: %s is empty or has a NUL in it", c->path, what);
    *name = copy_text(text, length);
    if (!*name) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its names", c->path);
    c->inside = *name;
    return DLQAT_OK;
}

/* Bytes of a scalar; 0 for strings, arrays and what is no type. */
static size_t scalar_size(uint32_t type) {
    static const unsigned char sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

/* ---- Pairs ---- */

static dlqat_status read_array(cursor *c, pair *p, dlqat_error *error) {
    uint32_t element;
    DQ_TRY(take(c, &element, sizeof element, error));
    DQ_TRY(take(c, &p->count, sizeof p->count, error));
    p->element = (dq_gguf_type)element;
    p->value = c->at;
    if (element == DQ_GGUF_STRING) {
        if (p->count > left(c) / sizeof(uint64_t)) return cut_off(c, error);
        p->strings = malloc((size_t)p->count * sizeof *p->strings + 1);
        if (!p->strings) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for %s", c->path, p->key);
        for (uint64_t i = 0; i < p->count; i++) {
            const unsigned char *text;
            uint64_t length;
            p->strings[i] = c->at;
            DQ_TRY(take_string(c, &text, &length, error));
        }
        return DLQAT_OK;
    }
    const size_t size = scalar_size(element);
    if (size == 0)
        return dq_fail(error, element == DQ_GGUF_ARRAY ? DLQAT_ERROR_UNSUPPORTED : DLQAT_ERROR_INPUT,
                       "%s: %s is an array of %s", c->path, p->key,
                       element == DQ_GGUF_ARRAY ? "arrays, which dlqat does not read" : "an unknown type");
    if (p->count > left(c) / size) return cut_off(c, error);
    c->at += p->count * size;
    return DLQAT_OK;
}

static dlqat_status read_pair(cursor *c, pair *p, dlqat_error *error) {
    uint32_t type;
    DQ_TRY(take_name(c, &p->key, "the name of a key", error));
    DQ_TRY(take(c, &type, sizeof type, error));
    p->type = (dq_gguf_type)type;
    if (type == DQ_GGUF_ARRAY) return read_array(c, p, error);
    if (type == DQ_GGUF_STRING) {
        DQ_TRY(take_string(c, &p->value, &p->count, error));
        p->text = copy_text(p->value, p->count);
        return p->text ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for %s", c->path, p->key);
    }
    const size_t size = scalar_size(type);
    if (size == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: %s has the unknown type %u", c->path, p->key, (unsigned)type);
    if (left(c) < size) return cut_off(c, error);
    p->count = 1;
    p->value = c->at;
    c->at += size;
    return DLQAT_OK;
}

static const pair *find_pair(const dq_gguf *file, const char *key) {
    const size_t i = dq_names_find(file->pair_index, file->pair_count, key);
    return i == SIZE_MAX ? NULL : &file->pairs[i];
}

static dlqat_status read_pairs(dq_gguf *file, cursor *c, uint64_t count, dlqat_error *error) {
    const size_t least = sizeof(uint64_t) + 1 + sizeof(uint32_t) + 1; /* a key of one letter, a type, one byte */
    if (count > left(c) / least)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: claims %llu keys, more than the file can hold; is it cut off?",
                       file->path, (unsigned long long)count);
    file->pairs = dq_alloc((size_t)count, sizeof *file->pairs, "the keys", error);
    file->pair_index = dq_alloc((size_t)count, sizeof *file->pair_index, "the keys", error);
    if (!file->pairs || !file->pair_index) return DLQAT_ERROR_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        file->pair_count++; /* first, so that close frees what a failing read_pair took */
        DQ_TRY(read_pair(c, &file->pairs[i], error));
        file->pair_index[i] = (dq_name){file->pairs[i].key, (size_t)i};
    }
    const char *twice = dq_names_sort(file->pair_index, file->pair_count);
    if (twice) return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the key %s occurs twice", file->path, twice);
    return DLQAT_OK;
}

/* ---- Tensors ---- */

static bool dtype_by_number(uint32_t number, dq_dtype *dtype) {
    for (int i = 0; i < DQ_DTYPE_COUNT; i++) {
        const int known = dq_dtype_info((dq_dtype)i)->ggml_type;
        if (known >= 0 && (uint32_t)known == number) {
            *dtype = (dq_dtype)i;
            return true;
        }
    }
    return false;
}

/* The offset is returned apart: where the data begins is known only after the last entry. */
static dlqat_status read_tensor(cursor *c, dq_tensor *tensor, uint64_t *offset, dlqat_error *error) {
    uint32_t dimensions, type;
    uint64_t lengths[DQ_MAX_DIMENSIONS];
    DQ_TRY(take(c, &dimensions, sizeof dimensions, error));
    if (dimensions > DQ_MAX_DIMENSIONS)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s has %u dimensions, at most %d are possible", c->path,
                       tensor->name, (unsigned)dimensions, DQ_MAX_DIMENSIONS);
    DQ_TRY(take(c, lengths, dimensions * sizeof *lengths, error));
    DQ_TRY(take(c, &type, sizeof type, error));
    DQ_TRY(take(c, offset, sizeof *offset, error));
    if (!dtype_by_number(type, &tensor->dtype))
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: tensor %s has ggml's type number %u, which dlqat does not read; it reads F32, F16, BF16, "
                       "Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K",
                       c->path, tensor->name, (unsigned)type);
    tensor->dimensions = (int)dimensions;
    for (uint32_t i = 0; i < dimensions; i++) {
        const uint64_t length = lengths[dimensions - 1 - i]; /* the file has the innermost first */
        tensor->shape[i] = length <= INT64_MAX ? (int64_t)length : -1;
    }
    if (!dq_tensor_measure(tensor))
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: tensor %s: the size of its shape overflows, or its rows are no whole blocks of %s", c->path,
                       tensor->name, dq_dtype_info(tensor->dtype)->name);
    return DLQAT_OK;
}

static dlqat_status read_alignment(const dq_gguf *file, uint64_t *alignment, dlqat_error *error) {
    int64_t value = 32;
    DQ_TRY(dq_gguf_get_int(file, "general.alignment", &value, error));
    if (value < 1 || value > 1 << 30 || (value & (value - 1)) != 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: general.alignment is %lld, expected a power of two", file->path,
                       (long long)value);
    *alignment = (uint64_t)value;
    return DLQAT_OK;
}

/* The data of the tensors follow one another in the order of the header, each padded to the alignment. */
static dlqat_status place_tensors(dq_gguf *file, const cursor *c, const uint64_t *offsets, dlqat_error *error) {
    uint64_t alignment = 0, expected = 0;
    DQ_TRY(read_alignment(file, &alignment, error));
    const uint64_t header = (uint64_t)(c->at - file->map.data);
    const uint64_t start = (header + alignment - 1) & ~(alignment - 1);
    const uint64_t size = file->map.size > start ? file->map.size - start : 0;
    for (size_t i = 0; i < file->tensor_count; i++) {
        dq_tensor *tensor = &file->tensors[i];
        if (offsets[i] != expected)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s begins at byte %llu of the data, expected %llu",
                           file->path, tensor->name, (unsigned long long)offsets[i], (unsigned long long)expected);
        if (tensor->bytes && (expected > size || tensor->bytes > size - expected))
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s reaches beyond the end of the file; is it cut off?",
                           file->path, tensor->name);
        /* An empty tensor at the end may lie behind the last byte: it gets the start of the map instead. */
        tensor->data = file->map.data + (tensor->bytes ? start + expected : 0);
        expected = (expected + tensor->bytes + alignment - 1) & ~(alignment - 1);
    }
    return DLQAT_OK;
}

static dlqat_status read_tensors(dq_gguf *file, cursor *c, uint64_t count, dlqat_error *error) {
    const size_t least = sizeof(uint64_t) + 1 + 2 * sizeof(uint32_t) + sizeof(uint64_t);
    if (count > left(c) / least)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: claims %llu tensors, more than the file can hold; is it cut off?",
                       file->path, (unsigned long long)count);
    file->tensors = dq_alloc((size_t)count, sizeof *file->tensors, "the list of tensors", error);
    file->tensor_names = dq_alloc((size_t)count, sizeof *file->tensor_names, "the list of tensors", error);
    file->tensor_index = dq_alloc((size_t)count, sizeof *file->tensor_index, "the list of tensors", error);
    uint64_t *offsets = dq_alloc((size_t)count, sizeof *offsets, "the list of tensors", error);
    dlqat_status status = DLQAT_ERROR_MEMORY;
    if (!file->tensors || !file->tensor_names || !file->tensor_index || !offsets) goto done;
    for (uint64_t i = 0; i < count; i++) {
        file->tensor_count++;
        DQ_TRY_GOTO(status, take_name(c, &file->tensor_names[i], "the name of a tensor", error), done);
        file->tensors[i].name = file->tensor_names[i];
        DQ_TRY_GOTO(status, read_tensor(c, &file->tensors[i], &offsets[i], error), done);
        file->tensor_index[i] = (dq_name){file->tensor_names[i], (size_t)i};
    }
    const char *twice = dq_names_sort(file->tensor_index, file->tensor_count);
    status = twice ? dq_fail(error, DLQAT_ERROR_INPUT, "%s: the tensor %s occurs twice", file->path, twice)
                   : place_tensors(file, c, offsets, error);
done:
    dq_free(offsets);
    return status;
}

/* ---- The file ---- */

static dlqat_status read_file(dq_gguf *file, dlqat_error *error) {
    cursor c = {file->map.data, file->map.data + file->map.size, file->path, NULL};
    uint32_t version;
    uint64_t tensor_count, pair_count;
    char start[sizeof magic];
    if (file->map.size < sizeof start || memcmp(file->map.data, magic, sizeof magic) != 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: does not begin with \"GGUF\"; not a GGUF file", file->path);
    DQ_TRY(take(&c, start, sizeof start, error));
    DQ_TRY(take(&c, &version, sizeof version, error));
    if ((version & 0xffff) == 0)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: a big-endian GGUF file; convert it to little-endian (gguf-convert-endian)", file->path);
    if (version != 2 && version != 3)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: GGUF version %u; dlqat reads 2 and 3", file->path,
                       (unsigned)version);
    DQ_TRY(take(&c, &tensor_count, sizeof tensor_count, error));
    DQ_TRY(take(&c, &pair_count, sizeof pair_count, error));
    DQ_TRY(read_pairs(file, &c, pair_count, error));
    int64_t parts = 1;
    DQ_TRY(dq_gguf_get_int(file, "split.count", &parts, error));
    if (parts > 1)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: one of %lld parts of a model; join them first (llama-gguf-split --merge)", file->path,
                       (long long)parts);
    return read_tensors(file, &c, tensor_count, error);
}

dlqat_status dq_gguf_open(dq_gguf **result, const char *path, dlqat_error *error) {
    *result = NULL;
    dq_gguf *file = dq_alloc(1, sizeof *file, path, error);
    if (!file) return DLQAT_ERROR_MEMORY;
    dlqat_status status = DLQAT_OK;
    file->path = copy_text((const unsigned char *)path, strlen(path));
    if (!file->path) status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its name", path);
    if (status == DLQAT_OK) status = dq_map_open(&file->map, path, error);
    if (status == DLQAT_OK) status = read_file(file, error);
    if (status == DLQAT_OK)
        *result = file;
    else
        dq_gguf_close(file);
    return status;
}

void dq_gguf_close(dq_gguf *file) {
    if (!file) return;
    for (size_t i = 0; i < file->pair_count; i++) {
        free(file->pairs[i].key);
        free(file->pairs[i].text);
        free(file->pairs[i].strings);
    }
    for (size_t i = 0; i < file->tensor_count; i++) free(file->tensor_names[i]);
    dq_free(file->pairs);
    dq_free(file->pair_index);
    dq_free(file->tensors);
    dq_free(file->tensor_names);
    dq_free(file->tensor_index);
    dq_map_close(&file->map);
    free(file->path);
    dq_free(file);
}

void dq_gguf_forget(const dq_gguf *file) {
    dq_map_forget(&file->map);
}

bool dq_gguf_probe(const char *path) {
    char start[sizeof magic];
    FILE *stream = dq_file_exists(path) ? fopen(path, "rb") : NULL;
    if (!stream) return false;
    const bool found = fread(start, 1, sizeof start, stream) == sizeof start && memcmp(start, magic, sizeof magic) == 0;
    fclose(stream);
    return found;
}

const char *dq_gguf_path(const dq_gguf *file) {
    return file->path;
}

size_t dq_gguf_tensor_count(const dq_gguf *file) {
    return file->tensor_count;
}

const dq_tensor *dq_gguf_tensor_at(const dq_gguf *file, size_t index) {
    return &file->tensors[index];
}

const dq_tensor *dq_gguf_find(const dq_gguf *file, const char *name) {
    const size_t i = dq_names_find(file->tensor_index, file->tensor_count, name);
    return i == SIZE_MAX ? NULL : &file->tensors[i];
}

/* ---- Values ---- */

bool dq_gguf_has(const dq_gguf *file, const char *key) {
    return find_pair(file, key) != NULL;
}

static dlqat_status wrong_type(const dq_gguf *file, const char *key, const char *expected, dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the key %s must be %s", file->path, key, expected);
}

/* An integer of any width; false for other types and for what does not fit. */
static bool load_int(dq_gguf_type type, const unsigned char *at, int64_t *out) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v;
    memcpy(&v, at, scalar_size(type));
    switch (type) {
    case DQ_GGUF_U8:
        *out = v.u8;
        return true;
    case DQ_GGUF_I8:
        *out = v.i8;
        return true;
    case DQ_GGUF_U16:
        *out = v.u16;
        return true;
    case DQ_GGUF_I16:
        *out = v.i16;
        return true;
    case DQ_GGUF_U32:
        *out = v.u32;
        return true;
    case DQ_GGUF_I32:
        *out = v.i32;
        return true;
    case DQ_GGUF_I64:
        *out = v.i64;
        return true;
    case DQ_GGUF_U64:
        *out = (int64_t)v.u64;
        return v.u64 <= INT64_MAX;
    default:
        return false;
    }
}

static bool load_real(dq_gguf_type type, const unsigned char *at, double *out) {
    float single;
    if (type == DQ_GGUF_F64)
        memcpy(out, at, sizeof *out);
    else if (type == DQ_GGUF_F32) {
        memcpy(&single, at, sizeof single);
        *out = single;
    } else
        return false;
    return true;
}

dlqat_status dq_gguf_get_int(const dq_gguf *file, const char *key, int64_t *out, dlqat_error *error) {
    const pair *p = find_pair(file, key);
    int64_t value;
    if (!p) return DLQAT_OK;
    if (!load_int(p->type, p->value, &value)) return wrong_type(file, key, "a whole number within 64 bits", error);
    *out = value;
    return DLQAT_OK;
}

dlqat_status dq_gguf_get_real(const dq_gguf *file, const char *key, double *out, dlqat_error *error) {
    const pair *p = find_pair(file, key);
    double value;
    if (!p) return DLQAT_OK;
    if (!load_real(p->type, p->value, &value)) return wrong_type(file, key, "a real number", error);
    *out = value;
    return DLQAT_OK;
}

dlqat_status dq_gguf_get_bool(const dq_gguf *file, const char *key, bool *out, dlqat_error *error) {
    const pair *p = find_pair(file, key);
    if (!p) return DLQAT_OK;
    if (p->type != DQ_GGUF_BOOL) return wrong_type(file, key, "true or false", error);
    *out = *p->value != 0;
    return DLQAT_OK;
}

dlqat_status dq_gguf_get_string(const dq_gguf *file, const char *key, const char **out, size_t *length,
                                dlqat_error *error) {
    const pair *p = find_pair(file, key);
    if (!p) return DLQAT_OK;
    if (p->type != DQ_GGUF_STRING) return wrong_type(file, key, "a string", error);
    *out = p->text;
    if (length) *length = (size_t)p->count;
    return DLQAT_OK;
}

size_t dq_gguf_array_length(const dq_gguf *file, const char *key, dq_gguf_type *type) {
    const pair *p = find_pair(file, key);
    if (!p || p->type != DQ_GGUF_ARRAY) return 0;
    if (type) *type = p->element;
    return (size_t)p->count;
}

dlqat_status dq_gguf_array_string(const dq_gguf *file, const char *key, size_t index, const char **out, size_t *length,
                                  dlqat_error *error) {
    const pair *p = find_pair(file, key);
    if (!p || !p->strings) return wrong_type(file, key, "an array of strings", error);
    if (index >= p->count)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the key %s has %llu strings, number %zu was asked for",
                       file->path, key, (unsigned long long)p->count, index);
    uint64_t bytes;
    memcpy(&bytes, p->strings[index], sizeof bytes);
    *out = (const char *)p->strings[index] + sizeof bytes;
    *length = (size_t)bytes;
    return DLQAT_OK;
}

dlqat_status dq_gguf_array_numbers(const dq_gguf *file, const char *key, double *out, size_t count,
                                   dlqat_error *error) {
    const pair *p = find_pair(file, key);
    if (!p || p->type != DQ_GGUF_ARRAY) return wrong_type(file, key, "an array of numbers", error);
    if (count > p->count)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the key %s has %llu numbers, expected at least %zu", file->path,
                       key, (unsigned long long)p->count, count);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = p->value + i * scalar_size(p->element);
        int64_t whole;
        if (load_real(p->element, at, &out[i])) continue;
        if (!load_int(p->element, at, &whole)) return wrong_type(file, key, "an array of numbers", error);
        out[i] = (double)whole;
    }
    return DLQAT_OK;
}
