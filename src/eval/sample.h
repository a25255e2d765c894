/* The next token, from logits. */
#ifndef DQ_EVAL_SAMPLE_H
#define DQ_EVAL_SAMPLE_H

#include "base/error.h"

/* p = softmax(logits / temperature); of it the top_k likeliest; of these the least number whose share of what top_k left
 * reaches top_p; then one is drawn. As Hugging Face's warpers, in their order. Between equal logits the lower id is first. */
typedef struct dq_sampling {
    double temperature; /* 0: the likeliest, always */
    int64_t top_k;      /* 0: all */
    double top_p;       /* (0, 1] */
    uint64_t seed;
} dq_sampling;

typedef struct dq_sampler {
    dq_sampling how;
    int64_t vocabulary;
    int32_t *heap;  /* [vocabulary] */
    double *weight; /* [vocabulary] */
} dq_sampler;

dlqat_status dq_sampler_open(dq_sampler *sampler, const dq_sampling *how, int64_t vocabulary, dlqat_error *error);
void dq_sampler_close(dq_sampler *sampler);
/* index: of the token in the generation; with the seed it settles the draw. */
int32_t dq_sampler_draw(dq_sampler *sampler, const float *logits, uint64_t index);

#endif
