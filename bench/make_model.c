/* Models of any size to measure with: the shapes of real ones, random bf16 weights, and rows of an exact number of tokens.
 *
 *     make_model --shape NAME [--out DIR] [--rows FILE --tokens N --count R] [--seed S]
 *
 * --out writes a Hugging Face directory: config.json, tokenizer, and safetensors in files of at most 4 GB, made tile by tile,
 * so that a model larger than the memory can be made. A directory that holds a config.json is whole (it is written last)
 * and is left as it is. --rows writes training rows for that shape's vocabulary. The same seed gives the same bytes. */
#define _GNU_SOURCE /* getopt_long */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/random.h"
#include "formats/safetensors.h"
#include "made_text.h"

typedef struct shape {
    const char *name, *of;
    int hidden, intermediate, layers, heads, kv_heads, vocabulary;
    bool tied;
} shape;

static const shape shapes[] = {
    {"1M", "a toy, to try the benchmarks out", 128, 384, 3, 4, 2, 1000, true},
    {"15M", "a small storyteller", 256, 768, 8, 4, 4, 32000, true},
    {"135M", "SmolLM2-135M", 576, 1536, 30, 9, 3, 49152, true},
    {"360M", "SmolLM2-360M", 960, 2560, 32, 15, 5, 49152, true},
    {"1B", "Llama 3.2 1B", 2048, 8192, 16, 32, 8, 128256, true},
    {"3B", "Llama 3.2 3B", 3072, 8192, 28, 24, 8, 128256, true},
    {"7B", "LLaMA 7B", 4096, 11008, 32, 32, 32, 32000, false},
    {"13B", "LLaMA 13B", 5120, 13824, 40, 40, 40, 32000, false},
};

/* columns 0: a vector of ones (a norm). */
typedef struct matrix {
    char name[80];
    int64_t rows, columns;
    double deviation;
    uint32_t number; /* its stream of random numbers */
} matrix;

static const int64_t file_bytes = 4000000000;

/* ---- What there is -------------------------------------------------------------------------------------------------- */

static void add(matrix *list, int *count, const char *prefix, const char *name, int64_t rows, int64_t columns,
                double deviation) {
    matrix *m = &list[*count];
    *m = (matrix){.rows = rows, .columns = columns, .deviation = deviation, .number = (uint32_t)(*count)++};
    snprintf(m->name, sizeof m->name, "%s%s.weight", prefix, name);
}

/* Deviations as trained models have them: each linear keeps the size of its input, and what is added to the residual stream
 * is smaller the deeper the model, so that activations, loss and gradients stay within ordinary ranges. */
static matrix *list_matrices(const shape *s, int *count) {
    matrix *list = calloc((size_t)(9 * s->layers + 3), sizeof *list);
    if (!list) return NULL;
    int64_t h = s->hidden, f = s->intermediate, kv = h / s->heads * s->kv_heads;
    double in = 1 / sqrt((double)h), deep = 1 / sqrt(2.0 * s->layers);
    *count = 0;
    add(list, count, "", "model.embed_tokens", s->vocabulary, h, 0.02);
    for (int l = 0; l < s->layers; l++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", l);
        add(list, count, prefix, "input_layernorm", h, 0, 0);
        add(list, count, prefix, "self_attn.q_proj", h, h, in);
        add(list, count, prefix, "self_attn.k_proj", kv, h, in);
        add(list, count, prefix, "self_attn.v_proj", kv, h, in);
        add(list, count, prefix, "self_attn.o_proj", h, h, in * deep);
        add(list, count, prefix, "post_attention_layernorm", h, 0, 0);
        add(list, count, prefix, "mlp.gate_proj", f, h, in);
        add(list, count, prefix, "mlp.up_proj", f, h, in);
        add(list, count, prefix, "mlp.down_proj", h, f, deep / sqrt((double)f));
    }
    add(list, count, "", "model.norm", h, 0, 0);
    if (!s->tied) add(list, count, "", "lm_head", s->vocabulary, h, 0.02);
    return list;
}

static int64_t elements(const matrix *m) {
    return m->rows * (m->columns ? m->columns : 1);
}

/* ---- Weights -------------------------------------------------------------------------------------------------------- */

enum { TILE = 1 << 20, PER_BLOCK = 8 };

/* Elements [first, first + count) of a matrix, first a multiple of PER_BLOCK: uniform, 16 random bits each. */
static void fill(const matrix *m, uint64_t seed, int64_t first, int64_t count, uint16_t *out) {
    const float step = (float)(2 * sqrt(3.0) * m->deviation / 65536);
    const uint16_t one = dq_f32_to_bf16(1.0f);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i += PER_BLOCK) {
        uint32_t words[4];
        dq_random_block(seed, DQ_STREAM_SAMPLE, m->number, (uint64_t)((first + i) / PER_BLOCK), words);
        for (int64_t j = 0; j < PER_BLOCK && i + j < count; j++) {
            int bits = (int)(words[j / 2] >> 16 * (j % 2) & 0xFFFF);
            out[i + j] = m->columns ? dq_f32_to_bf16(((float)(bits - 32768) + 0.5f) * step) : one;
        }
    }
}

static dlqat_status put_matrices(dq_safetensors_writer *writer, uint64_t seed, uint16_t *tile, dlqat_error *error) {
    const dq_tensor *tensor;
    for (void *user;;) {
        DQ_TRY(dq_safetensors_next(writer, &tensor, &user, error));
        if (!tensor) return DLQAT_OK;
        const matrix *m = user;
        for (int64_t first = 0; first < elements(m); first += TILE) {
            int64_t count = elements(m) - first < TILE ? elements(m) - first : TILE;
            fill(m, seed, first, count, tile);
            DQ_TRY(dq_safetensors_put(writer, tile, (size_t)count * sizeof *tile, error));
        }
    }
}

static dlqat_status write_file(const char *path, matrix *list, int count, uint64_t seed, dlqat_error *error) {
    dq_safetensors_writer *writer;
    uint16_t *tile = malloc(TILE * sizeof *tile);
    if (!tile) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a tile", path);
    dlqat_status status = dq_safetensors_create(&writer, path, error);
    if (status == DLQAT_OK) {
        dq_safetensors_set_metadata(writer, "format", "pt");
        for (int i = 0; i < count && status == DLQAT_OK; i++) {
            int64_t sizes[2] = {list[i].rows, list[i].columns};
            status =
                dq_safetensors_declare(writer, list[i].name, DQ_BF16, list[i].columns ? 2 : 1, sizes, &list[i], error);
        }
        if (status == DLQAT_OK) status = put_matrices(writer, seed, tile, error);
        if (status == DLQAT_OK)
            status = dq_safetensors_finish(writer, error);
        else
            dq_safetensors_abandon(writer);
    }
    free(tile);
    return status;
}

/* How many of the matrices from `first` on go into one file. */
static int file_count(const matrix *list, int first, int count) {
    int64_t bytes = 0;
    int end = first;
    while (end < count && (end == first || bytes + 2 * elements(&list[end]) <= file_bytes))
        bytes += 2 * elements(&list[end++]);
    return end - first;
}

static dlqat_status save_json(json_t *json, const char *directory, const char *name, dlqat_error *error) {
    char *path = dq_path_join(directory, name);
    dlqat_status status = json && path ? dq_json_save(json, path, error)
                                       : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for %s", directory, name);
    json_decref(json);
    free(path);
    return status;
}

static dlqat_status write_weights(const shape *s, const char *directory, uint64_t seed, dlqat_error *error) {
    int count, files = 0, file = 0;
    matrix *list = list_matrices(s, &count);
    if (!list) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the list of matrices");
    int64_t total = 0;
    for (int i = 0; i < count; i++) total += 2 * elements(&list[i]);
    for (int first = 0; first < count; first += file_count(list, first, count)) files++;
    json_t *map = json_object();
    dlqat_status status = DLQAT_OK;
    for (int first = 0, n; first < count && status == DLQAT_OK; first += n) {
        char name[64] = "model.safetensors";
        n = file_count(list, first, count);
        if (files > 1) snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", ++file, files);
        for (int i = first; i < first + n; i++) json_object_set_new(map, list[i].name, json_string(name));
        char *path = dq_path_join(directory, name);
        status = path ? write_file(path, list + first, n, seed, error)
                      : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a path");
        free(path);
        if (files > 1) fprintf(stderr, "make_model: %s, %d of %d\n", name, file, files);
    }
    json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    if (status == DLQAT_OK && files > 1)
        status = save_json(index, directory, "model.safetensors.index.json", error);
    else
        json_decref(index);
    free(list);
    return status;
}

/* ---- The directory -------------------------------------------------------------------------------------------------- */

static json_t *config_of(const shape *s) {
    return json_pack("{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:s, s:b, s:s, s:i, s:b, s:b}",
                     "architectures", "LlamaForCausalLM", "model_type", "llama", "hidden_size", s->hidden,
                     "intermediate_size", s->intermediate, "num_hidden_layers", s->layers, "num_attention_heads",
                     s->heads, "num_key_value_heads", s->kv_heads, "vocab_size", s->vocabulary,
                     "max_position_embeddings", 8192, "rms_norm_eps", 1e-5, "rope_theta", 10000.0, "hidden_act", "silu",
                     "tie_word_embeddings", s->tied, "torch_dtype", "bfloat16", "eos_token_id", 0, "attention_bias", 0,
                     "mlp_bias", 0);
}

static dlqat_status write_model(const shape *s, const made_text *text, const char *directory, uint64_t seed,
                                dlqat_error *error) {
    char *config = dq_path_join(directory, "config.json");
    bool whole = config && dq_file_exists(config);
    free(config);
    if (whole) {
        fprintf(stderr, "make_model: %s is there already\n", directory);
        return DLQAT_OK;
    }
    DQ_TRY(dq_make_directories(directory, error));
    DQ_TRY(dq_sweep_temporaries(directory, error));
    DQ_TRY(made_text_save_tokenizer(text, directory, error));
    DQ_TRY(write_weights(s, directory, seed, error));
    return save_json(config_of(s), directory, "config.json", error);
}

static int usage(void) {
    fprintf(stderr, "usage: make_model --shape NAME [--out DIR] [--rows FILE --tokens N --count R] [--seed S]\n");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        fprintf(stderr, "  %-6s %s: %d layers, hidden %d, intermediate %d, %d/%d heads, vocabulary %d%s\n",
                shapes[i].name, shapes[i].of, shapes[i].layers, shapes[i].hidden, shapes[i].intermediate,
                shapes[i].heads, shapes[i].kv_heads, shapes[i].vocabulary, shapes[i].tied ? ", tied" : "");
    return 2;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"shape", required_argument, NULL, 's'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"rows", required_argument, NULL, 'r'},
                                            {"tokens", required_argument, NULL, 't'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"seed", required_argument, NULL, 'e'},
                                            {NULL, 0, NULL, 0}};
    const char *out = NULL, *rows = NULL, *name = "";
    int64_t tokens = 0, count = 0;
    uint64_t seed = 1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's') name = optarg;
        if (c == 'o') out = optarg;
        if (c == 'r') rows = optarg;
        if (c == 't') tokens = atoll(optarg);
        if (c == 'c') count = atoll(optarg);
        if (c == 'e') seed = (uint64_t)atoll(optarg);
        if (c == '?') return usage();
    }
    const shape *s = NULL;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (!strcmp(shapes[i].name, name)) s = &shapes[i];
    if (!s || (!out && !rows) || (rows && (tokens < 2 || count < 1))) return usage();
    dlqat_error error;
    made_text text;
    dlqat_status status = made_text_open(&text, s->vocabulary, &error);
    if (status == DLQAT_OK && out) status = write_model(s, &text, out, seed, &error);
    if (status == DLQAT_OK && rows) status = made_text_save_rows(&text, rows, count, tokens, seed, &error);
    if (status != DLQAT_OK) fprintf(stderr, "make_model: error: %s\n", error.message);
    return status == DLQAT_OK ? 0 : 1;
}
