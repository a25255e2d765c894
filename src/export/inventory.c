#include "export/inventory.h"

#include "base/half.h"
#include "formats/blocks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The types of 32 weights a block that are grids, with what is to be known of them. */
typedef struct dq_block_grid {
    int bits;
    int zero; /* the code of 0 where O is -zero S; 0: O is stored */
} dq_block_grid;

static dq_block_grid block_grid(dq_dtype dtype) {
    switch (dtype) {
    case DQ_Q4_0:
        return (dq_block_grid){.bits = 4, .zero = 8};
    case DQ_Q4_1:
        return (dq_block_grid){.bits = 4};
    case DQ_Q5_0:
        return (dq_block_grid){.bits = 5, .zero = 16};
    case DQ_Q5_1:
        return (dq_block_grid){.bits = 5};
    case DQ_Q8_0:
        return (dq_block_grid){.bits = 8, .zero = 128};
    default:
        return (dq_block_grid){0};
    }
}

bool dq_dtype_is_grid(dq_dtype dtype) {
    return block_grid(dtype).bits != 0;
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------- */

const unsigned char *dq_matrix_row_bytes(const dq_matrix *matrix, int64_t row) {
    const dq_weight *weight = matrix->weight;
    size_t row_bytes = weight->tensor->bytes / (size_t)weight->out;
    if (weight->permuted_heads) row = dq_llama_row(weight->out, weight->permuted_heads, row);
    return (const unsigned char *)weight->tensor->data + (size_t)row * row_bytes;
}

/* Codes of one block: nibbles, and where there are five bits the fifth of each. */
static void nibbles(const uint8_t *packed, uint32_t high, uint8_t *codes) {
    for (int j = 0; j < DQ_BLOCK / 2; j++) {
        codes[j] = (uint8_t)((packed[j] & 15) | (high >> j & 1) << 4);
        codes[j + 16] = (uint8_t)(packed[j] >> 4 | (high >> (j + 16) & 1) << 4);
    }
}

static void block_codes(dq_dtype dtype, const unsigned char *block, uint8_t *codes) {
    union {
        dq_block_q4_0 q4_0;
        dq_block_q4_1 q4_1;
        dq_block_q5_0 q5_0;
        dq_block_q5_1 q5_1;
        dq_block_q8_0 q8_0;
    } b;
    memcpy(&b, block, (size_t)dq_dtype_info(dtype)->block_bytes);
    switch (dtype) {
    case DQ_Q4_0:
        nibbles(b.q4_0.codes, 0, codes);
        break;
    case DQ_Q4_1:
        nibbles(b.q4_1.codes, 0, codes);
        break;
    case DQ_Q5_0:
        nibbles(b.q5_0.codes, b.q5_0.high, codes);
        break;
    case DQ_Q5_1:
        nibbles(b.q5_1.codes, b.q5_1.high, codes);
        break;
    default:
        for (int j = 0; j < DQ_BLOCK; j++) codes[j] = (uint8_t)(b.q8_0.codes[j] + 128);
    }
}

/* S and O of one block. In every type d comes first, and m, where there is one, second. */
static void block_scale(dq_dtype dtype, const unsigned char *block, float *S, float *O) {
    uint16_t d, m;
    memcpy(&d, block, sizeof d);
    memcpy(&m, block + sizeof d, sizeof m);
    int zero = block_grid(dtype).zero;
    *S = dq_f16_to_f32(d);
    *O = zero ? (float)-zero * *S : dq_f16_to_f32(m);
}

static void block_row(const dq_matrix *matrix, int64_t row, uint8_t *codes, float *S, float *O) {
    dq_dtype dtype = matrix->weight->tensor->dtype;
    const unsigned char *block = dq_matrix_row_bytes(matrix, row);
    for (int64_t k = 0; k < matrix->weight->in / DQ_BLOCK; k++, block += dq_dtype_info(dtype)->block_bytes) {
        if (codes) block_codes(dtype, block, codes + k * DQ_BLOCK);
        if (S) block_scale(dtype, block, &S[k], &O[k]);
    }
}

void dq_matrix_row(const dq_matrix *matrix, int64_t row, uint8_t *codes, float *S, float *O, float *scratch) {
    const dq_weight *weight = matrix->weight;
    int64_t groups = weight->in / matrix->group;
    if (matrix->quantizer) {
        const dq_quantizer *q = matrix->quantizer;
        if (codes) dq_quantizer_codes(q, row, 1, codes, scratch);
        if (S) dq_quantizer_stored(q, row, 0, groups, S, O);
    } else if (weight->kind == DQ_WEIGHT_AFFINE) {
        const dq_affine *affine = &weight->affine;
        int64_t words = dq_affine_row_words(affine->in, affine->bits);
        if (codes) dq_unpack_codes(affine->codes + row * words, affine->in, affine->bits, codes);
        if (S) dq_affine_row_grid(affine, row, S, O);
    } else
        block_row(matrix, row, codes, S, O);
}

/* ---- The list ------------------------------------------------------------------------------------------------------ */

/* f16 holds d always, but -8 d and the like only up to 65504. */
static dq_dtype block_scale_dtype(const dq_tensor *tensor) {
    int zero = block_grid(tensor->dtype).zero;
    size_t size = (size_t)dq_dtype_info(tensor->dtype)->block_bytes;
    for (size_t at = 0; zero && at < tensor->bytes; at += size) {
        float S, O;
        block_scale(tensor->dtype, (const unsigned char *)tensor->data + at, &S, &O);
        if (fabsf(O) > 65504.0f) return DQ_F32;
    }
    return DQ_F16;
}

static dq_matrix describe(int part, int layer, const dq_weight *weight, const dq_quantizer *quantizer) {
    dq_matrix matrix = {.part = part, .layer = layer, .weight = weight, .quantizer = quantizer};
    if (quantizer) {
        matrix.bits = quantizer->grid.bits;
        matrix.group = quantizer->grid.group;
        matrix.scale_dtype = quantizer->grid.scale;
    } else if (weight->kind == DQ_WEIGHT_AFFINE) {
        matrix.bits = weight->affine.bits;
        matrix.group = weight->affine.group;
        matrix.scale_dtype = weight->affine.scale_dtype;
    } else if (weight->kind == DQ_WEIGHT_TENSOR && dq_dtype_is_grid(weight->tensor->dtype)) {
        matrix.bits = block_grid(weight->tensor->dtype).bits;
        matrix.group = DQ_BLOCK;
        matrix.scale_dtype = block_scale_dtype(weight->tensor);
    }
    return matrix;
}

static dq_dtype vector_dtype(const dq_model *model, int part, int layer, bool bias) {
    if (!model->safetensors) return DQ_F32;
    char module[DQ_NAME_SIZE], name[DQ_NAME_SIZE + 16];
    dq_part_name(module, false, part, layer);
    snprintf(name, sizeof name, "%s.%s", module, bias ? "bias" : "weight");
    const dq_tensor *tensor = dq_safetensors_find(model->safetensors, name);
    return tensor && (tensor->dtype == DQ_F16 || tensor->dtype == DQ_BF16) ? tensor->dtype : DQ_F32;
}

static void add_vector(dq_inventory *inventory, int part, int layer, bool bias, const float *values, int64_t n) {
    if (!values) return;
    inventory->vector[inventory->vectors++] = (dq_vector){
        .part = part,
        .layer = layer,
        .bias = bias,
        .values = values,
        .n = n,
        .dtype = vector_dtype(inventory->model, part, layer, bias),
    };
}

static void add_layer(dq_inventory *inventory, int l, const dq_quantizer_set *set) {
    const dq_config *config = &inventory->model->config;
    const dq_layer *layer = &inventory->model->layer[l];
    for (int k = 0; k < DQ_LINEARS_PER_LAYER; k++) {
        const dq_quantizer *quantizer = set ? &set->at[l * DQ_LINEARS_PER_LAYER + k] : NULL;
        if (quantizer && quantizer->out == 0) quantizer = NULL;
        const dq_linear *linear = &layer->linear[k];
        inventory->matrix[inventory->matrices++] = describe(k, l, &linear->active, quantizer);
        add_vector(inventory, k, l, true, linear->bias, linear->active.out);
    }
    add_vector(inventory, DQ_PART_INPUT_NORM, l, false, layer->input_norm, config->hidden);
    add_vector(inventory, DQ_PART_POST_NORM, l, false, layer->post_norm, config->hidden);
    add_vector(inventory, DQ_PART_Q_NORM, l, false, layer->q_norm, config->head_width);
    add_vector(inventory, DQ_PART_K_NORM, l, false, layer->k_norm, config->head_width);
}

dlqat_status dq_inventory_open(dq_inventory *inventory, dq_model *model, const dq_quantizer_set *set,
                               dlqat_error *error) {
    const dq_config *config = &model->config;
    size_t layers = (size_t)config->layers;
    memset(inventory, 0, sizeof *inventory);
    inventory->model = model;
    inventory->matrix = calloc(layers * DQ_LINEARS_PER_LAYER + 2, sizeof *inventory->matrix);
    inventory->vector = calloc(layers * (DQ_LINEARS_PER_LAYER + 4) + 1, sizeof *inventory->vector);
    if (!inventory->matrix || !inventory->vector) {
        dq_inventory_close(inventory);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the list of its tensors", model->path);
    }
    for (int l = 0; l < config->layers; l++) add_layer(inventory, l, set);
    inventory->linears = inventory->matrices;
    inventory->matrix[inventory->matrices++] = describe(DQ_PART_EMBEDDING, 0, &model->embedding, NULL);
    if (!config->tied) inventory->matrix[inventory->matrices++] = describe(DQ_PART_HEAD, 0, &model->head, NULL);
    add_vector(inventory, DQ_PART_FINAL_NORM, 0, false, model->final_norm, config->hidden);
    return DLQAT_OK;
}

void dq_inventory_close(dq_inventory *inventory) {
    free(inventory->matrix);
    free(inventory->vector);
    memset(inventory, 0, sizeof *inventory);
}

int64_t dq_inventory_width(const dq_inventory *inventory) {
    int64_t width = 1;
    for (int i = 0; i < inventory->matrices; i++)
        if (inventory->matrix[i].weight->in > width) width = inventory->matrix[i].weight->in;
    return width;
}
