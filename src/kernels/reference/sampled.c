#include "kernels/variant.h"

DQ_VARIANT_DECLARE(c);

/* value_e = sum_t a_ti b_t,column(e) */
void dq_sampled_multiply_c(const dq_compute *compute, const dq_sampled *p) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t i = 0; i < p->m; i++)
        for (int32_t e = p->first[i]; e < p->first[i + 1]; e++) {
            float sum = 0;
            for (int64_t t = 0; t < p->T; t++) sum += p->a[t * p->m + i] * p->b[t * p->n + p->column[e]];
            p->value[e] = sum;
        }
}
