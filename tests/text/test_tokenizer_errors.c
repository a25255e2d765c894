/* What a tokenizer file can have wrong: each case is refused with a message that names it; damaged files never crash. */
#include "scratch.h"
#include "support.h"

#include "base/json.h"
#include "formats/mutate.h"
#include "text/tokenizer.h"

#include <time.h>

static dlqat_error error;

/* A valid file; a case replaces one part of it. */
#define ADDED "{\"id\":3,\"content\":\"<s>\",\"special\":true}"
#define MODEL "\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]"
#define FILE_WITH(added, normalizer, splitter, post, decoder, model)                                                   \
    "{\"added_tokens\":[" added "],\"normalizer\":" normalizer ",\"pre_tokenizer\":" splitter                          \
    ",\"post_processor\":" post ",\"decoder\":" decoder ",\"model\":{" model "}}"
#define WITH_ADDED(x)      FILE_WITH(x, "null", "null", "null", "null", MODEL)
#define WITH_NORMALIZER(x) FILE_WITH(ADDED, x, "null", "null", "null", MODEL)
#define WITH_SPLITTER(x)   FILE_WITH(ADDED, "null", x, "null", "null", MODEL)
#define WITH_POST(x)       FILE_WITH(ADDED, "null", "null", x, "null", MODEL)
#define WITH_DECODER(x)    FILE_WITH(ADDED, "null", "null", "null", x, MODEL)
#define WITH_MODEL(x)      FILE_WITH(ADDED, "null", "null", "null", "null", x)
#define WITH_REGEX(x)      WITH_SPLITTER("{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"" x "\"}}")
#define VOCAB(x)           WITH_MODEL("\"type\":\"BPE\",\"vocab\":{" x "},\"merges\":[]")
#define MERGES(x)          WITH_MODEL("\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":" x)

static const struct {
    const char *text;
    dlqat_status status;
    const char *says;
} cases[] = {
    {"{}", DLQAT_ERROR_INPUT, "\"model\" must be an object"},
    {"{\"model\":", DLQAT_ERROR_INPUT, "not valid JSON"},
    {"[]", DLQAT_ERROR_INPUT, "SentencePiece"},
    {WITH_MODEL("\"type\":\"WordPiece\",\"vocab\":{}"), DLQAT_ERROR_UNSUPPORTED, "\"WordPiece\""},
    {WITH_MODEL("\"type\":\"Unigram\",\"vocab\":[]"), DLQAT_ERROR_UNSUPPORTED, "\"Unigram\""},
    {WITH_MODEL("\"type\":\"WordLevel\",\"vocab\":{}"), DLQAT_ERROR_UNSUPPORTED, "\"WordLevel\""},
    {WITH_MODEL("\"vocab\":{}"), DLQAT_ERROR_UNSUPPORTED, "without a name"},
    {WITH_MODEL("\"type\":7"), DLQAT_ERROR_INPUT, "\"type\" must be a string"},
    {WITH_MODEL(MODEL ",\"dropout\":0.1"), DLQAT_ERROR_UNSUPPORTED, "dropout"},
    {WITH_MODEL(MODEL ",\"end_of_word_suffix\":\"</w>\""), DLQAT_ERROR_UNSUPPORTED, "end_of_word_suffix"},
    {WITH_MODEL(MODEL ",\"continuing_subword_prefix\":\"##\""), DLQAT_ERROR_UNSUPPORTED, "continuing_subword_prefix"},
    {WITH_MODEL(MODEL ",\"unk_token\":\"<unk>\""), DLQAT_ERROR_INPUT, "unk_token"},
    {WITH_MODEL(MODEL ",\"byte_fallback\":1"), DLQAT_ERROR_INPUT, "byte_fallback"},
    {VOCAB("\"a\":0,\"b\":0"), DLQAT_ERROR_INPUT, "id 0 is given to two tokens"},
    {VOCAB("\"a\":0,\"a\":1"), DLQAT_ERROR_INPUT, "duplicate"},
    {VOCAB("\"a\":-1"), DLQAT_ERROR_INPUT, "has the id -1"},
    {VOCAB("\"a\":1e3"), DLQAT_ERROR_INPUT, "whole number"},
    {VOCAB("\"a\":\"0\""), DLQAT_ERROR_INPUT, "whole number"},
    {VOCAB("\"a\":4000000000"), DLQAT_ERROR_INPUT, "has the id 4000000000"},
    {VOCAB("\"a\":9223372036854775807"), DLQAT_ERROR_INPUT, "has the id 9223372036854775807"},
    {MERGES("{}"), DLQAT_ERROR_INPUT, "\"merges\" must be an array"},
    {MERGES("[\"a c\"]"), DLQAT_ERROR_INPUT, "merge 0 (\"a\" and \"c\")"},
    {MERGES("[\"a b\",\"b a\"]"), DLQAT_ERROR_INPUT, "merge 1 (\"b\" and \"a\")"},
    {MERGES("[\"ab\"]"), DLQAT_ERROR_INPUT, "two tokens"},
    {MERGES("[\"a b c\"]"), DLQAT_ERROR_INPUT, "two tokens"},
    {MERGES("[[\"a\"]]"), DLQAT_ERROR_INPUT, "two tokens"},
    {MERGES("[[\"a\",1]]"), DLQAT_ERROR_INPUT, "two tokens"},
    {WITH_ADDED("7"), DLQAT_ERROR_INPUT, "added_tokens"},
    {WITH_ADDED("{\"id\":3}"), DLQAT_ERROR_INPUT, "added_tokens"},
    {WITH_ADDED("{\"id\":3,\"content\":\"\"}"), DLQAT_ERROR_INPUT, "empty"},
    {WITH_ADDED("{\"id\":-3,\"content\":\"x\"}"), DLQAT_ERROR_INPUT, "added_tokens"},
    {WITH_ADDED("{\"id\":99999999,\"content\":\"x\"}"), DLQAT_ERROR_INPUT, "has the id 99999999"},
    {WITH_ADDED("{\"id\":0,\"content\":\"x\"}"), DLQAT_ERROR_INPUT, "otherwise"},
    {WITH_ADDED("{\"id\":5,\"content\":\"a\"}"), DLQAT_ERROR_INPUT, "otherwise"},
    {WITH_ADDED("{\"id\":5,\"content\":\"x\"},{\"id\":5,\"content\":\"y\"}"), DLQAT_ERROR_INPUT, "otherwise"},
    {WITH_ADDED("{\"id\":5,\"content\":\"x\",\"lstrip\":\"yes\"}"), DLQAT_ERROR_INPUT, "lstrip"},
    {WITH_NORMALIZER("{\"type\":\"BertNormalizer\"}"), DLQAT_ERROR_UNSUPPORTED,
     "normalizer of type \"BertNormalizer\""},
    {WITH_NORMALIZER("{\"type\":\"Precompiled\"}"), DLQAT_ERROR_UNSUPPORTED, "\"Precompiled\""},
    {WITH_NORMALIZER("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}"), DLQAT_ERROR_UNSUPPORTED,
     "\"Lowercase\""},
    {WITH_NORMALIZER("{\"type\":\"Sequence\"}"), DLQAT_ERROR_INPUT, "\"normalizers\""},
    {WITH_NORMALIZER("\"NFC\""), DLQAT_ERROR_INPUT, "\"type\""},
    {WITH_NORMALIZER("{\"type\":\"Prepend\"}"), DLQAT_ERROR_INPUT, "\"prepend\""},
    {WITH_NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"), DLQAT_ERROR_INPUT,
     "empty string"},
    {WITH_SPLITTER("{\"type\":\"Whitespace\"}"), DLQAT_ERROR_UNSUPPORTED, "pre_tokenizer of type \"Whitespace\""},
    {WITH_SPLITTER("{\"type\":\"Split\",\"behavior\":\"Odd\",\"pattern\":{\"String\":\"a\"}}"), DLQAT_ERROR_UNSUPPORTED,
     "\"Odd\""},
    {WITH_SPLITTER("{\"type\":\"Metaspace\",\"replacement\":\"__\"}"), DLQAT_ERROR_INPUT, "one character"},
    {WITH_SPLITTER("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}"), DLQAT_ERROR_INPUT,
     "prepend_scheme"},
    {WITH_REGEX("(a"), DLQAT_ERROR_INPUT, "cannot be compiled"},
    {WITH_REGEX("[a"), DLQAT_ERROR_UNSUPPORTED, "a class that does not end"},
    {WITH_REGEX("\\\\bword"), DLQAT_ERROR_UNSUPPORTED, "\\b"},
    {WITH_REGEX("\\\\h"), DLQAT_ERROR_UNSUPPORTED, "\\h"},
    {WITH_REGEX("a{1,2}+"), DLQAT_ERROR_UNSUPPORTED, "a repeat of a repeat"},
    {WITH_REGEX("[a&&b]"), DLQAT_ERROR_UNSUPPORTED, "a set within a class"},
    {WITH_REGEX("[[:alpha:]]"), DLQAT_ERROR_UNSUPPORTED, "a set within a class"},
    {WITH_REGEX("(?<name>a)"), DLQAT_ERROR_UNSUPPORTED, "a group"},
    {WITH_REGEX("(?R)"), DLQAT_ERROR_UNSUPPORTED, "a group"},
    {WITH_REGEX("\\\\p{Klingon}"), DLQAT_ERROR_INPUT, "cannot be compiled"},
    {WITH_POST("{\"type\":\"BertProcessing\"}"), DLQAT_ERROR_UNSUPPORTED, "post_processor of type \"BertProcessing\""},
    {WITH_POST("{\"type\":\"TemplateProcessing\",\"single\":[],\"special_tokens\":{}}"), DLQAT_ERROR_INPUT,
     "one Sequence A"},
    {WITH_POST(
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],\"special_tokens\":{}}"),
     DLQAT_ERROR_INPUT, "\"ids\""},
    {WITH_POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],"
               "\"special_tokens\":{\"x\":{\"ids\":[70]}}}"),
     DLQAT_ERROR_INPUT, "vocabulary"},
    {WITH_DECODER("{\"type\":\"WordPiece\"}"), DLQAT_ERROR_UNSUPPORTED, "decoder of type \"WordPiece\""},
    {WITH_DECODER("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"b\"}"), DLQAT_ERROR_UNSUPPORTED,
     "regular expression"},
};

static void open_text(dlqat_status status, const char *text, const char *says) {
    scratch s;
    char path[1024];
    dq_tokenizer *tokenizer;
    scratch_make(&s);
    put_bytes(scratch_file(&s, path, "tokenizer.json"), text, strlen(text));
    assert_fails(dq_tokenizer_open(&tokenizer, path, &error), status, says);
    assert_non_null(strstr(error.message, path));
    assert_null(tokenizer);
    scratch_remove(&s);
}

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) open_text(cases[i].status, cases[i].text, cases[i].says);
}

static void test_template_is_valid(void **state) {
    (void)state;
    scratch s;
    char path[1024];
    dq_tokenizer *tokenizer;
    const char text[] = WITH_MODEL(MODEL);
    scratch_make(&s);
    put_bytes(scratch_file(&s, path, "tokenizer.json"), text, sizeof text - 1);
    assert_ok(dq_tokenizer_open(&tokenizer, path, &error)); /* else every case above would prove nothing */
    int32_t beyond = 4, negative = -1;
    dq_buffer out = {0};
    assert_fails(dq_tokenizer_decode(tokenizer, &beyond, 1, false, &out, &error), DLQAT_ERROR_INPUT, "id 4");
    assert_fails(dq_tokenizer_decode(tokenizer, &negative, 1, false, &out, &error), DLQAT_ERROR_INPUT, "id -1");
    dq_buffer_free(&out);
    dq_tokenizer_close(tokenizer);
    scratch_remove(&s);
}

static void test_missing(void **state) {
    (void)state;
    scratch s;
    dq_tokenizer *tokenizer;
    scratch_make(&s);
    assert_fails(dq_tokenizer_open(&tokenizer, s.path, &error), DLQAT_ERROR_INPUT, "tokenizer.json or tokenizer.model");
    char path[1024];
    assert_fails(dq_tokenizer_open(&tokenizer, scratch_file(&s, path, "none"), &error), DLQAT_ERROR_IO, "none");
    put_bytes(scratch_file(&s, path, "empty"), "", 0);
    assert_fails(dq_tokenizer_open(&tokenizer, path, &error), DLQAT_ERROR_INPUT, "empty");
    scratch_remove(&s);
}

/* A tokenizer.json of one case as GGUF, with a key's value changed. */
static void write_gguf(const char *path, const char *model, const char *pre, int type_count) {
    static const char *const tokens[] = {"a", "b", "ab", "<s>"};
    static const size_t lengths[] = {1, 1, 2, 3};
    static const int32_t types[] = {1, 1, 1, 3};
    static const char *const merges[] = {"a b"};
    static const size_t merge_lengths[] = {3};
    dq_gguf_writer *writer;
    const dq_tensor *tensor;
    void *user;
    assert_ok(dq_gguf_create(&writer, path, &error));
    dq_gguf_set_string(writer, "tokenizer.ggml.model", model);
    dq_gguf_set_string(writer, "tokenizer.ggml.pre", pre);
    dq_gguf_set_strings(writer, "tokenizer.ggml.tokens", tokens, lengths, 4);
    dq_gguf_set_i32s(writer, "tokenizer.ggml.token_type", types, (size_t)type_count);
    dq_gguf_set_strings(writer, "tokenizer.ggml.merges", merges, merge_lengths, 1);
    assert_ok(dq_gguf_next(writer, &tensor, &user, &error));
    assert_ok(dq_gguf_finish(writer, &error));
}

static void test_gguf(void **state) {
    (void)state;
    scratch s;
    char path[1024];
    dq_tokenizer *tokenizer;
    scratch_make(&s);
    scratch_file(&s, path, "x.gguf");
    write_gguf(path, "gpt2", "gpt-2", 4);
    assert_ok(dq_tokenizer_open(&tokenizer, path, &error));
    assert_true(dq_tokenizer_is_special(tokenizer, 3));
    dq_tokenizer_close(tokenizer);
    write_gguf(path, "gpt2", "unheard-of", 4);
    assert_fails(dq_tokenizer_open(&tokenizer, path, &error), DLQAT_ERROR_UNSUPPORTED, "\"unheard-of\"");
    write_gguf(path, "bert", "gpt-2", 4);
    assert_fails(dq_tokenizer_open(&tokenizer, path, &error), DLQAT_ERROR_UNSUPPORTED, "\"bert\"");
    write_gguf(path, "llama", "default", 4);
    assert_fails(dq_tokenizer_open(&tokenizer, path, &error), DLQAT_ERROR_INPUT, "scores");
    write_gguf(path, "gpt2", "gpt-2", 3);
    assert_fails(dq_tokenizer_open(&tokenizer, path, &error), DLQAT_ERROR_INPUT, "token_type has 3 elements");
    scratch_remove(&s);
}

/* Opens damaged copies of a fixture, and tokenizes with those that open. */
static void damage(const char *fixture, const char *name, int rounds) {
    static const char text[] = "the  words <s>\xe4\xb8\xad 123 \xff <|a|>b";
    scratch s;
    char path[1024];
    size_t size, opened = 0;
    unsigned char *bytes = fixture_bytes(fixture, &size), *copy = malloc(size);
    assert_non_null(copy);
    scratch_make(&s);
    scratch_file(&s, path, name);
    for (int i = 0; i < rounds; i++) {
        put_bytes(path, copy, mutate(copy, bytes, size, (uint64_t)i));
        dq_tokenizer *tokenizer;
        if (dq_tokenizer_open(&tokenizer, path, &error) != DLQAT_OK) {
            assert_non_null(strstr(error.message, path));
            continue;
        }
        opened++;
        dq_ids ids = {0};
        dq_buffer out = {0};
        dlqat_status status = dq_tokenizer_encode(tokenizer, text, sizeof text, DQ_ENCODE_SPECIAL, &ids, &error);
        if (status == DLQAT_OK) assert_ok(dq_tokenizer_decode(tokenizer, ids.at, ids.count, true, &out, &error));
        dq_ids_free(&ids);
        dq_buffer_free(&out);
        dq_tokenizer_close(tokenizer);
    }
    print_message("%s: %zu of %d damaged copies open\n", fixture, opened, rounds);
    free(bytes);
    free(copy);
    scratch_remove(&s);
}

static void test_damage(void **state) {
    (void)state;
    damage("tokenizers/gpt2_nfc_added.json", "tokenizer.json", 600);
    damage("tokenizers/legacy_added.json", "tokenizer.json", 600);
    damage("tokenizers/unk_fused.json", "tokenizer.json", 600);
    damage("tokenizers/spaces.model", "tokenizer.model", 600);
}

/* An expression that tries every way to divide a run of a's: refused in a moment, not after minutes. */
static void test_endless_expression(void **state) {
    (void)state;
    static const char file[] = WITH_REGEX("(a+|aa)+[cd]");
    char text[60], path[1024];
    memset(text, 'a', sizeof text);
    scratch s;
    scratch_make(&s);
    scratch_file(&s, path, "tokenizer.json");
    put_bytes(path, file, sizeof file - 1);
    dq_tokenizer *tokenizer;
    dq_ids ids = {0};
    assert_ok(dq_tokenizer_open(&tokenizer, path, &error));
    const clock_t began = clock();
    assert_fails(dq_tokenizer_encode(tokenizer, text, sizeof text, DQ_ENCODE_PLAIN, &ids, &error), DLQAT_ERROR_INPUT,
                 "match limit");
    /* Milliseconds; a billion steps took seconds. */
    assert_true((double)(clock() - began) / CLOCKS_PER_SEC < 1);
    dq_ids_free(&ids);
    dq_tokenizer_close(tokenizer);
    scratch_remove(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_is_valid),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_endless_expression),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
