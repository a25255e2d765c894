/* RUN/log.jsonl: one JSON object per logged step or evaluation, in Hugging Face's key names where they exist; a line is written
 * whole. And RUN/summary.json. */
#ifndef DQ_REPORT_RUN_LOG_H
#define DQ_REPORT_RUN_LOG_H

#include "train/trainer.h"

typedef struct dq_run_log {
    void *stream; /* FILE * */
    char *path;
} dq_run_log;

/* Opens to append. Lines of steps after `step` (a continued run repeats them) are dropped first, as is a torn last line. */
dlqat_status dq_run_log_open(dq_run_log *log, const char *run, int64_t step, dlqat_error *error);
dlqat_status dq_run_log_step(dq_run_log *log, const dq_step_record *record, const dq_trainer_state *state,
                             dlqat_error *error);
dlqat_status dq_run_log_evaluation(dq_run_log *log, int64_t step, double loss, double seconds, dlqat_error *error);
void dq_run_log_close(dq_run_log *log);

#endif
