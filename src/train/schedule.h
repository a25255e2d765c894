/* The learning rate over a run. */
#ifndef DQ_TRAIN_SCHEDULE_H
#define DQ_TRAIN_SCHEDULE_H

#include "quant/recipe.h"

typedef struct dq_schedule {
    dq_schedule_kind kind;
    double rate;
    int64_t warmup, steps; /* both phases together */
} dq_schedule;

/* Step k = 1 .. steps. Warm-up: rate k / warmup for k <= warmup. After it, with p = (k - 1 - warmup) / (steps - warmup) in [0, 1):
 * constant rate; linear rate (1 - p); cosine rate (1 + cos(pi p)) / 2. */
double dq_schedule_rate(const dq_schedule *schedule, int64_t step);

#endif
