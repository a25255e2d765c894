/* The one source of randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). Counter-based: a number depends on (seed, stream, index) alone, so any thread can draw any of
 * them and a run resumes without saved generator state. */
#ifndef DQ_BASE_RANDOM_H
#define DQ_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Streams: one per use, so that no two uses see the same numbers. The low 32 bits are free for the user. */
typedef enum dq_random_stream {
    DQ_STREAM_ADAPTER = 1, /* low bits: index of the linear */
    DQ_STREAM_SHUFFLE = 2, /* low bits: epoch */
    DQ_STREAM_SPLIT = 3,
    DQ_STREAM_SAMPLE = 4 /* generation */
} dq_random_stream;

/* Four words of the block (seed, stream, detail, index). */
void dq_random_block(uint64_t seed, dq_random_stream stream, uint32_t detail, uint64_t index, uint32_t out[4]);
/* Uniform in [0, 1): 53 bits of block `index`. */
double dq_random_uniform(uint64_t seed, dq_random_stream stream, uint32_t detail, uint64_t index);
/* x[i] = standard deviation * normal, for i in [0, count); Box-Muller on blocks 0, 1, .. of the stream. */
void dq_random_normal(uint64_t seed, dq_random_stream stream, uint32_t detail, float deviation, float *x, size_t count);
/* x[i] uniform in [low, high). */
void dq_random_fill(uint64_t seed, dq_random_stream stream, uint32_t detail, float low, float high, float *x,
                    size_t count);
/* order becomes a uniform permutation of 0 .. count-1 (Fisher-Yates). */
void dq_random_permutation(uint64_t seed, dq_random_stream stream, uint32_t detail, size_t *order, size_t count);

#endif
