/* Packed weights times more tokens than codes are unpacked for in registers: rows become f32 in L1 and are multiplied with all
 * tokens there, so that unpacking them is a small part. No operand is packed, as it would be for a matrix product, which pays only
 * for yet more tokens. Even and odd vectors of a row are summed apart and added at its end. */
#include "kernels/vector/array.h"
#include "kernels/vector/coded_task.h"
#include "kernels/workspace.h"

enum {
    W = DQ_VEC_WIDTH,
    PAIR = 2 * W,
    /* Their sums and what is multiplied fit the 16 or 32 registers. */
    ROWS = W == 16 ? 6 : 4,
    TOKENS = W == 16 ? 4 : 3,
    BUFFER_BYTES = 16 * 1024, /* of rows, if that is ROWS or more: half of L1 */
};

/* ROWS rows fit the workspace. */
bool NAME(coded_many_suits)(int64_t in) {
    return in <= DQ_WORKSPACE_THREAD / (int64_t)sizeof(float) / ROWS;
}

/* The even vectors first, then the odd ones: so few sums at a time leave room for more rows. */
DQ_INLINE void dot(int rows, int tokens, const float *w, const float *x, int64_t in, float y[ROWS][TOKENS]) {
    dq_vec total[ROWS][TOKENS];
    for (int v = 0; v < 2; v++) {
        dq_vec sum[ROWS][TOKENS];
        for (int r = 0; r < rows; r++)
            for (int t = 0; t < tokens; t++) sum[r][t] = dq_vec_zero();
        for (int64_t j = v * W; j < in; j += PAIR) {
            const int lanes = dq_lanes(in, j);
            dq_vec weights[ROWS];
            for (int r = 0; r < rows; r++) weights[r] = dq_get(w + r * in + j, lanes);
            for (int t = 0; t < tokens; t++) {
                const dq_vec value = dq_get(x + t * in + j, lanes);
                for (int r = 0; r < rows; r++) sum[r][t] = dq_vec_fma(weights[r], value, sum[r][t]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int t = 0; t < tokens; t++) total[r][t] = v ? dq_vec_add(total[r][t], sum[r][t]) : sum[r][t];
    }
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++) y[r][t] = dq_vec_total(total[r][t]);
}

static void dot_any(int rows, int tokens, const float *w, const float *x, int64_t in, float y[ROWS][TOKENS]) {
    if (rows == ROWS && tokens == TOKENS)
        dot(ROWS, TOKENS, w, x, in, y);
    else if (rows == ROWS && tokens == 3)
        dot(ROWS, 3, w, x, in, y);
    else if (rows == ROWS && tokens == 2)
        dot(ROWS, 2, w, x, in, y);
    else if (rows == ROWS)
        dot(ROWS, 1, w, x, in, y);
    else
        for (int r = 0; r < rows; r++)
            for (int t = 0; t < tokens; t++) {
                float one[ROWS][TOKENS];
                dot(1, 1, w + r * in, x + t * in, in, one);
                y[r][t] = one[0][0];
            }
}

void NAME(coded_many)(const dq_coded_product *p, int i, int64_t first, int64_t end, float *space) {
    const dq_coded *w = p->weight[i];
    const int64_t in = w->in;
    int64_t most = BUFFER_BYTES / (int64_t)sizeof(float) / in / ROWS * ROWS;
    if (most < ROWS) most = ROWS;
    for (int64_t row = first; row < end; row += most) {
        const int64_t made = end - row < most ? end - row : most;
        NAME(coded_rows)(w, row, made, space);
        for (int64_t token = 0; token < p->tokens; token += TOKENS) {
            const int tokens = p->tokens - token < TOKENS ? (int)(p->tokens - token) : TOKENS;
            for (int64_t r = 0; r < made; r += ROWS) {
                const int rows = made - r < ROWS ? (int)(made - r) : ROWS;
                float sum[ROWS][TOKENS];
                dot_any(rows, tokens, space + r * in, p->x + token * in, in, sum);
                for (int k = 0; k < rows; k++)
                    for (int t = 0; t < tokens; t++) {
                        float *y = p->y[i] + (token + t) * w->out + row + r + k;
                        *y = p->accumulate ? *y + sum[k][t] : sum[k][t];
                    }
            }
        }
    }
}
