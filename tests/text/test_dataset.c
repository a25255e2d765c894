/* Rows of data: ids and targets as Hugging Face's tokenizers give them; bad data named; splits; orders. */
#include "scratch.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "text/dataset.h"

#include <stdlib.h>

typedef struct setting {
    scratch dir;
    char path[1024];
    dq_tokenizer *bytes, *pieces;
    dq_template bytes_own, pieces_own, alpaca;
    json_t *cases;
} setting;

static int set_up(void **state) {
    dlqat_error error = {0};
    setting *s = calloc(1, sizeof *s);
    assert_non_null(s);
    scratch_make(&s->dir);
    assert_ok(dq_tokenizer_open(&s->bytes, TEST_FIXTURES "/datasets/bytes", &error));
    assert_ok(dq_tokenizer_open(&s->pieces, TEST_FIXTURES "/datasets/pieces", &error));
    assert_ok(dq_template_open(&s->bytes_own, DQ_TEMPLATE_AUTO, s->bytes, &error));
    assert_ok(dq_template_open(&s->pieces_own, DQ_TEMPLATE_AUTO, s->pieces, &error));
    assert_ok(dq_template_open(&s->alpaca, DQ_TEMPLATE_ALPACA, s->bytes, &error));
    json_t *all = NULL;
    assert_ok(dq_json_load(TEST_FIXTURES "/datasets/datasets.json", &all, &error));
    s->cases = json_incref(json_object_get(all, "cases"));
    json_decref(all);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    setting *s = *state;
    dq_template_close(&s->bytes_own);
    dq_template_close(&s->pieces_own);
    dq_template_close(&s->alpaca);
    dq_tokenizer_close(s->bytes);
    dq_tokenizer_close(s->pieces);
    json_decref(s->cases);
    scratch_remove(&s->dir);
    free(s);
    return 0;
}

/* Writes a file of the test's directory and returns its path. */
static const char *write_text(setting *s, const char *name, const char *text, size_t length) {
    dlqat_error error = {0};
    scratch_file(&s->dir, s->path, name);
    assert_ok(dq_write_file(s->path, text, length, &error));
    return s->path;
}

typedef enum file_form { ARRAY, LINES } file_form;

/* Rows of the fixture as a file in one of the two forms; a string is plain text. */
static const char *write_rows(setting *s, const json_t *data, file_form form) {
    if (json_is_string(data)) return write_text(s, "data.txt", json_string_value(data), json_string_length(data));
    dq_buffer text = {0};
    if (form == ARRAY) {
        char *whole = json_dumps(data, JSON_INDENT(1));
        dq_buffer_puts(&text, whole);
        free(whole);
    } else {
        dq_buffer_puts(&text, "\xef\xbb\xbf\n \t\n"); /* a byte order mark, and lines without anything */
        for (size_t i = 0; i < json_array_size(data); i++) {
            char *row = json_dumps(json_array_get(data, i), JSON_COMPACT);
            dq_buffer_puts(&text, row);
            dq_buffer_puts(&text, i % 2 ? "\r\n\n" : "\n");
            free(row);
        }
        text.size--; /* the last line may lack its end */
    }
    const char *path = write_text(s, form == ARRAY ? "data.json" : "data.unknown", text.data, text.size);
    dq_buffer_free(&text);
    return path;
}

static void check_case(setting *s, const json_t *entry, file_form form) {
    dlqat_error error = {0};
    bool bytes = strcmp(json_string_value(json_object_get(entry, "tokenizer")), "bytes") == 0;
    bool alpaca = strcmp(json_string_value(json_object_get(entry, "template")), "alpaca") == 0;
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    dq_dataset_options options = {.max_length = (int)json_integer_value(json_object_get(entry, "max_length")),
                                  .template = alpaca  ? &s->alpaca
                                              : bytes ? &s->bytes_own
                                                      : &s->pieces_own,
                                  .tokenizer = bytes ? s->bytes : s->pieces};
    dq_dataset data;
    assert_ok(dq_dataset_open(&data, write_rows(s, json_object_get(entry, "data"), form), &options, &error));
    const json_t *rows = json_object_get(entry, "rows");
    assert_string_equal(data.kind, kind);
    assert_int_equal(data.rows, json_array_size(rows));
    assert_int_equal(data.dropped, json_integer_value(json_object_get(entry, "dropped")));
    assert_int_equal(data.truncated, json_integer_value(json_object_get(entry, "truncated")));
    size_t labels = 0;
    assert_int_equal(data.begin[0], 0);
    for (size_t row = 0; row < data.rows; row++) {
        const json_t *ids = json_object_get(json_array_get(rows, row), "ids");
        const json_t *learned = json_object_get(json_array_get(rows, row), "learned");
        size_t begin = data.begin[row], count = data.begin[row + 1] - begin;
        if (count != json_array_size(ids))
            fail_msg("%s, %s, row %zu: %zu tokens, expected %zu", bytes ? "bytes" : "pieces", kind, row, count,
                     json_array_size(ids));
        for (size_t i = 0; i < count; i++) {
            if (data.ids[begin + i] != json_integer_value(json_array_get(ids, i)) ||
                data.learned[begin + i] != json_integer_value(json_array_get(learned, i)))
                fail_msg("%s, %s, row %zu, token %zu: id %d learned %d, expected %d %d", bytes ? "bytes" : "pieces",
                         kind, row, i, data.ids[begin + i], data.learned[begin + i],
                         (int)json_integer_value(json_array_get(ids, i)),
                         (int)json_integer_value(json_array_get(learned, i)));
            labels += data.learned[begin + i];
        }
    }
    assert_int_equal(data.tokens, data.begin[data.rows]);
    assert_int_equal(data.labels, labels);
    dq_dataset_close(&data);
}

static void equals_hugging_face(void **state) {
    setting *s = *state;
    json_t *entry;
    size_t index;
    json_array_foreach(s->cases, index, entry) {
        check_case(s, entry, ARRAY);
        check_case(s, entry, LINES);
    }
    assert_int_equal(index, 10);
}

/* Bad data: one line that names the file, the place, and what was expected. */
static void names_what_is_wrong(void **state) {
    setting *s = *state;
    static const struct {
        const char *name, *text, *says[3];
    } cases[] = {
        {"a.jsonl", "", {"empty"}},
        {"a.txt", " \n\n", {"empty"}},
        {"a.json", "[]", {"empty"}},
        {"a.json", "[ {\"text\": \"x\"}", {"line 1", "cut off"}},
        {"a.json", "[{\"text\": \"x\"} {\"text\": \"y\"}]", {"line 1", "\",\" or \"]\""}},
        {"a.json", "[{\"text\": \"x\"},\n\n 7]", {"line 3", "an object"}},
        {"a.json", "[{\"text\": \"x\"}]\n]", {"line 2", "nothing after"}},
        {"a.json", "[\"x\"]", {"line 1", "an object"}},
        {"a.json", "hello", {"line 1", "list of objects"}},
        {"a.jsonl", "{\"text\": \"x\"}\n\n{\"text\": \"y\"\n", {"line 3", "row 2", "not valid JSON"}},
        {"a.jsonl", "{\"text\": \"x\"}\n[1]\n", {"line 2", "row 2", "an object"}},
        {"a.jsonl", "{\"text\": \"x\"}\nplain words\n", {"line 2", "not valid JSON"}},
        {"a.jsonl", "{\"text\": \"x\"} {\"text\": \"y\"}\n", {"line 1", "row 1"}},
        {"a.jsonl", "{\"text\": \"bad \xff utf-8\"}\n", {"line 1", "row 1", "not valid JSON"}},
        {"a.jsonl", "{\"text\": \"a\\u0000b\"}\n", {"row 1", "\"text\"", "NUL"}},
        {"a.jsonl", "{\"text\": \"\\ud800\"}\n", {"row 1", "not valid JSON"}},
        {"a.jsonl", "{\"text\": 7}\n", {"row 1", "\"text\" must be a string"}},
        {"a.jsonl", "{\"text\": \"x\", \"text\": \"y\"}\n", {"row 1", "not valid JSON"}},
        {"a.jsonl", "{\"prompt\": \"x\", \"completion\": \"y\"}\n", {"row 1", "\"instruction\"", "found \"prompt\""}},
        {"a.jsonl", "{}\n", {"row 1", "found none"}},
        {"a.jsonl", "{\"instruction\": \"x\"}\n", {"row 1", "\"output\" is missing"}},
        {"a.jsonl", "{\"instruction\": \"x\", \"output\": null}\n", {"row 1", "\"output\" must be a string"}},
        {"a.jsonl",
         "{\"instruction\": \"x\", \"input\": 3, \"output\": \"\"}\n",
         {"row 1", "\"input\" must be a string"}},
        {"a.jsonl", "{\"text\": \"x\"}\n{\"instruction\": \"x\", \"output\": \"y\"}\n", {"line 2", "kind instruction"}},
        {"a.jsonl", "{\"messages\": []}\n", {"row 1", "\"messages\""}},
        {"a.jsonl", "{\"messages\": \"x\"}\n", {"row 1", "\"messages\""}},
        {"a.jsonl", "{\"messages\": [\"x\"]}\n", {"message 1", "object"}},
        {"a.jsonl", "{\"messages\": [{\"role\": \"user\"}]}\n", {"row 1", "\"content\" is missing"}},
        {"a.jsonl", "{\"messages\": [{\"role\": \"tool\", \"content\": \"x\"}]}\n", {"row 1", "\"tool\"", "assistant"}},
        {"a.jsonl",
         "{\"messages\": [{\"role\": \"user\", \"content\": \"x\", \"tool_calls\": [{}]}]}\n",
         {"row 1", "\"tool_calls\""}},
        {"a.jsonl",
         "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}\n",
         {"none of its 1 rows", "--max-length"}},
        {"a.bin", "GGUF\x03 \xfe\xff", {"line 1", "not UTF-8"}},
        {"a.txt", "fine\nso far \xe2\x82", {"line 2", "byte 12"}},
    };
    dq_dataset_options options = {.max_length = 64, .template = &s->bytes_own, .tokenizer = s->bytes};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dlqat_error error = {0};
        dq_dataset data;
        const char *path = write_text(s, cases[i].name, cases[i].text, strlen(cases[i].text));
        dlqat_status status = dq_dataset_open(&data, path, &options, &error);
        bool named = strstr(error.message, path) && !strchr(error.message, '\n');
        for (size_t k = 0; k < 3 && cases[i].says[k]; k++) named = named && strstr(error.message, cases[i].says[k]);
        if ((status != DLQAT_ERROR_INPUT && status != DLQAT_ERROR_UNSUPPORTED) || !named)
            fail_msg("%s: got %d \"%s\"", cases[i].text, status, error.message);
        assert_null(data.ids);
    }
    dlqat_error error = {0};
    dq_dataset data;
    assert_fails(dq_dataset_open(&data, "/nowhere/data.jsonl", &options, &error), DLQAT_ERROR_IO,
                 "/nowhere/data.jsonl");
    assert_fails(dq_dataset_open(&data, s->dir.path, &options, &error), DLQAT_ERROR_INPUT, "regular file");
    options.max_length = 1;
    assert_fails(dq_dataset_open(&data, "/nowhere/data.jsonl", &options, &error), DLQAT_ERROR_USAGE, "--max-length");
    /* The Mistral form takes turns. */
    options = (dq_dataset_options){.max_length = 64, .template = &s->pieces_own, .tokenizer = s->pieces};
    const char *twice = "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}";
    assert_fails(dq_dataset_open(&data, write_text(s, "a.jsonl", twice, strlen(twice)), &options, &error),
                 DLQAT_ERROR_INPUT, "in turn");
}

/* What is odd but right. */
static void takes_what_is_right(void **state) {
    setting *s = *state;
    static const struct {
        const char *name, *text, *kind;
        size_t rows;
    } cases[] = {
        {"a.json", "\n [ {\"text\":\"x\"}\n,\n{\"text\" : \"y\"} ] \n", "text", 2},
        {"a.jsonl", "{\"instruction\": \"x\", \"output\": \"y\", \"text\": \"whole\", \"id\": 123456789012345678901}",
         "instruction", 1},
        {"a.jsonl",
         "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\", \"tool_calls\": []}], \"id\": null}\n", "chat",
         1},
        {"a.txt", "[Scene: a room]\n{stage direction}", "plain text", 1},
        {"a", "{ braces } but no key", "plain text", 1},
    };
    dq_dataset_options options = {.max_length = 64, .template = &s->bytes_own, .tokenizer = s->bytes};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dlqat_error error = {0};
        dq_dataset data;
        assert_ok(dq_dataset_open(&data, write_text(s, cases[i].name, cases[i].text, strlen(cases[i].text)), &options,
                                  &error));
        assert_string_equal(data.kind, cases[i].kind);
        assert_int_equal(data.rows, cases[i].rows);
        dq_dataset_close(&data);
    }
}

/* Rows 0 .. rows - 1, of which row r has the tokens 100 r, 100 r + 1, ..: r % 3 + 2 of them, all learned but the first. */
static dq_dataset numbered(size_t rows) {
    dq_dataset data = {.kind = "text", .dropped = 3, .truncated = 4};
    data.ids = malloc(rows * 4 * sizeof *data.ids);
    data.learned = malloc(rows * 4);
    data.begin = malloc((rows + 1) * sizeof *data.begin);
    data.begin[0] = 0;
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < row % 3 + 2; i++) {
            data.ids[data.tokens] = (int32_t)(100 * row + i);
            data.labels += data.learned[data.tokens++] = i > 0;
        }
        data.begin[++data.rows] = data.tokens;
    }
    return data;
}

/* Marks which rows of `numbered` are there, checking that each is whole and that they are in the file's order. */
static void mark_rows(const dq_dataset *data, int *seen) {
    size_t labels = 0, before = 0;
    for (size_t row = 0; row < data->rows; row++) {
        size_t begin = data->begin[row], count = data->begin[row + 1] - begin, number = (size_t)data->ids[begin] / 100;
        assert_int_equal(count, number % 3 + 2);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(data->ids[begin + i], 100 * number + i);
            assert_int_equal(data->learned[begin + i], i > 0);
        }
        assert_true(row == 0 || number > before);
        before = number;
        labels += count - 1;
        seen[number]++;
    }
    assert_int_equal(data->labels, labels);
    assert_int_equal(data->tokens, data->begin[data->rows]);
}

static void splits(void **state) {
    (void)state;
    dlqat_error error = {0};
    static const struct {
        size_t rows;
        double share;
        size_t held_out;
    } cases[] = {{100, 0.1, 10}, {10, 0.001, 1}, {10, 0.999, 9}, {2, 0.5, 1}, {7, 0.5, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dq_dataset data = numbered(cases[i].rows), held_out;
        int seen[100] = {0};
        assert_ok(dq_dataset_split(&data, cases[i].share, 7, &held_out, &error));
        assert_int_equal(held_out.rows, cases[i].held_out);
        assert_int_equal(data.rows + held_out.rows, cases[i].rows);
        assert_int_equal(data.dropped, 3);
        mark_rows(&data, seen);
        mark_rows(&held_out, seen);
        for (size_t row = 0; row < cases[i].rows; row++) assert_int_equal(seen[row], 1);
        dq_dataset_close(&data);
        dq_dataset_close(&held_out);
    }
    /* The same seed takes the same rows, another one others. */
    dq_dataset a = numbered(100), b = numbered(100), c = numbered(100), from_a, from_b, from_c;
    assert_ok(dq_dataset_split(&a, 0.2, 1, &from_a, &error));
    assert_ok(dq_dataset_split(&b, 0.2, 1, &from_b, &error));
    assert_ok(dq_dataset_split(&c, 0.2, 2, &from_c, &error));
    assert_memory_equal(from_a.begin, from_b.begin, 21 * sizeof *from_a.begin);
    assert_memory_equal(from_a.ids, from_b.ids, from_a.tokens * sizeof *from_a.ids);
    assert_true(from_a.tokens != from_c.tokens || memcmp(from_a.ids, from_c.ids, from_a.tokens * sizeof *from_a.ids));
    dq_dataset *const all[] = {&a, &b, &c, &from_a, &from_b, &from_c};
    for (size_t i = 0; i < 6; i++) dq_dataset_close(all[i]);

    dq_dataset one = numbered(1), none;
    assert_fails(dq_dataset_split(&one, 0.5, 1, &none, &error), DLQAT_ERROR_INPUT, "1 row");
    assert_fails(dq_dataset_split(&one, 1.0, 1, &none, &error), DLQAT_ERROR_USAGE, "--validation-split");
    dq_dataset_close(&one);
}

static void orders(void **state) {
    (void)state;
    enum { ROWS = 37, EPOCHS = 4 };
    dlqat_error error = {0};
    dq_order order, again, plain;
    assert_ok(dq_order_open(&order, ROWS, 5, true, &error));
    assert_ok(dq_order_open(&again, ROWS, 5, true, &error));
    assert_ok(dq_order_open(&plain, ROWS, 5, false, &error));
    size_t sequence[EPOCHS * ROWS], same = 0;
    for (size_t n = 0; n < EPOCHS * ROWS; n++) {
        sequence[n] = dq_order_row(&order, n);
        assert_int_equal(dq_order_row(&plain, n), n % ROWS);
        same += n >= ROWS && sequence[n] == sequence[n - ROWS];
    }
    assert_true(same < ROWS); /* each epoch has its own permutation: one match an epoch is expected */
    for (size_t epoch = 0; epoch < EPOCHS; epoch++) {
        bool seen[ROWS] = {false};
        for (size_t i = 0; i < ROWS; i++) {
            assert_true(sequence[epoch * ROWS + i] < ROWS && !seen[sequence[epoch * ROWS + i]]);
            seen[sequence[epoch * ROWS + i]] = true;
        }
    }
    /* A function of the position alone: backwards gives the same. */
    for (size_t n = EPOCHS * ROWS; n-- > 0;) assert_int_equal(dq_order_row(&again, n), sequence[n]);
    dq_order_close(&order);
    dq_order_close(&again);
    dq_order_close(&plain);
    assert_fails(dq_order_open(&order, 0, 5, true, &error), DLQAT_ERROR_INPUT, "no rows");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(equals_hugging_face, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(names_what_is_wrong, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(takes_what_is_right, set_up, tear_down),
                                       cmocka_unit_test(splits), cmocka_unit_test(orders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
