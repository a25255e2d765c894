/* The table of all options. Order is the order of --help. */
#include "base/options.h"

#include <float.h>

/* The field's offset, if it has the type; a compile error otherwise. */
#define FIELD(field, type) _Generic(((dq_settings *)0)->field, type : offsetof(dq_settings, field))

#define FLAG(name, field, commands, section, help)                                                                     \
    { {name, NULL, "false", NULL, help, section, DLQAT_OPTION_FLAG, 0, 0, commands, 0}, FIELD(field, bool) }
#define INTEGER(name, field, value, def, min, max, commands, section, help)                                            \
    { {name, value, def, NULL, help, section, DLQAT_OPTION_INT, min, max, commands, 0}, FIELD(field, int64_t) }
#define REAL(name, field, def, min, max, commands, section, help)                                                      \
    { {name, "X", def, NULL, help, section, DLQAT_OPTION_REAL, min, max, commands, 0}, FIELD(field, double) }
#define CHOICE(name, field, choices, def, commands, required, section, help)                                           \
    { {name, "WORD", def, choices, help, section, DLQAT_OPTION_CHOICE, 0, 0, commands, required}, FIELD(field, char *) }
#define STRING(name, field, value, def, commands, required, section, help)                                             \
    { {name, value, def, NULL, help, section, DLQAT_OPTION_STRING, 0, 0, commands, required}, FIELD(field, char *) }
#define LIST(name, field, value, commands, section, help)                                                              \
    { {name, value, NULL, NULL, help, section, DLQAT_OPTION_LIST, 0, 0, commands, 0}, FIELD(field, dq_strings) }

enum {
    EVERY = DLQAT_TRAIN | DLQAT_QUANTIZE | DLQAT_EVAL | DLQAT_EXPORT | DLQAT_GENERATE | DLQAT_INFO | DLQAT_TOKENIZE |
            DLQAT_COMPARE,
    ONE_RUN = DLQAT_TRAIN | DLQAT_INFO, /* info plans the very run that train would make, so it takes the same line */
    TRAINING = ONE_RUN | DLQAT_COMPARE,
    GRIDS = TRAINING | DLQAT_QUANTIZE,
    COMPUTING = TRAINING | DLQAT_QUANTIZE | DLQAT_EVAL | DLQAT_GENERATE | DLQAT_EXPORT,
    PASSES = TRAINING | DLQAT_EVAL | DLQAT_GENERATE,
    READING = TRAINING | DLQAT_EVAL /* commands that read data sets */
};

#define FILES      "Files"
#define RECIPE     "Recipe"
#define GRID       "Grid"
#define TRAIN      "Training"
#define DATA       "Data"
#define RUN        "Run directory"
#define EVALUATION "Evaluation"
#define EXPORT     "Export"
#define TEXT       "Text"
#define MACHINE    "Machine"

#define STEPS_MAX 1e12
#define SEED_MAX  9007199254740991.0 /* 2^53 - 1: any JSON reader keeps it */

static const dq_option_row table[] = {
    STRING("model", model, "PATH", NULL, EVERY, EVERY, FILES,
           "A Hugging Face directory, a GGUF file, or a run directory made by train."),
    STRING("data", data, "PATH", NULL, TRAINING, DLQAT_TRAIN | DLQAT_COMPARE, FILES,
           "Training rows: JSON or JSONL of {instruction, input, output}, {messages} or {text}; or plain text."),
    STRING("out", out, "RUN", NULL, ONE_RUN, DLQAT_TRAIN, FILES,
           "The run directory to write; it must not hold a run yet."),
    STRING("out", out, "DIR", NULL, DLQAT_QUANTIZE | DLQAT_COMPARE, DLQAT_QUANTIZE | DLQAT_COMPARE, FILES,
           "The directory to write."),
    STRING("out", out, "PATH", NULL, DLQAT_EXPORT, DLQAT_EXPORT, FILES,
           "What to write: a directory for hf and mlx, a file for gguf."),
    STRING("resume", resume, "RUN", NULL, ONE_RUN, 0, FILES,
           "Continue this run from its last whole checkpoint, with its own options; --model, --data and --out are then "
           "not needed."),
    STRING("config", config, "FILE", NULL, EVERY, 0, FILES,
           "A JSON object of options, or the config.json of a run. What the command line says wins."),

    STRING("method", method, "NAME", "dlqat", ONE_RUN, 0, RECIPE,
           "The recipe: dlqat, l4q, qalora. It gives the default of every axis below."),
    STRING("method", method, "NAME", "rtn", DLQAT_QUANTIZE, 0, RECIPE, "rtn: round to nearest, without training."),
    STRING("methods", methods, "A,B,..", "rtn,dlqat,l4q,qalora", DLQAT_COMPARE, 0, RECIPE,
           "The recipes to run with the same rows, order, steps, rank, rate and schedule. An entry may set options for "
           "itself: "
           "dlqat:range=minmax:magnitude=off."),
    CHOICE(
        "range", range, "auto|minmax|fixed|adaptive", "auto", TRAINING, 0, RECIPE,
        "How scale and offset come about: recomputed from the weights, learned in phase 1 and then fixed, or trained "
        "throughout."),
    CHOICE("magnitude", magnitude, "auto|on|off", "auto", TRAINING, 0, RECIPE, "A learned factor per group."),
    CHOICE("offset", offset, "auto|float|none", "auto", GRIDS, 0, RECIPE,
           "none: a symmetric grid, as GGUF's Q4_0 and Q8_0 hold it."),
    CHOICE("clip-mask", clip_mask, "auto|code|value|value-closed", "auto", TRAINING, 0, RECIPE,
           "Which weights count as clipped in the gradient: those whose code is out of range; those at or beyond a "
           "bound; those beyond a bound."),
    CHOICE("start", start, "auto|minmax|l4q", "auto", GRIDS, 0, RECIPE,
           "Scale and offset before training: each group's extremes mapped to the ends of the grid, or L4Q's symmetric "
           "start."),
    CHOICE(
        "base-storage", base_storage, "given|int8", "given", TRAINING, 0, RECIPE,
        "The frozen weights: as the file has them, mapped; or encoded in memory in 8 bits over each group's extremes, "
        "which loses a little and needs the file no more."),
    CHOICE("adapter-init", adapter_init, "auto|gaussian|kaiming|xavier", "auto", TRAINING, 0, RECIPE,
           "A at the start (B is 0): normal with deviation 1/rank; uniform within 1/sqrt(its columns); uniform within "
           "sqrt(6/(its columns + rows)). A larger A learns faster at the same rate."),
    INTEGER("lora-rank", lora_rank, "N", "auto", 1, 4096, TRAINING, RECIPE,
            "Rank of the adapter B A; auto: the recipe's (dlqat: 16)."),
    REAL("lora-alpha", lora_alpha, "auto", 1e-6, FLT_MAX, TRAINING, RECIPE,
         "The adapter is scaled by c = alpha / rank; auto: c = 1, or the paper's where the recipe names one."),

    INTEGER("bits", bits, "N", "4", 2, 8, GRIDS, GRID, "Bits of a code."),
    INTEGER("group-size", group_size, "N", "auto", -1, 1 << 30, GRIDS, GRID,
            "Input columns that share scale and offset; -1: one group per output channel; auto: the largest of 128, 64 "
            "and 32 that divides every tensor."),
    CHOICE("scale-dtype", scale_dtype, "f16|bf16|f32", "f16", GRIDS, 0, GRID,
           "The type in which scales and offsets are stored. bf16: up to 5 bits."),
    LIST("bits-for", bits_for, "PATTERN=N", GRIDS, GRID,
         "Other bits for the modules whose path matches, e.g. '*.down_proj=4'. May be repeated; the last match rules."),
    LIST("exclude", exclude, "PATTERN", GRIDS, GRID,
         "Leave the matching modules as they are, e.g. 'model.layers.0.*'. May be repeated."),

    INTEGER("max-steps", max_steps, "N", "5000", 1, STEPS_MAX, TRAINING, TRAIN,
            "Optimizer steps, both phases together."),
    INTEGER("phase1-steps", phase1_steps, "N", "auto", 0, STEPS_MAX, TRAINING, TRAIN,
            "How many of them train scale and offset alone; auto: the smaller of 1000 and a fifth, if the recipe has a "
            "phase 1."),
    INTEGER("batch-size", batch_size, "N", "16", 1, 1 << 20, TRAINING, TRAIN, "Rows of a micro-batch."),
    INTEGER("gradient-accumulation-steps", gradient_accumulation_steps, "N", "1", 1, 1 << 20, TRAINING, TRAIN,
            "Micro-batches of an optimizer step."),
    INTEGER("tokens-at-once", tokens_at_once, "N", "auto", 1, 1 << 30, TRAINING, TRAIN,
            "A micro-batch goes through the model in pieces of whole rows of at most so many tokens, or one row: less "
            "memory, the same gradients but for the order of their sums. auto: as many as take the memory of the model "
            "in f32, but 512 or more."),
    CHOICE("share-prefixes", share_prefixes, "on|off", "on", TRAINING, 0, TRAIN,
           "Tokens that rows of a piece begin with alike, a template's, go through the model once: faster, the same "
           "gradients but for the order of their sums."),
    REAL("learning-rate", learning_rate, "auto", 0, 1e3, TRAINING, TRAIN,
         "The highest rate of the schedule; auto: the recipe's (dlqat: 0.0002). The same for the next five."),
    CHOICE("lr-scheduler-type", lr_scheduler_type, "auto|constant|cosine|linear", "auto", TRAINING, 0, TRAIN,
           "How the rate goes on after the warm-up; cosine and linear end at 0 (dlqat: constant)."),
    INTEGER("warmup-steps", warmup_steps, "N", "auto", 0, STEPS_MAX, TRAINING, TRAIN,
            "Steps over which the rate grows from 0; auto: from --warmup-ratio."),
    REAL("warmup-ratio", warmup_ratio, "auto", 0, 1, TRAINING, TRAIN,
         "The warm-up as a share of --max-steps (dlqat: 0)."),
    REAL("weight-decay", weight_decay, "auto", 0, 1e3, TRAINING, TRAIN, "AdamW's decay (dlqat: 0)."),
    REAL("max-grad-norm", max_grad_norm, "auto", 0, FLT_MAX, TRAINING, TRAIN,
         "Clip the gradient's norm to this; 0: never (dlqat: 0)."),
    REAL("adam-beta1", adam_beta1, "0.9", 0, 1 - DBL_EPSILON, TRAINING, TRAIN, "AdamW's decay of the first moment."),
    REAL("adam-beta2", adam_beta2, "0.999", 0, 1 - DBL_EPSILON, TRAINING, TRAIN, "AdamW's decay of the second moment."),
    REAL("adam-epsilon", adam_epsilon, "1e-08", 0, 1, TRAINING, TRAIN, "Added to AdamW's root."),
    INTEGER("seed", seed, "N", "42", 0, SEED_MAX, TRAINING, TRAIN, "Same seed and same threads: the same bits."),

    INTEGER("max-length", max_length, "N", "256", 2, 1 << 24, READING, DATA,
            "Longest row in tokens; longer ones are cut."),
    CHOICE("template", template_name, "auto|alpaca|chatml|llama2|llama3|mistral", "auto", READING | DLQAT_GENERATE, 0,
           DATA, "How rows become text; auto: the model's own chat template, or alpaca where it has none."),
    FLAG("no-shuffle", no_shuffle, TRAINING, DATA, "Take the rows in the order of the file."),
    REAL("validation-split", validation_split, "0", 0, 1 - DBL_EPSILON, TRAINING, DATA,
         "Share of the rows to hold out from training; 0: none."),
    STRING("validation-data", validation_data, "PATH", NULL, TRAINING, 0, DATA,
           "Rows to validate with, in a file of their own."),

    INTEGER("logging-steps", logging_steps, "N", "1", 1, STEPS_MAX, TRAINING, RUN, "Log every so many steps."),
    INTEGER("eval-steps", eval_steps, "N", "0", 0, STEPS_MAX, TRAINING, RUN,
            "Validate every so many steps; 0: at the end alone."),
    INTEGER("save-steps", save_steps, "N", "500", 0, STEPS_MAX, TRAINING, RUN,
            "Save a checkpoint every so many steps; 0: at the end or when stopped."),
    INTEGER("save-total-limit", save_total_limit, "N", "2", 0, 1 << 30, TRAINING, RUN,
            "Keep so many of the latest checkpoints, and the best by validation; 0: all."),

    FLAG("profile", profile, ONE_RUN, RUN, "Say at the end where the time went, by operation; also in summary.json."),

    STRING("ppl", ppl, "TEXTFILE", NULL, DLQAT_EVAL | DLQAT_COMPARE, 0, EVALUATION, "Perplexity of this text."),
    STRING("ppl-protocol", ppl_protocol, "A,B,..", "window", DLQAT_EVAL | DLQAT_COMPARE, 0, EVALUATION,
           "Which perplexities, some of: window, llamacpp, lmeval."),
    INTEGER(
        "window", window, "N", "2048", 2, 1 << 24, DLQAT_EVAL | DLQAT_COMPARE, EVALUATION,
        "Tokens of a window, at most the model's context unless given. Where it is not given, llamacpp takes 512 and "
        "lmeval the model's whole context."),
    INTEGER("max-windows", max_windows, "N", "0", 0, STEPS_MAX, DLQAT_EVAL | DLQAT_COMPARE, EVALUATION,
            "Stop after so many windows (window and llamacpp; lmeval takes whole documents); 0: the whole text."),
    CHOICE("ppl-split", ppl_split, "none|wikitext", "none", DLQAT_EVAL | DLQAT_COMPARE, 0, EVALUATION,
           "Documents of the lmeval protocol: the whole file as it is, or one per ' = Title = ' heading, without the "
           "spaces around punctuation, as the harness's wikitext task has them."),
    STRING("loss", loss, "DATA", NULL, DLQAT_EVAL, 0, EVALUATION, "Mean loss over the label tokens of these rows."),
    STRING("json", json, "FILE", NULL, DLQAT_EVAL, 0, EVALUATION, "Write the figures here as well, as flat JSON."),

    CHOICE("format", format, "hf|mlx|gguf", NULL, DLQAT_EXPORT, DLQAT_EXPORT, EXPORT,
           "hf: de-quantized weights; mlx: packed codes, MLX's affine layout; gguf: blocks where they hold the grid, "
           "else F32."),
    CHOICE("export-dtype", export_dtype, "f32|bf16", "f32", DLQAT_EXPORT, 0, EXPORT,
           "The type of the de-quantized weights of hf; bf16 rounds them."),

    STRING("prompt", prompt, "TEXT", NULL, DLQAT_GENERATE, DLQAT_GENERATE, TEXT, "What the user says."),
    STRING("system", system, "TEXT", NULL, DLQAT_GENERATE, 0, TEXT, "The system message."),
    FLAG("raw", raw, DLQAT_GENERATE, TEXT, "Continue the prompt as it is, without a template."),
    INTEGER("max-new-tokens", max_new_tokens, "N", "128", 1, 1 << 24, DLQAT_GENERATE, TEXT,
            "Stop after so many tokens."),
    REAL("temperature", temperature, "0", 0, 1e3, DLQAT_GENERATE, TEXT, "0: always the likeliest token."),
    INTEGER("top-k", top_k, "N", "0", 0, 1 << 30, DLQAT_GENERATE, TEXT,
            "Draw from so many of the likeliest tokens; 0: from all."),
    REAL("top-p", top_p, "1", DBL_MIN, 1, DLQAT_GENERATE, TEXT,
         "Draw from the smallest set of the likeliest tokens that has this probability."),
    INTEGER("seed", seed, "N", "42", 0, SEED_MAX, DLQAT_GENERATE, TEXT, "Of the draws."),
    CHOICE("activations", activations, "f32|int8", "f32", DLQAT_GENERATE, 0, MACHINE,
           "What packed weights are multiplied with, a few tokens at a time: int8 rounds it in blocks of 32, and is "
           "faster. "
           "No effect on weights that are not packed."),
    FLAG("no-special", no_special, DLQAT_TOKENIZE, TEXT, "Add no BOS or EOS; with --decode leave special tokens out."),
    FLAG("lines", lines, DLQAT_TOKENIZE, TEXT, "Each line is a text of its own."),
    FLAG("decode", decode, DLQAT_TOKENIZE, TEXT, "From ids to text."),

    CHOICE("dtype", dtype, "f32|bf16", "f32", PASSES, 0, MACHINE,
           "The type to which the inputs of matrix products are rounded; on processors that multiply bf16 those of "
           "attention's too."),
    CHOICE("checkpoint-activations", checkpoint_activations, "auto|on|off", "auto", TRAINING, 0, MACHINE,
           "Recompute activations in the backward; auto: if they would not fit otherwise."),
    CHOICE(
        "resident-weights", resident_weights, "auto|on|off", "auto", PASSES, 0, MACHINE,
        "Keep the weights ready in memory: training the codes of W_hat, other commands f32; auto: if they fit, but to "
        "generate text only what cannot be used packed."),
    INTEGER("threads", threads, "N", "0", 0, 4096, COMPUTING, MACHINE, "0: as many as the process may run on."),
    CHOICE("kernels", kernels, "auto|c|avx2|avx512|avx512bf16|amx", "auto", COMPUTING, 0, MACHINE,
           "The variant of the arithmetic; auto: the fastest that this processor has."),
};

const dq_option_row *dq_option_rows(size_t *count) {
    *count = sizeof table / sizeof table[0];
    return table;
}

size_t dlqat_option_count(void) {
    return sizeof table / sizeof table[0];
}

const dlqat_option_info *dlqat_option_at(size_t index) {
    return index < dlqat_option_count() ? &table[index].info : NULL;
}
