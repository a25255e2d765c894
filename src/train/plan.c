#include "train/plan.h"

#include "base/file.h"
#include "model/pass.h"

#include <string.h>

size_t dq_plan_weight_bytes(const dq_weight *weight) {
    if (weight->kind == DQ_WEIGHT_TENSOR) return weight->tensor ? weight->tensor->bytes : 0;
    if (weight->kind != DQ_WEIGHT_AFFINE) return 0;
    const dq_affine *a = &weight->affine;
    size_t codes = (size_t)a->out * (size_t)dq_affine_row_words(a->in, a->bits) * sizeof(uint32_t);
    size_t scale = (size_t)dq_dtype_info(a->scale_dtype)->block_bytes;
    return codes + 2 * (size_t)a->out * (size_t)dq_affine_groups(a) * scale;
}

/* encoded: the linears are encoded in memory, all but those that are left as they are. */
static size_t model_bytes(dq_model *model, const dq_settings *settings, bool encoded) {
    size_t bytes = dq_plan_weight_bytes(&model->embedding);
    if (!model->config.tied) bytes += dq_plan_weight_bytes(&model->head);
    for (int i = 0; i < dq_model_linear_count(model); i++) {
        dq_grid grid;
        bool excluded = false;
        if (encoded && dq_resolve_grid(model, settings, i, &grid, &excluded, NULL) == DLQAT_OK && !excluded) continue;
        bytes += dq_plan_weight_bytes(&dq_model_linear(model, i)->base);
    }
    return bytes;
}

/* Of dq_batch. */
static size_t batch_bytes(const dq_plan *plan) {
    size_t each = 4 * sizeof(int32_t), tokens, keys = sizeof(int32_t), bytes; /* ids, position, row_start, label */
    if (plan->keys) each += sizeof(int32_t) + 2 * sizeof(size_t);
    bool over = __builtin_mul_overflow(each, (size_t)plan->capacity, &tokens) ||
                __builtin_mul_overflow(keys, (size_t)plan->keys, &keys) || __builtin_add_overflow(tokens, keys, &bytes);
    return over ? SIZE_MAX : bytes;
}

/* Fills in all bytes for the two decisions that the plan holds. */
static dlqat_status count(dq_plan *plan, dq_model *model, const dlqat_options *options, dlqat_error *error) {
    dq_quantizer_set_options how = {
        .training = true, .resident = plan->resident, .threads = plan->threads, .capacity = plan->capacity};
    dq_quantizer_set_bytes set = {0};
    DQ_TRY(dq_quantizer_set_plan(&set, model, options, &how, error));
    dq_pass_options pass = {.capacity = plan->capacity,
                            .keys = plan->keys,
                            .training = true,
                            .checkpoint = plan->checkpoint,
                            .threads = plan->threads};

    plan->weights = model_bytes(model, dq_options_settings(options), set.base > 0);
    plan->base = set.base;
    plan->what = set.what;
    plan->parameters = set.parameters;
    plan->optimizer = set.optimizer;
    plan->logits = dq_pass_logits_bytes(model, &pass);
    plan->activations = dq_pass_bytes(model, &pass);
    if (plan->activations != SIZE_MAX) plan->activations -= plan->logits;
    plan->scratch = set.scratch;
    plan->workspace = dq_workspace_bytes(plan->threads);
    plan->batch = batch_bytes(plan);

    const size_t items[] = {plan->weights,   plan->base,        plan->what,    plan->parameters,
                            plan->optimizer, plan->activations, plan->scratch, plan->workspace,
                            plan->batch,     plan->logits,      plan->program};
    plan->total = 0;
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        if (items[i] > SIZE_MAX - plan->total)
            return dq_fail(
                error, DLQAT_ERROR_MEMORY,
                "%lld tokens at once need more memory than can be addressed: lower --batch-size or --max-length",
                (long long)plan->capacity);
        plan->total += items[i];
    }
    plan->fits = !plan->available || plan->total - plan->program <= plan->available;
    return DLQAT_OK;
}

/* Whether an option that is on, off or automatic (NULL) admits this value. */
static bool admits(const char *choice, bool value) {
    return !choice || (strcmp(choice, "on") == 0) == value;
}

/* Bytes of the activations of one token, all kept. */
static size_t bytes_of_token(const dq_model *model) {
    enum { FEW = 1024, MANY = 2 * FEW }; /* the same number of logits */
    const dq_pass_options few = {.capacity = FEW, .training = true}, many = {.capacity = MANY, .training = true};
    return (dq_pass_bytes(model, &many) - dq_pass_bytes(model, &few)) / FEW;
}

/* --tokens-at-once, or as many as take the memory that the model's weights would take in f32, but not so few that what a piece
 * costs whatever its size (every tile of W_hat is decoded, every dW reduced) is seen. The memory that is available must not
 * decide: it changes the order of sums, and a run that is continued elsewhere shall come to the same bits. */
static int64_t tokens_at_once(const dq_model *model, const dq_settings *settings) {
    if (settings->tokens_at_once != DQ_AUTO) return settings->tokens_at_once;
    uint64_t tokens = dq_model_parameters(model) * sizeof(float) / bytes_of_token(model);
    return tokens > DQ_PLAN_TOKENS ? (int64_t)tokens : DQ_PLAN_TOKENS;
}

dlqat_status dq_plan_within(dq_plan *plan, dq_model *model, const dlqat_options *options, const dq_feed_sizes *sizes,
                            const dq_compute *compute, const dq_plan_memory *memory, dlqat_error *error) {
    const dq_settings *settings = dq_options_settings(options);
    /* Fastest first: making W_hat anew for each block costs more than a second forward. */
    static const struct {
        bool resident, checkpoint;
    } ways[] = {{true, false}, {true, true}, {false, false}, {false, true}};

    *plan = (dq_plan){.at_once = tokens_at_once(model, settings),
                      .threads = compute->threads,
                      .program = (size_t)memory->taken,
                      .available = memory->available};
    plan->capacity = dq_feed_capacity(sizes, plan->at_once);
    plan->keys = dq_feed_keys(sizes, plan->at_once);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (!admits(settings->resident_weights, ways[i].resident)) continue;
        if (!admits(settings->checkpoint_activations, ways[i].checkpoint)) continue;
        plan->resident = ways[i].resident;
        plan->checkpoint = ways[i].checkpoint;
        DQ_TRY(count(plan, model, options, error));
        double more = (double)(plan->total - plan->program);
        if (!plan->available || more <= DQ_PLAN_SHARE * (double)plan->available) break;
    }
    return DLQAT_OK;
}

dlqat_status dq_plan_make(dq_plan *plan, dq_model *model, const dlqat_options *options, const dq_feed_sizes *sizes,
                          const dq_compute *compute, dlqat_error *error) {
    const dq_plan_memory memory = {.available = dq_available_memory_bytes(), .taken = dq_anonymous_bytes()};
    return dq_plan_within(plan, model, options, sizes, compute, &memory, error);
}
