/* For the tests of exports: temporary directories, a small random model, and a result made from it. */
#ifndef DQ_TESTS_EXPORT_SUPPORT_H
#define DQ_TESTS_EXPORT_SUPPORT_H

#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "support.h"

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/half.h"
#include "export/export.h"

/* A fresh directory under the temporary one of the system. */
static inline void make_place(char place[256]) {
    const char *root = getenv("TMPDIR");
    snprintf(place, 256, "%.200s/dlqat-export-XXXXXX", root && *root ? root : "/tmp");
    assert_non_null(mkdtemp(place));
}

static inline const char *join(char buffer[1024], const char *a, const char *b) {
    assert_in_range(snprintf(buffer, 1024, "%s/%s", a, b), 1, 1023);
    return buffer;
}

static inline void remove_place(const char *place) {
    dlqat_error error;
    assert_ok(dq_remove_tree(place, &error));
}

static const char small_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 128, "
    "\"intermediate_size\": 256, \"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"vocab_size\": 40, \"max_position_embeddings\": 64, \"tie_word_embeddings\": true, \"torch_dtype\": \"float32\"}";

/* A llama of one layer, widths 128 and 256, random f32 weights. Row 0 of every matrix is constant, row 1 of one sign. */
static inline void make_small_model(const char *directory) {
    static const struct {
        const char *name;
        int64_t out, in;
    } tensors[] = {
        {"model.embed_tokens.weight", 40, 128},
        {"model.norm.weight", 128, 0},
        {"model.layers.0.input_layernorm.weight", 128, 0},
        {"model.layers.0.post_attention_layernorm.weight", 128, 0},
        {"model.layers.0.self_attn.q_proj.weight", 128, 128},
        {"model.layers.0.self_attn.k_proj.weight", 64, 128},
        {"model.layers.0.self_attn.v_proj.weight", 64, 128},
        {"model.layers.0.self_attn.o_proj.weight", 128, 128},
        {"model.layers.0.mlp.gate_proj.weight", 256, 128},
        {"model.layers.0.mlp.up_proj.weight", 256, 128},
        {"model.layers.0.mlp.down_proj.weight", 128, 256},
    };
    dlqat_error error;
    char path[1024];
    assert_ok(dq_make_directories(directory, &error));
    assert_ok(dq_write_file(join(path, directory, "config.json"), small_config, sizeof small_config - 1, &error));
    dq_safetensors_writer *writer;
    assert_ok(dq_safetensors_create(&writer, join(path, directory, "model.safetensors"), &error));
    dq_safetensors_set_metadata(writer, "format", "pt");
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        const int64_t shape[2] = {tensors[i].out, tensors[i].in};
        assert_ok(dq_safetensors_declare(writer, tensors[i].name, DQ_F32, tensors[i].in ? 2 : 1, shape,
                                         (void *)(uintptr_t)(i + 1), &error));
    }
    for (;;) {
        const dq_tensor *tensor;
        void *user;
        assert_ok(dq_safetensors_next(writer, &tensor, &user, &error));
        if (!tensor) break;
        size_t n = (size_t)dq_tensor_elements(tensor);
        float *values = calloc(n, sizeof *values);
        dq_random_normal(7, DQ_STREAM_ADAPTER, (uint32_t)(uintptr_t)user, 0.1f, values, n);
        for (int64_t j = 0; tensor->dimensions == 2 && j < tensor->shape[1]; j++) {
            values[j] = 0.25f;
            values[tensor->shape[1] + j] = fabsf(values[tensor->shape[1] + j]) + 0.5f;
        }
        assert_ok(dq_safetensors_put(writer, values, n * sizeof *values, &error));
        free(values);
    }
    assert_ok(dq_safetensors_finish(writer, &error));
}

/* Options of quantize; pairs of name and value, ended by NULL. */
static inline dlqat_options *quantize_options(const char *const *pairs) {
    dlqat_error error;
    dlqat_options *options = dlqat_options_new(DLQAT_QUANTIZE);
    assert_non_null(options);
    for (; pairs[0]; pairs += 2) assert_ok(dlqat_options_set(options, pairs[0], pairs[1], &error));
    return options;
}

/* A model with its quantizers. */
typedef struct quantized {
    dq_model *model;
    dq_quantizer_set set;
    dq_compute compute;
    dlqat_options *options;
} quantized;

static inline void open_quantized(quantized *q, const char *model, const char *const *pairs) {
    dlqat_error error;
    q->options = quantize_options(pairs);
    assert_ok(dq_compute_open(&q->compute, "c", 1, DQ_MULTIPLY_F32, &error));
    assert_ok(dq_model_open(&q->model, model, false, &error));
    const dq_quantizer_set_options how = {.threads = 1};
    assert_ok(dq_quantizer_set_open(&q->set, q->model, q->options, &how, &q->compute, &error));
}

static inline void close_quantized(quantized *q) {
    dq_quantizer_set_close(&q->set);
    dq_model_close(q->model);
    dq_compute_close(&q->compute);
    dlqat_options_free(q->options);
}

/* Exports a model that lies somewhere; the caller asserts. */
static inline dlqat_status export_path(const char *from, const char *to, dq_export_format format, bool bf16,
                                       dq_export_report *report, dlqat_error *error) {
    dq_model *model;
    DQ_TRY(dq_model_open(&model, from, false, error));
    const dq_export_options how = {.format = format, .bf16 = bf16, .threads = 1};
    dlqat_status status = dq_export(model, NULL, to, &how, report, error);
    dq_model_close(model);
    return status;
}

#endif
