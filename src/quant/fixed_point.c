#include "quant/fixed_point.h"

#include <math.h>
#include <omp.h>

enum { BITS = 8 };

void dq_fixed_point_lay_out(dq_affine *matrix, int64_t out, int64_t in, int64_t group, dq_arena *arena) {
    size_t words = (size_t)(out * dq_affine_row_words(in, BITS)), groups = (size_t)(out * (in / group));
    *matrix = (dq_affine){.out = out, .in = in, .group = group, .bits = BITS, .scale_dtype = DQ_F32};
    matrix->codes = dq_arena_take(arena, words, sizeof *matrix->codes);
    matrix->scales = dq_arena_take(arena, groups, sizeof(float));
    matrix->offsets = dq_arena_take(arena, groups, sizeof(float));
}

/* One group; false when a weight is not finite. */
static bool encode_group(const float *w, int64_t n, int bits, uint8_t *codes, float *scale, float *offset) {
    float least = w[0], greatest = w[0];
    bool finite = true;
    for (int64_t j = 0; j < n; j++) {
        finite &= isfinite(w[j]) != 0;
        least = fminf(least, w[j]);
        greatest = fmaxf(greatest, w[j]);
    }
    if (!finite) return false;
    /* In double, where the difference of two f32 cannot overflow. A constant group is its offset alone. */
    double step = ((double)greatest - least) / ((1 << bits) - 1) / (1 << (BITS - bits));
    *scale = (float)step;
    *offset = least;
    for (int64_t j = 0; j < n; j++) {
        double code = *scale > 0 ? nearbyint(((double)w[j] - least) / *scale) : 0.0;
        codes[j] = (uint8_t)(code < 255.0 ? code : 255.0);
    }
    return true;
}

dlqat_status dq_fixed_point_encode(const dq_affine *matrix, const dq_base *base, int bits, const char *name,
                                   int threads, float *rows, dlqat_error *error) {
    const int64_t in = matrix->in, group = matrix->group, groups = in / group;
    const int64_t words = dq_affine_row_words(in, BITS);
    /* The arrays are the arena's: written here, only read by all others. */
    unsigned char *codes = (unsigned char *)(uintptr_t)matrix->codes;
    float *scales = (float *)(uintptr_t)matrix->scales, *offsets = (float *)(uintptr_t)matrix->offsets;
    int64_t failed = -1;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(max : failed)
    for (int64_t i = 0; i < matrix->out; i++) {
        float *row = rows + omp_get_thread_num() * in;
        base->rows(base->user, i, 1, row);
        /* At 8 bits a row is its codes, one byte each, padded with zero bytes to a word. */
        uint8_t *to = codes + i * words * (int64_t)sizeof *matrix->codes;
        for (int64_t k = 0; k < groups; k++) {
            int64_t at = i * groups + k;
            if (!encode_group(row + k * group, group, bits, to + k * group, &scales[at], &offsets[at]))
                failed = failed > i ? failed : i;
        }
    }
    if (failed < 0) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT,
                   "%s: a weight in row %lld is not a finite number; the model file is damaged or overflowed", name,
                   (long long)failed);
}

static void rows_of(const void *user, int64_t first, int64_t count, float *dst) {
    dq_affine_rows(user, first, count, dst);
}

dq_base dq_fixed_point_base(const dq_affine *matrix) {
    return (dq_base){.rows = rows_of, .user = matrix};
}
