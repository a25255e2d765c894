/* The grid of a group: where s and b begin, what scales a file can store, and what is stored.
 *
 *   S = R(m s)    O = R(m (b + Qn s))  [+ the pooled adapter, inside R]      W_hat = fl(fl(S u) + O)
 *
 * R rounds to the type in which the file stores scales, to nearest even: f16, bf16, or f32 with a significand whose low n bits
 * are 0. (F64 is wider than what is computed, so R is the identity: for comparisons with oracles that store nothing.) Then S u is exact in f32 for every code u, so that a fused multiply-add gives the same W_hat. */
#ifndef DQ_QUANT_GRID_H
#define DQ_QUANT_GRID_H

#include "formats/tensor.h"
#include "quant/recipe.h"

typedef struct dq_grid {
    int bits;       /* n: 2 .. 8 */
    int64_t group;  /* columns that share s and b; divides the input width */
    dq_dtype scale; /* DQ_F16, DQ_BF16 or DQ_F32; DQ_F64 in tests */
    dq_offset offset;
} dq_grid;

/* ERROR_USAGE naming the tensor: group sizes that do not divide `in` (and those that do), bits out of range, and bf16 scales
 * above 5 bits, where their rounding moves weights by more than a third of a step. */
dlqat_status dq_grid_check(const dq_grid *grid, const char *tensor, int64_t in, dlqat_error *error);

/* R */
float dq_grid_round(const dq_grid *grid, float x);

/* s, b of one group of count weights, by the rule; false when a weight is not finite. A constant group (Max = Min) gets
 * s = 2^-14 and b = Max under minmax. */
bool dq_grid_start(const dq_grid *grid, dq_start rule, const float *weights, int64_t count, float *s, float *b);
/* The least s that may be used is 2^e, e this: the power of two next below s_start / 64, but a normal number of the scale type. A
 * byte for each group is all that it takes. */
int8_t dq_grid_floor_exponent(const dq_grid *grid, float s_start);
enum { DQ_GRID_NO_FLOOR = INT8_MIN }; /* -infinity: for comparisons with oracles that have none */
float dq_grid_floor(int8_t exponent);
/* S and O. pooled: (c/g) sum_k B_ik A_kg of a pooled adapter, else 0. */
void dq_grid_stored(const dq_grid *grid, float s, float b, float m, float pooled, float *S, float *O);

#endif
