/* What the arithmetic units give at the most: a loop of multiplications and additions that touches no memory. */
#ifndef DQ_BENCH_REGISTER_PEAK_H
#define DQ_BENCH_REGISTER_PEAK_H

#include <stdbool.h>

/* Operations per second of so many threads together, in the instruction set of a kernel variant ("avx2", ..); in_bf16: with
 * the instructions it has for products of bf16, if any. */
double register_peak(const char *variant, bool in_bf16, int threads);

#endif
