#define _POSIX_C_SOURCE 200809L /* strdup */
/* Setting options from text and from files, and writing them down again. */
#include "base/options.h"

#include "base/json.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who set an option; a weaker source never overrides a stronger one. */
typedef enum option_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_EXPLICIT } option_source;

struct dlqat_options {
    dlqat_command command;
    dq_settings settings;
    option_source *source; /* [rows] */
};

static const char *const command_names[] = {"train",    "quantize", "eval",     "export",
                                            "generate", "info",     "tokenize", "compare"};

static const char *command_name(dlqat_command command) {
    int bit = 0;
    while (bit < 7 && command >> bit != 1) bit++;
    return command_names[bit];
}

static void *field(dq_settings *settings, const dq_option_row *row) {
    return (char *)settings + row->offset;
}

/* ---- Finding a row ------------------------------------------------------------------------------------------------ */

/* '-' and '_' are the same letter in names. */
static bool same_name(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_'))) return false;
    return *a == *b;
}

/* The row of that name that one of these commands takes. */
static const dq_option_row *find_row(const char *name, unsigned commands) {
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    for (size_t i = 0; i < count; i++)
        if ((rows[i].info.commands & commands) && same_name(rows[i].info.name, name)) return &rows[i];
    return NULL;
}

static size_t row_index(const dq_option_row *row) {
    size_t count;
    return (size_t)(row - dq_option_rows(&count));
}

/* Levenshtein's distance, over two rolling rows; names longer than the row are never near. */
static size_t edit_distance(const char *a, const char *b) {
    enum { LONGEST = 63 };
    size_t row[LONGEST + 1], a_length = strlen(a), b_length = strlen(b);
    if (a_length > LONGEST || b_length > LONGEST) return LONGEST;
    for (size_t j = 0; j <= b_length; j++) row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b_length];
}

static dlqat_status fail_unknown(const char *name, dlqat_command command, dlqat_error *error) {
    const dq_option_row *other = find_row(name, ~0u);
    if (other) {
        for (int bit = 0; bit < 8; bit++)
            if (other->info.commands & 1u << bit)
                return dq_fail(error, DLQAT_ERROR_USAGE, "--%s is an option of %s, not of %s; see dlqat %s --help",
                               other->info.name, command_names[bit], command_name(command), command_name(command));
    }
    size_t count, least = strlen(name) / 2 + 1; /* farther than half the name is no likeness */
    const dq_option_row *rows = dq_option_rows(&count), *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(name, rows[i].info.name);
        if ((rows[i].info.commands & command) && distance < least) {
            least = distance;
            nearest = &rows[i];
        }
    }
    if (nearest)
        return dq_fail(error, DLQAT_ERROR_USAGE, "%s has no option --%.100s; did you mean --%s?", command_name(command),
                       name, nearest->info.name);
    return dq_fail(error, DLQAT_ERROR_USAGE, "%s has no option --%.100s; see dlqat %s --help", command_name(command),
                   name, command_name(command));
}

/* ---- Values from text --------------------------------------------------------------------------------------------- */

static dlqat_status fail_value(const dlqat_option_info *info, const char *value, const char *expected,
                               dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_USAGE, "--%s: expected %s, got \"%.200s\"", info->name, expected, value);
}

static bool has_automatic(const dlqat_option_info *info) {
    return info->def && strcmp(info->def, "auto") == 0;
}

static dlqat_status set_flag(bool *out, const dlqat_option_info *info, const char *value, dlqat_error *error) {
    if (!value || strcmp(value, "true") == 0)
        *out = true;
    else if (strcmp(value, "false") == 0)
        *out = false;
    else
        return fail_value(info, value, "no value, or true or false", error);
    return DLQAT_OK;
}

static dlqat_status set_int(int64_t *out, const dlqat_option_info *info, const char *value, dlqat_error *error) {
    char expected[96], *end;
    if (has_automatic(info) && strcmp(value, "auto") == 0) {
        *out = DQ_AUTO;
        return DLQAT_OK;
    }
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    if (end != value && !*end && errno == 0 && (double)parsed >= info->min && (double)parsed <= info->max) {
        *out = parsed;
        return DLQAT_OK;
    }
    snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f%s", info->min, info->max,
             has_automatic(info) ? ", or auto" : "");
    return fail_value(info, value, expected, error);
}

static dlqat_status set_real(double *out, const dlqat_option_info *info, const char *value, dlqat_error *error) {
    char expected[96], *end;
    if (has_automatic(info) && strcmp(value, "auto") == 0) {
        *out = NAN;
        return DLQAT_OK;
    }
    double parsed = strtod(value, &end);
    if (end != value && !*end && parsed >= info->min && parsed <= info->max) { /* NaN fails the comparisons */
        *out = parsed;
        return DLQAT_OK;
    }
    snprintf(expected, sizeof expected, "a number from %.6g to %.6g%s", info->min, info->max,
             has_automatic(info) ? ", or auto" : "");
    return fail_value(info, value, expected, error);
}

/* Whether word is one of the words of "a|b|c". */
static bool is_choice(const char *choices, const char *word) {
    size_t length = strlen(word);
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (length && strncmp(at, word, length) == 0 && (at[length] == '|' || at[length] == '\0')) return true;
    return false;
}

static dlqat_status set_string(char **out, const dlqat_option_info *info, const char *value, dlqat_error *error) {
    char *copy = NULL;
    if (info->kind == DLQAT_OPTION_CHOICE && !is_choice(info->choices, value)) {
        char expected[160];
        snprintf(expected, sizeof expected, "one of %s", info->choices);
        return fail_value(info, value, expected, error);
    }
    if (!(has_automatic(info) && strcmp(value, "auto") == 0) && !(copy = strdup(value)))
        return dq_fail(error, DLQAT_ERROR_MEMORY, "--%s: no memory for its value", info->name);
    free(*out);
    *out = copy;
    return DLQAT_OK;
}

static void clear_list(dq_strings *list) {
    for (size_t i = 0; i < list->count; i++) free(list->at[i]);
    free(list->at);
    *list = (dq_strings){0};
}

static dlqat_status append(dq_strings *list, const dlqat_option_info *info, const char *value, dlqat_error *error) {
    char *copy = strdup(value);
    char **larger = copy ? realloc(list->at, (list->count + 1) * sizeof *larger) : NULL;
    if (!larger) {
        free(copy);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "--%s: no memory for its value", info->name);
    }
    list->at = larger;
    list->at[list->count++] = copy;
    return DLQAT_OK;
}

static dlqat_status set_row(dlqat_options *options, const dq_option_row *row, const char *value, option_source source,
                            dlqat_error *error) {
    const dlqat_option_info *info = &row->info;
    option_source *holder = &options->source[row_index(row)];
    void *at = field(&options->settings, row);
    if (*holder > source) return DLQAT_OK;
    if (!value && info->kind != DLQAT_OPTION_FLAG)
        return dq_fail(error, DLQAT_ERROR_USAGE, "--%s needs a value: --%s %s", info->name, info->name, info->value);
    dlqat_status status = DLQAT_OK;
    switch (info->kind) {
    case DLQAT_OPTION_FLAG:
        status = set_flag(at, info, value, error);
        break;
    case DLQAT_OPTION_INT:
        status = set_int(at, info, value, error);
        break;
    case DLQAT_OPTION_REAL:
        status = set_real(at, info, value, error);
        break;
    case DLQAT_OPTION_CHOICE:
    case DLQAT_OPTION_STRING:
        status = set_string(at, info, value, error);
        break;
    case DLQAT_OPTION_LIST:
        /* The command line's patterns replace a file's, they do not join them. */
        if (*holder < source) clear_list(at);
        status = append(at, info, value, error);
        break;
    }
    if (status == DLQAT_OK) *holder = source;
    return status;
}

/* ---- The handle --------------------------------------------------------------------------------------------------- */

dlqat_options *dlqat_options_new(dlqat_command command) {
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    dlqat_options *options = calloc(1, sizeof *options);
    if (!options) return NULL;
    options->command = command;
    options->source = calloc(count, sizeof *options->source);
    bool failed = !options->source;
    for (size_t i = 0; i < count && !failed; i++) {
        const dlqat_option_info *info = &rows[i].info;
        if (info->def && (info->commands & command))
            failed = set_row(options, &rows[i], info->def, SOURCE_DEFAULT, NULL) != DLQAT_OK;
    }
    if (!failed) return options;
    dlqat_options_free(options);
    return NULL;
}

void dlqat_options_free(dlqat_options *options) {
    if (!options) return;
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    for (size_t i = 0; i < count; i++) {
        /* Of two rows with one field, the first frees it and leaves NULL. */
        if (rows[i].info.kind == DLQAT_OPTION_LIST)
            clear_list(field(&options->settings, &rows[i]));
        else if (rows[i].info.kind == DLQAT_OPTION_STRING || rows[i].info.kind == DLQAT_OPTION_CHOICE) {
            char **text = field(&options->settings, &rows[i]);
            free(*text);
            *text = NULL;
        }
    }
    free(options->source);
    free(options);
}

dlqat_options *dq_options_copy(const dlqat_options *options) {
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    dlqat_options *copy = calloc(1, sizeof *copy);
    if (!copy) return NULL;
    copy->command = options->command;
    copy->source = calloc(count, sizeof *copy->source);
    bool failed = !copy->source;
    for (size_t i = 0; i < count && !failed; i++) {
        const dlqat_option_info *info = &rows[i].info;
        if (!(info->commands & options->command)) continue;
        const void *from = (const char *)&options->settings + rows[i].offset;
        void *to = field(&copy->settings, &rows[i]);
        copy->source[i] = options->source[i];
        switch (info->kind) {
        case DLQAT_OPTION_FLAG:
            memcpy(to, from, sizeof(bool));
            break;
        case DLQAT_OPTION_INT:
            memcpy(to, from, sizeof(int64_t));
            break;
        case DLQAT_OPTION_REAL:
            memcpy(to, from, sizeof(double));
            break;
        case DLQAT_OPTION_CHOICE:
        case DLQAT_OPTION_STRING: {
            const char *text = *(char *const *)from;
            failed = text && !(*(char **)to = strdup(text));
            break;
        }
        case DLQAT_OPTION_LIST: {
            const dq_strings *list = from;
            for (size_t n = 0; n < list->count && !failed; n++)
                failed = append(to, info, list->at[n], NULL) != DLQAT_OK;
            break;
        }
        }
    }
    if (!failed) return copy;
    dlqat_options_free(copy);
    return NULL;
}

const dq_settings *dq_options_settings(const dlqat_options *options) {
    return &options->settings;
}

dlqat_command dq_options_command(const dlqat_options *options) {
    return options->command;
}

bool dq_options_given(const dlqat_options *options, const char *name) {
    const dq_option_row *row = find_row(name, options->command);
    return row && options->source[row_index(row)] != SOURCE_DEFAULT;
}

dlqat_status dq_options_suggest(dlqat_options *options, const char *name, const char *value, dlqat_error *error) {
    const dq_option_row *row = find_row(name, options->command);
    return row ? set_row(options, row, value, SOURCE_FILE, error) : fail_unknown(name, options->command, error);
}

dlqat_status dlqat_options_set(dlqat_options *options, const char *name, const char *value, dlqat_error *error) {
    const dq_option_row *row = find_row(name, options->command);
    if (!row) return fail_unknown(name, options->command, error);
    DQ_TRY(set_row(options, row, value, SOURCE_EXPLICIT, error));
    /* --config is obeyed where it stands: what is set explicitly, before or after, wins all the same. */
    return strcmp(row->info.name, "config") == 0 ? dlqat_options_load(options, value, error) : DLQAT_OK;
}

/* ---- Files -------------------------------------------------------------------------------------------------------- */

/* One value of a file, as the text that the command line would have. */
static dlqat_status set_scalar(dlqat_options *options, const dq_option_row *row, const json_t *value,
                               dlqat_error *error) {
    char number[40];
    const char *text = number;
    switch (json_typeof(value)) {
    case JSON_STRING:
        text = json_string_value(value);
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
        text = "true";
        break;
    case JSON_FALSE:
        text = "false";
        break;
    default:
        return dq_fail(error, DLQAT_ERROR_USAGE, "\"%s\": expected a string, a number, true or false", row->info.name);
    }
    return set_row(options, row, text, SOURCE_FILE, error);
}

static dlqat_status set_member(dlqat_options *options, const char *key, const json_t *value, dlqat_error *error) {
    const dq_option_row *row = find_row(key, options->command);
    if (!row) return fail_unknown(key, options->command, error);
    if (json_is_null(value)) return DLQAT_OK; /* a record's way to say: no value, or an automatic one */
    if (row->info.kind != DLQAT_OPTION_LIST || !json_is_array(value)) return set_scalar(options, row, value, error);
    for (size_t i = 0; i < json_array_size(value); i++)
        DQ_TRY(set_scalar(options, row, json_array_get(value, i), error));
    return DLQAT_OK;
}

dlqat_status dq_options_apply(dlqat_options *options, const json_t *object, dlqat_error *error) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        DQ_TRY(set_member(options, key, value, error));
    }
    return DLQAT_OK;
}

dlqat_status dlqat_options_load(dlqat_options *options, const char *path, dlqat_error *error) {
    json_t *root;
    DQ_TRY(dq_json_load(path, &root, error));
    /* The record of a run keeps its options one level down, beside what else it says. */
    const json_t *inner = json_object_get(root, "options"), *object = json_is_object(inner) ? inner : root;
    dlqat_status status = DLQAT_OK;
    if (!json_is_object(object))
        status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: expected a JSON object of options", path);
    else if ((status = dq_options_apply(options, object, error)) != DLQAT_OK)
        dq_fail_in(error, status, path);
    json_decref(root);
    return status;
}

static json_t *value_to_json(const dq_settings *settings, const dq_option_row *row) {
    const void *at = (const char *)settings + row->offset;
    switch (row->info.kind) {
    case DLQAT_OPTION_FLAG:
        return json_boolean(*(const bool *)at);
    case DLQAT_OPTION_INT:
        return *(const int64_t *)at == DQ_AUTO ? json_null() : json_integer(*(const int64_t *)at);
    case DLQAT_OPTION_REAL:
        return isnan(*(const double *)at) ? json_null() : json_real(*(const double *)at);
    case DLQAT_OPTION_CHOICE:
    case DLQAT_OPTION_STRING:
        return *(char *const *)at ? json_string(*(char *const *)at) : json_null();
    case DLQAT_OPTION_LIST:
        break;
    }
    const dq_strings *list = at;
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++) json_array_append_new(array, json_string(list->at[i]));
    return array;
}

json_t *dq_options_to_json(const dlqat_options *options) {
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    json_t *object = json_object();
    bool failed = !object;
    for (size_t i = 0; i < count && !failed; i++) {
        char key[64];
        if (!(rows[i].info.commands & options->command) || strcmp(rows[i].info.name, "config") == 0) continue;
        snprintf(key, sizeof key, "%s", rows[i].info.name);
        for (char *c = key; *c; c++)
            if (*c == '-') *c = '_';
        failed = json_object_set_new(object, key, value_to_json(&options->settings, &rows[i])) != 0;
    }
    json_t *record = failed ? NULL
                            : json_pack("{s:s, s:s, s:O}", "dlqat", DLQAT_VERSION_STRING, "command",
                                        command_name(options->command), "options", object);
    json_decref(object);
    return record;
}
