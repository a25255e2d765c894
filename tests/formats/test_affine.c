/* The packed affine layout against mlx.core. */
#include "formats/affine.h"
#include "formats/safetensors.h"
#include "support.h"

static dq_safetensors *open_fixture(void) {
    dlqat_error error;
    dq_safetensors *file;
    assert_ok(dq_safetensors_open(&file, TEST_FIXTURES "/formats/affine.safetensors", &error));
    return file;
}

static const dq_tensor *part(const dq_safetensors *file, const char *key, const char *what) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", key, what);
    const dq_tensor *tensor = dq_safetensors_find(file, name);
    if (!tensor) fail_msg("the fixture lacks %s", name);
    return tensor;
}

/* Words, fields and values of MLX's own quantizer: bit for bit, all widths, all three types of scales. */
static void test_equals_mlx(void **state) {
    (void)state;
    static const int all_bits[] = {2, 3, 4, 5, 6, 8};
    static const struct {
        const char *suffix;
        int64_t group;
        dq_dtype dtype;
    } kinds[] = {{"g32_f16", 32, DQ_F16}, {"g64_bf16", 64, DQ_BF16}, {"g128_f32", 128, DQ_F32}};
    dq_safetensors *file = open_fixture();
    for (size_t b = 0; b < 6; b++)
        for (size_t k = 0; k < 3; k++) {
            char key[32];
            snprintf(key, sizeof key, "b%d_%s", all_bits[b], kinds[k].suffix);
            const dq_tensor *words = part(file, key, "weight"), *codes = part(file, key, "codes");
            const dq_tensor *scales = part(file, key, "scales"), *values = part(file, key, "values");
            assert_int_equal(scales->dtype, kinds[k].dtype);
            const dq_affine matrix = {
                codes->shape[0], codes->shape[1], kinds[k].group, all_bits[b],
                kinds[k].dtype,  words->data,     scales->data,   part(file, key, "biases")->data};
            assert_int_equal(dq_affine_row_words(matrix.in, matrix.bits), words->shape[1]);
            assert_int_equal(dq_affine_groups(&matrix), scales->shape[1]);
            uint8_t row_codes[256];
            uint32_t row_words[64];
            for (int64_t i = 0; i < matrix.out; i++) {
                const uint32_t *row = matrix.codes + i * words->shape[1];
                const uint8_t *wanted = (const uint8_t *)codes->data + i * matrix.in;
                dq_unpack_codes(row, matrix.in, matrix.bits, row_codes);
                assert_memory_equal(row_codes, wanted, 256);
                dq_pack_codes(wanted, matrix.in, matrix.bits, row_words);
                assert_memory_equal(row_words, row, (size_t)words->shape[1] * 4);
            }
            float out[3 * 256], grid[2][8], one[256];
            dq_affine_rows(&matrix, 0, 3, out);
            if (memcmp(out, values->data, sizeof out) != 0) fail_msg("%s differs from mlx", key);
            /* The same from its parts, one row on its own. */
            dq_affine_row_grid(&matrix, 2, grid[0], grid[1]);
            for (int64_t g = 0; g < scales->shape[1]; g++)
                dq_affine_decode(one + g * matrix.group, (const uint8_t *)codes->data + 2 * 256 + g * matrix.group,
                                 matrix.group, grid[0][g], grid[1][g]);
            assert_memory_equal(one, (const float *)values->data + 2 * 256, sizeof one);
            dq_affine_rows(&matrix, 2, 1, one);
            assert_memory_equal(one, (const float *)values->data + 2 * 256, sizeof one);
        }
    dq_safetensors_close(file);
}

/* Widths that MLX cannot hold: code j is bits [j bits, j bits + bits) of the row's stream, and the rest of its last word is 0.
 * Rows longer than one piece of the decoder, with groups that divide neither 8 nor the piece. */
static void test_any_width(void **state) {
    (void)state;
    static const int64_t widths[] = {1, 7, 8, 9, 31, 32, 33, 172, 511, 512, 513, 1032, 1376};
    for (int bits = 2; bits <= 8; bits++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            const int64_t in = widths[w], words_in_row = (in * bits + 31) / 32, group = in % 43 == 0 ? 43 : in;
            assert_int_equal(dq_affine_row_words(in, bits), words_in_row);
            uint8_t *codes = malloc((size_t)in), *back = malloc((size_t)in);
            uint32_t *words = malloc((size_t)words_in_row * 4); /* exact, so that ASan sees a read or write beyond */
            memset(words, 0xff, (size_t)words_in_row * 4);
            for (int64_t j = 0; j < in; j++) codes[j] = (uint8_t)((j * 2654435761u >> 7) & ((1u << bits) - 1));
            dq_pack_codes(codes, in, bits, words);
            for (int64_t at = 0; at < words_in_row * 32; at++) {
                const int expected = at < in * bits ? codes[at / bits] >> at % bits & 1 : 0;
                if ((int)(words[at / 32] >> at % 32 & 1) != expected)
                    fail_msg("%d bits, %d columns: bit %d", bits, (int)in, (int)at);
            }
            dq_unpack_codes(words, in, bits, back);
            assert_memory_equal(back, codes, (size_t)in);

            const int64_t groups = in / group;
            float *scales = malloc((size_t)groups * 4), *offsets = malloc((size_t)groups * 4);
            float *out = malloc((size_t)in * 4);
            for (int64_t g = 0; g < groups; g++) {
                scales[g] = 0.1f * (float)(g + 1);
                offsets[g] = -0.7f * (float)g;
            }
            const dq_affine matrix = {1, in, group, bits, DQ_F32, words, scales, offsets};
            dq_affine_rows(&matrix, 0, 1, out);
            for (int64_t j = 0; j < in; j++) {
                const float product = scales[j / group] * (float)codes[j], sum = product + offsets[j / group];
                assert_true(out[j] == sum);
            }
            free(out);
            free(offsets);
            free(scales);
            free(words);
            free(back);
            free(codes);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_mlx), cmocka_unit_test(test_any_width)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
