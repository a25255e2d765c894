/* The memory plan of a training run: what it will take, item by item, before anything is allocated; and the two decisions
 * that follow from it. The trainer makes the same plan that `dlqat info` shows. */
#ifndef DQ_TRAIN_PLAN_H
#define DQ_TRAIN_PLAN_H

#include "kernels/kernels.h"
#include "train/feed.h"
#include "train/quantizer_set.h"

typedef struct dq_plan {
    /* Decisions. The options --resident-weights and --checkpoint-activations settle them; on auto the fastest of
     *     resident  ->  resident, checkpoint  ->  neither  ->  checkpoint
     * that stays within DQ_PLAN_SHARE of the available memory is taken, or the last one where none does. */
    bool resident;   /* W_hat of every linear is kept, as codes, from step to step */
    bool checkpoint; /* of each block its input alone is kept; the backward recomputes the rest */
    bool fits;       /* total is within the available memory (true where the system does not say how much that is) */

    int64_t at_once;  /* tokens that go through the model at one time, at most; 0: whole micro-batches */
    int64_t capacity; /* tokens of the largest piece that there can be */
    int64_t keys;     /* its keys, where prefixes are shared, else 0 */
    int threads;

    /* Bytes. */
    size_t weights; /* of the frozen weights, as the file holds them; mapped: the system can drop and read them again */
    size_t base;    /* of those that are encoded in memory instead */
    size_t what;    /* W_hat as it is kept, if resident */
    size_t parameters;  /* trainable numbers, f32 */
    size_t optimizer;   /* their gradients and moments */
    size_t activations; /* the pass: activations, what the backward needs, a tile of weights */
    size_t logits;      /* one chunk of them */
    size_t scratch;     /* of the quantizers' backward */
    size_t workspace;   /* of the kernels */
    size_t batch;       /* ids, positions and labels of a piece */
    size_t program;     /* what the process holds already: tokenizer, rows, the program's own */
    size_t total;
    uint64_t available; /* before the run, besides `program`; 0: unknown */
} dq_plan;

/* What a plan is made within, in bytes. */
typedef struct dq_plan_memory {
    uint64_t available; /* 0: unknown */
    uint64_t taken;     /* by the process already */
} dq_plan_memory;

/* --tokens-at-once auto: no fewer than this. */
#define DQ_PLAN_TOKENS 512
/* An automatic decision leaves room for the system's own caches and for other programs. */
#define DQ_PLAN_SHARE 0.6

/* sizes: at most batch_size * max_length and max_length. options: of train, compare or info. Opens nothing and allocates nothing
 * that lasts. */
dlqat_status dq_plan_make(dq_plan *plan, dq_model *model, const dlqat_options *options, const dq_feed_sizes *sizes,
                          const dq_compute *compute, dlqat_error *error);
/* The same on a machine that has so much memory. */
dlqat_status dq_plan_within(dq_plan *plan, dq_model *model, const dlqat_options *options, const dq_feed_sizes *sizes,
                            const dq_compute *compute, const dq_plan_memory *memory, dlqat_error *error);

/* Bytes of a weight in its file. */
size_t dq_plan_weight_bytes(const dq_weight *weight);

#endif
