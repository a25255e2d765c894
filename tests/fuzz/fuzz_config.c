/* config.json as a model's configuration, and as the options of a command. */
#include "fuzz.h"

#include "base/options.h"
#include "model/config.h"

#include <stdlib.h>

static void read_configuration(const char *path) {
    dlqat_error error;
    json_t *json;
    dq_config config, again;
    if (dq_json_load(path, &json, &error) != DLQAT_OK) return;
    if (dq_config_from_json(&config, json, path, &error) == DLQAT_OK) {
        float *factors = malloc(((size_t)config.head_width / 2) * sizeof *factors);
        FUZZ_REQUIRE(factors != NULL);
        dq_config_inv_freq(&config, factors);
        if (dq_config_rope_factors(&config, factors)) {
            again = config;
            (void)dq_config_fit_factors(&again, factors, path, &error);
        }
        free(factors);
        /* What is accepted can be written, and is accepted again. */
        json_t *written = dq_config_to_json(&config, "float32");
        FUZZ_REQUIRE(written != NULL);
        FUZZ_REQUIRE(dq_config_from_json(&again, written, path, &error) == DLQAT_OK);
        FUZZ_REQUIRE(again.hidden == config.hidden && again.window == config.window &&
                     again.eos_count == config.eos_count);
        json_decref(written);
    }
    json_decref(json);
}

static void read_options(const char *path) {
    static const dlqat_command commands[] = {DLQAT_TRAIN, DLQAT_QUANTIZE, DLQAT_EVAL, DLQAT_COMPARE};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        dlqat_error error;
        dlqat_options *options = dlqat_options_new(commands[i]);
        FUZZ_REQUIRE(options != NULL);
        if (dlqat_options_load(options, path, &error) == DLQAT_OK) {
            (void)dlqat_options_check(options, &error);
            json_decref(dq_options_to_json(options));
        }
        dlqat_options_free(options);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file("config.json", data, size);
    read_configuration(path);
    read_options(path);
    return 0;
}

void fuzz_seeds(fuzz_sink *sink) {
    static const char *const families[] = {"affine_own",   "llama3", "llama_bias_sharded", "mistral_window", "qwen2",
                                           "qwen2_window", "qwen3",  "qwen3_tied"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char name[128];
        snprintf(name, sizeof name, "families/%s/config.json", families[i]);
        fuzz_seed_fixture(sink, name);
    }
    dq_buffer seed = {0};
    dlqat_options *options = dlqat_options_new(DLQAT_TRAIN);
    FUZZ_REQUIRE(options != NULL);
    json_t *record = dq_options_to_json(options);
    char *text = json_dumps(record, JSON_INDENT(1));
    FUZZ_REQUIRE(text != NULL);
    dq_buffer_puts(&seed, text);
    fuzz_seed_buffer(sink, &seed);
    dq_buffer_puts(&seed, "{\"bits_for\": [\"*.down_proj=4\"], \"exclude\": [\"*.0.*\"], \"bits\": \"3\"}");
    fuzz_seed_buffer(sink, &seed);
    free(text);
    json_decref(record);
    dlqat_options_free(options);
    dq_buffer_free(&seed);
}
