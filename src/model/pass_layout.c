/* A pass's memory: counted and carved by one function, so that the plan is what is taken. */
#include "model/pass_internal.h"

#include <stdlib.h>

/* A tile of 4 MiB (1 Mi floats), little beside the activations, but of wide weights 1,024 rows: each tile of the backward passes
 * over the input's gradient once more, as a block of the kernels' sum does, which is no longer than that. */
int64_t dq_tile_rows(int64_t in) {
    int64_t rows = ((int64_t)1 << 20) / in / DQ_PACK_UNIT * DQ_PACK_UNIT;
    return rows < 1024 ? 1024 : rows;
}

/* A number so large that it cannot be rounded up stays: the arena refuses it. */
static int64_t round_up(int64_t x, int64_t unit) {
    return x > INT64_MAX - unit ? x : (x + unit - 1) / unit * unit;
}

int64_t dq_packed_floats(int64_t rows, int64_t columns) {
    return round_up(rows, DQ_PACK_UNIT) * round_up(columns, DQ_PACK_UNIT);
}

/* Every chunk makes all tiles of the head twice, which a few rows are not worth: 64 MiB of logits, or of a large head a quarter
 * of what it takes in f32. */
int64_t dq_loss_rows(int64_t vocabulary, int64_t hidden, int64_t capacity) {
    int64_t rows = ((int64_t)1 << 24) / vocabulary;
    if (rows < hidden / 4) rows = hidden / 4;
    if (rows < 16) rows = 16;
    if (rows > 512) rows = 512;
    return rows < capacity ? rows : capacity;
}

static float *floats(dq_arena *arena, int64_t rows, int64_t columns) {
    size_t count;
    if (__builtin_mul_overflow((size_t)rows, (size_t)columns, &count)) count = SIZE_MAX; /* refused by the arena */
    return dq_arena_take(arena, count, sizeof(float));
}

static void lay_out_block(dq_block *block, const dq_config *config, const dq_pass_options *options, dq_arena *arena) {
    int64_t T = options->capacity, queries = (int64_t)config->heads * config->head_width,
            keys = (int64_t)config->kv_heads * config->head_width;
    bool training = options->training, raw = training && config->qk_norm;
    block->r1 = training ? floats(arena, T, 1) : NULL;
    block->r2 = training ? floats(arena, T, 1) : NULL;
    block->q = floats(arena, T, queries);
    block->k = floats(arena, T, keys);
    block->v = floats(arena, T, keys);
    block->q_raw = raw ? floats(arena, T, queries) : block->q;
    block->k_raw = raw ? floats(arena, T, keys) : block->k;
    block->rq = raw ? floats(arena, T, config->heads) : NULL;
    block->rk = raw ? floats(arena, T, config->kv_heads) : NULL;
    block->o = floats(arena, T, queries);
    block->log_sum = floats(arena, T, config->heads);
    block->middle = training ? floats(arena, T, config->hidden) : NULL;
    block->gate = floats(arena, T, config->intermediate);
    block->up = floats(arena, T, config->intermediate);
}

static void lay_out_layers(dq_pass *pass, const dq_config *config, dq_arena *arena) {
    const dq_pass_options *options = &pass->options;
    size_t layers = (size_t)config->layers;
    pass->hidden = dq_arena_take(arena, layers + 1, sizeof *pass->hidden);
    pass->block = dq_arena_take(arena, layers, sizeof *pass->block);
    dq_block block = {0};
    float *hidden = NULL;
    for (size_t l = 0; l <= layers; l++) {
        if (l == 0 || options->training) hidden = floats(arena, options->capacity, config->hidden);
        if (pass->hidden) pass->hidden[l] = hidden;
        if (l == layers) break;
        if (l == 0 || (options->training && !options->checkpoint)) lay_out_block(&block, config, options, arena);
        if (!pass->block) continue;
        pass->block[l] = block;
        if (!options->training) pass->block[l].middle = hidden; /* the residual stream runs through one array */
    }
}

/* The most that `side`, dq_linear_in or dq_linear_out, is of any linear. */
static int64_t widest(const dq_config *config, int64_t (*side)(const dq_config *, dq_linear_kind)) {
    int64_t most = 0;
    for (int k = 0; k < DQ_LINEARS_PER_LAYER; k++) {
        int64_t width = side(config, (dq_linear_kind)k);
        if (width > most) most = width;
    }
    return most;
}

static void lay_out_training(dq_pass *pass, const dq_config *config, dq_arena *arena) {
    int64_t T = pass->options.capacity, queries = (int64_t)config->heads * config->head_width,
            keys = (int64_t)config->kv_heads * config->head_width;
    pass->dhidden = pass->final; /* which nobody needs once the backward begins */
    pass->dnormed = floats(arena, T, config->hidden);
    bool apart = queries + keys > config->intermediate; /* see dq_pass.attention_gradients */
    pass->attention_gradients = apart ? floats(arena, T, 2 * (queries + keys)) : NULL;
    pass->shared_dk = pass->options.keys ? floats(arena, pass->options.keys, keys) : NULL;
    pass->shared_dv = pass->options.keys ? floats(arena, pass->options.keys, keys) : NULL;
    pass->delta = floats(arena, T, config->heads);
    pass->dots_floats = widest(config, dq_linear_out);
    pass->dots = floats(arena, DQ_LINEARS_TOGETHER, pass->dots_floats);
    pass->dpicked = floats(arena, pass->loss_rows, config->hidden);
}

static void lay_out_generation(dq_pass *pass, const dq_config *config, dq_arena *arena) {
    size_t layers = (size_t)config->layers;
    pass->cached_k = dq_arena_take(arena, layers, sizeof *pass->cached_k);
    pass->cached_v = dq_arena_take(arena, layers, sizeof *pass->cached_v);
    int64_t keys = (int64_t)config->kv_heads * config->head_width,
            positions = round_up(pass->options.cache, DQ_KEY_BLOCK);
    for (size_t l = 0; l < layers; l++) {
        float *k = floats(arena, positions, keys), *v = floats(arena, positions, keys);
        if (pass->cached_k) pass->cached_k[l] = k;
        if (pass->cached_v) pass->cached_v[l] = v;
    }
    pass->position = dq_arena_take(arena, (size_t)pass->options.capacity, sizeof *pass->position);
    pass->row_start = dq_arena_take(arena, (size_t)pass->options.capacity, sizeof *pass->row_start);
}

/* Of the largest tile. */
static int64_t packed_tile_floats(const dq_config *config) {
    int64_t most = 0;
    for (int k = 0; k < DQ_LINEARS_PER_LAYER; k++) {
        int64_t in = dq_linear_in(config, (dq_linear_kind)k), floats = dq_packed_floats(dq_tile_rows(in), in);
        if (floats > most) most = floats;
    }
    return most;
}

static void lay_out_products(dq_pass *pass, const dq_config *config, dq_arena *arena) {
    const int64_t in = widest(config, dq_linear_in);
    _Static_assert(DQ_PACK_ROWS % DQ_PACK_UNIT == 0, "as an A it has room enough for a B");
    pass->packed_input = floats(arena, round_up(pass->options.capacity, DQ_PACK_ROWS), round_up(in, DQ_PACK_UNIT));
    pass->makers = pass->options.threads > 1 ? pass->options.threads : 1;
    pass->made_floats = DQ_PACK_UNIT * in;
    pass->made = floats(arena, pass->makers, pass->made_floats);
    pass->packed = floats(arena, 1, packed_tile_floats(config));
}

static void lay_out(dq_pass *pass, const dq_config *config, dq_arena *arena) {
    int64_t T = pass->options.capacity, keys = (int64_t)config->kv_heads * config->head_width;
    pass->loss_rows = dq_loss_rows(config->vocabulary, config->hidden, T);
    lay_out_layers(pass, config, arena);
    pass->normed = floats(arena, T, config->hidden);
    pass->active = floats(arena, T, config->intermediate);
    pass->shared_k = pass->options.keys ? floats(arena, pass->options.keys, keys) : NULL;
    pass->shared_v = pass->options.keys ? floats(arena, pass->options.keys, keys) : NULL;
    pass->final = floats(arena, T, config->hidden);
    pass->final_r = floats(arena, T, 1);
    pass->picked = floats(arena, pass->loss_rows, config->hidden);
    pass->logits = floats(arena, pass->loss_rows, config->vocabulary);
    pass->labels = dq_arena_take(arena, (size_t)pass->loss_rows, sizeof *pass->labels);
    pass->picked_from = dq_arena_take(arena, (size_t)pass->loss_rows, sizeof *pass->picked_from);
    pass->losses = dq_arena_take(arena, (size_t)pass->loss_rows, sizeof *pass->losses);
    lay_out_products(pass, config, arena);
    if (pass->options.training) lay_out_training(pass, config, arena);
    if (pass->options.cache) lay_out_generation(pass, config, arena);
}

size_t dq_pass_bytes(const dq_model *model, const dq_pass_options *options) {
    dq_pass pass = {.options = *options};
    dq_arena arena = {0};
    lay_out(&pass, &model->config, &arena);
    return arena.overflow || arena.used > SIZE_MAX - sizeof pass ? SIZE_MAX : arena.used + sizeof pass;
}

size_t dq_pass_logits_bytes(const dq_model *model, const dq_pass_options *options) {
    int64_t vocabulary = model->config.vocabulary;
    return (size_t)dq_loss_rows(vocabulary, model->config.hidden, options->capacity) * (size_t)vocabulary *
           sizeof(float);
}

dlqat_status dq_pass_open(dq_pass **out, const dq_model *model, const dq_pass_options *options, dlqat_error *error) {
    *out = NULL;
    if (options->capacity < 1 || options->capacity > INT32_MAX || options->cache < 0 || options->cache > INT32_MAX)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a batch of %lld tokens with a cache of %lld is not possible",
                       (long long)options->capacity, (long long)options->cache);
    if (options->training && options->cache)
        return dq_fail(error, DLQAT_ERROR_USAGE, "a pass is for training or for generation, not both");
    dq_pass *pass = calloc(1, sizeof *pass);
    if (!pass) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a pass");
    pass->model = model;
    pass->options = *options;
    lay_out(pass, &model->config, &pass->arena);
    dlqat_status status = dq_arena_reserve(&pass->arena, "activations", error);
    if (status != DLQAT_OK) {
        free(pass);
        return status;
    }
    lay_out(pass, &model->config, &pass->arena);
    *out = pass;
    return DLQAT_OK;
}

void dq_pass_close(dq_pass *pass) {
    if (!pass) return;
    dq_arena_release(&pass->arena);
    free(pass);
}
