/* The option table and what reads it. */
#include "scratch.h"

#include "base/options.h"

#include <math.h>

static const dlqat_command commands[] = {DLQAT_TRAIN,    DLQAT_QUANTIZE, DLQAT_EVAL,     DLQAT_EXPORT,
                                         DLQAT_GENERATE, DLQAT_INFO,     DLQAT_TOKENIZE, DLQAT_COMPARE};
enum { COMMANDS = 8 };

static dlqat_error error;

static dlqat_options *make(dlqat_command command) {
    dlqat_options *options = dlqat_options_new(command);
    assert_non_null(options);
    return options;
}

static scratch dir;

/* A file with this text, named in path; the next call replaces it. */
static void write_file(char path[1024], const char *text) {
    put_bytes(scratch_file(&dir, path, "options.json"), text, strlen(text));
}

/* Rows are sound: a default that its own row accepts, bounds in order, one row per name and command. */
static void table_is_sound(void **state) {
    (void)state;
    for (size_t i = 0; i < dlqat_option_count(); i++) {
        const dlqat_option_info *a = dlqat_option_at(i);
        assert_true(a->name && *a->name && a->help && *a->help && a->section);
        assert_true(strspn(a->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(a->name));
        assert_true((a->required & ~a->commands) == 0);
        assert_int_equal(a->kind == DLQAT_OPTION_CHOICE, a->choices != NULL);
        assert_int_equal(a->kind == DLQAT_OPTION_FLAG, a->value == NULL);
        if (a->kind == DLQAT_OPTION_INT || a->kind == DLQAT_OPTION_REAL) assert_true(a->min < a->max);
        for (size_t j = 0; j < i; j++) {
            const dlqat_option_info *b = dlqat_option_at(j);
            if (strcmp(a->name, b->name) == 0 && (a->commands & b->commands)) fail_msg("two rows for --%s", a->name);
        }
        for (int c = 0; c < COMMANDS; c++) {
            if (!(a->commands & commands[c]) || !a->def) continue;
            dlqat_options *options = make(commands[c]);
            assert_ok(dlqat_options_set(options, a->name, a->def, &error));
            dlqat_options_free(options);
        }
    }
    assert_null(dlqat_option_at(dlqat_option_count()));
}

/* The paper's hyper-parameters and the defaults. */
static void defaults(void **state) {
    (void)state;
    dlqat_options *options = make(DLQAT_TRAIN);
    const dq_settings *s = dq_options_settings(options);
    assert_string_equal(s->method, "dlqat");
    assert_int_equal(s->batch_size, 16);
    assert_int_equal(s->max_steps, 5000);
    assert_true(s->adam_beta1 == 0.9 && s->adam_beta2 == 0.999 && s->adam_epsilon == 1e-8);
    /* What differs from recipe to recipe is left to the recipe. */
    assert_true(s->lora_rank == DQ_AUTO && isnan(s->lora_alpha) && isnan(s->learning_rate) && isnan(s->weight_decay));
    assert_true(isnan(s->max_grad_norm) && isnan(s->warmup_ratio) && !s->lr_scheduler_type);
    assert_true(s->group_size == DQ_AUTO && s->phase1_steps == DQ_AUTO && s->warmup_steps == DQ_AUTO);
    assert_null(s->range);
    assert_null(s->kernels);
    assert_string_equal(s->scale_dtype, "f16");
    assert_false(dq_options_given(options, "batch-size"));
    dlqat_options_free(options);

    options = make(DLQAT_QUANTIZE);
    assert_string_equal(dq_options_settings(options)->method, "rtn");
    dlqat_options_free(options);
}

static void values(void **state) {
    (void)state;
    dlqat_options *options = make(DLQAT_TRAIN);
    const dq_settings *s = dq_options_settings(options);
    assert_ok(dlqat_options_set(options, "learning_rate", "1e-3", &error));
    assert_true(s->learning_rate == 1e-3);
    assert_ok(dlqat_options_set(options, "group-size", "-1", &error));
    assert_int_equal(s->group_size, -1);
    assert_ok(dlqat_options_set(options, "group-size", "auto", &error));
    assert_true(s->group_size == DQ_AUTO);
    assert_ok(dlqat_options_set(options, "range", "adaptive", &error));
    assert_string_equal(s->range, "adaptive");
    assert_ok(dlqat_options_set(options, "range", "auto", &error));
    assert_null(s->range);
    assert_ok(dlqat_options_set(options, "no-shuffle", NULL, &error));
    assert_true(s->no_shuffle);
    assert_ok(dlqat_options_set(options, "no-shuffle", "false", &error));
    assert_false(s->no_shuffle);
    assert_ok(dlqat_options_set(options, "exclude", "a.*", &error));
    assert_ok(dlqat_options_set(options, "exclude", "b.*", &error));
    assert_int_equal(s->exclude.count, 2);
    assert_string_equal(s->exclude.at[1], "b.*");

    assert_fails(dlqat_options_set(options, "bits", "9", &error), DLQAT_ERROR_USAGE, "from 2 to 8");
    assert_fails(dlqat_options_set(options, "bits", "3.5", &error), DLQAT_ERROR_USAGE, "--bits");
    assert_fails(dlqat_options_set(options, "bits", "", &error), DLQAT_ERROR_USAGE, "--bits");
    assert_fails(dlqat_options_set(options, "bits", "99999999999999999999", &error), DLQAT_ERROR_USAGE, "--bits");
    assert_fails(dlqat_options_set(options, "bits", "auto", &error), DLQAT_ERROR_USAGE, "--bits");
    assert_fails(dlqat_options_set(options, "bits", NULL, &error), DLQAT_ERROR_USAGE, "needs a value");
    assert_int_equal(s->bits, 4);
    assert_fails(dlqat_options_set(options, "learning-rate", "nan", &error), DLQAT_ERROR_USAGE, "--learning-rate");
    assert_fails(dlqat_options_set(options, "learning-rate", "-1", &error), DLQAT_ERROR_USAGE, "from 0");
    assert_fails(dlqat_options_set(options, "adam-beta1", "1", &error), DLQAT_ERROR_USAGE, "--adam-beta1");
    assert_fails(dlqat_options_set(options, "range", "fix", &error), DLQAT_ERROR_USAGE, "one of auto|minmax|fixed");
    assert_fails(dlqat_options_set(options, "range", "", &error), DLQAT_ERROR_USAGE, "one of");
    assert_fails(dlqat_options_set(options, "no-shuffle", "maybe", &error), DLQAT_ERROR_USAGE, "true or false");
    dlqat_options_free(options);
}

static void unknown_names(void **state) {
    (void)state;
    dlqat_options *options = make(DLQAT_TRAIN);
    assert_fails(dlqat_options_set(options, "learnign-rate", "1", &error), DLQAT_ERROR_USAGE, "mean --learning-rate?");
    assert_fails(dlqat_options_set(options, "batchsize", "1", &error), DLQAT_ERROR_USAGE, "mean --batch-size?");
    assert_fails(dlqat_options_set(options, "prompt", "x", &error), DLQAT_ERROR_USAGE,
                 "option of generate, not of train");
    assert_fails(dlqat_options_set(options, "zzzzzzzzzz", "x", &error), DLQAT_ERROR_USAGE, "dlqat train --help");
    assert_fails(dlqat_options_set(options, "", "x", &error), DLQAT_ERROR_USAGE, "has no option");
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_fails(dlqat_options_set(options, longer, "x", &error), DLQAT_ERROR_USAGE, "has no option");
    dlqat_options_free(options);
}

static void files(void **state) {
    (void)state;
    char path[1024];
    dlqat_options *options = make(DLQAT_TRAIN);
    const dq_settings *s = dq_options_settings(options);
    assert_ok(dlqat_options_set(options, "bits", "2", &error));
    write_file(path, "{\"bits\": 3, \"learning_rate\": 1e-4, \"max-steps\": 7, \"no_shuffle\": true, \"range\": null,"
                     " \"exclude\": [\"x\", \"y\"], \"lora_alpha\": 8}");
    assert_ok(dlqat_options_load(options, path, &error));
    assert_int_equal(s->bits, 2); /* was set explicitly before */
    assert_true(s->learning_rate == 1e-4 && s->max_steps == 7 && s->no_shuffle && s->lora_alpha == 8);
    assert_null(s->range);
    assert_int_equal(s->exclude.count, 2);
    assert_ok(dlqat_options_set(options, "max-steps", "9", &error)); /* is set explicitly after */
    assert_int_equal(s->max_steps, 9);
    assert_ok(dlqat_options_set(options, "exclude", "z", &error)); /* replaces the file's */
    assert_int_equal(s->exclude.count, 1);
    assert_ok(dq_options_suggest(options, "max-steps", "5", &error));
    assert_int_equal(s->max_steps, 9);
    assert_true(dq_options_given(options, "max-steps") && !dq_options_given(options, "seed"));
    dlqat_options_free(options);

    static const struct {
        const char *text, *message;
        dlqat_status status;
    } bad[] = {
        {"{\"bits\": 33}", "from 2 to 8", DLQAT_ERROR_USAGE},
        {"{\"bits\": [3]}", "expected a string, a number", DLQAT_ERROR_USAGE},
        {"{\"bist\": 3}", "--bits?", DLQAT_ERROR_USAGE},
        {"{\"bits\": 3.5}", "whole number", DLQAT_ERROR_USAGE},
        {"[1]", "expected a JSON object", DLQAT_ERROR_INPUT},
        {"{\"bits\": 3", "not valid JSON", DLQAT_ERROR_INPUT},
        {"", "empty", DLQAT_ERROR_INPUT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options = make(DLQAT_TRAIN);
        write_file(path, bad[i].text);
        assert_fails(dlqat_options_set(options, "config", path, &error), bad[i].status, bad[i].message);
        assert_non_null(strstr(error.message, path));
        dlqat_options_free(options);
    }
    options = make(DLQAT_TRAIN);
    assert_fails(dlqat_options_set(options, "config", "/nowhere/at/all", &error), DLQAT_ERROR_IO, "/nowhere/at/all");
    dlqat_options_free(options);
}

/* What a run records, read back, gives the same record; and a copy is the same too. */
static void record_round_trip(void **state) {
    (void)state;
    char path[1024];
    for (int c = 0; c < COMMANDS; c++) {
        dlqat_options *first = make(commands[c]), *second = make(commands[c]);
        for (size_t i = 0; i < dlqat_option_count(); i++) {
            const dlqat_option_info *info = dlqat_option_at(i);
            char choice[64], number[64];
            if (!(info->commands & commands[c]) || strcmp(info->name, "config") == 0) continue;
            switch (info->kind) {
            case DLQAT_OPTION_FLAG:
                assert_ok(dlqat_options_set(first, info->name, NULL, &error));
                break;
            case DLQAT_OPTION_REAL:
                snprintf(number, sizeof number, "%.17g",
                         info->min > -1 ? info->min + (info->max - info->min) / 3 : 0.1);
                assert_ok(dlqat_options_set(first, info->name, number, &error));
                break;
            case DLQAT_OPTION_INT:
                snprintf(number, sizeof number, "%.0f", info->max);
                assert_ok(dlqat_options_set(first, info->name, number, &error));
                break;
            case DLQAT_OPTION_CHOICE:
                snprintf(choice, sizeof choice, "%s", strrchr(info->choices, '|') + 1);
                assert_ok(dlqat_options_set(first, info->name, choice, &error));
                break;
            case DLQAT_OPTION_LIST:
                assert_ok(dlqat_options_set(first, info->name, "p", &error)); /* fall through */
            case DLQAT_OPTION_STRING:
                assert_ok(dlqat_options_set(first, info->name, "v \"\xc3\xa4\"", &error));
                break;
            }
        }
        json_t *record = dq_options_to_json(first);
        assert_non_null(record);
        char *text = json_dumps(record, JSON_REAL_PRECISION(17));
        write_file(path, text);
        free(text);
        assert_ok(dlqat_options_load(second, path, &error));
        json_t *again = dq_options_to_json(second);
        dlqat_options *third = dq_options_copy(first);
        assert_non_null(third);
        json_t *copied = dq_options_to_json(third);
        assert_true(json_equal(record, again));
        assert_true(json_equal(record, copied));
        json_decref(record);
        json_decref(again);
        json_decref(copied);
        dlqat_options_free(first);
        dlqat_options_free(second);
        dlqat_options_free(third);
    }
}

/* One call of a command: pairs of name and value, ended by NULL; and what the check says of it. */
typedef struct check_case {
    dlqat_command command;
    const char *message; /* NULL: passes */
    const char *options[12];
} check_case;

static void checks(void **state) {
    (void)state;
#define BASE "model", "m", "data", "d", "out", "o"
    static const check_case cases[] = {
        {DLQAT_TRAIN, NULL, {BASE}},
        {DLQAT_TRAIN, "--model PATH is missing", {"data", "d", "out", "o"}},
        {DLQAT_TRAIN, "--data PATH is missing", {"model", "m", "out", "o"}},
        {DLQAT_TRAIN, NULL, {"resume", "r"}},
        {DLQAT_TRAIN, "--phase1-steps 11", {BASE, "phase1-steps", "11", "max-steps", "10"}},
        {DLQAT_TRAIN, NULL, {BASE, "phase1-steps", "10", "max-steps", "10"}},
        {DLQAT_TRAIN, "--warmup-steps 11", {BASE, "warmup-steps", "11", "max-steps", "10"}},
        {DLQAT_TRAIN, "give one of them", {BASE, "warmup-steps", "1", "warmup-ratio", "0.1"}},
        {DLQAT_TRAIN, "exclude each other", {BASE, "validation-data", "v", "validation-split", "0.1"}},
        {DLQAT_TRAIN, "--eval-steps needs", {BASE, "eval-steps", "10"}},
        {DLQAT_TRAIN, NULL, {BASE, "eval-steps", "10", "validation-split", "0.1"}},
        {DLQAT_TRAIN, "--group-size", {BASE, "group-size", "0"}},
        {DLQAT_TRAIN, "too coarse for 6", {BASE, "bits", "6", "scale-dtype", "bf16"}},
        {DLQAT_TRAIN, "too coarse for 8", {BASE, "bits-for", "*=8", "scale-dtype", "bf16"}},
        {DLQAT_TRAIN, NULL, {BASE, "bits", "5", "scale-dtype", "bf16"}},
        {DLQAT_TRAIN, "PATTERN=N", {BASE, "bits-for", "*.down_proj"}},
        {DLQAT_TRAIN, "PATTERN=N", {BASE, "bits-for", "=4"}},
        {DLQAT_TRAIN, "PATTERN=N", {BASE, "bits-for", "x=9"}},
        {DLQAT_TRAIN, "PATTERN=N", {BASE, "bits-for", "x=44"}},
        {DLQAT_TRAIN, NULL, {BASE, "bits-for", "x=y=4"}},
        {DLQAT_INFO, NULL, {"model", "m"}},
        {DLQAT_EVAL, "nothing to evaluate", {"model", "m"}},
        {DLQAT_EVAL, NULL, {"model", "m", "ppl", "t"}},
        {DLQAT_EVAL, NULL, {"model", "m", "ppl", "t", "ppl-protocol", "lmeval,window"}},
        {DLQAT_EVAL, "--ppl-protocol", {"model", "m", "ppl", "t", "ppl-protocol", "window,"}},
        {DLQAT_EVAL, "--ppl-protocol", {"model", "m", "ppl", "t", "ppl-protocol", "windows"}},
        {DLQAT_EXPORT, "--format WORD is missing", {"model", "m", "out", "o"}},
        {DLQAT_EXPORT, "--export-dtype", {"model", "m", "out", "o", "format", "mlx", "export-dtype", "bf16"}},
        {DLQAT_EXPORT, NULL, {"model", "m", "out", "o", "format", "hf", "export-dtype", "bf16"}},
        {DLQAT_GENERATE, "--raw", {"model", "m", "prompt", "p", "raw", "true", "system", "s"}},
        {DLQAT_GENERATE,
         "--resident-weights on leaves none",
         {"model", "m", "prompt", "p", "activations", "int8", "resident-weights", "on"}},
        {DLQAT_GENERATE, NULL, {"model", "m", "prompt", "p", "activations", "int8", "resident-weights", "off"}},
        {DLQAT_COMPARE, NULL, {BASE}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_options *options = make(cases[i].command);
        for (int n = 0; n < 12 && cases[i].options[n]; n += 2)
            assert_ok(dlqat_options_set(options, cases[i].options[n], cases[i].options[n + 1], &error));
        if (cases[i].message)
            assert_fails(dlqat_options_check(options, &error), DLQAT_ERROR_USAGE, cases[i].message);
        else
            assert_ok(dlqat_options_check(options, &error));
        dlqat_options_free(options);
    }
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
        cmocka_unit_test(table_is_sound), cmocka_unit_test(defaults), cmocka_unit_test(values),
        cmocka_unit_test(unknown_names),  cmocka_unit_test(files),    cmocka_unit_test(record_round_trip),
        cmocka_unit_test(checks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
