/* The tiles of pair.h for AMX-BF16: registers 0 to 3 hold the sums, 4 and 5 tiles of A, 6 and 7 tiles of B. */
#ifndef DQ_KERNELS_BF16_TILES_AMX_H
#define DQ_KERNELS_BF16_TILES_AMX_H

#include <immintrin.h>

/* Palette 1: eight tiles of 16 rows of 64 bytes. */
typedef struct dq_tile_configuration_ {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} dq_tile_configuration_;

DQ_INLINE void dq_tiles_begin(void) {
    static const dq_tile_configuration_ all = {
        .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&all);
}
DQ_INLINE void dq_tiles_end(void) {
    _tile_release();
}

/* Lives in the registers alone. */
typedef struct dq_tiles {
    char unused;
} dq_tiles;

DQ_INLINE void dq_tiles_clear(dq_tiles *t, bool lower, bool right) {
    (void)t;
    _tile_zero(0);
    if (right) _tile_zero(1);
    if (lower) _tile_zero(2);
    if (lower && right) _tile_zero(3);
}

/* a: 32 rows of 32 values; b: 16 rows of 32 pairs. One sliver of B meets many of A: A passes by L1 (TILELOADDT1), so that B stays
 * there, since L2 alone cannot deliver a tile for each product. */
DQ_INLINE void dq_tiles_step(dq_tiles *t, const uint32_t *a, const uint32_t *b, bool lower, bool right) {
    (void)t;
    _tile_loadd(6, b, 128);
    _tile_stream_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (right) {
        _tile_loadd(7, b + 16, 128);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (lower) {
        _tile_stream_loadd(5, a + 16 * 16, 64);
        _tile_dpbf16ps(2, 5, 6);
    }
    if (lower && right) _tile_dpbf16ps(3, 5, 7);
}

DQ_INLINE void dq_tiles_store(dq_tiles *t, float *to, int64_t to_row, bool lower, bool right) {
    (void)t;
    const int64_t stride = to_row * (int64_t)sizeof *to;
    _tile_stored(0, to, stride);
    if (right) _tile_stored(1, to + 16, stride);
    if (lower) _tile_stored(2, to + 16 * to_row, stride);
    if (lower && right) _tile_stored(3, to + 16 * to_row + 16, stride);
}

#endif
