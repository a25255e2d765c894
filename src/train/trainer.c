#include "train/trainer.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dq_trainer {
    const dq_settings *settings;
    dq_trainer_options with;
    dq_quantizer_set set;
    dq_pass *pass;
    dq_feed feed;
    dq_schedule schedule;
    dq_gradients gradients;
    dq_trained trained; /* by the phase of the step that runs */
    dq_trainer_state state;
};

dlqat_status dq_resolve_steps(const dq_recipe *recipe, const dlqat_options *options, int64_t *phase1_steps,
                              int64_t *warmup_steps, dlqat_error *error) {
    const dq_settings *set = dq_options_settings(options);
    int64_t fifth = set->max_steps / 5;
    *phase1_steps = set->phase1_steps;
    if (set->phase1_steps == DQ_AUTO) *phase1_steps = !recipe->phase1 ? 0 : fifth < 1000 ? fifth : 1000;
    if (*phase1_steps > 0 && !recipe->phase1)
        return dq_fail(
            error, DLQAT_ERROR_USAGE,
            "--phase1-steps %lld: --method %s with this --range has no phase 1 (its grid is not trained alone)",
            (long long)*phase1_steps, recipe->name);
    if (*phase1_steps > set->max_steps)
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "--phase1-steps %lld is more than --max-steps %lld, which counts both phases",
                       (long long)*phase1_steps, (long long)set->max_steps);
    *warmup_steps = set->warmup_steps;
    if (set->warmup_steps == DQ_AUTO) *warmup_steps = (int64_t)ceil(recipe->warmup_ratio * (double)set->max_steps);
    if (*warmup_steps > set->max_steps)
        return dq_fail(error, DLQAT_ERROR_USAGE, "--warmup-steps %lld is more than --max-steps %lld",
                       (long long)*warmup_steps, (long long)set->max_steps);
    return DLQAT_OK;
}

/* The weight gradient of a linear goes straight into the gradients of its quantizer's parameters. */
static void take_gradients(void *user, const dq_compute *compute, const dq_linears_gradient *given) {
    dq_trainer *trainer = user;
    for (int i = 0; i < given->count; i++) {
        dq_quantizer *q = &trainer->set.at[given->index + i];
        const dq_linear_gradient one = {
            .T = given->T, .dy = given->dy[i], .x = given->x, .packed = given->packed, .dots = given->dots[i]};
        if (q->out) dq_quantizer_backward(q, compute, trainer->trained, &one, trainer->set.scratch);
    }
}

static bool wants_dots(void *user, int index) {
    const dq_trainer *trainer = user;
    const dq_quantizer *q = &trainer->set.at[index];
    return q->out && dq_quantizer_gains_by_dots(q, trainer->trained);
}

dlqat_status dq_trainer_open(dq_trainer **out, const dlqat_options *options, const dq_trainer_options *with,
                             dlqat_error *error) {
    const dq_settings *settings = dq_options_settings(options);
    dq_trainer *trainer = calloc(1, sizeof *trainer);
    *out = trainer;
    if (!trainer) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a trainer");
    trainer->settings = settings;
    trainer->with = *with;
    dq_trainer_state *state = &trainer->state;
    dlqat_status status;
    dq_feed_sizes sizes;
    DQ_TRY_GOTO(status, dq_feed_measure(&sizes, options, with->data, with->held_out, error), failed);
    state->capacity = dq_feed_capacity(&sizes, with->at_once);
    dq_quantizer_set_options how = {
        .training = true, .resident = with->resident, .threads = with->compute->threads, .capacity = state->capacity};
    DQ_TRY_GOTO(status, dq_quantizer_set_open(&trainer->set, with->model, options, &how, with->compute, error), failed);
    const dq_recipe *recipe = &trainer->set.recipe;
    if (!recipe->trains) {
        status = dq_fail(error, DLQAT_ERROR_USAGE, "--method %s trains nothing: use dlqat quantize", recipe->name);
        goto failed;
    }
    DQ_TRY_GOTO(status, dq_resolve_steps(recipe, options, &state->phase1_steps, &state->warmup_steps, error), failed);
    state->max_steps = settings->max_steps;
    state->best_eval_loss = INFINITY;
    state->held = trainer->set.held;
    state->groups = trainer->set.groups;
    trainer->schedule = (dq_schedule){recipe->schedule, recipe->learning_rate, state->warmup_steps, state->max_steps};
    DQ_TRY_GOTO(status, dq_feed_open(&trainer->feed, options, with->data, &sizes, with->at_once, error), failed);
    dq_pass_options pass = {.capacity = state->capacity,
                            .keys = dq_feed_keys(&sizes, with->at_once),
                            .training = true,
                            .checkpoint = with->checkpoint,
                            .threads = with->compute->threads};
    DQ_TRY_GOTO(status, dq_pass_open(&trainer->pass, with->model, &pass, error), failed);
    trainer->gradients = (dq_gradients){
        .user = trainer, .linears = take_gradients, .packed = recipe->adapter != DQ_ADAPTER_POOLED, .dots = wants_dots};
    dq_pass_want(trainer->pass, &trainer->gradients);
    return DLQAT_OK;
failed:
    dq_trainer_close(trainer);
    *out = NULL;
    return status;
}

void dq_trainer_close(dq_trainer *trainer) {
    if (!trainer) return;
    dq_pass_close(trainer->pass);
    dq_feed_close(&trainer->feed);
    dq_quantizer_set_close(&trainer->set);
    free(trainer);
}

dq_trainer_state *dq_trainer_get_state(dq_trainer *trainer) {
    return &trainer->state;
}
dq_quantizer_set *dq_trainer_quantizers(dq_trainer *trainer) {
    return &trainer->set;
}

/* ---- One step ------------------------------------------------------------------------------------------------------ */

typedef void parameter_fn(dq_trainer *trainer, dq_parameter *p, void *user);

/* Calls f for every array that the running phase trains, in a fixed order. */
static void each_trained(dq_trainer *trainer, parameter_fn *f, void *user) {
    for (int i = 0; i < trainer->set.count; i++) {
        dq_quantizer *q = &trainer->set.at[i];
        for (int kind = 0; q->out && kind < DQ_PARAMETERS; kind++)
            if (dq_quantizer_trains(q, kind, trainer->trained)) f(trainer, &q->parameter[kind], user);
    }
}

static void clear_gradient(dq_trainer *trainer, dq_parameter *p, void *user) {
    (void)trainer;
    (void)user;
    memset(p->gradient, 0, (size_t)(p->rows * p->columns) * sizeof(float));
}

static void clear_moments(dq_trainer *trainer, dq_parameter *p, void *user) {
    (void)trainer;
    (void)user;
    memset(p->moment1, 0, (size_t)(p->rows * p->columns) * sizeof(float));
    memset(p->moment2, 0, (size_t)(p->rows * p->columns) * sizeof(float));
}

static void add_squares(dq_trainer *trainer, dq_parameter *p, void *user) {
    const dq_compute *compute = trainer->with.compute;
    *(double *)user += compute->kernels->sum_of_squares(compute, p->gradient, p->rows * p->columns);
}

static void update(dq_trainer *trainer, dq_parameter *p, void *user) {
    const dq_compute *compute = trainer->with.compute;
    compute->kernels->adamw(compute, user, p->value, p->moment1, p->moment2, p->gradient, p->rows * p->columns);
}

dlqat_status dq_trainer_step(dq_trainer *trainer, dq_step_record *record, dlqat_error *error) {
    const dq_compute *compute = trainer->with.compute;
    const dq_recipe *recipe = &trainer->set.recipe;
    dq_trainer_state *state = &trainer->state;
    double began = dq_seconds();
    int64_t step = state->step + 1;
    int phase = step <= state->phase1_steps ? 1 : 2;
    int64_t phase_begin = phase == 1 ? 0 : state->phase1_steps;
    trainer->trained = dq_recipe_trained(recipe, phase);
    dq_operation outside = dq_profile_enter(compute->profile, DQ_STEP, 0);
    *record =
        (dq_step_record){.step = step, .phase = phase, .learning_rate = dq_schedule_rate(&trainer->schedule, step)};

    /* The optimizer starts afresh with each phase. */
    if (step == phase_begin + 1) each_trained(trainer, clear_moments, NULL);
    each_trained(trainer, clear_gradient, NULL);
    dq_feed_step(&trainer->feed, step, &record->tokens, &record->labels);
    float scale = 1.0f / (float)record->labels;
    double loss = 0.0;
    for (const dq_batch *batch; (batch = dq_feed_next(&trainer->feed));) {
        double sum;
        DQ_TRY(dq_pass_forward(trainer->pass, compute, batch, error));
        DQ_TRY(dq_pass_loss(trainer->pass, compute, batch, true, scale, &sum, NULL, error));
        DQ_TRY(dq_pass_backward(trainer->pass, compute, batch, error));
        loss += sum;
        record->computed += batch->tokens;
    }
    double squares = 0.0;
    dq_profile_enter(compute->profile, DQ_OPTIMIZER, 0);
    each_trained(trainer, add_squares, &squares);
    record->loss = loss / (double)record->labels;
    record->grad_norm = sqrt(squares);
    if (!isfinite(record->loss) || !isfinite(record->grad_norm))
        return dq_fail(error, DLQAT_ERROR_NUMERIC, "step %lld: the %s is not a finite number", (long long)step,
                       isfinite(record->loss) ? "gradient" : "loss");

    dq_adamw adamw = {
        .learning_rate = (float)record->learning_rate,
        .beta1 = (float)trainer->settings->adam_beta1,
        .beta2 = (float)trainer->settings->adam_beta2,
        .epsilon = (float)trainer->settings->adam_epsilon,
        .weight_decay = (float)recipe->weight_decay,
        .step = step - phase_begin,
        .gradient_scale = 1.0f,
    };
    /* torch's clip_grad_norm_: scaled by max / (norm + 1e-6) where that is below 1 */
    double limit = recipe->max_grad_norm;
    if (limit > 0 && limit / (record->grad_norm + 1e-6) < 1)
        adamw.gradient_scale = (float)(limit / (record->grad_norm + 1e-6));
    each_trained(trainer, update, &adamw);
    DQ_TRY(dq_quantizer_set_refresh(&trainer->set, compute, error));
    dq_profile_return(compute->profile, outside);

    record->seconds = dq_seconds() - began;
    state->step = step;
    state->tokens += record->tokens;
    state->loss_sum += record->loss;
    state->seconds += record->seconds;
    state->held = trainer->set.held;
    return DLQAT_OK;
}

dlqat_status dq_trainer_evaluate(dq_trainer *trainer, double *loss, dlqat_error *error) {
    const dq_dataset *data = trainer->with.held_out;
    dq_batch *batch = &trainer->feed.batch;
    double total = 0.0;
    uint64_t labels = 0;
    for (size_t row = 0; row < data->rows;) {
        double sum;
        dq_batch_clear(batch);
        while (row < data->rows && dq_batch_add(batch, data, row)) row++;
        DQ_TRY(dq_pass_forward(trainer->pass, trainer->with.compute, batch, error));
        DQ_TRY(dq_pass_loss(trainer->pass, trainer->with.compute, batch, false, 0.0f, &sum, NULL, error));
        total += sum;
        labels += batch->labels;
    }
    *loss = total / (double)labels;
    if (!isfinite(*loss))
        return dq_fail(error, DLQAT_ERROR_NUMERIC, "step %lld: the held-out loss is not a finite number",
                       (long long)trainer->state.step);
    return DLQAT_OK;
}
