/* What the processor and the system that runs it support. Asking twice gives the same answer. */
#ifndef DQ_KERNELS_PROCESSOR_H
#define DQ_KERNELS_PROCESSOR_H

#include <stdbool.h>

bool dq_have_avx2(void);
bool dq_have_avx512(void);
bool dq_have_avx512bf16(void);
/* Linux hands out the tile registers on request: asks for them, once and for all threads of the process. */
bool dq_have_amx(void);

#endif
