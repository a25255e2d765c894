/* Documents, words and detokenization, against the harness's own functions. */
#include "eval_support.h"

#include "eval/wikitext.h"

static void documents_are_the_harness_s(void **state) {
    (void)state;
    dlqat_error error;
    dq_map text;
    json_t *values = load_values();
    const json_t *documents = json_object_get(values, "documents");
    assert_ok(dq_map_open(&text, EVAL_FIXTURE("text.txt"), &error));
    const char *bytes = (const char *)text.data;
    size_t at = 0, begin, end, count = 0;
    while (dq_wikitext_next(bytes, text.size, &at, &begin, &end)) {
        const json_t *expected = json_array_get(documents, count++);
        dq_buffer plain = {0};
        assert_non_null(expected);
        assert_int_equal(dq_count_words(bytes + begin, end - begin), whole_of(expected, "words"));
        assert_ok(dq_wikitext_detokenize(bytes + begin, end - begin, &plain, &error));
        assert_string_equal(plain.data, json_string_value(json_object_get(expected, "detokenized")));
        dq_buffer_free(&plain);
    }
    assert_int_equal(count, json_array_size(documents));
    assert_true(count > 1);
    dq_map_close(&text);
    json_decref(values);
}

/* A heading has one "=" at either end; what is unbalanced is none. */
static void only_titles_divide(void **state) {
    (void)state;
    const char text[] = "a\n= = b =\nc\n= d = =\ne\n=f=\n= =\n= g\n = h = \ni";
    size_t at = 0, begin, end;
    assert_true(dq_wikitext_next(text, strlen(text), &at, &begin, &end));
    assert_int_equal(begin, 0);
    assert_string_equal(text + end, "\n = h = \ni");
    assert_true(dq_wikitext_next(text, strlen(text), &at, &begin, &end));
    assert_string_equal(text + begin, " = h = \ni");
    assert_int_equal(end, strlen(text));
    assert_false(dq_wikitext_next(text, strlen(text), &at, &begin, &end));
}

static void check_words(const char *text, uint64_t expected) {
    assert_int_equal(dq_count_words(text, strlen(text)), expected);
}

/* What Python 3.11's len(re.split(r"\s+", text)) says. */
static void words_are_python_s(void **state) {
    (void)state;
    check_words("", 1);
    check_words("bell", 1);
    check_words(" ", 2);
    check_words(" a  b\t\n", 4);
    check_words("a\xc2\xa0"
                "b\xe3\x80\x80"
                "c\x1c"
                "d",
                4); /* U+00A0, U+3000, U+001C */
    check_words("a\xe1\xa0\x8e"
                "b\xe2\x80\x8b"
                "c",
                1); /* U+180E and U+200B are not white space */
    check_words("\xc2", 1);
    check_words("\xe2\x80", 1);
}

static void check_plain(const char *text, const char *expected) {
    dlqat_error error;
    dq_buffer plain = {0};
    assert_ok(dq_wikitext_detokenize(text, strlen(text), &plain, &error));
    assert_string_equal(plain.data ? plain.data : "", expected);
    dq_buffer_free(&plain);
}

/* What the harness's wikitext_detokenizer gives, for forms that the text does not have. */
static void corners_are_the_harness_s(void **state) {
    (void)state;
    check_plain("", "");
    check_plain("( a ( b ) c )", "(a ( b) c )");
    check_plain("( a", "( a");
    check_plain("(  )[ ]{ x }", "()[]{x}");
    check_plain("\" a \" b \" c", "\"a\" b \" c");
    check_plain("/' 7/ and /' x/", "/'[0-9]/ and /' x/");
    check_plain("= = = =", "====");
    check_plain(" 5 @-@ 6 @-@ 7 , N N ", " 5-6-7, 1 N ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_the_harness_s),
        cmocka_unit_test(only_titles_divide),
        cmocka_unit_test(words_are_python_s),
        cmocka_unit_test(corners_are_the_harness_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
