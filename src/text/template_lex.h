/* The tokens of a Jinja template, with the white space rules that transformers asks for (trim_blocks,
 * lstrip_blocks) already applied. */
#ifndef DQ_TEXT_TEMPLATE_LEX_H
#define DQ_TEXT_TEMPLATE_LEX_H

#include "base/error.h"

typedef enum dq_token_kind {
    DQ_TOKEN_TEXT,      /* outside of tags */
    DQ_TOKEN_PRINT,     /* {{ */
    DQ_TOKEN_STATEMENT, /* {% */
    DQ_TOKEN_CLOSE,     /* }} or %} */
    DQ_TOKEN_NAME,
    DQ_TOKEN_STRING, /* without quotes, escapes resolved */
    DQ_TOKEN_NUMBER,
    DQ_TOKEN_OPERATOR
} dq_token_kind;

typedef struct dq_token {
    dq_token_kind kind;
    const char *text; /* NUL-terminated, in the list's storage; "" for tags */
} dq_token;

typedef struct dq_tokens {
    dq_token *at;
    size_t count, capacity;
    char *storage;
} dq_tokens;

dlqat_status dq_tokens_read(dq_tokens *tokens, const char *text, dlqat_error *error);
void dq_tokens_free(dq_tokens *tokens);

/* Whether token i exists and has this kind and text. */
bool dq_token_is(const dq_tokens *tokens, size_t i, dq_token_kind kind, const char *text);

#endif
