/* The options of every command: one table, one typed struct.
 *
 * A row of the table (option_table.c) is everything that is known of an option: what the public header tells of it, and
 * where its value lies in dq_settings. Nothing else lists options: parsing, --help, configuration files and the record
 * in a run directory walk the rows. To add an option: a field here, a row there; the compiler checks that they agree.
 *
 * Automatic values. Where an option's default is the word "auto", dlqat works the value out; until then the field holds
 * DQ_AUTO (whole numbers), NaN (reals) or NULL (choices). A string that was not given is NULL, a list has count 0. */
#ifndef DQ_BASE_OPTIONS_H
#define DQ_BASE_OPTIONS_H

#include "base/error.h"

#include <jansson.h>

#define DQ_AUTO INT64_MIN

typedef struct dq_strings {
    char **at;
    size_t count;
} dq_strings;

/* Choices are kept as their words; each floor turns the words it owns into its own enumeration. */
typedef struct dq_settings {
    /* files */
    char *model, *data, *out, *config, *resume, *json;
    /* recipe */
    char *method;       /* NULL in compare */
    char *methods;      /* compare: names with commas between them */
    char *range;        /* minmax | fixed | adaptive; NULL: the recipe's. The same for the next four. */
    char *magnitude;    /* on | off */
    char *offset;       /* float | none */
    char *clip_mask;    /* code | value | value-closed */
    char *start;        /* minmax | l4q */
    char *base_storage; /* given | int8 */
    char *adapter_init; /* gaussian | kaiming | xavier; NULL: the recipe's */
    int64_t lora_rank;  /* DQ_AUTO: the recipe's */
    double lora_alpha;  /* NaN: the recipe's */
    /* grid */
    int64_t bits;
    int64_t group_size;  /* -1: per output channel; DQ_AUTO: the largest of 128, 64, 32 that divides every tensor */
    char *scale_dtype;   /* f16 | bf16 | f32 */
    dq_strings bits_for; /* PATTERN=N, checked by dlqat_options_check; see dq_options_split_bits */
    dq_strings exclude;  /* PATTERN */
    /* training */
    int64_t max_steps;
    int64_t phase1_steps; /* DQ_AUTO: min(1000, max_steps / 5) where the recipe has a phase 1 */
    int64_t batch_size, gradient_accumulation_steps;
    int64_t tokens_at_once; /* DQ_AUTO: as the memory plan says */
    double learning_rate;                             /* NaN: the recipe's */
    char *lr_scheduler_type;                          /* constant | cosine | linear; NULL: the recipe's */
    int64_t warmup_steps;                             /* DQ_AUTO: from the warm-up ratio */
    double warmup_ratio, weight_decay, max_grad_norm; /* NaN: the recipe's; a norm of 0: no clipping */
    double adam_beta1, adam_beta2, adam_epsilon;
    int64_t seed;
    bool no_shuffle;
    char *share_prefixes;
    /* data */
    int64_t max_length;
    char *template_name;     /* alpaca | chatml | llama2 | llama3 | mistral; NULL: the model's own */
    double validation_split; /* 0: none */
    char *validation_data;
    /* run */
    bool profile;
    int64_t logging_steps;
    int64_t eval_steps;       /* 0: at the end alone */
    int64_t save_steps;       /* 0: at the end alone */
    int64_t save_total_limit; /* 0: keep all */
    /* machine */
    char *dtype;                  /* f32 | bf16 */
    char *checkpoint_activations; /* on | off; NULL: as the memory plan needs. The same for the next. */
    char *resident_weights;
    int64_t threads; /* 0: as many as the process may run on */
    char *kernels;   /* c | avx2 | avx512; NULL: the fastest this processor has */
    /* evaluation */
    char *ppl;
    char *ppl_protocol; /* some of window, llamacpp, lmeval with commas between; see dq_options_names */
    int64_t window;
    int64_t max_windows; /* 0: all */
    char *ppl_split;     /* none | wikitext */
    char *loss;
    /* export */
    char *format;       /* hf | mlx | gguf */
    char *export_dtype; /* f32 | bf16 */
    /* generation */
    char *prompt, *system;
    bool raw;
    char *activations; /* f32 | int8 */
    int64_t max_new_tokens;
    double temperature; /* 0: greedy */
    int64_t top_k;      /* 0: all */
    double top_p;
    /* tokenize */
    bool no_special, lines, decode;
} dq_settings;

/* ---- What commands ask ------------------------------------------------------------------------------------------- */

const dq_settings *dq_options_settings(const dlqat_options *options);
dlqat_command dq_options_command(const dlqat_options *options);
/* Whether the option was set at all, by a call or by a file. name as in the table. */
bool dq_options_given(const dlqat_options *options, const char *name);
/* The record of a run, which dlqat_options_load reads again: {"dlqat": version, "command": .., "options": {..}} with every
 * option of the command; null where there is no value or an automatic one. A new reference; NULL without memory. */
json_t *dq_options_to_json(const dlqat_options *options);
/* A copy that may be changed: loading a run's record into it keeps what was set explicitly. NULL without memory. */
dlqat_options *dq_options_copy(const dlqat_options *options);
/* Sets one option as if a file had said so: an explicitly set one keeps its value. For a command's own resolutions. */
dlqat_status dq_options_suggest(dlqat_options *options, const char *name, const char *value, dlqat_error *error);

/* What dlqat_options_load does, from an object in memory. */
dlqat_status dq_options_apply(dlqat_options *options, const json_t *object, dlqat_error *error);

/* "PATTERN=N" of bits_for: the pattern's length and N. ERROR_USAGE unless N is a whole number from 2 to 8. */
dlqat_status dq_options_split_bits(const char *text, size_t *pattern_length, int *bits, dlqat_error *error);
/* Walks "a,b,c": the next name (not NUL-terminated) and its length; false at the end. *rest starts as the whole text. */
bool dq_options_names(const char **rest, const char **name, size_t *length);

/* ---- The table ------------------------------------------------------------------------------------------------------ */

typedef struct dq_option_row {
    dlqat_option_info info;
    size_t offset; /* of the field in dq_settings: bool, int64_t, double, char * or dq_strings, as info.kind says */
} dq_option_row;

/* Static storage. Two rows may bear one name if no command takes both (an option whose default depends on the command). */
const dq_option_row *dq_option_rows(size_t *count);

#endif
