/* Whether the options of one call agree with one another, as far as can be said without opening a file. */
#include "base/options.h"

#include <stdio.h>
#include <string.h>

static const dlqat_option_info *row_of(const char *name, dlqat_command command) {
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    for (size_t i = 0; i < count; i++)
        if ((rows[i].info.commands & command) && strcmp(rows[i].info.name, name) == 0) return &rows[i].info;
    return NULL;
}

static dlqat_status contradict(dlqat_error *error, const char *sentence) {
    return dq_fail(error, DLQAT_ERROR_USAGE, "%s", sentence);
}

static dlqat_status check_required(const dlqat_options *options, dlqat_error *error) {
    size_t count;
    const dq_option_row *rows = dq_option_rows(&count);
    for (size_t i = 0; i < count; i++) {
        const dlqat_option_info *info = &rows[i].info;
        if (!(info->required & dq_options_command(options))) continue;
        if (!dq_options_given(options, info->name))
            return dq_fail(error, DLQAT_ERROR_USAGE, "--%s %s is missing. %s", info->name, info->value, info->help);
    }
    return DLQAT_OK;
}

dlqat_status dq_options_split_bits(const char *text, size_t *pattern_length, int *bits, dlqat_error *error) {
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text || equals[1] < '2' || equals[1] > '8' || equals[2] != '\0')
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "--bits-for: expected PATTERN=N with N from 2 to 8, e.g. '*.down_proj=4', got \"%.200s\"", text);
    *pattern_length = (size_t)(equals - text);
    *bits = equals[1] - '0';
    return DLQAT_OK;
}

bool dq_options_names(const char **rest, const char **name, size_t *length) {
    if (!*rest) return false;
    *name = *rest;
    *length = strcspn(*rest, ",");
    *rest = (*rest)[*length] ? *rest + *length + 1 : NULL;
    return true;
}

static dlqat_status check_grid(const dq_settings *s, dlqat_error *error) {
    int most = (int)s->bits;
    for (size_t i = 0; i < s->bits_for.count; i++) {
        size_t length;
        int bits = 0;
        DQ_TRY(dq_options_split_bits(s->bits_for.at[i], &length, &bits, error));
        if (bits > most) most = bits;
    }
    if (s->group_size == 0)
        return contradict(error, "--group-size: expected a number of columns, -1 (per channel) or auto");
    /* A bf16 scale has 8 significant bits: from 6 bits on the far end of the grid would move by a third of a step. */
    if (most > 5 && strcmp(s->scale_dtype, "bf16") == 0)
        return dq_fail(error, DLQAT_ERROR_USAGE, "--scale-dtype bf16 is too coarse for %d bits: take f16 or f32", most);
    return DLQAT_OK;
}

static dlqat_status check_training(const dlqat_options *options, dlqat_error *error) {
    const dq_settings *s = dq_options_settings(options);
    if (s->phase1_steps != DQ_AUTO && s->phase1_steps > s->max_steps)
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "--phase1-steps %lld is more than --max-steps %lld, which counts both phases",
                       (long long)s->phase1_steps, (long long)s->max_steps);
    if (s->warmup_steps != DQ_AUTO && s->warmup_steps > s->max_steps)
        return dq_fail(error, DLQAT_ERROR_USAGE, "--warmup-steps %lld is more than --max-steps %lld",
                       (long long)s->warmup_steps, (long long)s->max_steps);
    if (s->warmup_steps != DQ_AUTO && s->warmup_ratio > 0)
        return contradict(error, "--warmup-steps and --warmup-ratio say the same thing: give one of them");
    if (s->validation_data && s->validation_split > 0)
        return contradict(error, "--validation-data and --validation-split exclude each other: give one of them");
    if (s->eval_steps > 0 && !s->validation_data && !(s->validation_split > 0) && !s->resume)
        return contradict(error, "--eval-steps needs rows to validate with: --validation-data or --validation-split");
    return DLQAT_OK;
}

static dlqat_status check_perplexity(const dq_settings *s, dlqat_error *error) {
    static const char *const protocols[] = {"window", "llamacpp", "lmeval"};
    const char *rest = s->ppl_protocol, *name;
    size_t length;
    while (dq_options_names(&rest, &name, &length)) {
        bool known = false;
        for (int i = 0; i < 3; i++)
            known = known || (strlen(protocols[i]) == length && !strncmp(protocols[i], name, length));
        if (!known)
            return dq_fail(
                error, DLQAT_ERROR_USAGE,
                "--ppl-protocol: expected some of window, llamacpp, lmeval with commas between, got \"%.200s\"",
                s->ppl_protocol);
    }
    return DLQAT_OK;
}

dlqat_status dlqat_options_check(const dlqat_options *options, dlqat_error *error) {
    const dq_settings *s = dq_options_settings(options);
    dlqat_command command = dq_options_command(options);
    /* A run that is continued has all that it needs in its own record. */
    if (!s->resume) DQ_TRY(check_required(options, error));
    if (row_of("bits", command)) DQ_TRY(check_grid(s, error));
    if (row_of("max-steps", command)) DQ_TRY(check_training(options, error));
    if (row_of("ppl", command)) DQ_TRY(check_perplexity(s, error));
    if (command == DLQAT_EVAL && !s->ppl && !s->loss)
        return contradict(error, "nothing to evaluate: give --ppl TEXTFILE, --loss DATA, or both");
    if (command == DLQAT_EXPORT && strcmp(s->export_dtype, "bf16") == 0 && strcmp(s->format, "hf") != 0)
        return contradict(
            error, "--export-dtype bf16 goes with --format hf alone: mlx and gguf hold the trained grid as it is");
    if (command == DLQAT_GENERATE && s->raw && (s->system || s->template_name))
        return contradict(error, "--raw takes the prompt as it is: it excludes --system and --template");
    if (command == DLQAT_GENERATE && strcmp(s->activations, "int8") == 0 && s->resident_weights &&
        strcmp(s->resident_weights, "on") == 0)
        return contradict(
            error, "--activations int8 is for packed weights: --resident-weights on leaves none; take off or auto");
    return DLQAT_OK;
}
