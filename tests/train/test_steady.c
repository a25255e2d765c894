/* After its first step a run allocates nothing: every call of malloc and its kin from the library is counted (the linker puts the
 * functions below in their place; tests.cmake). */
#include "train_support.h"

static int calls; /* a test may have one */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_malloc(size_t size) {
    calls++;
    return __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
    calls++;
    return __real_calloc(count, size);
}
void *__wrap_realloc(void *block, size_t size) {
    calls++;
    return __real_realloc(block, size);
}

static void check(const char *const *words, bool resident) {
    setup s;
    double losses[STEPS];
    calls = 0;
    open_setup(&s, words);
    dq_trainer *trainer = open_trainer(&s, resident);
    assert_true(calls > 0); /* opening is seen */
    run_steps(trainer, 1, losses);
    calls = 0;
    run_steps(trainer, STEPS, losses); /* on through the border of the phases */
    assert_int_equal(calls, 0);
    dq_trainer_close(trainer);
    close_setup(&s);
}

static void steps_allocate_nothing(void **state) {
    (void)state;
    check((const char *const[]){"method", "dlqat", "phase1-steps", "3", NULL}, true);
    check((const char *const[]){"method", "dlqat", "phase1-steps", "3", "gradient-accumulation-steps", "2",
                                "base-storage", "int8", NULL},
          false);
    check((const char *const[]){"method", "dlqat", "range", "minmax", "tokens-at-once", "20", NULL}, true);
    check((const char *const[]){"method", "qalora", "lora-rank", "4", NULL}, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
