#include "kernels/profile.h"

#include <omp.h>
#include <string.h>

const char *dq_operation_name(dq_operation operation) {
    static const char *const names[DQ_OPERATIONS] = {
        [DQ_OUTSIDE] = "outside",
        [DQ_STEP] = "everything else",
        [DQ_WEIGHTS] = "S, O and W_hat",
        [DQ_LINEAR_FORWARD] = "linears, forward",
        [DQ_LINEAR_INPUT_GRADIENT] = "linears, dX",
        [DQ_LINEAR_WEIGHT_GRADIENT] = "linears, dW",
        [DQ_QUANTIZER_GRADIENT] = "ds, db, dm, dV",
        [DQ_ADAPTER_GRADIENT] = "dA, dB",
        [DQ_ATTENTION_FORWARD] = "attention, forward",
        [DQ_ATTENTION_BACKWARD] = "attention, backward",
        [DQ_NORM_ROPE_SWIGLU] = "norms, rotation, SwiGLU",
        [DQ_HEAD] = "head, both ways",
        [DQ_CROSS_ENTROPY] = "cross-entropy",
        [DQ_OPTIMIZER] = "optimizer",
        [DQ_RECOMPUTATION] = "recomputation",
    };
    return names[operation];
}

static void run(dq_profile *profile, dq_operation operation) {
    double now = omp_get_wtime();
    profile->of[profile->running].seconds += now - profile->since;
    profile->since = now;
    profile->running = operation;
}

dq_operation dq_profile_enter(dq_profile *profile, dq_operation operation, double flops) {
    if (!profile) return DQ_OUTSIDE;
    dq_operation before = profile->running;
    if (before == DQ_RECOMPUTATION) return before;
    run(profile, operation);
    if (operation != DQ_RECOMPUTATION) profile->of[operation].flops += flops;
    return before;
}

void dq_profile_return(dq_profile *profile, dq_operation before) {
    if (profile && profile->running != before) run(profile, before);
}

void dq_profile_reset(dq_profile *profile) {
    memset(profile->of, 0, sizeof profile->of);
    profile->since = omp_get_wtime();
}
