/* Weights kept as f32 for as long as a model is used for evaluation or generation, so that they are decoded once and not for
 * every batch. */
#ifndef DQ_EVAL_RESIDENT_H
#define DQ_EVAL_RESIDENT_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "model/model.h"

typedef struct dq_resident {
    dq_model *model; /* NULL: nothing is kept */
    dq_arena arena;
} dq_resident;

/* What the weights are for: batches of many tokens; or text, which comes a token at a time. */
typedef enum dq_resident_use { DQ_FOR_BATCHES, DQ_FOR_TEXT } dq_resident_use;

/* wish: "on", "off", or NULL: if that takes at most half of the memory that is free, and without those that are multiplied
 * with from their packed codes faster than from f32, which for text are all that the kernels can. */
dlqat_status dq_resident_open(dq_resident *resident, dq_model *model, const char *wish, dq_resident_use use,
                              const dq_compute *compute, dlqat_error *error);
/* Gives the model its weights back as they were. */
void dq_resident_close(dq_resident *resident);

#endif
