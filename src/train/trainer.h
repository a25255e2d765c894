/* The training step: rows in order -> packed pieces (feed.h) -> forward -> loss -> backward -> AdamW -> refreshed weights.
 *
 * Step k = 1 .. max_steps. Phase 1 (steps 1 .. phase1_steps) trains s and b; phase 2 what the recipe says, with a fresh
 * optimizer. The state of a run is its parameters, its moments, and k. The loss is the mean over the label tokens of the whole
 * step. */
#ifndef DQ_TRAIN_TRAINER_H
#define DQ_TRAIN_TRAINER_H

#include "model/pass.h"
#include "train/feed.h"
#include "train/quantizer_set.h"
#include "train/schedule.h"

typedef struct dq_trainer dq_trainer;

typedef struct dq_step_record {
    int64_t step;
    int phase;
    double loss, grad_norm, learning_rate; /* grad_norm: before clipping */
    uint64_t tokens, labels;               /* of this step */
    uint64_t computed;                     /* tokens that went through the model for it */
    double seconds;
} dq_step_record;

/* What a trainer was made with and has come to. */
typedef struct dq_trainer_state {
    int64_t step; /* steps done */
    int64_t max_steps, phase1_steps, warmup_steps;
    int64_t capacity; /* tokens of the largest piece that goes through the model */
    int64_t held, groups;
    uint64_t tokens;       /* seen since step 0 */
    double loss_sum;       /* over the steps done, for the mean */
    double seconds;        /* spent in steps, since step 0 */
    double best_eval_loss; /* infinity before the first */
    int64_t best_step;
} dq_trainer_state;

/* The steps of both phases: phase1_steps from its option, or min(1000, max_steps / 5), or 0 where the recipe has no phase 1. */
dlqat_status dq_resolve_steps(const dq_recipe *recipe, const dlqat_options *options, int64_t *phase1_steps,
                              int64_t *warmup_steps, dlqat_error *error);

/* model, data, held_out (may be NULL) and compute are borrowed until close. The rest: as planned. */
typedef struct dq_trainer_options {
    dq_model *model;
    const dq_dataset *data, *held_out;
    const dq_compute *compute;
    bool resident, checkpoint;
    int64_t at_once; /* tokens; 0: micro-batches stay whole */
} dq_trainer_options;

dlqat_status dq_trainer_open(dq_trainer **trainer, const dlqat_options *options, const dq_trainer_options *with,
                             dlqat_error *error);
void dq_trainer_close(dq_trainer *trainer);

/* One step. A loss or gradient that is not finite is ERROR_NUMERIC naming the step, and leaves the parameters as they were. */
dlqat_status dq_trainer_step(dq_trainer *trainer, dq_step_record *record, dlqat_error *error);
/* Mean loss over the label tokens of the held-out rows. */
dlqat_status dq_trainer_evaluate(dq_trainer *trainer, double *loss, dlqat_error *error);

dq_trainer_state *dq_trainer_get_state(dq_trainer *trainer);
dq_quantizer_set *dq_trainer_quantizers(dq_trainer *trainer);

#endif
