/* dlqat tokenize: standard input is the text. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static dlqat_status fail(dlqat_error *error, dlqat_status status, const char *sentence) {
    snprintf(error->message, sizeof error->message, "%s", sentence);
    return error->status = status;
}

static dlqat_status read_input(char **text, size_t *length, dlqat_error *error) {
    size_t capacity = 1 << 16, got;
    char *buffer = malloc(capacity);
    *length = 0;
    while (buffer && (got = fread(buffer + *length, 1, capacity - *length, stdin)) > 0) {
        *length += got;
        if (*length < capacity) continue;
        char *larger = capacity <= SIZE_MAX / 2 ? realloc(buffer, capacity *= 2) : NULL;
        if (!larger) free(buffer);
        buffer = larger;
    }
    if (!buffer) return fail(error, DLQAT_ERROR_MEMORY, "standard input: no memory to read it");
    *text = buffer;
    return ferror(stdin) ? fail(error, DLQAT_ERROR_IO, "standard input: cannot read") : DLQAT_OK;
}

static dlqat_status run(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    char *text = NULL;
    size_t length;
    dlqat_status status = dlqat_options_check(options, error); /* before waiting for input */
    if (status == DLQAT_OK) status = read_input(&text, &length, error);
    if (status == DLQAT_OK) status = dlqat_tokenize(options, text, length, callbacks, error);
    free(text);
    return status;
}

const dq_cli_command dq_cli_tokenize = {
    .name = "tokenize",
    .command = DLQAT_TOKENIZE,
    .summary = "From text to token ids, and back.",
    .about =
        "Reads standard input: the whole of it, or with --lines each line, is one text; its ids go on one line. With "
        "--decode it is the other way round.",
    .example = "echo -n 'Hello world' | dlqat tokenize --model smollm2.gguf",
    .run = run,
};
