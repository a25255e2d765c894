#include "eval/resident.h"

#include "base/file.h"

#include <string.h>

enum { ROWS_PER_PIECE = 16 };

/* What the passes multiply with: the linears, then the head. */
static dq_weight *weight_at(dq_model *model, int index) {
    return index < dq_model_linear_count(model) ? &dq_model_linear(model, index)->active : &model->head;
}

static bool lies_within(const dq_arena *arena, const float *p) {
    const unsigned char *at = (const unsigned char *)p;
    return arena->base && at >= arena->base && at < arena->base + arena->capacity;
}

static void decode(dq_weight *weight, float *to, int threads) {
    int64_t pieces = (weight->out + ROWS_PER_PIECE - 1) / ROWS_PER_PIECE;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < pieces; i++) {
        int64_t first = i * ROWS_PER_PIECE, left = weight->out - first;
        dq_weight_rows(weight, first, left < ROWS_PER_PIECE ? left : ROWS_PER_PIECE, to + first * weight->in);
    }
    weight->resident = to;
}

/* Counts, or carves and decodes, every weight that nobody keeps yet; packed: also those that have a packed form. */
static void lay_out(dq_model *model, dq_arena *arena, bool packed, int threads) {
    for (int i = 0; i <= dq_model_linear_count(model); i++) {
        dq_weight *weight = weight_at(model, i);
        if (weight->resident || (weight->coded.coding && !packed)) continue;
        float *to = dq_arena_take(arena, (size_t)weight->out, (size_t)weight->in * sizeof(float));
        if (to) decode(weight, to, threads);
    }
}

dlqat_status dq_resident_open(dq_resident *resident, dq_model *model, const char *wish, dq_resident_use use,
                              const dq_compute *compute, dlqat_error *error) {
    const bool packed = wish || use == DQ_FOR_BATCHES;
    *resident = (dq_resident){0};
    if (wish && strcmp(wish, "off") == 0) return DLQAT_OK;
    lay_out(model, &resident->arena, packed, compute->threads);
    uint64_t available = dq_available_memory_bytes();
    bool fits = !resident->arena.overflow && (!available || resident->arena.used <= available / 2);
    if (resident->arena.used == 0 || (!wish && !fits)) {
        *resident = (dq_resident){0};
        return DLQAT_OK;
    }
    dlqat_status status =
        dq_arena_reserve(&resident->arena, "the weights as f32 (--resident-weights off needs none)", error);
    if (status != DLQAT_OK) {
        *resident = (dq_resident){0};
        return wish ? status : DLQAT_OK; /* it was only to be faster */
    }
    resident->model = model;
    lay_out(model, &resident->arena, packed, compute->threads);
    return DLQAT_OK;
}

void dq_resident_close(dq_resident *resident) {
    if (!resident->model) return;
    for (int i = 0; i <= dq_model_linear_count(resident->model); i++) {
        dq_weight *weight = weight_at(resident->model, i);
        if (lies_within(&resident->arena, weight->resident)) weight->resident = NULL;
    }
    dq_arena_release(&resident->arena);
    *resident = (dq_resident){0};
}
