/* Generation against transformers' generate, and the text that goes out. */
#include "eval_support.h"

#include "eval/generate.h"
#include "eval/text_stream.h"

typedef struct text_out {
    dq_text_stream stream;
    dq_buffer text;
} text_out;

static void read_ids(const json_t *array, dq_ids *ids) {
    dlqat_error error;
    size_t i;
    const json_t *one;
    json_array_foreach(array, i, one) assert_ok(dq_ids_add(ids, (int32_t)json_integer_value(one), &error));
}

static void assert_same_ids(const dq_ids *a, const dq_ids *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        if (a->at[i] != b->at[i]) fail_msg("token %zu: %d, expected %d", i, (int)a->at[i], (int)b->at[i]);
}

/* One continuation of values.json: the prompt made from its text, the tokens that follow, and where they end. */
static void check_continuation(eval_setup *setup, const json_t *expected, const dq_template *template,
                               const char *prompt) {
    dlqat_error error;
    dq_ids given = {0}, made = {0}, follow = {0};
    read_ids(json_object_get(expected, "prompt"), &given);
    read_ids(json_object_get(expected, "ids"), &follow);
    assert_ok(dq_prompt_ids(setup->model->tokenizer, template, NULL, prompt, &made, &error));
    assert_same_ids(&made, &given);

    const dq_bench *bench = bench_of(setup, NULL);
    dq_generation how = {.max_new_tokens = (int64_t)follow.count};
    dq_generated got;
    assert_ok(dq_generate(&got, bench, &how, made.at, made.count, &error));
    assert_same_ids(&got.ids, &follow);
    assert_int_equal(got.end, DQ_END_LENGTH);
    dq_ids_free(&got.ids);

    /* The first token that was not there before becomes a stop: it ends the text and is not part of it. */
    size_t stop = follow.count;
    for (size_t i = 1; i < follow.count && stop == follow.count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++) seen = seen || follow.at[j] == follow.at[i];
        if (!seen) stop = i;
    }
    assert_true(stop < follow.count);
    how.stops = (dq_stops){.at = {follow.at[stop]}, .count = 1};
    assert_ok(dq_generate(&got, bench, &how, made.at, made.count, &error));
    assert_int_equal(got.ids.count, stop);
    assert_int_equal(got.end, DQ_END_STOP);
    dq_ids_free(&got.ids);
    dq_ids_free(&given);
    dq_ids_free(&made);
    dq_ids_free(&follow);
}

static void check_model(const char *path, const char *name) {
    dlqat_error error;
    json_t *values = load_values();
    const json_t *expected = json_object_get(values, name), *chat = json_object_get(expected, "chat");
    const char *prompt = json_string_value(json_object_get(values, "prompt"));
    eval_setup setup = open_setup(path);
    check_continuation(&setup, json_object_get(expected, "raw"), NULL, prompt);
    if (chat) {
        dq_template template;
        assert_ok(dq_template_open(&template, DQ_TEMPLATE_AUTO, setup.model->tokenizer, &error));
        check_continuation(&setup, chat, &template, prompt);
        dq_stops stops = dq_prompt_stops(setup.model, &template);
        assert_int_equal(stops.count, 2); /* <|endoftext|> of the configurations, <|im_end|> of the template */
        assert_true(dq_stops_has(&stops, 0));
        assert_true(dq_stops_has(&stops, dq_tokenizer_find(setup.model->tokenizer, "<|im_end|>")));
        dq_template_close(&template);
    }
    close_setup(&setup);
    json_decref(values);
}

static void agrees_where_bos_is_added(void **state) {
    (void)state;
    check_model(EVAL_FIXTURE("bos"), "bos");
}

static void agrees_without_bos(void **state) {
    (void)state;
    check_model(EVAL_FIXTURE("plain"), "plain");
}

static void agrees_on_stories(void **state) {
    (void)state;
    char path[1024];
    shared_data(path, "models/stories260K/config.json");
    *strrchr(path, '/') = '\0';
    check_model(path, "stories260K");
}

static void sample(eval_setup *setup, const dq_sampling *sampling, dq_generated *got) {
    dlqat_error error;
    const int32_t prompt[] = {40, 41, 42};
    dq_generation how = {.sampling = *sampling, .max_new_tokens = 30};
    assert_ok(dq_generate(got, bench_of(setup, NULL), &how, prompt, 3, &error));
}

static void seeds_are_reproducible(void **state) {
    (void)state;
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    dq_generated greedy, first, a, b, c;
    sample(&setup, &(dq_sampling){.temperature = 0, .top_p = 1}, &greedy);
    sample(&setup, &(dq_sampling){.temperature = 1, .top_k = 1, .top_p = 1, .seed = 3}, &first);
    sample(&setup, &(dq_sampling){.temperature = 1, .top_p = 0.9, .seed = 3}, &a);
    sample(&setup, &(dq_sampling){.temperature = 1, .top_p = 0.9, .seed = 3}, &b);
    sample(&setup, &(dq_sampling){.temperature = 1, .top_p = 0.9, .seed = 4}, &c);
    assert_same_ids(&first.ids, &greedy.ids);
    assert_same_ids(&a.ids, &b.ids);
    assert_memory_not_equal(a.ids.at, c.ids.at, 30 * sizeof(int32_t));
    dq_generated *all[] = {&greedy, &first, &a, &b, &c};
    for (int i = 0; i < 5; i++) dq_ids_free(&all[i]->ids);
    close_setup(&setup);
}

static void ends_with_the_context(void **state) {
    (void)state;
    dlqat_error error;
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    const dq_bench *bench = bench_of(&setup, NULL);
    int32_t prompt[320];
    for (int i = 0; i < 320; i++) prompt[i] = 10 + i % 200;
    dq_generation how = {.max_new_tokens = 100};
    dq_generated got;
    assert_ok(dq_generate(&got, bench, &how, prompt, 300, &error));
    assert_int_equal(got.end, DQ_END_CONTEXT);
    assert_int_equal(got.ids.count, 20); /* of 320 */
    dq_ids_free(&got.ids);
    assert_fails(dq_generate(&got, bench, &how, prompt, 320, &error), DLQAT_ERROR_INPUT, "shorten the prompt");
    dq_ids_free(&got.ids);
    assert_fails(dq_generate(&got, bench, &how, prompt, 0, &error), DLQAT_ERROR_INPUT, "empty");
    dq_ids_free(&got.ids);
    close_setup(&setup);
}

static bool stop_third(void *user) {
    return ++*(int *)user > 3;
}

static void stops_when_told(void **state) {
    (void)state;
    dlqat_error error;
    int asked = 0;
    dlqat_callbacks callbacks = {.user = &asked, .should_stop = stop_third};
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    const int32_t prompt[] = {40, 41, 42};
    dq_generation how = {.max_new_tokens = 30};
    dq_generated got;
    assert_fails(dq_generate(&got, bench_of(&setup, &callbacks), &how, prompt, 3, &error), DLQAT_INTERRUPTED,
                 "generation");
    assert_int_equal(got.ids.count, 3); /* asked before the prompt, and before each further token */
    dq_ids_free(&got.ids);
    close_setup(&setup);
}

/* A piece of text holds whole characters: no byte sequence is cut. */
static bool is_whole(const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        size_t length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
        if (length == 0 || i + length > size) return false;
        for (size_t j = 1; j < length; j++)
            if (((unsigned char)text[i + j] & 0xc0) != 0x80) return false;
        i += length;
    }
    return true;
}

static void check_stream(const dq_tokenizer *tokenizer, const char *before, const char *text) {
    dlqat_error error;
    dq_ids context = {0}, ids = {0};
    dq_buffer piece = {0}, all = {0};
    dq_text_stream stream;
    assert_ok(dq_tokenizer_encode(tokenizer, before, strlen(before), DQ_ENCODE_PLAIN, &context, &error));
    assert_ok(dq_tokenizer_encode(tokenizer, text, strlen(text), DQ_ENCODE_PLAIN, &ids, &error));
    assert_ok(dq_text_stream_open(&stream, tokenizer, context.at, context.count, &error));
    size_t pieces = 0;
    for (size_t i = 0; i < ids.count; i++) {
        piece.size = 0;
        assert_ok(dq_text_stream_put(&stream, ids.at[i], &piece, &error));
        assert_true(is_whole(piece.data, piece.size));
        pieces += piece.size > 0;
        dq_buffer_put(&all, piece.data, piece.size);
    }
    assert_ok(dq_text_stream_end(&stream, &all, &error));
    assert_string_equal(all.data, text);
    assert_true(pieces > 1 && pieces <= ids.count);
    dq_text_stream_close(&stream);
    dq_buffer_free(&piece);
    dq_buffer_free(&all);
    dq_ids_free(&context);
    dq_ids_free(&ids);
}

/* Every byte that is not ASCII is a token of its own here. */
static const char many_bytes[] = "Gr\xc3\xbc\xc3\x9f"
                                 "e, \xe6\x97\xa5\xe6\x9c\xac \xe2\x80\x94 \xf0\x9f\x98\x80\xf0\x9f\x98\x80 the bell";

static void characters_come_whole(void **state) {
    (void)state;
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    check_stream(setup.model->tokenizer, "", many_bytes);
    check_stream(setup.model->tokenizer, "It was ", many_bytes);
    close_setup(&setup);
}

static void what_is_cut_comes_at_the_end(void **state) {
    (void)state;
    dlqat_error error;
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    dq_ids ids = {0};
    dq_buffer out = {0};
    dq_text_stream stream;
    const dq_tokenizer *tokenizer = setup.model->tokenizer;
    assert_ok(dq_tokenizer_encode(tokenizer, "\xe6\x97\xa5", 3, DQ_ENCODE_PLAIN, &ids, &error));
    assert_int_equal(ids.count, 3);
    assert_ok(dq_text_stream_open(&stream, tokenizer, NULL, 0, &error));
    for (int i = 0; i < 2; i++) assert_ok(dq_text_stream_put(&stream, ids.at[i], &out, &error));
    assert_int_equal(out.size, 0);
    assert_ok(dq_text_stream_end(&stream, &out, &error));
    assert_true(out.size > 0); /* the two bytes, or what the decoder puts in their place */
    dq_text_stream_close(&stream);
    dq_buffer_free(&out);
    dq_ids_free(&ids);
    close_setup(&setup);
}

/* SentencePiece drops the space at the start of a text, and not within one. */
static void continuations_keep_their_space(void **state) {
    (void)state;
    char path[1024];
    dlqat_error error;
    dq_tokenizer *tokenizer;
    shared_data(path, "models/stories260K/tokenizer.json");
    *strrchr(path, '/') = '\0';
    assert_ok(dq_tokenizer_open(&tokenizer, path, &error));
    dq_ids ids = {0}, context = {0};
    dq_buffer out = {0};
    assert_ok(dq_tokenizer_encode(tokenizer, "Once upon", 9, DQ_ENCODE_SPECIAL, &context, &error));
    assert_ok(dq_tokenizer_encode(tokenizer, "a time", 6, DQ_ENCODE_PLAIN, &ids, &error));
    for (int with = 0; with < 2; with++) {
        dq_text_stream stream;
        out.size = 0;
        assert_ok(dq_text_stream_open(&stream, tokenizer, context.at, with ? context.count : 0, &error));
        for (size_t i = 0; i < ids.count; i++) assert_ok(dq_text_stream_put(&stream, ids.at[i], &out, &error));
        assert_ok(dq_text_stream_end(&stream, &out, &error));
        assert_string_equal(out.data, with ? " a time" : "a time");
        dq_text_stream_close(&stream);
    }
    dq_buffer_free(&out);
    dq_ids_free(&ids);
    dq_ids_free(&context);
    dq_tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_where_bos_is_added),
        cmocka_unit_test(agrees_without_bos),
        cmocka_unit_test(agrees_on_stories),
        cmocka_unit_test(seeds_are_reproducible),
        cmocka_unit_test(ends_with_the_context),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(characters_come_whole),
        cmocka_unit_test(what_is_cut_comes_at_the_end),
        cmocka_unit_test(continuations_keep_their_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
