/* Exports against files that other programs wrote, and what must not happen. */
#include "export_support.h"

static const char *family(char buffer[1024], const char *name) {
    char all[1024];
    return join(buffer, join(all, TEST_FIXTURES, "families"), name);
}

/* ---- The same bytes as other writers ------------------------------------------------------------------------------- */

static void check_same_tensor(const dq_tensor *want, const dq_tensor *got) {
    if (!got) fail_msg("no tensor %s", want->name);
    assert_int_equal(got->dtype, want->dtype);
    assert_int_equal(got->dimensions, want->dimensions);
    for (int i = 0; i < want->dimensions; i++) assert_int_equal(got->shape[i], want->shape[i]);
    assert_int_equal(got->bytes, want->bytes);
    if (memcmp(got->data, want->data, want->bytes) != 0) fail_msg("the bytes of %s differ", want->name);
}

static void check_same_gguf(const char *want_path, const char *got_path) {
    dlqat_error error;
    dq_gguf *want, *got;
    assert_ok(dq_gguf_open(&want, want_path, &error));
    assert_ok(dq_gguf_open(&got, got_path, &error));
    assert_int_equal(dq_gguf_tensor_count(got), dq_gguf_tensor_count(want));
    for (size_t i = 0; i < dq_gguf_tensor_count(want); i++) {
        const dq_tensor *tensor = dq_gguf_tensor_at(want, i);
        if (strcmp(tensor->name, "rope_freqs.weight") != 0) {
            check_same_tensor(tensor, dq_gguf_find(got, tensor->name));
            continue;
        }
        const float *a = tensor->data, *b = dq_gguf_find(got, tensor->name)->data;
        for (int64_t j = 0; j < tensor->shape[0]; j++) assert_true(fabsf(a[j] - b[j]) <= 1e-6f * a[j]);
    }
    dq_config a, b;
    assert_ok(dq_config_from_gguf(&a, want, &error));
    assert_ok(dq_config_from_gguf(&b, got, &error));
    assert_int_equal(a.family, b.family);
    assert_int_equal(a.window, b.window);
    assert_int_equal(a.tied, b.tied);
    assert_int_equal(a.rope, b.rope);
    assert_true(a.rms_eps == b.rms_eps && a.rope_theta == b.rope_theta && a.context == b.context);
    dq_gguf_close(want);
    dq_gguf_close(got);
}

static void check_same_safetensors(const char *want_path, const char *got_path) {
    dlqat_error error;
    dq_safetensors *want, *got;
    assert_ok(dq_safetensors_open(&want, want_path, &error));
    assert_ok(dq_safetensors_open(&got, got_path, &error));
    assert_int_equal(dq_safetensors_count(got), dq_safetensors_count(want));
    for (size_t i = 0; i < dq_safetensors_count(want); i++) {
        const dq_tensor *tensor = dq_safetensors_at(want, i);
        check_same_tensor(tensor, dq_safetensors_find(got, tensor->name));
    }
    dq_safetensors_close(want);
    dq_safetensors_close(got);
}

/* gguf-py wrote these from the same weights: row order, names, types, RoPE factors, biases. */
static void gguf_of_plain_models_is_gguf_pys(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"llama3", "model-f32.gguf"},
                                           {"llama_bias_sharded", "model-f32.gguf"},
                                           {"mistral_window", "model-f16.gguf"},
                                           {"qwen2", "model-bf16.gguf"},
                                           {"qwen3", "model-f32.gguf"}};
    char place[256], source[1024], want[1024], got[1024];
    make_place(place);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_error error;
        dq_export_report report;
        family(source, cases[i][0]);
        assert_ok(export_path(source, join(got, place, cases[i][0]), DQ_EXPORT_GGUF, false, &report, &error));
        assert_true(report.comparison.exact);
        check_same_gguf(join(want, source, cases[i][1]), got);
    }
    remove_place(place);
}

/* GGUF to MLX's layout and back: Q8_0 becomes 8 bits with O = -128 S, and the very same blocks again. */
static void q8_0_survives_the_way_through_mlx(void **state) {
    (void)state;
    char place[256], source[1024], file[1024], mlx[1024], back[1024];
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    join(file, family(source, "llama3"), "model-q8_0.gguf");
    assert_ok(export_path(file, join(mlx, place, "mlx"), DQ_EXPORT_MLX, false, &report, &error));
    assert_true(report.comparison.exact);
    assert_int_equal(report.written_as[DQ_U32], report.linears);

    dq_safetensors *weights;
    assert_ok(dq_safetensors_open(&weights, mlx, &error));
    const dq_tensor *S = dq_safetensors_find(weights, "model.embed_tokens.scales");
    const dq_tensor *O = dq_safetensors_find(weights, "model.embed_tokens.biases");
    assert_true(S && O && S->dtype == DQ_F16 && O->dtype == DQ_F16);
    const uint16_t *s = S->data, *o = O->data;
    for (int64_t i = 0; i < dq_tensor_elements(S); i++)
        assert_true(dq_f16_to_f32(o[i]) == -128 * dq_f16_to_f32(s[i]) && s[i] != 0);
    dq_safetensors_close(weights);

    assert_ok(export_path(mlx, join(back, place, "back.gguf"), DQ_EXPORT_GGUF, false, &report, &error));
    assert_int_equal(report.written_as[DQ_Q8_0], report.linears);
    check_same_gguf(file, back);
    remove_place(place);
}

/* What mlx wrote, and our own layout, are written again as they are. */
static void affine_directories_are_copied_exactly(void **state) {
    (void)state;
    char place[256], source[1024], to[1024];
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    assert_ok(export_path(family(source, "affine_mlx"), join(to, place, "mlx"), DQ_EXPORT_MLX, false, &report, &error));
    check_same_safetensors(source, to);
    assert_ok(
        export_path(family(source, "affine_own"), join(to, place, "own"), DQ_EXPORT_RESULT, false, &report, &error));
    check_same_safetensors(source, to);
    assert_fails(export_path(source, join(to, place, "refused"), DQ_EXPORT_MLX, false, &report, &error),
                 DLQAT_ERROR_UNSUPPORTED, "MLX");
    remove_place(place);
}

/* ---- Rounding, damage, refusals --------------------------------------------------------------------------------------- */

static void bf16_says_how_far_it_rounds(void **state) {
    (void)state;
    char place[256], source[1024], to[1024];
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    family(source, "qwen3");
    assert_ok(export_path(source, join(to, place, "bf16"), DQ_EXPORT_HF, true, &report, &error));
    assert_false(report.comparison.exact);
    assert_string_not_equal(report.comparison.hash_a, report.comparison.hash_b);
    /* The largest rounding of any matrix, found here from the source's f32. */
    double want = 0;
    dq_safetensors *a, *b;
    assert_ok(dq_safetensors_open(&a, source, &error));
    assert_ok(dq_safetensors_open(&b, to, &error));
    for (size_t i = 0; i < dq_safetensors_count(a); i++) {
        const dq_tensor *tensor = dq_safetensors_at(a, i), *other = dq_safetensors_find(b, tensor->name);
        assert_int_equal(other->dtype, DQ_BF16);
        const float *x = tensor->data;
        const uint16_t *y = other->data;
        for (int64_t j = 0; j < dq_tensor_elements(tensor) && tensor->dimensions == 2; j++) {
            assert_int_equal(y[j], dq_f32_to_bf16(x[j]));
            want = fmax(want, fabs((double)x[j] - (double)dq_bf16_to_f32(y[j])));
        }
    }
    assert_true(want > 0 && report.comparison.max_abs_dw == want);
    dq_safetensors_close(a);
    dq_safetensors_close(b);
    remove_place(place);
}

/* One bit in one code of one matrix. */
static void a_flipped_bit_is_found(void **state) {
    (void)state;
    char place[256], source[1024], to[1024], file[1024];
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    assert_ok(export_path(family(source, "affine_mlx"), join(to, place, "mlx"), DQ_EXPORT_MLX, false, &report, &error));
    dq_safetensors *weights;
    char *bytes;
    size_t size;
    assert_ok(dq_read_file(join(file, to, "model.safetensors"), &bytes, &size, &error));
    assert_ok(dq_safetensors_open(&weights, to, &error));
    const dq_tensor *codes = dq_safetensors_find(weights, "model.layers.1.mlp.up_proj.weight");
    size_t at = 0;
    while (at + codes->bytes <= size && memcmp(bytes + at, codes->data, codes->bytes) != 0) at++;
    dq_safetensors_close(weights);
    bytes[at + 3] ^= 1;
    assert_ok(dq_write_file(file, bytes, size, &error));
    free(bytes);

    dq_model *model[2];
    dq_inventory inventory[2];
    const char *const path[2] = {source, to};
    for (int i = 0; i < 2; i++) {
        assert_ok(dq_model_open(&model[i], path[i], false, &error));
        assert_ok(dq_inventory_open(&inventory[i], model[i], NULL, &error));
    }
    dq_comparison found;
    assert_ok(dq_compare(&inventory[0], &inventory[1], 1, &found, &error));
    assert_false(found.exact);
    assert_true(found.max_abs_dw > 0);
    assert_string_equal(found.where, "model.layers.1.mlp.up_proj");
    assert_string_not_equal(found.hash_a, found.hash_b);
    for (int i = 0; i < 2; i++) {
        dq_inventory_close(&inventory[i]);
        dq_model_close(model[i]);
    }
    remove_place(place);
}

/* A block whose d is infinite has no affine form: O is infinite too, and S u + O no number. What differs from the model when it is
 * read back is not put in place. */
static void what_differs_is_not_put_in_place(void **state) {
    (void)state;
    char place[256], source[1024], file[1024], to[1024], *bytes;
    size_t size;
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    assert_ok(dq_read_file(join(file, family(source, "llama3"), "model-q8_0.gguf"), &bytes, &size, &error));
    dq_gguf *gguf;
    assert_ok(dq_gguf_open(&gguf, file, &error));
    const dq_tensor *tensor = dq_gguf_find(gguf, "blk.1.ffn_up.weight");
    size_t at = 0;
    while (at + tensor->bytes <= size && memcmp(bytes + at, tensor->data, tensor->bytes) != 0) at++;
    dq_gguf_close(gguf);
    bytes[at] = 0x00;
    bytes[at + 1] = 0x7c;
    assert_ok(dq_write_file(join(file, place, "infinite.gguf"), bytes, size, &error));
    free(bytes);
    assert_fails(export_path(file, join(to, place, "mlx"), DQ_EXPORT_MLX, false, &report, &error), DLQAT_ERROR_NUMERIC,
                 "model.layers.1.mlp.up_proj");
    assert_false(dq_is_directory(to));
    /* As blocks it is passed on untouched. */
    assert_ok(export_path(file, join(to, place, "same.gguf"), DQ_EXPORT_GGUF, false, &report, &error));
    remove_place(place);
}

/* GGUF holds mistral's sliding window, not qwen's; MLX's configuration holds both. What the programs that read them do without
 * is said. */
static void windows_are_kept_or_refused(void **state) {
    (void)state;
    static const struct {
        const char *family;
        dq_export_format format;
        const char *note; /* NULL: refused */
    } cases[] = {
        {"qwen2_window", DQ_EXPORT_GGUF, NULL},
        {"qwen2_window", DQ_EXPORT_MLX, "mlx-lm has no sliding window for qwen2"},
        {"qwen2_window", DQ_EXPORT_HF, ""},
        {"mistral_window", DQ_EXPORT_GGUF, "llama.cpp has no sliding window for mistral"},
        {"mistral_window", DQ_EXPORT_MLX, "mlx-lm has no sliding window for mistral"},
        {"mistral_window", DQ_EXPORT_RESULT, ""},
        {"qwen2", DQ_EXPORT_GGUF, ""},
    };
    char place[256], source[1024], to[1024];
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        dlqat_status status = export_path(family(source, cases[i].family), join(to, place, name), cases[i].format,
                                          false, &report, &error);
        if (!cases[i].note) {
            assert_int_equal(status, DLQAT_ERROR_UNSUPPORTED);
            assert_non_null(
                strstr(error.message, "GGUF has no sliding window for qwen2, and this model has one of 4 "));
            assert_false(dq_file_exists(to));
            continue;
        }
        assert_ok(status);
        assert_int_equal(report.window_note[0] != '\0', cases[i].note[0] != '\0');
        assert_non_null(strstr(report.window_note, cases[i].note));
        dq_model *before, *after;
        assert_ok(dq_model_open(&before, source, false, &error));
        assert_ok(dq_model_open(&after, to, false, &error));
        assert_int_equal(after->config.window, before->config.window);
        assert_int_equal(after->config.first_windowed_layer, before->config.first_windowed_layer);
        dq_model_close(before);
        dq_model_close(after);
    }
    remove_place(place);
}

static void nothing_is_replaced_unasked(void **state) {
    (void)state;
    char place[256], source[1024], to[1024], keep[1024];
    dlqat_error error;
    dq_export_report report;
    make_place(place);
    family(source, "qwen3");
    assert_ok(dq_make_directories(join(to, place, "full"), &error));
    assert_ok(dq_write_file(join(keep, to, "thesis.txt"), "mine", 4, &error));
    assert_fails(export_path(source, to, DQ_EXPORT_HF, false, &report, &error), DLQAT_ERROR_INPUT, "exists already");
    assert_fails(export_path(source, keep, DQ_EXPORT_GGUF, false, &report, &error), DLQAT_ERROR_INPUT,
                 "exists already");
    assert_true(dq_file_exists(keep));
    assert_ok(dq_make_directories(join(to, place, "empty"), &error));
    assert_ok(export_path(source, to, DQ_EXPORT_HF, false, &report, &error));

    dq_model *model;
    assert_ok(dq_model_open(&model, source, false, &error));
    const dq_export_options how = {.format = DQ_EXPORT_RESULT, .replace = true, .threads = 1};
    assert_ok(dq_export(model, NULL, to, &how, &report, &error));
    dq_model_close(model);
    /* A place that cannot be: the error names it, and nothing is left beside it. */
    assert_fails(export_path(source, join(to, keep, "under-a-file"), DQ_EXPORT_HF, false, &report, &error),
                 DLQAT_ERROR_IO, "thesis.txt");
    assert_fails(export_path(source, join(to, keep, "x.gguf"), DQ_EXPORT_GGUF, false, &report, &error), DLQAT_ERROR_IO,
                 "thesis.txt");
    remove_place(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_of_plain_models_is_gguf_pys),
        cmocka_unit_test(q8_0_survives_the_way_through_mlx),
        cmocka_unit_test(affine_directories_are_copied_exactly),
        cmocka_unit_test(bf16_says_how_far_it_rounds),
        cmocka_unit_test(a_flipped_bit_is_found),
        cmocka_unit_test(what_differs_is_not_put_in_place),
        cmocka_unit_test(windows_are_kept_or_refused),
        cmocka_unit_test(nothing_is_replaced_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
