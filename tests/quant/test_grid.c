/* Scales and offsets: what the storage types keep, where they begin, and what is refused. Expected values are worked out by hand. */
#include "support.h"

#include "base/half.h"
#include "quant/grid.h"

#include <float.h>
#include <math.h>

static dq_grid grid_of(int bits, int64_t group, dq_dtype scale, dq_offset offset) {
    return (dq_grid){.bits = bits, .group = group, .scale = scale, .offset = offset};
}

/* f32 scales keep a significand of 24 - n bits, nearest even. 1 + k 2^-23 with n = 3: units of 8. */
static void rounds_f32_to_cleared_bits(void **state) {
    (void)state;
    dq_grid grid = grid_of(3, 64, DQ_F32, DQ_OFFSET_FLOAT);
    static const struct {
        int k, expected;
    } cases[] = {{0, 0}, {3, 0}, {4, 0}, {5, 8}, {8, 8}, {11, 8}, {12, 16}, {13, 16}, {20, 16}, {21, 24}, {28, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            float x = (float)sign * (1.0f + (float)cases[i].k * 0x1p-23f);
            assert_true(dq_grid_round(&grid, x) == (float)sign * (1.0f + (float)cases[i].expected * 0x1p-23f));
        }
    /* A carry runs into the exponent: 2 - 2^-23 becomes 2. */
    assert_true(dq_grid_round(&grid, 2.0f - 0x1p-23f) == 2.0f);
    assert_true(isinf(dq_grid_round(&grid, INFINITY)));
    assert_true(isnan(dq_grid_round(&grid, NAN)));
}

/* S u is exact in f32 for every code: the double product equals its f32 rounding. */
static void products_are_exact(void **state) {
    (void)state;
    static const dq_dtype types[] = {DQ_F16, DQ_BF16, DQ_F32};
    for (int bits = 2; bits <= 8; bits++)
        for (int t = 0; t < 3; t++) {
            dq_grid grid = grid_of(bits, 64, types[t], DQ_OFFSET_FLOAT);
            for (int i = 1; i < 2000; i++) {
                float S = dq_grid_round(&grid, (float)i * 1.2345678e-4f);
                for (int u = 0; u < 1 << bits; u++) assert_true((double)(S * (float)u) == (double)S * u);
            }
        }
}

/* f16: 1/3 is 0x3555, bf16: 0x3eab. */
static void rounds_to_half_types(void **state) {
    (void)state;
    dq_grid f16 = grid_of(4, 64, DQ_F16, DQ_OFFSET_FLOAT), bf16 = grid_of(4, 64, DQ_BF16, DQ_OFFSET_FLOAT);
    assert_true(dq_grid_round(&f16, 1.0f / 3.0f) == 0.333251953125f);
    assert_true(dq_grid_round(&bf16, 1.0f / 3.0f) == 0.333984375f);
}

/* 3 bits, weights from -1 to 2.5: s = 3.5/7 = 0.5; b = (4 * 2.5 + 3 * -1)/7 = 1, so that 2.5 = 3 s + b and -1 = -4 s + b. */
static void starts(void **state) {
    (void)state;
    const float w[4] = {-1.0f, 0.25f, 2.5f, 0.0f};
    float s, b;
    dq_grid grid = grid_of(3, 4, DQ_F16, DQ_OFFSET_FLOAT);
    assert_true(dq_grid_start(&grid, DQ_START_MINMAX, w, 4, &s, &b));
    assert_true(s == 0.5f && b == 1.0f);
    /* L4Q: max(1/4, 2.5/3) */
    assert_true(dq_grid_start(&grid, DQ_START_L4Q, w, 4, &s, &b));
    assert_true(s == (float)(2.5 / 3.0) && b == 0.0f);
    grid.offset = DQ_OFFSET_NONE;
    assert_true(dq_grid_start(&grid, DQ_START_MINMAX, w, 4, &s, &b));
    assert_true(s == (float)(2.5 / 3.0) && b == 0.0f);
    grid.offset = DQ_OFFSET_FLOAT;
    const float constant[4] = {0.75f, 0.75f, 0.75f, 0.75f};
    assert_true(dq_grid_start(&grid, DQ_START_MINMAX, constant, 4, &s, &b));
    assert_true(s == 0x1p-14f && b == 0.75f);
    const float bad[4] = {0.0f, NAN, 1.0f, 2.0f}, worse[4] = {0.0f, 1.0f, 2.0f, -INFINITY};
    assert_false(dq_grid_start(&grid, DQ_START_MINMAX, bad, 4, &s, &b));
    assert_false(dq_grid_start(&grid, DQ_START_MINMAX, worse, 4, &s, &b));
}

static void floor_of_s(void **state) {
    (void)state;
    dq_grid f16 = grid_of(3, 4, DQ_F16, DQ_OFFSET_FLOAT), f32 = grid_of(3, 4, DQ_F32, DQ_OFFSET_FLOAT);
    assert_true(dq_grid_floor(dq_grid_floor_exponent(&f16, 0.5f)) == 0.5f / 64);
    assert_true(dq_grid_floor(dq_grid_floor_exponent(&f16, 0.75f)) == 0.5f / 64);   /* the power of two below */
    assert_true(dq_grid_floor(dq_grid_floor_exponent(&f16, 0x1p-14f)) == 0x1p-14f); /* the smallest normal f16 */
    assert_true(dq_grid_floor(dq_grid_floor_exponent(&f32, 0x1p-14f)) == 0x1p-20f);
    assert_true(dq_grid_floor(dq_grid_floor_exponent(&f32, FLT_MAX)) == 0x1p121f);
    assert_true(dq_grid_floor(DQ_GRID_NO_FLOOR) == -INFINITY);
}

/* S = R(m s), O = R(m (b + Qn s)): 2 bits, s = .3, b = .1, m = -1.5 in f16. Without an offset O = Qn S. */
static void stored(void **state) {
    (void)state;
    float S, O;
    dq_grid grid = grid_of(2, 4, DQ_F16, DQ_OFFSET_FLOAT);
    dq_grid_stored(&grid, 0.3f, 0.1f, -1.5f, 0.0f, &S, &O);
    assert_true(S == -0.449951171875f); /* -0.45 in f16 */
    assert_true(O == 0.75f);            /* -1.5 * (0.1 - 0.6) */
    dq_grid_stored(&grid, 0.3f, 0.1f, 1.0f, 0.25f, &S, &O);
    assert_true(O == -0.25f);
    grid.offset = DQ_OFFSET_NONE;
    dq_grid_stored(&grid, 0.3f, 0.0f, -1.5f, 0.0f, &S, &O);
    assert_true(O == 2 * 0.449951171875f);
}

static void refuses(void **state) {
    (void)state;
    dlqat_error error;
    dq_grid grid = grid_of(3, 128, DQ_F16, DQ_OFFSET_FLOAT);
    assert_fails(dq_grid_check(&grid, "layer.q_proj", 576, &error), DLQAT_ERROR_USAGE, "layer.q_proj");
    assert_fails(dq_grid_check(&grid, "q", 576, &error), DLQAT_ERROR_USAGE, "these do: 64, 32, 16, or -1");
    grid.group = 64;
    assert_ok(dq_grid_check(&grid, "q", 576, &error));
    assert_fails(dq_grid_check(&grid, "down", 172, &error), DLQAT_ERROR_USAGE, "172, 86, 43, 4,");
    grid.scale = DQ_BF16;
    grid.bits = 5;
    assert_ok(dq_grid_check(&grid, "q", 576, &error));
    grid.bits = 6;
    assert_fails(dq_grid_check(&grid, "q", 576, &error), DLQAT_ERROR_USAGE, "bf16 is too coarse for 6 bits");
    grid.scale = DQ_F16;
    grid.bits = 9;
    assert_fails(dq_grid_check(&grid, "q", 576, &error), DLQAT_ERROR_USAGE, "2 to 8");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_f32_to_cleared_bits),
        cmocka_unit_test(products_are_exact),
        cmocka_unit_test(rounds_to_half_types),
        cmocka_unit_test(starts),
        cmocka_unit_test(floor_of_s),
        cmocka_unit_test(stored),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
