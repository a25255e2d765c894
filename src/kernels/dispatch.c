/* Which variant of the kernels runs: chosen by what the processor and the system support when the program runs.
 *
 * A new operation gets one row `.operation = dq_operation_VARIANT` in every table below, in the place where struct
 * dq_kernels has it; where a variant has nothing better, the reference's function. variant.h lists the other steps. */
#include "kernels/variant.h"

#include <omp.h>
#include <string.h>

#include "base/arena.h"
#include "kernels/workspace.h"

#if defined DQ_HAVE_AVX2 || defined DQ_HAVE_AVX512
#include <cpuid.h>
#endif

DQ_VARIANT_DECLARE(c);
DQ_VARIANT_DECLARE(avx2);
DQ_VARIANT_DECLARE(avx512);

static bool always(void) {
    return true;
}

#if defined DQ_HAVE_AVX2 || defined DQ_HAVE_AVX512
/* Asked of the processor itself: not every compiler knows the word. */
static bool have_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#ifdef DQ_HAVE_AVX2
/* The compiler's test covers the system too, which must save the wide registers. */
static bool have_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && have_f16c();
}
#endif

#ifdef DQ_HAVE_AVX512
static bool have_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma") &&
           have_f16c();
}
#endif

static const struct variant {
    bool (*usable)(void);
    dq_kernels kernels;
} variants[] = {
    {always,
     {
         .name = "c",
         .gemm = dq_gemm_c,
         .rmsnorm_forward = dq_rmsnorm_forward_c,
         .rmsnorm_backward = dq_rmsnorm_backward_c,
         .rope = dq_rope_c,
         .swiglu_forward = dq_swiglu_forward_c,
         .swiglu_backward = dq_swiglu_backward_c,
         .attention_forward = dq_attention_forward_c,
         .attention_backward = dq_attention_backward_c,
         .cross_entropy = dq_cross_entropy_c,
         .adamw = dq_adamw_c,
         .add = dq_add_c,
         .bias_forward = dq_bias_forward_c,
         .bias_backward = dq_bias_backward_c,
         .sum_of_squares = dq_sum_of_squares_c,
         .fakequant_adapt = dq_fakequant_adapt_c,
         .fakequant_codes = dq_fakequant_codes_c,
         .fakequant_decode = dq_fakequant_decode_c,
         .fakequant_backward = dq_fakequant_backward_c,
     }},
#ifdef DQ_HAVE_AVX2
    {have_avx2,
     {
         .name = "avx2",
         .gemm = dq_gemm_avx2,
         .rmsnorm_forward = dq_rmsnorm_forward_avx2,
         .rmsnorm_backward = dq_rmsnorm_backward_avx2,
         .rope = dq_rope_avx2,
         .swiglu_forward = dq_swiglu_forward_avx2,
         .swiglu_backward = dq_swiglu_backward_avx2,
         .attention_forward = dq_attention_forward_avx2,
         .attention_backward = dq_attention_backward_avx2,
         .cross_entropy = dq_cross_entropy_avx2,
         .adamw = dq_adamw_avx2,
         .add = dq_add_avx2,
         .bias_forward = dq_bias_forward_avx2,
         .bias_backward = dq_bias_backward_avx2,
         .sum_of_squares = dq_sum_of_squares_avx2,
         .fakequant_adapt = dq_fakequant_adapt_avx2,
         .fakequant_codes = dq_fakequant_codes_avx2,
         .fakequant_decode = dq_fakequant_decode_avx2,
         .fakequant_backward = dq_fakequant_backward_avx2,
     }},
#endif
#ifdef DQ_HAVE_AVX512
    {have_avx512,
     {
         .name = "avx512",
         .gemm = dq_gemm_avx512,
         .rmsnorm_forward = dq_rmsnorm_forward_avx512,
         .rmsnorm_backward = dq_rmsnorm_backward_avx512,
         .rope = dq_rope_avx512,
         .swiglu_forward = dq_swiglu_forward_avx512,
         .swiglu_backward = dq_swiglu_backward_avx512,
         .attention_forward = dq_attention_forward_avx512,
         .attention_backward = dq_attention_backward_avx512,
         .cross_entropy = dq_cross_entropy_avx512,
         .adamw = dq_adamw_avx512,
         .add = dq_add_avx512,
         .bias_forward = dq_bias_forward_avx512,
         .bias_backward = dq_bias_backward_avx512,
         .sum_of_squares = dq_sum_of_squares_avx512,
         .fakequant_adapt = dq_fakequant_adapt_avx512,
         .fakequant_codes = dq_fakequant_codes_avx512,
         .fakequant_decode = dq_fakequant_decode_avx512,
         .fakequant_backward = dq_fakequant_backward_avx512,
     }},
#endif
};

enum { VARIANTS = sizeof variants / sizeof variants[0] };

size_t dq_kernels_count(void) {
    return VARIANTS;
}

const dq_kernels *dq_kernels_at(size_t index, bool *usable) {
    if (index >= VARIANTS) return NULL;
    if (usable) *usable = variants[index].usable();
    return &variants[index].kernels;
}

dlqat_status dq_kernels_choose(const char *name, const dq_kernels **kernels, dlqat_error *error) {
    char known[128] = "";
    for (size_t i = VARIANTS; i-- > 0;) { /* the fastest stands last */
        const dq_kernels *candidate = &variants[i].kernels;
        if (name && strcmp(name, candidate->name) != 0) {
            strncat(known, " ", sizeof known - strlen(known) - 1);
            strncat(known, candidate->name, sizeof known - strlen(known) - 1);
            continue;
        }
        if (variants[i].usable()) {
            *kernels = candidate;
            return DLQAT_OK;
        }
        if (name)
            return dq_fail(error, DLQAT_ERROR_USAGE,
                           "kernels \"%s\": this processor or system lacks the instructions; leave the choice open",
                           name);
    }
    return dq_fail(error, DLQAT_ERROR_USAGE, "kernels \"%s\": not in this build, which has:%s", name, known);
}

size_t dq_workspace_bytes(int threads) {
    const size_t huge = (size_t)8 << 20; /* from here on dq_alloc asks for huge pages, which packed operands need */
    size_t bytes = (size_t)DQ_WORKSPACE_SHARED + (size_t)(threads > 0 ? threads : 1) * DQ_WORKSPACE_THREAD;
    return bytes > huge ? bytes : huge;
}

dlqat_status dq_compute_open(dq_compute *compute, const char *kernels, int threads, dq_multiply multiply,
                             dlqat_error *error) {
    *compute = (dq_compute){.multiply = multiply};
    DQ_TRY(dq_kernels_choose(kernels, &compute->kernels, error));
    /* OpenMP counts the processors of the affinity mask, not those of the machine. */
    compute->threads = threads > 0 ? threads : omp_get_num_procs();
    compute->workspace = dq_alloc(dq_workspace_bytes(compute->threads), 1, "workspace of the kernels", error);
    return compute->workspace ? DLQAT_OK : DLQAT_ERROR_MEMORY;
}

void dq_compute_close(dq_compute *compute) {
    dq_free(compute->workspace);
    *compute = (dq_compute){0};
}
