/* The row-wise operations of a decoder block. The maths stands in reference/layers.c. */
#include "kernels/vector/vec.h"

#include <math.h>

#include "kernels/vector/array.h"
#include "kernels/vector/math.h"

enum { W = DQ_VEC_WIDTH };

void NAME(rmsnorm_forward)(const dq_compute *compute, float *y, float *r_out, const float *x, const float *w, float eps,
                           int64_t T, int64_t D) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t t = 0; t < T; t++) {
        const float *from = x + t * D;
        float *to = y + t * D, r = 1 / sqrtf(dq_dot(from, from, NULL, D) / (float)D + eps);
        const dq_vec scale = dq_vec_set(r);
        for (int64_t at = 0; at < D; at += W) {
            const int lanes = dq_lanes(D, at);
            dq_put(to + at, dq_vec_mul(dq_get(w + at, lanes), dq_vec_mul(dq_get(from + at, lanes), scale)), lanes);
        }
        if (r_out) r_out[t] = r;
    }
}

/* Columns that a task sums up over tokens: whole cache lines of every token, and few enough for L1. */
enum { COLUMNS = 64 };

/* Running sums of a task's columns: of the last SOME tokens or fewer, and of all before them. */
enum { SOME = 64 };
typedef struct column_sums {
    float some[COLUMNS], total[COLUMNS];
} column_sums;

DQ_INLINE void column_add(column_sums *sums, int at, dq_vec a, dq_vec b) {
    dq_vec_store(sums->some + at, dq_vec_fma(a, b, dq_vec_load(sums->some + at)));
}

static void columns_gather(column_sums *sums) {
    for (int at = 0; at < COLUMNS; at += W) {
        dq_vec_store(sums->total + at, dq_vec_add(dq_vec_load(sums->total + at), dq_vec_load(sums->some + at)));
        dq_vec_store(sums->some + at, dq_vec_zero());
    }
}

/* After the last; to[j] += the sum of column j. */
static void columns_end(column_sums *sums, float *to, int width) {
    columns_gather(sums);
    for (int at = 0; at < width; at += W) {
        const int lanes = dq_lanes(width, at);
        dq_put(to + at, dq_vec_add(dq_get(to + at, lanes), dq_vec_load(sums->total + at)), lanes);
    }
}

/* dw of columns [first, first + width) */
static void weight_gradient(float *dw, const float *dy, const float *x, const float *r, int64_t T, int64_t D,
                            int64_t first, int width) {
    column_sums sums = {{0}, {0}};
    for (int64_t t = 0; t < T; t++) {
        if (t % SOME == 0) columns_gather(&sums);
        for (int at = 0; at < width; at += W) {
            const int lanes = dq_lanes(width, at);
            const int64_t here = t * D + first + at;
            column_add(&sums, at, dq_get(dy + here, lanes), dq_vec_mul(dq_get(x + here, lanes), dq_vec_set(r[t])));
        }
    }
    columns_end(&sums, dw + first, width);
}

void NAME(rmsnorm_backward)(const dq_compute *compute, float *dx, float *dw, const float *dy, const float *x,
                            const float *w, const float *r, int64_t T, int64_t D) {
#pragma omp parallel num_threads(compute->threads)
    {
#pragma omp for schedule(static)
        for (int64_t t = 0; t < T; t++) {
            const float *row = x + t * D, *from = dy + t * D;
            float *to = dx + t * D;
            const dq_vec scale = dq_vec_set(r[t]);
            const dq_vec pull = dq_vec_set(dq_dot(w, row, from, D) / (float)D * r[t] * r[t]);
            for (int64_t at = 0; at < D; at += W) {
                const int lanes = dq_lanes(D, at);
                dq_vec along = dq_vec_mul(dq_get(w + at, lanes), dq_get(from + at, lanes));
                dq_vec turned = dq_vec_fnma(dq_get(row + at, lanes), pull, along);
                dq_put(to + at, dq_vec_fma(scale, turned, dq_get(to + at, lanes)), lanes);
            }
        }
        if (dw) {
#pragma omp for schedule(static)
            for (int64_t first = 0; first < D; first += COLUMNS)
                weight_gradient(dw, dy, x, r, T, D, first, D - first < COLUMNS ? (int)(D - first) : COLUMNS);
        }
    }
}

/* Long arrays are handed to threads in pieces of this many floats, a multiple of every vector width. */
enum { PIECE = 4096 };

static int64_t piece_of(int64_t n, int64_t start) {
    return n - start < PIECE ? n - start : PIECE;
}

DQ_INLINE dq_vec sigmoid(dq_vec e) { /* of x, given e = exp(-x) */
    return dq_vec_div(dq_vec_set(1), dq_vec_add(dq_vec_set(1), e));
}

DQ_INLINE dq_vec exp_of_minus(dq_vec x) {
    return dq_vec_exp(dq_vec_sub(dq_vec_zero(), x));
}

void NAME(swiglu_forward)(const dq_compute *compute, float *y, const float *gate, const float *up, int64_t n) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t start = 0; start < n; start += PIECE) {
        const float *g = gate + start, *u = up + start;
        float *to = y + start;
        const int64_t count = piece_of(n, start);
        for (int64_t at = 0; at < count; at += W) {
            const int lanes = dq_lanes(count, at);
            dq_vec x = dq_get(g + at, lanes);
            dq_vec silu = dq_vec_mul(x, sigmoid(exp_of_minus(x)));
            dq_put(to + at, dq_vec_mul(silu, dq_get(u + at, lanes)), lanes);
        }
    }
}

typedef struct glu_gradients {
    dq_vec gate, up;
} glu_gradients;

DQ_INLINE glu_gradients glu_backward(dq_vec dy, dq_vec gate, dq_vec up) {
    dq_vec e = exp_of_minus(gate), sigma = sigmoid(e);
    dq_vec rest = dq_vec_mul(dq_vec_min(dq_vec_set(3e38f), e), sigma); /* 1 - sigma; 0 where sigma is */
    dq_vec slope = dq_vec_mul(sigma, dq_vec_fma(gate, rest, dq_vec_set(1)));
    return (glu_gradients){dq_vec_mul(dq_vec_mul(dy, up), slope), dq_vec_mul(dy, dq_vec_mul(gate, sigma))};
}

static void glu_backward_plain(const dq_compute *compute, float *dgate, float *dup, const float *dy, const float *gate,
                               const float *up, int64_t n) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t start = 0; start < n; start += PIECE) {
        const int64_t end = start + piece_of(n, start);
        for (int64_t at = start; at < end; at += W) {
            const int lanes = dq_lanes(end, at);
            glu_gradients d = glu_backward(dq_get(dy + at, lanes), dq_get(gate + at, lanes), dq_get(up + at, lanes));
            dq_put(dup + at, d.up, lanes);
            dq_put(dgate + at, d.gate, lanes);
        }
    }
}

static void glu_backward_dots(const dq_compute *compute, float *dgate, float *dup, const float *dy, const float *gate,
                              const float *up, int64_t T, int64_t D, float *gate_dots, float *up_dots) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t first = 0; first < D; first += COLUMNS) {
        const int width = D - first < COLUMNS ? (int)(D - first) : COLUMNS;
        column_sums of_gate = {{0}, {0}}, of_up = {{0}, {0}};
        for (int64_t t = 0; t < T; t++) {
            if (t % SOME == 0) {
                columns_gather(&of_gate);
                columns_gather(&of_up);
            }
            for (int at = 0; at < width; at += W) {
                const int lanes = dq_lanes(width, at);
                const int64_t here = t * D + first + at;
                dq_vec g = dq_get(gate + here, lanes), u = dq_get(up + here, lanes);
                glu_gradients d = glu_backward(dq_get(dy + here, lanes), g, u);
                column_add(&of_gate, at, d.gate, g);
                column_add(&of_up, at, d.up, u);
                dq_put(dup + here, d.up, lanes);
                dq_put(dgate + here, d.gate, lanes);
            }
        }
        columns_end(&of_gate, gate_dots + first, width);
        columns_end(&of_up, up_dots + first, width);
    }
}

void NAME(swiglu_backward)(const dq_compute *compute, float *dgate, float *dup, const float *dy, const float *gate,
                           const float *up, int64_t T, int64_t D, float *gate_dots, float *up_dots) {
    if (gate_dots)
        glu_backward_dots(compute, dgate, dup, dy, gate, up, T, D, gate_dots, up_dots);
    else
        glu_backward_plain(compute, dgate, dup, dy, gate, up, T * D);
}

void NAME(column_dots)(const dq_compute *compute, float *dots, const float *dy, const float *y, const float *less,
                       const float *bias, int64_t T, int64_t D) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t first = 0; first < D; first += COLUMNS) {
        const int width = D - first < COLUMNS ? (int)(D - first) : COLUMNS;
        column_sums sums = {{0}, {0}};
        for (int64_t t = 0; t < T; t++) {
            if (t % SOME == 0) columns_gather(&sums);
            for (int at = 0; at < width; at += W) {
                const int lanes = dq_lanes(width, at);
                const int64_t here = t * D + first + at;
                dq_vec value = y ? dq_get(y + here, lanes) : dq_vec_zero();
                if (less) value = dq_vec_sub(value, dq_get(less + here, lanes));
                if (bias) value = dq_vec_sub(value, dq_get(bias + first + at, lanes));
                column_add(&sums, at, dq_get(dy + here, lanes), value);
            }
        }
        columns_end(&sums, dots + first, width);
    }
}

/* A NaN may be lost to `largest`, never to the sum. */
static float largest(const float *x, int64_t n) {
    dq_vec top = dq_vec_set(x[0]);
    int64_t i = 0;
    for (; i + W <= n; i += W) top = dq_vec_max(dq_vec_load(x + i), top);
    float most = dq_vec_top(top);
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* Sum of exp(x_i - top): up to 32 vectors in f32, those in double. With keep, x becomes exp(x - top). */
DQ_INLINE double sum_exp(float *x, int64_t n, float top, bool keep) {
    double sum = 0;
    const dq_vec shift = dq_vec_set(top);
    int64_t i = 0;
    while (i + W <= n) {
        int64_t end = n - i < 32 * W ? n - i : 32 * W;
        dq_vec some = dq_vec_zero();
        for (end = i + end / W * W; i < end; i += W) {
            dq_vec e = dq_vec_exp(dq_vec_sub(dq_vec_load(x + i), shift));
            if (keep) dq_vec_store(x + i, e);
            some = dq_vec_add(some, e);
        }
        sum += dq_vec_total(some);
    }
    if (i < n) {
        float rest[W];
        dq_vec e = dq_vec_exp(dq_vec_sub(dq_vec_load_part(x + i, (int)(n - i)), shift));
        dq_vec_store(rest, e);
        if (keep) dq_vec_store_part(x + i, e, (int)(n - i));
        for (int64_t lane = 0; lane < n - i; lane++) sum += rest[lane];
    }
    return sum;
}

void NAME(cross_entropy)(const dq_compute *compute, float *logits, const int32_t *label, double *loss, int64_t n,
                         int64_t V, float scale, bool gradient) {
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t i = 0; i < n; i++) {
        float *x = logits + i * V, top = largest(x, V), target = x[label[i]];
        double sum = gradient ? sum_exp(x, V, top, true) : sum_exp(x, V, top, false);
        loss[i] = (double)top - target + log(sum);
        if (gradient) {
            const dq_vec factor = dq_vec_set((float)(scale / sum));
            for (int64_t at = 0; at < V; at += W) {
                const int lanes = dq_lanes(V, at);
                dq_put(x + at, dq_vec_mul(dq_get(x + at, lanes), factor), lanes);
            }
            x[label[i]] -= scale;
        }
    }
}

/* cos and sin of a token's angles are made once, for up to PAIRS pairs at a time, and used for all its heads. */
enum { PAIRS = 128 };

static void rotate(float *head, const float *cosine, const float *sine, int pairs, int half) {
    for (int64_t at = 0; at < pairs; at += W) {
        const int lanes = dq_lanes(pairs, at);
        dq_vec first = dq_get(head + at, lanes), second = dq_get(head + half + at, lanes);
        dq_vec c = dq_get(cosine + at, lanes), s = dq_get(sine + at, lanes);
        dq_put(head + at, dq_vec_fnma(second, s, dq_vec_mul(first, c)), lanes);
        dq_put(head + half + at, dq_vec_fma(first, s, dq_vec_mul(second, c)), lanes);
    }
}

void NAME(rope)(const dq_compute *compute, float *x, const int32_t *position, const float *inv_freq, int64_t T,
                int heads, int head_width, bool inverse) {
    int half = head_width / 2;
    const dq_vec turn = dq_vec_set(inverse ? -1 : 1);
#pragma omp parallel for schedule(static) num_threads(compute->threads)
    for (int64_t t = 0; t < T; t++)
        for (int start = 0; start < half; start += PAIRS) {
            int pairs = half - start < PAIRS ? half - start : PAIRS;
            float cosine[PAIRS], sine[PAIRS];
            const dq_vec place = dq_vec_set((float)position[t]);
            for (int64_t at = 0; at < pairs; at += W) {
                const int lanes = dq_lanes(pairs, at);
                dq_vec c, s, angle = dq_vec_mul(place, dq_get(inv_freq + start + at, lanes));
                dq_vec_cos_sin(angle, &c, &s);
                dq_put(cosine + at, c, lanes);
                dq_put(sine + at, dq_vec_mul(s, turn), lanes);
            }
            for (int h = 0; h < heads; h++) rotate(x + (t * heads + h) * head_width + start, cosine, sine, pairs, half);
        }
}
