/* Opening models: what is in them, and what is refused with its name. Broken ones are made from the fixtures: another
 * config.json beside the same weights, or bytes changed in a GGUF. */
#define _DEFAULT_SOURCE
#include "support.h"

#include "base/file.h"
#include "base/random.h"
#include "model/model.h"
#include "model/names.h"

static void fixture_path(char path[1024], const char *name) {
    snprintf(path, 1024, "%s/families/%s", TEST_FIXTURES, name);
}

static void make_directory(char path[1024]) {
    const char *root = getenv("TMPDIR");
    snprintf(path, 1024, "%s/dlqat-test-XXXXXX", root && *root ? root : "/tmp");
    assert_non_null(mkdtemp(path));
}

static void put(const char *directory, const char *name, const void *bytes, size_t size) {
    char *path = dq_path_join(directory, name);
    FILE *stream = fopen(path, "wb"); /* not synced to the disk: there are thousands */
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
    free(path);
}

/* family's weights under its config.json with the members of `changes` put in ("name": null removes it). */
static void make_variant(char path[1024], const char *family, const char *changes) {
    dlqat_error error;
    char source[1024];
    json_t *config, *change, *value;
    const char *key;
    make_directory(path);
    fixture_path(source, family);
    char *from = dq_path_join(source, "config.json"), *to = dq_path_join(path, "config.json");
    assert_ok(dq_json_load(from, &config, &error));
    assert_ok(dq_json_parse(changes, strlen(changes), "changes", &change, &error));
    json_object_foreach(change, key, value) {
        if (json_is_null(value))
            json_object_del(config, key);
        else
            json_object_set(config, key, value);
    }
    assert_ok(dq_json_save(config, to, &error));
    json_decref(change);
    json_decref(config);
    free(from);
    free(to);
    from = dq_path_join(source, "model.safetensors");
    to = dq_path_join(path, "model.safetensors");
    assert_ok(dq_copy_file(from, to, &error));
    free(from);
    free(to);
}

static void clean(const char *path) {
    dlqat_error error;
    assert_ok(dq_remove_tree(path, &error));
}

static void contents_are_as_stored(void **state) {
    (void)state;
    dlqat_error error;
    char path[1024];
    dq_model *model;
    fixture_path(path, "qwen3");
    assert_ok(dq_model_open(&model, path, false, &error));
    assert_int_equal(dq_model_linear_count(model), 14);
    assert_string_equal(dq_model_linear(model, 0)->name, "model.layers.0.self_attn.q_proj");
    assert_string_equal(dq_model_linear(model, 13)->name, "model.layers.1.mlp.down_proj");
    const dq_linear *down = dq_model_linear(model, 13);
    const dq_tensor *tensor = dq_safetensors_find(model->safetensors, "model.layers.1.mlp.down_proj.weight");
    assert_int_equal(down->base.out, 32);
    assert_int_equal(down->base.in, 64);
    assert_ptr_equal(down->base.resident, tensor->data); /* mapped, not copied */
    assert_ptr_equal(down->active.resident, tensor->data);
    float rows[2 * 64];
    dq_weight_rows(&down->base, 5, 2, rows);
    assert_memory_equal(rows, (const float *)tensor->data + 5 * 64, sizeof rows);
    /* 2 x (32 x 64 x 2 + 32 x 32 x 2 + 3 x 32 x 64 + 2 x 32 + 2 x 16) + 2 x 64 x 32 + 32 */
    assert_int_equal(dq_model_parameters(model), 2 * (4096 + 2048 + 6144 + 64 + 32) + 4096 + 32);
    assert_non_null(model->config_json);
    assert_null(model->tokenizer);
    assert_ptr_not_equal(model->head.tensor, model->embedding.tensor);
    dq_model_close(model);
}

/* The rows of a permuted GGUF come in the order of the directory it was made from. */
static void gguf_rows_are_in_our_order(void **state) {
    (void)state;
    dlqat_error error;
    char path[1024];
    dq_model *hf, *gguf;
    fixture_path(path, "llama_bias_sharded");
    assert_ok(dq_model_open(&hf, path, false, &error));
    fixture_path(path, "llama_bias_sharded/model-f32.gguf");
    assert_ok(dq_model_open(&gguf, path, false, &error));
    assert_null(gguf->config_json);
    for (int i = 0; i < dq_model_linear_count(hf); i++) {
        const dq_linear *a = dq_model_linear(hf, i), *b = dq_model_linear(gguf, i);
        float x[64], y[64];
        assert_string_equal(a->name, b->name);
        assert_memory_equal(a->bias, b->bias, (size_t)a->base.out * sizeof(float));
        for (int64_t row = 0; row < a->base.out; row++) {
            dq_weight_rows(&a->base, row, 1, x);
            dq_weight_rows(&b->base, row, 1, y);
            assert_memory_equal(x, y, (size_t)a->base.in * sizeof(float));
        }
    }
    assert_int_equal(gguf->config.rope, DQ_ROPE_LINEAR);
    assert_true(gguf->config.rms_eps == 1e-5 && gguf->config.o_bias && gguf->config.mlp_bias);
    dq_model_close(hf);
    dq_model_close(gguf);
}

/* llama3's scaling comes back from GGUF's factors as the numbers they were made from. */
static void gguf_rope_factors(void **state) {
    (void)state;
    dlqat_error error;
    char path[1024];
    dq_model *model;
    fixture_path(path, "llama3/model-q8_0.gguf");
    assert_ok(dq_model_open(&model, path, false, &error));
    const dq_config *c = &model->config;
    assert_int_equal(c->rope, DQ_ROPE_LLAMA3);
    assert_true(c->rope_factor == 8 && c->rope_low == 1 && c->rope_high == 4 && c->rope_original == 32);
    assert_true(c->tied);
    assert_int_equal(model->embedding.tensor->dtype, DQ_Q8_0);
    assert_null(model->embedding.resident);
    dq_model_close(model);
    fixture_path(path, "mistral_window/model-f16.gguf");
    assert_ok(dq_model_open(&model, path, false, &error));
    assert_int_equal(model->config.family, DQ_MISTRAL);
    assert_int_equal(model->config.window, 4);
    dq_model_close(model);
}

static void run_directory_means_its_model(void **state) {
    (void)state;
    dlqat_error error;
    char run[1024], variant[1024];
    dq_model *model;
    make_directory(run);
    make_variant(variant, "qwen3", "{}");
    char *inner = dq_path_join(run, "model");
    assert_int_equal(rename(variant, inner), 0);
    put(run, "config.json", "{\"bits\": 3}\n", 12);
    assert_ok(dq_model_open(&model, run, false, &error));
    assert_string_equal(model->path, inner);
    dq_model_close(model);
    free(inner);
    clean(run);
}

static void generation_config_adds_ends(void **state) {
    (void)state;
    dlqat_error error;
    char path[1024];
    dq_model *model;
    make_variant(path, "qwen3", "{}");
    static const char more[] = "{\"eos_token_id\": [2, 5, 7]}";
    put(path, "generation_config.json", more, sizeof more - 1);
    assert_ok(dq_model_open(&model, path, false, &error));
    assert_int_equal(model->config.eos_count, 3);
    assert_int_equal(model->config.eos[0], 2);
    assert_int_equal(model->config.eos[2], 7);
    dq_model_close(model);
    static const char outside[] = "{\"eos_token_id\": 64}";
    put(path, "generation_config.json", outside, sizeof outside - 1);
    assert_fails(dq_model_open(&model, path, false, &error), DLQAT_ERROR_INPUT, "64");
    clean(path);
}

static void broken_directories_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *family, *changes;
        dlqat_status status;
        const char *message;
    } cases[] = {
        {"qwen3", "{\"num_hidden_layers\": 3, \"layer_types\": null}", DLQAT_ERROR_INPUT,
         "no tensor model.layers.2.self_attn.q_proj.weight"},
        {"qwen3", "{\"num_hidden_layers\": 16000, \"layer_types\": null}", DLQAT_ERROR_INPUT,
         "too few for 16000 layers"},
        {"qwen3", "{\"num_hidden_layers\": 1, \"layer_types\": null}", DLQAT_ERROR_UNSUPPORTED, "model.layers.1."},
        {"qwen3", "{\"hidden_size\": 64}", DLQAT_ERROR_INPUT, "model.embed_tokens.weight"},
        {"qwen3", "{\"vocab_size\": 65}", DLQAT_ERROR_INPUT, "model.embed_tokens.weight"},
        {"qwen3", "{\"intermediate_size\": 96}", DLQAT_ERROR_INPUT, "model.layers.0.mlp.gate_proj.weight"},
        {"qwen3", "{\"num_key_value_heads\": 4}", DLQAT_ERROR_INPUT, "model.layers.0.self_attn.k_proj.weight"},
        {"qwen3", "{\"head_dim\": 8}", DLQAT_ERROR_INPUT, "model.layers.0.self_attn.q_proj.weight"},
        {"qwen3", "{\"attention_bias\": true}", DLQAT_ERROR_INPUT, "no tensor model.layers.0.self_attn.q_proj.bias"},
        {"qwen3", "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"]}", DLQAT_ERROR_UNSUPPORTED,
         "self_attn.k_norm.weight"},
        {"qwen3_tied", "{\"tie_word_embeddings\": false}", DLQAT_ERROR_INPUT, "no tensor lm_head.weight"},
        {"qwen3_tied", "{\"attention_bias\": false}", DLQAT_ERROR_UNSUPPORTED, "bias"},
        {"affine_mlx", "{\"quantization\": null}", DLQAT_ERROR_INPUT, "model.embed_tokens has scales"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 32, \"bits\": 4}}", DLQAT_ERROR_INPUT,
         "model.embed_tokens.weight"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 24, \"bits\": 4}}", DLQAT_ERROR_INPUT, "24"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 0, \"bits\": 4}}", DLQAT_ERROR_INPUT, "group_size"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 32, \"bits\": 9}}", DLQAT_ERROR_UNSUPPORTED, "\"bits\" 9"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 32}}", DLQAT_ERROR_UNSUPPORTED, "\"bits\" 0"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 32, \"bits\": 8, \"model.embed_tokens\": false}}",
         DLQAT_ERROR_INPUT, "model.embed_tokens is not quantized"},
        {"affine_mlx", "{\"quantization\": {\"group_size\": 32, \"bits\": 8, \"mode\": \"mxfp8\"}}",
         DLQAT_ERROR_UNSUPPORTED, "mxfp8"},
        {"qwen3", "{\"quantization\": {\"lm_head\": {\"group_size\": 32, \"bits\": 8}}}", DLQAT_ERROR_INPUT,
         "lm_head is quantized"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_error error;
        char path[1024];
        dq_model *model;
        make_variant(path, cases[i].family, cases[i].changes);
        assert_fails(dq_model_open(&model, path, false, &error), cases[i].status, cases[i].message);
        assert_null(model);
        assert_non_null(strstr(error.message, path));
        clean(path);
    }
}

static void missing_things_are_named(void **state) {
    (void)state;
    dlqat_error error;
    char path[1024];
    dq_model *model;
    assert_fails(dq_model_open(&model, "/nowhere/at/all", false, &error), DLQAT_ERROR_IO, "/nowhere/at/all");
    make_directory(path);
    assert_fails(dq_model_open(&model, path, false, &error), DLQAT_ERROR_INPUT, "no config.json");
    put(path, "config.json", "{", 1);
    assert_fails(dq_model_open(&model, path, false, &error), DLQAT_ERROR_INPUT, "config.json");
    put(path, "config.json", "{\"model_type\": \"llama\"}", 23);
    assert_int_not_equal(dq_model_open(&model, path, false, &error), DLQAT_OK);
    put(path, "text", "hello", 5);
    char *file = dq_path_join(path, "text");
    assert_fails(dq_model_open(&model, file, false, &error), DLQAT_ERROR_INPUT, "not a GGUF file");
    free(file);
    clean(path);
    fixture_path(path, "qwen3");
    assert_fails(dq_model_open(&model, path, true, &error), DLQAT_ERROR_INPUT, "tokenizer.json");
    fixture_path(path, "qwen3/model-f32.gguf");
    assert_fails(dq_model_open(&model, path, true, &error), DLQAT_ERROR_INPUT, "tokenizer.ggml.model");
}

/* GGUF files in which the first occurrence of some bytes is replaced by as many others. */
static void broken_gguf_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *file, *from, *to;
        dlqat_status status;
        const char *message;
    } cases[] = {
        {"qwen3/model-f32.gguf", "qwen3", "gemma", DLQAT_ERROR_UNSUPPORTED, "\"gemma\""},
        {"qwen3/model-f32.gguf", "general.architecture", "general.architectuRe", DLQAT_ERROR_INPUT,
         "general.architecture"},
        {"qwen3/model-f32.gguf", "qwen3.block_count", "qwen3.block_counT", DLQAT_ERROR_INPUT, "qwen3.block_count"},
        {"qwen3/model-f32.gguf", "layer_norm_rms_epsilon", "layer_norm_rms_epsiloN", DLQAT_ERROR_INPUT, "rms_norm_eps"},
        {"qwen3/model-f32.gguf", "qwen3.context_length", "qwen3.logit_scaleeee", DLQAT_ERROR_INPUT, "context_length"},
        {"qwen3/model-f32.gguf", "blk.1.ffn_up.weight", "blk.1.ffn_uP.weight", DLQAT_ERROR_INPUT,
         "blk.1.ffn_up.weight"},
        {"qwen3/model-f32.gguf", "blk.0.attn_k_norm.weight", "blk.0.attn_k_nORM.weight", DLQAT_ERROR_INPUT,
         "blk.0.attn_k_norm.weight"},
        {"qwen3/model-f32.gguf", "output.weight", "outpuT.weight", DLQAT_ERROR_UNSUPPORTED, "outpuT.weight"},
        {"qwen3/model-f32.gguf", "qwen3.attention.head_count_kv", "qwen3.attention.head_count_kV", DLQAT_ERROR_INPUT,
         "attn_k.weight"},
        {"qwen3/model-f32.gguf", "qwen3.attention.head_count_kv", "qwen3.attention.sliding_windo", DLQAT_ERROR_INPUT,
         "attn_k.weight"},
        {"llama3/model-f32.gguf", "rope_freqs.weight", "rope_freqz.weight", DLQAT_ERROR_UNSUPPORTED,
         "rope_freqz.weight"},
        {"qwen2/model-bf16.gguf", "blk.1.attn_v.bias", "blk.1.attn_v.biaS", DLQAT_ERROR_INPUT, "blk.1.attn_v.bias"},
        {"qwen2/model-bf16.gguf", "blk.0.attn_q.bias", "blk.0.attn_q.biaS", DLQAT_ERROR_UNSUPPORTED, "bia"},
    };
    char directory[1024];
    make_directory(directory);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_error error;
        char path[1024], *bytes;
        size_t size, length = strlen(cases[i].from), at = 0;
        dq_model *model;
        fixture_path(path, cases[i].file);
        assert_ok(dq_read_file(path, &bytes, &size, &error));
        while (at + length <= size && memcmp(bytes + at, cases[i].from, length) != 0) at++;
        assert_true(at + length <= size);
        assert_int_equal(strlen(cases[i].to), length);
        memcpy(bytes + at, cases[i].to, length);
        put(directory, "broken.gguf", bytes, size);
        free(bytes);
        char *broken = dq_path_join(directory, "broken.gguf");
        assert_fails(dq_model_open(&model, broken, false, &error), cases[i].status, cases[i].message);
        assert_non_null(strstr(error.message, broken));
        free(broken);
    }
    clean(directory);
}

/* Types that hold no weights (26: I32) or that are not known here (20: IQ4_NL), by the tensor's name. */
static void gguf_types_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        char type;
        const char *message;
    } cases[] = {{26, "I32"}, {20, "20"}};
    static const char name[] = "blk.1.ffn_up.weight";
    enum { TYPE_AT = sizeof name - 1 + 4 + 2 * 8 }; /* behind the name: the number of dimensions, two of them */
    char directory[1024], path[1024];
    make_directory(directory);
    fixture_path(path, "qwen3/model-f32.gguf");
    for (size_t i = 0; i < 2; i++) {
        dlqat_error error;
        char *bytes, *broken = dq_path_join(directory, "broken.gguf");
        size_t size, at = 0;
        dq_model *model;
        assert_ok(dq_read_file(path, &bytes, &size, &error));
        while (memcmp(bytes + at, name, sizeof name - 1) != 0) at++;
        bytes[at + TYPE_AT] = cases[i].type;
        put(directory, "broken.gguf", bytes, size);
        assert_fails(dq_model_open(&model, broken, false, &error), DLQAT_ERROR_UNSUPPORTED, name);
        assert_non_null(strstr(error.message, cases[i].message));
        free(bytes);
        free(broken);
    }
    clean(directory);
}

/* Bytes of headers changed at random (fixed seed): opening may succeed or fail, with a message, and never anything else. */
static void damaged_headers_do_no_harm(void **state) {
    (void)state;
    static const struct {
        const char *family, *source, *name;
        size_t header; /* bytes that may change; 0: all */
    } cases[] = {
        {"qwen3", "qwen3/config.json", "config.json", 0},
        {"affine_own", "affine_own/config.json", "config.json", 0},
        {"qwen3", "qwen3/model.safetensors", "model.safetensors", 3000},
        {"llama3", "llama3/model-q8_0.gguf", "broken.gguf", 2500},
        {"llama3", "llama_bias_sharded/model-f32.gguf", "broken.gguf", 2500},
    };
    char directory[1024], path[1024];
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        dlqat_error error;
        char *bytes;
        size_t size, opened = 0;
        make_variant(directory, cases[c].family, "{}");
        fixture_path(path, cases[c].source);
        assert_ok(dq_read_file(path, &bytes, &size, &error));
        char *damaged = malloc(size), *broken = dq_path_join(directory, "broken.gguf");
        for (uint32_t round = 0; round < 300; round++) {
            memcpy(damaged, bytes, size);
            uint32_t random[4];
            for (uint32_t k = 0; k <= round % 3; k++) {
                dq_random_block(1, DQ_STREAM_SAMPLE, (uint32_t)c, round * 3 + k, random);
                size_t span = cases[c].header ? cases[c].header : size;
                damaged[random[0] % span] = random[1] & 1 ? (char)random[2] : (char)('0' + random[2] % 10);
            }
            put(directory, cases[c].name, damaged, size);
            dq_model *model;
            error.message[0] = '\0';
            dlqat_status status =
                dq_model_open(&model, strstr(cases[c].name, "gguf") ? broken : directory, false, &error);
            opened += status == DLQAT_OK;
            assert_true(status == DLQAT_OK ? model != NULL : model == NULL && error.message[0]);
            dq_model_close(model);
        }
        print_message("%s: %zu of 300 still open\n", cases[c].source, opened);
        free(bytes);
        free(damaged);
        free(broken);
        clean(directory);
    }
}

static void names_go_both_ways(void **state) {
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        for (int part = 0; part < DQ_PARTS; part++) {
            char name[DQ_NAME_SIZE];
            int found, layer;
            const char *suffix;
            dq_part_name(name, gguf, part, 12);
            strcat(name, ".weight");
            assert_true(dq_part_parse(name, gguf, &found, &layer, &suffix));
            assert_int_equal(found, part);
            assert_int_equal(layer, part < DQ_PART_EMBEDDING ? 12 : -1);
            assert_string_equal(suffix, "weight");
        }
    }
    static const char *const strangers[] = {"",
                                            "lm_head",
                                            "model.layers.1",
                                            "model.layers..self_attn.q_proj.weight",
                                            "model.layers.1.lm_head.weight",
                                            "model.layers.99999999999.input_layernorm.weight",
                                            "self_attn.q_proj.weight",
                                            "blk.1.attn_q.weight"};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        int found, layer;
        const char *suffix;
        assert_false(dq_part_parse(strangers[i], false, &found, &layer, &suffix));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_are_as_stored),
        cmocka_unit_test(gguf_rows_are_in_our_order),
        cmocka_unit_test(gguf_rope_factors),
        cmocka_unit_test(run_directory_means_its_model),
        cmocka_unit_test(generation_config_adds_ends),
        cmocka_unit_test(broken_directories_are_refused),
        cmocka_unit_test(missing_things_are_named),
        cmocka_unit_test(broken_gguf_is_refused),
        cmocka_unit_test(gguf_types_are_refused_by_name),
        cmocka_unit_test(damaged_headers_do_no_harm),
        cmocka_unit_test(names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
