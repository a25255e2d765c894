/* One training run from options to a finished run directory; what `train` does, and `compare` several times. */
#ifndef DQ_COMMANDS_TRAIN_RUN_H
#define DQ_COMMANDS_TRAIN_RUN_H

#include "commands/session.h"

/* What summary.json says. NaN where there is none. */
typedef struct dq_run_result {
    double train_loss; /* mean over the steps */
    double last_loss, eval_loss, best_eval_loss;
    double train_runtime, train_tokens_per_second;
    uint64_t train_tokens, trainable_parameters, total_parameters, peak_rss_bytes, model_bytes;
    double bits_per_weight, max_abs_dw;
} dq_run_result;

/* options: of train. Leaves config.json, log.jsonl, checkpoints, model/ and summary.json in --out (or --resume). */
dlqat_status dq_train_run(const dlqat_options *options, const dlqat_callbacks *callbacks, dq_run_result *result,
                          dlqat_error *error);

#endif
