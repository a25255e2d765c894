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
    feed->cut = malloc(((size_t)feed->rows + 1) * sizeof *feed->cut);
    if (status == DLQAT_OK && (!feed->row || !feed->members || !feed->cut))
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
    free(feed->cut);
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

/* Tokens of rows [from, end) as a piece; fewer where a row has more in common with one before its neighbour. */
static uint64_t tokens_between(const dq_feed_cut *cut, size_t from, size_t end) {
    return cut[end].tokens - cut[from].tokens + cut[from].shared;
}

static bool fits(const dq_feed *feed, size_t from, size_t end) {
    if (feed->at_once && tokens_between(feed->cut, from, end) > feed->at_once) return false;
    return !feed->batch.source || feed->cut[end].keys - feed->cut[from].keys <= feed->batch.key_capacity;
}

static void count_rows(dq_feed *feed) {
    const dq_dataset *data = feed->data;
    const size_t rows = (size_t)feed->rows, *row = feed->row;
    feed->cut[0] = (dq_feed_cut){0};
    for (size_t i = 0; i < rows; i++) {
        dq_feed_cut *here = &feed->cut[i];
        const uint64_t needed = dq_row_needed(data, row[i]);
        if (i > 0 && feed->batch.source) here->shared = dq_row_shared(data, row[i], row[i - 1]);
        here[1] = (dq_feed_cut){.tokens = here->tokens + needed - here->shared, .keys = here->keys + needed};
    }
}

/* What a piece costs, but for what every piece does: its tokens, and a little for being large, so that of two ways of equal work the
 * more even one is taken, but not for the price of more than a few tokens. */
static double cost_of(const dq_feed *feed, uint64_t tokens) {
    const double large = feed->at_once ? (double)tokens / (double)feed->at_once : 0;
    return (double)tokens * (1 + large / 16);
}

/* The best way to cut the rows before cut[end]: of the fewest pieces that the bounds allow, a row by itself always, and among those
 * of the least cost. Those before it have theirs. */
static void find_way(dq_feed *feed, size_t end) {
    dq_feed_cut *best = &feed->cut[end];
    for (size_t from = end; from-- > 0 && (from + 1 == end || fits(feed, from, end));) {
        const dq_feed_cut *before = &feed->cut[from];
        const uint64_t pieces = before->pieces + 1;
        const double cost = before->cost + cost_of(feed, tokens_between(feed->cut, from, end));
        if (from + 1 < end && (pieces > best->pieces || (pieces == best->pieces && cost >= best->cost))) continue;
        best->pieces = pieces;
        best->cost = cost;
        best->from = from;
    }
}

static void cut_rows(dq_feed *feed) {
    const size_t rows = (size_t)feed->rows;
    count_rows(feed);
    if (fits(feed, 0, rows)) {
        feed->cut[0].end = rows;
        return;
    }
    for (size_t end = 1; end <= rows; end++) find_way(feed, end);
    for (size_t end = rows; end > 0; end = feed->cut[end].from) feed->cut[feed->cut[end].from].end = end;
}

static void begin_micro_batch(dq_feed *feed) {
    read_rows(&feed->order, feed->next, feed->row, (size_t)feed->rows);
    feed->next += (uint64_t)feed->rows;
    feed->taken = 0;
    if (feed->batch.source) sort_rows(feed);
    cut_rows(feed);
}

const dq_batch *dq_feed_next(dq_feed *feed) {
    dq_batch *batch = &feed->batch;
    if (feed->taken == (size_t)feed->rows) {
        if (feed->next == feed->end) return NULL;
        begin_micro_batch(feed);
    }
    dq_batch_clear(batch);
    const size_t end = feed->cut[feed->taken].end;
    for (; feed->taken < end; feed->taken++)
        (void)dq_batch_add(batch, feed->data, feed->row[feed->taken]); /* fits: dq_feed_capacity, dq_feed_keys */
    return batch;
}
