/* f16 and bf16 against their definitions: all 65536 values one way, and every border between two neighbours the other way. */
#include "base/half.h"
#include "support.h"

#include <math.h>

/* The value that a format of `fraction_bits` and bias gives to the bits (sign stripped): exact in a double. */
static double by_definition(unsigned bits, int fraction_bits, int bias, int exponent_bits) {
    const unsigned fraction = bits & ((1u << fraction_bits) - 1), exponent = bits >> fraction_bits;
    if (exponent == (1u << exponent_bits) - 1) return fraction ? (double)NAN : (double)INFINITY;
    if (exponent == 0) return ldexp(fraction, 1 - bias - fraction_bits);
    return ldexp(fraction + (1u << fraction_bits), (int)exponent - bias - fraction_bits);
}

typedef struct format {
    int fraction_bits, bias, exponent_bits;
    float (*widen)(uint16_t);
    uint16_t (*narrow)(float);
} format;

static float widen_f16(uint16_t h) {
    return dq_f16_to_f32(h);
}
static uint16_t narrow_f16(float x) {
    return dq_f32_to_f16(x);
}
static float widen_bf16(uint16_t h) {
    return dq_bf16_to_f32(h);
}
static uint16_t narrow_bf16(float x) {
    return dq_f32_to_bf16(x);
}

static const format f16 = {10, 15, 5, widen_f16, narrow_f16}, bf16 = {7, 127, 8, widen_bf16, narrow_bf16};

static void check_widening(const format *f) {
    for (unsigned bits = 0; bits < 65536; bits++) {
        const double wanted = by_definition(bits & 0x7fff, f->fraction_bits, f->bias, f->exponent_bits);
        const float got = f->widen((uint16_t)bits);
        if (isnan(wanted)) {
            assert_true(isnan(got));
            assert_true(isnan(f->widen(f->narrow(got))));
        } else {
            if (fabs((double)got) != wanted || !signbit(got) != !(bits & 0x8000)) fail_msg("%04x gives %a", bits, got);
            assert_int_equal(f->narrow(got), bits);
        }
    }
}

/* Between the neighbours a and a + 1: the middle goes to the even one, a hair less to a, a hair more to a + 1. */
static void check_rounding(const format *f) {
    const unsigned largest = ((1u << f->exponent_bits) - 1) << f->fraction_bits; /* infinity */
    for (unsigned a = 0; a < largest; a++) {
        /* Above the largest number the format goes on in thought: its next value would be 2^(bias + 1). */
        const double low = by_definition(a, f->fraction_bits, f->bias, f->exponent_bits);
        const double high =
            a + 1 < largest ? by_definition(a + 1, f->fraction_bits, f->bias, f->exponent_bits) : ldexp(1, f->bias + 1);
        const float middle = (float)((low + high) / 2);
        assert_true((double)middle == (low + high) / 2);
        const float less = nextafterf(middle, 0), more = nextafterf(middle, INFINITY);
        for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
            const float s = sign ? -1.0f : 1.0f;
            if (f->narrow(s * middle) != (sign | (a + a % 2))) fail_msg("the middle above %04x", a);
            if (f->narrow(s * less) != (sign | a)) fail_msg("below the middle above %04x", a);
            if (f->narrow(s * more) != (sign | (a + 1))) fail_msg("above the middle above %04x", a);
        }
    }
    assert_int_equal(f->narrow(INFINITY), largest);
    assert_int_equal(f->narrow(-INFINITY), largest | 0x8000);
    assert_int_equal(f->narrow(dq_f32_from_bits(1)), 0);
    /* NaNs whose payload lies in the bits that go, and whose rounding would carry. */
    static const uint32_t nans[] = {0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7fc00000};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++)
        assert_true(isnan(f->widen(f->narrow(dq_f32_from_bits(nans[i])))));
}

static void test_f16(void **state) {
    (void)state;
    check_widening(&f16);
    check_rounding(&f16);
}

static void test_bf16(void **state) {
    (void)state;
    check_widening(&bf16);
    check_rounding(&bf16);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f16), cmocka_unit_test(test_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
