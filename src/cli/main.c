/* dlqat COMMAND [options] */
#include "cli.h"

#include <signal.h>
#include <string.h>

const dq_cli_command *const dq_cli_commands[] = {
    &dq_cli_train, &dq_cli_quantize, &dq_cli_eval,    &dq_cli_export, &dq_cli_generate,
    &dq_cli_info,  &dq_cli_tokenize, &dq_cli_compare, NULL,
};

static const dq_cli_command *find_command(const char *name) {
    for (size_t i = 0; dq_cli_commands[i]; i++)
        if (strcmp(dq_cli_commands[i]->name, name) == 0) return dq_cli_commands[i];
    return NULL;
}

static int report(const dlqat_error *error) {
    /* An interruption that was asked for is no error, but what was asked for before it is not done either. */
    fprintf(stderr, "dlqat: %s%s\n", error->status == DLQAT_INTERRUPTED ? "stopped: " : "error: ", error->message);
    return error->status == DLQAT_ERROR_USAGE ? DQ_EXIT_USAGE : DQ_EXIT_FAILED;
}

/* Output that could not be written is a failure, even where the command itself went well. */
static int finish(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (code == DQ_EXIT_OK)
        fprintf(stderr, "dlqat: error: standard output cannot be written: disk full or pipe closed\n");
    return DQ_EXIT_FAILED;
}

static int run(const dq_cli_command *command, const dlqat_options *options) {
    dlqat_error error = {DLQAT_OK, ""};
    dq_cli_talk talk;
    dlqat_callbacks callbacks = {&talk, dq_cli_log, dq_cli_output, dq_cli_progress, dq_cli_should_stop};
    if (command->stops) dq_cli_catch_signals();
    dq_cli_talk_open(&talk);
    dlqat_status status = command->run(options, &callbacks, &error);
    dq_cli_talk_close(&talk);
    return status == DLQAT_OK ? DQ_EXIT_OK : report(&error);
}

static int run_command(const dq_cli_command *command, int count, char **words) {
    dlqat_error error = {DLQAT_OK, ""};
    dq_cli_wish wish = DQ_WISH_RUN;
    dlqat_options *options = dlqat_options_new(command->command);
    if (!options) {
        fprintf(stderr, "dlqat: error: no memory for the options\n");
        return DQ_EXIT_FAILED;
    }
    int code = DQ_EXIT_OK;
    if (dq_cli_parse(options, command->command, count, words, &wish, &error) != DLQAT_OK)
        code = report(&error);
    else if (wish == DQ_WISH_HELP)
        dq_cli_command_help(stdout, command);
    else if (wish == DQ_WISH_VERSION)
        printf("dlqat %s\n", dlqat_version());
    else
        code = run(command, options);
    dlqat_options_free(options);
    return code;
}

static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

int main(int argc, char **argv) {
    /* A reader that goes away must not kill a training run; finish() sees the failed write. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        dq_cli_help(stderr);
        return DQ_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("dlqat %s\n", dlqat_version());
        return finish(DQ_EXIT_OK);
    }
    bool help = is_help(argv[1]);
    if (help && argc == 2) {
        dq_cli_help(stdout);
        return finish(DQ_EXIT_OK);
    }
    const dq_cli_command *command = find_command(argv[help ? 2 : 1]);
    if (!command) {
        fprintf(stderr, "dlqat: error: there is no command \"%.100s\"; see dlqat --help\n", argv[help ? 2 : 1]);
        return DQ_EXIT_USAGE;
    }
    if (!help) return finish(run_command(command, argc - 2, argv + 2));
    dq_cli_command_help(stdout, command);
    return finish(DQ_EXIT_OK);
}
