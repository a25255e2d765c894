/* Generation with a cache of keys and values. */
#include "model/pass_internal.h"

dlqat_status dq_pass_decode(dq_pass *pass, const dq_compute *compute, const int32_t *ids, int64_t count,
                            dlqat_error *error) {
    if (!pass->options.cache) return dq_fail(error, DLQAT_ERROR_USAGE, "this pass was opened without a cache");
    if (count < 0 || count > pass->options.cache - pass->past)
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "%lld more tokens do not fit: the cache holds %lld and has room for %lld", (long long)count,
                       (long long)pass->past, (long long)pass->options.cache);
    dq_span span = {
        .tokens = count,
        .first_position = pass->past,
        .position = pass->position,
        .row_start = pass->row_start, /* zeros: one row */
    };
    for (int64_t i = 0; i < count && i < pass->options.capacity; i++) pass->position[i] = (int32_t)(pass->past + i);
    DQ_TRY(dq_pass_run(pass, compute, ids, &span, error));
    pass->past += count;
    return DLQAT_OK;
}

void dq_pass_rewind(dq_pass *pass, int64_t past) {
    if (past >= 0 && past < pass->past) pass->past = past;
}

int64_t dq_pass_past(const dq_pass *pass) {
    return pass->past;
}
