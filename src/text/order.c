#include "text/dataset.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

dlqat_status dq_order_open(dq_order *order, size_t rows, uint64_t seed, bool shuffle, dlqat_error *error) {
    *order = (dq_order){.rows = rows, .seed = seed, .shuffle = shuffle, .epoch = SIZE_MAX};
    if (!rows) return dq_fail(error, DLQAT_ERROR_INPUT, "the data has no rows");
    if (!shuffle) return DLQAT_OK;
    order->permutation =
        rows <= SIZE_MAX / sizeof *order->permutation ? malloc(rows * sizeof *order->permutation) : NULL;
    return order->permutation ? DLQAT_OK
                              : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the order of %zu rows", rows);
}

size_t dq_order_row(dq_order *order, uint64_t position) {
    size_t epoch = (size_t)(position / order->rows), index = (size_t)(position % order->rows);
    if (!order->shuffle) return index;
    if (order->epoch != epoch) {
        dq_random_permutation(order->seed, DQ_STREAM_SHUFFLE, (uint32_t)epoch, order->permutation, order->rows);
        order->epoch = epoch;
    }
    return order->permutation[index];
}

void dq_order_close(dq_order *order) {
    free(order->permutation);
    memset(order, 0, sizeof *order);
}
