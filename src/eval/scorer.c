#include "eval/scorer.h"

#include "base/file.h"
#include "base/talk.h"

#include <math.h>
#include <string.h>

static const double PROGRESS_SECONDS = 5;

dlqat_status dq_scorer_open(dq_scorer *scorer, const dq_bench *bench, const char *name, int64_t longest,
                            uint64_t expected, dlqat_error *error) {
    *scorer = (dq_scorer){.bench = *bench, .name = name, .expected = expected};
    dq_pass_options options = {.capacity = longest > DQ_SCORER_TOKENS ? longest : DQ_SCORER_TOKENS,
                               .threads = bench->compute->threads};
    /* No more than all windows together can fill. */
    if ((uint64_t)options.capacity > (uint64_t)longest * expected)
        options.capacity = (int64_t)((uint64_t)longest * expected);
    dlqat_status status = dq_pass_open(&scorer->pass, bench->model, &options, error);
    if (status == DLQAT_OK) status = dq_batch_open(&scorer->batch, (size_t)options.capacity, 0, error);
    if (status != DLQAT_OK) dq_scorer_close(scorer);
    scorer->started = scorer->spoken = dq_seconds();
    return status;
}

void dq_scorer_close(dq_scorer *scorer) {
    dq_pass_close(scorer->pass);
    dq_batch_close(&scorer->batch);
    scorer->pass = NULL;
}

static void speak(dq_scorer *scorer) {
    double now = dq_seconds();
    if (now - scorer->spoken < PROGRESS_SECONDS || scorer->windows >= scorer->expected) return;
    scorer->spoken = now;
    double left = (now - scorer->started) / (double)scorer->windows * (double)(scorer->expected - scorer->windows);
    dq_note(scorer->bench.callbacks, "%s: %llu of %llu windows, mean loss %.4f, about %.0f s left", scorer->name,
            (unsigned long long)scorer->windows, (unsigned long long)scorer->expected,
            scorer->targets ? scorer->nll / (double)scorer->targets : 0.0, left);
}

static dlqat_status flush(dq_scorer *scorer, dlqat_error *error) {
    dq_batch *batch = &scorer->batch;
    if (batch->tokens == 0) return DLQAT_OK;
    if (dq_stop_wanted(scorer->bench.callbacks))
        return dq_fail(error, DLQAT_INTERRUPTED, "%s, after %llu of %llu windows", scorer->name,
                       (unsigned long long)scorer->windows, (unsigned long long)scorer->expected);
    double sum = 0;
    DQ_TRY(dq_pass_forward(scorer->pass, scorer->bench.compute, batch, error));
    DQ_TRY(dq_pass_loss(scorer->pass, scorer->bench.compute, batch, false, 1, &sum, NULL, error));
    if (!isfinite(sum))
        return dq_fail(
            error, DLQAT_ERROR_NUMERIC,
            "%s: the loss is not a finite number in windows %llu to %llu: the model's weights are damaged or "
            "overflow",
            scorer->name, (unsigned long long)scorer->windows + 1, (unsigned long long)(scorer->windows + batch->rows));
    scorer->nll += sum;
    scorer->targets += batch->labels;
    scorer->windows += batch->rows;
    dq_batch_clear(batch);
    speak(scorer);
    return DLQAT_OK;
}

dlqat_status dq_scorer_add(dq_scorer *scorer, const int32_t *ids, const int32_t *label, int64_t count,
                           dlqat_error *error) {
    dq_batch *batch = &scorer->batch;
    if ((size_t)count > batch->capacity - batch->tokens) DQ_TRY(flush(scorer, error));
    if ((size_t)count > batch->capacity)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: a window of %lld tokens is longer than the %zu planned for",
                       scorer->name, (long long)count, batch->capacity);
    size_t start = batch->tokens;
    memcpy(batch->ids + start, ids, (size_t)count * sizeof *ids);
    memcpy(batch->label + start, label, (size_t)count * sizeof *label);
    for (int64_t t = 0; t < count; t++) {
        batch->position[start + (size_t)t] = (int32_t)t;
        batch->row_start[start + (size_t)t] = (int32_t)start;
        batch->labels += label[t] >= 0;
    }
    batch->tokens += (size_t)count;
    batch->keys = batch->tokens;
    batch->rows++;
    return DLQAT_OK;
}

dlqat_status dq_scorer_add_row(dq_scorer *scorer, const dq_dataset *data, size_t row, dlqat_error *error) {
    if (dq_batch_add(&scorer->batch, data, row)) return DLQAT_OK;
    DQ_TRY(flush(scorer, error));
    if (dq_batch_add(&scorer->batch, data, row)) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: row %zu is longer than the %zu tokens planned for", scorer->name, row,
                   scorer->batch.capacity);
}

dlqat_status dq_scorer_finish(dq_scorer *scorer, dlqat_error *error) {
    DQ_TRY(flush(scorer, error));
    if (scorer->targets == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: there is no token to predict: give more text", scorer->name);
    return DLQAT_OK;
}
