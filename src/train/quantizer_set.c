#include "train/quantizer_set.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void base_rows(const void *user, int64_t first, int64_t count, float *dst) {
    dq_weight_rows(user, first, count, dst);
}

static void quantized_rows(const dq_weight *weight, int64_t first, int64_t count, float *dst) {
    dq_quantizer_rows(weight->user, first, count, dst);
}

/* What is to be quantized, and how: every quantizer but for its arrays. */
static dlqat_status describe(dq_quantizer_set *set, const dlqat_options *options, const dq_kernels *kernels,
                             dlqat_error *error) {
    DQ_TRY(dq_resolve_recipe(&set->recipe, options, error));
    int included = 0;
    for (int i = 0; i < set->count; i++) {
        dq_linear *linear = dq_model_linear(set->model, i);
        dq_grid grid;
        bool excluded;
        DQ_TRY(dq_resolve_grid(set->model, dq_options_settings(options), i, &grid, &excluded, error));
        if (excluded) continue;
        included++;
        set->at[i] = (dq_quantizer){
            .name = linear->name,
            .recipe = set->recipe,
            .grid = grid,
            .base = {.rows = base_rows,
                     .user = &linear->base,
                     .coded = linear->base.coded.coding && !linear->base.resident ? &linear->base.coded : NULL},
            .out = linear->base.out,
            .in = linear->base.in,
            .index = (uint32_t)i,
            .kernels = kernels,
        };
    }
    if (included == 0) return dq_fail(error, DLQAT_ERROR_USAGE, "--exclude leaves no linear to quantize");
    return DLQAT_OK;
}

/* Gradients and moments; returns their bytes. What only phase 1 trains and what only phase 2 trains share one place. */
static size_t lay_out_optimizer(dq_quantizer_set *set) {
    dq_arena *arena = &set->arena;
    size_t before = arena->used, shared = 0, end = 0;
    const dq_when order[] = {DQ_BOTH_PHASES, DQ_PHASE_1, DQ_PHASE_2};
    for (int w = 0; w < 3; w++) {
        if (order[w] == DQ_PHASE_1) shared = arena->used;
        if (order[w] == DQ_PHASE_2) {
            end = arena->used;
            arena->used = shared;
        }
        for (int i = 0; i < set->count; i++)
            if (set->at[i].out) dq_quantizer_lay_out_optimizer(&set->at[i], arena, order[w]);
    }
    if (arena->used < end) arena->used = end;
    return arena->used - before;
}

/* Carves (or counts) all arrays of the set, in the order of its bytes' names. */
static void lay_out(dq_quantizer_set *set, const dq_quantizer_set_options *how, dq_quantizer_set_bytes *bytes) {
    dq_arena *arena = &set->arena;
    for (int i = 0; i < set->count; i++) {
        dq_quantizer *q = &set->at[i];
        if (q->out == 0) continue;
        dq_quantizer_lay_out(q, arena);
    }
    bytes->parameters = arena->used;
    if (how->training) bytes->optimizer = lay_out_optimizer(set);
    size_t before = arena->used;
    for (int i = 0; i < set->count && set->base; i++) {
        const dq_quantizer *q = &set->at[i];
        if (q->out) dq_fixed_point_lay_out(&set->base[i], q->out, q->in, q->grid.group, arena);
    }
    bytes->base = arena->used - before;
    before = arena->used;
    for (int i = 0; i < set->count && how->resident; i++)
        if (set->at[i].out) dq_quantizer_lay_out_kept(&set->at[i], arena);
    bytes->what = arena->used - before;
    set->scratch_floats = 0;
    for (int i = 0; i < set->count; i++) {
        const dq_quantizer *q = &set->at[i];
        size_t rows = (size_t)how->threads * DQ_QUANTIZER_ROWS * (size_t)dq_model_linear(set->model, i)->base.in;
        size_t backward = how->training && q->out ? dq_quantizer_scratch(q, how->capacity, how->threads) : 0;
        if (set->scratch_floats < rows) set->scratch_floats = rows;
        if (set->scratch_floats < backward) set->scratch_floats = backward;
    }
    set->scratch = dq_arena_take(arena, set->scratch_floats, sizeof(float));
    bytes->scratch = set->scratch_floats * sizeof(float);
}

static dlqat_status prepare(dq_quantizer_set *set, dq_model *model, const dlqat_options *options,
                            const dq_quantizer_set_options *how, const dq_kernels *kernels,
                            dq_quantizer_set_bytes *bytes, dlqat_error *error) {
    memset(set, 0, sizeof *set);
    memset(bytes, 0, sizeof *bytes);
    set->model = model;
    set->count = dq_model_linear_count(model);
    set->resident = how->resident;
    set->at = calloc((size_t)set->count + 1, sizeof *set->at);
    const char *storage = dq_options_settings(options)->base_storage;
    bool encoded = how->training && storage && strcmp(storage, "int8") == 0;
    if (encoded) set->base = calloc((size_t)set->count + 1, sizeof *set->base);
    if (!set->at || (encoded && !set->base))
        return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the list of quantizers");
    DQ_TRY(describe(set, options, kernels, error));
    lay_out(set, how, bytes);
    return DLQAT_OK;
}

dlqat_status dq_quantizer_set_plan(dq_quantizer_set_bytes *bytes, dq_model *model, const dlqat_options *options,
                                   const dq_quantizer_set_options *how, dlqat_error *error) {
    dq_quantizer_set set;
    dlqat_status status = prepare(&set, model, options, how, NULL, bytes, error);
    free(set.at);
    free(set.base);
    return status;
}

/* Takes the frozen weights into memory, in 8 bits, and the file's out of it. */
static dlqat_status encode_base(dq_quantizer_set *set, int threads, dlqat_error *error) {
    for (int i = 0; i < set->count; i++) {
        dq_quantizer *q = &set->at[i];
        if (q->out == 0) continue;
        DQ_TRY(dq_fixed_point_encode(&set->base[i], &q->base, q->grid.bits, q->name, threads, set->scratch, error));
        q->base = dq_fixed_point_base(&set->base[i]);
        dq_model_forget(set->model);
    }
    return DLQAT_OK;
}

dlqat_status dq_quantizer_set_open(dq_quantizer_set *set, dq_model *model, const dlqat_options *options,
                                   const dq_quantizer_set_options *how, const dq_compute *compute, dlqat_error *error) {
    dq_quantizer_set_bytes bytes;
    dlqat_status status = prepare(set, model, options, how, compute->kernels, &bytes, error);
    if (status == DLQAT_OK) status = dq_arena_reserve(&set->arena, "quantizers", error);
    if (status == DLQAT_OK) {
        lay_out(set, how, &bytes);
        if (set->base) status = encode_base(set, how->threads, error);
        const dq_settings *settings = dq_options_settings(options);
        for (int i = 0; i < set->count && status == DLQAT_OK; i++)
            if (set->at[i].out)
                status = dq_quantizer_start(&set->at[i], compute, (uint64_t)settings->seed, set->scratch, error);
    }
    if (status == DLQAT_OK) status = dq_quantizer_set_refresh(set, compute, error);
    if (status != DLQAT_OK) {
        dq_quantizer_set_close(set);
        return status;
    }
    for (int i = 0; i < set->count; i++) {
        const dq_quantizer *q = &set->at[i];
        if (q->out == 0) continue;
        dq_model_linear(model, i)->active = (dq_weight){
            .out = q->out,
            .in = q->in,
            .rows = quantized_rows,
            .coded = dq_quantizer_coded(q),
            .kind = DQ_WEIGHT_OTHER,
            .user = q,
        };
    }
    return DLQAT_OK;
}

void dq_quantizer_set_close(dq_quantizer_set *set) {
    for (int i = 0; set->model && i < set->count; i++) {
        dq_linear *linear = dq_model_linear(set->model, i);
        linear->active = linear->base;
    }
    free(set->at);
    free(set->base);
    dq_arena_release(&set->arena);
    memset(set, 0, sizeof *set);
}

dlqat_status dq_quantizer_set_refresh(dq_quantizer_set *set, const dq_compute *compute, dlqat_error *error) {
    set->held = set->groups = 0;
    for (int i = 0; i < set->count; i++) {
        dq_quantizer *q = &set->at[i];
        if (q->out == 0) continue;
        int64_t held;
        double product = 2.0 * (double)q->rank * (double)q->out * (double)q->in; /* B A, in whichever form */
        dq_operation before = dq_profile_enter(compute->profile, DQ_WEIGHTS, product);
        DQ_TRY(dq_quantizer_refresh(q, compute, set->scratch, &held, error));
        set->held += held;
        set->groups += q->out * q->groups;
        dq_profile_return(compute->profile, before);
    }
    return DLQAT_OK;
}

uint64_t dq_quantizer_set_trainable(const dq_quantizer_set *set, int phase) {
    dq_trained trained = dq_recipe_trained(&set->recipe, phase);
    uint64_t sum = 0;
    for (int i = 0; i < set->count; i++)
        for (int kind = 0; kind < DQ_PARAMETERS && set->at[i].out; kind++)
            if (dq_quantizer_trains(&set->at[i], kind, trained))
                sum += (uint64_t)(set->at[i].parameter[kind].rows * set->at[i].parameter[kind].columns);
    return sum;
}

dlqat_status dq_quantizer_set_hash(const dq_quantizer_set *set, char hash[33], dlqat_error *error) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to hash the weights");
    XXH3_128bits_reset(state);
    for (int i = 0; i < set->count; i++) {
        const dq_weight *weight = &dq_model_linear(set->model, i)->active;
        for (int64_t row = 0; row < weight->out; row++) {
            dq_weight_rows(weight, row, 1, set->scratch);
            for (int64_t j = 0; j < weight->in; j++) set->scratch[j] += 0.0f; /* -0 becomes +0 */
            XXH3_128bits_update(state, set->scratch, (size_t)weight->in * sizeof(float));
        }
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    for (int i = 0; i < 16; i++) snprintf(hash + 2 * i, 3, "%02x", canonical.digest[i]);
    XXH3_freeState(state);
    return DLQAT_OK;
}
