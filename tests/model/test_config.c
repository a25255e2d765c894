/* config.json and GGUF keys: defaults, both spellings of RoPE, refusals by name, and the way back. */
#include "scratch.h"

#include <math.h>

#include "model/config.h"

static dlqat_status parse(dq_config *config, const char *text, dlqat_error *error) {
    json_t *json;
    dlqat_status status = dq_json_parse(text, strlen(text), "config.json", &json, error);
    if (status != DLQAT_OK) return status;
    status = dq_config_from_json(config, json, "config.json", error);
    json_decref(json);
    return status;
}

static void assert_same(const dq_config *a, const dq_config *b) {
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->intermediate, b->intermediate);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_width, b->head_width);
    assert_int_equal(a->vocabulary, b->vocabulary);
    assert_int_equal(a->context, b->context);
    assert_int_equal(a->window, b->window);
    assert_int_equal(a->first_windowed_layer, b->first_windowed_layer);
    assert_int_equal(a->rope, b->rope);
    assert_true(a->rms_eps == b->rms_eps && a->rope_theta == b->rope_theta);
    if (a->rope != DQ_ROPE_DEFAULT) assert_true(a->rope_factor == b->rope_factor);
    if (a->rope == DQ_ROPE_LLAMA3)
        assert_true(a->rope_low == b->rope_low && a->rope_high == b->rope_high && a->rope_original == b->rope_original);
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->o_bias, b->o_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->eos_count, b->eos_count);
    for (int i = 0; i < a->eos_count; i++) assert_int_equal(a->eos[i], b->eos[i]);
}

/* What transformers' classes have when nothing but the type is said (qwen: no window without use_sliding_window). */
static void absent_keys_take_the_familys_defaults(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int intermediate, kv_heads, head_width;
        int64_t vocabulary, context, window, bos;
        int eos_count;
        bool qkv_bias, qk_norm;
    } cases[] = {
        {"{\"model_type\": \"llama\"}", 11008, 32, 128, 32000, 2048, 0, 1, 1, false, false},
        {"{\"model_type\": \"mistral\"}", 14336, 8, 128, 32000, 131072, 4096, 1, 1, false, false},
        {"{\"model_type\": \"qwen2\"}", 22016, 32, 128, 151936, 32768, 0, -1, 0, true, false},
        {"{\"model_type\": \"qwen3\", \"hidden_size\": 1024}", 22016, 32, 128, 151936, 32768, 0, -1, 0, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_error error;
        dq_config c;
        assert_ok(parse(&c, cases[i].text, &error));
        assert_int_equal(c.hidden, i == 3 ? 1024 : 4096);
        assert_int_equal(c.layers, 32);
        assert_int_equal(c.heads, 32);
        assert_int_equal(c.intermediate, cases[i].intermediate);
        assert_int_equal(c.kv_heads, cases[i].kv_heads);
        assert_int_equal(c.head_width, cases[i].head_width);
        assert_int_equal(c.vocabulary, cases[i].vocabulary);
        assert_int_equal(c.context, cases[i].context);
        assert_int_equal(c.window, cases[i].window);
        assert_int_equal(c.bos, cases[i].bos);
        assert_int_equal(c.eos_count, cases[i].eos_count);
        assert_int_equal(c.qkv_bias, cases[i].qkv_bias);
        assert_int_equal(c.qk_norm, cases[i].qk_norm);
        assert_false(c.tied || c.o_bias || c.mlp_bias);
        assert_true(c.rms_eps == 1e-6 && c.rope_theta == 10000 && c.rope == DQ_ROPE_DEFAULT);
    }
}

static void null_is_not_absent(void **state) {
    (void)state;
    dlqat_error error;
    dq_config c;
    assert_ok(parse(&c,
                    "{\"model_type\": \"mistral\", \"num_key_value_heads\": null, \"sliding_window\": null,"
                    " \"bos_token_id\": null, \"eos_token_id\": [5, 7], \"head_dim\": null}",
                    &error));
    assert_int_equal(c.kv_heads, 32);
    assert_int_equal(c.window, 0);
    assert_int_equal(c.bos, -1);
    assert_int_equal(c.eos_count, 2);
    assert_int_equal(c.eos[1], 7);
    assert_int_equal(c.head_width, 128);
}

static void both_spellings_of_rope(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"model_type\": \"llama\", \"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\","
        " \"factor\": 32.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
        " \"original_max_position_embeddings\": 8192}}",
        "{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_theta\": 500000, \"rope_type\": \"llama3\","
        " \"factor\": 32, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": "
        "8192}}",
        "{\"model_type\": \"llama\", \"max_position_embeddings\": 8192, \"rope_theta\": 500000, \"rope_scaling\": {},"
        " \"rope_parameters\": {\"type\": \"llama3\", \"factor\": 32, \"low_freq_factor\": 1, \"high_freq_factor\": "
        "4}}",
    };
    for (size_t i = 0; i < 3; i++) {
        dlqat_error error;
        dq_config c;
        assert_ok(parse(&c, texts[i], &error));
        assert_int_equal(c.rope, DQ_ROPE_LLAMA3);
        assert_true(c.rope_theta == 500000 && c.rope_factor == 32 && c.rope_low == 1 && c.rope_high == 4);
        assert_true(c.rope_original == 8192);
    }
    dlqat_error error;
    dq_config c;
    assert_ok(
        parse(&c, "{\"model_type\": \"qwen2\", \"rope_parameters\": {\"rope_theta\": 1e6, \"rope_type\": \"default\"}}",
              &error));
    assert_true(c.rope == DQ_ROPE_DEFAULT && c.rope_theta == 1e6);
    assert_ok(
        parse(&c, "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}", &error));
    assert_true(c.rope == DQ_ROPE_LINEAR && c.rope_factor == 4);
}

/* transformers' _compute_llama3_parameters for Llama 3.2 1B (theta 5e5, d 64, factor 32, low 1, high 4, original 8192). */
static void llama3_frequencies(void **state) {
    (void)state;
    static const struct {
        int i;
        float inv_freq;
    } expected[] = {
#include "fixtures/llama3_inv_freq.h"
    };
    dlqat_error error;
    dq_config c;
    assert_ok(parse(&c,
                    "{\"model_type\": \"llama\", \"head_dim\": 64, \"rope_parameters\": {\"rope_theta\": 500000.0,"
                    " \"rope_type\": \"llama3\", \"factor\": 32.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
                    " \"original_max_position_embeddings\": 8192}}",
                    &error));
    float inv_freq[32], factors[32];
    dq_config_inv_freq(&c, inv_freq);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(fabsf(inv_freq[expected[i].i] - expected[i].inv_freq) <= 2e-7f * expected[i].inv_freq);

    /* GGUF's factors and back: the published numbers, whole again. */
    assert_true(dq_config_rope_factors(&c, factors));
    dq_config fitted = c;
    fitted.rope = DQ_ROPE_DEFAULT;
    fitted.rope_factor = fitted.rope_low = fitted.rope_high = fitted.rope_original = 0;
    assert_ok(dq_config_fit_factors(&fitted, factors, "model.gguf", &error));
    assert_same(&fitted, &c);
    for (int i = 0; i < 32; i++) factors[i] = 1;
    assert_ok(dq_config_fit_factors(&fitted, factors, "model.gguf", &error));
    assert_int_equal(fitted.rope, DQ_ROPE_DEFAULT);
    for (int i = 0; i < 32; i++) factors[i] = 2;
    assert_ok(dq_config_fit_factors(&fitted, factors, "model.gguf", &error));
    assert_true(fitted.rope == DQ_ROPE_LINEAR && fitted.rope_factor == 2);
    for (int i = 0; i < 32; i++) factors[i] = 1 + (float)(i % 3);
    assert_fails(dq_config_fit_factors(&fitted, factors, "model.gguf", &error), DLQAT_ERROR_UNSUPPORTED, "rope_freqs");
    factors[3] = NAN;
    assert_fails(dq_config_fit_factors(&fitted, factors, "model.gguf", &error), DLQAT_ERROR_UNSUPPORTED, "rope_freqs");
}

static void windows(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t window;
        int first;
    } cases[] = {
        {"{\"model_type\": \"mistral\", \"sliding_window\": 8}", 8, 0},
        {"{\"model_type\": \"qwen2\", \"sliding_window\": 8, \"max_window_layers\": 3}", 0, 0},
        {"{\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 3}",
         8, 3},
        {"{\"model_type\": \"qwen3\", \"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 32}",
         0, 0},
        {"{\"model_type\": \"qwen2\", \"sliding_window\": 8, \"use_sliding_window\": true, \"num_hidden_layers\": 3,"
         " \"layer_types\": [\"full_attention\", \"sliding_attention\", \"sliding_attention\"]}",
         8, 1},
        {"{\"model_type\": \"qwen2\", \"num_hidden_layers\": 2, \"layer_types\": [\"full_attention\", "
         "\"full_attention\"]}",
         0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_error error;
        dq_config c;
        assert_ok(parse(&c, cases[i].text, &error));
        assert_int_equal(c.window, cases[i].window);
        assert_int_equal(c.first_windowed_layer, cases[i].first);
    }
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        dlqat_status status;
        const char *message;
    } cases[] = {
        {"[]", DLQAT_ERROR_INPUT, "JSON object"},
        {"{}", DLQAT_ERROR_INPUT, "model_type"},
        {"{\"model_type\": 3}", DLQAT_ERROR_INPUT, "model_type"},
        {"{\"model_type\": \"gemma2\"}", DLQAT_ERROR_UNSUPPORTED, "gemma2"},
        {"{\"model_type\": \"phi3\"}", DLQAT_ERROR_UNSUPPORTED, "phi3"},
        {"{\"model_type\": \"mixtral\"}", DLQAT_ERROR_UNSUPPORTED, "mixtral"},
        {"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"]}",
         DLQAT_ERROR_UNSUPPORTED, "LlamaForSequenceClassification"},
        {"{\"model_type\": \"llama\", \"hidden_act\": \"gelu\"}", DLQAT_ERROR_UNSUPPORTED, "gelu"},
        {"{\"model_type\": \"llama\", \"hidden_act\": 1}", DLQAT_ERROR_UNSUPPORTED, "hidden_act"},
        {"{\"model_type\": \"llama\", \"num_local_experts\": 8}", DLQAT_ERROR_UNSUPPORTED, "num_local_experts"},
        {"{\"model_type\": \"qwen3\", \"num_experts\": 128}", DLQAT_ERROR_UNSUPPORTED, "num_experts"},
        {"{\"model_type\": \"llama\", \"partial_rotary_factor\": 0.5}", DLQAT_ERROR_UNSUPPORTED,
         "partial_rotary_factor"},
        {"{\"model_type\": \"llama\", \"quantization_config\": {\"quant_method\": \"gptq\"}}", DLQAT_ERROR_UNSUPPORTED,
         "gptq"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}}",
         DLQAT_ERROR_UNSUPPORTED, "yarn"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}}",
         DLQAT_ERROR_UNSUPPORTED, "dynamic"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": 8}", DLQAT_ERROR_INPUT, "rope_scaling"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\"}}", DLQAT_ERROR_INPUT, "factor"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": -1}}", DLQAT_ERROR_INPUT,
         "factor"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}}", DLQAT_ERROR_INPUT,
         "low_freq_factor"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 4,"
         " \"high_freq_factor\": 4}}",
         DLQAT_ERROR_INPUT, "low < high"},
        {"{\"model_type\": \"llama\", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e4}}}",
         DLQAT_ERROR_UNSUPPORTED, "one RoPE"},
        {"{\"model_type\": \"llama\", \"rope_theta\": 0}", DLQAT_ERROR_INPUT, "rope_theta"},
        {"{\"model_type\": \"llama\", \"sliding_window\": 16}", DLQAT_ERROR_UNSUPPORTED, "sliding_window"},
        {"{\"model_type\": \"mistral\", \"sliding_window\": -3}", DLQAT_ERROR_INPUT, "sliding_window"},
        {"{\"model_type\": \"mistral\", \"attention_bias\": true}", DLQAT_ERROR_UNSUPPORTED, "attention_bias"},
        {"{\"model_type\": \"qwen2\", \"mlp_bias\": true}", DLQAT_ERROR_UNSUPPORTED, "mlp_bias"},
        {"{\"model_type\": \"qwen2\", \"num_hidden_layers\": 2, \"layer_types\": [\"full_attention\"]}",
         DLQAT_ERROR_INPUT, "layer_types"},
        {"{\"model_type\": \"qwen2\", \"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]}",
         DLQAT_ERROR_UNSUPPORTED, "linear_attention"},
        {"{\"model_type\": \"qwen2\", \"num_hidden_layers\": 1, \"layer_types\": [\"sliding_attention\"]}",
         DLQAT_ERROR_INPUT, "no sliding window"},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"num_hidden_layers\": 2,"
         " \"layer_types\": [\"sliding_attention\", \"full_attention\"]}",
         DLQAT_ERROR_UNSUPPORTED, "layer_types"},
        {"{\"model_type\": \"mistral\", \"num_hidden_layers\": 2,"
         " \"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
         DLQAT_ERROR_UNSUPPORTED, "layer_types"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 0}", DLQAT_ERROR_INPUT, "hidden size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": -64}", DLQAT_ERROR_INPUT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 1e18}", DLQAT_ERROR_INPUT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 64.5}", DLQAT_ERROR_INPUT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": \"64\"}", DLQAT_ERROR_INPUT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 100000000}", DLQAT_ERROR_INPUT, "layers"},
        {"{\"model_type\": \"llama\", \"num_attention_heads\": 0}", DLQAT_ERROR_INPUT, "heads"},
        {"{\"model_type\": \"llama\", \"num_attention_heads\": 3}", DLQAT_ERROR_INPUT, "num_attention_heads 3"},
        {"{\"model_type\": \"llama\", \"num_key_value_heads\": 5}", DLQAT_ERROR_INPUT, "5 key/value heads"},
        {"{\"model_type\": \"llama\", \"head_dim\": 65}", DLQAT_ERROR_INPUT, "even"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 0}", DLQAT_ERROR_INPUT, "vocabulary"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 99999999999}", DLQAT_ERROR_INPUT, "vocabulary"},
        {"{\"model_type\": \"llama\", \"max_position_embeddings\": -1}", DLQAT_ERROR_INPUT, "context"},
        {"{\"model_type\": \"llama\", \"rms_norm_eps\": 0}", DLQAT_ERROR_INPUT, "rms_norm_eps"},
        {"{\"model_type\": \"llama\", \"rms_norm_eps\": \"x\"}", DLQAT_ERROR_INPUT, "rms_norm_eps"},
        {"{\"model_type\": \"llama\", \"bos_token_id\": 32000}", DLQAT_ERROR_INPUT, "bos_token_id"},
        {"{\"model_type\": \"llama\", \"eos_token_id\": [2, 32000]}", DLQAT_ERROR_INPUT, "eos_token_id"},
        {"{\"model_type\": \"llama\", \"eos_token_id\": \"</s>\"}", DLQAT_ERROR_INPUT, "eos_token_id"},
        {"{\"model_type\": \"llama\", \"eos_token_id\": [1,2,3,4,5,6,7,8,9]}", DLQAT_ERROR_UNSUPPORTED, "eos_token_id"},
        {"{\"model_type\": \"llama\", \"tie_word_embeddings\": 1}", DLQAT_ERROR_INPUT, "tie_word_embeddings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dlqat_error error;
        dq_config c;
        assert_fails(parse(&c, cases[i].text, &error), cases[i].status, cases[i].message);
        assert_non_null(strstr(error.message, "config.json"));
    }
}

/* What is written reads back the same. */
static void json_goes_round(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true,"
        " \"rope_theta\": 12345.5, \"rms_norm_eps\": 1e-5, \"num_key_value_heads\": 4}",
        "{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_theta\": 500000, \"rope_type\": \"llama3\","
        " \"factor\": 32, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": "
        "8192}}",
        "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}}",
        "{\"model_type\": \"mistral\", \"sliding_window\": null, \"head_dim\": 80}",
        "{\"model_type\": \"mistral\", \"sliding_window\": 64}",
        "{\"model_type\": \"qwen2\", \"eos_token_id\": [3, 4], \"bos_token_id\": null}",
        "{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 8, \"max_window_layers\": 3}",
        "{\"model_type\": \"qwen3\", \"attention_bias\": true, \"hidden_size\": 1024, \"eos_token_id\": 9}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        dlqat_error error;
        dq_config c, again;
        assert_ok(parse(&c, texts[i], &error));
        json_t *json = dq_config_to_json(&c, "float32");
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "torch_dtype")), "float32");
        assert_ok(dq_config_from_json(&again, json, "written", &error));
        json_decref(json);
        assert_same(&again, &c);
    }
}

/* Declares a tensor of zeros or, for the RoPE factors, of their values. */
static void declare(dq_gguf_writer *writer, const char *name, int64_t rows, int64_t columns, const float *values) {
    dlqat_error error;
    const int64_t shape[2] = {rows ? rows : columns, columns};
    assert_ok(dq_gguf_declare(writer, name, DQ_F32, rows ? 2 : 1, shape, (void *)(uintptr_t)values, &error));
}

/* Through a GGUF file: keys written, and the tensors that tell the rest. */
static void gguf_goes_round(void **state) {
    (void)state;
#define SIZES                                                                                                          \
    "\"hidden_size\": 64, \"num_attention_heads\": 1, \"num_key_value_heads\": 1, \"vocab_size\": 8,"                  \
    " \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"bos_token_id\": null, \"eos_token_id\": null, "
    static const char *const texts[] = {
        "{\"model_type\": \"llama\", " SIZES "\"attention_bias\": true, \"mlp_bias\": true, \"rms_norm_eps\": 1e-5}",
        "{\"model_type\": \"llama\", " SIZES "\"tie_word_embeddings\": true, \"rope_scaling\": {\"type\": \"linear\","
        " \"factor\": 2.5}}",
        "{\"model_type\": \"llama\", " SIZES "\"rope_theta\": 500000, \"rope_scaling\": {\"rope_type\": \"llama3\","
        " \"factor\": 32, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": "
        "8192}}",
        "{\"model_type\": \"mistral\", " SIZES "\"sliding_window\": 64, \"head_dim\": 80}",
        "{\"model_type\": \"qwen2\", " SIZES "\"rope_theta\": 1000000}",
        "{\"model_type\": \"qwen3\", " SIZES "\"head_dim\": 32, \"rms_norm_eps\": 1e-6}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        dlqat_error error;
        dq_config c, again;
        char path[1024];
        scratch dir;
        float factors[64], zeros[96 * 96] = {0};
        dq_gguf_writer *writer;
        dq_gguf *file;
        scratch_make(&dir);
        scratch_file(&dir, path, "model.gguf");
        assert_ok(parse(&c, texts[i], &error));
        assert_ok(dq_gguf_create(&writer, path, &error));
        dq_config_to_gguf(&c, writer);
        declare(writer, "token_embd.weight", c.vocabulary, c.hidden, zeros);
        if (!c.tied) declare(writer, "output.weight", c.vocabulary, c.hidden, zeros);
        if (c.qkv_bias) declare(writer, "blk.0.attn_q.bias", 0, 64, zeros);
        if (c.o_bias) declare(writer, "blk.0.attn_output.bias", 0, 64, zeros);
        if (c.mlp_bias) declare(writer, "blk.0.ffn_gate.bias", 0, 96, zeros);
        if (dq_config_rope_factors(&c, factors)) declare(writer, "rope_freqs.weight", 0, c.head_width / 2, factors);
        const dq_tensor *tensor;
        void *values;
        for (;;) {
            assert_ok(dq_gguf_next(writer, &tensor, &values, &error));
            if (!tensor) break;
            assert_ok(dq_gguf_put(writer, values, tensor->bytes, &error));
        }
        assert_ok(dq_gguf_finish(writer, &error));
        assert_ok(dq_gguf_open(&file, path, &error));
        assert_ok(dq_config_from_gguf(&again, file, &error));
        assert_same(&again, &c);
        dq_gguf_close(file);
        scratch_remove(&dir);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_take_the_familys_defaults),
        cmocka_unit_test(null_is_not_absent),
        cmocka_unit_test(both_spellings_of_rope),
        cmocka_unit_test(llama3_frequencies),
        cmocka_unit_test(windows),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(json_goes_round),
        cmocka_unit_test(gguf_goes_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
