/* The small tokenizers of fixtures/tokenizers: ids and texts as Hugging Face's `tokenizers` and sentencepiece give them
 * (make_tokenizers.py). */
#include "support.h"

#include "base/json.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

static dlqat_error error;

typedef struct tally {
    const char *name;
    size_t wrong, checked;
    dq_encoder *encoder; /* for all texts, and so with words that came before */
} tally;

static void report(tally *t, const json_t *text, const char *what) {
    if (t->wrong++ < 5)
        print_error("%s: %s of \"%s\" differ\n", t->name, what, json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII));
}

static bool are(const dq_ids *ids, const json_t *expected) {
    bool same = ids->count == json_array_size(expected);
    for (size_t i = 0; same && i < ids->count; i++)
        same = ids->at[i] == json_integer_value(json_array_get(expected, i));
    return same;
}

static void check_ids(tally *t, const dq_tokenizer *tokenizer, const json_t *text, unsigned flags,
                      const json_t *expected, const char *what) {
    dq_ids ids = {0};
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    assert_ok(dq_tokenizer_encode(tokenizer, bytes, length, flags, &ids, &error));
    if (!are(&ids, expected)) report(t, text, what);
    for (int time = 0; time < 2; time++) {
        ids.count = 0;
        assert_ok(dq_encoder_encode(t->encoder, bytes, length, flags, &ids, &error));
        if (!are(&ids, expected)) report(t, text, what);
    }
    t->checked++;
    dq_ids_free(&ids);
}

static void check_text(tally *t, const dq_tokenizer *tokenizer, const json_t *text, const json_t *list, bool skip,
                       const json_t *expected, const char *what) {
    int32_t ids[1024];
    size_t count = json_array_size(list);
    assert_true(count <= 1024);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    dq_buffer bytes = {0}, repaired = {0};
    assert_ok(dq_tokenizer_decode(tokenizer, ids, count, skip, &bytes, &error));
    dq_utf8_repair(bytes.data, bytes.size, &repaired);
    size_t length = json_string_length(expected);
    if (repaired.size != length || memcmp(repaired.data, json_string_value(expected), length)) report(t, text, what);
    /* Streaming: the text of the first ids is how the text of all of them begins. */
    dq_buffer first = {0};
    assert_ok(dq_tokenizer_decode(tokenizer, ids, count / 2, skip, &first, &error));
    if (first.size > bytes.size || (first.size && memcmp(first.data, bytes.data, first.size)))
        report(t, text, "beginnings of the text");
    t->checked++;
    dq_buffer_free(&bytes);
    dq_buffer_free(&repaired);
    dq_buffer_free(&first);
}

static const json_t *either(const json_t *object, const char *key, const json_t *other) {
    const json_t *value = json_object_get(object, key);
    return value ? value : other;
}

static json_t *load_cases(void) {
    json_t *cases;
    assert_ok(dq_json_load(TEST_FIXTURES "/tokenizers/cases.json", &cases, &error));
    return cases;
}

/* All cases under the name through a tokenizer; skips decoding where the fixture has none. */
static void check_cases(const char *name, const dq_tokenizer *tokenizer, const json_t *cases) {
    tally t = {.name = name};
    assert_ok(dq_encoder_open(&t.encoder, tokenizer, &error));
    const json_t *item;
    size_t index;
    json_array_foreach(cases, index, item) {
        const json_t *text = json_object_get(item, "text"), *ids = json_object_get(item, "ids");
        const json_t *plain = either(item, "plain", ids), *decoded = json_object_get(item, "decoded");
        check_ids(&t, tokenizer, text, DQ_ENCODE_NO_ADDED, either(item, "untrusted", plain), "untrusted ids");
        if (!ids) continue;
        check_ids(&t, tokenizer, text, DQ_ENCODE_SPECIAL, ids, "ids");
        check_ids(&t, tokenizer, text, DQ_ENCODE_PLAIN, plain, "plain ids");
        check_text(&t, tokenizer, text, ids, false, decoded, "decoded text");
        check_text(&t, tokenizer, text, ids, true, either(item, "skipped", decoded), "text without special tokens");
    }
    dq_encoder_close(t.encoder);
    assert_int_equal(t.wrong, 0);
    assert_true(t.checked >= 40);
}

static void test_fixtures(void **state) {
    (void)state;
    json_t *all = load_cases();
    const char *name;
    json_t *cases;
    json_object_foreach(all, name, cases) {
        char path[1024];
        snprintf(path, sizeof path, "%s/tokenizers/%s", TEST_FIXTURES, name);
        dq_tokenizer *tokenizer;
        assert_ok(dq_tokenizer_open(&tokenizer, path, &error));
        check_cases(name, tokenizer, cases);
        dq_tokenizer_close(tokenizer);
    }
    assert_true(json_object_size(all) >= 20);
    json_decref(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixtures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
