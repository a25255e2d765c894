/* dlqat tokenize: from text to ids, one text a line, and back. */
#include "base/file.h"
#include "base/options.h"
#include "base/talk.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { PUT_BYTES = 1 << 16 }; /* of output at a time */

typedef struct job {
    const dq_tokenizer *tokenizer;
    const dq_settings *settings;
    const dlqat_callbacks *callbacks;
    dq_ids ids;
    dq_buffer out;
    uint64_t line;
} job;

static dlqat_status put_out(job *j, dlqat_error *error) {
    DQ_TRY(dq_buffer_check(&j->out, "the output", error));
    dq_put_output(j->callbacks, j->out.data, j->out.size);
    j->out.size = 0;
    return DLQAT_OK;
}

static dlqat_status encode(job *j, const char *text, size_t length, dlqat_error *error) {
    j->ids.count = 0;
    DQ_TRY(dq_tokenizer_encode(j->tokenizer, text, length,
                               j->settings->no_special ? DQ_ENCODE_PLAIN : DQ_ENCODE_SPECIAL, &j->ids, error));
    for (size_t i = 0; i < j->ids.count; i++) {
        dq_buffer_format(&j->out, i ? " %d" : "%d", (int)j->ids.at[i]);
        if (j->out.size >= PUT_BYTES) DQ_TRY(put_out(j, error));
    }
    dq_buffer_puts(&j->out, "\n");
    return DLQAT_OK;
}

static bool is_separator(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',';
}

static dlqat_status read_ids(job *j, const char *text, size_t length, dlqat_error *error) {
    j->ids.count = 0;
    for (size_t at = 0; at < length;) {
        if (is_separator(text[at])) {
            at++;
            continue;
        }
        size_t begin = at;
        int64_t id = 0;
        for (; at < length && text[at] >= '0' && text[at] <= '9' && id <= INT32_MAX; at++)
            id = 10 * id + text[at] - '0';
        if (at == begin || id > INT32_MAX || (at < length && !is_separator(text[at]))) {
            size_t end = begin;
            while (end < length && end - begin < 40 && !is_separator(text[end])) end++;
            return dq_fail(error, DLQAT_ERROR_INPUT,
                           "--decode: line %llu of the input: expected token ids with spaces between, found \"%.*s\"",
                           (unsigned long long)j->line, (int)(end - begin), text + begin);
        }
        DQ_TRY(dq_ids_add(&j->ids, (int32_t)id, error));
    }
    return DLQAT_OK;
}

static dlqat_status decode(job *j, const char *text, size_t length, dlqat_error *error) {
    DQ_TRY(read_ids(j, text, length, error));
    DQ_TRY(dq_tokenizer_decode(j->tokenizer, j->ids.at, j->ids.count, j->settings->no_special, &j->out, error));
    /* A whole text comes back byte for byte; lines must be told apart. */
    if (j->settings->lines) dq_buffer_puts(&j->out, "\n");
    return DLQAT_OK;
}

static dlqat_status convert(job *j, const char *text, size_t length, dlqat_error *error) {
    dlqat_status (*one)(job *, const char *, size_t, dlqat_error *) = j->settings->decode ? decode : encode;
    j->line = 1;
    if (!j->settings->lines) return one(j, text, length, error);
    for (size_t at = 0; at < length; j->line++) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline ? (size_t)(newline - text) : length;
        DQ_TRY(one(j, text + at, end - at, error));
        if (j->out.size >= PUT_BYTES) DQ_TRY(put_out(j, error));
        at = end + 1;
    }
    return DLQAT_OK;
}

/* A run keeps its tokenizer where its result is. */
static dlqat_status open_tokenizer(dq_tokenizer **tokenizer, const char *path, dlqat_error *error) {
    char *inner = dq_path_join(path, "model");
    if (!inner) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", path);
    dlqat_status status = dq_tokenizer_open(tokenizer, dq_is_directory(inner) ? inner : path, error);
    free(inner);
    return status;
}

dlqat_status dlqat_tokenize(const dlqat_options *options, const char *text, size_t length,
                            const dlqat_callbacks *callbacks, dlqat_error *error) {
    DQ_TRY(dlqat_options_check(options, error));
    const dq_settings *settings = dq_options_settings(options);
    dq_tokenizer *tokenizer = NULL;
    DQ_TRY(open_tokenizer(&tokenizer, settings->model, error));
    job j = {.tokenizer = tokenizer, .settings = settings, .callbacks = callbacks};
    dlqat_status status = convert(&j, text, length, error);
    if (status == DLQAT_OK) status = put_out(&j, error);
    dq_ids_free(&j.ids);
    dq_buffer_free(&j.out);
    dq_tokenizer_close(tokenizer);
    return status;
}
