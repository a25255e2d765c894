/* The vector kernels compiled over the primitives in plain C, 16 wide: what AVX-512 does, on any machine. */
#ifndef DQ_TESTS_KERNELS_EMULATED_H
#define DQ_TESTS_KERNELS_EMULATED_H

#include "kernels/kernels.h"

const dq_kernels *dq_kernels_emulated(void);

#endif
