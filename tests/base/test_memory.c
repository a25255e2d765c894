/* Arenas, growing buffers, and messages. */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "support.h"

typedef struct layout {
    char *a;
    double *b;
    void *empty;
    float *c;
} layout;

static void lay_out(layout *l, dq_arena *arena) {
    l->a = dq_arena_take(arena, 3, 1);
    l->b = dq_arena_take(arena, 9, sizeof *l->b);
    l->empty = dq_arena_take(arena, 0, 8);
    l->c = dq_arena_take(arena, 1000, sizeof *l->c);
}

static void test_what_is_counted_is_carved(void **state) {
    (void)state;
    dlqat_error error;
    dq_arena arena = {0};
    layout l;
    lay_out(&l, &arena);
    assert_null(l.a);
    assert_null(l.c);
    const size_t counted = arena.used;
    assert_int_equal(counted, 64 + 128 + 0 + 4032);
    assert_ok(dq_arena_reserve(&arena, "a test", &error));
    assert_int_equal(arena.used, 0);
    lay_out(&l, &arena);
    assert_int_equal(arena.used, counted);
    assert_int_equal(arena.capacity, counted);
    assert_int_equal((uintptr_t)l.a % DQ_ALIGNMENT, 0);
    assert_int_equal((uintptr_t)l.b % DQ_ALIGNMENT, 0);
    assert_int_equal((uintptr_t)l.c % DQ_ALIGNMENT, 0);
    assert_int_equal((char *)l.b - l.a, 64);
    assert_int_equal((char *)l.c - (char *)l.b, 128);
    for (int i = 0; i < 1000; i++) assert_true(l.c[i] == 0);
    memset(l.a, 1, counted);
    assert_null(dq_arena_take(&arena, 1, 1)); /* more than was counted */
    dq_arena_release(&arena);
    assert_null(arena.base);
    dq_arena_release(&arena);
}

/* Memory counts when it is touched, and a file that is mapped does not. Under a sanitizer freed memory is held back: no decrease is
 * asked for. */
static void test_anonymous_memory(void **state) {
    (void)state;
    enum { BYTES = 64 << 20, SLACK = 8 << 20 };
    dlqat_error error;
    const uint64_t before = dq_anonymous_bytes();
    if (before == 0) skip(); /* the system does not say */
    char *taken = dq_alloc(BYTES, 1, "a test", &error);
    assert_non_null(taken);
    assert_in_range(dq_anonymous_bytes(), before / 2, before + SLACK);
    memset(taken, 1, BYTES);
    assert_in_range(dq_anonymous_bytes(), before + BYTES - SLACK, before + BYTES + SLACK);
    dq_free(taken);
}

static void test_sizes_that_overflow(void **state) {
    (void)state;
    dlqat_error error;
    static const struct {
        size_t count, size;
    } cases[] = {{SIZE_MAX, 2}, {SIZE_MAX / 2 + 2, 2}, {SIZE_MAX, 1}, {SIZE_MAX - 63, 1}, {SIZE_MAX - 4096, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(dq_alloc(cases[i].count, cases[i].size, "the logits", &error));
        assert_int_equal(error.status, DLQAT_ERROR_MEMORY);
        assert_non_null(strstr(error.message, "the logits"));
    }
    assert_null(dq_alloc(SIZE_MAX, 2, "x", NULL));

    dq_arena arena = {0};
    dq_arena_take(&arena, SIZE_MAX / 4, 8);
    assert_true(arena.overflow);
    assert_fails(dq_arena_reserve(&arena, "activations", &error), DLQAT_ERROR_MEMORY, "activations");
    dq_arena sum = {0}; /* each fits, their sum does not */
    dq_arena_take(&sum, SIZE_MAX / 2, 1);
    dq_arena_take(&sum, SIZE_MAX / 2, 1);
    dq_arena_take(&sum, 4096, 1);
    assert_true(sum.overflow);
    assert_fails(dq_arena_reserve(&sum, "activations", &error), DLQAT_ERROR_MEMORY, "activations");
}

static void test_alloc(void **state) {
    (void)state;
    dlqat_error error;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, (8u << 20) - 1, 8u << 20, (9u << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *memory = dq_alloc(sizes[i], 1, "a test", &error);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % DQ_ALIGNMENT, 0);
        for (size_t j = 0; j < sizes[i]; j += 61) assert_int_equal(memory[j], 0);
        memset(memory, 0xa5, sizes[i]);
        dq_free(memory);
    }
    dq_free(NULL);
}

static void test_buffer(void **state) {
    (void)state;
    dlqat_error error;
    dq_buffer b = {0};
    dq_buffer_put(&b, NULL, 0);
    assert_string_equal(b.data, "");
    dq_buffer_puts(&b, "one");
    dq_buffer_format(&b, " %d %s", 22, "three");
    assert_string_equal(b.data, "one 22 three");
    assert_int_equal(b.size, 12);
    for (int i = 0; i < 5000; i++) dq_buffer_format(&b, "%04d", i); /* over every growth */
    assert_int_equal(b.size, 12 + 20000);
    assert_memory_equal(b.data + 12 + 4 * 1234, "12341235", 8);
    assert_int_equal(b.data[b.size], 0);
    assert_ok(dq_buffer_check(&b, "a test", &error));
    dq_buffer_put(&b, "x", SIZE_MAX / 2); /* cannot be had; what is there stays */
    assert_true(b.failed);
    assert_int_equal(b.size, 12 + 20000);
    dq_buffer_puts(&b, "more");
    assert_int_equal(b.size, 12 + 20000);
    assert_fails(dq_buffer_check(&b, "the header", &error), DLQAT_ERROR_MEMORY, "the header");
    dq_buffer_free(&b);
    assert_null(b.data);
}

static void test_messages(void **state) {
    (void)state;
    dlqat_error error;
    assert_int_equal(dq_fail(&error, DLQAT_ERROR_IO, "a\nb\r%s", "c\033[31m\t\177"), DLQAT_ERROR_IO);
    assert_string_equal(error.message, "a b c [31m  ");
    assert_int_equal(error.status, DLQAT_ERROR_IO);
    dq_fail(&error, DLQAT_ERROR_INPUT, "caf\303\251");
    dq_fail(&error, DLQAT_ERROR_INPUT, "outer: %s", error.message); /* quotes itself */
    assert_string_equal(error.message, "outer: caf\303\251");
    assert_int_equal(dq_fail_in(&error, DLQAT_ERROR_NUMERIC, "step 3"), DLQAT_ERROR_NUMERIC);
    assert_string_equal(error.message, "step 3: outer: caf\303\251");
    assert_int_equal(error.status, DLQAT_ERROR_NUMERIC);
    assert_int_equal(dq_fail(NULL, DLQAT_ERROR_IO, "x"), DLQAT_ERROR_IO);
    assert_int_equal(dq_fail_in(NULL, DLQAT_ERROR_IO, "x"), DLQAT_ERROR_IO);
    char *text = malloc(5000);
    memset(text, 'x', 4999);
    text[4999] = '\0';
    dq_fail(&error, DLQAT_ERROR_IO, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    dq_fail_in(&error, DLQAT_ERROR_IO, text);
    assert_true(strlen(error.message) < sizeof error.message);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_counted_is_carved),
        cmocka_unit_test(test_anonymous_memory),
        cmocka_unit_test(test_sizes_that_overflow),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
