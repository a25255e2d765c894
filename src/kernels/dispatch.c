/* Which variant of the kernels runs: chosen by what the processor and the system support when the program runs.
 *
 * A new operation gets one row in OPERATIONS, in the place where struct dq_kernels has it. variant.h lists the other
 * steps. */
#include "kernels/variant.h"

#include <omp.h>
#include <string.h>

#include "base/arena.h"
#include "kernels/processor.h"
#include "kernels/workspace.h"

DQ_VARIANT_DECLARE(c);
DQ_VARIANT_DECLARE(avx2);
DQ_VARIANT_DECLARE(avx512);
DQ_VARIANT_DECLARE(avx512bf16);
DQ_VARIANT_DECLARE(amx);

static bool always(void) {
    return true;
}

/* The matrix products, and every other operation, as the variant v has them. */
/* clang-format off: a row each */
#define PRODUCTS(v)                                                                                                    \
    .gemm = dq_gemm_##v, .packed_bytes = dq_packed_bytes_##v, .pack = dq_pack_##v,                                     \
    .packed_a_bytes = dq_packed_a_bytes_##v, .pack_a = dq_pack_a_##v, .gemm_packed = dq_gemm_packed_##v

#define ATTENTION(v) .attention_forward = dq_attention_forward_##v, .attention_backward = dq_attention_backward_##v

#define PRODUCTS_BF16(v) PRODUCTS(v), ATTENTION(v), .pack_coded = dq_pack_coded_##v

#define OPERATIONS(v)                                                                                                  \
    .rmsnorm_forward = dq_rmsnorm_forward_##v, .rmsnorm_backward = dq_rmsnorm_backward_##v, .rope = dq_rope_##v,       \
    .swiglu_forward = dq_swiglu_forward_##v, .swiglu_backward = dq_swiglu_backward_##v,                                \
    .column_dots = dq_column_dots_##v, .sampled_multiply = dq_sampled_multiply_##v,                                    \
    .cross_entropy = dq_cross_entropy_##v, .adamw = dq_adamw_##v, .add = dq_add_##v,                                   \
    .bias_forward = dq_bias_forward_##v, .bias_backward = dq_bias_backward_##v,                                        \
    .sum_of_squares = dq_sum_of_squares_##v, .fakequant_adapt = dq_fakequant_adapt_##v,                                \
    .fakequant_codes = dq_fakequant_codes_##v, .fakequant_decode = dq_fakequant_decode_##v,                            \
    .fakequant_backward = dq_fakequant_backward_##v, .fakequant_keep = dq_fakequant_keep_##v,                          \
    .fakequant_kept_backward = dq_fakequant_kept_backward_##v, .coded_rows = dq_coded_rows_##v,                        \
    .coded_multiply = dq_coded_multiply_##v, .tables_multiply = dq_tables_multiply_##v
/* clang-format on */

static const struct variant {
    bool (*usable)(void);
    dq_kernels kernels;
} variants[] = {
    {always, {.name = "c", PRODUCTS(c), ATTENTION(c), OPERATIONS(c)}},
#ifdef DQ_HAVE_AVX2
    {dq_have_avx2, {.name = "avx2", PRODUCTS(avx2), ATTENTION(avx2), OPERATIONS(avx2), .tables_bits = 4}},
#endif
#ifdef DQ_HAVE_AVX512
    {dq_have_avx512, {.name = "avx512", PRODUCTS(avx512), ATTENTION(avx512), OPERATIONS(avx512), .tables_bits = 3}},
#endif
#ifdef DQ_HAVE_AVX512BF16
    {dq_have_avx512bf16, {.name = "avx512bf16", PRODUCTS_BF16(avx512bf16), OPERATIONS(avx512), .tables_bits = 3}},
#endif
#ifdef DQ_HAVE_AMX
    {dq_have_amx, {.name = "amx", PRODUCTS_BF16(amx), OPERATIONS(avx512)}},
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
