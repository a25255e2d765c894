/* --name value, --name=value, --flag; which option takes a value is the table's to say. */
#include "cli.h"

#include <stdarg.h>
#include <string.h>

static dlqat_status fail(dlqat_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static dlqat_status fail(dlqat_error *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return error->status = DLQAT_ERROR_USAGE;
}

static bool is_flag(const char *name, dlqat_command command) {
    for (size_t i = 0; i < dlqat_option_count(); i++) {
        const dlqat_option_info *info = dlqat_option_at(i);
        if ((info->commands & command) && strcmp(info->name, name) == 0) return info->kind == DLQAT_OPTION_FLAG;
    }
    return false;
}

dlqat_status dq_cli_parse(dlqat_options *options, dlqat_command command, int count, char **words, dq_cli_wish *wish,
                          dlqat_error *error) {
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *wish = DQ_WISH_HELP;
            return DLQAT_OK;
        }
        if (strcmp(word, "--version") == 0) {
            *wish = DQ_WISH_VERSION;
            return DLQAT_OK;
        }
        if (strncmp(word, "--", 2) != 0 || !word[2])
            return fail(error, "unexpected \"%.200s\": options begin with --, and values follow their option", word);

        char name[64];
        size_t length = strcspn(word + 2, "=");
        if (length >= sizeof name) return fail(error, "there is no option \"%.200s\"", word);
        memcpy(name, word + 2, length);
        name[length] = '\0';

        const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
        if (!value && !is_flag(name, command) && i + 1 < count) {
            /* A forgotten value would otherwise swallow the option after it. */
            if (strncmp(words[i + 1], "--", 2) != 0) value = words[++i];
        }
        dlqat_status status = dlqat_options_set(options, name, value, error);
        if (status != DLQAT_OK) return status;
    }
    return DLQAT_OK;
}
