/* dlqat: fine-tune a language model straight into the low-bit file that will be shipped.
 *
 * The one public header of libdlqat. Every function that can fail returns a dlqat_status and, where the caller
 * gives a dlqat_error, writes one sentence into it that names the file, tensor or option, what was expected, and
 * what to do. The library never exits, aborts, prints, or keeps state outside the handles below; it reports through
 * dlqat_callbacks. Handles are not thread-safe; different handles may be used from different threads.
 *
 * Order of this file: status and errors - options - callbacks - the commands, one function each. */
#ifndef DLQAT_H
#define DLQAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DLQAT_VERSION_MAJOR 0
#define DLQAT_VERSION_MINOR 1
#define DLQAT_VERSION_PATCH 0
#define DLQAT_VERSION_STRING "0.1.0"

/* The version of the library that is linked, e.g. "0.1.0"; static storage. */
const char *dlqat_version(void);

/* ---- Status and errors --------------------------------------------------------------------------------------- */

typedef enum dlqat_status {
    DLQAT_OK = 0,
    DLQAT_ERROR_USAGE,       /* an option is unknown, malformed, or contradicts another one */
    DLQAT_ERROR_INPUT,       /* a file or its contents cannot be used: truncated, wrong shape, not a number, empty */
    DLQAT_ERROR_UNSUPPORTED, /* well-formed, but a construct that dlqat does not implement; named in the message */
    DLQAT_ERROR_IO,          /* the system refused: open, read, write, sync, rename */
    DLQAT_ERROR_MEMORY,      /* an allocation failed */
    DLQAT_ERROR_NUMERIC,     /* a loss or value became NaN or infinite */
    DLQAT_INTERRUPTED        /* should_stop said so; what was promised to be saved has been saved */
} dlqat_status;

/* Filled by a failing call; owned by the caller; may be NULL wherever it is asked for. */
typedef struct dlqat_error {
    dlqat_status status;
    char message[1024]; /* one line, NUL-terminated, no trailing newline */
} dlqat_error;

/* ---- Options --------------------------------------------------------------------------------------------------
 * Every option of every command is one row of one table. The table drives parsing, --help, the configuration file
 * and the record in the run directory. */

typedef enum dlqat_command {
    DLQAT_TRAIN = 1 << 0,
    DLQAT_QUANTIZE = 1 << 1,
    DLQAT_EVAL = 1 << 2,
    DLQAT_EXPORT = 1 << 3,
    DLQAT_GENERATE = 1 << 4,
    DLQAT_INFO = 1 << 5,
    DLQAT_TOKENIZE = 1 << 6,
    DLQAT_COMPARE = 1 << 7
} dlqat_command;

typedef enum dlqat_option_kind {
    DLQAT_OPTION_FLAG,   /* --name, no value; "true" or "false" in a file */
    DLQAT_OPTION_INT,    /* a whole number within [min, max] */
    DLQAT_OPTION_REAL,   /* a number within [min, max] */
    DLQAT_OPTION_CHOICE, /* one of the words in choices */
    DLQAT_OPTION_STRING,
    DLQAT_OPTION_LIST /* may be given more than once; each value is appended */
} dlqat_option_kind;

typedef struct dlqat_option_info {
    const char *name;     /* "learning-rate": given as --learning-rate, and as "learning_rate" in files */
    const char *value;    /* what --help calls the value, e.g. "N"; NULL for a flag */
    const char *def;      /* the default as text; NULL: none, see help */
    const char *choices;  /* "a|b|c" for a choice, else NULL */
    const char *help;     /* one or two sentences */
    const char *section;  /* heading in --help */
    dlqat_option_kind kind;
    double min, max;      /* bounds of a number */
    unsigned commands;    /* which commands take it: dlqat_command bits */
    unsigned required;    /* which commands cannot run without it */
} dlqat_option_info;

/* Rows of the table: at(0) .. at(count - 1), static storage. */
size_t dlqat_option_count(void);
const dlqat_option_info *dlqat_option_at(size_t index);

/* The options of one call. Opaque; starts with every option at its default. */
typedef struct dlqat_options dlqat_options;
dlqat_options *dlqat_options_new(dlqat_command command); /* NULL: no memory */
void dlqat_options_free(dlqat_options *options);

/* Sets one option from text. name with - or _; value is ignored for a flag when NULL. Fails with ERROR_USAGE on an
 * unknown name (the nearest one is proposed), an option of another command, or a value out of bounds. */
dlqat_status dlqat_options_set(dlqat_options *options, const char *name, const char *value, dlqat_error *error);
/* Sets what a JSON object in a file says; options that were set explicitly before keep their value. */
dlqat_status dlqat_options_load(dlqat_options *options, const char *path, dlqat_error *error);
/* Checks that the required options are there and that the values agree with one another. Every command calls it. */
dlqat_status dlqat_options_check(const dlqat_options *options, dlqat_error *error);

/* ---- Callbacks ------------------------------------------------------------------------------------------------- */

typedef enum dlqat_log_level { DLQAT_LOG_NOTE, DLQAT_LOG_WARNING } dlqat_log_level;

/* State of a training run after a step; what a progress line shows. Times in seconds, memory in bytes. */
typedef struct dlqat_progress {
    const char *method;
    int64_t step, max_steps;
    int phase;             /* 1 or 2 */
    double loss, grad_norm, learning_rate, tokens_per_second, elapsed, eta;
    double eval_loss;      /* NaN on steps without an evaluation */
    uint64_t tokens, peak_rss_bytes;
    bool logged;           /* this step is one of every --logging-steps */
} dlqat_progress;

/* All may be NULL. Called from the thread that called the command. */
typedef struct dlqat_callbacks {
    void *user;
    void (*log)(void *user, dlqat_log_level level, const char *line);         /* talk, one line without newline */
    void (*output)(void *user, const char *bytes, size_t length);             /* data: text, ids, tables */
    void (*progress)(void *user, const dlqat_progress *progress);
    bool (*should_stop)(void *user); /* asked after each step or token; true ends with DLQAT_INTERRUPTED */
} dlqat_callbacks;

/* ---- Commands: each does what `dlqat NAME` does ------------------------------------------------------------------
 * options must have been made for that command. callbacks may be NULL. */

dlqat_status dlqat_train(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
dlqat_status dlqat_quantize(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
dlqat_status dlqat_eval(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
dlqat_status dlqat_export(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
dlqat_status dlqat_generate(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
dlqat_status dlqat_info(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
/* text: what is to be tokenized, or ids to decode: length bytes, not necessarily NUL-terminated. */
dlqat_status dlqat_tokenize(const dlqat_options *options, const char *text, size_t length,
                            const dlqat_callbacks *callbacks, dlqat_error *error);
dlqat_status dlqat_compare(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);

#ifdef __cplusplus
}
#endif
#endif
