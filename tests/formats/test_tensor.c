/* De-quantization against gguf-py, and the shapes of tensors. */
#include "formats/blocks.h"
#include "formats/safetensors.h"
#include "support.h"

#include <inttypes.h>

static dq_safetensors *open_fixture(const char *name) {
    char path[1024];
    dlqat_error error;
    dq_safetensors *file;
    snprintf(path, sizeof path, "%s/formats/%s", TEST_FIXTURES, name);
    assert_ok(dq_safetensors_open(&file, path, &error));
    return file;
}

/* Every type of blocks: bit for bit what gguf.dequantize gives, also by rows and from an odd address. */
static void test_blocks_equal_gguf_py(void **state) {
    (void)state;
    dq_safetensors *file = open_fixture("blocks.safetensors");
    int types = 0;
    for (int t = DQ_Q4_0; t < DQ_DTYPE_COUNT; t++, types++) {
        const dq_dtype_traits *type = dq_dtype_info((dq_dtype)t);
        char name[64];
        snprintf(name, sizeof name, "%s.blocks", type->name);
        const dq_tensor *blocks = dq_safetensors_find(file, name);
        snprintf(name, sizeof name, "%s.values", type->name);
        const dq_tensor *values = dq_safetensors_find(file, name);
        assert_non_null(blocks);
        assert_non_null(values);
        const int64_t n = values->shape[0], count = n / type->block_elements;
        assert_int_equal(blocks->bytes, count * type->block_bytes);
        float *out = malloc((size_t)n * sizeof *out);
        unsigned char *odd = malloc(blocks->bytes + 1);
        memcpy(odd + 1, blocks->data, blocks->bytes);
        type->to_f32(odd + 1, out, n);
        if (memcmp(out, values->data, values->bytes) != 0) fail_msg("%s differs from gguf-py", type->name);

        /* As a matrix of one block a row: rows 1 .. count-1. */
        dq_tensor matrix = {name, (dq_dtype)t, 2, {count, type->block_elements}, blocks->data, 0};
        assert_true(dq_tensor_measure(&matrix));
        assert_int_equal(matrix.bytes, blocks->bytes);
        memset(out, 0, (size_t)n * sizeof *out);
        dq_tensor_rows(&matrix, 1, count - 1, out);
        assert_memory_equal(out, (const float *)values->data + type->block_elements,
                            (size_t)(n - type->block_elements) * sizeof *out);
        free(odd);
        free(out);
    }
    assert_int_equal(types, 10);
    dq_safetensors_close(file);
}

static void test_plain_types(void **state) {
    (void)state;
    dq_safetensors *file = open_fixture("types.safetensors");
    const char *const names[] = {"real.f32", "real.f16", "real.f64", "real.bf16"};
    for (size_t i = 0; i < 4; i++) {
        float out[12];
        const dq_tensor *tensor = dq_safetensors_find(file, names[i]);
        assert_non_null(tensor);
        dq_tensor_rows(tensor, 0, 3, out);
        for (int j = 0; j < 12; j++) assert_true(out[j] == (float)j * 0.25f - 1);
        dq_tensor_rows(tensor, 2, 1, out);
        assert_true(out[3] == 11 * 0.25f - 1);
    }
    float one = 0;
    dq_tensor_rows(dq_safetensors_find(file, "scalar"), 0, 1, &one);
    assert_true(one == 2.5f);
    assert_null(dq_dtype_info(DQ_I32)->to_f32);
    dq_safetensors_close(file);
}

static void test_sizes(void **state) {
    (void)state;
    const struct {
        dq_dtype dtype;
        int dimensions;
        int64_t shape[4];
        int64_t bytes; /* -1: must be refused */
    } cases[] = {
        {DQ_F32, 0, {0}, 4},
        {DQ_F32, 1, {0}, 0},
        {DQ_BF16, 3, {2, 3, 5}, 60},
        {DQ_F32, 2, {INT64_C(1) << 40, INT64_C(1) << 40}, -1},
        {DQ_F32, 1, {INT64_MAX / 4 + 1}, -1},
        {DQ_F32, 3, {INT64_C(1) << 40, INT64_C(1) << 40, 0}, -1},
        {DQ_F32, 2, {3, -1}, -1},
        {DQ_Q4_1, 2, {3, 64}, 120},
        {DQ_Q4_1, 2, {32, 33}, -1}, /* whole blocks by number, but not by row */
        {DQ_Q6_K, 2, {2, 256}, 420},
        {DQ_Q6_K, 2, {2, 128}, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dq_tensor tensor = {"t", cases[i].dtype, cases[i].dimensions, {0}, NULL, 77};
        memcpy(tensor.shape, cases[i].shape, sizeof tensor.shape);
        const bool fits = dq_tensor_measure(&tensor);
        const int64_t bytes = fits ? (int64_t)tensor.bytes : -1;
        if (bytes != cases[i].bytes) fail_msg("case %zu: %" PRId64 ", expected %" PRId64, i, bytes, cases[i].bytes);
    }
}

static void test_expect(void **state) {
    (void)state;
    dlqat_error error;
    const dq_tensor real = {"w", DQ_Q4_0, 2, {4, 32}, NULL, 72}, whole = {"ids", DQ_I32, 1, {4}, NULL, 16};
    assert_ok(dq_tensor_expect(&real, "m.gguf", 2, (const int64_t[]){4, 32}, &error));
    assert_fails(dq_tensor_expect(&real, "m.gguf", 2, (const int64_t[]){4, 64}, &error), DLQAT_ERROR_INPUT,
                 "m.gguf: tensor w has the shape [4, 32], expected [4, 64]");
    assert_fails(dq_tensor_expect(&real, "m.gguf", 1, (const int64_t[]){4}, &error), DLQAT_ERROR_INPUT, "expected [4]");
    assert_fails(dq_tensor_expect(&whole, "m.gguf", 1, (const int64_t[]){4}, &error), DLQAT_ERROR_INPUT,
                 "has the type I32");
    char text[96];
    const int64_t widest[] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    assert_int_equal(strlen(dq_shape_text(text, 4, widest)), 4 * 20 + 3 * 2 + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_equal_gguf_py),
        cmocka_unit_test(test_plain_types),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_expect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
