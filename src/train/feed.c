#include "train/feed.h"

#include <stdlib.h>
#include <string.h>

static size_t row_tokens(const dq_dataset *data, size_t row) {
    return data->begin[row + 1] - data->begin[row];
}

static int64_t max_of(int64_t x, int64_t y) {
    return x > y ? x : y;
}

/* ---- What rows come to --------------------------------------------------------------------------------------------- */

/* Tokens that row[at] adds to a piece that begins with row[first], of its own data. */
static size_t added_by(const dq_dataset *data, const size_t *row, size_t first, size_t at, bool share) {
    size_t most = 0;
    if (at - first > DQ_SHARE_AMONG) first = at - DQ_SHARE_AMONG;
    for (size_t other = first; share && other < at; other++) {
        size_t shared = dq_row_shared(data, row[at], row[other]);
        if (most < shared) most = shared;
    }
    return dq_row_needed(data, row[at]) - most;
}

static void read_rows(dq_order *order, uint64_t position, size_t *row, size_t count) {
    for (size_t i = 0; i < count; i++) row[i] = dq_order_row(order, position + i);
}

/* One micro-batch, whole. */
static void measure(dq_feed_sizes *sizes, const dq_dataset *data, const size_t *row, size_t count, bool share) {
    int64_t tokens = 0, keys = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t needed = (int64_t)dq_row_needed(data, row[i]);
        tokens += (int64_t)added_by(data, row, 0, i, share);
        keys += needed;
        sizes->row = max_of(sizes->row, needed);
    }
    sizes->micro_batch = max_of(sizes->micro_batch, tokens);
    sizes->keys = max_of(sizes->keys, keys);
}

dlqat_status dq_feed_measure(dq_feed_sizes *sizes, const dlqat_options *options, const dq_dataset *data,
                             const dq_dataset *held_out, dlqat_error *error) {
    const dq_settings *set = dq_options_settings(options);
    const size_t rows = (size_t)set->batch_size;
    const uint64_t count = (uint64_t)(set->max_steps * set->gradient_accumulation_steps);
    const bool share = strcmp(set->share_prefixes, "on") == 0;
    *sizes = (dq_feed_sizes){0};
    dq_order order;
    DQ_TRY(dq_order_open(&order, data->rows, (uint64_t)set->seed, !set->no_shuffle, error));
    size_t *row = malloc(rows * sizeof *row);
    if (!row) {
        dq_order_close(&order);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the numbers of %zu rows", rows);
    }
    bool any = false;
    for (uint64_t i = 0; i < count; i++) {
        dq_feed_sizes whole = {0};
        read_rows(&order, i * rows, row, rows);
        measure(&whole, data, row, rows, share);
        any = any || whole.micro_batch < whole.keys;
        sizes->row = max_of(sizes->row, whole.row);
        sizes->micro_batch = max_of(sizes->micro_batch, whole.micro_batch);
        sizes->keys = max_of(sizes->keys, whole.keys);
    }
    if (!any) sizes->keys = 0;
    free(row);
    dq_order_close(&order);
    for (size_t i = 0; held_out && i < held_out->rows; i++)
        sizes->row = max_of(sizes->row, (int64_t)dq_row_needed(held_out, i));
    return DLQAT_OK;
}

int64_t dq_feed_capacity(const dq_feed_sizes *sizes, int64_t at_once) {
    int64_t most = max_of(sizes->micro_batch, sizes->row);
    if (at_once == 0 || at_once > most) return most;
    return max_of(at_once, sizes->row);
}

/* Keys take little beside what tokens take, but not nothing. */
int64_t dq_feed_keys(const dq_feed_sizes *sizes, int64_t at_once) {
    enum { KEYS_OF_TOKEN = 4 };
    if (sizes->keys == 0) return 0;
    int64_t most = max_of(sizes->keys, sizes->row), bound = max_of(KEYS_OF_TOKEN * at_once, sizes->row);
    return at_once == 0 || bound > most ? most : bound;
}

/* ---- The rows of a step --------------------------------------------------------------------------------------------- */

/* A row as qsort sees it. */
struct dq_feed_member {
    const dq_dataset *data;
    size_t row;
};

dlqat_status dq_feed_open(dq_feed *feed, const dlqat_options *options, const dq_dataset *data,
                          const dq_feed_sizes *sizes, int64_t at_once, dlqat_error *error) {
    const dq_settings *set = dq_options_settings(options);
    *feed = (dq_feed){.data = data,
                      .rows = set->batch_size,
                      .micro_batches = set->gradient_accumulation_steps,
                      .at_once = (uint64_t)at_once};
    dlqat_status status = dq_order_open(&feed->order, data->rows, (uint64_t)set->seed, !set->no_shuffle, error);
    feed->row = malloc((size_t)feed->rows * sizeof *feed->row);
    feed->members = malloc((size_t)feed->rows * sizeof *feed->members);
    if (status == DLQAT_OK && (!feed->row || !feed->members))
        status =
            dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the numbers of %lld rows", (long long)set->batch_size);
    if (status == DLQAT_OK)
        status = dq_batch_open(&feed->batch, (size_t)dq_feed_capacity(sizes, at_once),
                               (size_t)dq_feed_keys(sizes, at_once), error);
    if (status != DLQAT_OK) dq_feed_close(feed);
    return status;
}

void dq_feed_close(dq_feed *feed) {
    dq_order_close(&feed->order);
    dq_batch_close(&feed->batch);
    free(feed->row);
    free(feed->members);
    memset(feed, 0, sizeof *feed);
}

void dq_feed_step(dq_feed *feed, int64_t step, uint64_t *tokens, uint64_t *labels) {
    uint64_t rows = (uint64_t)(feed->rows * feed->micro_batches);
    feed->next = (uint64_t)(step - 1) * rows;
    feed->end = feed->next + rows;
    feed->taken = (size_t)feed->rows;
    *tokens = *labels = 0;
    for (uint64_t position = feed->next; position < feed->end; position++) {
        size_t row = dq_order_row(&feed->order, position);
        *tokens += row_tokens(feed->data, row);
        for (size_t i = feed->data->begin[row] + 1; i < feed->data->begin[row + 1]; i++)
            *labels += feed->data->learned[i];
    }
}

/* The end of a piece that begins with row[first] and is full enough with `aim` tokens; and its tokens. */
static size_t end_of_piece(const dq_feed *feed, size_t first, uint64_t aim, uint64_t *tokens) {
    const bool share = feed->batch.source;
    uint64_t keys = 0;
    size_t at = first;
    *tokens = 0;
    for (; at < (size_t)feed->rows && *tokens < aim; at++) {
        uint64_t added = added_by(feed->data, feed->row, first, at, share);
        keys += dq_row_needed(feed->data, feed->row[at]);
        bool fits = !feed->at_once || *tokens + added <= feed->at_once;
        if (share && keys > feed->batch.key_capacity) fits = false;
        if (at > first && !fits) break;
        *tokens += added;
    }
    return at;
}

static int compare_members(const void *one, const void *other) {
    const struct dq_feed_member *x = one, *y = other;
    return dq_row_compare(x->data, x->row, y->row);
}

static void sort_rows(dq_feed *feed) {
    const size_t rows = (size_t)feed->rows;
    for (size_t i = 0; i < rows; i++) feed->members[i] = (struct dq_feed_member){feed->data, feed->row[i]};
    qsort(feed->members, rows, sizeof *feed->members, compare_members);
    for (size_t i = 0; i < rows; i++) feed->row[i] = feed->members[i].row;
}

/* How many pieces an aim gives, and their tokens together, which are more where it parts rows that begin alike. */
static uint64_t count_pieces(const dq_feed *feed, uint64_t aim, uint64_t *total) {
    uint64_t pieces = 0, tokens;
    *total = 0;
    for (size_t at = 0; at < (size_t)feed->rows; pieces++, *total += tokens) at = end_of_piece(feed, at, aim, &tokens);
    return pieces;
}

/* As few pieces as the bound allows, about equally large: a small last one would cost nearly as much as a full one. */
static void begin_micro_batch(dq_feed *feed) {
    read_rows(&feed->order, feed->next, feed->row, (size_t)feed->rows);
    feed->next += (uint64_t)feed->rows;
    feed->taken = 0;
    if (feed->batch.source) sort_rows(feed);
    uint64_t total, fewest = count_pieces(feed, UINT64_MAX, &total);
    feed->aim = (total + fewest - 1) / fewest + (total == 0);
    while (count_pieces(feed, feed->aim, &total) > fewest) feed->aim += feed->aim / 16 + 1;
}

const dq_batch *dq_feed_next(dq_feed *feed) {
    dq_batch *batch = &feed->batch;
    if (feed->taken == (size_t)feed->rows) {
        if (feed->next == feed->end) return NULL;
        begin_micro_batch(feed);
    }
    dq_batch_clear(batch);
    uint64_t tokens;
    const size_t end = end_of_piece(feed, feed->taken, feed->aim, &tokens);
    for (; feed->taken < end; feed->taken++)
        (void)dq_batch_add(batch, feed->data, feed->row[feed->taken]); /* fits: dq_feed_capacity, dq_feed_keys */
    return batch;
}
