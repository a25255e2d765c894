#include "quant/grid.h"

#include "base/half.h"

#include <math.h>
#include <stdio.h>

/* The usual group sizes that divide in, or, where none does, every one from 4 to 256. */
static void list_divisors(int64_t in, char *text, size_t size) {
    static const int64_t usual[] = {256, 128, 64, 32, 16};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (in % usual[i] == 0) used += (size_t)snprintf(text + used, size - used, "%lld, ", (long long)usual[i]);
    if (used) return;
    for (int64_t g = 256; g >= 4 && used + 8 < size; g--)
        if (in % g == 0) used += (size_t)snprintf(text + used, size - used, "%lld, ", (long long)g);
}

dlqat_status dq_grid_check(const dq_grid *grid, const char *tensor, int64_t in, dlqat_error *error) {
    if (grid->bits < 2 || grid->bits > 8)
        return dq_fail(error, DLQAT_ERROR_USAGE, "%s: %d bits; expected 2 to 8", tensor, grid->bits);
    if (grid->group < 1 || in % grid->group != 0) {
        char divisors[256];
        list_divisors(in, divisors, sizeof divisors);
        return dq_fail(
            error, DLQAT_ERROR_USAGE,
            "%s: --group-size %lld does not divide its input width %lld; these do: %sor -1 for one group per "
            "output channel",
            tensor, (long long)grid->group, (long long)in, divisors);
    }
    if (grid->scale != DQ_F16 && grid->scale != DQ_BF16 && grid->scale != DQ_F32)
        return dq_fail(error, DLQAT_ERROR_USAGE, "%s: scales of type %s; expected f16, bf16 or f32", tensor,
                       dq_dtype_info(grid->scale)->name);
    if (grid->scale == DQ_BF16 && grid->bits > 5)
        return dq_fail(
            error, DLQAT_ERROR_USAGE,
            "%s: --scale-dtype bf16 is too coarse for %d bits (above 5 its rounding moves weights by more than a "
            "third of a step): use f16 or f32",
            tensor, grid->bits);
    return DLQAT_OK;
}

float dq_grid_round(const dq_grid *grid, float x) {
    if (grid->scale == DQ_F16) return dq_f16_to_f32(dq_f32_to_f16(x));
    if (grid->scale == DQ_BF16) return dq_bf16_to_f32(dq_f32_to_bf16(x));
    if (grid->scale == DQ_F64) return x;
    uint32_t bits = dq_f32_bits(x), low = (1u << grid->bits) - 1;
    if ((bits & 0x7f800000u) == 0x7f800000u) return x;
    bits += (low >> 1) + (bits >> grid->bits & 1); /* half of the last kept place, less one unless that place is odd */
    return dq_f32_from_bits(bits & ~low);
}

bool dq_grid_start(const dq_grid *grid, dq_start rule, const float *weights, int64_t count, float *s, float *b) {
    float least = weights[0], greatest = weights[0];
    bool finite = true;
    for (int64_t j = 0; j < count; j++) {
        float x = weights[j];
        finite &= isfinite(x) != 0;
        least = x < least ? x : least;
        greatest = x > greatest ? x : greatest;
    }
    if (!finite) return false;
    const double levels = (double)(1 << grid->bits), half = levels / 2, Min = least, Max = greatest;
    if (rule == DQ_START_L4Q || grid->offset == DQ_OFFSET_NONE) {
        *s = (float)fmax(fabs(Min / -half), fabs(Max / (half - 1)));
        *b = 0.0f;
        if (*s == 0.0f) *s = 0x1p-14f;
    } else if (least == greatest) {
        *s = 0x1p-14f;
        *b = greatest;
    } else {
        *s = (float)((Max - Min) / (levels - 1));
        *b = (float)((half * Max + (half - 1) * Min) / (levels - 1));
    }
    return true;
}

int8_t dq_grid_floor_exponent(const dq_grid *grid, float s_start) {
    float smallest = grid->scale == DQ_F16 ? 0x1p-14f : 0x1p-126f;
    return (int8_t)ilogbf(fmaxf(s_start / 64, smallest));
}

float dq_grid_floor(int8_t exponent) {
    return exponent == DQ_GRID_NO_FLOOR ? -INFINITY : ldexpf(1.0f, exponent);
}

void dq_grid_stored(const dq_grid *grid, float s, float b, float m, float pooled, float *S, float *O) {
    const float Qn = -(float)(1 << (grid->bits - 1));
    *S = dq_grid_round(grid, m * s);
    if (grid->offset == DQ_OFFSET_NONE)
        *O = Qn * *S; /* a power of two times S: exact */
    else
        *O = dq_grid_round(grid, m * (b + Qn * s) + pooled);
}
