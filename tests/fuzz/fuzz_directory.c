/* A whole Hugging Face directory: config.json, model.safetensors, tokenizer.json, tokenizer_config.json and
 * generation_config.json with borders between them; opened with all its weights, and described as `dlqat info` does. */
#include "fuzz.h"

#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

static void read_weights(dq_model *model) {
    for (int i = -2; i < dq_model_linear_count(model); i++) {
        const dq_weight *weight = i == -2   ? &model->embedding
                                  : i == -1 ? &model->head
                                            : &dq_model_linear(model, i)->active;
        float *row = malloc((size_t)weight->in * sizeof *row);
        FUZZ_REQUIRE(row != NULL);
        dq_weight_rows(weight, 0, 1, row);
        dq_weight_rows(weight, weight->out - 1, 1, row);
        free(row);
    }
}

static void describe(void) {
    dlqat_error error;
    dlqat_options *options = dlqat_options_new(DLQAT_INFO);
    FUZZ_REQUIRE(options != NULL);
    FUZZ_REQUIRE(dlqat_options_set(options, "model", fuzz_directory(), &error) == DLQAT_OK);
    FUZZ_REQUIRE(dlqat_options_set(options, "threads", "1", &error) == DLQAT_OK);
    (void)dlqat_info(options, NULL, &error);
    dlqat_options_free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                                        "generation_config.json"};
    enum { FILES = sizeof names / sizeof *names };
    fuzz_part parts[FILES];
    fuzz_split(data, size, parts, FILES);
    for (int i = 0; i < FILES; i++)
        if (parts[i].size)
            fuzz_file(names[i], parts[i].data, parts[i].size);
        else
            fuzz_no_file(names[i]);
    dlqat_error error;
    dq_model *model;
    if (dq_model_open(&model, fuzz_directory(), false, &error) != DLQAT_OK) return 0;
    read_weights(model);
    if (model->tokenizer) fuzz_use_tokenizer(model->tokenizer, "", 0);
    dq_model_close(model);
    describe();
    return 0;
}

static void seed_directory(fuzz_sink *sink, const char *name, const char *tokenizer, const char *generation) {
    dq_buffer seed = {0};
    char path[256];
    snprintf(path, sizeof path, "%s/config.json", name);
    fuzz_put_fixture(&seed, path);
    dq_buffer_puts(&seed, FUZZ_BORDER);
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    fuzz_put_fixture(&seed, path);
    dq_buffer_puts(&seed, FUZZ_BORDER);
    if (tokenizer) {
        snprintf(path, sizeof path, "%s/tokenizer.json", tokenizer);
        fuzz_put_fixture(&seed, path);
        dq_buffer_puts(&seed, FUZZ_BORDER);
        snprintf(path, sizeof path, "%s/tokenizer_config.json", tokenizer);
        fuzz_put_fixture(&seed, path);
        dq_buffer_puts(&seed, FUZZ_BORDER);
        dq_buffer_puts(&seed, generation);
    }
    fuzz_seed_buffer(sink, &seed);
    dq_buffer_free(&seed);
}

void fuzz_seeds(fuzz_sink *sink) {
    seed_directory(sink, "families/qwen2", "datasets/bytes", "{\"eos_token_id\": [1, 2]}");
    seed_directory(sink, "families/affine_own", NULL, "");
    seed_directory(sink, "families/affine_mlx", NULL, "");
    seed_directory(sink, "families/mistral_window", "datasets/pieces", "{\"eos_token_id\": 2}");
    seed_directory(sink, "families/qwen3_tied", NULL, "");
    seed_directory(sink, "eval/bos", "eval/bos", "{}");
}
