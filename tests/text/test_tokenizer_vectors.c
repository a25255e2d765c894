/* llama.cpp's own vocabulary tests: texts in NAME.inp, separated by a line of their own, and the ids of each on a line of
 * NAME.out. The ids are those of the original tokenizers, no special token added. */
#include "support.h"

#include "base/file.h"
#include "text/tokenizer.h"

static dlqat_error error;

static dq_ids read_ids(const char *line) {
    dq_ids ids = {0};
    for (;;) {
        char *end;
        long id = strtol(line, &end, 10);
        if (end == line || memchr(line, '\n', (size_t)(end - line))) return ids;
        ids.at = realloc(ids.at, (ids.count + 1) * sizeof *ids.at);
        assert_non_null(ids.at);
        ids.at[ids.count++] = (int32_t)id;
        line = end;
    }
}

static bool same_ids(const dq_ids *a, const dq_ids *b) {
    return a->count == b->count && (!a->count || !memcmp(a->at, b->at, a->count * sizeof *a->at));
}

/* Every text of the vectors through the tokenizer at `file`. */
static void check(const char *name, const char *file, size_t expected_texts) {
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char path[1024], *inputs, *outputs;
    dq_tokenizer *tokenizer;
    assert_ok(dq_tokenizer_open(&tokenizer, shared_data(path, file), &error));
    char part[256];
    snprintf(part, sizeof part, "tokenizers/vectors/ggml-vocab-%s.gguf.inp", name);
    assert_ok(dq_read_file(shared_data(path, part), &inputs, NULL, &error));
    memcpy(strstr(part, ".inp"), ".out", 4);
    assert_ok(dq_read_file(shared_data(path, part), &outputs, NULL, &error));
    size_t texts = 0, wrong = 0;
    for (const char *text = inputs, *line = outputs; text; texts++) {
        const char *end = strstr(text, separator), *newline = strchr(line, '\n');
        size_t length = end ? (size_t)(end - text) : strlen(text);
        if (!end && !length) break; /* behind the last separator */
        dq_ids ids = {0}, expected = read_ids(line);
        assert_ok(dq_tokenizer_encode(tokenizer, text, length, DQ_ENCODE_PLAIN, &ids, &error));
        if (!same_ids(&ids, &expected)) {
            print_error("%s: text %zu (\"%.*s\") differs\n", file, texts, (int)length, text);
            wrong++;
        }
        dq_ids_free(&ids);
        dq_ids_free(&expected);
        text = end ? end + sizeof separator - 1 : NULL;
        line = newline ? newline + 1 : "";
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(texts, expected_texts);
    free(inputs);
    free(outputs);
    dq_tokenizer_close(tokenizer);
}

static void test_gpt2(void **state) {
    (void)state;
    check("gpt-2", "tokenizers/vectors/ggml-vocab-gpt-2.gguf", 46);
}

static void test_llama3(void **state) {
    (void)state;
    check("llama-bpe", "tokenizers/llama3/tokenizer.json", 46);
}

static void test_qwen2(void **state) {
    (void)state;
    check("qwen2", "tokenizers/qwen2_5/tokenizer.json", 46);
}

static void test_llama2_gguf(void **state) {
    (void)state;
    check("llama-spm", "tokenizers/vectors/ggml-vocab-llama-spm.gguf", 46);
}

static void test_llama2_sentencepiece(void **state) {
    (void)state;
    check("llama-spm", "tokenizers/llama2_tokenizer.model", 46);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_llama2_gguf),
        cmocka_unit_test(test_llama2_sentencepiece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
