#include "base/json.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

dlqat_status dq_json_parse(const char *text, size_t length, const char *where, json_t **value, dlqat_error *error) {
    json_error_t problem;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    *value = json_loadb(text, length, flags, &problem);
    /* Integers beyond 64 bits are valid JSON: tokenizer_config.json has 1e30 written out. get_int takes the reals. */
    if (!*value && json_error_code(&problem) == json_error_numeric_overflow)
        *value = json_loadb(text, length, flags | JSON_DECODE_INT_AS_REAL, &problem);
    if (*value) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: not valid JSON at line %d, column %d: %s", where, problem.line,
                   problem.column, problem.text);
}

dlqat_status dq_json_load(const char *path, json_t **value, dlqat_error *error) {
    dq_map map;
    *value = NULL;
    DQ_TRY(dq_map_open(&map, path, error));
    dlqat_status status = map.size ? dq_json_parse((const char *)map.data, map.size, path, value, error)
                                   : dq_fail(error, DLQAT_ERROR_INPUT, "%s: empty file, expected JSON", path);
    dq_map_close(&map);
    return status;
}

dlqat_status dq_json_save(const json_t *value, const char *path, dlqat_error *error) {
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (!text) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its text", path);
    dq_writer writer;
    dlqat_status status = dq_writer_open(&writer, path, error);
    if (status == DLQAT_OK) {
        status = dq_writer_put(&writer, text, strlen(text), error);
        if (status == DLQAT_OK) status = dq_writer_put(&writer, "\n", 1, error);
        if (status == DLQAT_OK)
            status = dq_writer_commit(&writer, error);
        else
            dq_writer_discard(&writer);
    }
    free(text);
    return status;
}

static dlqat_status wrong_type(const char *where, const char *key, const char *expected, dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: \"%s\" must be %s", where, key, expected);
}

dlqat_status dq_json_get_int(const json_t *object, const char *key, const char *where, int64_t *out,
                             dlqat_error *error) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value)) return DLQAT_OK;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return DLQAT_OK;
    }
    double real = json_real_value(value);
    if (!json_is_real(value) || real != floor(real) || fabs(real) > 0x1p53)
        return wrong_type(where, key, "a whole number", error);
    *out = (int64_t)real;
    return DLQAT_OK;
}

dlqat_status dq_json_get_real(const json_t *object, const char *key, const char *where, double *out,
                              dlqat_error *error) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value)) return DLQAT_OK;
    if (!json_is_number(value)) return wrong_type(where, key, "a number", error);
    *out = json_number_value(value);
    return DLQAT_OK;
}

dlqat_status dq_json_get_bool(const json_t *object, const char *key, const char *where, bool *out,
                              dlqat_error *error) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value)) return DLQAT_OK;
    if (!json_is_boolean(value)) return wrong_type(where, key, "true or false", error);
    *out = json_is_true(value);
    return DLQAT_OK;
}

dlqat_status dq_json_get_string(const json_t *object, const char *key, const char *where, const char **out,
                                dlqat_error *error) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value)) return DLQAT_OK;
    if (!json_is_string(value)) return wrong_type(where, key, "a string", error);
    *out = json_string_value(value);
    return DLQAT_OK;
}
