/* Packed weights: sizes coding, bits, out, in, group, tokens, rows of a head. Variation % 2: accumulate; / 2 % 3: the type of
 * the scales; / 6: x is rounded to 8 bits. The weights' values are those of src/formats, which is tested against gguf-py and MLX. */
#include "operations.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/random.h"
#include "formats/affine.h"
#include "formats/blocks.h"

enum { CODING, BITS, OUT, IN, GROUP, TOKENS, HEAD_ROWS };
enum { X, CODES, SCALES, OFFSETS, Y, Y_HALF };

static int64_t row_bytes(const int64_t *size) {
    int block = dq_coded_block_bytes((dq_coding)size[CODING]);
    if (size[CODING] == DQ_CODING_BITS) return dq_affine_row_words(size[IN], (int)size[BITS]) * 4;
    return block ? size[IN] / DQ_CODED_BLOCK * block : 2 * size[IN];
}

static dq_scale_type scale_type(const trial *t) {
    return (dq_scale_type)(t->variation / 2 % 3);
}
static int scale_bytes(const trial *t) {
    return scale_type(t) == DQ_SCALE_F32 ? 4 : 2;
}
static bool int8(const trial *t) {
    return t->variation / 6;
}

static int64_t groups(const trial *t) {
    return t->size[CODING] == DQ_CODING_BITS ? t->size[OUT] * (t->size[IN] / t->size[GROUP]) : 0;
}

/* Bytes that end where the array ends, and so where the unreadable page begins. */
static uint8_t *last_bytes(float *x, int64_t floats, int64_t bytes) {
    return (uint8_t *)(x + floats) - bytes;
}

static int64_t floats_for(int64_t bytes) {
    return (bytes + 3) / 4;
}

static void put_half(uint8_t *to, float x) {
    uint16_t half = dq_f32_to_f16(x);
    memcpy(to, &half, sizeof half);
}

/* Random bytes are codes already; the f16 numbers among them are made finite, like scales, of either sign. */
static void fill_codes(trial *t) {
    const int64_t *size = t->size;
    slot *codes = &t->slots[CODES];
    int64_t bytes = size[OUT] * row_bytes(size), block = dq_coded_block_bytes((dq_coding)size[CODING]);
    uint8_t *to = last_bytes(codes->fresh, codes->n, bytes);
    for (int64_t i = 0; i < bytes; i++) to[i] = (uint8_t)trial_pick(t, i, 256);
    for (int64_t i = 0; block && i < bytes; i += block)
        for (int part = 0; part < (block == 20 || block == 24 ? 2 : 1); part++)
            put_half(to + i + 2 * part, (float)(trial_pick(t, i + 3 + part, 4001) - 2000) * 1e-3f);
    for (int64_t i = 0; !block && size[CODING] != DQ_CODING_BITS && i < bytes; i += 2) {
        float x = (float)(trial_pick(t, i, 4001) - 2000) * 1e-3f;
        uint16_t half = size[CODING] == DQ_CODING_F16 ? dq_f32_to_f16(x) : dq_f32_to_bf16(x);
        memcpy(to + i, &half, sizeof half);
    }
}

static void fill_scales(trial *t, int which) {
    slot *s = &t->slots[which];
    uint8_t *to = last_bytes(s->fresh, s->n, groups(t) * scale_bytes(t));
    for (int64_t i = 0; i < groups(t); i++) {
        float x = (float)(trial_pick(t, i + 1000 * which, 4001) - 2000) * 1.1e-3f;
        uint16_t half = scale_type(t) == DQ_SCALE_F16 ? dq_f32_to_f16(x) : dq_f32_to_bf16(x);
        memcpy(to + i * scale_bytes(t), scale_bytes(t) == 4 ? (const void *)&x : (const void *)&half,
               (size_t)scale_bytes(t));
    }
}

static void prepare_weight(trial *t) {
    const int64_t *size = t->size;
    slot_values(t, CODES, floats_for(size[OUT] * row_bytes(size)), 0, 1);
    slot_values(t, SCALES, floats_for(groups(t) * scale_bytes(t)), 0, 1);
    slot_values(t, OFFSETS, floats_for(groups(t) * scale_bytes(t)), 0, 1);
    fill_codes(t);
    fill_scales(t, SCALES);
    fill_scales(t, OFFSETS);
}

/* The weight in the trial's arrays, or as they were before the operation. */
static dq_coded weight_of(const trial *t, bool fresh) {
    const int64_t *size = t->size;
    const slot *codes = &t->slots[CODES], *scales = &t->slots[SCALES], *offsets = &t->slots[OFFSETS];
    return (dq_coded){
        .coding = (dq_coding)size[CODING],
        .out = size[OUT],
        .in = size[IN],
        .row_bytes = row_bytes(size),
        .codes = last_bytes(fresh ? codes->fresh : codes->x, codes->n, size[OUT] * row_bytes(size)),
        .bits = (int)size[BITS],
        .group = size[GROUP],
        .scale_type = scale_type(t),
        .scales = last_bytes(fresh ? scales->fresh : scales->x, scales->n, groups(t) * scale_bytes(t)),
        .offsets = last_bytes(fresh ? offsets->fresh : offsets->x, offsets->n, groups(t) * scale_bytes(t)),
        .head_rows = size[HEAD_ROWS],
    };
}

/* Where row i lies, written out apart from the kernels' own rule. */
static int64_t place_of(const int64_t *size, int64_t row) {
    if (!size[HEAD_ROWS]) return row;
    int64_t within = row % size[HEAD_ROWS], half = size[HEAD_ROWS] / 2;
    return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

static void true_row(const trial *t, int64_t row, float *dst) {
    static const dq_dtype types[] = {
        [DQ_CODING_Q4_0] = DQ_Q4_0, [DQ_CODING_Q4_1] = DQ_Q4_1, [DQ_CODING_Q5_0] = DQ_Q5_0, [DQ_CODING_Q5_1] = DQ_Q5_1,
        [DQ_CODING_Q8_0] = DQ_Q8_0, [DQ_CODING_F16] = DQ_F16,   [DQ_CODING_BF16] = DQ_BF16};
    static const dq_dtype scale_types[] = {[DQ_SCALE_F16] = DQ_F16, [DQ_SCALE_BF16] = DQ_BF16, [DQ_SCALE_F32] = DQ_F32};
    const dq_coded w = weight_of(t, true);
    const int64_t place = place_of(t->size, row);
    if (w.coding != DQ_CODING_BITS) {
        dq_dtype_info(types[w.coding])->to_f32((const uint8_t *)w.codes + place * w.row_bytes, dst, w.in);
        return;
    }
    const dq_affine matrix = {.out = w.out,
                              .in = w.in,
                              .group = w.group,
                              .bits = w.bits,
                              .scale_dtype = scale_types[w.scale_type],
                              .codes = w.codes,
                              .scales = w.scales,
                              .offsets = w.offsets};
    dq_affine_rows(&matrix, place, 1, dst);
}

/* What f32 scales may add: S u rounded, or not. */
static double product_size(const trial *t, int64_t row, int64_t j) {
    if (t->size[CODING] != DQ_CODING_BITS || scale_type(t) != DQ_SCALE_F32) return 0;
    const dq_coded w = weight_of(t, true);
    float scale;
    memcpy(&scale, (const uint8_t *)w.scales + 4 * (place_of(t->size, row) * (w.in / w.group) + j / w.group),
           sizeof scale);
    return fabs(scale) * (double)((1 << w.bits) - 1);
}

/* ---- Products ---- */

static void prepare(trial *t) {
    const int64_t *size = t->size;
    slot_values(t, X, size[TOKENS] * size[IN], -1, 1);
    slot_values(t, Y, size[TOKENS] * size[OUT], -1, 1);
    slot_values(t, Y_HALF, size[TOKENS] * (size[OUT] / 2), -1, 1);
    slot_result(t, Y);
    slot_result(t, Y_HALF);
    prepare_weight(t);
}

/* The weight, and at once a second one: the first half of its rows. */
static void run(trial *t, const dq_compute *compute) {
    dq_coded w = weight_of(t, false), half = w;
    half.out /= 2;
    if (half.head_rows && half.out % half.head_rows) half.head_rows = 0;
    dq_coded_product p = {.x = t->slots[X].x,
                          .tokens = t->size[TOKENS],
                          .count = 2,
                          .weight = {&w, &half},
                          .y = {t->slots[Y].x, t->slots[Y_HALF].x},
                          .accumulate = t->variation % 2,
                          .int8 = int8(t)};
    compute->kernels->coded_multiply(compute, &p);
}

/* Whether S and O may be factors of whole sums (coded.h). */
static bool may_be_apart(const trial *t) {
    return int8(t) || t->size[TOKENS] <= DQ_CODED_FEW;
}

/* S times the largest code of the run that column j belongs to, of the size of S u and of O - W: where they are factors of whole
 * sums, these round in units of both. */
static double code_size(const trial *t, int64_t row, int64_t j) {
    const dq_coded w = weight_of(t, true);
    const int64_t place = place_of(t->size, row), block = dq_coded_block_bytes(w.coding);
    float scale = 0;
    if (block) {
        uint16_t half;
        memcpy(&half, (const uint8_t *)w.codes + place * w.row_bytes + j / DQ_CODED_BLOCK * block, sizeof half);
        return fabs((double)dq_f16_to_f32(half)) * (w.coding == DQ_CODING_Q8_0 ? 128 : 31);
    }
    if (w.coding != DQ_CODING_BITS) return 0;
    const uint8_t *at = (const uint8_t *)w.scales + scale_bytes(t) * (place * (w.in / w.group) + j / w.group);
    uint16_t half;
    memcpy(&half, at, sizeof half);
    scale = w.scale_type == DQ_SCALE_F16 ? dq_f16_to_f32(half) : dq_bf16_to_f32(half);
    if (w.scale_type == DQ_SCALE_F32) memcpy(&scale, at, sizeof scale);
    return fabs((double)scale) * (1 << w.bits);
}

/* x as it is multiplied: rounded.h, written out once more. */
static float *x_of(const trial *t, double *relative) {
    const int64_t in = t->size[IN], n = t->size[TOKENS] * in;
    float *x = malloc((size_t)n * sizeof *x + 1);
    if (!x) abort();
    memcpy(x, t->slots[X].fresh, (size_t)n * sizeof *x);
    *relative = 0;
    if (!int8(t)) return x;
    *relative = 3 * UNIT; /* of d q, of its factor in the kernels, of W there */
    for (int64_t token = 0; token < n; token += in)
        for (int64_t first = 0; first < in; first += 32) {
            const int64_t end = first + 32 < in ? first + 32 : in;
            float most = 0;
            for (int64_t j = first; j < end; j++) most = fmaxf(most, fabsf(x[token + j]));
            const float factor = most > 0 ? 127 / most : 0, d = most / 127;
            for (int64_t j = first; j < end; j++) x[token + j] = d * rintf(x[token + j] * factor);
        }
    return x;
}

static void expect_rows(trial *t, int which, int64_t rows, bool in_order) {
    const int64_t *size = t->size;
    slot *y = &t->slots[which];
    double relative;
    float *w = malloc((size_t)size[IN] * sizeof *w), *x = x_of(t, &relative);
    if (!w) abort();
    for (int64_t row = 0; row < rows; row++) {
        /* Without heads the row is where it lies; then true_row is asked for the one that lies there. */
        int64_t from = row;
        while (!in_order && place_of(size, from) != row) from = from + 1 < size[OUT] ? from + 1 : 0;
        true_row(t, from, w);
        for (int64_t i = 0; i < size[TOKENS]; i++) {
            double sum = t->variation % 2 ? y->fresh[i * rows + row] : 0, total = fabs(sum), products = 0;
            for (int64_t j = 0; j < size[IN]; j++) {
                double term = (double)w[j] * x[i * size[IN] + j];
                sum += term;
                total += fabs(term);
                products += product_size(t, from, j) * fabs(x[i * size[IN] + j]);
                if (may_be_apart(t)) { /* S u x and O x, each of these sizes, and their roundings */
                    double apart = 2 * code_size(t, from, j) * fabs(x[i * size[IN] + j]);
                    total += apart;
                    products += relative / UNIT * (fabs(term) + apart);
                }
            }
            y->want[i * rows + row] = sum;
            y->allowed[i * rows + row] = ((sum_units((double)size[IN]) + 2) * total + products) * UNIT;
        }
    }
    free(w);
    free(x);
}

static void expect(trial *t) {
    const int64_t *size = t->size, half = size[OUT] / 2;
    expect_rows(t, Y, size[OUT], true);
    expect_rows(t, Y_HALF, half, size[HEAD_ROWS] == 0 || half % size[HEAD_ROWS] == 0);
}

static double flops(const trial *t) {
    return 3.0 * (double)t->size[TOKENS] * (double)t->size[OUT] * (double)t->size[IN];
}

static double bytes(const trial *t) {
    const int64_t *size = t->size;
    return 1.5 * (double)(size[OUT] * row_bytes(size) + 2 * groups(t) * scale_bytes(t)) +
           4 * (double)(size[TOKENS] * (size[IN] + size[OUT]));
}

#define EACH_WIDTH(...)                                                                                                \
    {DQ_CODING_BITS, 2, __VA_ARGS__}, {DQ_CODING_BITS, 3, __VA_ARGS__}, {DQ_CODING_BITS, 4, __VA_ARGS__},              \
        {DQ_CODING_BITS, 5, __VA_ARGS__}, {DQ_CODING_BITS, 6, __VA_ARGS__}, {DQ_CODING_BITS, 7, __VA_ARGS__}, {        \
        DQ_CODING_BITS, 8, __VA_ARGS__                                                                                 \
    }
#define EACH_BLOCK(...)                                                                                                \
    {DQ_CODING_Q4_0, 0, __VA_ARGS__}, {DQ_CODING_Q4_1, 0, __VA_ARGS__}, {DQ_CODING_Q5_0, 0, __VA_ARGS__},              \
        {DQ_CODING_Q5_1, 0, __VA_ARGS__}, {                                                                            \
        DQ_CODING_Q8_0, 0, __VA_ARGS__                                                                                 \
    }
#define EACH_NUMBER(...)                                                                                               \
    {DQ_CODING_F16, 0, __VA_ARGS__}, {                                                                                 \
        DQ_CODING_BF16, 0, __VA_ARGS__                                                                                 \
    }

static const int64_t tests[][SIZES] = {
    EACH_WIDTH(7, 192, 64, 1),     EACH_WIDTH(4, 96, 32, 2),      EACH_WIDTH(3, 128, 128, 3),
    EACH_WIDTH(5, 64, 64, 9),      EACH_WIDTH(6, 64, 16, 1),      EACH_WIDTH(3, 1040, 8, 5),
    EACH_WIDTH(5, 70, 10, 2),      EACH_WIDTH(2, 37, 37, 4),      EACH_WIDTH(1, 1, 1, 1),
    EACH_WIDTH(3, 555, 5, 3),      EACH_WIDTH(24, 64, 32, 2, 8),  EACH_WIDTH(40, 576, 64, 1),
    EACH_BLOCK(7, 64, 0, 1),       EACH_BLOCK(4, 32, 0, 2),       EACH_BLOCK(5, 96, 0, 3),
    EACH_BLOCK(33, 160, 0, 8),     EACH_BLOCK(24, 1056, 0, 1, 6), EACH_BLOCK(0, 32, 0, 1),
    EACH_BLOCK(3, 32, 0, 0),       EACH_NUMBER(5, 64, 0, 1),      EACH_NUMBER(3, 37, 0, 2),
    EACH_NUMBER(16, 544, 0, 5, 4), EACH_NUMBER(2, 1, 0, 6),       EACH_WIDTH(9, 96, 32, 13),
    EACH_WIDTH(17, 70, 10, 10),    EACH_WIDTH(24, 64, 32, 11, 8), EACH_BLOCK(13, 160, 0, 17),
    EACH_NUMBER(7, 37, 0, 9),      EACH_NUMBER(19, 544, 0, 12),
};
/* The feed-forward and the head of a 135M model, and a wide one. */
static const int64_t benches[][SIZES] = {
    EACH_WIDTH(49152, 576, 64, 1),
    EACH_BLOCK(49152, 576, 0, 1),
    EACH_NUMBER(49152, 576, 0, 1),
    {DQ_CODING_BITS, 4, 1536, 576, 64, 1},
    {DQ_CODING_Q4_1, 0, 1536, 576, 0, 1},
    {DQ_CODING_BITS, 4, 11008, 4096, 64, 1},
    {DQ_CODING_BITS, 3, 11008, 4096, 64, 1},
    {DQ_CODING_BITS, 4, 1536, 576, 64, 2},
    {DQ_CODING_BITS, 4, 1536, 576, 64, 4},
    {DQ_CODING_BITS, 4, 1536, 576, 64, 8},
    {DQ_CODING_BITS, 4, 1536, 576, 64, 16},
    {DQ_CODING_Q4_1, 0, 1536, 576, 0, 8},
    {DQ_CODING_Q4_1, 0, 1536, 576, 0, 9},
    {DQ_CODING_Q4_1, 0, 1536, 576, 0, 16},
    {DQ_CODING_Q4_1, 0, 576, 1536, 0, 16},
    {DQ_CODING_Q4_1, 0, 1536, 576, 0, 64},
    {DQ_CODING_BITS, 4, 1536, 576, 48, 1},
    /* the last is the variation: x rounded */
    EACH_WIDTH(49152, 576, 64, 1, 0, 6),
    EACH_BLOCK(49152, 576, 0, 1, 0, 6),
    {DQ_CODING_BITS, 4, 1536, 576, 64, 1, 0, 6},
    {DQ_CODING_Q4_1, 0, 1536, 576, 0, 1, 0, 6},
    {DQ_CODING_BITS, 4, 11008, 4096, 64, 1, 0, 6},
    {DQ_CODING_BITS, 4, 1536, 576, 64, 8, 0, 6},
};

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

const operation coded_multiply_operation = {.name = "coded_multiply",
                                            .tests = tests,
                                            .test_count = COUNT(tests),
                                            .benches = benches,
                                            .bench_count = COUNT(benches),
                                            .variations = 12,
                                            .prepare = prepare,
                                            .run = run,
                                            .expect = expect,
                                            .flops = flops,
                                            .bytes = bytes,
                                            .entry = offsetof(dq_kernels, coded_multiply)};

/* ---- Rows ---- */

static void rows_prepare(trial *t) {
    slot_values(t, Y, t->size[OUT] * t->size[IN], -1, 1);
    slot_result(t, Y);
    prepare_weight(t);
}

static void rows_run(trial *t, const dq_compute *compute) {
    const dq_coded w = weight_of(t, false);
    int64_t some = w.out / 3;
    compute->kernels->coded_rows(&w, 0, some, t->slots[Y].x);
    compute->kernels->coded_rows(&w, some, w.out - some, t->slots[Y].x + some * w.in);
}

/* Exactly, in every variant. */
static void rows_expect(trial *t) {
    slot *y = &t->slots[Y];
    float *row = malloc((size_t)t->size[IN] * sizeof *row);
    if (!row) abort();
    for (int64_t i = 0; i < t->size[OUT]; i++) {
        true_row(t, i, row);
        for (int64_t j = 0; j < t->size[IN]; j++) y->want[i * t->size[IN] + j] = row[j];
    }
    free(row);
}

static double rows_flops(const trial *t) {
    return (double)t->size[OUT] * (double)t->size[IN];
}

static double rows_bytes(const trial *t) {
    return 4 * (double)t->size[OUT] * (double)t->size[IN] + (double)(t->size[OUT] * row_bytes(t->size));
}

static const int64_t row_benches[][SIZES] = {
    EACH_WIDTH(1536, 576, 64),
    EACH_BLOCK(1536, 576, 0),
    EACH_NUMBER(1536, 576, 0),
};

const operation coded_rows_operation = {.name = "coded_rows",
                                        .tests = tests,
                                        .test_count = COUNT(tests),
                                        .benches = row_benches,
                                        .bench_count = COUNT(row_benches),
                                        .variations = 6,
                                        .prepare = rows_prepare,
                                        .run = rows_run,
                                        .expect = rows_expect,
                                        .flops = rows_flops,
                                        .bytes = rows_bytes,
                                        .entry = offsetof(dq_kernels, coded_rows)};
