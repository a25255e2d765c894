/* The backward operations against differences of their forward, written plainly in f64: for every input x
 *
 *     dL/dx = (L(x + h) - L(x - h)) / 2h,   L = sum of weights * outputs
 *
 * With h = 1e-5 the differences are good to about 1e-9, so what is left is the f32 rounding of the operation: a few
 * units of 2^-24 times the length of its sums, below 4e-6 of the largest gradient here. Forgetting a term or a factor
 * is off by far more. Formulas are not repeated here: only forwards. */
#include "support.h"

#include <math.h>

#include "kernels/kernels.h"

enum { MOST = 8 };
static const double tolerance = 4e-6, h = 1e-5;

typedef struct problem {
    int64_t n[MOST];
    double *x[MOST]; /* inputs, in f64 copies of f32 numbers */
    float *f[MOST];
    int inputs;
    double (*value)(const struct problem *);
    const void *detail;
} problem;

static int64_t add_input(problem *p, int64_t n, double low, double high) {
    static const uint32_t seeds[MOST] = {3, 17, 29, 71, 113, 211, 307, 401};
    uint32_t seed = seeds[p->inputs];
    p->n[p->inputs] = n;
    p->x[p->inputs] = malloc((size_t)n * sizeof(double));
    p->f[p->inputs] = malloc((size_t)n * sizeof(float));
    assert_non_null(p->x[p->inputs]);
    assert_non_null(p->f[p->inputs]);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p->f[p->inputs][i] = (float)(low + (high - low) * seed * 0x1p-32);
        p->x[p->inputs][i] = p->f[p->inputs][i];
    }
    return p->inputs++;
}

static void close_problem(problem *p) {
    for (int i = 0; i < p->inputs; i++) {
        free(p->x[i]);
        free(p->f[i]);
    }
}

static void compare(problem *p, int which, const float *gradient, const char *kernels, const char *name) {
    double largest = 0, worst = 0;
    double *difference = malloc((size_t)p->n[which] * sizeof(double));
    assert_non_null(difference);
    for (int64_t i = 0; i < p->n[which]; i++) {
        double x = p->x[which][i];
        p->x[which][i] = x + h;
        double above = p->value(p);
        p->x[which][i] = x - h;
        difference[i] = (above - p->value(p)) / (2 * h);
        p->x[which][i] = x;
        largest = fmax(largest, fabs(difference[i]));
    }
    assert_true(largest > 0);
    for (int64_t i = 0; i < p->n[which]; i++) {
        double off = fabs(gradient[i] - difference[i]) / largest;
        if (!(off <= tolerance))
            fail_msg("%s %s[%d]: %.9g, by differences %.9g", kernels, name, (int)i, gradient[i], difference[i]);
        worst = fmax(worst, off);
    }
    print_message("%-6s %-22s within %.1e of the differences\n", kernels, name, worst);
    free(difference);
}

typedef void check(const dq_compute *compute);

static void in_every_variant(check *c) {
    dlqat_error error;
    for (size_t i = 0; i < dq_kernels_count(); i++) {
        bool usable;
        dq_compute compute;
        const dq_kernels *kernels = dq_kernels_at(i, &usable);
        if (!usable) continue;
        assert_ok(dq_compute_open(&compute, kernels->name, 2, DQ_MULTIPLY_F32, &error));
        c(&compute);
        dq_compute_close(&compute);
    }
}

/* ---- rmsnorm ---- */

enum { ROWS = 5, WIDTH = 37 };
static const double eps = 1e-2; /* large, so that it matters */

static double norm_value(const problem *p) {
    double sum = 0;
    for (int t = 0; t < ROWS; t++) {
        double square = 0;
        for (int i = 0; i < WIDTH; i++) square += p->x[0][t * WIDTH + i] * p->x[0][t * WIDTH + i];
        double r = 1 / sqrt(square / WIDTH + (float)eps);
        for (int i = 0; i < WIDTH; i++) sum += p->x[2][t * WIDTH + i] * p->x[1][i] * p->x[0][t * WIDTH + i] * r;
    }
    return sum;
}

static void norm_gradient(const dq_compute *compute) {
    problem p = {.value = norm_value};
    add_input(&p, ROWS * WIDTH, -0.3, 0.3);
    add_input(&p, WIDTH, -1, 2);
    add_input(&p, ROWS * WIDTH, -1, 1);
    float y[ROWS * WIDTH], r[ROWS], dx[ROWS * WIDTH] = {0}, dw[WIDTH] = {0};
    compute->kernels->rmsnorm_forward(compute, y, r, p.f[0], p.f[1], (float)eps, ROWS, WIDTH);
    compute->kernels->rmsnorm_backward(compute, dx, dw, p.f[2], p.f[0], p.f[1], r, ROWS, WIDTH);
    compare(&p, 0, dx, compute->kernels->name, "rmsnorm dx");
    compare(&p, 1, dw, compute->kernels->name, "rmsnorm dw");
    close_problem(&p);
}

/* ---- swiglu ---- */

static double glu_value(const problem *p) {
    double sum = 0;
    for (int64_t i = 0; i < p->n[0]; i++) sum += p->x[2][i] * p->x[0][i] / (1 + exp(-p->x[0][i])) * p->x[1][i];
    return sum;
}

static void glu_gradient(const dq_compute *compute) {
    enum { N = 61 };
    problem p = {.value = glu_value};
    add_input(&p, N, -6, 6);
    add_input(&p, N, -2, 2);
    add_input(&p, N, -1, 1);
    float dgate[N], dup[N];
    compute->kernels->swiglu_backward(compute, dgate, dup, p.f[2], p.f[0], p.f[1], 1, N, NULL, NULL);
    compare(&p, 0, dgate, compute->kernels->name, "swiglu dgate");
    compare(&p, 1, dup, compute->kernels->name, "swiglu dup");
    close_problem(&p);
}

/* ---- cross-entropy ---- */

enum { TOKENS = 4, WORDS = 43 };
static const int32_t labels[TOKENS] = {0, 42, 7, 20};

static double loss_value(const problem *p) {
    double loss = 0;
    for (int i = 0; i < TOKENS; i++) {
        double sum = 0;
        for (int j = 0; j < WORDS; j++) sum += exp(p->x[0][i * WORDS + j]);
        loss += log(sum) - p->x[0][i * WORDS + labels[i]];
    }
    return 0.25 * loss;
}

static void loss_gradient(const dq_compute *compute) {
    problem p = {.value = loss_value};
    double loss[TOKENS], total = 0;
    add_input(&p, TOKENS * WORDS, -4, 4);
    compute->kernels->cross_entropy(compute, p.f[0], labels, loss, TOKENS, WORDS, 0.25f, true);
    for (int i = 0; i < TOKENS; i++) total += 0.25 * loss[i];
    assert_true(fabs(total - loss_value(&p)) < 1e-6 * total);
    compare(&p, 0, p.f[0], compute->kernels->name, "cross_entropy dlogits");
    close_problem(&p);
}

/* ---- rope: the turn back is the transpose of the turn ---- */

static double rope_value(const problem *p) {
    enum { HEADS = 2, D = 10 };
    double sum = 0;
    for (int t = 0; t < ROWS; t++)
        for (int h_ = 0; h_ < HEADS; h_++)
            for (int i = 0; i < D / 2; i++) {
                const double *x = p->x[0] + (t * HEADS + h_) * D + i, *w = p->x[1] + (t * HEADS + h_) * D + i;
                double angle = (double)(3 * t + 1) * pow(10, -i);
                sum += w[0] * (x[0] * cos(angle) - x[D / 2] * sin(angle));
                sum += w[D / 2] * (x[D / 2] * cos(angle) + x[0] * sin(angle));
            }
    return sum;
}

static void rope_gradient(const dq_compute *compute) {
    problem p = {.value = rope_value};
    add_input(&p, ROWS * 20, -1, 1);
    add_input(&p, ROWS * 20, -1, 1);
    static const int32_t position[ROWS] = {1, 4, 7, 10, 13};
    static const float frequency[5] = {1, 0.1f, 0.01f, 0.001f, 0.0001f};
    compute->kernels->rope(compute, p.f[1], position, frequency, ROWS, 2, 10, true);
    compare(&p, 0, p.f[1], compute->kernels->name, "rope dx");
    close_problem(&p);
}

/* ---- attention: packed rows, a window, three query heads to a key/value head ---- */

enum { T = 23, HEADS = 6, KV = 2, D = 9, WINDOW = 8 };
static const int32_t starts[T] = {0, 0, 0, 0, 0, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 22};
static const float scale = 0.4f;

static double attention_value(const problem *p) {
    double total = 0;
    for (int i = 0; i < T; i++)
        for (int head = 0; head < HEADS; head++) {
            int g = head / (HEADS / KV);
            double weights = 0, mixed[D] = {0};
            for (int j = starts[i]; j <= i; j++) {
                if (j <= i - WINDOW) continue;
                double s = 0;
                for (int c = 0; c < D; c++) s += p->x[0][(i * HEADS + head) * D + c] * p->x[1][(j * KV + g) * D + c];
                weights += exp(scale * s);
                for (int c = 0; c < D; c++) mixed[c] += exp(scale * s) * p->x[2][(j * KV + g) * D + c];
            }
            for (int c = 0; c < D; c++) total += p->x[3][(i * HEADS + head) * D + c] * mixed[c] / weights;
        }
    return total;
}

static void attention_gradient(const dq_compute *compute) {
    problem p = {.value = attention_value};
    add_input(&p, T * HEADS * D, -1, 1);
    add_input(&p, T * KV * D, -1, 1);
    add_input(&p, T * KV * D, -1, 1);
    add_input(&p, T * HEADS * D, -1, 1);
    float o[T * HEADS * D], sums[T * HEADS], delta[T * HEADS], dq[T * HEADS * D], dk[T * KV * D], dv[T * KV * D];
    const dq_attention a = {.query_count = T,
                            .heads = HEADS,
                            .kv_heads = KV,
                            .head_width = D,
                            .window = WINDOW,
                            .scale = scale,
                            .row_start = starts,
                            .q = p.f[0],
                            .k = p.f[1],
                            .v = p.f[2],
                            .o = o,
                            .log_sum = sums};
    compute->kernels->attention_forward(compute, &a);
    double total = 0;
    for (int i = 0; i < T * HEADS * D; i++) total += (double)o[i] * p.f[3][i];
    assert_true(fabs(total - attention_value(&p)) < 1e-5);
    compute->kernels->attention_backward(compute, &a, p.f[3], delta, dq, dk, dv);
    compare(&p, 0, dq, compute->kernels->name, "attention dq");
    compare(&p, 1, dk, compute->kernels->name, "attention dk");
    compare(&p, 2, dv, compute->kernels->name, "attention dv");
    close_problem(&p);
}

#define EVERY(name)                                                                                                    \
    static void test_##name(void **state) {                                                                            \
        (void)state;                                                                                                   \
        in_every_variant(name##_gradient);                                                                             \
    }
EVERY(norm)
EVERY(glu)
EVERY(loss)
EVERY(rope)
EVERY(attention)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm), cmocka_unit_test(test_glu),       cmocka_unit_test(test_loss),
        cmocka_unit_test(test_rope), cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
