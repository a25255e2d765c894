/* The rows of a step, in pieces: every row once and in order, whole, within the bound, what they begin with alike once; and the
 * same step of training whatever the pieces. */
#include "train_support.h"

#include "train/feed.h"

#include <math.h>

/* Rows of ten and more tokens begin alike: with nine that are no targets. */
static void begin_alike(setup *s) {
    for (int row = 5; row < ROWS; row++) {
        const size_t first = s->data.begin[row];
        memcpy(s->data.ids + first, s->data.ids + s->data.begin[5], 9 * sizeof *s->data.ids);
        memset(s->data.learned + first, 0, 9);
        s->data.learned[first + 9] = 1;
    }
}

/* The row at this position of the order; where prefixes are shared the rows of a micro-batch come sorted. */
static size_t row_at(const dq_dataset *data, dq_order *order, uint64_t position, uint64_t batch_size, bool sorted) {
    const uint64_t first = position / batch_size * batch_size;
    size_t row[ROWS];
    for (uint64_t i = 0; i < batch_size; i++) {
        row[i] = dq_order_row(order, first + i);
        for (uint64_t j = i; sorted && j > 0 && dq_row_compare(data, row[j - 1], row[j]) > 0; j--) {
            const size_t kept = row[j];
            row[j] = row[j - 1];
            row[j - 1] = kept;
        }
    }
    return row[position - first];
}

/* Row by row what a piece works on: position after position, each the right token, its own or one that was there before. Returns the
 * rows' tokens in the data. */
static size_t check_piece(const dq_batch *batch, const dq_dataset *data, dq_order *order, int64_t batch_size,
                          uint64_t *position) {
    size_t key = 0, own = 0, in_data = 0;
    for (size_t r = 0; r < batch->rows; r++) {
        const size_t row = row_at(data, order, (*position)++, (uint64_t)batch_size, batch->source),
                     begin = data->begin[row], first = key;
        in_data += data->begin[row + 1] - begin;
        for (size_t i = 0; i < dq_row_needed(data, row); i++, key++) {
            const size_t at = batch->source ? (size_t)batch->source[key] : key;
            assert_int_equal(batch->ids[at], data->ids[begin + i]);
            assert_int_equal(batch->position[at], i);
            assert_true(at <= own);
            if (at < own) continue;
            assert_int_equal(batch->row_start[at], first);
            own++;
        }
    }
    assert_int_equal(own, batch->tokens);
    assert_int_equal(key, batch->keys);
    return in_data;
}

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
        const uint64_t begin = position - first;
        tokens_seen += check_piece(batch, &s->data, &order, batch_size, &position);
        const uint64_t last = position - 1 - first;
        assert_true(batch->rows >= 1 && last < count);
        assert_true(begin / (uint64_t)batch_size == last / (uint64_t)batch_size);
        assert_true(at_once == 0 || batch->rows == 1 || batch->tokens <= (size_t)at_once);
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
    const size_t count = sizeof cases / sizeof cases[0];
    for (size_t at = 0; at < 3 * count; at++) {
        const size_t i = at % count;
        const bool alike = at >= count, shares = alike && at < 2 * count;
        setup s;
        open_setup(&s,
                   (const char *const[]){"batch-size", cases[i].batch, "gradient-accumulation-steps",
                                         cases[i].accumulation, "share-prefixes", at < 2 * count ? "on" : "off", NULL});
        if (alike) begin_alike(&s);
        for (int row = 0; !alike && row < ROWS; row += 3)
            s.data.learned[s.data.begin[row] + 1] = 1; /* after the first token */
        dq_feed_sizes sizes;
        dq_feed feed;
        assert_ok(dq_feed_measure(&sizes, s.options, &s.data, NULL, &error));
        if (atoi(cases[i].batch) > 1) assert_int_equal(sizes.row, 15); /* all rows come */
        assert_int_equal(sizes.keys > 0, shares && atoi(cases[i].batch) > 1);
        assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, cases[i].at_once, &error));
        int64_t rows = atoi(cases[i].batch), micro_batches = atoi(cases[i].accumulation);
        for (int64_t step = 1; step <= STEPS; step++) { /* through the end of an epoch, which falls within a step */
            int pieces = walk(&s, &feed, step, rows, micro_batches, cases[i].at_once);
            if (cases[i].at_once == 0 || cases[i].at_once == 1000) assert_int_equal(pieces, micro_batches);
            if (cases[i].at_once == 1) assert_int_equal(pieces, rows * micro_batches);
        }
        int64_t end = STEPS; /* a step may come again, as after a resume */
        walk(&s, &feed, end, rows, micro_batches, cases[i].at_once);
        dq_feed_close(&feed);
        close_setup(&s);
    }
}

/* 12 rows of 126 tokens in all, 114 without their last ones: a bound of 100 makes two pieces, of about 57, not one of 100 and the
 * rest. */
static void pieces_are_about_equal(void **state) {
    (void)state;
    dlqat_error error;
    setup s;
    open_setup(&s, (const char *const[]){"batch-size", "12", NULL});
    dq_feed_sizes sizes;
    dq_feed feed;
    assert_ok(dq_feed_measure(&sizes, s.options, &s.data, NULL, &error));
    assert_int_equal(sizes.micro_batch, 114);
    assert_int_equal(dq_feed_capacity(&sizes, 0), 114);
    assert_int_equal(dq_feed_capacity(&sizes, 70), 70);
    assert_int_equal(dq_feed_capacity(&sizes, 7), 15); /* one row always fits */
    assert_int_equal(dq_feed_capacity(&sizes, 1000), 114);
    assert_int_equal(dq_feed_keys(&sizes, 0), 0);
    assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, 100, &error));
    uint64_t tokens, labels;
    dq_feed_step(&feed, 1, &tokens, &labels);
    assert_int_equal(tokens, 126);
    for (int piece = 0; piece < 2; piece++) assert_in_range(dq_feed_next(&feed)->tokens, 57 - 15, 57 + 15);
    assert_null(dq_feed_next(&feed));
    dq_feed_close(&feed);
    close_setup(&s);
}

/* The seven rows that begin alike have 9 to 15 tokens that the loss needs and share the first 8: six times 8 fewer. */
static void shared_prefixes_count_once(void **state) {
    (void)state;
    dlqat_error error;
    setup s;
    open_setup(&s, (const char *const[]){"batch-size", "12", "no-shuffle", "true", NULL});
    begin_alike(&s);
    dq_feed_sizes sizes;
    dq_feed feed;
    assert_ok(dq_feed_measure(&sizes, s.options, &s.data, NULL, &error));
    assert_int_equal(sizes.micro_batch, 114 - 6 * 8);
    assert_int_equal(sizes.keys, 114);
    assert_int_equal(dq_feed_keys(&sizes, 0), 114);
    assert_int_equal(dq_feed_keys(&sizes, 20), 80);
    assert_int_equal(dq_feed_keys(&sizes, 2), 15);
    uint64_t tokens, labels;
    assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, 0, &error));
    dq_feed_step(&feed, 1, &tokens, &labels);
    assert_int_equal(tokens, 126);
    const dq_batch *batch = dq_feed_next(&feed);
    assert_int_equal(batch->tokens, 66);
    assert_int_equal(batch->keys, 114);
    assert_null(dq_feed_next(&feed));
    dq_feed_close(&feed);

    /* In two pieces: those that begin alike stay together where there is room (the others sort before and behind them, so that the
     * larger piece has 49 tokens), else the second piece works on the prefix again. */
    static const struct {
        int64_t at_once;
        size_t worked_on;
    } cuts[] = {{60, 66}, {49, 66}, {48, 66 + 8}, {40, 66 + 8}};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, cuts[i].at_once, &error));
        dq_feed_step(&feed, 1, &tokens, &labels);
        size_t worked_on = 0;
        for (int piece = 0; piece < 2; piece++) {
            batch = dq_feed_next(&feed);
            assert_true(batch->tokens <= (size_t)cuts[i].at_once);
            worked_on += batch->tokens;
        }
        assert_int_equal(worked_on, cuts[i].worked_on);
        assert_null(dq_feed_next(&feed));
        dq_feed_close(&feed);
    }

    /* Keys are bounded too: all in one piece are 114. */
    assert_ok(dq_feed_open(&feed, s.options, &s.data, &sizes, 0, &error));
    feed.batch.key_capacity = 60;
    dq_feed_step(&feed, 1, &tokens, &labels);
    size_t keys = 0;
    while ((batch = dq_feed_next(&feed))) {
        assert_true(batch->keys <= 60);
        keys += batch->keys;
    }
    assert_int_equal(keys, 114);
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
    assert_int_equal(sizes.row, 6);
    assert_int_equal(dq_feed_capacity(&sizes, 0), 6);
    assert_ok(dq_feed_measure(&sizes, s.options, &shorter, &other.data, &error));
    assert_int_equal(dq_feed_capacity(&sizes, 0), 15);
    close_setup(&other);
    close_setup(&s);
}

/* Loss and gradients are sums over tokens, so pieces and shared prefixes change them by rounding alone. 1e-5: 126 tokens' f32 sums
 * in another order stay within 126 * 2^-24 = 7.5e-6 of the sum of their absolute values, and the norm of all gradients averages
 * that out. */
static void a_step_stays_the_same(void **state) {
    (void)state;
    static const struct {
        const char *at_once, *share;
        uint64_t computed; /* 0: whatever */
    } ways[] = {{"auto", "off", 114}, {"auto", "on", 66}, {"70", "on", 66}, {"60", "on", 0},
                {"20", "on", 0},      {"70", "off", 114}, {"1", "on", 114}};
    static const char *const methods[] = {"dlqat", "l4q", "qalora"};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        dq_step_record whole = {0};
        double whole_held_out = 0;
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            dlqat_error error;
            setup s;
            open_setup(&s,
                       (const char *const[]){"method", methods[m], "batch-size", "12", "lora-rank", "4",
                                             "tokens-at-once", ways[i].at_once, "share-prefixes", ways[i].share, NULL});
            begin_alike(&s);
            dq_trainer *trainer = open_trainer(&s, true);
            dq_step_record record;
            double held_out;
            assert_ok(dq_trainer_evaluate(trainer, &held_out, &error));
            assert_ok(dq_trainer_step(trainer, &record, &error));
            if (i == 0) {
                whole = record;
                whole_held_out = held_out;
            }
            if (ways[i].computed) assert_int_equal(record.computed, ways[i].computed);
            assert_int_equal(record.tokens, 126);
            assert_int_equal(record.labels, whole.labels);
            assert_true(fabs(held_out - whole_held_out) <= 1e-5 * whole_held_out);
            assert_true(fabs(record.loss - whole.loss) <= 1e-5 * whole.loss);
            assert_true(fabs(record.grad_norm - whole.grad_norm) <= 1e-5 * whole.grad_norm);
            dq_trainer_close(trainer);
            close_setup(&s);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_once_in_order),    cmocka_unit_test(pieces_are_about_equal),
        cmocka_unit_test(shared_prefixes_count_once), cmocka_unit_test(held_out_rows_count),
        cmocka_unit_test(a_step_stays_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
