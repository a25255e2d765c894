/* One tensor of a file to be written: which part of the model, in which form. Rows are made a few at a time, so that the
 * model never lies in memory as a whole. */
#ifndef DQ_EXPORT_PIECE_H
#define DQ_EXPORT_PIECE_H

#include "export/inventory.h"

typedef enum dq_form {
    DQ_FORM_CODES,   /* packed codes of a grid, U32 */
    DQ_FORM_SCALES,  /* S */
    DQ_FORM_OFFSETS, /* O */
    DQ_FORM_BLOCKS,  /* a grid in GGUF's blocks */
    DQ_FORM_VALUES,  /* W_hat, rounded to dtype where dtype does not hold it */
    DQ_FORM_BYTES,   /* as the source file holds it */
    DQ_FORM_VECTOR
} dq_form;

typedef struct dq_piece {
    dq_form form;
    dq_dtype dtype;
    const dq_matrix *matrix;
    const dq_vector *vector; /* DQ_FORM_VECTOR */
    int64_t group;           /* scales and offsets: columns that share them in the file; divides the matrix's group */
    int permuted_heads;      /* > 0: rows go in GGUF's llama order of that many heads */
} dq_piece;

/* Returns the number of dimensions. */
int dq_piece_shape(const dq_piece *piece, int64_t shape[2]);
uint64_t dq_piece_bytes(const dq_piece *piece);

typedef dlqat_status dq_put_fn(void *writer, const void *bytes, size_t size, dlqat_error *error);
/* Makes all rows, in order, and hands them on. */
dlqat_status dq_piece_write(const dq_piece *piece, int threads, dq_put_fn *put, void *writer, dlqat_error *error);

/* Of a piece in blocks: whether they give W_hat back bit for bit. */
dlqat_status dq_piece_holds(const dq_piece *piece, int threads, bool *holds, dlqat_error *error);

#endif
