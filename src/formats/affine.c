#include "formats/affine.h"

#include "base/half.h"

#include <string.h>

int64_t dq_affine_row_words(int64_t in, int bits) {
    return (in * bits + 31) / 32;
}

int64_t dq_affine_groups(const dq_affine *matrix) {
    return matrix->in / matrix->group;
}

/* Eight codes are `bits` whole bytes, and fit into one 64-bit word whatever bits is: one load or store serves eight. */
void dq_pack_codes(const uint8_t *codes, int64_t in, int bits, uint32_t *words) {
    unsigned char *bytes = (unsigned char *)words;
    memset(bytes, 0, (size_t)dq_affine_row_words(in, bits) * sizeof *words);
    for (int64_t j = 0; j < in; j += 8, bytes += bits) {
        const int n = in - j < 8 ? (int)(in - j) : 8;
        uint64_t word = 0;
        for (int i = 0; i < n; i++) word |= (uint64_t)codes[j + i] << (i * bits);
        memcpy(bytes, &word, (size_t)((n * bits + 7) / 8));
    }
}

/* n codes from a byte border; available: bytes that may be read from there. */
static void unpack(const unsigned char *bytes, int64_t available, int64_t n, int bits, uint8_t *restrict codes) {
    const uint64_t mask = (1u << bits) - 1;
    for (; n > 0; n -= 8, codes += 8, bytes += bits, available -= bits) {
        uint64_t word = 0;
        memcpy(&word, bytes, available >= 8 ? 8 : (size_t)available);
        if (n >= 8)
            for (int i = 0; i < 8; i++) codes[i] = (uint8_t)(word >> (i * bits) & mask);
        else
            for (int i = 0; i < n; i++) codes[i] = (uint8_t)(word >> (i * bits) & mask);
    }
}

void dq_unpack_codes(const uint32_t *words, int64_t in, int bits, uint8_t *codes) {
    unpack((const unsigned char *)words, dq_affine_row_words(in, bits) * (int64_t)sizeof *words, in, bits, codes);
}

void dq_affine_row_grid(const dq_affine *matrix, int64_t row, float *scales, float *offsets) {
    const dq_dtype_traits *type = dq_dtype_info(matrix->scale_dtype);
    const int64_t groups = dq_affine_groups(matrix), at = row * groups * type->block_bytes;
    type->to_f32((const unsigned char *)matrix->scales + at, scales, groups);
    type->to_f32((const unsigned char *)matrix->offsets + at, offsets, groups);
}

void dq_affine_decode(float *restrict out, const uint8_t *restrict codes, int64_t n, float scale, float offset) {
    for (int64_t j = 0; j < n; j++) out[j] = scale * (float)codes[j] + offset;
}

void dq_affine_rows(const dq_affine *matrix, int64_t first, int64_t count, float *out) {
    enum { PIECE = 512 }; /* a multiple of 8, so that every piece begins on a byte */
    const dq_dtype_traits *type = dq_dtype_info(matrix->scale_dtype);
    const int64_t row_bytes = dq_affine_row_words(matrix->in, matrix->bits) * (int64_t)sizeof *matrix->codes;
    const int64_t groups = dq_affine_groups(matrix);
    for (int64_t row = first; row < first + count; row++, out += matrix->in) {
        const unsigned char *bytes = (const unsigned char *)matrix->codes + row * row_bytes;
        const unsigned char *scales = (const unsigned char *)matrix->scales + row * groups * type->block_bytes;
        const unsigned char *offsets = (const unsigned char *)matrix->offsets + row * groups * type->block_bytes;
        for (int64_t begin = 0; begin < matrix->in; begin += PIECE) {
            const int64_t n = matrix->in - begin < PIECE ? matrix->in - begin : PIECE;
            const int64_t skipped = begin / 8 * matrix->bits;
            uint8_t codes[PIECE];
            unpack(bytes + skipped, row_bytes - skipped, n, matrix->bits, codes);
            /* The runs of equal S and O within the piece. */
            for (int64_t j = 0; j < n;) {
                const int64_t g = (begin + j) / matrix->group, end = (g + 1) * matrix->group - begin;
                const int64_t run = (end < n ? end : n) - j;
                float scale, offset;
                type->to_f32(scales + g * type->block_bytes, &scale, 1);
                type->to_f32(offsets + g * type->block_bytes, &offset, 1);
                dq_affine_decode(out + begin + j, codes + j, run, scale, offset);
                j += run;
            }
        }
    }
}
