/* Prefixes that rows share: each of their tokens goes through the linears once, but attention finds keys and values of every row
 * side by side, so those are copied for it, and what it finds as their gradients is summed up. */
#include "model/pass_internal.h"

#include <string.h>

dq_span dq_span_of(const dq_batch *batch) {
    dq_span span = {.tokens = (int64_t)batch->tokens, .position = batch->position, .row_start = batch->row_start};
    if (!batch->source || batch->keys == batch->tokens) return span;
    span.keys = (int64_t)batch->keys;
    span.key = batch->key;
    span.source = batch->source;
    return span;
}

void dq_keys_spread(const dq_pass *pass, const dq_compute *compute, int l, const dq_span *span) {
    const dq_block *block = &pass->block[l];
    const int64_t width = (int64_t)pass->model->config.kv_heads * pass->model->config.head_width;
    if (!span->source) return;
    dq_operation before = dq_profile_enter(compute->profile, DQ_ATTENTION_FORWARD, 0);
#pragma omp parallel for num_threads(compute->threads) schedule(static)
    for (int64_t e = 0; e < span->keys; e++) {
        const int64_t from = span->source[e] * width;
        memcpy(pass->shared_k + e * width, block->k + from, (size_t)width * sizeof(float));
        memcpy(pass->shared_v + e * width, block->v + from, (size_t)width * sizeof(float));
    }
    dq_profile_return(compute->profile, before);
}

static void add(float *to, const float *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

/* Each thread has columns of its own and goes through the keys in their order, so the bits do not depend on threads. */
void dq_keys_gather(const dq_pass *pass, const dq_compute *compute, const dq_span *span, float *dk, float *dv) {
    const int64_t d = pass->model->config.head_width, heads = pass->model->config.kv_heads, width = heads * d;
    if (!span->source) return;
    dq_operation before = dq_profile_enter(compute->profile, DQ_ATTENTION_BACKWARD, 0);
#pragma omp parallel for num_threads(compute->threads) schedule(static)
    for (int64_t part = 0; part < 2 * heads; part++) {
        const float *from = (part < heads ? pass->shared_dk : pass->shared_dv) + part % heads * d;
        float *to = (part < heads ? dk : dv) + part % heads * d;
        for (int64_t t = 0; t < span->tokens; t++) memset(to + t * width, 0, (size_t)d * sizeof *to);
        for (int64_t e = 0; e < span->keys; e++) add(to + span->source[e] * width, from + e * width, d);
    }
    dq_profile_return(compute->profile, before);
}
