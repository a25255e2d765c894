/* A GGUF file for llama.cpp and whoever else reads it. */
#include "export/export_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* general.file_type: what most of the linears are. Only a label; every tensor says its own type. */
static uint32_t file_type(const dq_export_plan *plan) {
    static const struct {
        dq_dtype dtype;
        uint32_t number;
    } types[] = {{DQ_F32, 0},   {DQ_F16, 1},   {DQ_Q4_0, 2},  {DQ_Q4_1, 3},  {DQ_Q8_0, 7},  {DQ_Q5_0, 8}, {DQ_Q5_1, 9},
                 {DQ_Q2_K, 10}, {DQ_Q3_K, 12}, {DQ_Q4_K, 15}, {DQ_Q5_K, 17}, {DQ_Q6_K, 18}, {DQ_BF16, 32}};
    int count[DQ_DTYPE_COUNT] = {0};
    size_t best = 0;
    for (int i = 0; i < plan->pieces; i++)
        if (plan->piece[i].matrix && plan->piece[i].matrix->part < DQ_LINEARS_PER_LAYER) count[plan->piece[i].dtype]++;
    for (size_t i = 1; i < sizeof types / sizeof types[0]; i++)
        if (count[types[i].dtype] > count[types[best].dtype]) best = i;
    return types[best].number;
}

/* The last part of the model's path; a run's model/ is named after the run. */
static void model_name(const char *path, char name[128]) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    if (end > 6 && !strncmp(path + end - 6, "/model", 6)) end -= 6;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    if (end - begin > 5 && !strncmp(path + end - 5, ".gguf", 5)) end -= 5;
    snprintf(name, 128, "%.*s", (int)(end - begin < 127 ? end - begin : 127), path + begin);
}

static dlqat_status set_pairs(const dq_export_plan *plan, dq_gguf_writer *writer, dlqat_error *error) {
    const dq_model *model = plan->inventory->model;
    char name[128];
    model_name(model->path, name);
    dq_config_to_gguf(&model->config, writer);
    if (name[0] && name[0] != '.') dq_gguf_set_string(writer, "general.name", name);
    dq_gguf_set_u32(writer, "general.file_type", file_type(plan));
    dq_gguf_set_u32(writer, "general.quantization_version", 2);
    if (!model->tokenizer) return DLQAT_OK;
    return dq_tokenizer_save_gguf(model->tokenizer, writer, model->config.vocabulary, error);
}

static dlqat_status declare(const dq_export_plan *plan, dq_gguf_writer *writer, const dq_piece *factors,
                            dlqat_error *error) {
    int64_t shape[2];
    if (factors) {
        int dimensions = dq_piece_shape(factors, shape);
        DQ_TRY(
            dq_gguf_declare(writer, "rope_freqs.weight", DQ_F32, dimensions, shape, (void *)(uintptr_t)factors, error));
    }
    for (int i = 0; i < plan->pieces; i++) {
        dq_piece *piece = &plan->piece[i];
        char module[DQ_NAME_SIZE], name[DQ_NAME_SIZE + 16];
        int dimensions = dq_piece_shape(piece, shape);
        const dq_vector *vector = piece->vector;
        dq_part_name(module, true, vector ? vector->part : piece->matrix->part,
                     vector ? vector->layer : piece->matrix->layer);
        snprintf(name, sizeof name, "%s.%s", module, vector && vector->bias ? "bias" : "weight");
        DQ_TRY(dq_gguf_declare(writer, name, piece->dtype, dimensions, shape, piece, error));
    }
    return DLQAT_OK;
}

static dlqat_status put(void *writer, const void *bytes, size_t size, dlqat_error *error) {
    return dq_gguf_put(writer, bytes, size, error);
}

static dlqat_status write_pieces(const dq_export_plan *plan, dq_gguf_writer *writer, const dq_piece *factors,
                                 dlqat_error *error) {
    DQ_TRY(set_pairs(plan, writer, error));
    DQ_TRY(declare(plan, writer, factors, error));
    for (;;) {
        const dq_tensor *tensor;
        void *piece;
        DQ_TRY(dq_gguf_next(writer, &tensor, &piece, error));
        if (!tensor) return DLQAT_OK;
        DQ_TRY(dq_piece_write(piece, plan->options->threads, put, writer, error));
    }
}

dlqat_status dq_write_gguf(const dq_export_plan *plan, const char *path, dlqat_error *error) {
    const dq_config *config = &plan->inventory->model->config;
    /* llama3's scaling of the frequencies lies in the file as a tensor. */
    int64_t half = config->head_width / 2;
    float *values = dq_alloc((size_t)half, sizeof *values, "rope factors", error);
    if (!values) return DLQAT_ERROR_MEMORY;
    dq_vector vector = {.values = values, .n = half, .dtype = DQ_F32};
    dq_piece piece = {.form = DQ_FORM_VECTOR, .dtype = DQ_F32, .vector = &vector};
    const dq_piece *factors = config->rope == DQ_ROPE_LLAMA3 && dq_config_rope_factors(config, values) ? &piece : NULL;
    dq_gguf_writer *writer;
    dlqat_status status = dq_gguf_create(&writer, path, error);
    if (status == DLQAT_OK) {
        status = write_pieces(plan, writer, factors, error);
        if (status == DLQAT_OK)
            status = dq_gguf_finish(writer, error);
        else
            dq_gguf_abandon(writer);
    }
    dq_free(values);
    return status;
}
