/* Every operation of the kernels table, with sizes to test and to measure, inputs, and what must come out in float64.
 * The tests and bench/bench_kernels.c walk the same table. */
#ifndef DQ_TESTS_KERNELS_OPERATIONS_H
#define DQ_TESTS_KERNELS_OPERATIONS_H

#include "kernels/kernels.h"

enum { SIZES = 8, SLOTS = 10 };

/* One array of an operation. It ends where an unreadable page begins, so that reading or writing beyond it crashes. */
typedef struct slot {
    float *x;     /* what the operation works on */
    double *wide; /* instead of x: a result in f64 */
    float *fresh; /* x as it was before the operation */
    int64_t n;
    double *want, *allowed; /* of a result: its value in f64, and how far from it rounding may lead; else NULL */
} slot;

typedef struct trial {
    const struct operation *operation;
    const int64_t *size;
    int variation;
    slot slots[SLOTS];
    int32_t *index; /* labels, positions or row starts */
    int64_t indices;
    const dq_kernels *ran; /* the kernels that ran last */
} trial;

typedef struct operation {
    const char *name;
    const int64_t (*tests)[SIZES];
    const int64_t (*benches)[SIZES];
    int test_count, bench_count;
    int variations;
    void (*prepare)(trial *t);
    void (*run)(trial *t, const dq_compute *compute);
    void (*expect)(trial *t);
    double (*flops)(const trial *t);
    bool (*in_bf16)(const trial *t); /* its products; NULL: no */
    double (*bytes)(const trial *t); /* that must pass to and from memory at least */
    bool by_bytes;                   /* limited by memory: bytes/s is the figure to print */
    size_t entry;                    /* where in dq_kernels its function is */
} operation;

extern const operation gemm_operation, gemm_packed_operation, attention_forward_operation, attention_backward_operation;
extern const operation coded_multiply_operation, coded_rows_operation, tables_multiply_operation, sampled_operation;
extern const operation row_operations[], fakequant_operations[];
extern const int row_operation_count, fakequant_operation_count;

int operation_count(void);
const operation *operation_at(int index);

/* NULL: no memory. */
trial *trial_open(const operation *o, const int64_t *size, int variation);
void trial_close(trial *t);
/* The inputs as they were, and nothing left that other kernels made; then the operation. */
void trial_run(trial *t, const dq_compute *compute);
/* The largest |got - want| / allowed over all results (allowed 0: any difference is infinite), NaN only where wanted. */
double trial_worst(const trial *t, char *where, size_t where_size);
/* A hash of all results' bits. */
uint64_t trial_bits(const trial *t);
/* "m 900 n 1536 .." : the sizes as numbers. */
void trial_label(const trial *t, char *label, size_t size);

/* For prepare: an array of n values, uniform in [low, high); a result array is also given want and allowed. */
void slot_values(trial *t, int which, int64_t n, float low, float high);
/* An array for values that do not count. */
void slot_room(trial *t, int which, int64_t n);
void slot_result(trial *t, int which);
void slot_wide_result(trial *t, int which, int64_t n);
void slot_indices(trial *t, int64_t n);
/* For run: an array for what is made of the inputs beforehand. True: it is empty, these kernels have not run the trial yet. */
bool slot_to_make(trial *t, const dq_kernels *kernels, int which, int64_t n);
double slot_value(const slot *s, int64_t i);
/* A number in [0, below) that depends on the trial and on which. */
int64_t trial_pick(const trial *t, int64_t which, int64_t below);

/* Unit roundoff of f32. */
#define UNIT 0x1p-24
/* Rounding errors of a sum of n terms, in units of the sum of the absolute terms: they behave as a random walk, so
 * lambda sqrt(n) with lambda = 4 holds for millions of sums (Higham and Mary, "A new approach to probabilistic rounding
 * error analysis", 2019); n bounds it too. */
double sum_units(double n);

#endif
