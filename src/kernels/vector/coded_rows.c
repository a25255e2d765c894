/* Rows of packed weights as f32, to the bit as the reference makes them. */
#include <string.h>

#include "kernels/vector/array.h"
#include "kernels/vector/coded_forms.h"

enum { W = DQ_VEC_WIDTH };

/* The codes of vector j of a stream as floats; available: bytes that may be read from there. */
DQ_INLINE dq_vec codes_at(const uint8_t *codes, int64_t available, int bits) {
    uint8_t last[DQ_STREAM_REACH] = {0};
    if (available < DQ_STREAM_REACH) codes = memcpy(last, codes, (size_t)available);
    return dq_vec_of_ints(dq_ints_and(dq_ints_stream(codes, bits), (1 << bits) - 1));
}

/* n columns of a row from column `first` on, which stands on a byte border. */
DQ_INLINE void decode_bits(int bits, const dq_coded *w, const uint8_t *codes, int64_t place, int64_t first, int64_t n,
                           float *dst) {
    const int64_t bytes = W * bits / 8, begun = first / w->group; /* divisions are slow: none for every group */
    int64_t available = (w->in * bits + 7) / 8 - first / 8 * bits;
    codes += first / 8 * bits;
    /* Groups of whole vectors are scaled as they are unpacked; of others a vector may hold the codes of two. */
    const bool whole = w->group % W == 0;
    for (int64_t j = 0; !whole && j < n; j += W)
        dq_put(dst + j, codes_at(codes + j / W * bytes, available - j / W * bytes, bits), dq_lanes(n, j));
    int64_t end = (begun + 1) * w->group - first, at = place * (w->in / w->group) + begun;
    for (int64_t j = 0; j < n; end += w->group, at++) {
        const int64_t stop = end < n ? end : n;
        const dq_run g = dq_run_of_stream(w, at);
        for (; whole && j < stop; j += W, codes += bytes, available -= bytes)
            dq_vec_store(dst + j, dq_vec_add(dq_vec_mul(g.scale, codes_at(codes, available, bits)), g.offset));
        for (; j < stop; j += W) {
            const int lanes = dq_lanes(stop, j);
            dq_put(dst + j, dq_vec_add(dq_vec_mul(g.scale, dq_get(dst + j, lanes)), g.offset), lanes);
        }
        j = stop;
    }
}

static void decode_stream(const dq_coded *w, const uint8_t *codes, int64_t place, int64_t first, int64_t n,
                          float *dst) {
    switch (w->bits) {
    case 2:
        decode_bits(2, w, codes, place, first, n, dst);
        break;
    case 3:
        decode_bits(3, w, codes, place, first, n, dst);
        break;
    case 4:
        decode_bits(4, w, codes, place, first, n, dst);
        break;
    case 5:
        decode_bits(5, w, codes, place, first, n, dst);
        break;
    case 6:
        decode_bits(6, w, codes, place, first, n, dst);
        break;
    case 7:
        decode_bits(7, w, codes, place, first, n, dst);
        break;
    default:
        decode_bits(8, w, codes, place, first, n, dst);
    }
}

/* As the reference rounds it: the sign of a zero is d's where there is no minimum. */
DQ_INLINE void decode_blocks(dq_form f, const uint8_t *block, int64_t n, float *dst) {
    for (int64_t j = 0; j < n; j += DQ_CODED_BLOCK, block += dq_coded_block_bytes(f.coding)) {
        const dq_run g = dq_run_of_block(f, block);
        for (int v = 0; v < DQ_CODED_BLOCK / W; v++) {
            dq_vec u = dq_vec_of_ints(dq_block_codes(f, block, v, true));
            if (f.coding == DQ_CODING_Q4_0) u = dq_vec_sub(u, dq_vec_set(8));
            if (f.coding == DQ_CODING_Q5_0) u = dq_vec_sub(u, dq_vec_set(16));
            dq_vec value = dq_vec_mul(g.scale, u);
            dq_vec_store(dst + j + v * W, dq_form_has_minimum(f) ? dq_vec_add(value, g.offset) : value);
        }
    }
}

static void decode_numbers(dq_coding coding, const uint8_t *from, int64_t n, float *dst) {
    for (int64_t j = 0; j < n; j += W) {
        const int lanes = dq_lanes(n, j);
        uint8_t last[2 * W] = {0};
        const uint8_t *at = from + 2 * j;
        if (lanes < W) at = memcpy(last, at, (size_t)lanes * 2);
        dq_put(dst + j, coding == DQ_CODING_F16 ? dq_vec_load_f16(at) : dq_vec_load_bf16(at), lanes);
    }
}

void NAME(coded_decode)(const dq_coded *w, int64_t place, int64_t first, int64_t n, float *dst) {
    const uint8_t *codes = (const uint8_t *)w->codes + place * w->row_bytes;
    const uint8_t *block = codes + first / DQ_CODED_BLOCK * dq_coded_block_bytes(w->coding);
    switch (w->coding) {
    case DQ_CODING_NONE:
        break;
    case DQ_CODING_BITS:
        decode_stream(w, codes, place, first, n, dst);
        break;
    case DQ_CODING_Q4_0:
        decode_blocks((dq_form){.coding = DQ_CODING_Q4_0}, block, n, dst);
        break;
    case DQ_CODING_Q4_1:
        decode_blocks((dq_form){.coding = DQ_CODING_Q4_1}, block, n, dst);
        break;
    case DQ_CODING_Q5_0:
        decode_blocks((dq_form){.coding = DQ_CODING_Q5_0}, block, n, dst);
        break;
    case DQ_CODING_Q5_1:
        decode_blocks((dq_form){.coding = DQ_CODING_Q5_1}, block, n, dst);
        break;
    case DQ_CODING_Q8_0:
        decode_blocks((dq_form){.coding = DQ_CODING_Q8_0}, block, n, dst);
        break;
    case DQ_CODING_F16:
    case DQ_CODING_BF16:
        decode_numbers(w->coding, codes + 2 * first, n, dst);
        break;
    }
}

void NAME(coded_rows)(const dq_coded *w, int64_t first, int64_t count, float *dst) {
    for (int64_t row = first; row < first + count; row++, dst += w->in) {
        const int64_t place = dq_coded_place(w, row);
        for (int64_t j = 0; j < w->in; j += DQ_CODED_PIECE)
            NAME(coded_decode)(w, place, j, w->in - j < DQ_CODED_PIECE ? w->in - j : DQ_CODED_PIECE, dst + j);
    }
}
