#define _DEFAULT_SOURCE
/* Checkpoints: a run that is stopped and continued has bit for bit the weights of one that was not, whatever the recipe and wherever it
 * is cut; and damaged or foreign checkpoints are refused. */
#include "scratch.h"
#include "train_support.h"

#include "base/file.h"
#include "train/checkpoint.h"

#include <unistd.h>

#include <math.h>

static void check_resume(const char *const *words) {
    setup s;
    dlqat_error error;
    scratch at;
    scratch_make(&at);
    const char *run = at.path;
    double whole[STEPS], parts[STEPS];
    char expected[33], got[33];
    open_setup(&s, words);
    dq_trainer *trainer = open_trainer(&s, true);
    run_steps(trainer, STEPS, whole);
    assert_true(whole[STEPS - 1] < whole[0]); /* it does learn */
    assert_ok(dq_quantizer_set_hash(dq_trainer_quantizers(trainer), expected, &error));
    dq_trainer_close(trainer);

    for (int cut = 1; cut < STEPS; cut++) {
        char *checkpoint;
        int64_t step;
        trainer = open_trainer(&s, true);
        run_steps(trainer, cut, parts);
        assert_ok(dq_checkpoint_save(trainer, run, &error));
        dq_trainer_close(trainer);
        /* W_hat made anew for every use gives the same bits as W_hat that is kept. */
        trainer = open_trainer(&s, cut % 2 == 0);
        assert_ok(dq_checkpoint_newest(run, &checkpoint, &step, &error));
        assert_int_equal(step, cut);
        assert_ok(dq_checkpoint_load(trainer, checkpoint, &s.compute, &error));
        free(checkpoint);
        run_steps(trainer, STEPS, parts);
        assert_memory_equal(parts, whole, sizeof whole);
        assert_ok(dq_quantizer_set_hash(dq_trainer_quantizers(trainer), got, &error));
        assert_string_equal(got, expected);
        dq_trainer_close(trainer);
    }
    close_setup(&s);
    scratch_remove(&at);
}

static void dlqat_resumes(void **state) {
    (void)state;
    check_resume((const char *const[]){"method", "dlqat", "phase1-steps", "3", NULL});
}

static void dlqat_with_accumulation_and_decay_resumes(void **state) {
    (void)state;
    check_resume((const char *const[]){"method", "dlqat", "phase1-steps", "3", "range", "adaptive",
                                       "gradient-accumulation-steps", "2", "lr-scheduler-type", "cosine",
                                       "warmup-steps", "2", "weight-decay", "0.1", "max-grad-norm", "0.5", NULL});
}

static void pieces_resume(void **state) {
    (void)state;
    check_resume(
        (const char *const[]){"method", "dlqat", "phase1-steps", "3", "batch-size", "4", "tokens-at-once", "20", NULL});
}

static void l4q_resumes(void **state) {
    (void)state;
    check_resume((const char *const[]){"method", "l4q", "max-grad-norm", "1", "warmup-ratio", "0", NULL});
}

static void qalora_resumes(void **state) {
    (void)state;
    check_resume((const char *const[]){"method", "qalora", "lora-rank", "4", "warmup-ratio", "0", NULL});
}

static void minmax_resumes(void **state) {
    (void)state;
    check_resume((const char *const[]){"method", "dlqat", "range", "minmax", NULL});
}

static void encoded_base_resumes(void **state) {
    (void)state;
    check_resume((const char *const[]){"method", "dlqat", "phase1-steps", "3", "base-storage", "int8", NULL});
}

static void foreign_and_damaged_checkpoints_are_refused(void **state) {
    (void)state;
    setup s, other;
    dlqat_error error;
    double losses[STEPS];
    scratch at;
    scratch_make(&at);
    const char *run = at.path;
    char *checkpoint, *path;
    int64_t step;
    open_setup(&s, (const char *const[]){"method", "dlqat", "phase1-steps", "3", NULL});
    dq_trainer *trainer = open_trainer(&s, true);
    assert_ok(dq_checkpoint_newest(run, &checkpoint, &step, &error));
    assert_null(checkpoint);
    run_steps(trainer, 2, losses);
    assert_ok(dq_checkpoint_save(trainer, run, &error));
    assert_ok(dq_checkpoint_newest(run, &checkpoint, &step, &error));

    open_setup(&other, (const char *const[]){"method", "l4q", NULL});
    dq_trainer *foreign = open_trainer(&other, true);
    assert_fails(dq_checkpoint_load(foreign, checkpoint, &s.compute, &error), DLQAT_ERROR_INPUT,
                 "made by --method dlqat");
    dq_trainer_close(foreign);
    close_setup(&other);
    open_setup(&other, (const char *const[]){"method", "dlqat", "phase1-steps", "3", "lora-rank", "8", NULL});
    foreign = open_trainer(&other, true);
    assert_fails(dq_checkpoint_load(foreign, checkpoint, &s.compute, &error), DLQAT_ERROR_INPUT, "shape");
    dq_trainer_close(foreign);
    close_setup(&other);

    path = dq_path_join(checkpoint, "state.safetensors");
    assert_int_equal(truncate(path, 1000), 0);
    assert_fails(dq_checkpoint_load(trainer, checkpoint, &s.compute, &error), DLQAT_ERROR_INPUT, "state.safetensors");
    free(path);
    path = dq_path_join(checkpoint, "trainer_state.json");
    assert_ok(dq_write_file(path, "{", 1, &error));
    assert_fails(dq_checkpoint_load(trainer, checkpoint, &s.compute, &error), DLQAT_ERROR_INPUT, "trainer_state.json");
    free(path);
    free(checkpoint);
    dq_trainer_close(trainer);
    close_setup(&s);
    scratch_remove(&at);
}

/* Of checkpoints 1 .. 5 with limit 2 and the best at 2: 4 and 5 are the newest, so 2 and 5 stay at a limit of 2. */
static void pruning_keeps_the_newest_and_the_best(void **state) {
    (void)state;
    dlqat_error error;
    scratch at;
    scratch_make(&at);
    const char *run = at.path;
    for (int step = 1; step <= 5; step++) {
        char name[32];
        snprintf(name, sizeof name, "checkpoint-%d", step);
        char *path = dq_path_join(run, name);
        assert_ok(dq_make_directories(path, &error));
        free(path);
    }
    assert_ok(dq_checkpoint_prune(run, 0, 2, &error));
    assert_ok(dq_checkpoint_prune(run, 2, 2, &error));
    for (int step = 1; step <= 5; step++) {
        char name[32];
        snprintf(name, sizeof name, "checkpoint-%d", step);
        char *path = dq_path_join(run, name);
        assert_int_equal(dq_is_directory(path), step == 2 || step == 5);
        free(path);
    }
    scratch_remove(&at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dlqat_resumes),
        cmocka_unit_test(dlqat_with_accumulation_and_decay_resumes),
        cmocka_unit_test(pieces_resume),
        cmocka_unit_test(l4q_resumes),
        cmocka_unit_test(qalora_resumes),
        cmocka_unit_test(minmax_resumes),
        cmocka_unit_test(encoded_base_resumes),
        cmocka_unit_test(foreign_and_damaged_checkpoints_are_refused),
        cmocka_unit_test(pruning_keeps_the_newest_and_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
