#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "operations.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"

enum { FIRST = 8 };

int operation_count(void) {
    return FIRST + row_operation_count + fakequant_operation_count;
}

const operation *operation_at(int index) {
    static const operation *const first[FIRST] = {
        &gemm_operation,           &gemm_packed_operation, &attention_forward_operation, &attention_backward_operation,
        &coded_multiply_operation, &coded_rows_operation,  &tables_multiply_operation,   &sampled_operation};
    if (index < FIRST) return first[index];
    index -= FIRST;
    return index < row_operation_count ? &row_operations[index] : &fakequant_operations[index - row_operation_count];
}

double sum_units(double n) {
    return fmin(n, 4 * sqrt(n) + 2);
}

/* ---- Arrays that end at an unreadable page ---- */

static size_t guarded_length(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page + page;
}

static void *guarded(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), length = guarded_length(bytes);
    unsigned char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + length - page, page, PROT_NONE) != 0) abort();
    if (bytes >= (size_t)1 << 21) madvise(base, length - page, MADV_HUGEPAGE); /* as the program's arrays */
    return base + length - page - bytes;
}

static void guarded_free(void *x, size_t bytes) {
    if (!x) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), length = guarded_length(bytes);
    munmap((unsigned char *)x + bytes + page - length, length);
}

static uint64_t seed_of(const trial *t) {
    uint64_t seed = (uint64_t)t->variation;
    for (int i = 0; i < SIZES; i++) seed = seed * 1000003 + (uint64_t)t->size[i];
    return seed;
}

void slot_values(trial *t, int which, int64_t n, float low, float high) {
    slot *s = &t->slots[which];
    s->n = n;
    s->x = guarded((size_t)n * sizeof(float));
    s->fresh = malloc((size_t)n * sizeof(float) + 1);
    if (!s->fresh) abort();
    dq_random_fill(seed_of(t), DQ_STREAM_SAMPLE, (uint32_t)which, low, high, s->fresh, (size_t)n);
}

void slot_room(trial *t, int which, int64_t n) {
    slot *s = &t->slots[which];
    s->n = n;
    s->x = guarded((size_t)n * sizeof(float));
}

bool slot_to_make(trial *t, const dq_kernels *kernels, int which, int64_t n) {
    slot *s = &t->slots[which];
    if (s->x && t->ran == kernels) return false;
    guarded_free(s->x, (size_t)s->n * sizeof(float));
    slot_room(t, which, n);
    return true;
}

static void slot_expect(slot *s) {
    s->want = calloc((size_t)s->n + 1, sizeof(double));
    s->allowed = calloc((size_t)s->n + 1, sizeof(double));
    if (!s->want || !s->allowed) abort();
}

void slot_result(trial *t, int which) {
    slot_expect(&t->slots[which]);
}

void slot_wide_result(trial *t, int which, int64_t n) {
    slot *s = &t->slots[which];
    s->n = n;
    s->wide = guarded((size_t)n * sizeof(double));
    slot_expect(s);
}

void slot_indices(trial *t, int64_t n) {
    t->indices = n;
    t->index = guarded((size_t)n * sizeof(int32_t));
}

double slot_value(const slot *s, int64_t i) {
    return s->wide ? s->wide[i] : s->x[i];
}

int64_t trial_pick(const trial *t, int64_t which, int64_t below) {
    return (int64_t)(dq_random_uniform(seed_of(t), DQ_STREAM_SPLIT, 0, (uint64_t)which) * (double)below);
}

/* ---- Trials ---- */

trial *trial_open(const operation *o, const int64_t *size, int variation) {
    trial *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->operation = o;
    t->size = size;
    t->variation = variation;
    o->prepare(t);
    return t;
}

void trial_close(trial *t) {
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &t->slots[i];
        guarded_free(s->x, (size_t)s->n * sizeof(float));
        guarded_free(s->wide, (size_t)s->n * sizeof(double));
        free(s->fresh);
        free(s->want);
        free(s->allowed);
    }
    guarded_free(t->index, (size_t)t->indices * sizeof(int32_t));
    free(t);
}

void trial_run(trial *t, const dq_compute *compute) {
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &t->slots[i];
        if (s->n > 0 && s->fresh)
            memcpy(s->x, s->fresh, (size_t)s->n * sizeof(float));
        else if (s->n > 0 && s->x && t->ran != compute->kernels)
            memset(s->x, 0, (size_t)s->n * sizeof(float));
    }
    t->operation->run(t, compute);
    t->ran = compute->kernels;
}

double trial_worst(const trial *t, char *where, size_t where_size) {
    double worst = 0;
    snprintf(where, where_size, "nowhere");
    for (int i = 0; i < SLOTS; i++)
        for (int64_t j = 0; t->slots[i].want && j < t->slots[i].n; j++) {
            const slot *s = &t->slots[i];
            double got = slot_value(s, j), want = s->want[j], gap = fabs(got - want);
            double ratio = gap == 0 ? 0 : s->allowed[j] > 0 ? gap / s->allowed[j] : INFINITY;
            if (isnan(want) && isnan(got)) ratio = 0;
            if (isnan(ratio)) ratio = INFINITY;
            if (ratio <= worst) continue;
            worst = ratio;
            snprintf(where, where_size, "array %d element %lld: %.9g, wanted %.9g, allowed %.3g", i, (long long)j, got,
                     want, s->allowed[j]);
        }
    return worst;
}

uint64_t trial_bits(const trial *t) {
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < SLOTS; i++) {
        const slot *s = &t->slots[i];
        if (!s->want) continue;
        const unsigned char *bytes = s->wide ? (const unsigned char *)s->wide : (const unsigned char *)s->x;
        size_t length = (size_t)s->n * (s->wide ? sizeof(double) : sizeof(float));
        for (size_t j = 0; j < length; j++) hash = (hash ^ bytes[j]) * 1099511628211u;
    }
    return hash;
}

void trial_label(const trial *t, char *label, size_t size) {
    size_t used = 0;
    int last = SIZES;
    while (last > 1 && t->size[last - 1] == 0) last--;
    label[0] = '\0';
    for (int i = 0; i < last && used < size; i++)
        used += (size_t)snprintf(label + used, size - used, "%s%lld", i ? " " : "", (long long)t->size[i]);
    if (t->variation && used < size) snprintf(label + used, size - used, " /%d", t->variation);
}
