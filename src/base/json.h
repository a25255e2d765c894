/* Small conveniences over jansson: errors that name the file and the key. */
#ifndef DQ_BASE_JSON_H
#define DQ_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>

/* The value in a file; the caller releases it with json_decref. Duplicate keys and trailing garbage are errors. */
dlqat_status dq_json_load(const char *path, json_t **value, dlqat_error *error);
/* The same from text; where names the source in messages. */
dlqat_status dq_json_parse(const char *text, size_t length, const char *where, json_t **value, dlqat_error *error);
/* Writes value through a temporary name, indented, with a final newline. Floats in 17 significant digits. */
dlqat_status dq_json_save(const json_t *value, const char *path, dlqat_error *error);

/* Typed members of an object. Absent or null: *out keeps what it held (the default). Wrong type: ERROR_INPUT with
 * where and the key. get_int takes integral reals too; get_string borrows. */
dlqat_status dq_json_get_int(const json_t *object, const char *key, const char *where, int64_t *out, dlqat_error *error);
dlqat_status dq_json_get_real(const json_t *object, const char *key, const char *where, double *out, dlqat_error *error);
dlqat_status dq_json_get_bool(const json_t *object, const char *key, const char *where, bool *out, dlqat_error *error);
dlqat_status dq_json_get_string(const json_t *object, const char *key, const char *where, const char **out,
                                dlqat_error *error);

#endif
