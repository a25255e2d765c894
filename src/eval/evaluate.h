/* All figures that the evaluation options ask for: perplexities of a text, loss on held-out rows. */
#ifndef DQ_EVAL_EVALUATE_H
#define DQ_EVAL_EVALUATE_H

#include "base/options.h"
#include "eval/perplexity.h"

typedef struct dq_loss {
    double value; /* mean over the label tokens of all rows */
    uint64_t labels, rows;
    const char *kind; /* of rows: "instruction", "chat", .. */
} dq_loss;

/* The rows of the file at path, rendered as training would, each by itself. */
dlqat_status dq_loss_measure(dq_loss *out, const dq_bench *bench, const dq_settings *settings, const char *path,
                             dlqat_error *error);

/* Sets flat keys in figures: what --ppl, --ppl-protocol, --loss and their options say. For each protocol its key
 * ("ppl_window") and KEY_window, KEY_windows, KEY_targets; `window` and `windows` are those of the first protocol;
 * loss, loss_tokens, loss_rows; dtype, the type of the products. options: of eval or compare. */
dlqat_status dq_evaluate(json_t *figures, const dq_bench *bench, const dlqat_options *options, dlqat_error *error);

/* The same figures as a small table for reading, appended to text. */
void dq_figures_print(const json_t *figures, dq_buffer *text);

#endif
