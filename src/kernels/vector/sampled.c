/* Elements of a^T b: some tokens of a and b at a time are turned, so that an element is a dot product of what lies side by side. */
#include "kernels/vector/vec.h"

#include <omp.h>

#include "kernels/vector/array.h"
#include "kernels/workspace.h"

enum {
    TOGETHER = 64, /* lanes of an operand that a task turns: whole cache lines of every token */
    TOKENS = DQ_SAMPLED_TOKENS
};
_Static_assert(TOGETHER *TOKENS * 4 <= DQ_WORKSPACE_THREAD, "a task's rows fit into the thread's workspace");

/* Equal pieces of at most TOKENS: whole vectors. */
static int64_t piece_of(int64_t T) {
    const int64_t pieces = (T + TOKENS - 1) / TOKENS, each = (T + pieces - 1) / pieces;
    return (each + DQ_VEC_WIDTH - 1) / DQ_VEC_WIDTH * DQ_VEC_WIDTH;
}

/* out [lanes, piece]: lanes from x on of `count` tokens, 0 behind them. */
static void turn(const float *x, int64_t width, int64_t lanes, int64_t count, int64_t piece, float *out) {
    for (int64_t t = 0; t < piece; t += DQ_VEC_WIDTH)
        for (int64_t lane = 0; lane < lanes; lane += DQ_VEC_WIDTH) {
            const int some = dq_lanes(lanes, lane);
            dq_vec square[DQ_VEC_WIDTH];
            for (int i = 0; i < DQ_VEC_WIDTH; i++)
                square[i] = t + i < count ? dq_get(x + (t + i) * width + lane, some) : dq_vec_zero();
            dq_vec_transpose(square);
            for (int i = 0; i < some; i++) dq_vec_store(out + (lane + i) * piece + t, square[i]);
        }
}

/* What the tokens of one piece add to the elements of rows [first, end). */
static void rows(const dq_sampled *p, int64_t first, int64_t end, bool begin, int64_t piece, const float *a) {
    for (int64_t i = first; i < end; i++, a += piece)
        for (int32_t e = p->first[i]; e < p->first[i + 1]; e++) {
            const float some = dq_dot(a, p->room + p->column[e] * piece, NULL, piece);
            p->value[e] = begin ? some : p->value[e] + some;
        }
}

void NAME(sampled_multiply)(const dq_compute *compute, const dq_sampled *p) {
    const int64_t piece = p->T > 0 ? piece_of(p->T) : 0;
#pragma omp parallel num_threads(compute->threads)
    {
        if (p->T <= 0) {
#pragma omp for schedule(static)
            for (int64_t e = 0; e < p->first[p->m]; e++) p->value[e] = 0;
        }
        float *space = dq_workspace_thread(compute, omp_get_thread_num());
        for (int64_t start = 0; start < p->T; start += piece) {
            const int64_t count = p->T - start < piece ? p->T - start : piece;
#pragma omp for schedule(static)
            for (int64_t j = 0; j < p->n; j += TOGETHER)
                turn(p->b + start * p->n + j, p->n, p->n - j < TOGETHER ? p->n - j : TOGETHER, count, piece,
                     p->room + j * piece);
#pragma omp for schedule(dynamic)
            for (int64_t i = 0; i < p->m; i += TOGETHER) {
                const int64_t end = p->m - i < TOGETHER ? p->m : i + TOGETHER;
                if (p->first[i] == p->first[end]) continue;
                turn(p->a + start * p->m + i, p->m, end - i, count, piece, space);
                rows(p, i, end, start == 0, piece, space);
            }
        }
    }
}
