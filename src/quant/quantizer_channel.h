/* Inside src/quant: the backward of phase 2 where a row is one group. */
#ifndef DQ_QUANT_QUANTIZER_CHANNEL_H
#define DQ_QUANT_QUANTIZER_CHANNEL_H

#include "quant/quantizer.h"

/* After W_hat was made and kept: how many exceptions there are, for q->exceptions. */
int64_t dq_quantizer_count_exceptions(const dq_quantizer *q, const dq_compute *compute);

/* Floats of scratch; 0: the recipe or the grid never goes this way. */
size_t dq_quantizer_channel_scratch(const dq_quantizer *q, int64_t T);
void dq_quantizer_channel_backward(dq_quantizer *q, const dq_compute *compute, dq_trained trained,
                                   const dq_linear_gradient *g, float *scratch);

#endif
