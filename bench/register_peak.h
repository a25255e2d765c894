/* What the arithmetic units give at the most: a loop of fused multiply-adds that touches no memory. */
#ifndef DQ_BENCH_REGISTER_PEAK_H
#define DQ_BENCH_REGISTER_PEAK_H

/* f32 operations per second of so many threads together, in the instruction set of a kernel variant ("avx2", ..). */
double register_peak(const char *variant, int threads);

#endif
