/* exp, cos and sin of the vector kernels against the C library's in double, over the primitives in plain C: each f32
 * operation is the same one that the vector instructions do. */
#include "support.h"

#include <math.h>

#include "base/half.h"

#define DQ_VARIANT plain16
#include "kernels/vector/math.h"

enum { W = DQ_VEC_WIDTH, STRIDE = 257 }; /* a prime: all fractions and both parities come by */

/* The largest error of exp in units of the last place over every STRIDE-th number between the bounds. */
static double worst_exp(uint32_t from, uint32_t to) {
    double worst = 0;
    for (uint64_t bits = from; bits <= to; bits += (uint64_t)W * STRIDE) {
        float x[W], y[W];
        for (int i = 0; i < W; i++) {
            uint64_t one = bits + (uint64_t)i * STRIDE;
            x[i] = dq_f32_from_bits(one < to ? (uint32_t)one : to);
        }
        dq_vec_store(y, dq_vec_exp(dq_vec_load(x)));
        for (int i = 0; i < W; i++) {
            double want = exp(x[i]);
            int exponent;
            frexp(want, &exponent);
            double unit = ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
            worst = fmax(worst, fabs(y[i] - want) / unit);
        }
    }
    return worst;
}

static void test_exp(void **state) {
    (void)state;
    double above = worst_exp(0x2f000000u, 0x42b17217u), below = worst_exp(0xaf000000u, 0xc2aeac4fu);
    double subnormal = worst_exp(0xc2aeac50u, 0xc2d00000u);
    print_message("exp: %.3f units above 0, %.3f below, %.3f where subnormal\n", above, below, subnormal);
    assert_true(above < 1.02 && below < 1.02);
    assert_true(subnormal < 0.76); /* scaling in two steps rounds once more */

    const float special[W] = {0, -0.0f, 89, 1000, INFINITY, -104, -1000, -INFINITY, NAN, 1e-30f, 88.72283f};
    float y[W];
    dq_vec_store(y, dq_vec_exp(dq_vec_load(special)));
    assert_true(y[0] == 1 && y[1] == 1 && y[9] == 1);
    assert_true(isinf(y[2]) && isinf(y[3]) && isinf(y[4]) && isnan(y[8]) && isfinite(y[10]));
    assert_true(y[5] == 0 && y[6] == 0 && y[7] == 0);
}

static void test_cos_sin(void **state) {
    (void)state;
    double worst = 0;
    for (uint32_t bits = 0; bits < 0x4a000000u; bits += W * STRIDE) {
        float x[W], c[W], s[W];
        dq_vec cosine, sine;
        for (int i = 0; i < W; i++) x[i] = dq_f32_from_bits(bits + (uint32_t)i * STRIDE);
        dq_vec_cos_sin(dq_vec_load(x), &cosine, &sine);
        dq_vec_store(c, cosine);
        dq_vec_store(s, sine);
        for (int i = 0; i < W; i++) {
            worst = fmax(worst, fabs(c[i] - cos(x[i])));
            worst = fmax(worst, fabs(s[i] - sin(x[i])));
        }
    }
    print_message("cos and sin below 2^21: within %.2e\n", worst);
    assert_true(worst < 1.7e-7);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exp), cmocka_unit_test(test_cos_sin)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
