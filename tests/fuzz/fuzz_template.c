/* A chat template's text: recognised or refused, then used for conversations. */
#include "fuzz.h"

#include "base/json.h"
#include "text/template.h"

#include <stdlib.h>
#include <string.h>

static void render(const dq_template *template, const dq_message *messages, size_t count, bool prompt) {
    dlqat_error error;
    dq_segment segments[16];
    size_t segment_count = sizeof segments / sizeof *segments;
    dq_buffer text = {0};
    if (dq_template_render_with(template, "<s>", "</s>", messages, count, prompt, &text, segments, &segment_count,
                                &error) == DLQAT_OK) {
        size_t at = 0;
        for (size_t i = 0; i < segment_count; i++) {
            FUZZ_REQUIRE(segments[i].begin == at && segments[i].end >= at);
            at = segments[i].end;
        }
        FUZZ_REQUIRE(at == text.size);
    }
    dq_buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const dq_message messages[] = {{"system", " Be brief.\n"},
                                          {"user", "Why? "},
                                          {"assistant", "<think>\nso\n</think>\n\nSo."},
                                          {"user", "And?"},
                                          {"assistant", ""}};
    char *jinja = malloc(size + 1);
    FUZZ_REQUIRE(jinja != NULL);
    if (size) memcpy(jinja, data, size);
    jinja[size] = '\0';
    for (int kind = DQ_TEMPLATE_AUTO; kind <= DQ_TEMPLATE_MISTRAL; kind++) {
        dlqat_error error;
        dq_template template;
        if (dq_template_from_text(&template, (dq_template_kind)kind, jinja, &error) != DLQAT_OK) continue;
        for (size_t count = 1; count <= 5; count++) {
            render(&template, messages, count, count % 2 == 0);
            render(&template, messages + 1, count - 1, count % 2 != 0);
        }
        dq_template_close(&template);
    }
    free(jinja);
    return 0;
}

void fuzz_seeds(fuzz_sink *sink) {
    dq_buffer text = {0};
    dlqat_error error;
    json_t *all;
    fuzz_put_fixture(&text, "templates/templates.json");
    FUZZ_REQUIRE(dq_json_parse(text.data, text.size, "templates", &all, &error) == DLQAT_OK);
    static const char *const lists[] = {"templates", "refused"};
    for (size_t i = 0; i < 2; i++) {
        size_t index;
        const json_t *entry;
        json_array_foreach(json_object_get(all, lists[i]), index, entry) {
            const json_t *jinja = json_object_get(entry, "jinja");
            if (json_string_length(jinja)) sink->put(sink, json_string_value(jinja), json_string_length(jinja));
        }
    }
    json_decref(all);
    dq_buffer_free(&text);
}
