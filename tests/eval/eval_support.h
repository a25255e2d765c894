/* What the tests of this floor share: the fixtures of make_eval.py and the values that other programs gave for them. */
#ifndef DQ_TESTS_EVAL_SUPPORT_H
#define DQ_TESTS_EVAL_SUPPORT_H

#include "support.h"

#include "base/file.h"
#include "base/json.h"
#include "eval/scorer.h"

#include <math.h>

#define EVAL_FIXTURE(name) TEST_FIXTURES "/eval/" name

static inline json_t *load_values(void) {
    dlqat_error error;
    json_t *values = NULL;
    assert_ok(dq_json_load(EVAL_FIXTURE("values.json"), &values, &error));
    return values;
}

static inline double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("values.json: no number \"%s\"", key);
    return json_number_value(value);
}

static inline uint64_t whole_of(const json_t *object, const char *key) {
    return (uint64_t)number_of(object, key);
}

/* A model and what computes with it. */
typedef struct eval_setup {
    dq_model *model;
    dq_compute compute;
    dq_bench bench;
} eval_setup;

static inline eval_setup open_setup(const char *path) {
    eval_setup setup = {0};
    dlqat_error error;
    assert_ok(dq_model_open(&setup.model, path, true, &error));
    assert_ok(dq_compute_open(&setup.compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    return setup;
}

/* The bench points into the setup, so it is made where the setup stays. */
static inline const dq_bench *bench_of(eval_setup *setup, const dlqat_callbacks *callbacks) {
    setup->bench = (dq_bench){setup->model, &setup->compute, callbacks};
    return &setup->bench;
}

static inline void close_setup(eval_setup *setup) {
    dq_compute_close(&setup->compute);
    dq_model_close(setup->model);
}

/* Prints how far off the value is, too: tolerances are to be seen against it. */
static inline void assert_near(const char *what, double value, double expected, double relative) {
    double off = fabs(value - expected) / fabs(expected);
    print_message("%-40s %.9g, expected %.9g, off by %.1e (allowed %.0e)\n", what, value, expected, off, relative);
    if (!(off <= relative)) fail_msg("%s: %.9g, expected %.9g", what, value, expected);
}

#endif
