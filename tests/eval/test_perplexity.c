/* The three perplexities against torch, and against the harness itself. */
#include "eval_support.h"

#include "eval/perplexity.h"

/* f32 against f64. The loss of a token is off by some 1e-6, its mean by a tenth of that; a perplexity is relatively off by as
 * much, one per word by 2 to 3 times as much, a word having so many tokens. */
static const double TOLERANCE = 2e-6, WORD_TOLERANCE = 4e-6;

static void check(eval_setup *setup, const dq_map *text, dq_protocol protocol, const json_t *expected, bool wikitext,
                  int64_t most) {
    dlqat_error error;
    dq_perplexity p;
    dq_perplexity_options options = {
        .window = json_integer_value(json_object_get(expected, "window")), .max_windows = most, .wikitext = wikitext};
    assert_ok(dq_perplexity_measure(&p, protocol, bench_of(setup, NULL), (const char *)text->data, text->size, &options,
                                    &error));
    bool words = protocol == DQ_PPL_LMEVAL;
    assert_near(dq_protocol_key(protocol), p.value, number_of(expected, "value"), words ? WORD_TOLERANCE : TOLERANCE);
    assert_int_equal(p.window, options.window);
    if (words) {
        assert_int_equal(p.words, whole_of(expected, "words"));
        assert_int_equal(p.documents, whole_of(expected, "documents"));
    } else {
        assert_int_equal(p.windows, whole_of(expected, "windows"));
        assert_int_equal(p.targets, whole_of(expected, "targets"));
    }
}

static void check_model(const char *path, const char *name) {
    dlqat_error error;
    dq_map text;
    json_t *values = load_values();
    const json_t *expected = json_object_get(values, name), *one;
    eval_setup setup = open_setup(path);
    assert_ok(dq_map_open(&text, EVAL_FIXTURE("text.txt"), &error));
    size_t windows = json_array_size(json_object_get(expected, "windows")), i;
    json_array_foreach(json_object_get(expected, "ppl_window"), i, one)
        check(&setup, &text, DQ_PPL_WINDOW, one, false, i < windows ? 0 : 2);
    json_array_foreach(json_object_get(expected, "ppl_llamacpp"), i, one)
        check(&setup, &text, DQ_PPL_LLAMACPP, one, false, 0);
    json_array_foreach(json_object_get(expected, "word_ppl_lmeval"), i, one)
        check(&setup, &text, DQ_PPL_LMEVAL, one, false, 0);
    json_array_foreach(json_object_get(expected, "word_ppl_wikitext"), i, one)
        check(&setup, &text, DQ_PPL_LMEVAL, one, true, 0);
    dq_map_close(&text);
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

static void own_windows_follow_the_context(void **state) {
    (void)state;
    dlqat_error error;
    dq_map text;
    dq_perplexity p;
    dq_perplexity_options options = {0};
    eval_setup setup = open_setup(EVAL_FIXTURE("bos"));
    assert_ok(dq_map_open(&text, EVAL_FIXTURE("text.txt"), &error));
    const char *bytes = (const char *)text.data;
    for (int i = 0; i < DQ_PROTOCOLS; i++) { /* 2048 and 512 are beyond its context of 320 */
        assert_ok(
            dq_perplexity_measure(&p, (dq_protocol)i, bench_of(&setup, NULL), bytes, text.size, &options, &error));
        assert_int_equal(p.window, 320);
    }
    dq_map_close(&text);
    close_setup(&setup);
}

static void short_texts_are_refused(void **state) {
    (void)state;
    dlqat_error error;
    dq_perplexity p;
    dq_perplexity_options options = {.window = 32};
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    const dq_bench *bench = bench_of(&setup, NULL);
    assert_fails(dq_perplexity_measure(&p, DQ_PPL_WINDOW, bench, "A bell.", 7, &options, &error), DLQAT_ERROR_INPUT,
                 "give a longer text, or a smaller --window");
    assert_fails(dq_perplexity_measure(&p, DQ_PPL_LLAMACPP, bench, "A bell.", 7, &options, &error), DLQAT_ERROR_INPUT,
                 "--window");
    assert_fails(dq_perplexity_measure(&p, DQ_PPL_LMEVAL, bench, "", 0, &options, &error), DLQAT_ERROR_INPUT, "empty");
    options.wikitext = true;
    assert_fails(dq_perplexity_measure(&p, DQ_PPL_LMEVAL, bench, " \n \n", 4, &options, &error), DLQAT_ERROR_INPUT,
                 "empty");
    close_setup(&setup);
}

static bool stop_at_once(void *user) {
    ++*(int *)user;
    return true;
}

static void stops_when_told(void **state) {
    (void)state;
    dlqat_error error;
    dq_map text;
    dq_perplexity p;
    dq_perplexity_options options = {.window = 32};
    int asked = 0;
    dlqat_callbacks callbacks = {.user = &asked, .should_stop = stop_at_once};
    eval_setup setup = open_setup(EVAL_FIXTURE("plain"));
    assert_ok(dq_map_open(&text, EVAL_FIXTURE("text.txt"), &error));
    assert_fails(dq_perplexity_measure(&p, DQ_PPL_WINDOW, bench_of(&setup, &callbacks), (const char *)text.data,
                                       text.size, &options, &error),
                 DLQAT_INTERRUPTED, "ppl_window, after 0 of");
    assert_int_equal(asked, 1);
    dq_map_close(&text);
    close_setup(&setup);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_where_bos_is_added), cmocka_unit_test(agrees_without_bos),
        cmocka_unit_test(agrees_on_stories),         cmocka_unit_test(own_windows_follow_the_context),
        cmocka_unit_test(short_texts_are_refused),   cmocka_unit_test(stops_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
