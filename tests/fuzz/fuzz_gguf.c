/* A GGUF file: its pairs and tensors, then as a model with its tokenizer. */
#include "fuzz.h"

#include "formats/gguf.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

static void read_pairs(const dq_gguf *file) {
    static const char *const keys[] = {"general.architecture",
                                       "llama.block_count",
                                       "general.alignment",
                                       "u8",
                                       "tokenizer.ggml.tokens",
                                       "tokenizer.ggml.scores",
                                       "a.u8",
                                       "a.string",
                                       "tokenizer.ggml.token_type"};
    dlqat_error error;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t whole = 0;
        double real = 0;
        bool truth = false;
        const char *text = NULL;
        size_t length = 0;
        dq_gguf_type type;
        (void)dq_gguf_get_int(file, keys[i], &whole, &error);
        (void)dq_gguf_get_real(file, keys[i], &real, &error);
        (void)dq_gguf_get_bool(file, keys[i], &truth, &error);
        if (dq_gguf_get_string(file, keys[i], &text, &length, &error) == DLQAT_OK && text)
            FUZZ_REQUIRE(text[length] == '\0');
        size_t count = dq_gguf_array_length(file, keys[i], &type);
        if (!count) continue;
        if (dq_gguf_array_string(file, keys[i], count - 1, &text, &length, &error) == DLQAT_OK && length)
            FUZZ_REQUIRE(text[length - 1] == text[length - 1]);
        (void)dq_gguf_array_string(file, keys[i], count, &text, &length, &error);
        double *numbers = count < 1 << 16 ? malloc(count * sizeof *numbers) : NULL;
        if (numbers) (void)dq_gguf_array_numbers(file, keys[i], numbers, count, &error);
        free(numbers);
    }
}

static void read_model(const char *path) {
    dlqat_error error;
    dq_model *model;
    if (dq_model_open(&model, path, false, &error) != DLQAT_OK) return;
    for (int i = 0; i < dq_model_linear_count(model); i++) {
        const dq_weight *weight = &dq_model_linear(model, i)->active;
        float *row = malloc((size_t)weight->in * sizeof *row);
        FUZZ_REQUIRE(row != NULL);
        dq_weight_rows(weight, weight->out - 1, 1, row);
        free(row);
    }
    if (model->tokenizer) fuzz_use_tokenizer(model->tokenizer, "", 0);
    dq_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dlqat_error error;
    dq_gguf *file;
    dq_tokenizer *tokenizer;
    const char *path = fuzz_file("model.gguf", data, size);
    if (dq_gguf_open(&file, path, &error) != DLQAT_OK) return 0;
    read_pairs(file);
    for (size_t i = 0; i < dq_gguf_tensor_count(file); i++) fuzz_read_tensor(dq_gguf_tensor_at(file, i));
    if (dq_tokenizer_from_gguf(&tokenizer, file, &error) == DLQAT_OK) {
        fuzz_use_tokenizer(tokenizer, "", 0);
        dq_tokenizer_close(tokenizer);
    }
    dq_gguf_close(file);
    read_model(path);
    return 0;
}

/* A model with a tokenizer, as the library writes it. */
static void seed_export(fuzz_sink *sink, const char *name) {
    dlqat_error error;
    char from[1024], path[1024];
    snprintf(from, sizeof from, "%s/%s", TEST_FIXTURES, name);
    snprintf(path, sizeof path, "%s/seed.gguf", fuzz_directory());
    dlqat_options *options = dlqat_options_new(DLQAT_EXPORT);
    FUZZ_REQUIRE(options != NULL);
    FUZZ_REQUIRE(dlqat_options_set(options, "model", from, &error) == DLQAT_OK);
    FUZZ_REQUIRE(dlqat_options_set(options, "out", path, &error) == DLQAT_OK);
    FUZZ_REQUIRE(dlqat_options_set(options, "format", "gguf", &error) == DLQAT_OK);
    FUZZ_REQUIRE(dlqat_export(options, NULL, &error) == DLQAT_OK);
    dlqat_options_free(options);
    dq_buffer seed = {0};
    fuzz_put_path(&seed, path);
    remove(path);
    fuzz_seed_buffer(sink, &seed);
    dq_buffer_free(&seed);
}

void fuzz_seeds(fuzz_sink *sink) {
    fuzz_seed_fixture(sink, "formats/tiny.gguf");
    fuzz_seed_fixture(sink, "formats/aligned.gguf");
    fuzz_seed_fixture(sink, "families/llama3/model-q8_0.gguf");
    fuzz_seed_fixture(sink, "families/qwen2/model-bf16.gguf");
    fuzz_seed_fixture(sink, "families/mistral_window/model-f16.gguf");
    seed_export(sink, "eval/bos");
}
