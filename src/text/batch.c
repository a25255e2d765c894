#include "text/dataset.h"

#include <stdlib.h>
#include <string.h>

dlqat_status dq_batch_open(dq_batch *batch, size_t capacity, dlqat_error *error) {
    memset(batch, 0, sizeof *batch);
    if (!capacity || capacity > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a batch of %zu tokens; expected 1 to %d", capacity, INT32_MAX);
    batch->ids = malloc(capacity * sizeof *batch->ids);
    batch->position = malloc(capacity * sizeof *batch->position);
    batch->row_start = malloc(capacity * sizeof *batch->row_start);
    batch->label = malloc(capacity * sizeof *batch->label);
    if (!batch->ids || !batch->position || !batch->row_start || !batch->label) {
        dq_batch_close(batch);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a batch of %zu tokens", capacity);
    }
    batch->capacity = capacity;
    return DLQAT_OK;
}

void dq_batch_clear(dq_batch *batch) {
    batch->tokens = batch->labels = batch->rows = 0;
}

bool dq_batch_add(dq_batch *batch, const dq_dataset *data, size_t row) {
    size_t begin = data->begin[row], count = data->begin[row + 1] - begin, start = batch->tokens;
    if (count > batch->capacity - start) return false;
    memcpy(batch->ids + start, data->ids + begin, count * sizeof *batch->ids);
    for (size_t i = 0; i < count; i++) {
        bool target = i + 1 < count && data->learned[begin + i + 1];
        batch->position[start + i] = (int32_t)i;
        batch->row_start[start + i] = (int32_t)start;
        batch->label[start + i] = target ? data->ids[begin + i + 1] : -1;
        batch->labels += target;
    }
    batch->tokens += count;
    batch->rows++;
    return true;
}

void dq_batch_close(dq_batch *batch) {
    free(batch->ids);
    free(batch->position);
    free(batch->row_start);
    free(batch->label);
    memset(batch, 0, sizeof *batch);
}
