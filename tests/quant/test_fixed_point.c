/* The frozen weight in 8 bits against its definition, worked in double. */
#include "support.h"

#include "base/random.h"
#include "quant/fixed_point.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { OUT = 5, IN = 66, GROUP = 33, GROUPS = OUT * IN / GROUP }; /* rows end within a word of codes */

static void given_rows(const void *user, int64_t first, int64_t count, float *dst) {
    memcpy(dst, (const float *)user + first * IN, (size_t)(count * IN) * sizeof *dst);
}

/* What the encoded weight decodes to; the status of the encoding. */
static dlqat_status encode(const float *w, int bits, float *decoded, dlqat_error *why) {
    dlqat_error error;
    float rows[2 * IN];
    dq_affine matrix;
    dq_arena arena = {0};
    dq_base base = {.rows = given_rows, .user = w};
    dq_fixed_point_lay_out(&matrix, OUT, IN, GROUP, &arena);
    assert_ok(dq_arena_reserve(&arena, "test", &error));
    dq_fixed_point_lay_out(&matrix, OUT, IN, GROUP, &arena);
    dlqat_status status = dq_fixed_point_encode(&matrix, &base, bits, "layer", 2, rows, why);
    if (status == DLQAT_OK) {
        dq_base from = dq_fixed_point_base(&matrix);
        from.rows(from.user, 0, OUT, decoded);
    }
    dq_arena_release(&arena);
    return status;
}

/* Within half a step of 2^(n-8) s0; and f32: the step and its product with the code (2^-24 of the span each, of which there are
 * 255 and one), the sum with Min (2^-24 of the greatest). */
static void within_half_a_step(void **state) {
    (void)state;
    float w[OUT * IN], decoded[OUT * IN];
    dlqat_error error;
    dq_random_normal(1, DQ_STREAM_SAMPLE, 0, 0.05f, w, OUT * IN);
    for (int bits = 2; bits <= 8; bits++) {
        assert_ok(encode(w, bits, decoded, &error));
        double worst = 0;
        for (int g = 0; g < GROUPS; g++) {
            const float *from = w + g * GROUP, *to = decoded + g * GROUP;
            double least = from[0], greatest = from[0];
            for (int j = 0; j < GROUP; j++) {
                least = fmin(least, from[j]);
                greatest = fmax(greatest, from[j]);
            }
            double step = (greatest - least) / (pow(2, bits) - 1) * pow(2, bits - 8);
            double rounding = (3 * (greatest - least) + fmax(fabs(least), fabs(greatest))) * 0x1p-24;
            for (int j = 0; j < GROUP; j++) {
                double moved = fabs((double)to[j] - from[j]);
                assert_true(moved <= step / 2 + rounding);
                if (from[j] == (float)least) assert_true(to[j] == from[j]);
                if (moved / step > worst) worst = moved / step;
            }
        }
        assert_true(worst > 0.4); /* of 330 weights one comes near the half: the bound is not met by being too fine */
    }
}

/* A weight on the grid that the run starts from stays there: n bits before the point hold it. */
static void grid_points_are_kept(void **state) {
    (void)state;
    float w[OUT * IN], decoded[OUT * IN];
    dlqat_error error;
    for (int i = 0; i < OUT * IN; i++)
        w[i] = -1.0f + 0.25f * (float)((i * 5 + i / GROUP) % 8); /* 3 bits from -1 to 0.75 */
    assert_ok(encode(w, 3, decoded, &error));
    assert_memory_equal(decoded, w, sizeof w);
}

static void extremes(void **state) {
    (void)state;
    float w[OUT * IN], decoded[OUT * IN];
    dlqat_error error;
    for (int i = 0; i < OUT * IN; i++) w[i] = i < GROUP ? 0.3f : i % 2 ? -FLT_MAX / 4 : FLT_MAX / 4;
    assert_ok(encode(w, 8, decoded, &error));
    for (int i = 0; i < GROUP; i++) assert_true(decoded[i] == 0.3f); /* a constant group is its offset */
    for (int i = GROUP; i < OUT * IN; i++) assert_true(isfinite(decoded[i]));
    w[2 * IN + 7] = NAN;
    assert_fails(encode(w, 3, decoded, &error), DLQAT_ERROR_INPUT, "layer: a weight in row 2");
    w[2 * IN + 7] = -INFINITY;
    assert_fails(encode(w, 3, decoded, &error), DLQAT_ERROR_INPUT, "layer: a weight in row 2");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(within_half_a_step), cmocka_unit_test(grid_points_are_kept),
                                       cmocka_unit_test(extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
