/* Logits and cross-entropy, for a chunk of label tokens at a time:
 *
 *   z = f W^T, f the final hidden states ;  loss = sum over label tokens of log sum exp z - z[label]
 *   dz = scale (softmax z - onehot) ;  df = dz W ;  dW += dz^T f */
#include "model/pass_internal.h"

#include <string.h>

static void add_head_gradient(const dq_pass *pass, const dq_compute *compute, int64_t rows) {
    const dq_config *config = &pass->model->config;
    float *gradient = config->tied ? pass->want.embedding : pass->want.head;
    if (!gradient) return;
    dq_gemm product = {
        .m = config->vocabulary,
        .n = config->hidden,
        .k = rows,
        .a = pass->logits,
        .a_row = 1,
        .a_column = config->vocabulary,
        .b = pass->picked,
        .b_row = config->hidden,
        .b_column = 1,
        .c = gradient,
        .c_row = config->hidden,
        .accumulate = true,
    };
    compute->kernels->gemm(compute, &product);
}

/* Loss of the rows picked so far; with backward their gradient goes to dnormed. */
static void chunk(dq_pass *pass, const dq_compute *compute, int64_t rows, bool backward, float scale) {
    const dq_config *config = &pass->model->config;
    int64_t width = config->hidden;
    dq_linear_forward(pass, compute, &pass->model->head, pass->picked, pass->logits, rows, false);
    dq_operation before = dq_profile_enter(compute->profile, DQ_CROSS_ENTROPY, 0);
    compute->kernels->cross_entropy(compute, pass->logits, pass->labels, pass->losses, rows, config->vocabulary, scale,
                                    backward);
    dq_profile_return(compute->profile, before);
    if (!backward) return;
    add_head_gradient(pass, compute, rows);
    dq_linear_backward(pass, compute, &pass->model->head, pass->logits, pass->dpicked, rows, false);
    for (int64_t i = 0; i < rows; i++)
        memcpy(pass->dnormed + pass->picked_from[i] * width, pass->dpicked + i * width, (size_t)width * sizeof(float));
}

dlqat_status dq_pass_loss(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, bool backward, float scale,
                          double *sum, double *each, dlqat_error *error) {
    int64_t width = pass->model->config.hidden, vocabulary = pass->model->config.vocabulary;
    if (pass->stage == DQ_STAGE_EMPTY || (int64_t)batch->tokens != pass->tokens)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a loss needs the forward of its own batch before it");
    if (backward && !pass->options.training)
        return dq_fail(error, DLQAT_ERROR_USAGE, "this pass was not opened for training");
    if (backward) memset(pass->dnormed, 0, (size_t)(pass->tokens * width) * sizeof(float));
    *sum = 0;
    int64_t rows = 0;
    for (int64_t t = 0; t < pass->tokens; t++) {
        if (batch->label[t] >= vocabulary)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: label %d is outside the model's vocabulary of %lld",
                           pass->model->path, (int)batch->label[t], (long long)vocabulary);
        if (batch->label[t] >= 0) {
            memcpy(pass->picked + rows * width, pass->final + t * width, (size_t)width * sizeof(float));
            pass->labels[rows] = batch->label[t];
            pass->picked_from[rows++] = (int32_t)t;
        }
        if (rows == 0 || (rows < pass->loss_rows && t + 1 < pass->tokens)) continue;
        chunk(pass, compute, rows, backward, scale);
        for (int64_t i = 0; i < rows; i++) {
            *sum += pass->losses[i];
            if (each) *each++ = pass->losses[i];
        }
        rows = 0;
    }
    if (backward) pass->stage = DQ_STAGE_LOSS;
    return DLQAT_OK;
}

dlqat_status dq_pass_logits(dq_pass *pass, const dq_compute *compute, int64_t first, int64_t count, float *logits,
                            dlqat_error *error) {
    if (pass->stage == DQ_STAGE_EMPTY || first < 0 || count < 0 || count > pass->tokens - first)
        return dq_fail(error, DLQAT_ERROR_USAGE, "logits of tokens %lld to %lld, but the last forward had %lld",
                       (long long)first, (long long)(first + count),
                       (long long)(pass->stage == DQ_STAGE_EMPTY ? 0 : pass->tokens));
    dq_linear_forward(pass, compute, &pass->model->head, pass->final + first * pass->model->config.hidden, logits,
                      count, false);
    return DLQAT_OK;
}
