/* A tiny model with rows of its own, and a trainer for it. */
#ifndef TRAIN_SUPPORT_H
#define TRAIN_SUPPORT_H

#include "support.h"

#include "base/options.h"
#include "base/random.h"
#include "train/trainer.h"

enum { ROWS = 12, STEPS = 8 };

typedef struct setup {
    dq_model *model;
    dq_compute compute;
    dq_dataset data;
    dlqat_options *options;
} setup;

static inline void open_setup(setup *s, const char *const *words) {
    dlqat_error error;
    memset(s, 0, sizeof *s);
    assert_ok(dq_model_open(&s->model, TEST_FIXTURES "/families/llama3", false, &error));
    assert_ok(dq_compute_open(&s->compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    s->options = dlqat_options_new(DLQAT_TRAIN);
    assert_ok(dlqat_options_set(s->options, "max-steps", "8", &error));
    assert_ok(dlqat_options_set(s->options, "batch-size", "2", &error));
    assert_ok(dlqat_options_set(s->options, "bits", "3", &error));
    assert_ok(dlqat_options_set(s->options, "learning-rate", "0.01", &error));
    for (; *words; words += 2) assert_ok(dlqat_options_set(s->options, words[0], words[1], &error));
    /* Rows of 5 to 16 tokens, the first two of each a prompt. */
    s->data = (dq_dataset){.rows = ROWS, .kind = "text"};
    s->data.begin = calloc(ROWS + 1, sizeof *s->data.begin);
    s->data.ids = calloc(ROWS * 16, sizeof *s->data.ids);
    s->data.learned = calloc(ROWS * 16, 1);
    for (int i = 0; i < ROWS; i++) {
        size_t length = 5 + (size_t)i, first = s->data.begin[i];
        for (size_t j = 0; j < length; j++) {
            double u = dq_random_uniform(3, DQ_STREAM_SAMPLE, (uint32_t)i, j);
            s->data.ids[first + j] = (int32_t)(u * (double)s->model->config.vocabulary);
            s->data.learned[first + j] = j >= 2;
        }
        s->data.begin[i + 1] = first + length;
    }
}

static inline void close_setup(setup *s) {
    dq_dataset_close(&s->data);
    dlqat_options_free(s->options);
    dq_model_close(s->model);
    dq_compute_close(&s->compute);
}

static inline dq_trainer *open_trainer(setup *s, bool resident) {
    dlqat_error error;
    dq_trainer *trainer;
    int64_t at_once = dq_options_settings(s->options)->tokens_at_once; /* without a plan: auto is no bound */
    dq_trainer_options with = {.model = s->model,
                               .data = &s->data,
                               .held_out = &s->data,
                               .compute = &s->compute,
                               .resident = resident,
                               .at_once = at_once == DQ_AUTO ? 0 : at_once};
    assert_ok(dq_trainer_open(&trainer, s->options, &with, &error));
    return trainer;
}

static inline void run_steps(dq_trainer *trainer, int64_t until, double *losses) {
    dlqat_error error;
    dq_step_record record;
    while (dq_trainer_get_state(trainer)->step < until) {
        assert_ok(dq_trainer_step(trainer, &record, &error));
        losses[record.step - 1] = record.loss;
    }
}

#endif
