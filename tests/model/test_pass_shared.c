/* Rows that share prefixes, of which each token goes through the model once, against the same rows with all of their tokens: what the
 * other tests of passes compare with PyTorch. Only the order of f32 sums differs. */
#include "pass_support.h"

enum { ROWS = 7, LONGEST = 40 };

/* Rows of 12 to 40 tokens that begin alike with others, with one row that does not, with a whole prompt that comes twice, and with
 * one that is another's beginning; the targets come after the prompt. */
static dq_dataset make_rows(void) {
    static const struct {
        int length, prompt, like, shared;
    } shape[ROWS] = {{30, 20, 0, 0},  {24, 18, 0, 12}, {40, 25, 0, 16}, {12, 4, 3, 0},
                     {28, 20, 0, 20}, {38, 30, 2, 25}, {22, 18, 1, 18}};
    dq_dataset data = {.rows = ROWS, .kind = "text"};
    data.ids = reserve((size_t)ROWS * LONGEST, sizeof *data.ids);
    data.learned = reserve((size_t)ROWS * LONGEST, 1);
    data.begin = reserve(ROWS + 1, sizeof *data.begin);
    for (int row = 0; row < ROWS; row++) {
        int32_t *ids = data.ids + data.begin[row];
        for (int i = 0; i < shape[row].length; i++) {
            ids[i] = (i * i + 17 * row + 5 * i) % 61;
            if (i < shape[row].shared) ids[i] = data.ids[data.begin[shape[row].like] + (size_t)i];
            data.learned[data.begin[row] + (size_t)i] = i >= shape[row].prompt;
        }
        data.begin[row + 1] = data.begin[row] + (size_t)shape[row].length;
    }
    return data;
}

static double run(dq_model *model, const dq_dataset *data, const char *kernels, int threads, bool share,
                  bool checkpoint, gradients *g, double *each) {
    dlqat_error error;
    dq_compute compute;
    dq_batch batch;
    dq_pass *pass;
    assert_ok(dq_compute_open(&compute, kernels, threads, DQ_MULTIPLY_F32, &error));
    assert_ok(dq_batch_open(&batch, (size_t)ROWS * LONGEST, share ? (size_t)ROWS * LONGEST : 0, &error));
    for (size_t row = 0; row < ROWS; row++) assert_true(dq_batch_add(&batch, data, row));
    if (share) assert_true(batch.tokens + 12 + 16 + 19 + 24 + 17 == batch.keys); /* the last of a prompt predicts */
    const dq_pass_options options = {.capacity = (int64_t)batch.tokens,
                                     .keys = share ? (int64_t)batch.keys : 0,
                                     .training = true,
                                     .checkpoint = checkpoint};
    assert_ok(dq_pass_open(&pass, model, &options, &error));
    make_gradients(g, model);
    const double sum = run_backward(pass, &compute, &batch, 0.01f, g);
    assert_ok(dq_pass_forward(pass, &compute, &batch, &error));
    assert_ok(dq_pass_loss(pass, &compute, &batch, false, 1, &(double){0}, each, &error));
    dq_pass_close(pass);
    dq_batch_close(&batch);
    dq_compute_close(&compute);
    return sum;
}

static void sharing_changes_nothing(void **state) {
    char path[1024];
    dlqat_error error;
    dq_model *model;
    snprintf(path, sizeof path, "%s/families/%s", TEST_FIXTURES, (const char *)*state);
    assert_ok(dq_model_open(&model, path, false, &error));
    dq_dataset data = make_rows();
    enum { LABELS = 10 + 6 + 15 + 8 + 8 + 8 + 4 };
    static const char *const kernels[] = {NULL, "c"};
    for (int k = 0; k < 2; k++) {
        gradients whole, shared, other;
        double each[LABELS], each_shared[LABELS], each_other[LABELS];
        const double sum = run(model, &data, kernels[k], 2, false, false, &whole, each);
        const double sum_shared = run(model, &data, kernels[k], 2, true, false, &shared, each_shared);
        const double sum_other = run(model, &data, kernels[k], 1, true, true, &other, each_other);
        for (int i = 0; i < LABELS; i++) assert_true(fabs(each[i] - each_shared[i]) <= 1e-5 * fabs(each[i]));
        assert_true(fabs(sum - sum_shared) <= 1e-5 * sum);
        comparison c = {.other = &whole, .tolerance = 1e-5};
        each_gradient(&shared, compare, &c);
        print_message("%s: worst gradient %.2e\n", kernels[k] ? kernels[k] : "best", c.worst);
        /* With one thread and with the blocks recomputed: the same bits. */
        assert_true(sum_shared == sum_other);
        assert_memory_equal(each_shared, each_other, sizeof each_shared);
        comparison same = {.other = &shared};
        each_gradient(&other, compare, &same);
        free_gradients(&whole);
        free_gradients(&shared);
        free_gradients(&other);
    }
    dq_dataset_close(&data);
    dq_model_close(model);
}

/* A pass that was not told of them has no room for them. */
static void needs_room_for_keys(void **state) {
    (void)state;
    dlqat_error error;
    dq_model *model;
    dq_compute compute;
    dq_batch batch;
    dq_pass *pass;
    dq_dataset data = make_rows();
    assert_ok(dq_model_open(&model, TEST_FIXTURES "/families/llama3", false, &error));
    assert_ok(dq_compute_open(&compute, NULL, 1, DQ_MULTIPLY_F32, &error));
    assert_ok(dq_batch_open(&batch, 100, 100, &error));
    assert_true(dq_batch_add(&batch, &data, 0) && dq_batch_add(&batch, &data, 1));
    assert_int_equal(batch.keys, 29 + 23);
    const dq_pass_options options = {.capacity = 100, .keys = 29 + 22};
    assert_ok(dq_pass_open(&pass, model, &options, &error));
    assert_fails(dq_pass_forward(pass, &compute, &batch, &error), DLQAT_ERROR_USAGE, "52 keys");
    dq_pass_close(pass);
    dq_batch_close(&batch);
    dq_dataset_close(&data);
    dq_compute_close(&compute);
    dq_model_close(model);
}

#define WITH(family)                                                                                                   \
    { "sharing_changes_nothing " family, sharing_changes_nothing, NULL, NULL, (void *)(uintptr_t)family }

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH("llama3"), WITH("llama_bias_sharded"), WITH("mistral_window"),
        WITH("qwen2"),  WITH("qwen3_tied"),         cmocka_unit_test(needs_room_for_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
