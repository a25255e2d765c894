/* The rows of a step, in pieces: every row once and in order, whole, within the bound; and the same step of training whatever the
 * pieces. */
#include "train_support.h"

#include "train/feed.h"

#include <math.h>

/* Walks a step. Checks that its pieces are the rows at positions first .. first + count of the data's order, one after another,
 * and that none crosses the end of a micro-batch. */
static int walk(setup *s, dq_feed *feed, int64_t step, int64_t batch_size, int64_t micro_batches, int64_t at_once) {
    dlqat_error error;
    const dq_settings *set = dq_options_settings(s->options);
    dq_order order;
    assert_ok(dq_order_open(&order, s->data.rows, (uint64_t)set->seed, true, &error));
    uint64_t count = (uint64_t)(batch_size * micro_batches), first = (uint64_t)(step - 1) * count, position = first;
    uint64_t tokens, labels, tokens_seen = 0, labels_seen = 0;
    int pieces = 0;
    dq_feed_step(feed, step, &tokens, &labels);
    for (const dq_batch *batch; (batch = dq_feed_next(feed)); pieces++) {
        size_t at = 0, rows = 0;
        while (at < batch->tokens) {
            assert_true(position < first + count);
            assert_true(rows == 0 || (position - first) % (uint64_t)batch_size != 0);
            size_t row = dq_order_row(&order, position++), begin = s->data.begin[row];
            size_t length = s->data.begin[row + 1] - begin;
            assert_true(at + length <= batch->tokens);
            assert_memory_equal(batch->ids + at, s->data.ids + begin, length * sizeof *batch->ids);
            assert_int_equal(batch->row_start[at], at);
            at += length;
            rows++;
        }
        assert_int_equal(rows, batch->rows);
        assert_true(rows >= 1 && (at_once == 0 || rows == 1 || batch->tokens <= (size_t)at_once));
        tokens_seen += batch->tokens;
        labels_seen += batch->labels;
    }
    assert_int_equal(position, first + count);
    assert_int_equal(tokens_seen, tokens);
    assert_int_equal(labels_seen, labels);
    dq_order_close(&order);
    return pieces;
}

static void every_row_once_in_order(void **state) {
    (void)state;
    dlqat_error error;
    const struct {
        const char *batch, *accumulation;
        int64_t at_once;
    } cases[] = {{"5", "1", 0},  {"5", "1", 1},  {"5", "1", 16},   {"5", "2", 30},
                 {"7", "3", 40}, {"1", "1", 20}, {"12", "1", 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setup s;
        open_setup(&s, (const char *const[]){"batch-size", cases[i].batch, "gradient-accumulation-steps",
                                             cases[i].accumulation, NULL});
        for (int row = 0; row < ROWS; row += 3) s.data.learned[s.data.begin[row] + 1] = 1; /* after the first token */
        dq_feed_sizes sizes;
        dq_feed feed;
        assert_ok(dq_feed_measure(&sizes, s.options, &s.data, NULL, &error));
        if (atoi(cases[i].batch) > 1) assert_int_equal(sizes.row, 16); /* all rows come */
        assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, cases[i].at_once, &error));
        int64_t rows = atoi(cases[i].batch), micro_batches = atoi(cases[i].accumulation);
        for (int64_t step = 1; step <= STEPS; step++) { /* through the end of an epoch, which falls within a step */
            int pieces = walk(&s, &feed, step, rows, micro_batches, cases[i].at_once);
            if (cases[i].at_once == 0 || cases[i].at_once == 1000) assert_int_equal(pieces, micro_batches);
            if (cases[i].at_once == 1) assert_int_equal(pieces, rows);
        }
        int64_t end = STEPS; /* a step may come again, as after a resume */
        walk(&s, &feed, end, rows, micro_batches, cases[i].at_once);
        dq_feed_close(&feed);
        close_setup(&s);
    }
}

/* 12 rows of 126 tokens in all: a bound of 100 makes two pieces, of about 63, not one of 100 and the rest. */
static void pieces_are_about_equal(void **state) {
    (void)state;
    dlqat_error error;
    setup s;
    open_setup(&s, (const char *const[]){"batch-size", "12", NULL});
    dq_feed_sizes sizes;
    dq_feed feed;
    assert_ok(dq_feed_measure(&sizes, s.options, &s.data, NULL, &error));
    assert_int_equal(sizes.micro_batch, 126);
    assert_int_equal(dq_feed_capacity(&sizes, 0), 126);
    assert_int_equal(dq_feed_capacity(&sizes, 70), 70);
    assert_int_equal(dq_feed_capacity(&sizes, 7), 16); /* one row always fits */
    assert_int_equal(dq_feed_capacity(&sizes, 1000), 126);
    assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, 100, &error));
    uint64_t tokens, labels;
    dq_feed_step(&feed, 1, &tokens, &labels);
    for (int piece = 0; piece < 2; piece++) assert_in_range(dq_feed_next(&feed)->tokens, 63 - 15, 63 + 15);
    assert_null(dq_feed_next(&feed));
    dq_feed_close(&feed);
    close_setup(&s);
}

/* The longest row may be a held-out one. */
static void held_out_rows_count(void **state) {
    (void)state;
    dlqat_error error;
    setup s, other;
    open_setup(&s, (const char *const[]){"batch-size", "1", NULL});
    open_setup(&other, (const char *const[]){NULL});
    dq_dataset shorter = s.data;
    shorter.rows = 3; /* of 5, 6 and 7 tokens */
    dq_feed_sizes sizes;
    assert_ok(dq_feed_measure(&sizes, s.options, &shorter, NULL, &error));
    assert_int_equal(sizes.row, 7);
    assert_int_equal(dq_feed_capacity(&sizes, 0), 7);
    assert_ok(dq_feed_measure(&sizes, s.options, &shorter, &other.data, &error));
    assert_int_equal(dq_feed_capacity(&sizes, 0), 16);
    close_setup(&other);
    close_setup(&s);
}

/* Loss and gradients are sums over tokens, so pieces change them by rounding alone. 1e-5: 126 tokens' f32 sums in another order
 * stay within 126 * 2^-24 = 7.5e-6 of the sum of their absolute values, and the norm of all gradients averages that out. */
static void pieces_do_not_change_a_step(void **state) {
    (void)state;
    static const char *const at_once[] = {"auto", "70", "20", "1"};
    static const char *const methods[] = {"dlqat", "l4q", "qalora"};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        dq_step_record whole = {0};
        for (size_t i = 0; i < sizeof at_once / sizeof at_once[0]; i++) {
            dlqat_error error;
            setup s;
            open_setup(&s, (const char *const[]){"method", methods[m], "batch-size", "12", "lora-rank", "4",
                                                 "tokens-at-once", at_once[i], NULL});
            dq_trainer *trainer = open_trainer(&s, true);
            dq_step_record record;
            assert_ok(dq_trainer_step(trainer, &record, &error));
            if (i == 0) whole = record;
            assert_int_equal(record.tokens, 126);
            assert_int_equal(record.labels, whole.labels);
            assert_true(fabs(record.loss - whole.loss) <= 1e-5 * whole.loss);
            assert_true(fabs(record.grad_norm - whole.grad_norm) <= 1e-5 * whole.grad_norm);
            dq_trainer_close(trainer);
            close_setup(&s);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_once_in_order),
        cmocka_unit_test(pieces_are_about_equal),
        cmocka_unit_test(held_out_rows_count),
        cmocka_unit_test(pieces_do_not_change_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
