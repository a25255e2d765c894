/* The recipe table: every method as one value on each of a few axes, and its defaults.
 *
 * To add a method, add a row to recipes[] in recipe.c; at most one axis gains a value, with its code where that axis is
 * decided (range and start: grid.c; adapter and magnitude: quantizer.c; clip mask: kernels/fakequant.c). */
#ifndef DQ_QUANT_RECIPE_H
#define DQ_QUANT_RECIPE_H

#include "base/error.h"
#include "kernels/fakequant.h"

typedef enum dq_adapter {
    DQ_ADAPTER_NONE,
    DQ_ADAPTER_LORA,  /* V = W0 + c B A, inside the rounding */
    DQ_ADAPTER_POOLED /* QA-LoRA: A acts on group-pooled inputs, so (c/g) B A is added to O; W0 is rounded */
} dq_adapter;

typedef enum dq_range {
    DQ_RANGE_MINMAX,  /* s, b from the least and greatest V of the group, anew whenever V changes; detached */
    DQ_RANGE_FIXED,   /* trained in phase 1, then frozen */
    DQ_RANGE_ADAPTIVE /* trained throughout */
} dq_range;

/* How s and b begin, from W0 (DL-QAT's initialisation; L4Q's Eq 15). */
typedef enum dq_start {
    DQ_START_MINMAX, /* s = (Max - Min)/(2^n - 1), b so that Min -> Qn and Max -> Qp */
    DQ_START_L4Q     /* s = max(|Min/Qn|, |Max/Qp|), b = 0 */
} dq_start;

typedef enum dq_offset {
    DQ_OFFSET_FLOAT,
    DQ_OFFSET_NONE /* b = 0, not trained; s starts as L4Q's; O = Qn S exactly */
} dq_offset;

/* What A is before the first step. B is 0. */
typedef enum dq_adapter_init {
    DQ_INIT_GAUSSIAN, /* N(0, 1/r^2) */
    DQ_INIT_KAIMING,  /* uniform, bound 1/sqrt(columns of A): kaiming_uniform with a = sqrt(5) */
    DQ_INIT_XAVIER    /* uniform, bound sqrt(6/(columns + rows of A)) */
} dq_adapter_init;

/* Learning-rate schedule over the whole run. */
typedef enum dq_schedule_kind { DQ_SCHEDULE_CONSTANT, DQ_SCHEDULE_COSINE, DQ_SCHEDULE_LINEAR } dq_schedule_kind;

typedef struct dq_recipe {
    const char *name, *paper, *summary;
    dq_adapter adapter;
    dq_range range;
    dq_start start;
    dq_clip_mask mask;
    dq_offset offset;
    bool magnitude; /* m, one per group, trained in phase 2 */
    bool phase1;    /* begins with a phase that trains s and b alone */
    bool trains;    /* false: made by `quantize`, nothing to train */
    /* Defaults of the paper, each replaced by the option of that name. */
    dq_adapter_init init;
    int rank;
    double alpha; /* c = alpha / rank; 0: automatic, c = 1 (pooled: c = g) */
    double learning_rate, weight_decay, warmup_ratio, max_grad_norm;
    dq_schedule_kind schedule;
} dq_recipe;

/* at(0) .. at(count - 1) */
size_t dq_recipe_count(void);
const dq_recipe *dq_recipe_at(size_t index);
/* ERROR_USAGE listing the names when there is none of that name. */
dlqat_status dq_recipe_find(const char *name, const dq_recipe **recipe, dlqat_error *error);

/* What is trained in a phase (1 or 2). */
typedef struct dq_trained {
    bool grid, magnitude, adapter;
} dq_trained;
dq_trained dq_recipe_trained(const dq_recipe *recipe, int phase);
/* Whether the axis values agree with one another (a pooled adapter with a range that follows V, ..). */
dlqat_status dq_recipe_check(const dq_recipe *recipe, dlqat_error *error);

/* The words of the axes in options and files, in the order of the enums: "a|b|c". */
extern const char dq_range_words[], dq_start_words[], dq_offset_words[], dq_mask_words[], dq_init_words[],
    dq_schedule_words[];
/* -1 when the word is none of them. */
int dq_word_index(const char *words, const char *word);
/* The index-th word, in a buffer of the caller. */
const char *dq_word_at(const char *words, int index, char buffer[32]);

#endif
