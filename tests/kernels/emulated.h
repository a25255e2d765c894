/* The vector kernels compiled over primitives in plain C, on any machine: "plain16" is what AVX-512 does, "plain16dots"
 * and "plain16tiles" have the bf16 products of avx512bf16 and amx. */
#ifndef DQ_TESTS_KERNELS_EMULATED_H
#define DQ_TESTS_KERNELS_EMULATED_H

#include "kernels/kernels.h"

/* Every variant of the library, then the emulated ones. NULL: no more. usable as of dq_kernels_at. */
const dq_kernels *kernels_to_test(size_t index, bool *usable);

#endif
