#include "commands/train_run.h"

#include "base/talk.h"
#include "base/file.h"
#include "base/json.h"
#include "export/export.h"
#include "report/profile_report.h"
#include "report/run_log.h"
#include "train/checkpoint.h"
#include "train/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct run {
    const dq_settings *settings;
    const dlqat_callbacks *callbacks;
    const char *directory;
    dq_session session;
    dq_trainer *trainer;
    dq_run_log log;
    dq_profile profile; /* of the steps after the first, with --profile */
    double eval_loss;   /* of the last evaluation; NaN */
    int64_t evaluated;  /* the step it was made after; -1 */
    int64_t saved;      /* step of the newest checkpoint; -1 */
} run;

/* ---- Beginning ------------------------------------------------------------------------------------------------------- */

/* Refuses a directory that holds a run already, unless it is to be continued. */
static dlqat_status claim_directory(const run *r, dlqat_error *error) {
    char *config = dq_path_join(r->directory, "config.json");
    bool taken = config && dq_file_exists(config);
    free(config);
    if (taken)
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "--out %s holds a run already: continue it with --resume, or choose another", r->directory);
    DQ_TRY(dq_make_directories(r->directory, error));
    return dq_sweep_temporaries(r->directory, error); /* of a run that was killed before it had begun */
}

static dlqat_status write_record(const run *r, const dlqat_options *options, dlqat_error *error) {
    char *path = dq_path_join(r->directory, "config.json");
    json_t *record = dq_options_to_json(options);
    dlqat_status status = path && record ? dq_json_save(record, path, error)
                                         : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", r->directory);
    json_decref(record);
    free(path);
    return status;
}

static dlqat_status open_trainer(run *r, const dlqat_options *options, dlqat_error *error) {
    dq_session *s = &r->session;
    const dq_dataset *held_out = s->held_out.rows ? &s->held_out : NULL;
    dq_feed_sizes sizes;
    dq_plan plan;
    DQ_TRY(dq_feed_measure(&sizes, options, &s->data, held_out, error));
    DQ_TRY(dq_plan_make(&plan, s->model, options, &sizes, &s->compute, error));
    dq_trainer_options with = {.model = s->model,
                               .data = &s->data,
                               .held_out = held_out,
                               .compute = &s->compute,
                               .resident = plan.resident,
                               .checkpoint = plan.checkpoint,
                               .at_once = plan.at_once};
    DQ_TRY(dq_trainer_open(&r->trainer, options, &with, error));
    const dq_quantizer_set *set = dq_trainer_quantizers(r->trainer);
    const dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    dq_note(r->callbacks, "%s: phase 1 trains %llu numbers for %lld steps, phase 2 %llu for %lld (%.2f %% of %llu)",
            set->recipe.name, state->phase1_steps ? (unsigned long long)dq_quantizer_set_trainable(set, 1) : 0ULL,
            (long long)state->phase1_steps, (unsigned long long)dq_quantizer_set_trainable(set, 2),
            (long long)(state->max_steps - state->phase1_steps),
            100.0 * (double)dq_quantizer_set_trainable(set, 2) / (double)dq_model_parameters(s->model),
            (unsigned long long)dq_model_parameters(s->model));
    dq_note(
        r->callbacks,
        "memory plan: %.2f GB besides %.2f GB of mapped weights; W_hat %s, activations of %lld tokens at once %s; %s "
        "kernels, %d threads",
        (double)(plan.total - plan.weights) / 1e9, (double)plan.weights / 1e9, plan.resident ? "kept" : "made per use",
        (long long)plan.capacity, plan.checkpoint ? "recomputed" : "kept", s->compute.kernels->name,
        s->compute.threads);
    if (!plan.fits)
        dq_warn(r->callbacks,
                "the plan exceeds the available memory of %.2f GB: choose a lower --tokens-at-once or --max-length",
                (double)plan.available / 1e9);
    return DLQAT_OK;
}

static dlqat_status restore(run *r, dlqat_error *error) {
    char *checkpoint;
    DQ_TRY(dq_sweep_temporaries(r->directory, error));
    DQ_TRY(dq_checkpoint_newest(r->directory, &checkpoint, &r->saved, error));
    if (!checkpoint) {
        dq_note(r->callbacks, "%s has no checkpoint yet: starting at step 1", r->directory);
        return DLQAT_OK;
    }
    dlqat_status status = dq_checkpoint_load(r->trainer, checkpoint, &r->session.compute, error);
    if (status == DLQAT_OK)
        dq_note(r->callbacks, "continuing from %s, step %lld of %lld", checkpoint, (long long)r->saved,
                (long long)dq_trainer_get_state(r->trainer)->max_steps);
    free(checkpoint);
    return status;
}

/* ---- The loop --------------------------------------------------------------------------------------------------------- */

static dlqat_status save(run *r, dlqat_error *error) {
    const dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    if (r->saved == state->step) return DLQAT_OK;
    DQ_TRY(dq_checkpoint_save(r->trainer, r->directory, error));
    r->saved = state->step;
    return dq_checkpoint_prune(r->directory, r->settings->save_total_limit, state->best_step, error);
}

/* Evaluates, and saves where that is the best so far and checkpoints are being kept at all. */
static dlqat_status evaluate(run *r, dlqat_error *error) {
    dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    if (!r->session.held_out.rows || r->evaluated == state->step) return DLQAT_OK;
    double began = dq_seconds();
    DQ_TRY(dq_trainer_evaluate(r->trainer, &r->eval_loss, error));
    r->evaluated = state->step;
    DQ_TRY(dq_run_log_evaluation(&r->log, state->step, r->eval_loss, dq_seconds() - began, error));
    if (!(r->eval_loss < state->best_eval_loss)) return DLQAT_OK;
    state->best_eval_loss = r->eval_loss;
    state->best_step = state->step;
    return save(r, error);
}

static void show(const run *r, const dq_step_record *record) {
    if (!r->callbacks || !r->callbacks->progress) return;
    const dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    dlqat_progress progress = {
        .method = dq_trainer_quantizers(r->trainer)->recipe.name,
        .step = record->step,
        .max_steps = state->max_steps,
        .phase = record->phase,
        .loss = record->loss,
        .grad_norm = record->grad_norm,
        .learning_rate = record->learning_rate,
        .tokens_per_second = (double)record->tokens / record->seconds,
        .elapsed = state->seconds,
        .eta = state->seconds / (double)state->step * (double)(state->max_steps - state->step),
        .eval_loss = r->evaluated == record->step ? r->eval_loss : NAN,
        .tokens = state->tokens,
        .peak_rss_bytes = dq_peak_rss_bytes(),
        .logged = record->step % r->settings->logging_steps == 0 || record->step == state->max_steps,
    };
    r->callbacks->progress(r->callbacks->user, &progress);
}

static bool due(int64_t step, int64_t every) {
    return every > 0 && step % every == 0;
}

static dlqat_status train(run *r, double *last_loss, dlqat_error *error) {
    dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    int64_t first = state->step + 1;
    while (state->step < state->max_steps) {
        dq_step_record record;
        dlqat_status status = dq_trainer_step(r->trainer, &record, error);
        if (status == DLQAT_ERROR_NUMERIC) {
            char place[128];
            if (r->saved > 0)
                snprintf(place, sizeof place, "stopped; the last good checkpoint is checkpoint-%lld",
                         (long long)r->saved);
            else
                snprintf(place, sizeof place, "stopped; there is no checkpoint yet: try a lower --learning-rate");
            return dq_fail_in(error, status, place);
        }
        DQ_TRY(status);
        *last_loss = record.loss;
        /* The first step pays for memory that is touched for the first time. */
        if (r->settings->profile && record.step == first && first < state->max_steps) dq_profile_reset(&r->profile);
        if (record.step % r->settings->logging_steps == 0 || record.step == state->max_steps)
            DQ_TRY(dq_run_log_step(&r->log, &record, state, error));
        if (due(record.step, r->settings->eval_steps) || record.step == state->max_steps) DQ_TRY(evaluate(r, error));
        if (due(record.step, r->settings->save_steps) || record.step == state->max_steps) DQ_TRY(save(r, error));
        show(r, &record);
        if (state->step < state->max_steps && r->callbacks && r->callbacks->should_stop &&
            r->callbacks->should_stop(r->callbacks->user)) {
            DQ_TRY(save(r, error));
            return dq_fail(error, DLQAT_INTERRUPTED, "after step %lld of %lld; continue with --resume %s",
                           (long long)state->step, (long long)state->max_steps, r->directory);
        }
    }
    return DLQAT_OK;
}

/* ---- The end ------------------------------------------------------------------------------------------------------------ */

static dlqat_status write_summary(const run *r, const dq_run_result *result, dlqat_error *error) {
    const dq_quantizer_set *set = dq_trainer_quantizers(r->trainer);
    const dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    char hash[33];
    DQ_TRY(dq_quantizer_set_hash(set, hash, error));
    json_t *json =
        json_pack("{s:s, s:I, s:f, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:s, s:I, s:I}", "method",
                  set->recipe.name, "steps", (json_int_t)state->step, "train_loss", result->train_loss, "train_tokens",
                  (json_int_t)result->train_tokens, "train_runtime", result->train_runtime, "train_tokens_per_second",
                  result->train_tokens_per_second, "trainable_parameters", (json_int_t)result->trainable_parameters,
                  "total_parameters", (json_int_t)result->total_parameters, "peak_rss_bytes",
                  (json_int_t)result->peak_rss_bytes, "model_bytes", (json_int_t)result->model_bytes, "bits_per_weight",
                  result->bits_per_weight, "max_abs_dw", result->max_abs_dw, "w_hat_xxh3_128", hash, "groups",
                  (json_int_t)state->groups, "groups_at_floor", (json_int_t)state->held);
    if (json) {
        json_object_set_new(json, "bits", json_integer(r->settings->bits));
        if (r->settings->group_size != DQ_AUTO)
            json_object_set_new(json, "group_size", json_integer(r->settings->group_size));
        if (r->settings->profile) json_object_set_new(json, "profile", dq_profile_json(&r->profile));
        if (!isnan(result->last_loss)) json_object_set_new(json, "last_loss", json_real(result->last_loss));
        if (!isnan(result->eval_loss)) json_object_set_new(json, "eval_loss", json_real(result->eval_loss));
        if (isfinite(result->best_eval_loss)) {
            json_object_set_new(json, "best_eval_loss", json_real(result->best_eval_loss));
            json_object_set_new(json, "best_step", json_integer(state->best_step));
        }
    }
    char *path = dq_path_join(r->directory, "summary.json");
    dlqat_status status = json && path ? dq_json_save(json, path, error)
                                       : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", r->directory);
    json_decref(json);
    free(path);
    return status;
}

static dlqat_status finish(run *r, dq_run_result *result, dlqat_error *error) {
    const dq_trainer_state *state = dq_trainer_get_state(r->trainer);
    const dq_quantizer_set *set = dq_trainer_quantizers(r->trainer);
    char *model = dq_path_join(r->directory, "model");
    if (!model) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", r->directory);
    dq_export_options how = {.format = DQ_EXPORT_RESULT, .replace = true, .threads = r->session.compute.threads};
    dq_export_report written;
    dlqat_status status = dq_export(r->session.model, set, model, &how, &written, error);
    free(model);
    DQ_TRY(status);
    result->train_loss = state->step ? state->loss_sum / (double)state->step : NAN;
    result->eval_loss = r->eval_loss;
    result->best_eval_loss = state->best_eval_loss;
    result->train_runtime = state->seconds;
    result->train_tokens = state->tokens;
    result->train_tokens_per_second = state->seconds > 0 ? (double)state->tokens / state->seconds : 0.0;
    result->trainable_parameters = dq_quantizer_set_trainable(set, 2);
    result->total_parameters = dq_model_parameters(r->session.model);
    result->peak_rss_bytes = dq_peak_rss_bytes();
    result->model_bytes = written.file_bytes;
    result->bits_per_weight = dq_export_linear_bits(&written);
    result->max_abs_dw = written.comparison.max_abs_dw;
    if (state->held)
        dq_warn(r->callbacks, "the scale of %lld of %lld groups is held at its floor", (long long)state->held,
                (long long)state->groups);
    dq_note(r->callbacks, "%s/model: %llu bytes, %.3f bits per quantized weight, max |dW| %g", r->directory,
            (unsigned long long)result->model_bytes, result->bits_per_weight, result->max_abs_dw);
    if (r->settings->profile) dq_profile_say(&r->profile, r->callbacks);
    return write_summary(r, result, error);
}

static dlqat_status prepare(run *r, const dlqat_options *options, dlqat_error *error) {
    DQ_TRY(dq_session_open(&r->session, options, r->callbacks, true, error));
    DQ_TRY(dq_session_open_data(&r->session, error));
    if (r->settings->profile) r->session.compute.profile = &r->profile;
    DQ_TRY(open_trainer(r, options, error));
    return r->settings->resume ? restore(r, error) : write_record(r, options, error);
}

static dlqat_status run_all(run *r, const dlqat_options *options, dq_run_result *result, dlqat_error *error) {
    bool made = !r->settings->resume && !dq_is_directory(r->directory);
    if (!r->settings->resume) DQ_TRY(claim_directory(r, error));
    dlqat_status status = prepare(r, options, error);
    if (status != DLQAT_OK) {
        if (made) (void)rmdir(r->directory); /* a run that could not begin leaves nothing behind */
        return status;
    }
    DQ_TRY(dq_run_log_open(&r->log, r->directory, dq_trainer_get_state(r->trainer)->step, error));
    result->last_loss = NAN;
    DQ_TRY(train(r, &result->last_loss, error));
    /* A run that is continued after its last step still owes its evaluation and its result. */
    DQ_TRY(evaluate(r, error));
    return finish(r, result, error);
}

dlqat_status dq_train_run(const dlqat_options *options, const dlqat_callbacks *callbacks, dq_run_result *result,
                          dlqat_error *error) {
    const dq_settings *settings = dq_options_settings(options);
    memset(result, 0, sizeof *result);
    dlqat_options *own = dq_options_copy(options);
    if (!own) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the options");
    dlqat_status status = DLQAT_OK;
    if (settings->resume) {
        char *record = dq_path_join(settings->resume, "config.json");
        status = record ? dlqat_options_load(own, record, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory");
        free(record);
    }
    run r = {
        .settings = dq_options_settings(own), .callbacks = callbacks, .eval_loss = NAN, .evaluated = -1, .saved = -1};
    r.directory = settings->resume ? settings->resume : settings->out;
    if (status == DLQAT_OK) status = run_all(&r, own, result, error);
    dq_run_log_close(&r.log);
    dq_trainer_close(r.trainer);
    dq_session_close(&r.session);
    dlqat_options_free(own);
    return status;
}
