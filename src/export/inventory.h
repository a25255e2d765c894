/* Everything that a model consists of, as one list: what an export writes and what a comparison walks.
 *
 * A matrix is its values, rows of f32, and, where they lie on one, the grid:
 *
 *   W_hat[i, j] = fl32( fl32( S[i, j/g] * u[i, j] ) + O[i, j/g] ),   u in [0, 2^bits - 1]
 *
 * The grid comes from a quantizer, from the affine layout of a file, or from GGUF's blocks of 32: of Q4_1 and Q5_1 as they are,
 * of Q4_0, Q5_0 and Q8_0 with O = -8 S, -16 S and -128 S. All of these give W_hat to the bit, except that a zero which the
 * latter three call -0 (S < 0) is +0 here. */
#ifndef DQ_EXPORT_INVENTORY_H
#define DQ_EXPORT_INVENTORY_H

#include "model/names.h"
#include "train/quantizer_set.h"

typedef struct dq_matrix {
    int part, layer;         /* model/names.h */
    const dq_weight *weight; /* the values, as the model multiplies with them */
    int bits;                /* 0: no grid */
    int64_t group;
    dq_dtype scale_dtype;          /* one that holds every S and O */
    const dq_quantizer *quantizer; /* where the grid comes from; NULL: from the weight itself */
} dq_matrix;

typedef struct dq_vector {
    int part, layer;
    bool bias; /* of the linear `part`; else the weight of a norm */
    const float *values;
    int64_t n;
    dq_dtype dtype; /* of the file that it came from, F32 where that is not known; holds every value */
} dq_vector;

typedef struct dq_inventory {
    dq_model *model;
    dq_matrix *matrix; /* the linears in dq_model_linear's order, then the embedding, then the head if it is not tied */
    int matrices, linears;
    dq_vector *vector;
    int vectors;
} dq_inventory;

/* set: the model's quantizers, or NULL for the model as its file holds it. Both must outlive the inventory. */
dlqat_status dq_inventory_open(dq_inventory *inventory, dq_model *model, const dq_quantizer_set *set,
                               dlqat_error *error);
void dq_inventory_close(dq_inventory *inventory);

/* One row of a matrix that has a grid. codes [in], S and O [in / group]; codes, or S and O, may be NULL. scratch [in].
 * Callable from several threads. */
void dq_matrix_row(const dq_matrix *matrix, int64_t row, uint8_t *codes, float *S, float *O, float *scratch);
/* The bytes of a row of a matrix that is a tensor of a file. */
const unsigned char *dq_matrix_row_bytes(const dq_matrix *matrix, int64_t row);
/* Widest row of all matrices. */
int64_t dq_inventory_width(const dq_inventory *inventory);
/* Whether the tensor holds a grid in blocks of 32. */
bool dq_dtype_is_grid(dq_dtype dtype);

#endif
