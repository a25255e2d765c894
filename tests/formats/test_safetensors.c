/* safetensors: files of the Python library, damaged files, model directories, and our own writer. */
#include "formats/safetensors.h"
#include "mutate.h"
#include "scratch.h"

static scratch dir;
static char path[1024];

/* A file of this header and data_size bytes 1, 2, 3, .. */
static const char *make_file(const char *header, size_t data_size) {
    const uint64_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + data_size);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++) bytes[8 + length + i] = (unsigned char)(i + 1);
    put_bytes(scratch_file(&dir, path, "made.safetensors"), bytes, 8 + length + data_size);
    free(bytes);
    return path;
}

/* Reads every byte of every tensor, so that a wrong pointer shows. */
static unsigned touch(const dq_safetensors *file) {
    unsigned sum = 0;
    for (size_t i = 0; i < dq_safetensors_count(file); i++) {
        const dq_tensor *tensor = dq_safetensors_at(file, i);
        for (size_t j = 0; j < tensor->bytes; j++) sum += ((const unsigned char *)tensor->data)[j];
        sum += (unsigned)(dq_safetensors_find(file, tensor->name) == tensor);
        assert_true(dq_tensor_elements(tensor) >= 0);
    }
    return sum;
}

static void test_reads_what_python_wrote(void **state) {
    (void)state;
    static const struct {
        const char *name;
        dq_dtype dtype;
        int dimensions;
        int64_t shape[4];
    } expected[] = {/* sorted by name */
                    {"empty", DQ_F32, 1, {0}},           {"empty.inside", DQ_F16, 3, {2, 0, 3}},
                    {"four", DQ_F32, 4, {1, 2, 2, 4}},   {"n\303\244me \"quoted\"", DQ_F32, 1, {1}},
                    {"real.bf16", DQ_BF16, 2, {3, 4}},   {"real.f16", DQ_F16, 2, {3, 4}},
                    {"real.f32", DQ_F32, 2, {3, 4}},     {"real.f64", DQ_F64, 2, {3, 4}},
                    {"scalar", DQ_F32, 0, {0}},          {"truth", DQ_BOOL, 1, {3}},
                    {"whole.int16", DQ_I16, 2, {2, 3}},  {"whole.int32", DQ_I32, 2, {2, 3}},
                    {"whole.int64", DQ_I64, 2, {2, 3}},  {"whole.int8", DQ_I8, 2, {2, 3}},
                    {"whole.uint16", DQ_U16, 2, {2, 3}}, {"whole.uint32", DQ_U32, 2, {2, 3}},
                    {"whole.uint64", DQ_U64, 2, {2, 3}}, {"whole.uint8", DQ_U8, 2, {2, 3}}};
    const size_t count = sizeof expected / sizeof *expected;
    dlqat_error error;
    dq_safetensors *file;
    assert_ok(dq_safetensors_open(&file, TEST_FIXTURES "/formats/types.safetensors", &error));
    assert_int_equal(dq_safetensors_count(file), count);
    for (size_t i = 0; i < count; i++) {
        const dq_tensor *tensor = dq_safetensors_at(file, i);
        assert_string_equal(tensor->name, expected[i].name);
        assert_int_equal(tensor->dtype, expected[i].dtype);
        assert_int_equal(tensor->dimensions, expected[i].dimensions);
        assert_memory_equal(tensor->shape, expected[i].shape, (size_t)tensor->dimensions * sizeof(int64_t));
        assert_ptr_equal(dq_safetensors_find(file, expected[i].name), tensor);
        if (strncmp(tensor->name, "whole.", 6) == 0) /* 1 .. 6 of every width */
            for (size_t j = 0, width = tensor->bytes / 6; j < 6; j++) {
                uint64_t value = 0;
                memcpy(&value, (const char *)tensor->data + j * width, width);
                assert_int_equal(value, j + 1);
            }
    }
    assert_memory_equal(dq_safetensors_find(file, "truth")->data, "\1\0\1", 3);
    assert_null(dq_safetensors_find(file, "absent"));
    assert_string_equal(dq_safetensors_metadata(file, "note"), "gr\303\274\303\237e");
    assert_null(dq_safetensors_metadata(file, "absent"));
    dq_safetensors_close(file);
}

static void test_legal_oddities(void **state) {
    (void)state;
    dlqat_error error;
    dq_safetensors *file;
    assert_ok(dq_safetensors_open(&file, make_file("{}", 0), &error));
    assert_int_equal(dq_safetensors_count(file), 0);
    assert_null(dq_safetensors_find(file, "w"));
    dq_safetensors_close(file);
    /* Trailing blanks, empty tensors in the middle and at the end, data at an odd place, order unlike the data's. */
    assert_ok(dq_safetensors_open(&file,
                                  make_file("{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]},"
                                            "\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[5,5]},"
                                            "\"c\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[1,1]},"
                                            "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}   ",
                                            5),
                                  &error));
    assert_int_equal(dq_safetensors_count(file), 4);
    float value;
    dq_tensor_rows(dq_safetensors_find(file, "b"), 0, 1, &value);
    assert_memory_equal(&value, "\2\3\4\5", 4);
    dq_safetensors_close(file);
}

#define ENTRY(name, dtype, shape, offsets)                                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_refuses_bad_headers(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data_size;
        dlqat_status status;
        const char *message;
    } cases[] = {
        {" {}", 0, DLQAT_ERROR_INPUT, "does not begin with '{'"},
        {"{", 0, DLQAT_ERROR_INPUT, "not valid JSON"},
        {"{}x", 0, DLQAT_ERROR_INPUT, "not valid JSON"},
        {"[]", 0, DLQAT_ERROR_INPUT, "does not begin with '{'"},
        {"", 0, DLQAT_ERROR_INPUT, "does not begin with '{'"},
        {"{" ENTRY("w", "F32", "[1]", "[0,4]") "," ENTRY("w", "F32", "[1]", "[4,8]") "}", 8, DLQAT_ERROR_INPUT,
         "not valid JSON"}, /* duplicate */
        {"{" ENTRY("w", "F32", "[2]", "[0,4]") "}", 4, DLQAT_ERROR_INPUT,
         "tensor w has 4 bytes, but [2] of F32 takes 8"},
        {"{" ENTRY("w", "F32", "[1]", "[0,8]") "}", 8, DLQAT_ERROR_INPUT, "has 8 bytes, but [1] of F32 takes 4"},
        {"{" ENTRY("w", "F32", "[1]", "[0,4]") "}", 3, DLQAT_ERROR_INPUT, "cut off"},
        {"{" ENTRY("w", "F32", "[1]", "[0,4]") "}", 5, DLQAT_ERROR_INPUT, "the last 1 bytes belong to no tensor"},
        {"{" ENTRY("w", "F32", "[1]", "[1,5]") "}", 5, DLQAT_ERROR_INPUT, "belong to no tensor"},
        {"{" ENTRY("w", "F32", "[1]", "[4,0]") "}", 4, DLQAT_ERROR_INPUT, "two rising whole numbers"},
        {"{" ENTRY("w", "F32", "[1]", "[-4,0]") "}", 4, DLQAT_ERROR_INPUT, "two rising whole numbers"},
        {"{" ENTRY("w", "F32", "[1]", "[0.0,4.0]") "}", 4, DLQAT_ERROR_INPUT, "two rising whole numbers"},
        {"{" ENTRY("w", "F32", "[1]", "[0]") "}", 4, DLQAT_ERROR_INPUT, "tensor w: expected"},
        {"{" ENTRY("w", "F32", "[1]", "[0,9223372036854775807]") "}", 4, DLQAT_ERROR_INPUT, "cut off"},
        {"{" ENTRY("w", "F32", "[1]", "[0,99999999999999999999]") "}", 4, DLQAT_ERROR_INPUT, "tensor w: "},
        {"{" ENTRY("w", "F32", "[-1]", "[0,4]") "}", 4, DLQAT_ERROR_INPUT, "whole numbers from 0 up"},
        {"{" ENTRY("w", "F32", "[1.5]", "[0,4]") "}", 4, DLQAT_ERROR_INPUT, "whole numbers from 0 up"},
        {"{" ENTRY("w", "F32", "[4294967296,4294967296]", "[0,4]") "}", 4, DLQAT_ERROR_INPUT, "overflows"},
        {"{" ENTRY("w", "F32", "[4611686018427387905]", "[0,4]") "}", 4, DLQAT_ERROR_INPUT, "overflows"},
        {"{" ENTRY("w", "F32", "[1,1,1,1,1]", "[0,4]") "}", 4, DLQAT_ERROR_UNSUPPORTED, "5 dimensions"},
        {"{" ENTRY("w", "F8_E4M3", "[4]", "[0,4]") "}", 4, DLQAT_ERROR_UNSUPPORTED, "type F8_E4M3"},
        {"{" ENTRY("w", "Q8_0", "[32]", "[0,34]") "}", 34, DLQAT_ERROR_UNSUPPORTED, "type Q8_0"},
        {"{\"w\":[]}", 0, DLQAT_ERROR_INPUT, "tensor w: expected"},
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, DLQAT_ERROR_INPUT, "tensor w: expected"},
        {"{\"w\":{\"dtype\":7,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, DLQAT_ERROR_INPUT, "tensor w: expected"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[2,6]") "}", 6, DLQAT_ERROR_INPUT,
         "tensor b begins at byte 2 of the data, expected 4: it overlaps"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[0,4]") "}", 4, DLQAT_ERROR_INPUT,
         "overlaps"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[1]", "[8,12]") "}", 12, DLQAT_ERROR_INPUT,
         "belong to no tensor"},
        {"{\"__metadata__\":{\"a\":1}}", 0, DLQAT_ERROR_INPUT, "the value of \"a\" must be a string"},
        {"{\"__metadata__\":[]}", 0, DLQAT_ERROR_INPUT, "must be an object"},
        {"{\"a\\u0000b\":{}}", 0, DLQAT_ERROR_INPUT, "not valid JSON"},
        {"{\"\xff\":{}}", 0, DLQAT_ERROR_INPUT, "not valid JSON"},
    };
    dlqat_error error;
    dq_safetensors *file = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_file(cases[i].header, cases[i].data_size);
        assert_fails(dq_safetensors_open(&file, path, &error), cases[i].status, cases[i].message);
        assert_non_null(strstr(error.message, "made.safetensors"));
        assert_null(file);
    }
    /* Lengths of the header that lie. */
    static const uint64_t lengths[] = {3, 100000000, 100000001, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[10];
        memcpy(bytes, &lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        put_bytes(scratch_file(&dir, path, "made.safetensors"), bytes, sizeof bytes);
        assert_fails(dq_safetensors_open(&file, path, &error), DLQAT_ERROR_INPUT,
                     lengths[i] > 100000000 ? "has more than 100000000" : "cut off");
    }
    assert_fails(dq_safetensors_open(&file, scratch_file(&dir, path, "absent"), &error), DLQAT_ERROR_IO, "cannot open");
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = fixture_bytes("formats/types.safetensors", &size);
    scratch_file(&dir, path, "cut.safetensors");
    for (size_t n = 0; n < size; n++) {
        dlqat_error error;
        dq_safetensors *file;
        put_bytes(path, bytes, n);
        const dlqat_status status = dq_safetensors_open(&file, path, &error);
        if (status != DLQAT_ERROR_INPUT) fail_msg("cut to %zu bytes: status %d", n, status);
    }
    free(bytes);
}

static void test_mutations_never_crash(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = fixture_bytes("formats/types.safetensors", &size), *copy = malloc(size);
    scratch_file(&dir, path, "mutated.safetensors");
    unsigned sum = 0, opened = 0;
    for (uint64_t i = 0; i < 6000; i++) {
        dlqat_error error;
        dq_safetensors *file;
        const size_t n = mutate(copy, bytes, size, i);
        put_bytes(path, copy, n);
        const dlqat_status status = dq_safetensors_open(&file, path, &error);
        if (status == DLQAT_OK) {
            sum += touch(file);
            opened++;
            dq_safetensors_close(file);
        } else
            assert_true(status == DLQAT_ERROR_INPUT || status == DLQAT_ERROR_UNSUPPORTED);
    }
    print_message("6000 mutations, %u of them readable (%u)\n", opened, sum % 2);
    assert_in_range(opened, 1, 5999);
    free(copy);
    free(bytes);
}

/* ---- Model directories ---- */

static void put_text(const char *name, const char *text) {
    char place[1024];
    put_bytes(scratch_file(&dir, place, name), text, strlen(text));
}

/* name holds one f32 tensor. */
static void put_shard(const char *name, const char *tensor) {
    char header[256], place[1024], made[1024];
    snprintf(header, sizeof header,
             "{\"__metadata__\":{\"in\":\"%s\"},\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name,
             tensor);
    snprintf(made, sizeof made, "%s", make_file(header, 4));
    assert_int_equal(rename(made, scratch_file(&dir, place, name)), 0);
}

static void test_directories(void **state) {
    (void)state;
    dlqat_error error;
    dq_safetensors *file;
    scratch outer = dir;
    scratch_make(&dir);
    assert_fails(dq_safetensors_open(&file, dir.path, &error), DLQAT_ERROR_INPUT, "no model.safetensors");
    put_shard("model-00001-of-00002.safetensors", "a");
    put_shard("model-00002-of-00002.safetensors", "b");
    put_text("unrelated.safetensors", "not looked at");

    /* Without an index: all model*.safetensors. */
    assert_ok(dq_safetensors_open(&file, dir.path, &error));
    assert_int_equal(dq_safetensors_count(file), 2);
    assert_non_null(dq_safetensors_find(file, "a"));
    assert_non_null(dq_safetensors_find(file, "b"));
    dq_safetensors_close(file);

    static const struct {
        const char *index, *message; /* NULL: must open */
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00002-of-00002.safetensors\"}}",
         NULL},
        {"{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00003-of-00002.safetensors\"}}",
         "names model-00003-of-00002.safetensors, which is not there"},
        {"{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"c\":\"model-00002-of-00002.safetensors\"}}",
         "places tensor c in model-00002-of-00002.safetensors, which does not have it"},
        {"{\"weight_map\":{\"a\":\"model-00002-of-00002.safetensors\"}}", "places tensor a in"},
        {"{\"weight_map\":{\"a\":\"../model-00002-of-00002.safetensors\"}}", "plain file name"},
        {"{\"weight_map\":{\"a\":\"/etc/hostname\"}}", "plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "plain file name"},
        {"{\"weight_map\":{\"a\":3}}", "plain file name"},
        {"{\"weight_map\":{}}", "expected \"weight_map\""},
        {"{}", "expected \"weight_map\""},
        {"[]", "expected \"weight_map\""},
        {"", "empty file"},
        {"{\"weight_map\":", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("model.safetensors.index.json", cases[i].index);
        if (cases[i].message) {
            assert_fails(dq_safetensors_open(&file, dir.path, &error), DLQAT_ERROR_INPUT, cases[i].message);
            continue;
        }
        assert_ok(dq_safetensors_open(&file, dir.path, &error));
        assert_int_equal(dq_safetensors_count(file), 2);
        assert_string_equal(dq_safetensors_metadata(file, "in"), "model-00001-of-00002.safetensors");
        dq_safetensors_close(file);
    }

    /* One name in two files. */
    put_shard("model-00002-of-00002.safetensors", "a");
    put_text(
        "model.safetensors.index.json",
        "{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"x\":\"model-00002-of-00002.safetensors\"}}");
    assert_fails(dq_safetensors_open(&file, dir.path, &error), DLQAT_ERROR_INPUT, "places tensor x");
    assert_int_equal(remove(scratch_file(&dir, path, "model.safetensors.index.json")), 0);
    assert_fails(dq_safetensors_open(&file, dir.path, &error), DLQAT_ERROR_INPUT, "tensor a is in more than one");

    /* model.safetensors goes before an index. */
    put_text("model.safetensors.index.json", "{}");
    put_shard("model.safetensors", "whole");
    assert_ok(dq_safetensors_open(&file, dir.path, &error));
    assert_int_equal(dq_safetensors_count(file), 1);
    dq_safetensors_close(file);
    scratch_remove(&dir);
    dir = outer;
}

/* ---- Writer ---- */

/* Puts 1, 2, 3, .. into the tensor, in pieces of at most piece bytes. */
static dlqat_status put_counting(dq_safetensors_writer *writer, const dq_tensor *tensor, size_t piece,
                                 dlqat_error *error) {
    unsigned char bytes[256];
    for (size_t i = 0; i < tensor->bytes; i++) bytes[i] = (unsigned char)(i + 1);
    for (size_t i = 0; i < tensor->bytes; i += piece) {
        const size_t n = tensor->bytes - i < piece ? tensor->bytes - i : piece;
        dlqat_status status = dq_safetensors_put(writer, bytes + i, n, error);
        if (status != DLQAT_OK) return status;
    }
    return DLQAT_OK;
}

static void test_writes(void **state) {
    (void)state;
    dlqat_error error;
    dq_safetensors_writer *writer;
    scratch_file(&dir, path, "written.safetensors");
    assert_ok(dq_safetensors_create(&writer, path, &error));
    dq_safetensors_set_metadata(writer, "format", "mlx");
    int marks[5];
    assert_ok(dq_safetensors_declare(writer, "z.half", DQ_BF16, 2, (const int64_t[]){3, 5}, &marks[0], &error));
    assert_ok(dq_safetensors_declare(writer, "byte", DQ_U8, 1, (const int64_t[]){3}, &marks[1], &error));
    assert_ok(dq_safetensors_declare(writer, "w\"\303\244", DQ_F32, 0, NULL, &marks[2], &error));
    assert_ok(dq_safetensors_declare(writer, "a.half", DQ_F16, 1, (const int64_t[]){0}, &marks[3], &error));
    assert_ok(dq_safetensors_declare(writer, "codes", DQ_U32, 2, (const int64_t[]){2, 4}, &marks[4], &error));
    assert_fails(dq_safetensors_declare(writer, "q", DQ_Q4_1, 1, (const int64_t[]){32}, NULL, &error),
                 DLQAT_ERROR_UNSUPPORTED, "safetensors has no type Q4_1");
    assert_fails(dq_safetensors_declare(writer, "__metadata__", DQ_F32, 0, NULL, NULL, &error), DLQAT_ERROR_INPUT,
                 "no tensor can have the name");
    assert_fails(dq_safetensors_declare(writer, "n", DQ_F32, 1, (const int64_t[]){-1}, NULL, &error), DLQAT_ERROR_INPUT,
                 "a shape that F32 cannot have");
    assert_fails(dq_safetensors_put(writer, "x", 1, &error), DLQAT_ERROR_INPUT, "before the first tensor");

    /* Alignment descending, then name. */
    static const char *const order[] = {"codes", "w\"\303\244", "a.half", "z.half", "byte"};
    static const int mark_of[] = {4, 2, 3, 0, 1};
    for (int i = 0; i < 5; i++) {
        const dq_tensor *tensor;
        void *user;
        assert_ok(dq_safetensors_next(writer, &tensor, &user, &error));
        assert_string_equal(tensor->name, order[i]);
        assert_ptr_equal(user, &marks[mark_of[i]]);
        assert_ok(put_counting(writer, tensor, 7, &error));
        if (tensor->bytes)
            assert_fails(dq_safetensors_put(writer, "x", 1, &error), DLQAT_ERROR_INPUT, "got more than its");
    }
    const dq_tensor *end;
    void *user;
    assert_ok(dq_safetensors_next(writer, &end, &user, &error));
    assert_null(end);
    assert_false(dq_file_exists(path));
    assert_ok(dq_safetensors_finish(writer, &error));

    dq_safetensors *file;
    assert_ok(dq_safetensors_open(&file, path, &error));
    assert_int_equal(dq_safetensors_count(file), 5);
    assert_string_equal(dq_safetensors_metadata(file, "format"), "mlx");
    const dq_tensor *half = dq_safetensors_find(file, "z.half");
    assert_int_equal(half->dtype, DQ_BF16);
    assert_int_equal(half->shape[1], 5);
    for (int i = 0; i < 30; i++) assert_int_equal(((const unsigned char *)half->data)[i], i + 1);
    for (size_t i = 0; i < 5; i++) { /* every tensor on a multiple of its element's size, seen from the file's start */
        const dq_tensor *tensor = dq_safetensors_at(file, i);
        assert_int_equal((uintptr_t)tensor->data % (uintptr_t)dq_dtype_info(tensor->dtype)->block_bytes, 0);
    }
    dq_safetensors_close(file);
    size_t size;
    char *text;
    uint64_t length;
    assert_ok(dq_read_file(path, &text, &size, &error));
    memcpy(&length, text, 8);
    assert_int_equal(length % 8, 0);
    assert_int_equal(text[8], '{');
    free(text);
}

static void test_writer_refuses_incomplete_files(void **state) {
    (void)state;
    dlqat_error error;
    dq_safetensors_writer *writer;
    const dq_tensor *tensor;
    void *user;
    scratch_file(&dir, path, "incomplete.safetensors");

    assert_ok(dq_safetensors_create(&writer, path, &error));
    assert_ok(dq_safetensors_declare(writer, "a", DQ_F32, 1, (const int64_t[]){2}, NULL, &error));
    assert_ok(dq_safetensors_declare(writer, "b", DQ_F32, 1, (const int64_t[]){2}, NULL, &error));
    assert_ok(dq_safetensors_next(writer, &tensor, &user, &error));
    assert_ok(dq_safetensors_put(writer, "1234", 4, &error));
    assert_fails(dq_safetensors_next(writer, &tensor, &user, &error), DLQAT_ERROR_INPUT,
                 "tensor a got 4 of its 8 bytes");
    assert_ok(dq_safetensors_put(writer, "5678", 4, &error));
    assert_fails(dq_safetensors_declare(writer, "c", DQ_F32, 0, NULL, NULL, &error), DLQAT_ERROR_INPUT,
                 "after the header was written");
    assert_fails(dq_safetensors_finish(writer, &error), DLQAT_ERROR_INPUT,
                 "tensor b was declared, but its bytes never");
    assert_false(dq_file_exists(path));

    assert_ok(dq_safetensors_create(&writer, path, &error));
    assert_ok(dq_safetensors_declare(writer, "a", DQ_F32, 0, NULL, NULL, &error));
    assert_ok(dq_safetensors_declare(writer, "a", DQ_F16, 0, NULL, NULL, &error));
    assert_fails(dq_safetensors_finish(writer, &error), DLQAT_ERROR_INPUT, "tensor a was declared twice");
    assert_false(dq_file_exists(path));

    assert_ok(dq_safetensors_create(&writer, path, &error));
    assert_ok(dq_safetensors_finish(writer, &error)); /* no tensors: {} */
    dq_safetensors *file;
    assert_ok(dq_safetensors_open(&file, path, &error));
    dq_safetensors_close(file);

    assert_ok(dq_safetensors_create(&writer, path, &error));
    dq_safetensors_abandon(writer);
    dq_safetensors_abandon(NULL);
    assert_true(dq_file_exists(path)); /* what was there stays */
    assert_fails(dq_safetensors_create(&writer, scratch_file(&dir, path, "no/such/place"), &error), DLQAT_ERROR_IO,
                 "cannot create");
    assert_null(writer);
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
        cmocka_unit_test(test_reads_what_python_wrote),
        cmocka_unit_test(test_legal_oddities),
        cmocka_unit_test(test_refuses_bad_headers),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_mutations_never_crash),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_writer_refuses_incomplete_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
