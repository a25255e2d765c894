/* The files beside tokenizer.json, and tokenizers written out and read again. Expected ids are Hugging Face's
 * (fixtures/tokenizers/cases.json): what is written must still give them. */
#include "scratch.h"
#include "support.h"

#include "base/json.h"
#include "text/tokenizer.h"

static dlqat_error error;

static const char bpe_file[] =
    "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true},{\"id\":4,\"content\":\"</"
    "s>\",\"special\":true}],"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[3],\"tokens\":["
    "\"<s>\"]}}},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}";

typedef struct beside {
    const char *config, *map, *jinja;
    int32_t bos, eos;
    int first, last; /* ids of "a" with special tokens */
    const char *chat_template;
    const char *fails; /* with this message */
} beside;

static const beside besides[] = {
    {NULL, NULL, NULL, 3, -1, 3, 0, NULL, NULL},
    {"{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"chat_template\":\"T\"}", NULL, NULL, 3, 4, 3, 0, "T", NULL},
    {"{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":{\"content\":\"</s>\"}}", NULL, NULL, 3, 4, 3, 0, NULL, NULL},
    {"{\"bos_token\":\"<s>\",\"eos_token\":null,\"add_bos_token\":false}", NULL, NULL, 3, -1, 0, 0, NULL, NULL},
    {"{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_eos_token\":true}", NULL, NULL, 3, 4, 3, 4, NULL, NULL},
    {"{}", "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"}}", NULL, 3, 4, 3, 0, NULL, NULL},
    {"{\"eos_token\":\"</s>\"}", "{\"eos_token\":\"<s>\"}", NULL, 3, 4, 3, 0, NULL, NULL},
    {"{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"U\"},{\"name\":\"default\",\"template\":\"D\"}]}", NULL,
     NULL, 3, -1, 3, 0, "D", NULL},
    {"{\"chat_template\":\"T\"}", NULL, "J\n", 3, -1, 3, 0, "J\n", NULL},
    {"{\"model_max_length\":1000000000000000019884624838656,\"eos_token\":\"</s>\"}", NULL, NULL, 3, 4, 3, 0, NULL,
     NULL},
    {"{\"eos_token\":\"<end>\"}", NULL, NULL, 0, 0, 0, 0, NULL, "eos_token \"<end>\""},
    {"{\"chat_template\":7}", NULL, NULL, 0, 0, 0, 0, NULL, "chat_template"},
    {"{\"add_bos_token\":\"yes\"}", NULL, NULL, 0, 0, 0, 0, NULL, "add_bos_token"},
    {"[]", NULL, NULL, 0, 0, 0, 0, NULL, "must be an object"},
};

static void put_text(const scratch *s, const char *name, const char *text) {
    char path[1024];
    if (text) put_bytes(scratch_file(s, path, name), text, strlen(text));
}

static void test_beside(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof besides / sizeof *besides; i++) {
        const beside *b = &besides[i];
        scratch s;
        dq_tokenizer *tokenizer;
        scratch_make(&s);
        put_text(&s, "tokenizer.json", bpe_file);
        put_text(&s, "tokenizer_config.json", b->config);
        put_text(&s, "special_tokens_map.json", b->map);
        put_text(&s, "chat_template.jinja", b->jinja);
        if (b->fails)
            assert_fails(dq_tokenizer_open(&tokenizer, s.path, &error), DLQAT_ERROR_INPUT, b->fails);
        else {
            dq_ids ids = {0};
            assert_ok(dq_tokenizer_open(&tokenizer, s.path, &error));
            assert_int_equal(dq_tokenizer_bos(tokenizer), b->bos);
            assert_int_equal(dq_tokenizer_eos(tokenizer), b->eos);
            assert_ok(dq_tokenizer_encode(tokenizer, "a", 1, DQ_ENCODE_SPECIAL, &ids, &error));
            assert_int_equal(ids.at[0], b->first);
            assert_int_equal(ids.at[ids.count - 1], b->last);
            assert_int_equal(dq_tokenizer_adds_bos(tokenizer), b->bos >= 0 && b->first == b->bos);
            const char *text = dq_tokenizer_chat_template(tokenizer);
            assert_true(b->chat_template ? text && !strcmp(text, b->chat_template) : !text);
            dq_ids_free(&ids);
            dq_tokenizer_close(tokenizer);
        }
        scratch_remove(&s);
    }
}

static void test_lookups(void **state) {
    (void)state;
    scratch s;
    dq_tokenizer *t;
    scratch_make(&s);
    put_text(&s, "tokenizer.json", bpe_file);
    assert_ok(dq_tokenizer_open(&t, s.path, &error));
    size_t length;
    assert_int_equal(dq_tokenizer_vocabulary_size(t), 5);
    assert_int_equal(dq_tokenizer_find(t, "ab"), 2);
    assert_int_equal(dq_tokenizer_find(t, "<s>"), 3);
    assert_int_equal(dq_tokenizer_find(t, "ba"), -1);
    assert_string_equal(dq_tokenizer_token(t, 4, &length), "</s>");
    assert_int_equal(length, 4);
    assert_null(dq_tokenizer_token(t, 5, &length));
    assert_null(dq_tokenizer_token(t, -1, &length));
    assert_true(dq_tokenizer_is_special(t, 3));
    assert_false(dq_tokenizer_is_special(t, 0));
    assert_false(dq_tokenizer_is_special(t, 5));
    dq_tokenizer_close(t);
    scratch_remove(&s);
}

/* Whether the ids are still those of the fixture: with special tokens where it has such, else without any. */
static void check_ids(const char *name, const dq_tokenizer *tokenizer) {
    json_t *all, *item;
    size_t index, checked = 0;
    assert_ok(dq_json_load(TEST_FIXTURES "/tokenizers/cases.json", &all, &error));
    json_array_foreach(json_object_get(all, name), index, item) {
        const json_t *text = json_object_get(item, "text"), *expected = json_object_get(item, "ids");
        unsigned flags = expected ? DQ_ENCODE_SPECIAL : DQ_ENCODE_NO_ADDED;
        if (!expected) expected = json_object_get(item, "untrusted");
        dq_ids ids = {0};
        assert_ok(
            dq_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), flags, &ids, &error));
        bool same = ids.count == json_array_size(expected);
        for (size_t i = 0; same && i < ids.count; i++)
            same = ids.at[i] == json_integer_value(json_array_get(expected, i));
        if (!same) fail_msg("%s: ids of case %zu differ", name, index);
        dq_ids_free(&ids);
        checked++;
    }
    assert_true(checked >= 40);
    json_decref(all);
}

static dq_tokenizer *open_fixture(const char *name) {
    char path[1024];
    dq_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/tokenizers/%s", TEST_FIXTURES, name);
    assert_ok(dq_tokenizer_open(&tokenizer, path, &error));
    return tokenizer;
}

static dq_tokenizer *through_hf(dq_tokenizer *tokenizer) {
    scratch s;
    dq_tokenizer *again;
    scratch_make(&s);
    assert_ok(dq_tokenizer_save_hf(tokenizer, s.path, &error));
    assert_ok(dq_tokenizer_open(&again, s.path, &error));
    scratch_remove(&s);
    dq_tokenizer_close(tokenizer);
    return again;
}

static dlqat_status save_gguf(const dq_tokenizer *tokenizer, const char *path, int64_t rows) {
    dq_gguf_writer *writer;
    const dq_tensor *tensor;
    void *user;
    assert_ok(dq_gguf_create(&writer, path, &error));
    dlqat_status status = dq_tokenizer_save_gguf(tokenizer, writer, rows, &error);
    if (status != DLQAT_OK) {
        dq_gguf_abandon(writer);
        return status;
    }
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    return dq_gguf_finish(writer, &error);
}

static dq_tokenizer *through_gguf(dq_tokenizer *tokenizer) {
    scratch s;
    char path[1024];
    dq_tokenizer *again;
    scratch_make(&s);
    scratch_file(&s, path, "x.gguf");
    int32_t size = dq_tokenizer_vocabulary_size(tokenizer);
    assert_ok(save_gguf(tokenizer, path, size + 5));
    assert_ok(dq_tokenizer_open(&again, path, &error));
    assert_int_equal(dq_tokenizer_vocabulary_size(again), size + 5);
    scratch_remove(&s);
    dq_tokenizer_close(tokenizer);
    return again;
}

static void test_save_hf(void **state) {
    (void)state;
    json_t *all, *cases;
    const char *name;
    assert_ok(dq_json_load(TEST_FIXTURES "/tokenizers/cases.json", &all, &error));
    json_object_foreach(all, name, cases) {
        dq_tokenizer *tokenizer = through_hf(open_fixture(name));
        check_ids(name, tokenizer);
        dq_tokenizer_close(tokenizer);
    }
    json_decref(all);
}

/* Those that GGUF can hold: by name of the pre-tokenizer, or as scores. And back again to Hugging Face's form. */
static void test_save_gguf(void **state) {
    (void)state;
    static const char *const names[] = {"ignore_merges.json", "legacy.json", "spaces.model", "gpt2_plain.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        dq_tokenizer *tokenizer = through_gguf(open_fixture(names[i]));
        check_ids(names[i], tokenizer);
        tokenizer = through_hf(tokenizer);
        check_ids(names[i], tokenizer);
        dq_tokenizer_close(tokenizer);
    }
}

static void test_save_gguf_refuses(void **state) {
    (void)state;
    static const struct {
        const char *name, *says;
        dlqat_status status;
        int extra;
    } refused[] = {
        {"cased.json", "pre-tokenizer", DLQAT_ERROR_UNSUPPORTED, 0},
        {"split_removed.json", "pre-tokenizer", DLQAT_ERROR_UNSUPPORTED, 0},
        {"llama3_regex.json", "pre-tokenizer", DLQAT_ERROR_UNSUPPORTED,
         0}, /* without ignore_merges it is not Llama 3's */
        {"collapsed.model", "normalizer", DLQAT_ERROR_UNSUPPORTED, 0},
        {"gpt2_plain.json", "embedding", DLQAT_ERROR_INPUT, -1},
    };
    scratch s;
    char path[1024];
    scratch_make(&s);
    scratch_file(&s, path, "x.gguf");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        dq_tokenizer *tokenizer = open_fixture(refused[i].name);
        int64_t rows = dq_tokenizer_vocabulary_size(tokenizer) + refused[i].extra;
        assert_fails(save_gguf(tokenizer, path, rows), refused[i].status, refused[i].says);
        assert_false(dq_file_exists(path));
        dq_tokenizer_close(tokenizer);
    }
    scratch_remove(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside),    cmocka_unit_test(test_lookups),           cmocka_unit_test(test_save_hf),
        cmocka_unit_test(test_save_gguf), cmocka_unit_test(test_save_gguf_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
