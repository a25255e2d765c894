/* A Hugging Face directory: model.safetensors, config.json, and what lies beside them. */
#include "base/file.h"
#include "export/export_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- config.json ----------------------------------------------------------------------------------------------------- */

/* The codes of a matrix, if that is how it is written. */
static const dq_piece *find_codes(const dq_export_plan *plan, const dq_matrix *matrix) {
    for (int i = 0; i < plan->pieces; i++)
        if (plan->piece[i].matrix == matrix && plan->piece[i].form == DQ_FORM_CODES) return &plan->piece[i];
    return NULL;
}

/* One group per output channel is -1, unless it is a group that MLX knows. */
static int64_t group_number(const dq_piece *codes) {
    int64_t group = codes->group;
    bool mlx = group == 32 || group == 64 || group == 128;
    return group == codes->matrix->weight->in && !mlx ? -1 : group;
}

/* {"group_size", "bits", "mode", and for every module that differs its own numbers, or false where it is not quantized}. mlx-lm
 * looks a module up by its path first, and else takes what has scales for quantized. */
static json_t *quantization_json(const dq_export_plan *plan) {
    const dq_inventory *inventory = plan->inventory;
    const dq_piece *common = NULL;
    for (int i = 0; i < inventory->matrices && !common; i++) common = find_codes(plan, &inventory->matrix[i]);
    if (!common) return json_null();
    int64_t group = group_number(common);
    int bits = common->matrix->bits;
    json_t *json = json_pack("{s:I, s:i, s:s}", "group_size", (json_int_t)group, "bits", bits, "mode", "affine");
    for (int i = 0; i < inventory->matrices && json; i++) {
        const dq_matrix *matrix = &inventory->matrix[i];
        const dq_piece *codes = find_codes(plan, matrix);
        if (codes && group_number(codes) == group && matrix->bits == bits) continue;
        char name[DQ_NAME_SIZE];
        dq_part_name(name, false, matrix->part, matrix->layer);
        json_t *own = codes
                          ? json_pack("{s:I, s:i}", "group_size", (json_int_t)group_number(codes), "bits", matrix->bits)
                          : json_false();
        if (json_object_set_new(json, name, own) != 0) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

/* transformers' name of the type in which the weights are to be computed with. */
static const char *dtype_name(const dq_export_plan *plan) {
    dq_dtype dtype = DQ_DTYPE_COUNT;
    for (int i = 0; i < plan->pieces; i++) {
        const dq_piece *piece = &plan->piece[i];
        if (!piece->matrix || piece->form == DQ_FORM_CODES) continue;
        if (dtype != DQ_DTYPE_COUNT && piece->dtype != dtype) return "float32";
        dtype = piece->dtype;
    }
    return dtype == DQ_F16 ? "float16" : dtype == DQ_BF16 ? "bfloat16" : "float32";
}

/* What mlx-lm needs beyond what transformers does: keys that the source leaves to its family's defaults (mlx-lm has others), and
 * the older spelling of RoPE. */
static int complete_for_mlx(json_t *json, const dq_config *config, const char *dtype) {
    json_t *whole = dq_config_to_json(config, dtype);
    int failed = !whole || json_object_update_missing(json, whole);
    if (!failed) {
        failed |= json_object_set(json, "rope_theta", json_object_get(whole, "rope_theta"));
        failed |= json_object_set(json, "rope_scaling", json_object_get(whole, "rope_scaling"));
    }
    json_decref(whole);
    /* It does not load a mistral all of whose layers are listed as windowed; that they are is said by sliding_window. */
    if (config->family == DQ_MISTRAL) json_object_del(json, "layer_types");
    return failed;
}

/* The source's own config.json where there is one, since it may say what this program has no use for. */
static json_t *config_json(const dq_export_plan *plan) {
    const dq_model *model = plan->inventory->model;
    const char *dtype = dtype_name(plan);
    json_t *json = model->config_json ? json_deep_copy(model->config_json) : dq_config_to_json(&model->config, dtype);
    json_t *quantization = quantization_json(plan);
    int failed = !json || !quantization;
    if (!failed) {
        json_object_del(json, "quantization");
        json_object_del(json, "quantization_config");
        if (!json_is_null(quantization)) {
            failed |= json_object_set(json, "quantization", quantization);
            failed |= json_object_set(json, "quantization_config", quantization);
        }
        const char *key = json_object_get(json, "dtype") ? "dtype" : "torch_dtype";
        failed |= json_object_set_new(json, key, json_string(dtype));
        if (plan->options->format != DQ_EXPORT_HF) failed |= complete_for_mlx(json, &model->config, dtype);
    }
    json_decref(quantization);
    if (!failed) return json;
    json_decref(json);
    return NULL;
}

static dlqat_status write_config(const dq_export_plan *plan, const char *directory, dlqat_error *error) {
    char *path = dq_path_join(directory, "config.json");
    json_t *json = path ? config_json(plan) : NULL;
    dlqat_status status = json ? dq_json_save(json, path, error)
                               : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for config.json", directory);
    json_decref(json);
    free(path);
    return status;
}

/* ---- model.safetensors ------------------------------------------------------------------------------------------------- */

static const char *suffix(const dq_piece *piece) {
    switch (piece->form) {
    case DQ_FORM_SCALES:
        return "scales";
    case DQ_FORM_OFFSETS:
        return "biases";
    case DQ_FORM_VECTOR:
        return piece->vector->bias ? "bias" : "weight";
    default:
        return "weight";
    }
}

static dlqat_status declare(const dq_export_plan *plan, dq_safetensors_writer *writer, dlqat_error *error) {
    for (int i = 0; i < plan->pieces; i++) {
        dq_piece *piece = &plan->piece[i];
        char module[DQ_NAME_SIZE], name[DQ_NAME_SIZE + 16];
        int64_t shape[2];
        int dimensions = dq_piece_shape(piece, shape);
        if (piece->vector)
            dq_part_name(module, false, piece->vector->part, piece->vector->layer);
        else
            dq_part_name(module, false, piece->matrix->part, piece->matrix->layer);
        snprintf(name, sizeof name, "%s.%s", module, suffix(piece));
        DQ_TRY(dq_safetensors_declare(writer, name, piece->dtype, dimensions, shape, piece, error));
    }
    return DLQAT_OK;
}

static dlqat_status put(void *writer, const void *bytes, size_t size, dlqat_error *error) {
    return dq_safetensors_put(writer, bytes, size, error);
}

static dlqat_status write_pieces(const dq_export_plan *plan, dq_safetensors_writer *writer, dlqat_error *error) {
    DQ_TRY(declare(plan, writer, error));
    for (;;) {
        const dq_tensor *tensor;
        void *piece;
        DQ_TRY(dq_safetensors_next(writer, &tensor, &piece, error));
        if (!tensor) return DLQAT_OK;
        DQ_TRY(dq_piece_write(piece, plan->options->threads, put, writer, error));
    }
}

static dlqat_status write_weights(const dq_export_plan *plan, const char *directory, dlqat_error *error) {
    char *path = dq_path_join(directory, "model.safetensors");
    if (!path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", directory);
    dq_safetensors_writer *writer;
    dlqat_status status = dq_safetensors_create(&writer, path, error);
    free(path);
    if (status != DLQAT_OK) return status;
    /* transformers refuses a file that does not say where it comes from. */
    dq_safetensors_set_metadata(writer, "format", plan->options->format == DQ_EXPORT_HF ? "pt" : "mlx");
    status = write_pieces(plan, writer, error);
    if (status == DLQAT_OK) return dq_safetensors_finish(writer, error);
    dq_safetensors_abandon(writer);
    return status;
}

dlqat_status dq_write_directory(const dq_export_plan *plan, const char *directory, dlqat_error *error) {
    DQ_TRY(write_weights(plan, directory, error));
    DQ_TRY(write_config(plan, directory, error));
    return dq_write_companions(plan->inventory->model, directory, error);
}
