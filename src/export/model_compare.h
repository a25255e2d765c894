/* Whether two models are the same: their weights as the passes multiply with them. */
#ifndef DQ_EXPORT_MODEL_COMPARE_H
#define DQ_EXPORT_MODEL_COMPARE_H

#include "export/inventory.h"

typedef struct dq_comparison {
    double
        max_abs_dw; /* over all linears, the embedding and the head; infinite where one has a NaN and the other has not */
    bool exact;     /* every weight, norm and bias is equal; NaN equals NaN */
    char where[DQ_NAME_SIZE]; /* the tensor with the largest difference; "" where exact */
    char hash_a[33], hash_b[33];
} dq_comparison;

/* Both must be of the same shapes, else ERROR_INPUT naming the tensor. */
dlqat_status dq_compare(const dq_inventory *a, const dq_inventory *b, int threads, dq_comparison *result,
                        dlqat_error *error);

/* XXH3-128 (hex, 32 digits) of W_hat of every linear in dq_model_linear's order, as f32 rows, little-endian, in Hugging Face's
 * order of rows. -0 counts as +0: Q4_0 and its like have both, an affine grid has one. The same as dq_quantizer_set_hash. */
dlqat_status dq_inventory_hash(const dq_inventory *inventory, int threads, char hash[33], dlqat_error *error);

#endif
