#include "model/pass_internal.h"

#include <string.h>

void dq_pass_want(dq_pass *pass, const dq_gradients *gradients) {
    pass->want = gradients ? *gradients : (dq_gradients){0};
}

static float *norm_gradient(float *const *norms, int l) {
    return norms ? norms[l] : NULL;
}

/* dx += what comes through y = rmsnorm(x) w */
static void norm_backward(const dq_pass *pass, const dq_compute *compute, float *dx, float *dw, const float *dy,
                          const float *x, const float *w, const float *r, int64_t T) {
    dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
    compute->kernels->rmsnorm_backward(compute, dx, dw, dy, x, w, r, T, pass->model->config.hidden);
    dq_profile_return(compute->profile, before);
}

/* Through rotation and, for qwen3, the per-head norm: the gradient of q_raw (or k_raw). dx is turned in place; where there is
 * a norm the result goes to `room`, whose former contents are done with. */
static float *through_rotation(const dq_pass *pass, const dq_compute *compute, const float *norm, const float *raw,
                               const float *r, float *dx, float *room, int heads, const dq_span *span) {
    const dq_config *config = &pass->model->config;
    int64_t T = span->tokens;
    dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
    compute->kernels->rope(compute, dx, span->position, pass->model->inv_freq, T, heads, config->head_width, true);
    if (norm) {
        memset(room, 0, (size_t)(T * heads * config->head_width) * sizeof *room);
        compute->kernels->rmsnorm_backward(compute, room, NULL, dx, raw, norm, r, T * heads, config->head_width);
    }
    dq_profile_return(compute->profile, before);
    return norm ? room : dx;
}

/* sum_t dy_ti (y - less - bias)_ti for linear `kind`, the i-th of those reported together; NULL where nobody wants it. */
static const float *dots_of(const dq_pass *pass, const dq_compute *compute, int l, dq_linear_kind kind, int i,
                            const float *dy, const float *y, const float *less, int64_t T) {
    if (!dq_linear_wants_dots(pass, l, kind)) return NULL;
    const dq_linear *linear = &pass->model->layer[l].linear[kind];
    float *dots = dq_linear_dots(pass, l, kind, i);
    dq_operation before = dq_profile_enter(compute->profile, DQ_QUANTIZER_GRADIENT, 0);
    compute->kernels->column_dots(compute, dots, dy, y, less, linear->bias, T, linear->active.out);
    dq_profile_return(compute->profile, before);
    return dots;
}

/* gate and up turn into their gradients. dots: of the two linears, NULL where nobody wants them. */
static void through_swiglu(const dq_pass *pass, const dq_compute *compute, int l, int64_t T, const float *dots[2]) {
    const dq_layer *layer = &pass->model->layer[l];
    const dq_block *block = &pass->block[l];
    const bool wants[2] = {dq_linear_wants_dots(pass, l, DQ_GATE), dq_linear_wants_dots(pass, l, DQ_UP)};
    float *gradient[2] = {block->gate, block->up}, *room[2] = {NULL, NULL};
    for (int i = 0; i < 2 && (wants[0] || wants[1]); i++)
        room[i] = dq_linear_dots(pass, l, (dq_linear_kind)(DQ_GATE + i), i);
    dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
    compute->kernels->swiglu_backward(compute, block->gate, block->up, pass->active, block->gate, block->up, T,
                                      pass->model->config.intermediate, room[0], room[1]);
    for (int i = 0; i < 2; i++) {
        const dq_linear *linear = &layer->linear[DQ_GATE + i];
        dots[i] = wants[i] ? room[i] : NULL;
        if (wants[i] && linear->bias)
            compute->kernels->column_dots(compute, room[i], gradient[i], NULL, NULL, linear->bias, T,
                                          linear->active.out);
    }
    dq_profile_return(compute->profile, before);
}

/* h'' = h' + swiglu(x2 Wg^T, x2 Wu^T) Wd^T, x2 = rmsnorm(h'): dhidden turns from the gradient of h'' to that of h'. */
static void feed_forward_backward(dq_pass *pass, const dq_compute *compute, int l, int64_t T) {
    const dq_config *config = &pass->model->config;
    const dq_layer *layer = &pass->model->layer[l];
    dq_block *block = &pass->block[l];
    int64_t n = T * config->intermediate;
    dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
    compute->kernels->swiglu_forward(compute, pass->active, block->gate, block->up, n);
    dq_profile_return(compute->profile, before);
    const float *dots[2] = {
        dots_of(pass, compute, l, DQ_DOWN, 0, pass->dhidden, pass->hidden[l + 1], block->middle, T)};
    dq_linears_report(pass, compute, l, DQ_DOWN, 1, (const float *[]){pass->dhidden}, pass->active, dots, T);
    dq_linear_backward(pass, compute, &layer->linear[DQ_DOWN].active, pass->dhidden, pass->active, T, false);
    through_swiglu(pass, compute, l, T, dots);
    const float *dgate = block->gate, *dup = block->up;
    dq_pass_norm(pass, compute, pass->normed, NULL, block->middle, layer->post_norm, T);
    dq_linears_report(pass, compute, l, DQ_GATE, 2, (const float *[]){dgate, dup}, pass->normed, dots, T);
    dq_linear_backward(pass, compute, &layer->linear[DQ_GATE].active, dgate, pass->dnormed, T, false);
    dq_linear_backward(pass, compute, &layer->linear[DQ_UP].active, dup, pass->dnormed, T, true);
    norm_backward(pass, compute, pass->dhidden, norm_gradient(pass->want.post_norm, l), pass->dnormed, block->middle,
                  layer->post_norm, block->r2, T);
}

/* Where the gradients of attention's inputs and output go. */
typedef struct attention_room {
    float *dq, *dk, *dv, *do_;
} attention_room;

static attention_room room_for_attention(const dq_pass *pass, int l, int64_t T) {
    const dq_config *config = &pass->model->config;
    int64_t queries = T * config->heads * config->head_width, keys = T * config->kv_heads * config->head_width;
    float *first = pass->attention_gradients, *second = first ? first + queries + keys : NULL;
    if (!first) {
        first = pass->block[l].gate;
        second = pass->block[l].up;
    }
    return (attention_room){.dq = first, .dk = first + queries, .do_ = second, .dv = second + queries};
}

/* Dots of q, k and v, whose gradients are dy. Attention is done with q and k, so what was only rotated is turned back in place. */
static void attention_dots(const dq_pass *pass, const dq_compute *compute, int l, const float *const *dy,
                           const dq_span *span, const float **dots) {
    const dq_config *config = &pass->model->config;
    const dq_block *block = &pass->block[l];
    float *const y[] = {block->q_raw, block->k_raw, block->v};
    const bool turned[] = {block->q_raw == block->q, block->k_raw == block->k, false};
    for (int i = 0; i < 3; i++) {
        const dq_linear_kind kind = (dq_linear_kind)(DQ_Q + i);
        if (turned[i] && dq_linear_wants_dots(pass, l, kind)) {
            dq_operation before = dq_profile_enter(compute->profile, DQ_NORM_ROPE_SWIGLU, 0);
            compute->kernels->rope(compute, y[i], span->position, pass->model->inv_freq, span->tokens,
                                   i == 0 ? config->heads : config->kv_heads, config->head_width, true);
            dq_profile_return(compute->profile, before);
        }
        dots[i] = dots_of(pass, compute, l, kind, i, dy[i], y[i], NULL, span->tokens);
    }
}

/* h' = h + attention(x1) Wo^T, x1 = rmsnorm(h): dhidden turns from the gradient of h' to that of h. */
static void attention_backward(dq_pass *pass, const dq_compute *compute, int l, const dq_span *span, bool needed) {
    const dq_config *config = &pass->model->config;
    const dq_layer *layer = &pass->model->layer[l];
    dq_block *block = &pass->block[l];
    int64_t T = span->tokens;
    attention_room room = room_for_attention(pass, l, T);
    const float *dots[DQ_LINEARS_TOGETHER] = {
        dots_of(pass, compute, l, DQ_O, 0, pass->dhidden, block->middle, pass->hidden[l], T)};
    dq_linears_report(pass, compute, l, DQ_O, 1, (const float *[]){pass->dhidden}, block->o, dots, T);
    dq_linear_backward(pass, compute, &layer->linear[DQ_O].active, pass->dhidden, room.do_, T, false);
    dq_keys_spread(pass, compute, l, span);
    dq_attention attention = dq_block_attention(pass, l, span);
    float *dk = span->source ? pass->shared_dk : room.dk, *dv = span->source ? pass->shared_dv : room.dv;
    /* Four products: of dv, dp, dq and dk. The scores, made again, are a fifth that is not counted. */
    double products = compute->profile ? 8 * dq_attention_pairs(&attention) : 0;
    dq_operation before = dq_profile_enter(compute->profile, DQ_ATTENTION_BACKWARD, products);
    compute->kernels->attention_backward(compute, &attention, room.do_, pass->delta, room.dq, dk, dv);
    dq_keys_gather(pass, compute, span, room.dk, room.dv);
    dq_profile_return(compute->profile, before);
    const float *dq_raw =
        through_rotation(pass, compute, layer->q_norm, block->q_raw, block->rq, room.dq, block->q, config->heads, span);
    const float *dk_raw = through_rotation(pass, compute, layer->k_norm, block->k_raw, block->rk, room.dk, block->k,
                                           config->kv_heads, span);
    attention_dots(pass, compute, l, (const float *[]){dq_raw, dk_raw, room.dv}, span, dots);
    dq_pass_norm(pass, compute, pass->normed, NULL, pass->hidden[l], layer->input_norm, T);
    dq_linears_report(pass, compute, l, DQ_Q, 3, (const float *[]){dq_raw, dk_raw, room.dv}, pass->normed, dots, T);
    if (!needed) return;
    dq_linear_backward(pass, compute, &layer->linear[DQ_Q].active, dq_raw, pass->dnormed, T, false);
    dq_linear_backward(pass, compute, &layer->linear[DQ_K].active, dk_raw, pass->dnormed, T, true);
    dq_linear_backward(pass, compute, &layer->linear[DQ_V].active, room.dv, pass->dnormed, T, true);
    norm_backward(pass, compute, pass->dhidden, norm_gradient(pass->want.input_norm, l), pass->dnormed, pass->hidden[l],
                  layer->input_norm, block->r1, T);
}

/* A token that occurs twice adds to one row twice: in the batch's order, so that the bits are always the same. */
static void embedding_backward(const dq_pass *pass, const dq_batch *batch) {
    int64_t width = pass->model->config.hidden;
    if (!pass->want.embedding) return;
    for (int64_t t = 0; t < pass->tokens; t++) {
        float *row = pass->want.embedding + batch->ids[t] * width;
        const float *from = pass->dhidden + t * width;
        for (int64_t j = 0; j < width; j++) row[j] += from[j];
    }
}

dlqat_status dq_pass_backward(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, dlqat_error *error) {
    const dq_model *model = pass->model;
    int layers = model->config.layers;
    if (pass->stage != DQ_STAGE_LOSS || (int64_t)batch->tokens != pass->tokens)
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "a backward needs the forward and the loss of its own batch before it");
    pass->stage = DQ_STAGE_EMPTY; /* the activations are overwritten on the way */
    const dq_span span = dq_span_of(batch);
    memset(pass->dhidden, 0, (size_t)(pass->tokens * model->config.hidden) * sizeof(float));
    norm_backward(pass, compute, pass->dhidden, pass->want.final_norm, pass->dnormed, pass->hidden[layers],
                  model->final_norm, pass->final_r, pass->tokens);
    for (int l = layers - 1; l >= 0; l--) {
        /* The last block's activations are still those of the forward. */
        if (pass->options.checkpoint && l < layers - 1) {
            dq_operation before = dq_profile_enter(compute->profile, DQ_RECOMPUTATION, 0);
            dq_block_forward(pass, compute, l, &span, true);
            dq_profile_return(compute->profile, before);
        }
        feed_forward_backward(pass, compute, l, pass->tokens);
        /* Below the first block's linears there is only what somebody may want of its norm and of the embedding. */
        bool needed = l > 0 || norm_gradient(pass->want.input_norm, 0) || pass->want.embedding;
        attention_backward(pass, compute, l, &span, needed);
    }
    embedding_backward(pass, batch);
    return DLQAT_OK;
}
