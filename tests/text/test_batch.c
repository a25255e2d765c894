/* Packing: rows one after another, borders kept, targets shifted within their row, what rows share once. */
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
    assert_ok(dq_batch_open(&batch, 5, 0, &error));
    assert_true(dq_batch_add(&batch, &data, 1));
    assert_true(dq_batch_add(&batch, &data, 0)); /* 13 is not there: nothing follows that it could predict */
    assert_true(dq_batch_add(&batch, &data, 2)); /* 31 neither; to the last place */
    assert_int_equal(batch.tokens, 5);
    assert_int_equal(batch.keys, 5);
    assert_int_equal(batch.rows, 3);
    assert_int_equal(batch.labels, 4);
    static const int32_t ids[] = {20, 10, 11, 12, 30}, position[] = {0, 0, 1, 2, 0};
    static const int32_t row_start[] = {0, 1, 1, 1, 4}, label[] = {21, -1, 12, 13, 31};
    assert_memory_equal(batch.ids, ids, sizeof ids);
    assert_memory_equal(batch.position, position, sizeof position);
    assert_memory_equal(batch.row_start, row_start, sizeof row_start);
    assert_memory_equal(batch.label, label, sizeof label);
    assert_false(dq_batch_add(&batch, &data, 1)); /* nothing changes */
    assert_int_equal(batch.tokens + batch.labels + batch.rows, 5 + 4 + 3);

    dq_batch_clear(&batch);
    assert_int_equal(batch.tokens + batch.keys + batch.labels + batch.rows, 0);
    assert_true(dq_batch_add(&batch, &data, 0));
    assert_memory_equal(batch.label, ((const int32_t[]){-1, 12, 13}), 3 * sizeof(int32_t));
    assert_int_equal(batch.row_start[2], 0);
    dq_batch_close(&batch);
    dq_dataset_close(&data);
}

/* Rows of consecutive numbers from `from` on, but for what `differs` says of them. */
typedef struct row_shape {
    int length, prompt; /* ids from `prompt` on are targets */
    int from, differs;  /* the first id; where the row becomes its own */
} row_shape;

static dq_dataset rows_of(const row_shape *shape, size_t count) {
    dq_dataset data = {.rows = count, .kind = "text"};
    data.ids = calloc(1000, sizeof *data.ids);
    data.learned = calloc(1000, 1);
    data.begin = calloc(count + 1, sizeof *data.begin);
    for (size_t row = 0; row < count; row++) {
        size_t begin = data.begin[row];
        for (int i = 0; i < shape[row].length; i++) {
            data.ids[begin + (size_t)i] = shape[row].from + i + (i >= shape[row].differs ? 1000 * ((int)row + 1) : 0);
            data.learned[begin + (size_t)i] = i >= shape[row].prompt;
        }
        data.begin[row + 1] = begin + (size_t)shape[row].length;
    }
    return data;
}

/* What a batch says of each of its rows, against the data: the same ids at the same positions. */
static void check_rows(const dq_batch *batch, const dq_dataset *data) {
    size_t t = 0, first = 0;
    for (size_t r = 0; r < batch->rows; r++) {
        const size_t row = batch->row[r], begin = data->begin[row], needed = dq_row_needed(data, row);
        assert_int_equal(batch->row_key[r], first);
        for (size_t i = 0; i < needed; i++) {
            const int32_t source = batch->source[first + i];
            const int32_t label = data->learned[begin + i + 1] ? data->ids[begin + i + 1] : -1;
            assert_int_equal(batch->ids[source], data->ids[begin + i]);
            assert_int_equal(batch->position[source], i);
            assert_int_equal(batch->label[source], label);
            if (t < batch->tokens && batch->key[t] == (int32_t)(first + i)) { /* its own */
                assert_int_equal(source, t);
                assert_int_equal(batch->row_start[t], first);
                t++;
            } else {
                assert_int_equal(label, -1);
                assert_true(source < (int32_t)t);
            }
        }
        first += needed;
    }
    assert_int_equal(first, batch->keys);
    assert_int_equal(t, batch->tokens);
}

static void shares_prefixes(void **state) {
    (void)state;
    dlqat_error error = {0};
    static const row_shape shape[] = {
        {20, 15, 100, 12}, /* all of it */
        {18, 14, 100, 10}, /* 10 of the first */
        {25, 15, 100, 12}, /* 12 of the first: its own there, as row 0 is */
        {18, 14, 500, 18}, /* nothing in common */
        {18, 12, 100, 18}, /* 11 of the first: 112, at 12, is a target here, so 111 predicts something */
        {18, 14, 100, 7},  /* 7 are not worth it */
        {10, 9, 100, 9},   /* 8 */
    };
    static const size_t shared[] = {0, 10, 12, 0, 11, 0, 8};
    const size_t count = sizeof shape / sizeof shape[0];
    dq_dataset data = rows_of(shape, count);
    dq_batch batch;
    assert_ok(dq_batch_open(&batch, 200, 200, &error));
    size_t tokens = 0, keys = 0;
    for (size_t row = 0; row < count; row++) {
        assert_true(dq_batch_add(&batch, &data, row));
        tokens += (size_t)shape[row].length - 1 - shared[row];
        keys += (size_t)shape[row].length - 1;
        assert_int_equal(batch.tokens, tokens);
        assert_int_equal(batch.keys, keys);
    }
    check_rows(&batch, &data);
    /* In another order too: what comes first is what others share. */
    dq_batch_clear(&batch);
    for (size_t row = count; row-- > 0;) assert_true(dq_batch_add(&batch, &data, row));
    check_rows(&batch, &data);
    /* The same row again: all but what predicts, which is 19 - 14, here and among no others. */
    dq_batch_clear(&batch);
    assert_true(dq_batch_add(&batch, &data, 0) && dq_batch_add(&batch, &data, 0));
    assert_int_equal(batch.tokens, 19 + 5);
    check_rows(&batch, &data);
    dq_batch_close(&batch);

    /* Room for tokens, but not for keys. */
    assert_ok(dq_batch_open(&batch, 40, 37, &error));
    assert_true(dq_batch_add(&batch, &data, 0));
    assert_false(dq_batch_add(&batch, &data, 2));
    assert_true(dq_batch_add(&batch, &data, 1));
    assert_int_equal(batch.keys, 19 + 17);
    check_rows(&batch, &data);
    dq_batch_close(&batch);
    dq_dataset_close(&data);
}

/* In the order of their ids; a beginning before what goes on. */
static void sorts(void **state) {
    (void)state;
    static const row_shape shape[] = {{9, 2, 5, 4}, {9, 2, 5, 9}, {5, 2, 5, 9}, {9, 2, 4, 9}, {9, 2, 5, 9}};
    static const size_t order[] = {3, 2, 1, 4, 0};
    dq_dataset data = rows_of(shape, 5);
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++) {
            const int got = dq_row_compare(&data, order[i], order[j]);
            assert_true(i < j ? got < 0 : i > j ? got > 0 : got == 0);
        }
    dq_dataset_close(&data);
}

/* Every label of the data set is a label of the batches, and no token of one row is the target of another. */
static void keeps_every_label(void **state) {
    (void)state;
    dlqat_error error = {0};
    dq_dataset data = three_rows();
    dq_batch batch;
    size_t labels = 0;
    assert_ok(dq_batch_open(&batch, 100, 0, &error));
    for (size_t row = 0; row < data.rows; row++) assert_true(dq_batch_add(&batch, &data, row));
    for (size_t i = 0; i < batch.tokens; i++) {
        if (batch.label[i] < 0) continue;
        labels++;
        if (i + 1 == batch.tokens || batch.position[i + 1] == 0) continue; /* the last target is not there */
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
    assert_fails(dq_batch_open(&batch, 0, 0, &error), DLQAT_ERROR_USAGE, "batch");
    assert_fails(dq_batch_open(&batch, (size_t)INT32_MAX + 1, 0, &error), DLQAT_ERROR_USAGE, "batch");
    assert_fails(dq_batch_open(&batch, 1, (size_t)INT32_MAX + 1, &error), DLQAT_ERROR_USAGE, "batch");
    dq_batch_close(&batch); /* safe on what did not open */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(packs), cmocka_unit_test(shares_prefixes),
                                       cmocka_unit_test(sorts), cmocka_unit_test(keeps_every_label),
                                       cmocka_unit_test(refuses_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
