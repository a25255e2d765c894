/* Checkpoints of a run: RUN/checkpoint-N, whole or not there.
 *
 *   state.safetensors     MODULE.s, .b, .m, .A, .B (f32), and for those that are trained MODULE.X.exp_avg, MODULE.X.exp_avg_sq
 *   trainer_state.json    steps done, tokens, loss sum, best held-out loss, and what the run was made of, to refuse another one
 * The data's order and the random numbers are functions of the seed and the step; nothing of them is stored. */
#ifndef DQ_TRAIN_CHECKPOINT_H
#define DQ_TRAIN_CHECKPOINT_H

#include "train/trainer.h"

/* Writes RUN/checkpoint-STEP (staged, synced, renamed). */
dlqat_status dq_checkpoint_save(dq_trainer *trainer, const char *run, dlqat_error *error);
/* Restores trainer from a checkpoint directory: parameters, moments, state; then refreshes the weights. */
dlqat_status dq_checkpoint_load(dq_trainer *trainer, const char *checkpoint, const dq_compute *compute,
                                dlqat_error *error);
/* Path of the newest whole checkpoint of a run, malloced; *path NULL when there is none. */
dlqat_status dq_checkpoint_newest(const char *run, char **path, int64_t *step, dlqat_error *error);
/* Removes the oldest checkpoints until `limit` are left (0: all stay); the newest and that of step `keep` always stay. */
dlqat_status dq_checkpoint_prune(const char *run, int64_t limit, int64_t keep, dlqat_error *error);

#endif
