#include "text/dataset.h"

#include <stdlib.h>
#include <string.h>

size_t dq_row_needed(const dq_dataset *data, size_t row) {
    size_t last = data->begin[row + 1] - 1;
    while (last > data->begin[row] && !data->learned[last]) last--;
    return last - data->begin[row];
}

size_t dq_row_shared(const dq_dataset *data, size_t row, size_t other) {
    enum { LEAST = 8 };
    const size_t needed = dq_row_needed(data, row), others = dq_row_needed(data, other);
    const size_t most = needed < others ? needed : others, x = data->begin[row], y = data->begin[other];
    size_t shared = 0;
    while (shared < most && data->ids[x + shared] == data->ids[y + shared] && !data->learned[x + shared + 1] &&
           !data->learned[y + shared + 1])
        shared++;
    return shared < LEAST ? 0 : shared;
}

int dq_row_compare(const dq_dataset *data, size_t row, size_t other) {
    const size_t x = data->begin[row], y = data->begin[other];
    const size_t length = data->begin[row + 1] - x, others = data->begin[other + 1] - y;
    for (size_t i = 0; i < length && i < others; i++)
        if (data->ids[x + i] != data->ids[y + i]) return data->ids[x + i] < data->ids[y + i] ? -1 : 1;
    if (length != others) return length < others ? -1 : 1;
    return row < other ? -1 : row > other;
}

dlqat_status dq_batch_open(dq_batch *batch, size_t capacity, size_t key_capacity, dlqat_error *error) {
    memset(batch, 0, sizeof *batch);
    if (!capacity || capacity > INT32_MAX || key_capacity > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a batch of %zu tokens; expected 1 to %d",
                       capacity > key_capacity ? capacity : key_capacity, INT32_MAX);
    batch->ids = malloc(capacity * sizeof *batch->ids);
    batch->position = malloc(capacity * sizeof *batch->position);
    batch->row_start = malloc(capacity * sizeof *batch->row_start);
    batch->label = malloc(capacity * sizeof *batch->label);
    bool there = batch->ids && batch->position && batch->row_start && batch->label;
    if (key_capacity) {
        batch->key = malloc(capacity * sizeof *batch->key);
        batch->source = malloc(key_capacity * sizeof *batch->source);
        batch->row = malloc(capacity * sizeof *batch->row);
        batch->row_key = malloc(capacity * sizeof *batch->row_key);
        there = there && batch->key && batch->source && batch->row && batch->row_key;
    }
    if (!there) {
        dq_batch_close(batch);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a batch of %zu tokens", capacity);
    }
    batch->capacity = capacity;
    batch->key_capacity = key_capacity;
    return DLQAT_OK;
}

void dq_batch_clear(dq_batch *batch) {
    batch->tokens = batch->keys = batch->labels = batch->rows = 0;
}

/* The earlier row with which this one shares most, and how much. */
static size_t find_shared(const dq_batch *batch, const dq_dataset *data, size_t row, size_t *with) {
    const size_t first = batch->rows > DQ_SHARE_AMONG ? batch->rows - DQ_SHARE_AMONG : 0;
    size_t most = 0;
    for (size_t r = first; batch->source && r < batch->rows; r++) {
        size_t shared = dq_row_shared(data, row, batch->row[r]);
        if (shared <= most) continue;
        most = shared;
        *with = r;
    }
    return most;
}

bool dq_batch_add(dq_batch *batch, const dq_dataset *data, size_t row) {
    size_t with = 0, needed = dq_row_needed(data, row), shared = find_shared(batch, data, row, &with);
    size_t count = needed - shared, first_key = batch->keys;
    if (count > batch->capacity - batch->tokens) return false;
    if (batch->source) {
        if (needed > batch->key_capacity - first_key) return false;
        if (shared)
            memcpy(batch->source + first_key, batch->source + batch->row_key[with], shared * sizeof *batch->source);
        batch->row[batch->rows] = row;
        batch->row_key[batch->rows] = first_key;
    }
    size_t begin = data->begin[row];
    for (size_t i = shared; i < needed; i++) {
        size_t t = batch->tokens++;
        bool target = data->learned[begin + i + 1];
        batch->ids[t] = data->ids[begin + i];
        batch->position[t] = (int32_t)i;
        batch->row_start[t] = (int32_t)first_key;
        batch->label[t] = target ? data->ids[begin + i + 1] : -1;
        batch->labels += target;
        if (!batch->source) continue;
        batch->key[t] = (int32_t)(first_key + i);
        batch->source[first_key + i] = (int32_t)t;
    }
    batch->keys += needed;
    batch->rows++;
    return true;
}

void dq_batch_close(dq_batch *batch) {
    free(batch->ids);
    free(batch->position);
    free(batch->row_start);
    free(batch->label);
    free(batch->key);
    free(batch->source);
    free(batch->row);
    free(batch->row_key);
    memset(batch, 0, sizeof *batch);
}
