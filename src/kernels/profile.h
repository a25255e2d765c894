/* Where the time of training goes, by operation.
 *
 * A profile is one stopwatch: at every moment the time runs for one operation, and entering another stops the first.
 * The thread that forks the others does the entering, so what is counted is elapsed time, waiting included.
 *
 * With each entry come the floating-point operations (a multiplication and an addition are two) of the products that the
 * mathematics needs. What is recomputed to save memory runs for DQ_RECOMPUTATION and counts none. */
#ifndef DQ_KERNELS_PROFILE_H
#define DQ_KERNELS_PROFILE_H

#include <stdint.h>

typedef enum dq_operation {
    DQ_OUTSIDE, /* between steps; not reported */
    DQ_STEP,    /* of a step, what no other line has: batches, clearing, residual streams */
    DQ_WEIGHTS,
    DQ_LINEAR_FORWARD,
    DQ_LINEAR_INPUT_GRADIENT,
    DQ_LINEAR_WEIGHT_GRADIENT,
    DQ_QUANTIZER_GRADIENT,
    DQ_ADAPTER_GRADIENT,
    DQ_ATTENTION_FORWARD,
    DQ_ATTENTION_BACKWARD,
    DQ_NORM_ROPE_SWIGLU,
    DQ_HEAD,
    DQ_CROSS_ENTROPY,
    DQ_OPTIMIZER,
    DQ_RECOMPUTATION,
    DQ_OPERATIONS
} dq_operation;

typedef struct dq_profile {
    dq_operation running;
    double since; /* seconds of dq_profile_clock */
    struct {
        double seconds, flops;
    } of[DQ_OPERATIONS];
} dq_profile;

/* What a person reads: "linears, forward". */
const char *dq_operation_name(dq_operation operation);

/* Lets the time run for `operation`; returns the one before, to which the caller goes back by the same call. profile may be
 * NULL: nothing happens. Inside DQ_RECOMPUTATION only leaving it has an effect. */
dq_operation dq_profile_enter(dq_profile *profile, dq_operation operation, double flops);
/* Goes back to what dq_profile_enter returned. */
void dq_profile_return(dq_profile *profile, dq_operation before);
/* Forgets all that was counted; the running operation goes on. */
void dq_profile_reset(dq_profile *profile);

#endif
