/* Chat and instruction templates, rendered natively: no Jinja is run. A model's own template is read as text and
 * recognised as one of four families by its markers; what else it does for plain conversations is found in it, and
 * what cannot be rendered equal to transformers' apply_chat_template is refused by name. */
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

/* Where the [INST] families put the system's message. */
typedef enum dq_system_place {
    DQ_SYSTEM_REFUSED,
    DQ_SYSTEM_FIRST_TURN,    /* into the first message of the user */
    DQ_SYSTEM_LAST_MESSAGE,  /* into the last message, if that is the user's; else it is left out */
    DQ_SYSTEM_LAST_USER_TURN /* into every message of the user that equals the last one */
} dq_system_place;

/* The turns of the [INST] families. Strings are never NULL. */
typedef struct dq_inst_form {
    char *user_open, *user_close;               /* around the user's content */
    char *system_open, *system_close;           /* around the system's content, between user_open and the user's */
    char *reply_open, *reply_close, *reply_end; /* before the content, between content and EOS, behind EOS */
    bool bos_each_turn;                         /* before every user_open, else once at the start */
    bool trims_user, trims_reply, trims_system;
    bool trims_turn; /* the system's and the user's content together */
    dq_system_place system;
} dq_inst_form;

typedef struct dq_template {
    dq_template_kind kind; /* never AUTO */
    /* What the model's own template does beyond its family's form; found in its text. */
    char *default_system; /* injected when the conversation has no system message; NULL: none */
    bool adds_bos;        /* the template writes BOS itself */
    bool trims;           /* contents are stripped of white space at both ends */
    bool no_system;       /* it knows no system's turn: such messages are refused */
    bool always_prompts;  /* the generation prompt is written whether asked for or not */
    bool thinks;          /* Qwen3's form: an empty thought before the last answer, earlier thoughts removed */
    char *system_head;    /* Llama-3.1: the system turn is always there and starts with this; NULL: plain Llama-3 */
    dq_inst_form inst;    /* LLAMA2, MISTRAL */
    char *source;         /* for messages */
} dq_template;

/* kind AUTO reads the tokenizer's chat template and fails where that cannot be rendered equal. Another kind takes from
 * it what it can when it is of the same family, and is the family's plain form else. */
dlqat_status dq_template_open(dq_template *out, dq_template_kind kind, const dq_tokenizer *tokenizer,
                              dlqat_error *error);
/* The same from Jinja text; NULL: there is none. */
dlqat_status dq_template_from_text(dq_template *out, dq_template_kind kind, const char *jinja, dlqat_error *error);
void dq_template_close(dq_template *template);
/* "auto", "alpaca", "chatml", "llama2", "llama3", "mistral" */
const char *dq_template_name(dq_template_kind kind);

/* Renders messages to text, equal to apply_chat_template(messages, tokenize=False, add_generation_prompt=...).
 * segments (may be NULL) is filled with consecutive pieces covering text; *segment_count on entry its room, at least
 * 2 * count + 2. alpaca takes [system,] user, assistant only; a system message stands for its first sentence. */
dlqat_status dq_template_render(const dq_template *template, const dq_tokenizer *tokenizer, const dq_message *messages,
                                size_t count, bool generation_prompt, dq_buffer *text, dq_segment *segments,
                                size_t *segment_count, dlqat_error *error);
/* The same with BOS and EOS given as text; NULL where there is none. */
dlqat_status dq_template_render_with(const dq_template *template, const char *bos, const char *eos,
                                     const dq_message *messages, size_t count, bool generation_prompt, dq_buffer *text,
                                     dq_segment *segments, size_t *segment_count, dlqat_error *error);

/* Stanford Alpaca's prompt: with its second form where input is not empty. Ends with "### Response:". */
void dq_template_alpaca_prompt(const char *instruction, const char *input, dq_buffer *text);

#endif
