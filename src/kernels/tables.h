/* Products with weights of few bits by tables: which weights. How, and why it is faster than a product of f32, stands in
 * vector/tables.c. */
#ifndef DQ_KERNELS_TABLES_H
#define DQ_KERNELS_TABLES_H

#include "kernels/kernels.h"

enum {
    DQ_TABLES_RUN = 64,         /* columns that have one scale and offset */
    DQ_TABLES_PLANES = 4,       /* bits of a code at most */
    DQ_TABLES_WIDEST = 1 << 20, /* columns: the runs of a row fit the workspace */
};

/* Whether the product of this weight can go by tables at all: codes of known few bits, a byte each, and f32 scales of whole runs. */
static inline bool dq_tables_admit(const dq_coded *w) {
    return w->coding == DQ_CODING_BITS && w->bits == 8 && w->code_bits > 0 && w->code_bits <= DQ_TABLES_PLANES &&
           w->group % DQ_TABLES_RUN == 0 && w->in <= DQ_TABLES_WIDEST && w->scale_type == DQ_SCALE_F32 &&
           !w->head_rows;
}

#endif
