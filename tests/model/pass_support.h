/* What the tests of passes share: batches made by hand, weight gradients collected, distances. */
#ifndef DQ_TESTS_PASS_SUPPORT_H
#define DQ_TESTS_PASS_SUPPORT_H

#include "support.h"

#include <math.h>

#include "model/pass.h"

/* |a - b| / |b| in the Euclidean norm, b from f32 or f64. */
static inline double distance(const float *a, const dq_tensor *b) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < dq_tensor_elements(b); i++) {
        double x = b->dtype == DQ_F64 ? ((const double *)b->data)[i] : ((const float *)b->data)[i];
        difference += (a[i] - x) * (a[i] - x);
        norm += x * x;
    }
    return sqrt(difference / norm);
}

static inline double distance_f32(const float *a, const float *b, int64_t n) {
    const dq_tensor tensor = {.dtype = DQ_F32, .dimensions = 1, .shape = {n}, .data = b};
    return distance(a, &tensor);
}

static inline void *reserve(size_t count, size_t size) {
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

static inline void make_batch(dq_batch *batch, size_t capacity) {
    memset(batch, 0, sizeof *batch);
    batch->capacity = capacity;
    batch->ids = reserve(capacity, sizeof(int32_t));
    batch->position = reserve(capacity, sizeof(int32_t));
    batch->row_start = reserve(capacity, sizeof(int32_t));
    batch->label = reserve(capacity, sizeof(int32_t));
}

static inline void free_batch(dq_batch *batch) {
    free(batch->ids);
    free(batch->position);
    free(batch->row_start);
    free(batch->label);
}

/* A row in which every token but the first is a target. */
static inline void add_row(dq_batch *batch, const int32_t *ids, size_t count) {
    size_t start = batch->tokens;
    assert_true(start + count <= batch->capacity);
    for (size_t i = 0; i < count; i++) {
        batch->ids[start + i] = ids[i];
        batch->position[start + i] = (int32_t)i;
        batch->row_start[start + i] = (int32_t)start;
        batch->label[start + i] = i + 1 < count ? ids[i + 1] : -1;
    }
    batch->tokens += count;
    batch->labels += count - 1;
    batch->rows++;
}

/* Gradients of every weight. */
typedef struct gradients {
    dq_model *model;
    float **linear; /* [linears] of [out, in] */
    float **dots;   /* [linears] of [out]: sum_t dy_ti y_ti, where it is asked for */
    int *calls;     /* [linears] */
    float *embedding, *head, *final_norm, **input_norm, **post_norm;
    dq_gradients want;
} gradients;

static inline void collect(void *user, const dq_compute *compute, const dq_linears_gradient *given) {
    gradients *g = user;
    (void)compute;
    if (given->packed) fail_msg("nobody asked for a packed x");
    for (int n = 0; n < given->count; n++) {
        const int index = given->index + n;
        const dq_weight *weight = &dq_model_linear(g->model, index)->base;
        const float *dy = given->dy[n], *x = given->x;
        g->calls[index]++;
        for (int64_t t = 0; t < given->T; t++)
            for (int64_t i = 0; i < weight->out; i++)
                for (int64_t j = 0; j < weight->in; j++)
                    g->linear[index][i * weight->in + j] += dy[t * weight->out + i] * x[t * weight->in + j];
        if (g->dots[index]) {
            if (!given->dots[n]) fail_msg("linear %d: no dots, though they were asked for", index);
            memcpy(g->dots[index], given->dots[n], (size_t)weight->out * sizeof(float));
        } else if (given->dots[n]) {
            fail_msg("linear %d: dots, though nobody asked for them", index);
        }
    }
}

static inline bool asks_dots(void *user, int index) {
    return ((gradients *)user)->dots[index] != NULL;
}

static inline void make_gradients(gradients *g, dq_model *model) {
    const dq_config *config = &model->config;
    size_t linears = (size_t)dq_model_linear_count(model), layers = (size_t)config->layers,
           width = (size_t)config->hidden;
    memset(g, 0, sizeof *g);
    g->model = model;
    g->linear = reserve(linears, sizeof *g->linear);
    g->calls = reserve(linears, sizeof *g->calls);
    g->dots = reserve(linears, sizeof *g->dots);
    for (size_t i = 0; i < linears; i++) {
        const dq_weight *weight = &dq_model_linear(model, (int)i)->base;
        g->linear[i] = reserve((size_t)(weight->out * weight->in), sizeof(float));
    }
    g->embedding = reserve((size_t)config->vocabulary * width, sizeof(float));
    if (!config->tied) g->head = reserve((size_t)config->vocabulary * width, sizeof(float));
    g->final_norm = reserve(width, sizeof(float));
    g->input_norm = reserve(layers, sizeof *g->input_norm);
    g->post_norm = reserve(layers, sizeof *g->post_norm);
    for (size_t l = 0; l < layers; l++) {
        g->input_norm[l] = reserve(width, sizeof(float));
        g->post_norm[l] = reserve(width, sizeof(float));
    }
    g->want = (dq_gradients){
        .user = g,
        .linears = collect,
        .dots = asks_dots,
        .embedding = g->embedding,
        .head = g->head,
        .final_norm = g->final_norm,
        .input_norm = g->input_norm,
        .post_norm = g->post_norm,
    };
}

static inline void free_gradients(gradients *g) {
    for (int i = 0; i < dq_model_linear_count(g->model); i++) {
        free(g->linear[i]);
        free(g->dots[i]);
    }
    free(g->dots);
    for (int l = 0; l < g->model->config.layers; l++) {
        free(g->input_norm[l]);
        free(g->post_norm[l]);
    }
    free(g->linear);
    free(g->calls);
    free(g->embedding);
    free(g->head);
    free(g->final_norm);
    free(g->input_norm);
    free(g->post_norm);
}

/* Visits every gradient: its tensor's name, values, count. */
typedef void gradient_visitor(void *user, const char *name, const float *values, int64_t count);
static inline void each_gradient(const gradients *g, gradient_visitor *visit, void *user) {
    const dq_config *config = &g->model->config;
    char name[128];
    for (int i = 0; i < dq_model_linear_count(g->model); i++) {
        const dq_linear *linear = dq_model_linear(g->model, i);
        snprintf(name, sizeof name, "%s.weight", linear->name);
        visit(user, name, g->linear[i], linear->base.out * linear->base.in);
    }
    for (int l = 0; l < config->layers; l++) {
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", l);
        visit(user, name, g->input_norm[l], config->hidden);
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", l);
        visit(user, name, g->post_norm[l], config->hidden);
    }
    visit(user, "model.norm.weight", g->final_norm, config->hidden);
    visit(user, "model.embed_tokens.weight", g->embedding, config->vocabulary * config->hidden);
    if (g->head) visit(user, "lm_head.weight", g->head, config->vocabulary * config->hidden);
}

/* Mean loss and all its gradients, of one batch. */
static inline double run_backward(dq_pass *pass, const dq_compute *compute, const dq_batch *batch, float scale,
                                  gradients *g) {
    dlqat_error error;
    double sum;
    dq_pass_want(pass, &g->want);
    assert_ok(dq_pass_forward(pass, compute, batch, &error));
    assert_ok(dq_pass_loss(pass, compute, batch, true, scale, &sum, NULL, &error));
    assert_ok(dq_pass_backward(pass, compute, batch, &error));
    return sum;
}

/* Against tensors "grad.NAME" of a file: each within the tolerance, the worst printed. */
typedef struct gradient_check {
    const dq_safetensors *file;
    double tolerance, worst;
    char worst_name[128];
    int count;
} gradient_check;

static inline void check_gradient(void *user, const char *name, const float *values, int64_t count) {
    gradient_check *check = user;
    char key[160];
    snprintf(key, sizeof key, "grad.%s", name);
    const dq_tensor *expected = dq_safetensors_find(check->file, key);
    if (!expected) fail_msg("the file has no %s", key);
    assert_int_equal(dq_tensor_elements(expected), count);
    double d = distance(values, expected);
    if (!(d <= check->tolerance)) fail_msg("%s: relative distance %.3g, tolerance %.3g", name, d, check->tolerance);
    if (d > check->worst) {
        check->worst = d;
        snprintf(check->worst_name, sizeof check->worst_name, "%s", name);
    }
    check->count++;
}

/* Against the gradients of another backward. */
typedef struct comparison {
    const gradients *other;
    double tolerance, worst; /* tolerance 0: bit for bit */
    int index;
} comparison;

typedef struct lookup {
    const char *name;
    const float *found;
} lookup;

static inline void look(void *user, const char *name, const float *values, int64_t count) {
    lookup *l = user;
    (void)count;
    if (!strcmp(name, l->name)) l->found = values;
}

static inline void compare(void *user, const char *name, const float *values, int64_t count) {
    comparison *c = user;
    lookup l = {.name = name};
    each_gradient(c->other, look, &l);
    if (c->tolerance == 0) {
        if (memcmp(values, l.found, (size_t)count * sizeof(float)) != 0) fail_msg("%s: the bits differ", name);
        return;
    }
    double d = distance_f32(values, l.found, count);
    if (!(d <= c->tolerance)) fail_msg("%s: relative distance %.3g, tolerance %.3g", name, d, c->tolerance);
    c->worst = fmax(c->worst, d);
}

#endif
