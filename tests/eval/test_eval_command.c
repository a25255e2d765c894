/* dlqat_eval, dlqat_generate, dlqat_info and dlqat_tokenize through the public header; losses against torch. */
#include "eval_support.h"
#include "scratch.h"

#include "base/buffer.h"

static scratch dir;

static void collect(void *user, const char *bytes, size_t length) {
    dq_buffer_put(user, bytes, length);
}

static void set(dlqat_options *options, const char *name, const char *value) {
    dlqat_error error;
    assert_ok(dlqat_options_set(options, name, value, &error));
}

static double loss_of(const char *model, const char *data, const char *max_length, uint64_t *labels) {
    dlqat_error error;
    char path[1024];
    scratch_file(&dir, path, "figures.json");
    dlqat_options *options = dlqat_options_new(DLQAT_EVAL);
    set(options, "model", model);
    set(options, "loss", data);
    set(options, "max-length", max_length);
    set(options, "template", "alpaca");
    set(options, "threads", "2");
    set(options, "json", path);
    dq_buffer out = {0};
    dlqat_callbacks callbacks = {.user = &out, .output = collect};
    assert_ok(dlqat_eval(options, &callbacks, &error));
    assert_non_null(strstr(out.data, "label tokens of"));
    json_t *figures;
    assert_ok(dq_json_load(path, &figures, &error));
    double loss = number_of(figures, "loss");
    *labels = whole_of(figures, "loss_tokens");
    assert_string_equal(json_string_value(json_object_get(figures, "dtype")), "f32");
    assert_null(json_object_get(figures, "ppl_window"));
    json_decref(figures);
    dq_buffer_free(&out);
    dlqat_options_free(options);
    return loss;
}

static void check_losses(const char *model, const char *name) {
    json_t *values = load_values();
    const json_t *expected = json_object_get(json_object_get(values, name), "loss");
    char max_length[16];
    uint64_t labels;
    snprintf(max_length, sizeof max_length, "%d", (int)number_of(expected, "max_length"));
    /* f32 against f64: the mean of some hundred losses of about 7. */
    double loss = loss_of(model, EVAL_FIXTURE("rows.jsonl"), max_length, &labels);
    assert_near("instruction rows", loss, number_of(expected, "alpaca"), 1e-6);
    assert_int_equal(labels, whole_of(expected, "alpaca_labels"));
    loss = loss_of(model, EVAL_FIXTURE("texts.jsonl"), max_length, &labels);
    assert_near("text rows", loss, number_of(expected, "text"), 1e-6);
    assert_int_equal(labels, whole_of(expected, "text_labels"));
    json_decref(values);
}

static void losses_agree(void **state) {
    (void)state;
    check_losses(EVAL_FIXTURE("bos"), "bos");
    check_losses(EVAL_FIXTURE("plain"), "plain");
}

static void losses_agree_on_stories(void **state) {
    (void)state;
    char path[1024];
    shared_data(path, "models/stories260K/config.json");
    *strrchr(path, '/') = '\0';
    check_losses(path, "stories260K");
}

static void every_protocol_has_its_key(void **state) {
    (void)state;
    dlqat_error error;
    char path[1024];
    scratch_file(&dir, path, "figures.json");
    dlqat_options *options = dlqat_options_new(DLQAT_EVAL);
    set(options, "model", EVAL_FIXTURE("bos"));
    set(options, "ppl", EVAL_FIXTURE("text.txt"));
    set(options, "ppl-protocol", "llamacpp,window,lmeval");
    set(options, "window", "64");
    set(options, "max-windows", "2");
    set(options, "json", path);
    dq_buffer out = {0};
    dlqat_callbacks callbacks = {.user = &out, .output = collect};
    assert_ok(dlqat_eval(options, &callbacks, &error));
    json_t *figures, *values = load_values();
    assert_ok(dq_json_load(path, &figures, &error));
    const json_t *expected = json_object_get(values, "bos");
    assert_int_equal(whole_of(figures, "window"), 64);
    assert_int_equal(whole_of(figures, "windows"), 2);
    assert_int_equal(whole_of(figures, "ppl_llamacpp_targets"), 2 * 31);
    assert_int_equal(whole_of(figures, "ppl_window_targets"), 2 * 63);
    /* --max-windows does not cut documents. */
    const json_t *words = json_array_get(json_object_get(expected, "word_ppl_lmeval"), 1);
    assert_near("word_ppl_lmeval", number_of(figures, "word_ppl_lmeval"), number_of(words, "value"), 4e-6);
    assert_non_null(strstr(out.data, "ppl_window"));
    assert_non_null(strstr(out.data, "word_ppl_lmeval"));
    json_decref(figures);
    json_decref(values);
    dq_buffer_free(&out);
    dlqat_options_free(options);
}

static void resident_weights_change_nothing(void **state) {
    (void)state;
    dlqat_error error;
    dq_buffer out[2] = {{0}, {0}};
    for (int on = 0; on < 2; on++) {
        dlqat_options *options = dlqat_options_new(DLQAT_GENERATE);
        set(options, "model", TEST_FIXTURES "/eval/plain");
        set(options, "prompt", "The lamp keeper of");
        set(options, "raw", NULL);
        set(options, "max-new-tokens", "20");
        set(options, "resident-weights", on ? "on" : "off");
        dlqat_callbacks callbacks = {.user = &out[on], .output = collect};
        assert_ok(dlqat_generate(options, &callbacks, &error));
        dlqat_options_free(options);
    }
    assert_string_equal(out[0].data, out[1].data);
    assert_int_equal(out[0].data[out[0].size - 1], '\n');
    dq_buffer_free(&out[0]);
    dq_buffer_free(&out[1]);
}

static void tokenize_to(const char *flags, const char *text, const char *expected) {
    dlqat_error error;
    dq_buffer out = {0};
    dlqat_options *options = dlqat_options_new(DLQAT_TOKENIZE);
    set(options, "model", EVAL_FIXTURE("bos"));
    if (strchr(flags, 'l')) set(options, "lines", NULL);
    if (strchr(flags, 'd')) set(options, "decode", NULL);
    if (strchr(flags, 'n')) set(options, "no-special", NULL);
    dlqat_callbacks callbacks = {.user = &out, .output = collect};
    assert_ok(dlqat_tokenize(options, text, strlen(text), &callbacks, &error));
    assert_string_equal(out.data ? out.data : "", expected);
    dq_buffer_free(&out);
    dlqat_options_free(options);
}

static void tokenize_goes_both_ways(void **state) {
    (void)state;
    /* Id 3 is <s>. A byte-level alphabet begins at 4 with '!'. */
    tokenize_to("", "!!", "3 4 4\n");
    tokenize_to("n", "!!", "4 4\n");
    tokenize_to("ln", "!\n!!\n\n!", "4\n4 4\n\n4\n");
    tokenize_to("d", "3 4 4\n", "<s>!!");
    tokenize_to("dn", "3 4, 4\n", "!!");
    tokenize_to("dln", "4\n\n4 4", "!\n\n!!\n");
    dlqat_error error;
    dlqat_options *options = dlqat_options_new(DLQAT_TOKENIZE);
    set(options, "model", EVAL_FIXTURE("bos"));
    set(options, "decode", NULL);
    assert_fails(dlqat_tokenize(options, "4 x7", 4, NULL, &error), DLQAT_ERROR_INPUT, "found \"x7\"");
    assert_fails(dlqat_tokenize(options, "4 -7", 4, NULL, &error), DLQAT_ERROR_INPUT, "found \"-7\"");
    assert_fails(dlqat_tokenize(options, "99999999999", 11, NULL, &error), DLQAT_ERROR_INPUT, "99999999999");
    assert_true(dlqat_tokenize(options, "5000", 4, NULL, &error) == DLQAT_ERROR_INPUT);
    dlqat_options_free(options);
}

static void info_tells_what_it_is(void **state) {
    (void)state;
    dlqat_error error;
    dq_buffer out = {0};
    dlqat_options *options = dlqat_options_new(DLQAT_INFO);
    set(options, "model", EVAL_FIXTURE("bos"));
    set(options, "group-size", "32");
    dlqat_callbacks callbacks = {.user = &out, .output = collect};
    assert_ok(dlqat_info(options, &callbacks, &error));
    /* 2 layers of 2 x 32 x 32 + 2 x 16 x 32 + 3 x 32 x 64, 320 x 32 embedded, 5 norms of 32 */
    const char *const facts[] = {"llama",  "2 layers", "hidden 32", "18,432", "10,240",
                                 "28,832", "chatml",   "W_hat",     "total",  "adds BOS <s> (3)"};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        if (!strstr(out.data, facts[i])) fail_msg("info does not say \"%s\":\n%s", facts[i], out.data);
    dq_buffer_free(&out);
    dlqat_options_free(options);
}

static void empty_texts_are_refused(void **state) {
    (void)state;
    dlqat_error error;
    dlqat_options *options = dlqat_options_new(DLQAT_EVAL);
    set(options, "model", EVAL_FIXTURE("bos"));
    set(options, "ppl", "/dev/null");
    assert_true(dlqat_eval(options, NULL, &error) != DLQAT_OK);
    dlqat_options_free(options);
    options = dlqat_options_new(DLQAT_EVAL);
    set(options, "model", EVAL_FIXTURE("bos"));
    set(options, "ppl", EVAL_FIXTURE("there-is-none.txt"));
    assert_fails(dlqat_eval(options, NULL, &error), DLQAT_ERROR_IO, "there-is-none.txt");
    dlqat_options_free(options);
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
        cmocka_unit_test(losses_agree),
        cmocka_unit_test(losses_agree_on_stories),
        cmocka_unit_test(every_protocol_has_its_key),
        cmocka_unit_test(resident_weights_change_nothing),
        cmocka_unit_test(tokenize_goes_both_ways),
        cmocka_unit_test(info_tells_what_it_is),
        cmocka_unit_test(empty_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
