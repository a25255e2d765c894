/* Chat and instruction templates, rendered natively: no Jinja. A model's own template is recognised by its markers
 * as one of four families; anything else is refused by name. */
#ifndef DQ_TEXT_TEMPLATE_H
#define DQ_TEXT_TEMPLATE_H

#include "text/tokenizer.h"

typedef enum dq_template_kind {
    DQ_TEMPLATE_AUTO, /* the model's own; alpaca when the tokenizer has none */
    DQ_TEMPLATE_ALPACA,
    DQ_TEMPLATE_CHATML,
    DQ_TEMPLATE_LLAMA2,
    DQ_TEMPLATE_LLAMA3,
    DQ_TEMPLATE_MISTRAL
} dq_template_kind;

typedef struct dq_message {
    const char *role, *content; /* role: "system", "user" or "assistant" */
} dq_message;

/* A piece of a rendered conversation: whether the model is to learn it (the assistant's words and what ends them). */
typedef struct dq_segment {
    size_t begin, end; /* bytes of text */
    bool learned;
} dq_segment;

typedef struct dq_template {
    dq_template_kind kind; /* never AUTO */
    /* What the model's own template does beyond its family's form; found in its text. */
    char *default_system;  /* injected when the conversation has no system message; NULL: none */
    bool adds_bos;         /* the template writes BOS itself */
    bool trims;            /* contents are stripped of white space at both ends */
    char *source;          /* for messages */
} dq_template;

dlqat_status dq_template_open(dq_template *out, dq_template_kind kind, const dq_tokenizer *tokenizer, dlqat_error *error);
void dq_template_close(dq_template *template);
const char *dq_template_name(dq_template_kind kind);

/* Renders messages to text, equal to apply_chat_template(messages, tokenize=False, add_generation_prompt=...).
 * segments (may be NULL) is filled with consecutive pieces covering text; *segment_count on entry its room, at least
 * 2 * count + 2. alpaca takes [system,] user, assistant only. */
dlqat_status dq_template_render(const dq_template *template, const dq_tokenizer *tokenizer, const dq_message *messages,
                                size_t count, bool generation_prompt, dq_buffer *text, dq_segment *segments,
                                size_t *segment_count, dlqat_error *error);

#endif
