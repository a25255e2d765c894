/* From what the user says to the tokens that a model goes on from, and the tokens at which it ends. */
#ifndef DQ_EVAL_PROMPT_H
#define DQ_EVAL_PROMPT_H

#include "model/model.h"
#include "text/template.h"

/* The kind that --template names; AUTO for NULL. */
dq_template_kind dq_template_chosen(const char *word);

/* Appends the prompt's ids. template NULL: the text as it is. system may be NULL. BOS as the tokenizer adds it, unless the
 * template writes its own; never an EOS. */
dlqat_status dq_prompt_ids(const dq_tokenizer *tokenizer, const dq_template *template, const char *system,
                           const char *prompt, dq_ids *ids, dlqat_error *error);

enum { DQ_MAX_STOPS = DQ_MAX_EOS + 4 };

typedef struct dq_stops {
    int32_t at[DQ_MAX_STOPS];
    int count;
} dq_stops;

/* Any end-of-sequence token of the configurations and the tokenizer, and what ends an assistant's turn in the template
 * (<|im_end|>, <|eot_id|>). template may be NULL. */
dq_stops dq_prompt_stops(const dq_model *model, const dq_template *template);
bool dq_stops_has(const dq_stops *stops, int32_t id);

#endif
