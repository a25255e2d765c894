/* The program `dlqat`: a thin shell around include/dlqat.h, and the only user of it that prints.
 *
 * Data goes to standard output, talk to standard error. Exit code 0, 1 (it failed: one line "dlqat: error: ...") or
 * 2 (bad usage). */
#ifndef DQ_CLI_H
#define DQ_CLI_H

#include "dlqat.h"

#include <stdio.h>

enum { DQ_EXIT_OK = 0, DQ_EXIT_FAILED = 1, DQ_EXIT_USAGE = 2 };

/* What a command's own file says of it. */
typedef struct dq_cli_command {
    const char *name;
    dlqat_command command;
    const char *summary; /* one line for `dlqat --help` */
    const char *about;   /* paragraphs for `dlqat NAME --help` */
    const char *example;
    bool stops; /* SIGINT and SIGTERM are a request to end cleanly, not the end */
    dlqat_status (*run)(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error);
} dq_cli_command;

extern const dq_cli_command dq_cli_train, dq_cli_quantize, dq_cli_eval, dq_cli_export, dq_cli_generate, dq_cli_info,
    dq_cli_tokenize, dq_cli_compare;

/* The commands in the order of --help; NULL at the end. */
extern const dq_cli_command *const dq_cli_commands[];

/* args.c: what the words after the command mean. */
typedef enum dq_cli_wish { DQ_WISH_RUN, DQ_WISH_HELP, DQ_WISH_VERSION } dq_cli_wish;
dlqat_status dq_cli_parse(dlqat_options *options, dlqat_command command, int count, char **words, dq_cli_wish *wish,
                          dlqat_error *error);

/* help.c */
void dq_cli_help(FILE *stream);
void dq_cli_command_help(FILE *stream, const dq_cli_command *command);

/* progress.c: the callbacks that print. */
typedef struct dq_cli_talk {
    bool terminal; /* standard error is one: a line that is written over, else plain lines */
    bool open;     /* such a line stands there */
    double shown;  /* when it was last written, in the run's own seconds */
} dq_cli_talk;
void dq_cli_talk_open(dq_cli_talk *talk);
void dq_cli_talk_close(dq_cli_talk *talk); /* ends the line */
void dq_cli_log(void *talk, dlqat_log_level level, const char *line);
void dq_cli_output(void *talk, const char *bytes, size_t length);
void dq_cli_progress(void *talk, const dlqat_progress *progress);

/* stop.c */
void dq_cli_catch_signals(void);
bool dq_cli_should_stop(void *talk);

#endif
