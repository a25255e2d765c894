/* JSON: what is refused, and the typed members. */
#include "base/json.h"
#include "scratch.h"

static void test_parse(void **state) {
    (void)state;
    dlqat_error error;
    json_t *value;
    static const char *const bad[] = {"",         "{",          "{} x",    "{\"a\":1,\"a\":2}", "[1,]",  "nul",
                                      "\"\xff\"", "{\"a\":01}", "{'a':1}", "[1e999]",           "[NaN]", "\"\\ud800\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(dq_json_parse(bad[i], strlen(bad[i]), "x.json", &value, &error), DLQAT_ERROR_INPUT,
                     "x.json: not valid JSON at line 1");
        assert_null(value);
    }
    /* Deep nesting is refused, not followed down the stack. */
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    assert_fails(dq_json_parse(deep, 100000, "deep", &value, &error), DLQAT_ERROR_INPUT, "deep: not valid JSON");
    free(deep);
    assert_ok(dq_json_parse(" [1, \"a\\u0000b\"] \n", 18, "x.json", &value, &error));
    assert_int_equal(json_string_length(json_array_get(value, 1)), 3);
    json_decref(value);
    /* An integer beyond 64 bits is valid, and a real. */
    const char huge[] = "{\"n\":1000000000000000019884624838656}";
    int64_t whole = 5;
    double real = 0;
    assert_ok(dq_json_parse(huge, strlen(huge), "x.json", &value, &error));
    assert_ok(dq_json_get_real(value, "n", "x.json", &real, &error));
    assert_true(real == 1000000000000000019884624838656.0);
    assert_fails(dq_json_get_int(value, "n", "x.json", &whole, &error), DLQAT_ERROR_INPUT, "must be a whole number");
    json_decref(value);
    assert_ok(dq_json_parse("7", 1, "x.json", &value, &error));
    json_decref(value);
}

static void test_members(void **state) {
    (void)state;
    dlqat_error error;
    json_t *o;
    const char text[] =
        "{\"i\":7,\"r\":7.0,\"h\":7.5,\"big\":1e300,\"max\":9223372036854775807,\"s\":\"text\",\"t\":true,"
        "\"f\":false,\"n\":null,\"a\":[]}";
    assert_ok(dq_json_parse(text, strlen(text), "c.json", &o, &error));
    int64_t i = -1;
    double r = -1;
    bool b = false;
    const char *s = "default";
    assert_ok(dq_json_get_int(o, "i", "c.json", &i, &error));
    assert_int_equal(i, 7);
    assert_ok(dq_json_get_int(o, "max", "c.json", &i, &error));
    assert_true(i == INT64_MAX);
    assert_ok(dq_json_get_int(o, "r", "c.json", &i, &error));
    assert_int_equal(i, 7);
    assert_ok(dq_json_get_int(o, "n", "c.json", &i, &error));
    assert_ok(dq_json_get_int(o, "absent", "c.json", &i, &error));
    assert_int_equal(i, 7);
    static const char *const not_whole[] = {"h", "big", "s", "t", "a"};
    for (size_t k = 0; k < 5; k++)
        assert_fails(dq_json_get_int(o, not_whole[k], "c.json", &i, &error), DLQAT_ERROR_INPUT,
                     "must be a whole number");
    assert_non_null(strstr(error.message, "c.json: \"a\""));
    assert_int_equal(i, 7);

    assert_ok(dq_json_get_real(o, "i", "c.json", &r, &error));
    assert_true(r == 7);
    assert_ok(dq_json_get_real(o, "h", "c.json", &r, &error));
    assert_ok(dq_json_get_real(o, "n", "c.json", &r, &error));
    assert_true(r == 7.5);
    assert_fails(dq_json_get_real(o, "s", "c.json", &r, &error), DLQAT_ERROR_INPUT, "\"s\" must be a number");

    assert_ok(dq_json_get_bool(o, "t", "c.json", &b, &error));
    assert_true(b);
    assert_ok(dq_json_get_bool(o, "n", "c.json", &b, &error));
    assert_true(b);
    assert_ok(dq_json_get_bool(o, "f", "c.json", &b, &error));
    assert_false(b);
    assert_fails(dq_json_get_bool(o, "i", "c.json", &b, &error), DLQAT_ERROR_INPUT, "\"i\" must be true or false");

    assert_ok(dq_json_get_string(o, "absent", "c.json", &s, &error));
    assert_string_equal(s, "default");
    assert_ok(dq_json_get_string(o, "s", "c.json", &s, &error));
    assert_string_equal(s, "text");
    assert_fails(dq_json_get_string(o, "i", "c.json", &s, &error), DLQAT_ERROR_INPUT, "\"i\" must be a string");
    json_decref(o);
}

static void test_files(void **state) {
    (void)state;
    dlqat_error error;
    json_t *value, *back;
    scratch dir;
    char path[1024];
    scratch_make(&dir);
    scratch_file(&dir, path, "x.json");
    assert_fails(dq_json_load(path, &value, &error), DLQAT_ERROR_IO, "x.json: cannot open");
    put_bytes(path, "", 0);
    assert_fails(dq_json_load(path, &value, &error), DLQAT_ERROR_INPUT, "x.json: empty file");
    put_bytes(path, "{\n\"a\": }", 8);
    assert_fails(dq_json_load(path, &value, &error), DLQAT_ERROR_INPUT, "x.json: not valid JSON at line 2");
    /* Doubles come back to the bit. */
    const double numbers[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 2e-4};
    value = json_object();
    json_t *list = json_array();
    for (int i = 0; i < 6; i++) json_array_append_new(list, json_real(numbers[i]));
    json_object_set_new(value, "numbers", list);
    json_object_set_new(value, "text", json_string("gr\303\274\303\237e"));
    assert_ok(dq_json_save(value, path, &error));
    assert_ok(dq_json_load(path, &back, &error));
    for (size_t i = 0; i < 6; i++) {
        const double got = json_real_value(json_array_get(json_object_get(back, "numbers"), i));
        assert_memory_equal(&got, &numbers[i], sizeof got);
    }
    assert_true(json_equal(value, back));
    json_decref(back);
    assert_fails(dq_json_save(value, scratch_file(&dir, path, "no/x.json"), &error), DLQAT_ERROR_IO, "no/x.json");
    json_decref(value);
    scratch_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_members),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
