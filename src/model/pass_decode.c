/* Generation with a cache of keys and values. */
#include "model/pass_internal.h"

#include <string.h>

/* One head's part of a token, from rows [T, d]: a column of a block of keys, a row of a block of values. */
static void keep_token(float *to_k, float *to_v, const float *k, const float *v, int d) {
    for (int c = 0; c < d; c++) to_k[c * DQ_KEY_BLOCK] = k[c];
    memcpy(to_v, v, (size_t)d * sizeof *v);
}

void dq_cache_keep(dq_pass *pass, const dq_compute *compute, int l, const dq_span *span) {
    enum { MANY = 64 }; /* tokens that are worth the waking of threads */
    const int heads = pass->model->config.kv_heads, d = pass->model->config.head_width;
    const float *k = pass->block[l].k, *v = pass->block[l].v;
#pragma omp parallel for collapse(2) num_threads(compute->threads) if (span->tokens >= MANY)
    for (int g = 0; g < heads; g++)
        for (int64_t t = 0; t < span->tokens; t++) {
            const int64_t position = span->first_position + t, within = position % DQ_KEY_BLOCK;
            const int64_t block = (position / DQ_KEY_BLOCK * heads + g) * d * DQ_KEY_BLOCK;
            const int64_t from = (t * heads + g) * d;
            keep_token(pass->cached_k[l] + block + within, pass->cached_v[l] + block + within * d, k + from, v + from,
                       d);
        }
}

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
