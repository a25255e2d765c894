/* Philox against its published answers, and what is made of it. */
#include "base/random.h"
#include "support.h"

#include <math.h>

/* The known answers of Random123 for philox4x32-10: counter words 0-3, key words 0-1, output. */
static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        const uint32_t *c = cases[i].counter, *k = cases[i].key;
        dq_random_block((uint64_t)k[1] << 32 | k[0], (dq_random_stream)c[3], c[2], (uint64_t)c[1] << 32 | c[0], out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void test_uniform(void **state) {
    (void)state;
    uint32_t block[4];
    dq_random_block(5, DQ_STREAM_SHUFFLE, 9, 123, block);
    const double expected = (double)(((uint64_t)block[0] << 32 | block[1]) >> 11) / 9007199254740992.0;
    assert_true(dq_random_uniform(5, DQ_STREAM_SHUFFLE, 9, 123) == expected);
    /* Mean 1/2 and variance 1/12 of 100,000 draws within five standard errors. */
    enum { N = 100000 };
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double x = dq_random_uniform(1, DQ_STREAM_SAMPLE, 0, i);
        assert_true(x >= 0 && x < 1);
        sum += x;
        squares += (x - 0.5) * (x - 0.5);
    }
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(squares / N - 1.0 / 12) < 5 * sqrt(1.0 / 180 / N));
}

static void test_fill_stays_below_its_bound(void **state) {
    (void)state;
    enum { N = 200000 };
    float *x = malloc(N * sizeof *x);
    /* Two neighbours in f32: about half of the draws would round up to the bound. */
    const float low = 1, high = nextafterf(1, 2);
    dq_random_fill(3, DQ_STREAM_ADAPTER, 1, low, high, x, 1000);
    for (int i = 0; i < 1000; i++) assert_true(x[i] == low);
    dq_random_fill(3, DQ_STREAM_ADAPTER, 1, -0.25f, 0.5f, x, N);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        assert_true(x[i] >= -0.25f && x[i] < 0.5f);
        sum += x[i];
    }
    assert_true(fabs(sum / N - 0.125) < 5 * 0.75 * sqrt(1.0 / 12 / N));
    free(x);
}

static void test_normal(void **state) {
    (void)state;
    enum { N = 100001 };
    float *x = malloc(N * sizeof *x), prefix[7];
    dq_random_normal(11, DQ_STREAM_ADAPTER, 4, 2.0f, x, N);
    double sum = 0, squares = 0, fourth = 0;
    int beyond = 0;
    for (int i = 0; i < N; i++) {
        const double z = x[i] / 2.0;
        assert_true(isfinite(z));
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
        beyond += fabs(z) > 1.959963984540054;
    }
    /* Moments 0, 1, 3 and 5 % beyond 1.96, each within five standard errors (their variances: 1, 2, 96, 0.0475). */
    assert_true(fabs(sum / N) < 5 * sqrt(1.0 / N));
    assert_true(fabs(squares / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(fourth / N - 3) < 5 * sqrt(96.0 / N));
    assert_true(fabs((double)beyond / N - 0.05) < 5 * sqrt(0.0475 / N));
    /* A number depends on its place alone, not on how many are drawn; and on seed, stream and detail. */
    dq_random_normal(11, DQ_STREAM_ADAPTER, 4, 2.0f, prefix, 7);
    assert_memory_equal(prefix, x, sizeof prefix);
    dq_random_normal(12, DQ_STREAM_ADAPTER, 4, 2.0f, prefix, 7);
    assert_memory_not_equal(prefix, x, sizeof prefix);
    dq_random_normal(11, DQ_STREAM_ADAPTER, 5, 2.0f, prefix, 7);
    assert_memory_not_equal(prefix, x, sizeof prefix);
    dq_random_normal(11, DQ_STREAM_SPLIT, 4, 2.0f, prefix, 7);
    assert_memory_not_equal(prefix, x, sizeof prefix);
    free(x);
}

static void test_permutation(void **state) {
    (void)state;
    size_t order[1000];
    char seen[1000] = {0};
    dq_random_permutation(1, DQ_STREAM_SHUFFLE, 0, order, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_true(order[i] < 1000 && !seen[order[i]]);
        seen[order[i]] = 1;
    }
    dq_random_permutation(1, DQ_STREAM_SHUFFLE, 0, order, 0);
    dq_random_permutation(1, DQ_STREAM_SHUFFLE, 0, order, 1);
    assert_int_equal(order[0], 0);
    /* All six orders of three equally often: chi square of 5 degrees of freedom below 25.7 (p = 1e-4). */
    int counts[27] = {0};
    for (uint32_t epoch = 0; epoch < 6000; epoch++) {
        dq_random_permutation(7, DQ_STREAM_SHUFFLE, epoch, order, 3);
        counts[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    double chi = 0;
    int kinds = 0;
    for (int i = 0; i < 27; i++)
        if (counts[i]) {
            chi += (counts[i] - 1000.0) * (counts[i] - 1000.0) / 1000;
            kinds++;
        }
    assert_int_equal(kinds, 6);
    assert_true(chi < 25.7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_fill_stays_below_its_bound),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
