/* Windows of tokens in, the sum of -log p of their targets out.
 *
 * A window is a sequence that the model sees by itself: positions from 0, attention within it. Windows are packed into batches
 * and their losses added in double, in the order of the windows. */
#ifndef DQ_EVAL_SCORER_H
#define DQ_EVAL_SCORER_H

#include "model/pass.h"

/* What an evaluation works with. */
typedef struct dq_bench {
    const dq_model *model;
    const dq_compute *compute;
    const dlqat_callbacks *callbacks; /* may be NULL */
} dq_bench;

typedef struct dq_scorer {
    dq_bench bench;
    const char *name; /* for progress and messages */
    dq_pass *pass;
    dq_batch batch;
    double nll; /* sum of -log p over the targets so far */
    uint64_t targets, windows, expected;
    double started, spoken;
} dq_scorer;

enum { DQ_SCORER_TOKENS = 2048 }; /* shorter windows share a batch of so many tokens */

/* longest: tokens of the longest window; expected: how many windows will come, for the progress. */
dlqat_status dq_scorer_open(dq_scorer *scorer, const dq_bench *bench, const char *name, int64_t longest,
                            uint64_t expected, dlqat_error *error);
/* label[t]: the target that token t is to predict, or -1. */
dlqat_status dq_scorer_add(dq_scorer *scorer, const int32_t *ids, const int32_t *label, int64_t count,
                           dlqat_error *error);
/* Row `row` of a data set is a window; its labels are the learned tokens. */
dlqat_status dq_scorer_add_row(dq_scorer *scorer, const dq_dataset *data, size_t row, dlqat_error *error);
/* Scores what is still waiting: nll and targets are then whole. ERROR_INPUT if nothing was a target. */
dlqat_status dq_scorer_finish(dq_scorer *scorer, dlqat_error *error);
void dq_scorer_close(dq_scorer *scorer);

#endif
