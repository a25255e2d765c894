#include "train/feed.h"

#include <string.h>

static size_t row_tokens(const dq_dataset *data, size_t row) {
    return data->begin[row + 1] - data->begin[row];
}

static uint64_t tokens_of(const dq_dataset *data, dq_order *order, uint64_t from, uint64_t to) {
    uint64_t tokens = 0;
    for (uint64_t position = from; position < to; position++) tokens += row_tokens(data, dq_order_row(order, position));
    return tokens;
}

dlqat_status dq_feed_measure(dq_feed_sizes *sizes, const dlqat_options *options, const dq_dataset *data,
                             const dq_dataset *held_out, dlqat_error *error) {
    const dq_settings *set = dq_options_settings(options);
    dq_order order;
    DQ_TRY(dq_order_open(&order, data->rows, (uint64_t)set->seed, !set->no_shuffle, error));
    uint64_t count = (uint64_t)(set->max_steps * set->gradient_accumulation_steps), position = 0;
    *sizes = (dq_feed_sizes){0};
    for (uint64_t i = 0; i < count; i++) {
        int64_t micro_batch = 0;
        for (int64_t r = 0; r < set->batch_size; r++) {
            int64_t row = (int64_t)row_tokens(data, dq_order_row(&order, position++));
            micro_batch += row;
            if (sizes->row < row) sizes->row = row;
        }
        if (sizes->micro_batch < micro_batch) sizes->micro_batch = micro_batch;
    }
    dq_order_close(&order);
    for (size_t row = 0; held_out && row < held_out->rows; row++) {
        int64_t tokens = (int64_t)row_tokens(held_out, row);
        if (sizes->row < tokens) sizes->row = tokens;
    }
    return DLQAT_OK;
}

int64_t dq_feed_capacity(const dq_feed_sizes *sizes, int64_t at_once) {
    int64_t most = sizes->micro_batch > sizes->row ? sizes->micro_batch : sizes->row;
    if (at_once == 0 || at_once > most) return most;
    return at_once > sizes->row ? at_once : sizes->row;
}

dlqat_status dq_feed_open(dq_feed *feed, const dlqat_options *options, const dq_dataset *data,
                          const dq_feed_sizes *sizes, int64_t at_once, dlqat_error *error) {
    const dq_settings *set = dq_options_settings(options);
    *feed = (dq_feed){.data = data,
                      .rows = set->batch_size,
                      .micro_batches = set->gradient_accumulation_steps,
                      .at_once = (uint64_t)at_once};
    dlqat_status status = dq_order_open(&feed->order, data->rows, (uint64_t)set->seed, !set->no_shuffle, error);
    if (status == DLQAT_OK) status = dq_batch_open(&feed->batch, (size_t)dq_feed_capacity(sizes, at_once), error);
    if (status != DLQAT_OK) dq_feed_close(feed);
    return status;
}

void dq_feed_close(dq_feed *feed) {
    dq_order_close(&feed->order);
    dq_batch_close(&feed->batch);
    memset(feed, 0, sizeof *feed);
}

void dq_feed_step(dq_feed *feed, int64_t step, uint64_t *tokens, uint64_t *labels) {
    uint64_t rows = (uint64_t)(feed->rows * feed->micro_batches);
    feed->next = feed->border = (uint64_t)(step - 1) * rows;
    feed->end = feed->next + rows;
    *tokens = tokens_of(feed->data, &feed->order, feed->next, feed->end);
    *labels = 0;
    for (uint64_t position = feed->next; position < feed->end; position++) {
        size_t row = dq_order_row(&feed->order, position);
        for (size_t i = feed->data->begin[row] + 1; i < feed->data->begin[row + 1]; i++)
            *labels += feed->data->learned[i];
    }
}

/* As few pieces as the bound allows, about equally large: a small last one would cost nearly as much as a full one. */
static void begin_micro_batch(dq_feed *feed) {
    feed->border = feed->next + (uint64_t)feed->rows;
    uint64_t tokens = tokens_of(feed->data, &feed->order, feed->next, feed->border);
    uint64_t pieces = feed->at_once ? (tokens + feed->at_once - 1) / feed->at_once : 1;
    feed->aim = (tokens + pieces - 1) / pieces;
}

const dq_batch *dq_feed_next(dq_feed *feed) {
    dq_batch *batch = &feed->batch;
    if (feed->next == feed->end) return NULL;
    if (feed->next == feed->border) begin_micro_batch(feed);
    dq_batch_clear(batch);
    while (feed->next < feed->border && batch->tokens < feed->aim) {
        size_t row = dq_order_row(&feed->order, feed->next);
        bool fits = !feed->at_once || batch->tokens + row_tokens(feed->data, row) <= feed->at_once;
        if (batch->rows && !fits) break;
        (void)dq_batch_add(batch, feed->data, row); /* fits: dq_feed_capacity */
        feed->next++;
    }
    return batch;
}
