/* Every grid goes through every format that holds it, and comes back as the same W_hat. */
#include "export_support.h"

/* The one hash that every file must give: the quantizers' own, made before anything was written. */
typedef struct sweep {
    char source[1024], place[256];
    int cases, mlx, q4_0, q4_1, q5_1, q8_0, f32;
} sweep;

static void check_exact(const dq_export_report *report, const char *hash) {
    assert_string_equal(report->comparison.hash_a, hash);
    assert_string_equal(report->comparison.hash_b, hash);
    assert_true(report->comparison.exact);
    assert_true(report->comparison.max_abs_dw == 0);
}

/* What formats.md says each format holds. */
static void check_mlx(sweep *s, const char *result, int bits, int group, const char *hash) {
    char to[1024];
    dlqat_error error;
    dq_export_report report;
    join(to, s->place, "mlx");
    if (bits == 7) {
        assert_fails(export_path(result, to, DQ_EXPORT_MLX, false, &report, &error), DLQAT_ERROR_UNSUPPORTED, "7-bit");
        assert_false(dq_is_directory(to));
    } else if (group == 16) {
        assert_fails(export_path(result, to, DQ_EXPORT_MLX, false, &report, &error), DLQAT_ERROR_UNSUPPORTED, "16");
        assert_false(dq_is_directory(to));
    } else {
        assert_ok(export_path(result, to, DQ_EXPORT_MLX, false, &report, &error));
        check_exact(&report, hash);
        s->mlx++;
        assert_ok(dq_remove_tree(to, &error));
    }
}

static void check_gguf(sweep *s, const char *result, int bits, int group, const char *scale, bool none,
                       const char *hash) {
    char to[1024];
    dlqat_error error;
    dq_export_report report;
    assert_ok(export_path(result, join(to, s->place, "model.gguf"), DQ_EXPORT_GGUF, false, &report, &error));
    check_exact(&report, hash);
    assert_ok(dq_remove_tree(to, &error));
    /* A bf16 of ordinary size is an f16 too; an f32 may be one by chance, but not all of them. */
    bool fits = group != 16 && strcmp(scale, "f32") != 0;
    if (!fits) {
        assert_int_equal(report.written_as[DQ_F32], 7);
        assert_true(report.note[0]);
    } else if (bits <= 4) {
        assert_int_equal(report.written_as[none && bits == 4 ? DQ_Q4_0 : DQ_Q4_1], 7);
    } else if (bits == 5) {
        assert_int_equal(report.written_as[DQ_Q5_1], 7);
    } else {
        assert_int_equal(report.written_as[none && bits == 8 ? DQ_Q8_0 : DQ_F32], 7);
        assert_int_equal(report.note[0] != 0, !(none && bits == 8));
    }
    s->q4_0 += report.written_as[DQ_Q4_0] != 0;
    s->q4_1 += report.written_as[DQ_Q4_1] != 0;
    s->q5_1 += report.written_as[DQ_Q5_1] != 0;
    s->q8_0 += report.written_as[DQ_Q8_0] != 0;
    s->f32 += report.written_as[DQ_F32] != 0;
}

static void check_grid(sweep *s, int bits, int group, const char *scale, bool none) {
    char bits_text[16], group_text[16], result[1024], to[1024], hash[33];
    snprintf(bits_text, sizeof bits_text, "%d", bits);
    snprintf(group_text, sizeof group_text, "%d", group);
    const char *const pairs[] = {
        "bits", bits_text, "group-size", group_text, "scale-dtype", scale, "offset", none ? "none" : "float", NULL};
    dlqat_error error;
    quantized q;
    open_quantized(&q, s->source, pairs);
    assert_ok(dq_quantizer_set_hash(&q.set, hash, &error));
    const dq_export_options how = {.format = DQ_EXPORT_RESULT, .threads = 1};
    dq_export_report report;
    assert_ok(dq_export(q.model, &q.set, join(result, s->place, "result"), &how, &report, &error));
    check_exact(&report, hash);
    close_quantized(&q);
    /* codes, S and O of 7 matrices of 128 or 256 columns: nothing else counts as a linear's bytes. */
    double groups_per_weight = group == -1 ? 0 : 1.0 / group, size = strcmp(scale, "f32") == 0 ? 32 : 16;
    if (group != -1) assert_true(fabs(dq_export_linear_bits(&report) - (bits + 2 * size * groups_per_weight)) < 1e-9);

    check_mlx(s, result, bits, group, hash);
    check_gguf(s, result, bits, group, scale, none, hash);
    assert_ok(export_path(result, join(to, s->place, "hf"), DQ_EXPORT_HF, false, &report, &error));
    check_exact(&report, hash);
    assert_ok(dq_remove_tree(to, &error));
    assert_ok(dq_remove_tree(result, &error));
    s->cases++;
}

static void every_grid_is_held_to_the_bit(void **state) {
    (void)state;
    static const int groups[] = {16, 32, 64, 128, -1};
    static const char *const scales[] = {"f16", "bf16", "f32"};
    sweep s = {.cases = 0};
    make_place(s.place);
    make_small_model(join(s.source, s.place, "source"));
    for (int bits = 2; bits <= 8; bits++)
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
            for (int t = 0; t < 3; t++)
                for (int none = 0; none < 2; none++)
                    if (t != 1 || bits <= 5) check_grid(&s, bits, groups[g], scales[t], none);
    print_message("%d grids; MLX %d; GGUF: Q4_0 %d, Q4_1 %d, Q5_1 %d, Q8_0 %d, F32 %d\n", s.cases, s.mlx, s.q4_0,
                  s.q4_1, s.q5_1, s.q8_0, s.f32);
    assert_int_equal(s.cases, 180);
    remove_place(s.place);
}

/* Modules with bits of their own, and excluded ones, are each written as they are. */
static void modules_differ(void **state) {
    (void)state;
    static const char *const pairs[] = {"bits",          "3",       "group-size", "32", "bits-for",
                                        "*.down_proj=6", "exclude", "*.o_proj",   NULL};
    char place[256], source[1024], result[1024], to[1024], hash[33];
    make_place(place);
    make_small_model(join(source, place, "source"));
    dlqat_error error;
    quantized q;
    open_quantized(&q, source, pairs);
    const dq_export_options how = {.format = DQ_EXPORT_RESULT, .threads = 1};
    dq_export_report report;
    assert_ok(dq_export(q.model, &q.set, join(result, place, "result"), &how, &report, &error));
    assert_ok(dq_quantizer_set_hash(&q.set, hash, &error)); /* excluded linears count */
    check_exact(&report, hash);
    assert_int_equal(report.written_as[DQ_U32], 6);
    assert_int_equal(report.written_as[DQ_F32], 1);
    close_quantized(&q);

    /* The hash of a directory as it lies there, excluded linears among the rest. */
    dq_model *model;
    dq_inventory inventory;
    char again[33];
    assert_ok(dq_model_open(&model, result, false, &error));
    assert_ok(dq_inventory_open(&inventory, model, NULL, &error));
    assert_ok(dq_inventory_hash(&inventory, 1, again, &error));
    assert_string_equal(again, hash);
    dq_inventory_close(&inventory);
    dq_model_close(model);

    json_t *config;
    char path[1024];
    assert_ok(dq_json_load(join(path, result, "config.json"), &config, &error));
    const json_t *numbers = json_object_get(config, "quantization");
    assert_true(json_equal(numbers, json_object_get(config, "quantization_config")));
    assert_int_equal(json_integer_value(json_object_get(numbers, "bits")), 3);
    assert_int_equal(json_integer_value(json_object_get(numbers, "group_size")), 32);
    const json_t *down = json_object_get(numbers, "model.layers.0.mlp.down_proj");
    assert_int_equal(json_integer_value(json_object_get(down, "bits")), 6);
    assert_true(json_is_false(json_object_get(numbers, "model.layers.0.self_attn.o_proj")));
    assert_true(json_is_false(json_object_get(numbers, "model.embed_tokens")));
    json_decref(config);

    assert_ok(export_path(result, join(to, place, "model.gguf"), DQ_EXPORT_GGUF, false, &report, &error));
    assert_string_equal(report.comparison.hash_b, hash);
    assert_int_equal(report.written_as[DQ_Q4_1], 5);
    assert_int_equal(report.written_as[DQ_F32], 2);
    remove_place(place);
}

/* Q4_0 gives -0 where S < 0 and the code is 8, and W_hat is +0 there: such a tensor goes as Q4_1. */
static void a_negative_scale_is_not_q4_0(void **state) {
    (void)state;
    static const char *const pairs[] = {"bits", "4", "group-size", "32", "offset", "none", NULL};
    char place[256], source[1024], to[1024];
    make_place(place);
    make_small_model(join(source, place, "source"));
    dlqat_error error;
    quantized q;
    open_quantized(&q, source, pairs);
    dq_parameter *m = &q.set.at[DQ_DOWN].parameter[DQ_PARAMETER_MAGNITUDE];
    for (int64_t k = 0; k < m->columns; k++) m->value[5 * m->columns + k] = -0.75f;
    assert_ok(dq_quantizer_set_refresh(&q.set, &q.compute, &error));
    const dq_export_options how = {.format = DQ_EXPORT_GGUF, .threads = 1};
    dq_export_report report;
    assert_ok(dq_export(q.model, &q.set, join(to, place, "model.gguf"), &how, &report, &error));
    assert_int_equal(report.written_as[DQ_Q4_0], 6);
    assert_int_equal(report.written_as[DQ_Q4_1], 1);
    assert_true(report.comparison.exact);
    close_quantized(&q);
    remove_place(place);
}

/* Any number of threads writes the same file, and finds the same hash in it. */
static void threads_do_not_matter(void **state) {
    (void)state;
    static const char *const pairs[] = {"bits", "3", "group-size", "32", NULL};
    static const dq_export_format formats[] = {DQ_EXPORT_RESULT, DQ_EXPORT_HF, DQ_EXPORT_GGUF};
    char place[256], source[1024], to[1024], file[1024], *bytes[2], hash[2][33];
    size_t size[2];
    dlqat_error error;
    quantized q;
    make_place(place);
    make_small_model(join(source, place, "source"));
    open_quantized(&q, source, pairs);
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (int i = 0; i < 2; i++) {
            const dq_export_options how = {.format = formats[f], .replace = true, .threads = i ? 3 : 1};
            dq_export_report report;
            assert_ok(dq_export(q.model, &q.set, join(to, place, f == 2 ? "x.gguf" : "x"), &how, &report, &error));
            strcpy(hash[i], report.comparison.hash_b);
            if (f == 2)
                strcpy(file, to);
            else
                join(file, to, "model.safetensors");
            assert_ok(dq_read_file(file, &bytes[i], &size[i], &error));
        }
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(bytes[0], bytes[1], size[0]);
        assert_string_equal(hash[0], hash[1]);
        free(bytes[0]);
        free(bytes[1]);
    }
    close_quantized(&q);
    remove_place(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_grid_is_held_to_the_bit),
        cmocka_unit_test(modules_differ),
        cmocka_unit_test(a_negative_scale_is_not_q4_0),
        cmocka_unit_test(threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
