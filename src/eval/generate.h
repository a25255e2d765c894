/* Generation: one token after another, with a cache of keys and values. */
#ifndef DQ_EVAL_GENERATE_H
#define DQ_EVAL_GENERATE_H

#include "eval/prompt.h"
#include "eval/sample.h"
#include "eval/scorer.h"

typedef enum dq_generation_end {
    DQ_END_STOP,   /* the model ended its text */
    DQ_END_LENGTH, /* max_new_tokens */
    DQ_END_CONTEXT /* the model's context is full */
} dq_generation_end;

typedef struct dq_generation {
    dq_sampling sampling;
    int64_t max_new_tokens;
    bool int8; /* activations in products with packed weights rounded to 8 bits */
    dq_stops stops;
    /* Gets every token but a stop, as soon as it is there. May be NULL. */
    dlqat_status (*token)(void *user, int32_t id, dlqat_error *error);
    void *user;
} dq_generation;

typedef struct dq_generated {
    dq_ids ids; /* new ones, without the stop; freed with dq_ids_free */
    dq_generation_end end;
    double prompt_seconds, seconds; /* reading the prompt; making the tokens */
} dq_generated;

/* should_stop is asked before each token: DLQAT_INTERRUPTED, with what there is in out. */
dlqat_status dq_generate(dq_generated *out, const dq_bench *bench, const dq_generation *how, const int32_t *prompt,
                         size_t count, dlqat_error *error);

#endif
