#include "text/dataset.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

void dq_dataset_close(dq_dataset *data) {
    free(data->ids);
    free(data->learned);
    free(data->begin);
    memset(data, 0, sizeof *data);
}

/* The rows of data that `chosen` marks with `mark`, in their order. */
static dlqat_status copy_rows(const dq_dataset *data, const uint8_t *chosen, uint8_t mark, dq_dataset *out,
                              dlqat_error *error) {
    size_t rows = 0, tokens = 0;
    for (size_t row = 0; row < data->rows; row++)
        if (chosen[row] == mark) {
            rows++;
            tokens += data->begin[row + 1] - data->begin[row];
        }
    *out = (dq_dataset){.kind = data->kind};
    out->ids = malloc(tokens * sizeof *out->ids);
    out->learned = malloc(tokens);
    out->begin = malloc((rows + 1) * sizeof *out->begin);
    if (!out->ids || !out->learned || !out->begin) {
        dq_dataset_close(out);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to split the data set");
    }
    out->begin[0] = 0;
    for (size_t row = 0; row < data->rows; row++) {
        size_t begin = data->begin[row], count = data->begin[row + 1] - begin;
        if (chosen[row] != mark) continue;
        memcpy(out->ids + out->tokens, data->ids + begin, count * sizeof *out->ids);
        memcpy(out->learned + out->tokens, data->learned + begin, count);
        for (size_t i = 0; i < count; i++) out->labels += data->learned[begin + i];
        out->tokens += count;
        out->begin[++out->rows] = out->tokens;
    }
    return DLQAT_OK;
}

dlqat_status dq_dataset_split(dq_dataset *data, double share, uint64_t seed, dq_dataset *held_out, dlqat_error *error) {
    memset(held_out, 0, sizeof *held_out);
    if (!(share > 0 && share < 1))
        return dq_fail(error, DLQAT_ERROR_USAGE, "--validation-split must lie between 0 and 1, not %g", share);
    if (data->rows < 2)
        return dq_fail(error, DLQAT_ERROR_INPUT, "the data has %zu row, which cannot be split; give --validation-data",
                       data->rows);
    size_t count = (size_t)((double)data->rows * share + 0.5);
    if (count < 1) count = 1;
    if (count > data->rows - 1) count = data->rows - 1;
    size_t *order = malloc(data->rows * sizeof *order);
    uint8_t *chosen = calloc(data->rows, 1);
    dq_dataset kept = {0};
    dlqat_status status =
        order && chosen ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to split the data set");
    if (status == DLQAT_OK) {
        dq_random_permutation(seed, DQ_STREAM_SPLIT, 0, order, data->rows);
        for (size_t i = 0; i < count; i++) chosen[order[i]] = 1;
        status = copy_rows(data, chosen, 1, held_out, error);
    }
    if (status == DLQAT_OK) status = copy_rows(data, chosen, 0, &kept, error);
    free(order);
    free(chosen);
    if (status != DLQAT_OK) {
        dq_dataset_close(held_out);
        return status;
    }
    kept.dropped = data->dropped;
    kept.truncated = data->truncated;
    dq_dataset_close(data);
    *data = kept;
    return DLQAT_OK;
}
