/* Damaged GGUF: each file made by hand is refused by name, cuts are refused, and mutations never crash. */
#include "formats/gguf.h"
#include "base/buffer.h"
#include "mutate.h"
#include "scratch.h"

static scratch dir;
static char path[1024];

static void u32(dq_buffer *b, uint32_t value) {
    dq_buffer_put(b, &value, 4);
}
static void u64(dq_buffer *b, uint64_t value) {
    dq_buffer_put(b, &value, 8);
}
static void string(dq_buffer *b, const char *text) {
    u64(b, strlen(text));
    dq_buffer_puts(b, text);
}
static void header(dq_buffer *b, uint32_t version, uint64_t tensors, uint64_t pairs) {
    dq_buffer_puts(b, "GGUF");
    u32(b, version);
    u64(b, tensors);
    u64(b, pairs);
}
static void pair_u32(dq_buffer *b, const char *key, uint32_t value) {
    string(b, key);
    u32(b, DQ_GGUF_U32);
    u32(b, value);
}
static void tensor_info(dq_buffer *b, const char *name, uint64_t length, uint32_t type, uint64_t offset) {
    string(b, name);
    u32(b, 1);
    u64(b, length);
    u32(b, type);
    u64(b, offset);
}
static void data(dq_buffer *b, size_t bytes) {
    while (b->size % 32) dq_buffer_put(b, "", 1);
    for (size_t i = 0; i < bytes; i++) dq_buffer_put(b, "\1", 1);
}

static void two_tensors(dq_buffer *b, uint64_t second_offset, size_t bytes) {
    header(b, 3, 2, 0);
    tensor_info(b, "a", 3, 0, 0);
    tensor_info(b, "b", 2, 0, second_offset);
    data(b, bytes);
}

/* One malformed file each. */
static void no_magic(dq_buffer *b) {
    dq_buffer_puts(b, "GGLA and more");
}
static void big_endian(dq_buffer *b) {
    header(b, 3u << 24, 0, 0);
}
static void version_1(dq_buffer *b) {
    header(b, 1, 0, 0);
}
static void version_4(dq_buffer *b) {
    header(b, 4, 0, 0);
}
static void many_pairs(dq_buffer *b) {
    header(b, 3, 0, UINT64_MAX);
}
static void many_tensors(dq_buffer *b) {
    header(b, 3, UINT64_MAX / 2, 0);
}
static void same_key(dq_buffer *b) {
    header(b, 3, 0, 2);
    pair_u32(b, "k", 1);
    pair_u32(b, "k", 1);
}
static void same_tensor(dq_buffer *b) {
    header(b, 3, 2, 0);
    tensor_info(b, "w", 8, 0, 0);
    tensor_info(b, "w", 8, 0, 32);
    data(b, 64);
}
static void unknown_type(dq_buffer *b) {
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, 13);
    u64(b, 0);
}
static void cut_scalar(dq_buffer *b) {
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, DQ_GGUF_F64);
    u32(b, 0);
}
static void long_string(dq_buffer *b) {
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, DQ_GGUF_STRING);
    u64(b, UINT64_MAX);
    u64(b, 0);
}
static void nested_array(dq_buffer *b) {
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, DQ_GGUF_ARRAY);
    u32(b, DQ_GGUF_ARRAY);
    u64(b, 1);
    u64(b, 0);
}
static void strange_array(dq_buffer *b) {
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, DQ_GGUF_ARRAY);
    u32(b, 99);
    u64(b, 1);
    u64(b, 0);
}
static void long_array(dq_buffer *b) { /* 2^61 f64: the size in bytes overflows */
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, DQ_GGUF_ARRAY);
    u32(b, DQ_GGUF_F64);
    u64(b, UINT64_C(1) << 61);
    u64(b, 0);
}
static void long_array_of_strings(dq_buffer *b) {
    header(b, 3, 0, 1);
    string(b, "k");
    u32(b, DQ_GGUF_ARRAY);
    u32(b, DQ_GGUF_STRING);
    u64(b, UINT64_C(1) << 61);
    u64(b, 0);
}
static void empty_key(dq_buffer *b) {
    header(b, 3, 0, 1);
    pair_u32(b, "", 1);
}
static void nul_in_key(dq_buffer *b) {
    header(b, 3, 0, 1);
    u64(b, 3);
    dq_buffer_put(b, "a\0b", 3);
    u32(b, DQ_GGUF_U32);
    u32(b, 0);
}
static void odd_alignment(dq_buffer *b) {
    header(b, 3, 0, 1);
    pair_u32(b, "general.alignment", 24);
}
static void zero_alignment(dq_buffer *b) {
    header(b, 3, 0, 1);
    pair_u32(b, "general.alignment", 0);
}
static void split(dq_buffer *b) {
    header(b, 3, 0, 1);
    pair_u32(b, "split.count", 3);
}
static void five_dimensions(dq_buffer *b) {
    header(b, 3, 1, 0);
    string(b, "w");
    u32(b, 5);
    for (int i = 0; i < 5; i++) u64(b, 1);
    u32(b, 0);
    u64(b, 0);
    data(b, 4);
}
static void unknown_tensor_type(dq_buffer *b) {
    header(b, 3, 1, 0);
    tensor_info(b, "w", 256, 20, 0);
    data(b, 136);
}
static void huge_tensor(dq_buffer *b) {
    header(b, 3, 1, 0);
    tensor_info(b, "w", UINT64_C(1) << 62, 0, 0);
    data(b, 4);
}
static void negative_tensor(dq_buffer *b) {
    header(b, 3, 1, 0);
    tensor_info(b, "w", UINT64_MAX, 0, 0);
    data(b, 4);
}
static void broken_block(dq_buffer *b) {
    header(b, 3, 1, 0);
    tensor_info(b, "w", 48, 3, 0);
    data(b, 40);
}
static void overlap(dq_buffer *b) {
    two_tensors(b, 0, 64);
}
static void gap(dq_buffer *b) {
    two_tensors(b, 64, 96);
}
static void far_offset(dq_buffer *b) {
    two_tensors(b, UINT64_MAX - 31, 64);
}
static void beyond(dq_buffer *b) {
    two_tensors(b, 32, 39);
}
static void no_data(dq_buffer *b) {
    header(b, 3, 1, 0);
    tensor_info(b, "w", 1, 0, 0); /* and not even the padding */
}

static void test_refuses_bad_files(void **state) {
    (void)state;
    static const struct {
        void (*make)(dq_buffer *);
        dlqat_status status;
        const char *message;
    } cases[] = {
        {no_magic, DLQAT_ERROR_INPUT, "not a GGUF file"},
        {big_endian, DLQAT_ERROR_UNSUPPORTED, "big-endian"},
        {version_1, DLQAT_ERROR_UNSUPPORTED, "GGUF version 1"},
        {version_4, DLQAT_ERROR_UNSUPPORTED, "GGUF version 4"},
        {many_pairs, DLQAT_ERROR_INPUT, "claims 18446744073709551615 keys"},
        {many_tensors, DLQAT_ERROR_INPUT, "claims 9223372036854775807 tensors"},
        {same_key, DLQAT_ERROR_INPUT, "the key k occurs twice"},
        {same_tensor, DLQAT_ERROR_INPUT, "the tensor w occurs twice"},
        {unknown_type, DLQAT_ERROR_INPUT, "k has the unknown type 13"},
        {cut_scalar, DLQAT_ERROR_INPUT, "in the middle of k"},
        {long_string, DLQAT_ERROR_INPUT, "in the middle of k"},
        {nested_array, DLQAT_ERROR_UNSUPPORTED, "k is an array of arrays"},
        {strange_array, DLQAT_ERROR_INPUT, "k is an array of an unknown type"},
        {long_array, DLQAT_ERROR_INPUT, "in the middle of k"},
        {long_array_of_strings, DLQAT_ERROR_INPUT, "in the middle of k"},
        {empty_key, DLQAT_ERROR_INPUT, "the name of a key is empty"},
        {nul_in_key, DLQAT_ERROR_INPUT, "has a NUL"},
        {odd_alignment, DLQAT_ERROR_INPUT, "general.alignment is 24"},
        {zero_alignment, DLQAT_ERROR_INPUT, "general.alignment is 0"},
        {split, DLQAT_ERROR_UNSUPPORTED, "one of 3 parts"},
        {five_dimensions, DLQAT_ERROR_INPUT, "tensor w has 5 dimensions"},
        {unknown_tensor_type, DLQAT_ERROR_UNSUPPORTED, "tensor w has ggml's type number 20"},
        {huge_tensor, DLQAT_ERROR_INPUT, "tensor w: the size of its shape overflows"},
        {negative_tensor, DLQAT_ERROR_INPUT, "tensor w: the size of its shape overflows"},
        {broken_block, DLQAT_ERROR_INPUT, "no whole blocks of Q4_1"},
        {overlap, DLQAT_ERROR_INPUT, "tensor b begins at byte 0 of the data, expected 32"},
        {gap, DLQAT_ERROR_INPUT, "tensor b begins at byte 64"},
        {far_offset, DLQAT_ERROR_INPUT, "tensor b begins at byte"},
        {beyond, DLQAT_ERROR_INPUT, "tensor b reaches beyond the end"},
        {no_data, DLQAT_ERROR_INPUT, "tensor w reaches beyond the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dlqat_error error;
        dq_buffer b = {0};
        dq_gguf *file;
        cases[i].make(&b);
        put_bytes(scratch_file(&dir, path, "made.gguf"), b.data, b.size);
        dq_buffer_free(&b);
        assert_fails(dq_gguf_open(&file, path, &error), cases[i].status, cases[i].message);
        assert_non_null(strstr(error.message, "made.gguf: "));
        assert_null(file);
    }
    /* The sound forms of the same are read. */
    dlqat_error error;
    dq_buffer b = {0};
    dq_gguf *file;
    two_tensors(&b, 32, 40); /* the last tensor's padding may be missing */
    put_bytes(path, b.data, b.size);
    dq_buffer_free(&b);
    assert_ok(dq_gguf_open(&file, path, &error));
    dq_gguf_close(file);
    header(&b, 3, 0, 0);
    put_bytes(path, b.data, b.size);
    dq_buffer_free(&b);
    assert_ok(dq_gguf_open(&file, path, &error));
    assert_int_equal(dq_gguf_tensor_count(file), 0);
    dq_gguf_close(file);
}

static void test_version_2(void **state) {
    (void)state;
    dlqat_error error;
    dq_gguf *file;
    size_t size;
    unsigned char *bytes = fixture_bytes("formats/tiny.gguf", &size);
    assert_int_equal(bytes[4], 3);
    bytes[4] = 2;
    put_bytes(scratch_file(&dir, path, "v2.gguf"), bytes, size);
    assert_ok(dq_gguf_open(&file, path, &error));
    assert_int_equal(dq_gguf_tensor_count(file), 8);
    dq_gguf_close(file);
    free(bytes);
}

/* Everything that can be read is read. */
static unsigned touch(const dq_gguf *file) {
    static const char *const keys[] = {"t.u8",
                                       "t.i8",
                                       "t.u16",
                                       "t.i16",
                                       "t.u32",
                                       "t.i32",
                                       "t.u64",
                                       "t.i64",
                                       "t.f32",
                                       "t.f64",
                                       "t.true",
                                       "t.string",
                                       "t.long",
                                       "t.strings",
                                       "t.i32s",
                                       "t.f32s",
                                       "t.bools",
                                       "t.u8s",
                                       "general.architecture"};
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        dlqat_error error;
        int64_t number;
        double real;
        bool truth;
        const char *text = "";
        size_t length = 0;
        (void)dq_gguf_get_int(file, keys[i], &number, &error);
        (void)dq_gguf_get_real(file, keys[i], &real, &error);
        (void)dq_gguf_get_bool(file, keys[i], &truth, &error);
        if (dq_gguf_get_string(file, keys[i], &text, &length, &error) == DLQAT_OK) assert_true(strlen(text) <= length);
        const size_t n = dq_gguf_array_length(file, keys[i], NULL);
        for (size_t j = 0; j < n; j++)
            if (dq_gguf_array_string(file, keys[i], j, &text, &length, &error) == DLQAT_OK)
                for (size_t k = 0; k < length; k++) sum += (unsigned char)text[k];
        double *numbers = malloc(n * sizeof *numbers + 1);
        (void)dq_gguf_array_numbers(file, keys[i], numbers, n, &error);
        free(numbers);
    }
    for (size_t i = 0; i < dq_gguf_tensor_count(file); i++) {
        const dq_tensor *tensor = dq_gguf_tensor_at(file, i);
        for (size_t j = 0; j < tensor->bytes; j++) sum += ((const unsigned char *)tensor->data)[j];
        assert_ptr_equal(dq_gguf_find(file, tensor->name), tensor);
        if (!dq_dtype_info(tensor->dtype)->to_f32 || tensor->bytes == 0) continue;
        float *out = malloc((size_t)dq_tensor_elements(tensor) * sizeof *out);
        dq_dtype_info(tensor->dtype)->to_f32(tensor->data, out, dq_tensor_elements(tensor));
        free(out);
    }
    return sum;
}

/* The last tensor ends 28 bytes before the file does (padding): every cut before that end must be refused. */
static void test_every_truncation_is_refused(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = fixture_bytes("formats/tiny.gguf", &size);
    scratch_file(&dir, path, "cut.gguf");
    for (size_t n = 0; n < size; n++) {
        dlqat_error error;
        dq_gguf *file;
        put_bytes(path, bytes, n);
        const dlqat_status status = dq_gguf_open(&file, path, &error);
        const dlqat_status expected = n < size - 28 ? DLQAT_ERROR_INPUT : DLQAT_OK;
        if (status != expected) fail_msg("cut to %zu of %zu bytes: status %d", n, size, status);
        if (status == DLQAT_OK) {
            (void)touch(file);
            dq_gguf_close(file);
        }
    }
    free(bytes);
}

static void test_mutations_never_crash(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = fixture_bytes("formats/tiny.gguf", &size), *copy = malloc(size);
    scratch_file(&dir, path, "mutated.gguf");
    unsigned opened = 0, sum = 0;
    for (uint64_t i = 0; i < 6000; i++) {
        dlqat_error error;
        dq_gguf *file;
        put_bytes(path, copy, mutate(copy, bytes, size, i));
        const dlqat_status status = dq_gguf_open(&file, path, &error);
        if (status == DLQAT_OK) {
            opened++;
            sum += touch(file);
            dq_gguf_close(file);
        } else
            assert_true(status == DLQAT_ERROR_INPUT || status == DLQAT_ERROR_UNSUPPORTED);
    }
    print_message("6000 mutations, %u of them readable (%u)\n", opened, sum % 2);
    assert_in_range(opened, 1, 5999);
    free(copy);
    free(bytes);
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
        cmocka_unit_test(test_refuses_bad_files),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_mutations_never_crash),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
