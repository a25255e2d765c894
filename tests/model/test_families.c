/* Every family, storage type and container against transformers' float64 values (tests/fixtures/make_families.py).
 *
 * Tolerance 1e-5 relative norm on logits: f32 rounding over two layers of width 32 gives about 1e-6. Gradients: 1e-5. */
#include "pass_support.h"

typedef struct family_case {
    const char *directory, *file; /* file: a GGUF in it, or NULL */
    const char *values;
    bool gradients;
} family_case;

static const family_case cases[] = {
    {"llama3", NULL, "values", false},
    {"llama3", "model-f32.gguf", "values", false},
    {"llama3", "model-q8_0.gguf", "q8_0", false},
    {"llama_bias_sharded", NULL, "values", false},
    {"llama_bias_sharded", "model-f32.gguf", "values", false},
    {"mistral_window", NULL, "values", true},
    {"mistral_window", "model-f16.gguf", "values", true},
    {"qwen2", NULL, "values", true},
    {"qwen2", "model-bf16.gguf", "values", true},
    {"qwen2_window", NULL, "values", false},
    {"qwen3", NULL, "values", true},
    {"qwen3", "model-f32.gguf", "values", true},
    {"qwen3_tied", NULL, "values", true},
    {"affine_mlx", NULL, "values", false},
    {"affine_own", NULL, "values", false},
};

static void run_case(void **state) {
    const family_case *c = *state;
    const double tolerance = 1e-5;
    dlqat_error error;
    char path[1024];
    dq_model *model;
    dq_safetensors *expected;
    snprintf(path, sizeof path, "%s/families/%s/%s", TEST_FIXTURES, c->directory, c->file ? c->file : "");
    assert_ok(dq_model_open(&model, path, false, &error));
    snprintf(path, sizeof path, "%s/families/%s/expected/%s.safetensors", TEST_FIXTURES, c->directory, c->values);
    assert_ok(dq_safetensors_open(&expected, path, &error));
    const dq_tensor *ids = dq_safetensors_find(expected, "ids"), *logits = dq_safetensors_find(expected, "logits"),
                    *loss = dq_safetensors_find(expected, "loss");
    size_t rows = (size_t)ids->shape[0], length = (size_t)ids->shape[1];
    int64_t tokens = dq_tensor_elements(ids), vocabulary = model->config.vocabulary;

    dq_compute compute;
    assert_ok(dq_compute_open(&compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    dq_pass *pass;
    dq_pass_options options = {.capacity = tokens, .training = true};
    assert_ok(dq_pass_open(&pass, model, &options, &error));
    dq_batch batch;
    make_batch(&batch, (size_t)tokens);
    for (size_t r = 0; r < rows; r++) add_row(&batch, (const int32_t *)ids->data + r * length, length);
    gradients g;
    make_gradients(&g, model);
    double sum = run_backward(pass, &compute, &batch, 1.0f / (float)batch.labels, &g);
    double expected_loss = *(const double *)loss->data, mean = sum / (double)batch.labels;
    assert_true(fabs(mean - expected_loss) <= 1e-6 * expected_loss);
    for (int i = 0; i < dq_model_linear_count(model); i++) assert_int_equal(g.calls[i], 1);

    float *z = reserve((size_t)(tokens * vocabulary), sizeof *z);
    assert_ok(dq_pass_forward(pass, &compute, &batch, &error));
    assert_ok(dq_pass_logits(pass, &compute, 0, tokens, z, &error));
    double d = distance(z, logits);
    gradient_check check = {.file = expected, .tolerance = 1e-5};
    if (c->gradients) each_gradient(&g, check_gradient, &check);
    print_message("logits %.1e, %d gradients, worst %.1e (%s)\n", d, check.count, check.worst, check.worst_name);
    if (!(d <= tolerance)) fail_msg("logits: relative distance %.3g, tolerance %.3g", d, tolerance);

    free(z);
    free_gradients(&g);
    free_batch(&batch);
    dq_pass_close(pass);
    dq_compute_close(&compute);
    dq_safetensors_close(expected);
    dq_model_close(model);
}

int main(void) {
    enum { COUNT = sizeof cases / sizeof cases[0] };
    struct CMUnitTest tests[COUNT];
    char names[COUNT][96];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s %s", cases[i].directory, cases[i].file ? cases[i].file : "safetensors");
        tests[i] =
            (struct CMUnitTest){.name = names[i], .test_func = run_case, .initial_state = (void *)(uintptr_t)&cases[i]};
    }
    return cmocka_run_group_tests_name("families", tests, NULL, NULL);
}
