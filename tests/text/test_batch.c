/* Packing: rows one after another, borders kept, targets shifted within their row. */
#include "support.h"

#include "text/dataset.h"

/* Three rows: 10 11 12 13 (the last two are targets), 20 21 (the last), 30 31 32 (the middle one). */
static dq_dataset three_rows(void) {
    static const int32_t ids[] = {10, 11, 12, 13, 20, 21, 30, 31, 32};
    static const uint8_t learned[] = {0, 0, 1, 1, 0, 1, 0, 1, 0};
    static const size_t begin[] = {0, 4, 6, 9};
    dq_dataset data = {.rows = 3, .tokens = 9, .labels = 4, .kind = "text"};
    data.ids = malloc(sizeof ids);
    data.learned = malloc(sizeof learned);
    data.begin = malloc(sizeof begin);
    memcpy(data.ids, ids, sizeof ids);
    memcpy(data.learned, learned, sizeof learned);
    memcpy(data.begin, begin, sizeof begin);
    return data;
}

static void packs(void **state) {
    (void)state;
    dlqat_error error = {0};
    dq_dataset data = three_rows();
    dq_batch batch;
    assert_ok(dq_batch_open(&batch, 8, &error));
    assert_true(dq_batch_add(&batch, &data, 1));
    assert_true(dq_batch_add(&batch, &data, 0));
    assert_false(dq_batch_add(&batch, &data, 2)); /* 6 + 3 > 8; nothing changes */
    assert_true(dq_batch_add(&batch, &data, 1));  /* to the last place */
    assert_int_equal(batch.tokens, 8);
    assert_int_equal(batch.rows, 3);
    assert_int_equal(batch.labels, 4);
    static const int32_t ids[] = {20, 21, 10, 11, 12, 13, 20, 21}, position[] = {0, 1, 0, 1, 2, 3, 0, 1};
    static const int32_t row_start[] = {0, 0, 2, 2, 2, 2, 6, 6}, label[] = {21, -1, -1, 12, 13, -1, 21, -1};
    assert_memory_equal(batch.ids, ids, sizeof ids);
    assert_memory_equal(batch.position, position, sizeof position);
    assert_memory_equal(batch.row_start, row_start, sizeof row_start);
    assert_memory_equal(batch.label, label, sizeof label);
    assert_false(dq_batch_add(&batch, &data, 1));

    dq_batch_clear(&batch);
    assert_int_equal(batch.tokens + batch.labels + batch.rows, 0);
    assert_true(dq_batch_add(&batch, &data, 2));
    static const int32_t last[] = {31, -1, -1};
    assert_memory_equal(batch.label, last, sizeof last);
    assert_int_equal(batch.row_start[2], 0);
    dq_batch_close(&batch);
    dq_dataset_close(&data);
}

/* Every label of the data set is a label of the batches, and no token of one row is the target of another. */
static void keeps_every_label(void **state) {
    (void)state;
    dlqat_error error = {0};
    dq_dataset data = three_rows();
    dq_batch batch;
    size_t labels = 0;
    assert_ok(dq_batch_open(&batch, 100, &error));
    for (size_t row = 0; row < data.rows; row++) assert_true(dq_batch_add(&batch, &data, row));
    for (size_t i = 0; i < batch.tokens; i++) {
        if (batch.label[i] < 0) continue;
        labels++;
        assert_int_equal(batch.label[i], batch.ids[i + 1]);
        assert_int_equal(batch.row_start[i], batch.row_start[i + 1]);
        assert_int_equal(batch.position[i] + 1, batch.position[i + 1]);
    }
    assert_int_equal(labels, data.labels);
    assert_int_equal(batch.labels, data.labels);
    dq_batch_close(&batch);
    dq_dataset_close(&data);
}

static void refuses_sizes(void **state) {
    (void)state;
    dlqat_error error = {0};
    dq_batch batch;
    assert_fails(dq_batch_open(&batch, 0, &error), DLQAT_ERROR_USAGE, "batch");
    assert_fails(dq_batch_open(&batch, (size_t)INT32_MAX + 1, &error), DLQAT_ERROR_USAGE, "batch");
    dq_batch_close(&batch); /* safe on what did not open */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(packs), cmocka_unit_test(keeps_every_label),
                                       cmocka_unit_test(refuses_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
