/* The float64 oracles of shared/data: stories260K with quantizers whose state is set from an oracle file, and one batch. */
#ifndef DQ_TESTS_ORACLE_H
#define DQ_TESTS_ORACLE_H

#include "support.h"

#include "formats/safetensors.h"
#include "model/pass.h"
#include "train/trainer.h"

#include <math.h>

typedef struct oracle {
    dq_safetensors *file, *fp; /* the case, and fp.safetensors for its ids */
    dq_model *model;
    dq_compute compute;
    dq_quantizer_set set;
    dq_arena gradients; /* of tests that need them apart */ /* opened by oracle_open_set */
    dq_dataset data;                                        /* the two rows */
    dlqat_options *options;
    dlqat_error error;
} oracle;

static inline const double *oracle_values(const oracle *o, const char *prefix, const char *layer, int64_t *count) {
    char name[256];
    snprintf(name, sizeof name, "%s%s%s", prefix, layer ? "." : "", layer ? layer : "");
    const dq_tensor *tensor = dq_safetensors_find(o->file, name);
    if (!tensor) return NULL;
    if (count) *count = dq_tensor_elements(tensor);
    return tensor->data;
}

/* The variants of the kernels that this processor can run, one after another: NULL after the last. */
static inline const char *oracle_kernels(size_t index) {
    for (size_t i = 0; i < dq_kernels_count(); i++) {
        bool usable;
        const dq_kernels *kernels = dq_kernels_at(i, &usable);
        if (usable && index-- == 0) return kernels->name;
    }
    return NULL;
}

/* options: "name=value" words, NULL at the end. kernels: a variant's name. */
static inline bool oracle_open(oracle *o, const char *name, const char *const *words, const char *kernels) {
    char path[1024];
    dlqat_error error;
    memset(o, 0, sizeof *o);
    char file[256];
    snprintf(file, sizeof file, "oracles/%s.safetensors", name);
    if (!shared_data(path, file)) return false;
    assert_ok(dq_safetensors_open(&o->file, path, &error));
    shared_data(path, "oracles/fp.safetensors");
    assert_ok(dq_safetensors_open(&o->fp, path, &error));
    shared_data(path, "models/stories260K/config.json");
    *strrchr(path, '/') = '\0';
    assert_ok(dq_model_open(&o->model, path, false, &error));
    assert_ok(dq_compute_open(&o->compute, kernels, 2, DQ_MULTIPLY_F32, &error));
    o->options = dlqat_options_new(DLQAT_TRAIN);
    assert_ok(dlqat_options_set(o->options, "lora-rank", "4", &error));
    assert_ok(dlqat_options_set(o->options, "learning-rate", "0.001", &error));
    assert_ok(dlqat_options_set(o->options, "weight-decay", "0", &error));
    assert_ok(dlqat_options_set(o->options, "batch-size", "2", &error));
    assert_ok(dlqat_options_set(o->options, "no-shuffle", "true", &error));
    for (; *words; words++) {
        char word[64];
        snprintf(word, sizeof word, "%s", *words);
        char *equals = strchr(word, '=');
        *equals = '\0';
        assert_ok(dlqat_options_set(o->options, word, equals + 1, &error));
    }
    /* The mask of DL-QAT's oracles, unless their file says otherwise. */
    if (strcmp(dq_options_settings(o->options)->method, "dlqat") == 0 && !dq_options_given(o->options, "clip-mask"))
        assert_ok(dlqat_options_set(o->options, "clip-mask", "code", &error));
    const dq_tensor *ids = dq_safetensors_find(o->fp, "ids");
    size_t rows = (size_t)ids->shape[0], length = (size_t)ids->shape[1];
    o->data = (dq_dataset){.rows = rows, .tokens = rows * length, .labels = rows * (length - 1), .kind = "text"};
    o->data.ids = malloc(rows * length * sizeof *o->data.ids);
    o->data.learned = malloc(rows * length);
    o->data.begin = malloc((rows + 1) * sizeof *o->data.begin);
    memcpy(o->data.ids, ids->data, ids->bytes);
    memset(o->data.learned, 1, rows * length);
    for (size_t i = 0; i <= rows; i++) o->data.begin[i] = i * length;
    return true;
}

static inline void oracle_close(oracle *o) {
    dq_quantizer_set_close(&o->set);
    dq_arena_release(&o->gradients);
    free(o->data.ids);
    free(o->data.learned);
    free(o->data.begin);
    dlqat_options_free(o->options);
    dq_model_close(o->model);
    dq_compute_close(&o->compute);
    dq_safetensors_close(o->file);
    dq_safetensors_close(o->fp);
}

/* Parameter `kind` of every quantizer from tensors PREFIX.LAYER where the oracle has them. */
static inline void oracle_set(const oracle *o, dq_quantizer_set *set, dq_parameter_kind kind, const char *prefix) {
    for (int i = 0; i < set->count; i++) {
        dq_parameter *p = &set->at[i].parameter[kind];
        int64_t count = 0;
        const double *values = oracle_values(o, prefix, set->at[i].name, &count);
        if (!values) fail_msg("no %s.%s in the oracle", prefix, set->at[i].name);
        assert_int_equal(count, p->rows * p->columns);
        for (int64_t j = 0; j < count; j++) p->value[j] = (float)values[j];
    }
}

/* The oracles round no scale and know no floor for s (some of their s even turn negative): R becomes the identity, and the
 * floor goes away. */
static inline void oracle_unbind(dq_quantizer_set *set) {
    for (int i = 0; i < set->count; i++) {
        dq_quantizer *q = &set->at[i];
        q->grid.scale = DQ_F64;
        for (int64_t j = 0; j < q->out * q->groups; j++) q->floor_exponent[j] = DQ_GRID_NO_FLOOR;
    }
}

/* |x - y| / |y| over count elements, in the Euclidean norm. */
static inline double relative_error(const float *x, const double *y, int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t j = 0; j < count; j++) {
        difference += ((double)x[j] - y[j]) * ((double)x[j] - y[j]);
        norm += y[j] * y[j];
    }
    return norm > 0 ? sqrt(difference / norm) : difference > 0 ? INFINITY : 0.0;
}

#endif
