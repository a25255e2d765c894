#include "quant/quantizer_channel.h"

#include <math.h>
#include <string.h>

#include <omp.h>

enum { GROUPS_AT_ONCE = 128 };

const char *dq_parameter_name(dq_parameter_kind kind) {
    static const char *const names[DQ_PARAMETERS] = {"s", "b", "m", "A", "B"};
    return names[kind];
}

bool dq_quantizer_trains(const dq_quantizer *q, dq_parameter_kind kind, dq_trained trained) {
    if (q->parameter[kind].rows == 0) return false;
    switch (kind) {
    case DQ_PARAMETER_SCALE:
        return trained.grid;
    case DQ_PARAMETER_OFFSET:
        return trained.grid && q->grid.offset != DQ_OFFSET_NONE;
    case DQ_PARAMETER_MAGNITUDE:
        return trained.magnitude;
    default:
        return trained.adapter;
    }
}

dq_when dq_quantizer_when(const dq_quantizer *q, dq_parameter_kind kind) {
    bool first = q->recipe.phase1 && dq_quantizer_trains(q, kind, dq_recipe_trained(&q->recipe, 1));
    bool second = dq_quantizer_trains(q, kind, dq_recipe_trained(&q->recipe, 2));
    return (dq_when)((first ? DQ_PHASE_1 : 0) | (second ? DQ_PHASE_2 : 0));
}

void dq_quantizer_lay_out_optimizer(dq_quantizer *q, dq_arena *arena, dq_when when) {
    for (int kind = 0; kind < DQ_PARAMETERS; kind++) {
        dq_parameter *p = &q->parameter[kind];
        size_t n = (size_t)(p->rows * p->columns);
        if (n == 0 || dq_quantizer_when(q, (dq_parameter_kind)kind) != when) continue;
        p->gradient = dq_arena_take(arena, n, sizeof(float));
        p->moment1 = dq_arena_take(arena, n, sizeof(float));
        p->moment2 = dq_arena_take(arena, n, sizeof(float));
    }
}

void dq_quantizer_lay_out(dq_quantizer *q, dq_arena *arena) {
    const dq_recipe *recipe = &q->recipe;
    q->groups = q->in / q->grid.group;
    bool adapter = recipe->adapter != DQ_ADAPTER_NONE;
    q->rank = adapter ? recipe->rank : 0;
    /* An automatic alpha adds the adapter as it is: c = 1, and for a pooled one c/g = 1. */
    double automatic = recipe->adapter == DQ_ADAPTER_POOLED ? (double)q->grid.group : 1.0;
    q->c = (float)(!adapter ? 0.0 : recipe->alpha > 0 ? recipe->alpha / recipe->rank : automatic);
    for (int kind = 0; kind < DQ_PARAMETERS; kind++) {
        dq_parameter *p = &q->parameter[kind];
        p->rows = q->out;
        p->columns = q->groups;
        if (kind == DQ_PARAMETER_A) {
            p->rows = q->rank;
            p->columns = recipe->adapter == DQ_ADAPTER_POOLED ? q->groups : q->in;
        } else if (kind == DQ_PARAMETER_B)
            p->columns = q->rank;
        if (p->rows == 0 || p->columns == 0) p->rows = p->columns = 0;
        size_t n = (size_t)(p->rows * p->columns);
        p->value = n ? dq_arena_take(arena, n, sizeof(float)) : NULL;
        p->gradient = p->moment1 = p->moment2 = NULL;
    }
    q->floor_exponent = dq_arena_take(arena, (size_t)(q->out * q->groups), sizeof *q->floor_exponent);
}

void dq_quantizer_lay_out_kept(dq_quantizer *q, dq_arena *arena) {
    const size_t out = (size_t)q->out, groups = out * (size_t)q->groups;
    q->kept.codes = dq_arena_take(arena, out * (size_t)q->in, 1);
    q->kept.unclipped = dq_arena_take(arena, out * (size_t)dq_fakequant_mask_words(q->in), sizeof *q->kept.unclipped);
    q->kept_S = dq_arena_take(arena, groups, sizeof(float));
    q->kept_O = dq_arena_take(arena, groups, sizeof(float));
}

dq_coded dq_quantizer_coded(const dq_quantizer *q) {
    if (!q->kept.codes) return (dq_coded){.coding = DQ_CODING_NONE};
    return (dq_coded){
        .coding = DQ_CODING_BITS,
        .out = q->out,
        .in = q->in,
        .row_bytes = q->in,
        .codes = q->kept.codes,
        .bits = 8,
        .code_bits = q->grid.bits,
        .group = q->grid.group,
        .scale_type = DQ_SCALE_F32,
        .scales = q->kept_S,
        .offsets = q->kept_O,
    };
}

dq_fakequant_kept dq_quantizer_kept_rows(const dq_quantizer *q, int64_t first) {
    return (dq_fakequant_kept){.codes = q->kept.codes + first * q->in,
                               .unclipped = q->kept.unclipped + first * dq_fakequant_mask_words(q->in)};
}

/* The pooled adapter is not inside the rounding: rank 0. */
dq_fakequant dq_quantizer_view(const dq_quantizer *q, int64_t first, int64_t count) {
    int64_t at = first * q->groups;
    const dq_parameter *p = q->parameter;
    return (dq_fakequant){
        .rows = count,
        .in = q->in,
        .group = q->grid.group,
        .bits = q->grid.bits,
        .mask = q->recipe.mask,
        .rank = q->recipe.adapter == DQ_ADAPTER_LORA ? q->rank : 0,
        .c = q->c,
        .A = p[DQ_PARAMETER_A].value,
        .B = p[DQ_PARAMETER_B].value ? p[DQ_PARAMETER_B].value + first * q->rank : NULL,
        .s = p[DQ_PARAMETER_SCALE].value + at,
        .b = p[DQ_PARAMETER_OFFSET].value + at,
        .m = p[DQ_PARAMETER_MAGNITUDE].value + at,
    };
}

static void base_rows(const dq_quantizer *q, int64_t first, int64_t count, float *dst) {
    if (q->base.coded)
        q->kernels->coded_rows(q->base.coded, first, count, dst);
    else
        q->base.rows(q->base.user, first, count, dst);
}

static void start_adapter(dq_quantizer *q, uint64_t seed) {
    const dq_parameter *A = &q->parameter[DQ_PARAMETER_A], *B = &q->parameter[DQ_PARAMETER_B];
    if (A->rows == 0) return;
    size_t n = (size_t)(A->rows * A->columns);
    float bound;
    switch (q->recipe.init) {
    case DQ_INIT_GAUSSIAN:
        dq_random_normal(seed, DQ_STREAM_ADAPTER, q->index, 1.0f / (float)q->rank, A->value, n);
        break;
    case DQ_INIT_KAIMING:
        bound = (float)(1.0 / sqrt((double)A->columns));
        dq_random_fill(seed, DQ_STREAM_ADAPTER, q->index, -bound, bound, A->value, n);
        break;
    case DQ_INIT_XAVIER:
        bound = (float)sqrt(6.0 / (double)(A->columns + A->rows));
        dq_random_fill(seed, DQ_STREAM_ADAPTER, q->index, -bound, bound, A->value, n);
        break;
    }
    memset(B->value, 0, (size_t)(B->rows * B->columns) * sizeof(float));
}

/* s, b and the floor of one row; false when a weight is not finite. */
static bool start_row(dq_quantizer *q, int64_t i, float *row) {
    float *s = q->parameter[DQ_PARAMETER_SCALE].value, *b = q->parameter[DQ_PARAMETER_OFFSET].value;
    base_rows(q, i, 1, row);
    for (int64_t k = 0; k < q->groups; k++) {
        const int64_t at = i * q->groups + k;
        if (!dq_grid_start(&q->grid, q->recipe.start, row + k * q->grid.group, q->grid.group, &s[at], &b[at]))
            return false;
        q->floor_exponent[at] = dq_grid_floor_exponent(&q->grid, s[at]);
        q->parameter[DQ_PARAMETER_MAGNITUDE].value[at] = 1.0f;
    }
    return true;
}

dlqat_status dq_quantizer_start(dq_quantizer *q, const dq_compute *compute, uint64_t seed, float *scratch,
                                dlqat_error *error) {
    int64_t failed = q->out;
#pragma omp parallel for num_threads(compute->threads) schedule(static) reduction(min : failed)
    for (int64_t i = 0; i < q->out; i++)
        if (!start_row(q, i, scratch + omp_get_thread_num() * q->in) && i < failed) failed = i;
    if (failed < q->out)
        return dq_fail(error, DLQAT_ERROR_INPUT,
                       "%s: a weight in row %lld is not a finite number; the model file is damaged or overflowed",
                       q->name, (long long)failed);
    start_adapter(q, seed);
    return DLQAT_OK;
}

/* (c/g) sum_k B_ik A_kg */
static float pooled_offset(const dq_quantizer *q, int64_t i, int64_t k) {
    if (q->recipe.adapter != DQ_ADAPTER_POOLED) return 0.0f;
    const float *A = q->parameter[DQ_PARAMETER_A].value + k, *B = q->parameter[DQ_PARAMETER_B].value + i * q->rank;
    float sum = 0.0f;
    for (int r = 0; r < q->rank; r++) sum += B[r] * A[r * q->groups];
    return q->c / (float)q->grid.group * sum;
}

void dq_quantizer_stored(const dq_quantizer *q, int64_t row, int64_t first, int64_t count, float *S, float *O) {
    int64_t at = row * q->groups + first;
    const float *s = q->parameter[DQ_PARAMETER_SCALE].value + at, *b = q->parameter[DQ_PARAMETER_OFFSET].value + at,
                *m = q->parameter[DQ_PARAMETER_MAGNITUDE].value + at;
    for (int64_t k = 0; k < count; k++)
        dq_grid_stored(&q->grid, s[k], b[k], m[k], pooled_offset(q, row, first + k), &S[k], &O[k]);
}

/* One row of refresh; returns how many groups the floor holds, or -1 when a stored value overflows. */
static int64_t refresh_row(dq_quantizer *q, int64_t i, float *row) {
    float *s = q->parameter[DQ_PARAMETER_SCALE].value + i * q->groups,
          *b = q->parameter[DQ_PARAMETER_OFFSET].value + i * q->groups;
    const int8_t *exponent = q->floor_exponent + i * q->groups;
    /* With an adapter inside the rounding the min-max grid follows V; else V is W0 and the grid stays. */
    if (q->recipe.range == DQ_RANGE_MINMAX && q->recipe.adapter == DQ_ADAPTER_LORA) {
        const dq_fakequant view = dq_quantizer_view(q, i, 1);
        dq_quantizer_adapted(q, &view, i, 1, row);
        for (int64_t k = 0; k < q->groups; k++)
            if (!dq_grid_start(&q->grid, q->recipe.start, row + k * q->grid.group, q->grid.group, &s[k], &b[k]))
                return -1;
    }
    int64_t held = 0;
    for (int64_t k = 0; k < q->groups; k++) {
        float least = dq_grid_floor(exponent[k]), S, O;
        if (!(s[k] > least)) {
            held += s[k] < least;
            if (isfinite(s[k])) s[k] = least;
        }
        dq_quantizer_stored(q, i, k, 1, &S, &O);
        if (!isfinite(S) || !isfinite(O)) return -1;
    }
    return held;
}

/* False where some weight is not finite. */
static bool keep_rows(const dq_quantizer *q, int64_t first, int64_t count, float *V) {
    const dq_fakequant view = dq_quantizer_view(q, first, count);
    const dq_fakequant_kept kept = dq_quantizer_kept_rows(q, first);
    dq_quantizer_adapted(q, &view, first, count, V);
    for (int64_t i = first; i < first + count; i++)
        dq_quantizer_stored(q, i, 0, q->groups, q->kept_S + i * q->groups, q->kept_O + i * q->groups);
    return q->kernels->fakequant_keep(&view, V, &kept);
}

dlqat_status dq_quantizer_refresh(dq_quantizer *q, const dq_compute *compute, float *scratch, int64_t *held,
                                  dlqat_error *error) {
    int64_t total = 0, failed = -1, lost = -1;
#pragma omp parallel for num_threads(compute->threads) schedule(static) reduction(+ : total) reduction(max : failed, lost)
    for (int64_t first = 0; first < q->out; first += DQ_QUANTIZER_ROWS) {
        int64_t end = first + DQ_QUANTIZER_ROWS < q->out ? first + DQ_QUANTIZER_ROWS : q->out;
        float *room = scratch + omp_get_thread_num() * DQ_QUANTIZER_ROWS * q->in;
        for (int64_t i = first; i < end; i++) {
            int64_t row = refresh_row(q, i, room);
            if (row < 0)
                failed = failed > i ? failed : i;
            else
                total += row;
        }
        if (q->kept.codes && !keep_rows(q, first, end - first, room)) lost = first;
    }
    if (held) *held = total;
    if (failed >= 0)
        return dq_fail(
            error, DLQAT_ERROR_NUMERIC,
            "%s: a scale or offset of row %lld is not a finite %s: lower --learning-rate, or use --scale-dtype f32",
            q->name, (long long)failed, dq_dtype_info(q->grid.scale)->name);
    if (lost >= 0)
        return dq_fail(error, DLQAT_ERROR_NUMERIC,
                       "%s: a weight of rows %lld to %lld is not a finite number any more: lower --learning-rate",
                       q->name, (long long)lost,
                       (long long)(lost + DQ_QUANTIZER_ROWS < q->out ? lost + DQ_QUANTIZER_ROWS : q->out) - 1);
    q->exceptions = dq_quantizer_count_exceptions(q, compute);
    return DLQAT_OK;
}

/* Codes to weights, with S and O made for a stretch of groups at a time. */
static void decode_row(const dq_quantizer *q, int64_t row, float *w) {
    float S[GROUPS_AT_ONCE], O[GROUPS_AT_ONCE];
    for (int64_t k = 0; k < q->groups; k += GROUPS_AT_ONCE) {
        int64_t count = q->groups - k < GROUPS_AT_ONCE ? q->groups - k : GROUPS_AT_ONCE;
        dq_quantizer_stored(q, row, k, count, S, O);
        dq_fakequant part = {
            .rows = 1, .in = count * q->grid.group, .group = q->grid.group, .bits = q->grid.bits, .S = S, .O = O};
        q->kernels->fakequant_decode(&part, w + k * q->grid.group);
    }
}

void dq_quantizer_adapted(const dq_quantizer *q, const dq_fakequant *view, int64_t first, int64_t count, float *dst) {
    base_rows(q, first, count, dst);
    q->kernels->fakequant_adapt(view, dst);
}

void dq_quantizer_rows(const dq_quantizer *q, int64_t first, int64_t count, float *dst) {
    if (q->kept.codes) {
        const dq_coded coded = dq_quantizer_coded(q);
        q->kernels->coded_rows(&coded, first, count, dst);
        return;
    }
    const dq_fakequant view = dq_quantizer_view(q, first, count);
    dq_quantizer_adapted(q, &view, first, count, dst);
    q->kernels->fakequant_codes(&view, dst);
    for (int64_t i = 0; i < count; i++) decode_row(q, first + i, dst + i * q->in);
}

void dq_quantizer_codes(const dq_quantizer *q, int64_t first, int64_t count, uint8_t *codes, float *scratch) {
    if (q->kept.codes) {
        memcpy(codes, q->kept.codes + first * q->in, (size_t)(count * q->in));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const dq_fakequant view = dq_quantizer_view(q, first + i, 1);
        dq_quantizer_adapted(q, &view, first + i, 1, scratch);
        q->kernels->fakequant_codes(&view, scratch);
        for (int64_t j = 0; j < q->in; j++) codes[i * q->in + j] = (uint8_t)scratch[j];
    }
}
