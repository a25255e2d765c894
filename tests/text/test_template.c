/* Rendered conversations equal transformers' apply_chat_template; what cannot be is refused by name. */
#include "support.h"

#include "base/json.h"
#include "text/template.h"

static json_t *fixture(void) {
    dlqat_error error = {0};
    json_t *value = NULL;
    assert_ok(dq_json_load(TEST_FIXTURES "/templates/templates.json", &value, &error));
    return value;
}

static dq_template_kind kind_named(const char *name) {
    for (int kind = DQ_TEMPLATE_AUTO; kind <= DQ_TEMPLATE_MISTRAL; kind++)
        if (strcmp(dq_template_name((dq_template_kind)kind), name) == 0) return (dq_template_kind)kind;
    fail_msg("no template kind %s", name);
    return DQ_TEMPLATE_AUTO;
}

enum { MOST_MESSAGES = 16 };

static size_t read_messages(const json_t *conversation, dq_message messages[MOST_MESSAGES]) {
    size_t count = json_array_size(conversation);
    assert_true(count <= MOST_MESSAGES);
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(conversation, i);
        messages[i].role = json_string_value(json_object_get(message, "role"));
        messages[i].content = json_string_value(json_object_get(message, "content"));
    }
    return count;
}

/* The segments cover the text without a gap, none is empty, and neighbours differ. */
static void check_segments(const dq_buffer *text, const dq_segment *segments, size_t count) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(segments[i].begin, at);
        assert_true(segments[i].end > at);
        assert_true(i == 0 || segments[i].learned != segments[i - 1].learned);
        at = segments[i].end;
    }
    assert_int_equal(at, text->size);
}

/* Renders every conversation both ways and compares. Returns how many texts were compared. */
static size_t compare_all(const json_t *conversations, const json_t *entry, const char *jinja) {
    dlqat_error error = {0};
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *bos = json_string_value(json_object_get(entry, "bos"));
    const char *eos = json_string_value(json_object_get(entry, "eos"));
    const json_t *texts = json_object_get(entry, "texts");
    dq_template template;
    dlqat_status status =
        dq_template_from_text(&template, kind_named(json_string_value(json_object_get(entry, "kind"))), jinja, &error);
    if (status != DLQAT_OK) fail_msg("%s: %s", name, error.message);
    size_t compared = 0;
    for (size_t i = 0; i < json_array_size(conversations); i++) {
        dq_message messages[MOST_MESSAGES];
        size_t count = read_messages(json_array_get(conversations, i), messages);
        for (int prompt = 0; prompt < 2; prompt++) {
            const json_t *expected = json_array_get(json_array_get(texts, i), (size_t)prompt);
            dq_buffer text = {0};
            dq_segment segments[2 * MOST_MESSAGES + 2];
            size_t segment_count = 2 * count + 2;
            status = dq_template_render_with(&template, bos, eos, messages, count, prompt, &text, segments,
                                             &segment_count, &error);
            if (json_is_null(expected)) { /* the template raises an exception */
                if (status != DLQAT_ERROR_INPUT) fail_msg("%s, conversation %zu: expected a refusal", name, i);
            } else {
                if (status != DLQAT_OK) fail_msg("%s, conversation %zu: %s", name, i, error.message);
                if (text.size != json_string_length(expected) ||
                    memcmp(text.data ? text.data : "", json_string_value(expected), text.size))
                    fail_msg("%s, conversation %zu, prompt %d:\n%s\nexpected:\n%s", name, i, prompt, text.data,
                             json_string_value(expected));
                check_segments(&text, segments, segment_count);
                compared++;
            }
            dq_buffer_free(&text);
        }
    }
    dq_template_close(&template);
    return compared;
}

static void equals_apply_chat_template(void **state) {
    (void)state;
    json_t *all = fixture();
    size_t compared = 0, index;
    json_t *entry;
    json_array_foreach(json_object_get(all, "templates"), index, entry) {
        if (json_object_get(entry, "shared")) continue;
        compared += compare_all(json_object_get(all, "conversations"), entry,
                                json_string_value(json_object_get(entry, "jinja")));
    }
    print_message("%zu texts equal\n", compared);
    assert_true(compared > 400);
    json_decref(all);
}

static void equals_published_templates(void **state) {
    (void)state;
    char path[1024];
    dlqat_error error = {0};
    json_t *all = fixture(), *entry;
    size_t index;
    json_array_foreach(json_object_get(all, "templates"), index, entry) {
        if (!json_object_get(entry, "shared")) continue;
        json_t *config = NULL;
        assert_ok(
            dq_json_load(shared_data(path, json_string_value(json_object_get(entry, "shared"))), &config, &error));
        compare_all(json_object_get(all, "conversations"), entry,
                    json_string_value(json_object_get(config, "chat_template")));
        json_decref(config);
    }
    json_decref(all);
}

static void refuses_by_name(void **state) {
    (void)state;
    json_t *all = fixture(), *entry;
    size_t index;
    json_array_foreach(json_object_get(all, "refused"), index, entry) {
        dlqat_error error = {0};
        dq_template template;
        const char *names = json_string_value(json_object_get(entry, "names"));
        dlqat_status status = dq_template_from_text(&template, DQ_TEMPLATE_AUTO,
                                                    json_string_value(json_object_get(entry, "jinja")), &error);
        if (status == DLQAT_OK || !strstr(error.message, names))
            fail_msg("refusal %zu: expected \"%s\", got %d \"%s\"", index, names, status, error.message);
    }
    json_decref(all);
}

/* What is learned of a conversation: the answers, and what ends them. */
static void learned_pieces(void **state) {
    (void)state;
    static const struct {
        const char *name, *learned;
    } cases[] = {{"chatml with a default", "Hello.<|im_end|>|Bonjour.<|im_end|>|"},
                 {"llama3", "Hello.<|eot_id|>|Bonjour.<|eot_id|>|"},
                 {"llama3 with a date", "Hello.<|eot_id|>|Bonjour.<|eot_id|>|"},
                 {"llama2", " Hello. </s>| Bonjour. </s>|"},
                 {"mistral without system", "Hello.</s>|Bonjour.</s>|"},
                 {"mistral, system last", " Hello.</s>| Bonjour.</s>|"},
                 {"chatml that thinks", "Hello.<|im_end|>|<think>\n\n</think>\n\nBonjour.<|im_end|>|"}};
    static const dq_message messages[] = {
        {"user", "Hi"}, {"assistant", "Hello."}, {"user", "And in French?"}, {"assistant", "Bonjour."}};
    json_t *all = fixture(), *entry;
    size_t index, found = 0;
    json_array_foreach(json_object_get(all, "templates"), index, entry) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            if (json_object_get(entry, "shared") ||
                strcmp(json_string_value(json_object_get(entry, "name")), cases[i].name))
                continue;
            dlqat_error error = {0};
            dq_template template;
            assert_ok(dq_template_from_text(&template, DQ_TEMPLATE_AUTO,
                                            json_string_value(json_object_get(entry, "jinja")), &error));
            dq_buffer text = {0}, learned = {0};
            dq_segment segments[10];
            size_t count = 10;
            assert_ok(
                dq_template_render_with(&template, "<s>", "</s>", messages, 4, false, &text, segments, &count, &error));
            for (size_t k = 0; k < count; k++)
                if (segments[k].learned) {
                    dq_buffer_put(&learned, text.data + segments[k].begin, segments[k].end - segments[k].begin);
                    dq_buffer_puts(&learned, "|");
                }
            assert_string_equal(learned.data, cases[i].learned);
            dq_buffer_free(&text);
            dq_buffer_free(&learned);
            dq_template_close(&template);
            found++;
        }
    }
    assert_int_equal(found, sizeof cases / sizeof *cases);
    json_decref(all);
}

/* Stanford's two forms, literally. */
static void alpaca_forms(void **state) {
    (void)state;
    dlqat_error error = {0};
    dq_buffer text = {0};
    dq_template_alpaca_prompt("Add.", "1 2", &text);
    assert_string_equal(
        text.data, "Below is an instruction that describes a task, paired with an input that provides further context. "
                   "Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### "
                   "Input:\n1 2\n\n### Response:");
    dq_buffer_free(&text);

    dq_template template;
    assert_ok(dq_template_from_text(&template, DQ_TEMPLATE_AUTO, NULL, &error));
    assert_int_equal(template.kind, DQ_TEMPLATE_ALPACA);
    const dq_message messages[] = {{"user", "Say hi."}, {"assistant", "hi"}, {"user", "More."}};
    dq_segment segments[8];
    size_t count = 8;
    assert_ok(dq_template_render_with(&template, NULL, "</s>", messages, 2, false, &text, segments, &count, &error));
    assert_string_equal(text.data, "Below is an instruction that describes a task. Write a response that appropriately "
                                   "completes the request.\n\n### Instruction:\nSay hi.\n\n### Response:hi</s>");
    assert_int_equal(count, 2);
    assert_string_equal(text.data + segments[1].begin, "hi</s>");
    assert_fails(dq_template_render_with(&template, NULL, NULL, messages, 3, false, &text, NULL, NULL, &error),
                 DLQAT_ERROR_INPUT, "alpaca");
    const dq_message stranger = {"tool", "42"};
    assert_fails(dq_template_render_with(&template, NULL, NULL, &stranger, 1, false, &text, NULL, NULL, &error),
                 DLQAT_ERROR_INPUT, "\"tool\"");
    dq_buffer_free(&text);
    dq_template_close(&template);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_apply_chat_template),
                                       cmocka_unit_test(equals_published_templates), cmocka_unit_test(refuses_by_name),
                                       cmocka_unit_test(learned_pieces), cmocka_unit_test(alpaca_forms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
