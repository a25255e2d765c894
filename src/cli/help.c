/* --help, from the option table and from what each command says of itself. */
#include "cli.h"

#include <string.h>

enum { TEXT_WIDTH = 100, HELP_COLUMN = 30 };

/* Prints text from column `at` on, broken between words at TEXT_WIDTH, further lines indented to HELP_COLUMN. */
static void print_wrapped(FILE *stream, const char *text, int at, int indent) {
    while (*text) {
        size_t length = strcspn(text, " \n");
        if (at > indent && at + 1 + (int)length > TEXT_WIDTH) {
            fprintf(stream, "\n%*s", indent, "");
            at = indent;
        }
        if (at > indent) {
            putc(' ', stream);
            at++;
        }
        fprintf(stream, "%.*s", (int)length, text);
        at += (int)length;
        text += length;
        if (*text == '\n') {
            fprintf(stream, "\n%*s", indent, "");
            at = indent;
        }
        if (*text) text++;
    }
    putc('\n', stream);
}

static void print_option(FILE *stream, const dlqat_option_info *info, unsigned command) {
    char text[1024];
    const char *value = info->choices ? info->choices : info->value;
    int at = fprintf(stream, "  --%s%s%s", info->name, value ? " " : "", value ? value : "");
    if (at + 2 > HELP_COLUMN) {
        putc('\n', stream);
        at = 0;
    }
    fprintf(stream, "%*s", HELP_COLUMN - at, "");
    const char *note = info->required & command ? " (required)" : "";
    if (info->def && info->kind != DLQAT_OPTION_FLAG)
        snprintf(text, sizeof text, "%s [%s]%s", info->help, info->def, note);
    else
        snprintf(text, sizeof text, "%s%s", info->help, note);
    print_wrapped(stream, text, HELP_COLUMN, HELP_COLUMN);
}

void dq_cli_help(FILE *stream) {
    fprintf(stream,
            "dlqat %s: fine-tune a language model straight into the low-bit file that will be shipped.\n\n"
            "Usage: dlqat COMMAND [options]\n\nCommands\n",
            dlqat_version());
    for (size_t i = 0; dq_cli_commands[i]; i++)
        fprintf(stream, "  %-10s  %s\n", dq_cli_commands[i]->name, dq_cli_commands[i]->summary);
    fprintf(stream,
            "\nTwo commands from a model to a file that llama.cpp loads\n"
            "  dlqat train --model model.gguf --data rows.jsonl --out run --bits 4 --offset none --group-size 32\n"
            "  dlqat export --model run --format gguf --out model-q4.gguf\n\n"
            "dlqat COMMAND --help lists the options of a command; dlqat --version the version.\n");
}

void dq_cli_command_help(FILE *stream, const dq_cli_command *command) {
    fprintf(stream, "Usage: dlqat %s", command->name);
    for (size_t i = 0; i < dlqat_option_count(); i++) {
        const dlqat_option_info *info = dlqat_option_at(i);
        if (info->required & command->command)
            fprintf(stream, " --%s %s", info->name, info->choices ? info->choices : info->value);
    }
    fprintf(stream, " [options]\n\n");
    print_wrapped(stream, command->about, 0, 0);
    fprintf(stream, "\nExample\n  %s\n", command->example);
    const char *section = "";
    for (size_t i = 0; i < dlqat_option_count(); i++) {
        const dlqat_option_info *info = dlqat_option_at(i);
        if (!(info->commands & command->command)) continue;
        if (strcmp(section, info->section) != 0) fprintf(stream, "\n%s\n", info->section);
        section = info->section;
        print_option(stream, info, command->command);
    }
    fprintf(
        stream,
        "\nDefaults stand in brackets. Options may also come from a JSON file (--config), with _ for - in names.\n");
}
