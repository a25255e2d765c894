/* Kept weights are the rows that would have been decoded, and the model gets its own back. */
#include "eval_support.h"

#include "eval/resident.h"

#define PACKED TEST_FIXTURES "/families/affine_own"

static void check_rows(const dq_weight *weight) {
    size_t count = (size_t)(weight->out * weight->in);
    float *rows = calloc(count, sizeof *rows);
    assert_non_null(rows);
    weight->rows(weight, 0, weight->out, rows);
    assert_non_null(weight->resident);
    assert_memory_equal(weight->resident, rows, count * sizeof *rows);
    free(rows);
}

static void kept_rows_are_the_weight_s(void **state) {
    (void)state;
    dlqat_error error;
    eval_setup setup = {0};
    dq_resident resident;
    assert_ok(dq_model_open(&setup.model, PACKED, false, &error));
    assert_ok(dq_compute_open(&setup.compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    assert_null(dq_model_linear(setup.model, 0)->active.resident);

    assert_ok(dq_resident_open(&resident, setup.model, "off", DQ_FOR_BATCHES, &setup.compute, &error));
    assert_null(dq_model_linear(setup.model, 0)->active.resident);
    dq_resident_close(&resident);

    const char *const wishes[] = {"on", NULL};
    for (int w = 0; w < 2; w++) {
        assert_ok(dq_resident_open(&resident, setup.model, wishes[w], DQ_FOR_BATCHES, &setup.compute, &error));
        for (int i = 0; i < dq_model_linear_count(setup.model); i++)
            check_rows(&dq_model_linear(setup.model, i)->active);
        check_rows(&setup.model->head);
        dq_resident_close(&resident);
        for (int i = 0; i < dq_model_linear_count(setup.model); i++) {
            const dq_linear *linear = dq_model_linear(setup.model, i);
            assert_true(linear->active.resident == linear->base.resident);
        }
    }
    close_setup(&setup);
}

/* For text, auto leaves packed weights as they are; "on" keeps them all the same. */
static void packed_weights_stay_for_text(void **state) {
    (void)state;
    dlqat_error error;
    eval_setup setup = {0};
    dq_resident resident;
    assert_ok(dq_model_open(&setup.model, PACKED, false, &error));
    assert_ok(dq_compute_open(&setup.compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    assert_ok(dq_resident_open(&resident, setup.model, NULL, DQ_FOR_TEXT, &setup.compute, &error));
    for (int i = 0; i < dq_model_linear_count(setup.model); i++) {
        const dq_weight *weight = &dq_model_linear(setup.model, i)->active;
        assert_true(weight->coded.coding == DQ_CODING_BITS && !weight->resident);
    }
    dq_resident_close(&resident);
    assert_ok(dq_resident_open(&resident, setup.model, "on", DQ_FOR_TEXT, &setup.compute, &error));
    check_rows(&dq_model_linear(setup.model, 0)->active);
    dq_resident_close(&resident);
    close_setup(&setup);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kept_rows_are_the_weight_s),
                                       cmocka_unit_test(packed_weights_stay_for_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
