/* Packed weights, plainly: a piece of a row is decoded, then multiplied and summed in double. */
#include "kernels/variant.h"

#include <string.h>

#include "base/half.h"
#include "kernels/rounded.h"

DQ_VARIANT_DECLARE(c);

enum { PIECE = 512 }; /* columns decoded at once: whole blocks, and whole bytes of codes */

static uint16_t half_at(const uint8_t *bytes) {
    uint16_t h;
    memcpy(&h, bytes, sizeof h);
    return h;
}

static float scale_at(const dq_coded *w, const void *scales, int64_t at) {
    const uint8_t *bytes = scales;
    float x;
    switch (w->scale_type) {
    case DQ_SCALE_F16:
        return dq_f16_to_f32(half_at(bytes + 2 * at));
    case DQ_SCALE_BF16:
        return dq_bf16_to_f32(half_at(bytes + 2 * at));
    default:
        memcpy(&x, bytes + 4 * at, sizeof x);
        return x;
    }
}

/* Code j of a stream. */
static unsigned code_at(const uint8_t *codes, int64_t j, int bits) {
    const uint8_t *at = codes + j * bits / 8;
    const unsigned shift = (unsigned)(j * bits % 8);
    unsigned u = at[0];
    if (shift + (unsigned)bits > 8) u |= (unsigned)at[1] << 8;
    return u >> shift & ((1u << bits) - 1);
}

static void decode_stream(const dq_coded *w, int64_t place, int64_t first, int64_t n, float *dst) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    float scale = 0, offset = 0;
    for (int64_t j = first; j < first + n; j++) {
        if (j == first || j % w->group == 0) {
            int64_t at = place * (w->in / w->group) + j / w->group;
            scale = scale_at(w, w->scales, at);
            offset = scale_at(w, w->offsets, at);
        }
        float product = scale * (float)code_at(codes, j, w->bits);
        *dst++ = product + offset;
    }
}

static void decode_block(dq_coding coding, const uint8_t *block, float *dst) {
    const bool five = coding == DQ_CODING_Q5_0 || coding == DQ_CODING_Q5_1;
    const bool minimum = coding == DQ_CODING_Q4_1 || coding == DQ_CODING_Q5_1;
    const uint8_t *high = block + (minimum ? 4 : 2), *nibbles = high + (five ? 4 : 0);
    const float d = dq_f16_to_f32(half_at(block)), m = minimum ? dq_f16_to_f32(half_at(block + 2)) : 0;
    for (int j = 0; j < DQ_CODED_BLOCK; j++) {
        if (coding == DQ_CODING_Q8_0) {
            dst[j] = d * (float)(int8_t)block[2 + j];
            continue;
        }
        int u = nibbles[j % 16] >> 4 * (j / 16) & 15;
        if (five) u |= (high[j / 8] >> j % 8 & 1) << 4;
        float product = d * (float)(minimum ? u : u - (five ? 16 : 8));
        dst[j] = minimum ? product + m : product;
    }
}

/* Columns [first, first + n) of the row at a place; first is a multiple of PIECE. */
static void decode(const dq_coded *w, int64_t place, int64_t first, int64_t n, float *dst) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    const int size = dq_coded_block_bytes(w->coding);
    switch (w->coding) {
    case DQ_CODING_NONE:
        break;
    case DQ_CODING_BITS:
        decode_stream(w, place, first, n, dst);
        break;
    case DQ_CODING_F16:
        for (int64_t j = 0; j < n; j++) dst[j] = dq_f16_to_f32(half_at(codes + 2 * (first + j)));
        break;
    case DQ_CODING_BF16:
        for (int64_t j = 0; j < n; j++) dst[j] = dq_bf16_to_f32(half_at(codes + 2 * (first + j)));
        break;
    default:
        for (int64_t j = 0; j < n; j += DQ_CODED_BLOCK)
            decode_block(w->coding, codes + (first + j) / DQ_CODED_BLOCK * size, dst + j);
    }
}

void dq_coded_rows_c(const dq_coded *w, int64_t first, int64_t count, float *dst) {
    for (int64_t row = first; row < first + count; row++, dst += w->in)
        decode(w, dq_coded_place(w, row), 0, w->in, dst);
}

/* n values of x, at most PIECE, from a border of its blocks. */
static const float *rounded(const float *x, int64_t n, float *to) {
    for (int64_t first = 0; first < n; first += DQ_ROUNDED_BLOCK) {
        const int some = n - first < DQ_ROUNDED_BLOCK ? (int)(n - first) : DQ_ROUNDED_BLOCK;
        int8_t q[DQ_ROUNDED_BLOCK];
        const float d = dq_round_block(x + first, some, q);
        for (int j = 0; j < some; j++) to[first + j] = d * (float)q[j];
    }
    return to;
}

static void multiply_row(const dq_coded_product *p, int i, int64_t row) {
    const dq_coded *w = p->weight[i];
    const int64_t place = dq_coded_place(w, row);
    for (int64_t t = 0; t < p->tokens; t++) {
        float *y = p->y[i] + t * w->out + row, piece[PIECE];
        double sum = p->accumulate ? *y : 0;
        for (int64_t first = 0; first < w->in; first += PIECE) {
            int64_t n = w->in - first < PIECE ? w->in - first : PIECE;
            const float *x = p->x + t * w->in + first;
            float x_round[PIECE];
            decode(w, place, first, n, piece);
            if (p->int8 && w->in <= DQ_ROUNDED_WIDEST) x = rounded(x, n, x_round);
            for (int64_t j = 0; j < n; j++) sum += (double)x[j] * piece[j];
        }
        *y = (float)sum;
    }
}

void dq_coded_multiply_c(const dq_compute *compute, const dq_coded_product *p) {
#pragma omp parallel num_threads(compute->threads)
    for (int i = 0; i < p->count; i++) {
#pragma omp for schedule(static) nowait
        for (int64_t row = 0; row < p->weight[i]->out; row++) multiply_row(p, i, row);
    }
}

void dq_tables_multiply_c(const dq_compute *compute, const dq_coded_product *p) {
    dq_coded_multiply_c(compute, p);
}
