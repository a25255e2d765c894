/* Weights kept as f32 for as long as a model is used for evaluation or generation, so that packed ones are decoded once and
 * not for every token. */
#ifndef DQ_EVAL_RESIDENT_H
#define DQ_EVAL_RESIDENT_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "model/model.h"

typedef struct dq_resident {
    dq_model *model; /* NULL: nothing is kept */
    dq_arena arena;
} dq_resident;

/* wish: "on", "off", or NULL: if that takes at most half of the memory that is free. */
dlqat_status dq_resident_open(dq_resident *resident, dq_model *model, const char *wish, const dq_compute *compute,
                              dlqat_error *error);
/* Gives the model its weights back as they were. */
void dq_resident_close(dq_resident *resident);

#endif
