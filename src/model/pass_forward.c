#include "model/pass_internal.h"

#include <math.h>
#include <string.h>

void dq_pass_norm(const dq_pass *pass, const dq_compute *compute, float *y, float *r, const float *x, const float *w,
                  int64_t T) {
    const dq_config *config = &pass->model->config;
    dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
    compute->kernels->rmsnorm_forward(compute, y, r, x, w, (float)config->rms_eps, T, config->hidden);
    dq_profile_return(compute->profile, before);
}

/* y[i] = x W_i^T + bias_i for `count` linears that follow one another, at most three. */
static void apply(const dq_pass *pass, const dq_compute *compute, int count, const dq_linear *linear, const float *x,
                  float *const *y, int64_t T) {
    const dq_weight *weight[3];
    for (int i = 0; i < count; i++) weight[i] = &linear[i].active;
    dq_linears_forward(pass, compute, count, weight, x, y, T, false);
    for (int i = 0; i < count; i++)
        if (linear[i].bias) compute->kernels->bias_forward(compute, y[i], linear[i].bias, T, linear[i].active.out);
}

/* y = residual + x W^T + bias; y may be residual. */
static void apply_onto(const dq_pass *pass, const dq_compute *compute, const dq_linear *linear, const float *x,
                       const float *residual, float *y, int64_t T) {
    if (y != residual) memcpy(y, residual, (size_t)(T * linear->active.out) * sizeof *y);
    dq_linear_forward(pass, compute, &linear->active, x, y, T, true);
    if (linear->bias) compute->kernels->bias_forward(compute, y, linear->bias, T, linear->active.out);
}

dq_attention dq_block_attention(const dq_pass *pass, int l, const dq_span *span) {
    const dq_config *config = &pass->model->config;
    const dq_block *block = &pass->block[l];
    const float *k = pass->cached_k ? pass->cached_k[l] : block->k, *v = pass->cached_v ? pass->cached_v[l] : block->v;
    return (dq_attention){
        .query_count = span->tokens,
        .first_position = span->first_position,
        .heads = config->heads,
        .kv_heads = config->kv_heads,
        .head_width = config->head_width,
        .window = l >= config->first_windowed_layer ? config->window : 0,
        .scale = (float)(1 / sqrt(config->head_width)),
        .row_start = span->row_start,
        .q = block->q,
        .k = span->source ? pass->shared_k : k,
        .v = span->source ? pass->shared_v : v,
        .o = block->o,
        .log_sum = block->log_sum,
        .blocked = pass->cached_k,
        .key = span->key,
        .key_count = span->keys,
    };
}

/* Per-head norm (qwen3) from raw to x, then rotation. raw and x are one array where the backward does not need raw. */
static void norm_and_rotate(const dq_pass *pass, const dq_compute *compute, const float *norm, float *raw, float *r,
                            float *x, int heads, const dq_span *span) {
    const dq_config *config = &pass->model->config;
    dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
    if (norm)
        compute->kernels->rmsnorm_forward(compute, x, r, raw, norm, (float)config->rms_eps, span->tokens * heads,
                                          config->head_width);
    compute->kernels->rope(compute, x, span->position, pass->model->inv_freq, span->tokens, heads, config->head_width,
                           false);
    dq_profile_return(compute->profile, before);
}

double dq_attention_pairs(const dq_attention *a) {
    double pairs = 0;
    for (int64_t i = 0; i < a->query_count; i++) {
        int64_t seen = (a->key ? a->key[i] : a->first_position + i) + 1 - a->row_start[i];
        pairs += (double)(a->window > 0 && seen > a->window ? a->window : seen);
    }
    return pairs * a->heads * a->head_width;
}

void dq_block_forward(dq_pass *pass, const dq_compute *compute, int l, const dq_span *span, bool again) {
    const dq_config *config = &pass->model->config;
    const dq_layer *layer = &pass->model->layer[l];
    dq_block *block = &pass->block[l];
    const dq_linear *linear = layer->linear;
    int64_t T = span->tokens;

    dq_pass_norm(pass, compute, pass->normed, block->r1, pass->hidden[l], layer->input_norm, T);
    apply(pass, compute, 3, &linear[DQ_Q], pass->normed, (float *[]){block->q_raw, block->k_raw, block->v}, T);
    norm_and_rotate(pass, compute, layer->q_norm, block->q_raw, block->rq, block->q, config->heads, span);
    norm_and_rotate(pass, compute, layer->k_norm, block->k_raw, block->rk, block->k, config->kv_heads, span);
    if (pass->cached_k) dq_cache_keep(pass, compute, l, span);
    dq_keys_spread(pass, compute, l, span);
    dq_attention attention = dq_block_attention(pass, l, span);
    dq_profile *profile = compute->profile;
    double products = profile ? 4 * dq_attention_pairs(&attention) : 0;
    dq_operation before = dq_profile_enter(profile, DQ_ATTENTION_FORWARD, products);
    compute->kernels->attention_forward(compute, &attention);
    dq_profile_return(profile, before);
    apply_onto(pass, compute, &linear[DQ_O], block->o, pass->hidden[l], block->middle, T);

    dq_pass_norm(pass, compute, pass->normed, block->r2, block->middle, layer->post_norm, T);
    apply(pass, compute, 2, &linear[DQ_GATE], pass->normed, (float *[]){block->gate, block->up}, T);
    if (again) return;
    before = dq_profile_enter(profile, DQ_NORM_ROPE_SWIGLU, 0);
    compute->kernels->swiglu_forward(compute, pass->active, block->gate, block->up, T * config->intermediate);
    dq_profile_return(profile, before);
    apply_onto(pass, compute, &linear[DQ_DOWN], pass->active, block->middle, pass->hidden[l + 1], T);
}

dlqat_status dq_pass_run(dq_pass *pass, const dq_compute *compute, const int32_t *ids, const dq_span *span,
                         dlqat_error *error) {
    const dq_model *model = pass->model;
    int64_t T = span->tokens, width = model->config.hidden;
    pass->stage = DQ_STAGE_EMPTY;
    if (T < 1 || T > pass->options.capacity)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a batch of %lld tokens, but room for 1 to %lld", (long long)T,
                       (long long)pass->options.capacity);
    for (int64_t t = 0; t < T; t++)
        if (ids[t] < 0 || ids[t] >= model->config.vocabulary)
            return dq_fail(
                error, DLQAT_ERROR_INPUT,
                "%s: token id %d is outside the model's vocabulary of %lld; does the tokenizer belong to it?",
                model->path, (int)ids[t], (long long)model->config.vocabulary);
    float *hidden = pass->hidden[0];
#pragma omp parallel for num_threads(compute->threads) schedule(static)
    for (int64_t t = 0; t < T; t++) dq_weight_rows(&model->embedding, ids[t], 1, hidden + t * width);
    for (int l = 0; l < model->config.layers; l++) dq_block_forward(pass, compute, l, span, false);
    dq_pass_norm(pass, compute, pass->final, pass->final_r, pass->hidden[model->config.layers], model->final_norm, T);
    pass->tokens = T;
    pass->stage = DQ_STAGE_FORWARD;
    return DLQAT_OK;
}

dlqat_status dq_pass_forward(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, dlqat_error *error) {
    if (pass->options.cache) return dq_fail(error, DLQAT_ERROR_USAGE, "a pass with a cache runs dq_pass_decode");
    const dq_span span = dq_span_of(batch);
    if (span.keys > pass->options.keys)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a batch of %lld keys that share prefixes, but room for %lld",
                       (long long)span.keys, (long long)pass->options.keys);
    return dq_pass_run(pass, compute, batch->ids, &span, error);
}
