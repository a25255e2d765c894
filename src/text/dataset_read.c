#include "text/dataset_row.h"

#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef struct reader {
    const char *path;
    const char *text; /* the file */
    size_t size, at;
    size_t line, counted; /* the line of byte `counted`, from 1 */
    size_t row;           /* from 1 */
    dq_dataset_builder builder;
    dq_message *messages;
    size_t message_capacity;
    dlqat_error *error;
} reader;

static size_t line_of(reader *r, size_t byte) {
    for (; r->counted < byte; r->counted++) r->line += r->text[r->counted] == '\n';
    return r->line;
}

/* Puts file, line and row before the message in error. */
static dlqat_status fail_row(reader *r, dlqat_status status) {
    if (r->error) {
        char what[700];
        size_t length = strlen(r->error->message);
        if (length > sizeof what - 1) length = sizeof what - 1;
        memcpy(what, r->error->message, length);
        what[length] = '\0';
        dq_fail(r->error, status, "%.250s: line %zu, row %zu: %s", r->path, r->line, r->row, what);
    }
    return status;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
static void skip_space(reader *r) {
    while (r->at < r->size && is_space(r->text[r->at])) r->at++;
}

/* ---- One row ---- */

/* A string member; absent or null gives fallback, or an error where that is NULL. */
static dlqat_status get_text(reader *r, const json_t *object, const char *key, const char *fallback, const char **out,
                             size_t *length) {
    const json_t *value = json_object_get(object, key);
    *out = fallback;
    *length = fallback ? strlen(fallback) : 0;
    if ((!value || json_is_null(value)) && fallback) return DLQAT_OK;
    if (!value) return dq_fail(r->error, DLQAT_ERROR_INPUT, "the key \"%s\" is missing", key);
    if (!json_is_string(value)) return dq_fail(r->error, DLQAT_ERROR_INPUT, "\"%s\" must be a string", key);
    *out = json_string_value(value);
    *length = json_string_length(value);
    if (strlen(*out) != *length)
        return dq_fail(r->error, DLQAT_ERROR_INPUT, "\"%s\" holds a NUL character; remove it", key);
    return DLQAT_OK;
}

static dlqat_status add_messages(reader *r, const json_t *row) {
    const json_t *list = json_object_get(row, "messages");
    size_t count = json_array_size(list), length;
    if (!json_is_array(list) || !count)
        return dq_fail(r->error, DLQAT_ERROR_INPUT, "\"messages\" must be a list of {\"role\", \"content\"}");
    if (count > r->message_capacity) {
        dq_message *larger = realloc(r->messages, count * sizeof *larger);
        if (!larger) return dq_fail(r->error, DLQAT_ERROR_MEMORY, "no memory for %zu messages", count);
        r->messages = larger;
        r->message_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(list, i);
        if (!json_is_object(message))
            return dq_fail(r->error, DLQAT_ERROR_INPUT, "message %zu must be an object with \"role\" and \"content\"",
                           i + 1);
        const json_t *calls = json_object_get(message, "tool_calls");
        if (calls && !json_is_null(calls) && !(json_is_array(calls) && json_array_size(calls) == 0))
            return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "message %zu has \"tool_calls\", which are not supported",
                           i + 1);
        DQ_TRY(get_text(r, message, "role", NULL, &r->messages[i].role, &length));
        DQ_TRY(get_text(r, message, "content", NULL, &r->messages[i].content, &length));
    }
    return dq_dataset_add_chat(&r->builder, r->messages, count, r->error);
}

static dlqat_status add_instruction(reader *r, const json_t *row) {
    const char *instruction, *input, *output;
    size_t length;
    DQ_TRY(get_text(r, row, "instruction", NULL, &instruction, &length));
    DQ_TRY(get_text(r, row, "input", "", &input, &length));
    DQ_TRY(get_text(r, row, "output", NULL, &output, &length));
    return dq_dataset_add_instruction(&r->builder, instruction, input, output, r->error);
}

static dlqat_status add_text(reader *r, const json_t *row) {
    const char *text;
    size_t length;
    DQ_TRY(get_text(r, row, "text", NULL, &text, &length));
    return dq_dataset_add_text(&r->builder, text, length, r->error);
}

static dlqat_status unknown_row(reader *r, const json_t *row) {
    char keys[200] = "";
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value) {
        if (strlen(keys) + strlen(key) + 5 > sizeof keys) break;
        strcat(strcat(strcat(keys, *keys ? ", \"" : "\""), key), "\"");
    }
    return dq_fail(r->error, DLQAT_ERROR_INPUT,
                   "expected the keys \"instruction\" and \"output\", or \"messages\", or \"text\"; found %s",
                   *keys ? keys : "none");
}

static dlqat_status add_row(reader *r, const json_t *row) {
    static const struct {
        const char *key, *kind;
        dlqat_status (*add)(reader *, const json_t *);
    } kinds[] = {{"messages", "chat", add_messages},
                 {"instruction", "instruction", add_instruction},
                 {"text", "text", add_text}}; /* published sets carry "text" beside the others: it comes last */
    if (!json_is_object(row)) return dq_fail(r->error, DLQAT_ERROR_INPUT, "expected an object");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!json_object_get(row, kinds[i].key)) continue;
        const char *before = r->builder.data->kind;
        if (before && strcmp(before, kinds[i].kind))
            return dq_fail(r->error, DLQAT_ERROR_INPUT, "this is a row of kind %s, but those before are of kind %s",
                           kinds[i].kind, before);
        r->builder.data->kind = kinds[i].kind;
        return kinds[i].add(r, row);
    }
    return unknown_row(r, row);
}

/* ---- Files ---- */

/* The value in the next length bytes; *used: how many it took. Integers are read as reals: none matters here, and ids
 * beyond 64 bits occur. */
static dlqat_status read_value(reader *r, size_t length, size_t flags, size_t *used) {
    json_error_t problem;
    r->row++;
    json_t *row = json_loadb(r->text + r->at, length,
                             flags | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &problem);
    if (!row) {
        size_t place = problem.position > 0 && (size_t)problem.position <= length ? (size_t)problem.position - 1 : 0;
        line_of(r, r->at + place);
        dq_fail(r->error, DLQAT_ERROR_INPUT, "not valid JSON: %s", problem.text);
        return fail_row(r, DLQAT_ERROR_INPUT);
    }
    line_of(r, r->at);
    *used = (size_t)problem.position;
    dlqat_status status = add_row(r, row);
    json_decref(row);
    return status == DLQAT_OK ? status : fail_row(r, status);
}

static dlqat_status read_lines(reader *r) {
    while (r->at < r->size) {
        const char *end = memchr(r->text + r->at, '\n', r->size - r->at);
        size_t stop = end ? (size_t)(end - r->text) : r->size, used;
        while (r->at < stop && is_space(r->text[r->at])) r->at++;
        if (r->at < stop) DQ_TRY(read_value(r, stop - r->at, 0, &used));
        r->at = stop + 1;
    }
    return DLQAT_OK;
}

static dlqat_status expected(reader *r, const char *what) {
    return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: line %zu: expected %s", r->path, line_of(r, r->at), what);
}

/* Row by row, so that a large file never lies in memory as one tree. */
static dlqat_status read_array(reader *r) {
    r->at++;
    skip_space(r);
    for (bool first = true; r->at < r->size && r->text[r->at] != ']'; first = false) {
        size_t used = 0;
        if (!first) {
            if (r->text[r->at] != ',') return expected(r, "\",\" or \"]\" after a row");
            r->at++;
            skip_space(r);
        }
        if (r->at >= r->size || r->text[r->at] != '{') return expected(r, "an object");
        DQ_TRY(read_value(r, r->size - r->at, JSON_DISABLE_EOF_CHECK, &used));
        r->at += used;
        skip_space(r);
    }
    if (r->at >= r->size) return expected(r, "\"]\" at the end; the file seems cut off");
    r->at++;
    skip_space(r);
    return r->at < r->size ? expected(r, "nothing after the list") : DLQAT_OK;
}

static dlqat_status read_plain(reader *r) {
    for (size_t at = 0; at < r->size;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t rest = (utf8proc_ssize_t)(r->size - at < 4 ? r->size - at : 4);
        utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)r->text + at, rest, &code);
        if (bytes <= 0)
            return dq_fail(
                r->error, DLQAT_ERROR_INPUT,
                "%s: line %zu: byte %zu is not UTF-8; expected a JSON or JSONL data set, or plain text in UTF-8",
                r->path, line_of(r, at), at);
        at += (size_t)bytes;
    }
    r->builder.data->kind = "plain text";
    return dq_dataset_add_plain(&r->builder, r->text + r->at, r->size - r->at, r->error);
}

static bool named(const char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcmp(path + length - tail, ending) == 0;
}

static dlqat_status read_file(reader *r) {
    if (r->size >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0) r->at = 3; /* byte order mark */
    size_t start = r->at;
    skip_space(r);
    if (r->at == r->size) return dq_fail(r->error, DLQAT_ERROR_INPUT, "%s: empty; expected rows of data", r->path);
    char first = r->text[r->at];
    size_t next = r->at + 1;
    while (next < r->size && is_space(r->text[next])) next++;
    char second = next < r->size ? r->text[next] : '\0';
    bool json = named(r->path, ".json") || named(r->path, ".jsonl");
    if (first == '[' && (json || second == '{' || second == ']')) return read_array(r);
    if (first == '{' && (json || second == '"' || second == '}')) return read_lines(r);
    if (json) return expected(r, "a list of objects, or one object a line");
    r->at = start;
    return read_plain(r);
}

dlqat_status dq_dataset_open(dq_dataset *data, const char *path, const dq_dataset_options *options,
                             dlqat_error *error) {
    memset(data, 0, sizeof *data);
    if (options->max_length < 2)
        return dq_fail(error, DLQAT_ERROR_USAGE, "--max-length must be at least 2, not %d", options->max_length);
    if (dq_tokenizer_eos(options->tokenizer) < 0)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "the tokenizer names no EOS token, with which every row ends");
    dq_map map;
    DQ_TRY(dq_map_open(&map, path, error));
    reader r = {.path = path,
                .text = (const char *)map.data,
                .size = map.size,
                .line = 1,
                .builder = {.data = data, .options = options},
                .error = error};
    dlqat_status status = dq_encoder_open(&r.builder.encoder, options->tokenizer, error);
    if (status == DLQAT_OK) status = read_file(&r);
    if (status == DLQAT_OK && !data->rows) {
        if (data->dropped)
            status = dq_fail(error, DLQAT_ERROR_INPUT,
                             "%s: none of its %zu rows has a token to learn within --max-length %d; give a greater one",
                             path, data->dropped, options->max_length);
        else
            status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: empty; expected rows of data", path);
    }
    dq_dataset_builder_free(&r.builder);
    free(r.messages);
    dq_map_close(&map);
    if (status != DLQAT_OK) dq_dataset_close(data);
    return status;
}
