#include "export/piece.h"

#include "base/half.h"
#include "formats/blocks.h"

#include <omp.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20 };

/* ---- Shapes -------------------------------------------------------------------------------------------------------- */

static int64_t piece_rows(const dq_piece *piece) {
    return piece->vector ? piece->vector->n : piece->matrix->weight->out;
}

/* Elements of a row. A vector has rows of one, so that a bias is permuted as the rows it belongs to. */
static int64_t piece_columns(const dq_piece *piece) {
    switch (piece->form) {
    case DQ_FORM_CODES:
        return dq_affine_row_words(piece->matrix->weight->in, piece->matrix->bits);
    case DQ_FORM_SCALES:
    case DQ_FORM_OFFSETS:
        return piece->matrix->weight->in / piece->group;
    case DQ_FORM_VECTOR:
        return 1;
    default:
        return piece->matrix->weight->in;
    }
}

int dq_piece_shape(const dq_piece *piece, int64_t shape[2]) {
    shape[0] = piece_rows(piece);
    shape[1] = piece_columns(piece);
    return piece->vector ? 1 : 2;
}

static size_t row_bytes(const dq_piece *piece) {
    const dq_dtype_traits *type = dq_dtype_info(piece->dtype);
    return (size_t)(piece_columns(piece) / type->block_elements) * (size_t)type->block_bytes;
}

uint64_t dq_piece_bytes(const dq_piece *piece) {
    return (uint64_t)piece_rows(piece) * row_bytes(piece);
}

/* ---- One row --------------------------------------------------------------------------------------------------------- */

/* What one thread works with; each array as wide as a row. */
typedef struct dq_row_scratch {
    float *values, *S, *O;
    uint8_t *codes;
} dq_row_scratch;

static void put_values(void *dst, dq_dtype dtype, const float *values, int64_t n) {
    uint16_t *half = dst;
    switch (dtype) {
    case DQ_F16:
        for (int64_t j = 0; j < n; j++) half[j] = dq_f32_to_f16(values[j]);
        break;
    case DQ_BF16:
        for (int64_t j = 0; j < n; j++) half[j] = dq_f32_to_bf16(values[j]);
        break;
    default:
        memcpy(dst, values, (size_t)n * sizeof *values);
    }
}

/* Each S (or O) of the matrix as often as the file's smaller groups need it. */
static void put_grid(const dq_piece *piece, void *dst, dq_row_scratch *scratch, int64_t row) {
    int64_t groups = piece->matrix->weight->in / piece->matrix->group, times = piece->matrix->group / piece->group;
    dq_matrix_row(piece->matrix, row, NULL, scratch->S, scratch->O, scratch->values);
    const float *grid = piece->form == DQ_FORM_SCALES ? scratch->S : scratch->O;
    for (int64_t k = 0; k < groups; k++)
        for (int64_t t = 0; t < times; t++) scratch->values[k * times + t] = grid[k];
    put_values(dst, piece->dtype, scratch->values, groups * times);
}

static void pack_nibbles(uint8_t *packed, const uint8_t *codes) {
    for (int j = 0; j < DQ_BLOCK / 2; j++) packed[j] = (uint8_t)((codes[j] & 15) | (codes[j + 16] & 15) << 4);
}

static uint32_t fifth_bits(const uint8_t *codes) {
    uint32_t high = 0;
    for (int j = 0; j < DQ_BLOCK; j++) high |= (uint32_t)(codes[j] >> 4 & 1) << j;
    return high;
}

/* 32 codes as one block. Whether the block means the same is for dq_piece_holds to say. */
static void put_block(unsigned char *dst, dq_dtype dtype, const uint8_t *codes, float S, float O) {
    const uint16_t d = dq_f32_to_f16(S), m = dq_f32_to_f16(O);
    switch (dtype) {
    case DQ_Q4_0: {
        dq_block_q4_0 b = {.d = d};
        pack_nibbles(b.codes, codes);
        memcpy(dst, &b, sizeof b);
        break;
    }
    case DQ_Q4_1: {
        dq_block_q4_1 b = {.d = d, .m = m};
        pack_nibbles(b.codes, codes);
        memcpy(dst, &b, sizeof b);
        break;
    }
    case DQ_Q5_1: {
        dq_block_q5_1 b = {.d = d, .m = m, .high = fifth_bits(codes)};
        pack_nibbles(b.codes, codes);
        memcpy(dst, &b, sizeof b);
        break;
    }
    default: { /* DQ_Q8_0 */
        dq_block_q8_0 b = {.d = d};
        for (int j = 0; j < DQ_BLOCK; j++) b.codes[j] = (int8_t)(codes[j] - 128);
        memcpy(dst, &b, sizeof b);
    }
    }
}

static void put_row(const dq_piece *piece, int64_t row, unsigned char *dst, dq_row_scratch *scratch) {
    const dq_matrix *matrix = piece->matrix;
    switch (piece->form) {
    case DQ_FORM_CODES:
        dq_matrix_row(matrix, row, scratch->codes, NULL, NULL, scratch->values);
        dq_pack_codes(scratch->codes, matrix->weight->in, matrix->bits, (uint32_t *)(void *)dst);
        break;
    case DQ_FORM_SCALES:
    case DQ_FORM_OFFSETS:
        put_grid(piece, dst, scratch, row);
        break;
    case DQ_FORM_BLOCKS:
        dq_matrix_row(matrix, row, scratch->codes, scratch->S, scratch->O, scratch->values);
        for (int64_t j = 0; j < matrix->weight->in; j += DQ_BLOCK, dst += dq_dtype_info(piece->dtype)->block_bytes)
            put_block(dst, piece->dtype, scratch->codes + j, scratch->S[j / matrix->group],
                      scratch->O[j / matrix->group]);
        break;
    case DQ_FORM_VALUES:
        dq_weight_rows(matrix->weight, row, 1, scratch->values);
        put_values(dst, piece->dtype, scratch->values, matrix->weight->in);
        break;
    case DQ_FORM_BYTES:
        memcpy(dst, dq_matrix_row_bytes(matrix, row), row_bytes(piece));
        break;
    case DQ_FORM_VECTOR:
        put_values(dst, piece->dtype, piece->vector->values + row, 1);
        break;
    }
}

/* ---- All rows -------------------------------------------------------------------------------------------------------- */

typedef struct dq_row_maker {
    const dq_piece *piece;
    int threads;
    int64_t rows, chunk;     /* of the piece; at a time */
    unsigned char *bytes;    /* chunk rows */
    dq_row_scratch *scratch; /* one per thread */
    dq_arena arena;
} dq_row_maker;

static void lay_out(dq_row_maker *maker) {
    const dq_weight *weight = maker->piece->matrix ? maker->piece->matrix->weight : NULL;
    size_t in = weight ? (size_t)weight->in : 1, threads = (size_t)maker->threads;
    dq_arena *arena = &maker->arena;
    maker->bytes = dq_arena_take(arena, (size_t)maker->chunk, row_bytes(maker->piece));
    maker->scratch = dq_arena_take(arena, threads, sizeof *maker->scratch);
    for (size_t t = 0; t < threads; t++) {
        dq_row_scratch unused, *scratch = maker->scratch ? &maker->scratch[t] : &unused;
        scratch->values = dq_arena_take(arena, in, sizeof(float));
        scratch->S = dq_arena_take(arena, in, sizeof(float));
        scratch->O = dq_arena_take(arena, in, sizeof(float));
        scratch->codes = dq_arena_take(arena, in, 1);
    }
}

static dlqat_status maker_open(dq_row_maker *maker, const dq_piece *piece, int threads, dlqat_error *error) {
    *maker = (dq_row_maker){.piece = piece, .threads = threads, .rows = piece_rows(piece)};
    size_t size = row_bytes(piece);
    maker->chunk = size < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / (size ? size : 1)) : 1;
    if (maker->chunk < threads) maker->chunk = threads;
    if (maker->chunk > maker->rows) maker->chunk = maker->rows;
    lay_out(maker);
    DQ_TRY(dq_arena_reserve(&maker->arena, "rows to be written", error));
    lay_out(maker);
    return DLQAT_OK;
}

/* Rows [first, first + count) in the file's order. */
static void make_rows(dq_row_maker *maker, int64_t first, int64_t count) {
    const dq_piece *piece = maker->piece;
    size_t size = row_bytes(piece);
#pragma omp parallel for num_threads(maker->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        int64_t row = first + i;
        if (piece->permuted_heads) row = dq_llama_row_inverse(maker->rows, piece->permuted_heads, row);
        put_row(piece, row, maker->bytes + (size_t)i * size, &maker->scratch[omp_get_thread_num()]);
    }
}

dlqat_status dq_piece_write(const dq_piece *piece, int threads, dq_put_fn *put, void *writer, dlqat_error *error) {
    dq_row_maker maker;
    DQ_TRY(maker_open(&maker, piece, threads, error));
    dlqat_status status = DLQAT_OK;
    for (int64_t first = 0; first < maker.rows && status == DLQAT_OK; first += maker.chunk) {
        int64_t count = maker.rows - first < maker.chunk ? maker.rows - first : maker.chunk;
        make_rows(&maker, first, count);
        status = put(writer, maker.bytes, (size_t)count * row_bytes(piece), error);
    }
    dq_arena_release(&maker.arena);
    return status;
}

dlqat_status dq_piece_holds(const dq_piece *piece, int threads, bool *holds, dlqat_error *error) {
    dq_row_maker maker;
    DQ_TRY(maker_open(&maker, piece, threads, error));
    const dq_weight *weight = piece->matrix->weight;
    const dq_dtype_traits *type = dq_dtype_info(piece->dtype);
    int differs = 0;
    for (int64_t first = 0; first < maker.rows && !differs; first += maker.chunk) {
        int64_t count = maker.rows - first < maker.chunk ? maker.rows - first : maker.chunk;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(| : differs)
        for (int64_t i = 0; i < count; i++) {
            dq_row_scratch *scratch = &maker.scratch[omp_get_thread_num()];
            unsigned char *blocks = maker.bytes + (size_t)i * row_bytes(piece);
            put_row(piece, first + i, blocks, scratch);
            type->to_f32(blocks, scratch->S, weight->in);
            dq_weight_rows(weight, first + i, 1, scratch->values);
            differs |= memcmp(scratch->S, scratch->values, (size_t)weight->in * sizeof(float)) != 0;
        }
    }
    *holds = !differs;
    dq_arena_release(&maker.arena);
    return DLQAT_OK;
}
