#include "eval/generate.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/talk.h"

#include <math.h>
#include <stdlib.h>

enum { PROMPT_PIECE = 512 }; /* tokens of the prompt that run at once */

typedef struct run {
    const dq_bench *bench;
    const dq_generation *how;
    dq_pass *pass;
    dq_sampler sampler;
    float *logits;
    int64_t limit; /* tokens in all */
} run;

static dlqat_status start(run *r, int64_t prompt, dlqat_error *error) {
    const dq_config *config = &r->bench->model->config;
    if (prompt >= config->context)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "the prompt has %lld tokens and the model's context %lld: shorten the prompt", (long long)prompt,
                       (long long)config->context);
    r->limit = config->context - prompt > r->how->max_new_tokens ? prompt + r->how->max_new_tokens : config->context;
    dq_pass_options options = {.capacity = prompt < PROMPT_PIECE ? prompt : PROMPT_PIECE,
                               .cache = r->limit,
                               .int8 = r->how->int8,
                               .threads = r->bench->compute->threads};
    DQ_TRY(dq_pass_open(&r->pass, r->bench->model, &options, error));
    DQ_TRY(dq_sampler_open(&r->sampler, &r->how->sampling, config->vocabulary, error));
    r->logits = dq_alloc((size_t)config->vocabulary, sizeof *r->logits, "logits", error);
    return r->logits ? DLQAT_OK : DLQAT_ERROR_MEMORY;
}

static void finish(run *r) {
    dq_pass_close(r->pass);
    dq_sampler_close(&r->sampler);
    dq_free(r->logits);
}

/* Runs the tokens; logits are then those after the last of them. */
static dlqat_status feed(run *r, const int32_t *ids, int64_t count, dlqat_error *error) {
    int64_t piece = 0;
    for (int64_t at = 0; at < count; at += piece) {
        piece = count - at < PROMPT_PIECE ? count - at : PROMPT_PIECE;
        if (dq_stop_wanted(r->bench->callbacks)) return dq_fail(error, DLQAT_INTERRUPTED, "generation, as asked");
        DQ_TRY(dq_pass_decode(r->pass, r->bench->compute, ids + at, piece, error));
    }
    DQ_TRY(dq_pass_logits(r->pass, r->bench->compute, piece - 1, 1, r->logits, error));
    for (int64_t i = 0; i < r->bench->model->config.vocabulary; i++)
        if (!isfinite(r->logits[i]))
            return dq_fail(error, DLQAT_ERROR_NUMERIC,
                           "%s: a logit is not a finite number: the model's weights are damaged or overflow",
                           r->bench->model->path);
    return DLQAT_OK;
}

static dlqat_status go_on(run *r, dq_generated *out, int64_t prompt, dlqat_error *error) {
    for (;;) {
        int32_t id = dq_sampler_draw(&r->sampler, r->logits, out->ids.count);
        if (dq_stops_has(&r->how->stops, id)) {
            out->end = DQ_END_STOP;
            return DLQAT_OK;
        }
        out->ids.at[out->ids.count++] = id;
        if (r->how->token) DQ_TRY(r->how->token(r->how->user, id, error));
        if ((int64_t)out->ids.count == r->how->max_new_tokens || prompt + (int64_t)out->ids.count == r->limit) {
            out->end = (int64_t)out->ids.count == r->how->max_new_tokens ? DQ_END_LENGTH : DQ_END_CONTEXT;
            return DLQAT_OK;
        }
        DQ_TRY(feed(r, &id, 1, error));
    }
}

dlqat_status dq_generate(dq_generated *out, const dq_bench *bench, const dq_generation *how, const int32_t *prompt,
                         size_t count, dlqat_error *error) {
    *out = (dq_generated){0};
    if (count == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "the prompt is empty, and the tokenizer adds no BOS: give some text");
    run r = {.bench = bench, .how = how};
    dlqat_status status = start(&r, (int64_t)count, error);
    if (status == DLQAT_OK) {
        out->ids.capacity = (size_t)r.limit - count;
        out->ids.at = malloc(out->ids.capacity * sizeof *out->ids.at);
        if (!out->ids.at) status = dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the new tokens");
    }
    double begin = dq_seconds();
    if (status == DLQAT_OK) status = feed(&r, prompt, (int64_t)count, error);
    double ready = dq_seconds();
    out->prompt_seconds = ready - begin;
    if (status == DLQAT_OK) status = go_on(&r, out, (int64_t)count, error);
    out->seconds = dq_seconds() - ready;
    finish(&r);
    return status;
}
