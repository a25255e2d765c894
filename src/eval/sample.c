#include "eval/sample.h"

#include "base/arena.h"
#include "base/random.h"

#include <math.h>

dlqat_status dq_sampler_open(dq_sampler *sampler, const dq_sampling *how, int64_t vocabulary, dlqat_error *error) {
    *sampler = (dq_sampler){.how = *how, .vocabulary = vocabulary};
    sampler->weight = dq_alloc((size_t)vocabulary, sizeof *sampler->weight + sizeof *sampler->heap,
                               "the probabilities of the next token", error);
    if (!sampler->weight) return DLQAT_ERROR_MEMORY;
    sampler->heap = (int32_t *)(void *)(sampler->weight + vocabulary);
    return DLQAT_OK;
}

void dq_sampler_close(dq_sampler *sampler) {
    dq_free(sampler->weight);
    *sampler = (dq_sampler){0};
}

static int32_t likeliest(const float *logits, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

/* A heap of ids with the likeliest on top: the first few in order cost little, however large the vocabulary. */
static bool before(const float *logits, int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void sift(int32_t *heap, int64_t size, const float *logits, int64_t at) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size) return;
        if (child + 1 < size && before(logits, heap[child + 1], heap[child])) child++;
        if (!before(logits, heap[child], heap[at])) return;
        int32_t t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
        at = child;
    }
}

/* The ids popped so far, likeliest first, lie at the end of the array, the first one last. */
static int32_t pop(int32_t *heap, int64_t size, const float *logits) {
    int32_t top = heap[0];
    heap[0] = heap[size - 1];
    heap[size - 1] = top;
    sift(heap, size - 1, logits, 0);
    return top;
}

int32_t dq_sampler_draw(dq_sampler *sampler, const float *logits, uint64_t index) {
    const dq_sampling *how = &sampler->how;
    int64_t V = sampler->vocabulary, kept = how->top_k > 0 && how->top_k < V ? how->top_k : V;
    int32_t best = likeliest(logits, V);
    if (how->temperature <= 0 || kept == 1) return best;

    double total = 0, *weight = sampler->weight;
    for (int64_t i = 0; i < V; i++) total += weight[i] = exp(((double)logits[i] - logits[best]) / how->temperature);
    double u = dq_random_uniform(how->seed, DQ_STREAM_SAMPLE, 0, index);
    int32_t last = best;

    if (kept == V && how->top_p >= 1) { /* all of them: no order is needed */
        double sum = 0;
        for (int32_t i = 0; i < V; i++) {
            if (weight[i] == 0) continue;
            last = i;
            if ((sum += weight[i]) > u * total) break;
        }
        return last;
    }

    int32_t *heap = sampler->heap;
    for (int32_t i = 0; i < V; i++) heap[i] = i;
    for (int64_t i = V / 2; i-- > 0;) sift(heap, V, logits, i);
    if (kept < V) { /* top_p is a share of what top_k leaves */
        total = 0;
        for (int64_t i = 0; i < kept; i++) total += weight[pop(heap, V - i, logits)];
    }
    double nucleus = 0;
    int64_t size = 0;
    while (size < kept) {
        int32_t id = kept < V ? heap[V - 1 - size] : pop(heap, V - size, logits);
        nucleus += weight[id];
        size++;
        if (nucleus >= how->top_p * total) break;
    }
    double sum = 0;
    for (int64_t i = 0; i < size; i++) {
        last = heap[V - 1 - i];
        if ((sum += weight[last]) > u * nucleus) break;
    }
    return last;
}
