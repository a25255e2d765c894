/* Weights packed straight from their codes: the bytes are those of decoding rows and packing them, for both operands of a linear, and
 * a weight that cannot go that way is left to the other. */
#include "support.h"

#include "base/half.h"
#include "base/random.h"
#include "emulated.h"

/* More columns than a block of the sum has (1,024 and 640), and no multiple of 64; more rows too, and no multiple of a sliver, nor even:
 * a piece then ends with half a pair. */
enum { OUT = 1171, IN = 1440, SCALES = OUT * IN / 32 };

typedef struct weight {
    dq_coded coded;
    uint8_t *bytes;
    float *scales, *offsets;
    uint16_t *halves;
} weight;

static float value(uint64_t which) {
    float x;
    dq_random_fill(7, DQ_STREAM_ADAPTER, which, -1.0f, 1.0f, &x, 1);
    return x;
}

/* Codes of code_bits in bytes, or blocks, whose every nibble is a code. */
static weight weight_open(dq_coding coding, int code_bits, int64_t group, int64_t head_rows) {
    const int64_t row_bytes = coding == DQ_CODING_BITS ? IN : IN / DQ_CODED_BLOCK * dq_coded_block_bytes(coding);
    weight w = {.bytes = malloc((size_t)(OUT * row_bytes)),
                .scales = malloc(SCALES * sizeof(float)),
                .offsets = malloc(SCALES * sizeof(float)),
                .halves = calloc(SCALES, sizeof(uint16_t))};
    assert_true(w.bytes && w.scales && w.offsets && w.halves);
    uint32_t state = 1;
    for (int64_t i = 0; i < OUT * row_bytes; i++) {
        state = state * 1664525u + 1013904223u;
        w.bytes[i] = (uint8_t)(state >> 24 & (coding == DQ_CODING_BITS ? (1u << code_bits) - 1 : 255));
    }
    const int64_t block = dq_coded_block_bytes(coding);
    for (int64_t i = 0; block && i < OUT * row_bytes; i += block)
        for (int n = 0; n < (coding == DQ_CODING_Q4_1 ? 2 : 1); n++) {
            const uint16_t half = dq_f32_to_f16(value((uint64_t)(i + n)));
            memcpy(w.bytes + i + 2 * n, &half, sizeof half);
        }
    for (int i = 0; i < SCALES; i++) {
        w.scales[i] = value((uint64_t)i);
        w.offsets[i] = value((uint64_t)(SCALES + i));
    }
    w.coded = (dq_coded){.coding = coding,
                         .out = OUT,
                         .in = IN,
                         .row_bytes = row_bytes,
                         .codes = w.bytes,
                         .bits = 8,
                         .code_bits = code_bits,
                         .group = group,
                         .scale_type = DQ_SCALE_F32,
                         .scales = w.scales,
                         .offsets = w.offsets,
                         .head_rows = head_rows};
    return w;
}

static void weight_close(weight *w) {
    free(w->bytes);
    free(w->scales);
    free(w->offsets);
    free(w->halves);
}

/* Rows [first, first + count) of the weight as a tile, packed a piece of 64 or 128 rows after another; by way of f32, or not. False: the
 * kernels leave the weight to the other way. */
static bool pack_tile(const dq_compute *compute, const dq_coded *w, int64_t first, int64_t count, bool transposed,
                      bool decoded, void *packed) {
    float *made = malloc((size_t)(2 * DQ_PACK_UNIT * IN) * sizeof *made);
    assert_non_null(made);
    bool done = true;
    for (int64_t at = 0, rows, part = 0; at < count && done; at += rows, part++) {
        rows = (2 - part % 2) * DQ_PACK_UNIT; /* one of 128 begins in one block of the sum and ends in the next */
        if (rows > count - at) rows = count - at;
        dq_pack piece = {.k = transposed ? IN : count,
                         .n = transposed ? count : IN,
                         .first_row = transposed ? 0 : at,
                         .rows = transposed ? IN : rows,
                         .first_column = transposed ? at : 0,
                         .columns = transposed ? rows : IN,
                         .b_row = transposed ? 1 : IN,
                         .b_column = transposed ? IN : 1};
        if (decoded) {
            compute->kernels->coded_rows(w, first + at, rows, made);
            piece.b = made;
            compute->kernels->pack(compute, &piece, packed);
        } else {
            done = compute->kernels->pack_coded(compute, w, first + at, &piece, transposed, packed);
        }
    }
    free(made);
    return done;
}

static void compare(const dq_compute *compute, const dq_coded *w, int64_t first, int64_t count, bool transposed) {
    const size_t bytes = compute->kernels->packed_bytes(compute, transposed ? IN : count, transposed ? count : IN);
    uint8_t *want = malloc(bytes), *got = malloc(bytes);
    assert_true(want && got);
    memset(want, 0x5a, bytes);
    memset(got, 0xa5, bytes); /* what one of them leaves out differs */
    assert_true(pack_tile(compute, w, first, count, transposed, true, want));
    assert_true(pack_tile(compute, w, first, count, transposed, false, got));
    if (memcmp(want, got, bytes) != 0)
        fail_msg("%s: coding %d of %d bits, groups of %lld: other bytes, rows %lld + %lld%s", compute->kernels->name,
                 (int)w->coding, w->code_bits, (long long)w->group, (long long)first, (long long)count,
                 transposed ? ", transposed" : "");
    free(want);
    free(got);
}

typedef void check(const dq_compute *compute);

/* In every variant that packs codes, emulated ones among them. */
static void in_every_variant(check *c) {
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, "c", 1, DQ_MULTIPLY_BF16, &error));
    bool usable;
    int count = 0;
    for (size_t i = 0; (compute.kernels = kernels_to_test(i, &usable)); i++)
        if (usable && compute.kernels->pack_coded) c(&compute), count++;
    assert_true(count >= 2);
    dq_compute_close(&compute);
}

static void every_form(const dq_compute *compute) {
    static const struct form {
        dq_coding coding;
        int code_bits;
        int64_t group, head_rows;
    } forms[] = {{DQ_CODING_BITS, 2, 32, 0}, {DQ_CODING_BITS, 3, 480, 0}, {DQ_CODING_BITS, 4, IN, 0},
                 {DQ_CODING_BITS, 4, 32, 6}, {DQ_CODING_Q4_0, 0, 0, 0},   {DQ_CODING_Q4_1, 0, 0, 6}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        weight w = weight_open(forms[i].coding, forms[i].code_bits, forms[i].group, forms[i].head_rows);
        for (int transposed = 0; transposed < 2; transposed++) {
            compare(compute, &w.coded, 0, forms[i].head_rows ? OUT - 1 : OUT, transposed);
            compare(compute, &w.coded, 67, 69, transposed);
        }
        weight_close(&w);
    }
}

static void test_every_form(void **state) {
    (void)state;
    in_every_variant(every_form);
}

static void others(const dq_compute *compute) {
    weight w = weight_open(DQ_CODING_BITS, 3, 32, 0);
    uint8_t nothing[64];
    dq_coded many = w.coded, unknown = w.coded, narrow = w.coded, halves = w.coded, stream = w.coded;
    many.code_bits = 5;    /* values that no vector holds */
    unknown.code_bits = 0; /* likewise */
    narrow.group = 16;
    halves.scale_type = DQ_SCALE_F16;
    halves.scales = halves.offsets = w.halves;
    stream.bits = 4;
    stream.row_bytes = IN / 2;
    const dq_coded *const refused[] = {&many, &unknown, &narrow, &halves, &stream};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(pack_tile(compute, refused[i], 0, 64, true, false, nothing));
    dq_compute here = *compute;
    here.multiply = DQ_MULTIPLY_F32;
    assert_false(pack_tile(&here, &w.coded, 0, 64, true, false, nothing));
    weight_close(&w);
}

static void test_others(void **state) {
    (void)state;
    in_every_variant(others);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_form), cmocka_unit_test(test_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
