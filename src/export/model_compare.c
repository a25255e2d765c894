#include "export/model_compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CHUNK_FLOATS = 1 << 18 };

/* One walk over one or two inventories. */
typedef struct dq_walk {
    const dq_inventory *side[2];
    int sides, threads;
    float *rows[2]; /* a chunk of rows of each */
    size_t floats;  /* of a chunk */
    XXH3_state_t *state[2];
    dq_arena arena;
} dq_walk;

static void lay_out(dq_walk *walk) {
    for (int s = 0; s < walk->sides; s++) walk->rows[s] = dq_arena_take(&walk->arena, walk->floats, sizeof(float));
}

static void walk_close(dq_walk *walk) {
    for (int s = 0; s < 2; s++) XXH3_freeState(walk->state[s]);
    dq_arena_release(&walk->arena);
}

static dlqat_status walk_open(dq_walk *walk, const dq_inventory *a, const dq_inventory *b, int threads,
                              dlqat_error *error) {
    *walk = (dq_walk){.side = {a, b}, .sides = b ? 2 : 1, .threads = threads};
    size_t width = (size_t)dq_inventory_width(a);
    walk->floats = width > CHUNK_FLOATS ? width : CHUNK_FLOATS;
    lay_out(walk);
    DQ_TRY(dq_arena_reserve(&walk->arena, "rows to be compared", error));
    lay_out(walk);
    for (int s = 0; s < walk->sides; s++) {
        walk->state[s] = XXH3_createState();
        if (!walk->state[s]) {
            walk_close(walk);
            return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to hash the weights");
        }
        XXH3_128bits_reset(walk->state[s]);
    }
    return DLQAT_OK;
}

static void read_rows(const dq_walk *walk, int side, const dq_weight *weight, int64_t first, int64_t count) {
    float *rows = walk->rows[side];
#pragma omp parallel for num_threads(walk->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) dq_weight_rows(weight, first + i, 1, rows + i * weight->in);
}

static void add_to_hash(const dq_walk *walk, int side, int64_t n) {
    float *rows = walk->rows[side];
    for (int64_t j = 0; j < n; j++) rows[j] += 0.0f; /* -0 + 0 = +0; nothing else changes */
    XXH3_128bits_update(walk->state[side], rows, (size_t)n * sizeof *rows);
}

static void finish_hash(const dq_walk *walk, int side, char hash[33]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(walk->state[side]));
    for (int i = 0; i < 16; i++) snprintf(hash + 2 * i, 3, "%02x", canonical.digest[i]);
}

/* max |a - b|; two NaN are equal, a NaN and a number are infinitely far apart. */
static double largest_difference(const float *a, const float *b, int64_t n) {
    double largest = 0;
    for (int64_t j = 0; j < n; j++) {
        if (a[j] == b[j] || (isnan(a[j]) && isnan(b[j]))) continue;
        double difference = fabs((double)a[j] - (double)b[j]);
        if (isnan(difference)) difference = INFINITY;
        if (difference > largest) largest = difference;
    }
    return largest;
}

static void note(dq_comparison *result, double difference, int part, int layer) {
    if (difference == 0) return;
    result->exact = false;
    if (difference < result->max_abs_dw) return;
    result->max_abs_dw = difference;
    dq_part_name(result->where, false, part, layer);
}

static int64_t chunk_rows(const dq_walk *walk, const dq_weight *weight) {
    return (int64_t)walk->floats / weight->in;
}

static void walk_matrix(const dq_walk *walk, int index, dq_comparison *result) {
    const dq_matrix *matrix = &walk->side[0]->matrix[index];
    int64_t out = matrix->weight->out, in = matrix->weight->in, chunk = chunk_rows(walk, matrix->weight);
    bool linear = index < walk->side[0]->linears;
    for (int64_t first = 0; first < out; first += chunk) {
        int64_t count = out - first < chunk ? out - first : chunk;
        for (int s = 0; s < walk->sides; s++) read_rows(walk, s, walk->side[s]->matrix[index].weight, first, count);
        if (walk->sides == 2)
            note(result, largest_difference(walk->rows[0], walk->rows[1], count * in), matrix->part, matrix->layer);
        for (int s = 0; s < walk->sides && linear; s++) add_to_hash(walk, s, count * in);
    }
}

/* The lists are made alike, so that equal models have their tensors at the same places. */
static dlqat_status check_shapes(const dq_inventory *a, const dq_inventory *b, dlqat_error *error) {
    if (a->matrices != b->matrices || a->vectors != b->vectors)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s and %s have not the same number of tensors", a->model->path,
                       b->model->path);
    char name[DQ_NAME_SIZE];
    for (int i = 0; i < a->matrices; i++) {
        const dq_weight *x = a->matrix[i].weight, *y = b->matrix[i].weight;
        if (x->out == y->out && x->in == y->in) continue;
        dq_part_name(name, false, a->matrix[i].part, a->matrix[i].layer);
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s has not the same shape in %s and %s", name, a->model->path,
                       b->model->path);
    }
    for (int i = 0; i < a->vectors; i++) {
        const dq_vector *x = &a->vector[i], *y = &b->vector[i];
        if (x->n == y->n && x->part == y->part && x->layer == y->layer && x->bias == y->bias) continue;
        dq_part_name(name, false, x->part, x->layer);
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s has not the same norm or bias in %s and %s", name, a->model->path,
                       b->model->path);
    }
    return DLQAT_OK;
}

dlqat_status dq_compare(const dq_inventory *a, const dq_inventory *b, int threads, dq_comparison *result,
                        dlqat_error *error) {
    *result = (dq_comparison){.exact = true};
    DQ_TRY(check_shapes(a, b, error));
    dq_walk walk;
    DQ_TRY(walk_open(&walk, a, b, threads, error));
    for (int i = 0; i < a->matrices; i++) {
        walk_matrix(&walk, i, result);
        dq_model_forget(b->model); /* a file that is read back once need not add to the peak of the run that wrote it */
    }
    for (int i = 0; i < a->vectors; i++) {
        const dq_vector *x = &a->vector[i];
        if (largest_difference(x->values, b->vector[i].values, x->n) == 0) continue;
        result->exact = false;
        if (!result->where[0]) dq_part_name(result->where, false, x->part, x->layer);
    }
    finish_hash(&walk, 0, result->hash_a);
    finish_hash(&walk, 1, result->hash_b);
    walk_close(&walk);
    return DLQAT_OK;
}

dlqat_status dq_inventory_hash(const dq_inventory *inventory, int threads, char hash[33], dlqat_error *error) {
    dq_walk walk;
    DQ_TRY(walk_open(&walk, inventory, NULL, threads, error));
    for (int i = 0; i < inventory->linears; i++) walk_matrix(&walk, i, NULL);
    finish_hash(&walk, 0, hash);
    walk_close(&walk);
    return DLQAT_OK;
}
