/* What a matrix becomes in each format, and how many bytes that takes. */
#include "export/export_plan.h"

#include "formats/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

dlqat_status dq_plan_allocate(dq_export_plan *plan, dlqat_error *error) {
    size_t room = 3 * (size_t)plan->inventory->matrices + (size_t)plan->inventory->vectors;
    plan->piece = calloc(room, sizeof *plan->piece);
    plan->pieces = 0;
    return plan->piece ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the list of tensors to write");
}

void dq_plan_add(dq_export_plan *plan, dq_export_report *report, const dq_piece *piece) {
    plan->piece[plan->pieces++] = *piece;
    uint64_t bytes = dq_piece_bytes(piece);
    report->weight_bytes += bytes;
    if (!piece->matrix || piece->matrix->part >= DQ_LINEARS_PER_LAYER) return;
    report->linear_bytes += bytes;
    if (piece->form != DQ_FORM_SCALES && piece->form != DQ_FORM_OFFSETS) report->written_as[piece->dtype]++;
}

dq_piece dq_plan_plain(const dq_matrix *matrix, bool gguf) {
    dq_piece piece = {.form = DQ_FORM_VALUES, .dtype = DQ_F32, .matrix = matrix};
    if (matrix->quantizer || matrix->weight->kind != DQ_WEIGHT_TENSOR) return piece;
    dq_dtype dtype = matrix->weight->tensor->dtype;
    bool plain = dtype == DQ_F32 || dtype == DQ_F16 || dtype == DQ_BF16;
    if (plain || (gguf && dtype != DQ_F64)) {
        piece.form = DQ_FORM_BYTES;
        piece.dtype = dtype;
    }
    return piece;
}

static void add_vectors(dq_export_plan *plan, dq_export_report *report, const dq_dtype *dtype, bool gguf) {
    const dq_config *config = &plan->inventory->model->config;
    bool permuted = gguf && (config->family == DQ_LLAMA || config->family == DQ_MISTRAL);
    for (int i = 0; i < plan->inventory->vectors; i++) {
        const dq_vector *vector = &plan->inventory->vector[i];
        dq_piece piece = {.form = DQ_FORM_VECTOR, .dtype = dtype ? *dtype : vector->dtype, .vector = vector};
        if (permuted && vector->bias)
            piece.permuted_heads = vector->part == DQ_Q ? config->heads : vector->part == DQ_K ? config->kv_heads : 0;
        dq_plan_add(plan, report, &piece);
    }
}

/* ---- Directories --------------------------------------------------------------------------------------------------- */

/* The group under which MLX can hold the grid: the largest of its sizes that divides ours. */
static dlqat_status mlx_group(const dq_matrix *matrix, int64_t *group, dlqat_error *error) {
    char name[DQ_NAME_SIZE];
    dq_part_name(name, false, matrix->part, matrix->layer);
    if (matrix->bits == 7)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: MLX has no 7-bit layout (it has 2, 3, 4, 5, 6 and 8): use --format hf or gguf", name);
    for (*group = 128; *group >= 32; *group /= 2)
        if (matrix->group % *group == 0) return DLQAT_OK;
    return dq_fail(
        error, DLQAT_ERROR_UNSUPPORTED,
        "%s: MLX has groups of 32, 64 and 128 columns, and none of them divides this one's %lld: use --format "
        "hf or gguf",
        name, (long long)matrix->group);
}

static void add_grid(dq_export_plan *plan, dq_export_report *report, const dq_matrix *matrix, int64_t group) {
    dq_piece piece = {.form = DQ_FORM_CODES, .dtype = DQ_U32, .matrix = matrix, .group = group};
    dq_plan_add(plan, report, &piece);
    piece.dtype = matrix->scale_dtype;
    piece.form = DQ_FORM_SCALES;
    dq_plan_add(plan, report, &piece);
    piece.form = DQ_FORM_OFFSETS;
    dq_plan_add(plan, report, &piece);
}

dlqat_status dq_plan_directory(dq_export_plan *plan, dq_export_report *report, dlqat_error *error) {
    const dq_inventory *inventory = plan->inventory;
    const dq_export_options *options = plan->options;
    const dq_dtype bf16 = DQ_BF16;
    DQ_TRY(dq_plan_allocate(plan, error));
    for (int i = 0; i < inventory->matrices; i++) {
        const dq_matrix *matrix = &inventory->matrix[i];
        if (matrix->bits && options->format != DQ_EXPORT_HF) {
            int64_t group = matrix->group;
            if (options->format == DQ_EXPORT_MLX) DQ_TRY(mlx_group(matrix, &group, error));
            add_grid(plan, report, matrix, group);
            continue;
        }
        dq_piece piece = dq_plan_plain(matrix, false);
        if (options->bf16) {
            if (piece.dtype != DQ_BF16) piece.form = DQ_FORM_VALUES;
            piece.dtype = DQ_BF16;
        }
        dq_plan_add(plan, report, &piece);
    }
    add_vectors(plan, report, options->bf16 ? &bf16 : NULL, false);
    return DLQAT_OK;
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------------ */

static void note_f32(dq_export_report *report, const dq_matrix *matrix, const char *reason) {
    if (report->note[0]) return;
    char name[DQ_NAME_SIZE];
    dq_part_name(name, false, matrix->part, matrix->layer);
    snprintf(report->note, sizeof report->note, "%s goes as F32: %s", name, reason);
}

/* The blocks that may hold a grid of so many bits, the smaller first: without an offset Q4_0 and Q8_0, else d and m. */
static int candidates(int bits, dq_dtype types[2]) {
    int count = 0;
    if (bits == 4) types[count++] = DQ_Q4_0;
    if (bits == 8) types[count++] = DQ_Q8_0;
    if (bits <= 4) types[count++] = DQ_Q4_1;
    if (bits == 5) types[count++] = DQ_Q5_1;
    return count;
}

/* The first block type that gives W_hat back to the bit; else F32. */
static dlqat_status choose(const dq_export_plan *plan, const dq_matrix *matrix, dq_piece *piece,
                           dq_export_report *report, dlqat_error *error) {
    *piece = dq_plan_plain(matrix, true);
    if (!matrix->bits || piece->form == DQ_FORM_BYTES) return DLQAT_OK;
    if (matrix->group % DQ_BLOCK) {
        note_f32(report, matrix, "its group is not a multiple of 32, the block of GGUF");
        return DLQAT_OK;
    }
    dq_dtype types[2];
    int count = candidates(matrix->bits, types);
    for (int i = 0; i < count; i++) {
        dq_piece blocks = {.form = DQ_FORM_BLOCKS, .dtype = types[i], .matrix = matrix};
        bool holds;
        DQ_TRY(dq_piece_holds(&blocks, plan->options->threads, &holds, error));
        if (!holds) continue;
        *piece = blocks;
        return DLQAT_OK;
    }
    char reason[128];
    if (count == 0 || matrix->bits == 8)
        snprintf(reason, sizeof reason, "GGUF has no block of %d bits with an offset%s", matrix->bits,
                 matrix->bits == 8 ? " (--offset none fits Q8_0)" : "");
    else
        snprintf(reason, sizeof reason, "not every scale and offset is an f16 (--scale-dtype f16 makes them so)");
    note_f32(report, matrix, reason);
    return DLQAT_OK;
}

dlqat_status dq_plan_gguf(dq_export_plan *plan, dq_export_report *report, dlqat_error *error) {
    const dq_inventory *inventory = plan->inventory;
    const dq_config *config = &inventory->model->config;
    const dq_dtype f32 = DQ_F32;
    bool permuted = config->family == DQ_LLAMA || config->family == DQ_MISTRAL;
    DQ_TRY(dq_plan_allocate(plan, error));
    for (int i = 0; i < inventory->matrices; i++) {
        const dq_matrix *matrix = &inventory->matrix[i];
        dq_piece piece;
        DQ_TRY(choose(plan, matrix, &piece, report, error));
        if (permuted)
            piece.permuted_heads = matrix->part == DQ_Q ? config->heads : matrix->part == DQ_K ? config->kv_heads : 0;
        dq_plan_add(plan, report, &piece);
    }
    add_vectors(plan, report, &f32, true);
    return DLQAT_OK;
}
