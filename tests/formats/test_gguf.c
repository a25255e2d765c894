/* GGUF: files of gguf-py, and our own writer. */
#include "formats/gguf.h"
#include "scratch.h"

static scratch dir;
static char path[1024];
static const char tiny[] = TEST_FIXTURES "/formats/tiny.gguf";

static void test_reads_what_gguf_py_wrote(void **state) {
    (void)state;
    dlqat_error error;
    dq_gguf *file;
    assert_true(dq_gguf_probe(tiny));
    assert_false(dq_gguf_probe(TEST_FIXTURES "/formats/types.safetensors"));
    assert_false(dq_gguf_probe(TEST_FIXTURES));
    assert_false(dq_gguf_probe("/no/such/file"));
    assert_ok(dq_gguf_open(&file, tiny, &error));
    assert_string_equal(dq_gguf_path(file), tiny);

    static const struct {
        const char *key;
        int64_t value;
    } whole[] = {{"t.u8", 200},         {"t.i8", -100},         {"t.u16", 60000},         {"t.i16", -30000},
                 {"t.u32", 4000000000}, {"t.i32", -2000000000}, {"t.u64", 1099511627776}, {"t.i64", -1099511627776}};
    int64_t number = 77;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        assert_ok(dq_gguf_get_int(file, whole[i].key, &number, &error));
        if (number != whole[i].value) fail_msg("%s is %lld", whole[i].key, (long long)number);
    }
    double real = 77;
    assert_ok(dq_gguf_get_real(file, "t.f32", &real, &error));
    assert_true(real == 1.5);
    assert_ok(dq_gguf_get_real(file, "t.f64", &real, &error));
    assert_true(real == 0.1);
    bool truth = false;
    assert_ok(dq_gguf_get_bool(file, "t.true", &truth, &error));
    assert_true(truth);
    assert_ok(dq_gguf_get_bool(file, "t.false", &truth, &error));
    assert_false(truth);
    const char *text = "kept";
    size_t length;
    assert_ok(dq_gguf_get_string(file, "t.string", &text, &length, &error));
    assert_string_equal(text, "gr\303\274\303\237e");
    assert_int_equal(length, 7);
    assert_ok(dq_gguf_get_string(file, "t.long", &text, NULL, &error));
    assert_int_equal(strlen(text), 300);
    assert_ok(dq_gguf_get_string(file, "general.architecture", &text, NULL, &error));
    assert_string_equal(text, "llama");

    /* Absent: kept. Of another type: refused, and kept. */
    assert_ok(dq_gguf_get_int(file, "absent", &number, &error));
    assert_int_equal(number, -1099511627776);
    assert_false(dq_gguf_has(file, "absent"));
    assert_true(dq_gguf_has(file, "t.u8"));
    assert_fails(dq_gguf_get_int(file, "t.u64_large", &number, &error), DLQAT_ERROR_INPUT,
                 "tiny.gguf: the key t.u64_large");
    assert_fails(dq_gguf_get_int(file, "t.f32", &number, &error), DLQAT_ERROR_INPUT, "whole number");
    assert_fails(dq_gguf_get_int(file, "t.true", &number, &error), DLQAT_ERROR_INPUT, "whole number");
    assert_fails(dq_gguf_get_int(file, "t.i32s", &number, &error), DLQAT_ERROR_INPUT, "whole number");
    assert_fails(dq_gguf_get_real(file, "t.u8", &real, &error), DLQAT_ERROR_INPUT, "a real number");
    assert_fails(dq_gguf_get_bool(file, "t.u8", &truth, &error), DLQAT_ERROR_INPUT, "true or false");
    assert_fails(dq_gguf_get_string(file, "t.strings", &text, NULL, &error), DLQAT_ERROR_INPUT, "a string");
    assert_int_equal(number, -1099511627776);
    assert_true(real == 0.1);
    assert_string_equal(text, "llama");

    /* Arrays. */
    dq_gguf_type type;
    static const char *const strings[] = {"a", "b c", "\303\244\303\266", "last"};
    assert_int_equal(dq_gguf_array_length(file, "t.strings", &type), 4);
    assert_int_equal(type, DQ_GGUF_STRING);
    for (size_t i = 4; i-- > 0;) {
        assert_ok(dq_gguf_array_string(file, "t.strings", i, &text, &length, &error));
        assert_int_equal(length, strlen(strings[i]));
        assert_memory_equal(text, strings[i], length);
    }
    assert_fails(dq_gguf_array_string(file, "t.strings", 4, &text, &length, &error), DLQAT_ERROR_INPUT,
                 "has 4 strings");
    assert_fails(dq_gguf_array_string(file, "t.i32s", 0, &text, &length, &error), DLQAT_ERROR_INPUT,
                 "array of strings");
    double numbers[3];
    assert_int_equal(dq_gguf_array_length(file, "t.i32s", &type), 3);
    assert_int_equal(type, DQ_GGUF_I32);
    assert_ok(dq_gguf_array_numbers(file, "t.i32s", numbers, 3, &error));
    assert_true(numbers[0] == -1 && numbers[1] == 2 && numbers[2] == -3);
    assert_ok(dq_gguf_array_numbers(file, "t.u8s", numbers, 3, &error));
    assert_true(numbers[0] == 0 && numbers[1] == 127 && numbers[2] == 255);
    assert_ok(dq_gguf_array_numbers(file, "t.f32s", numbers, 2, &error));
    assert_true(numbers[0] == 0.5 && numbers[1] == -0.25);
    assert_fails(dq_gguf_array_numbers(file, "t.f32s", numbers, 3, &error), DLQAT_ERROR_INPUT, "has 2 numbers");
    assert_fails(dq_gguf_array_numbers(file, "t.bools", numbers, 2, &error), DLQAT_ERROR_INPUT, "array of numbers");
    assert_fails(dq_gguf_array_numbers(file, "t.strings", numbers, 2, &error), DLQAT_ERROR_INPUT, "array of numbers");
    assert_fails(dq_gguf_array_numbers(file, "absent", numbers, 1, &error), DLQAT_ERROR_INPUT, "array of numbers");
    assert_int_equal(dq_gguf_array_length(file, "absent", &type), 0);
    assert_int_equal(dq_gguf_array_length(file, "t.u8", &type), 0);
    dq_gguf_close(file);
}

static void test_tensors_of_gguf_py(void **state) {
    (void)state;
    dlqat_error error;
    dq_gguf *file;
    assert_ok(dq_gguf_open(&file, tiny, &error));
    /* x = j / 8 - 4: exact in F16 and BF16; within half a step in Q8_0 and Q4_1 (exact values: test_tensor.c). */
    static const struct {
        const char *name;
        dq_dtype dtype;
        double tolerance;
    } same[] = {{"plain.f32", DQ_F32, 0},
                {"plain.f16", DQ_F16, 0},
                {"brain.bf16", DQ_BF16, 0},
                {"blocks.q8_0", DQ_Q8_0, 4.0 / 127 * 0.51},
                {"blocks.q4_1", DQ_Q4_1, 3.875 / 15 * 0.51}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const dq_tensor *tensor = dq_gguf_find(file, same[i].name);
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, same[i].dtype);
        assert_ok(dq_tensor_expect(tensor, tiny, 2, (const int64_t[]){2, 32}, &error));
        float out[64];
        dq_tensor_rows(tensor, 0, 2, out);
        for (int j = 0; j < 64; j++) {
            const double off = out[j] - (j / 8.0 - 4);
            if (!(off <= same[i].tolerance && -off <= same[i].tolerance)) fail_msg("%s[%d]: %g", same[i].name, j, off);
        }
    }
    const dq_tensor *cube = dq_gguf_find(file, "cube");
    assert_ok(dq_tensor_expect(cube, tiny, 3, (const int64_t[]){2, 3, 5}, &error));
    assert_true(((const float *)cube->data)[29] == 29);
    const dq_tensor *ids = dq_gguf_find(file, "whole.i32");
    assert_int_equal(ids->dtype, DQ_I32);
    assert_int_equal(((const int32_t *)ids->data)[1], -7);
    char name[128] = "long.";
    memset(name + 5, 'n', 70);
    assert_true(*(const float *)dq_gguf_find(file, name)->data == 3.25f);
    assert_null(dq_gguf_find(file, "absent"));
    assert_int_equal(dq_gguf_tensor_count(file), 8);
    assert_string_equal(dq_gguf_tensor_at(file, 0)->name, "plain.f32"); /* order of the file */
    dq_gguf_close(file);

    assert_ok(dq_gguf_open(&file, TEST_FIXTURES "/formats/aligned.gguf", &error));
    const float *a = dq_gguf_find(file, "a")->data, *b = dq_gguf_find(file, "b")->data;
    assert_true(a[0] == 1 && a[2] == 3 && b[0] == 4 && b[1] == 5);
    assert_int_equal((const char *)b - (const char *)a, 128);
    dq_gguf_close(file);
}

/* ---- Writer ---- */

static void test_writes(void **state) {
    (void)state;
    dlqat_error error;
    dq_gguf_writer *writer;
    static const char *const strings[] = {"plain", "", "with\0NUL"};
    static const size_t lengths[] = {5, 0, 8};
    scratch_file(&dir, path, "written.gguf");
    assert_ok(dq_gguf_create(&writer, path, &error));
    dq_gguf_set_string(writer, "general.architecture", "llama");
    dq_gguf_set_u32(writer, "u", 4000000000u);
    dq_gguf_set_i32(writer, "i", -5);
    dq_gguf_set_f32(writer, "f", 1e-5f);
    dq_gguf_set_bool(writer, "b", true);
    dq_gguf_set_strings(writer, "s", strings, lengths, 3);
    dq_gguf_set_i32s(writer, "is", (const int32_t[]){1, -2}, 2);
    dq_gguf_set_f32s(writer, "fs", (const float[]){0.5f, -1.5f, 3}, 3);
    dq_gguf_set_strings(writer, "none", NULL, NULL, 0);
    int mark;
    float x[6] = {1, 2, 3, 4, 5, 6};
    unsigned char block[40];
    for (int i = 0; i < 40; i++) block[i] = (unsigned char)(3 * i);
    assert_ok(dq_gguf_declare(writer, "matrix", DQ_F32, 2, (const int64_t[]){3, 2}, &mark, &error));
    assert_ok(dq_gguf_declare(writer, "blocks", DQ_Q4_1, 2, (const int64_t[]){2, 32}, block, &error));
    assert_ok(dq_gguf_declare(writer, "vector", DQ_F32, 1, (const int64_t[]){1}, x, &error));
    assert_fails(dq_gguf_declare(writer, "words", DQ_U32, 1, (const int64_t[]){1}, NULL, &error),
                 DLQAT_ERROR_UNSUPPORTED, "GGUF has no type U32");
    assert_fails(dq_gguf_declare(writer, "odd", DQ_Q4_1, 2, (const int64_t[]){32, 16}, NULL, &error), DLQAT_ERROR_INPUT,
                 "a shape that Q4_1 cannot have");
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    assert_fails(dq_gguf_declare(writer, name, DQ_F32, 0, NULL, NULL, &error), DLQAT_ERROR_UNSUPPORTED,
                 "longer than GGUF's 63 bytes");
    const dq_tensor *tensor;
    void *user;
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    assert_string_equal(tensor->name, "matrix");
    assert_ptr_equal(user, &mark);
    assert_ok(dq_gguf_put(writer, x, 10, &error));
    assert_ok(dq_gguf_put(writer, (const char *)x + 10, 14, &error));
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    assert_int_equal(tensor->bytes, 40);
    assert_ok(dq_gguf_put(writer, block, 40, &error));
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    assert_ok(dq_gguf_put(writer, x + 5, 4, &error));
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    assert_null(tensor);
    assert_ok(dq_gguf_finish(writer, &error));

    dq_gguf *file;
    size_t size;
    char *raw;
    assert_ok(dq_read_file(path, &raw, &size, &error));
    assert_int_equal(size % 32, 0); /* llama.cpp wants the last tensor padded as well */
    free(raw);
    assert_ok(dq_gguf_open(&file, path, &error));
    int64_t number = 0;
    double real = 0, reals[3];
    bool truth = false;
    const char *text;
    size_t length;
    assert_ok(dq_gguf_get_int(file, "u", &number, &error));
    assert_int_equal(number, 4000000000);
    assert_ok(dq_gguf_get_int(file, "i", &number, &error));
    assert_int_equal(number, -5);
    assert_ok(dq_gguf_get_real(file, "f", &real, &error));
    assert_true((float)real == 1e-5f);
    assert_ok(dq_gguf_get_bool(file, "b", &truth, &error));
    assert_true(truth);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(dq_gguf_array_string(file, "s", i, &text, &length, &error));
        assert_int_equal(length, lengths[i]);
        assert_memory_equal(text, strings[i], length);
    }
    assert_ok(dq_gguf_array_numbers(file, "fs", reals, 3, &error));
    assert_true(reals[0] == 0.5 && reals[1] == -1.5 && reals[2] == 3);
    assert_ok(dq_gguf_array_numbers(file, "is", reals, 2, &error));
    assert_true(reals[0] == 1 && reals[1] == -2);
    assert_true(dq_gguf_has(file, "none"));
    const dq_tensor *matrix = dq_gguf_find(file, "matrix"), *blocks = dq_gguf_find(file, "blocks");
    assert_ok(dq_tensor_expect(matrix, path, 2, (const int64_t[]){3, 2}, &error));
    assert_memory_equal(matrix->data, x, sizeof x);
    assert_ok(dq_tensor_expect(blocks, path, 2, (const int64_t[]){2, 32}, &error));
    assert_memory_equal(blocks->data, block, sizeof block);
    assert_true(*(const float *)dq_gguf_find(file, "vector")->data == 6);
    dq_gguf_close(file);
}

static void test_writer_refuses_incomplete_files(void **state) {
    (void)state;
    dlqat_error error;
    dq_gguf_writer *writer;
    const dq_tensor *tensor;
    void *user;
    scratch_file(&dir, path, "incomplete.gguf");
    assert_ok(dq_gguf_create(&writer, path, &error));
    dq_gguf_set_u32(writer, "k", 1);
    dq_gguf_set_f32(writer, "k", 1);
    assert_fails(dq_gguf_next(writer, &tensor, &user, &error), DLQAT_ERROR_INPUT, "the key k was set twice");
    assert_fails(dq_gguf_finish(writer, &error), DLQAT_ERROR_INPUT, "the key k was set twice");
    assert_false(dq_file_exists(path));

    assert_ok(dq_gguf_create(&writer, path, &error));
    assert_ok(dq_gguf_declare(writer, "w", DQ_F32, 1, (const int64_t[]){2}, NULL, &error));
    assert_ok(dq_gguf_declare(writer, "w", DQ_F32, 1, (const int64_t[]){2}, NULL, &error));
    assert_fails(dq_gguf_finish(writer, &error), DLQAT_ERROR_INPUT, "tensor w was declared twice");

    assert_ok(dq_gguf_create(&writer, path, &error));
    assert_ok(dq_gguf_declare(writer, "w", DQ_F32, 1, (const int64_t[]){2}, NULL, &error));
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    assert_ok(dq_gguf_put(writer, "1234567", 7, &error));
    assert_fails(dq_gguf_put(writer, "89", 2, &error), DLQAT_ERROR_INPUT, "tensor w got more than its 8 bytes");
    assert_fails(dq_gguf_finish(writer, &error), DLQAT_ERROR_INPUT, "tensor w got 7 of its 8 bytes");
    assert_false(dq_file_exists(path));
    dq_gguf_abandon(NULL);
}

static int set_up(void **state) {
    (void)state;
    scratch_make(&dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_remove(&dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_gguf_py_wrote),
        cmocka_unit_test(test_tensors_of_gguf_py),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_writer_refuses_incomplete_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
