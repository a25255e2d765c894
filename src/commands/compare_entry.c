#include "commands/compare_entry.h"

#include "train/quantizer_set.h"
#include "train/trainer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dq_entry_directory(const char *entry, size_t length, char *name, size_t size) {
    size_t n = length < size - 1 ? length : size - 1;
    for (size_t i = 0; i < n; i++) name[i] = strchr(":=/ *?", entry[i]) ? '-' : entry[i];
    name[n] = '\0';
}

/* Sets method and, for each ":AXIS=VALUE", that option, over everything else. */
static dlqat_status apply_entry(dlqat_options *options, const char *entry, size_t length, dlqat_error *error) {
    char *text = malloc(length + 1);
    if (!text) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for an entry of --methods");
    memcpy(text, entry, length);
    text[length] = '\0';
    dlqat_status status = DLQAT_OK;
    char *rest = strchr(text, ':');
    if (rest) *rest++ = '\0';
    status = dlqat_options_set(options, "method", text, error);
    while (status == DLQAT_OK && rest) {
        char *name = rest, *value = strchr(name, '=');
        rest = strchr(name, ':');
        if (rest) *rest++ = '\0';
        if (!value || (rest && value > rest)) {
            status = dq_fail(error, DLQAT_ERROR_USAGE, "--methods %.*s: expected NAME:OPTION=VALUE, got \":%s\"",
                             (int)length, entry, name);
            break;
        }
        *value++ = '\0';
        status = dlqat_options_set(options, name, value, error);
        if (status != DLQAT_OK) dq_fail_in(error, status, "--methods");
    }
    free(text);
    return status;
}

dlqat_status dq_compare_derive(const dlqat_options *compare, dlqat_command command, dlqat_options **out,
                               dlqat_error *error) {
    static const struct {
        const char *name, *value;
    } imposed[] = {{"lora-rank", "16"},    {"learning-rate", "2e-4"}, {"weight-decay", "0"},
                   {"max-grad-norm", "0"}, {"warmup-ratio", "0"},     {"lr-scheduler-type", "constant"}};
    dlqat_options *options = dlqat_options_new(command);
    json_t *record = dq_options_to_json(compare), *own = options ? dq_options_to_json(options) : NULL;
    dlqat_status status = DLQAT_OK;
    if (!options || !record || !own) status = dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the options");
    const char *key;
    json_t *value;
    json_t *mine = json_object_get(own, "options"), *shared = json_object();
    json_object_foreach(json_object_get(record, "options"), key, value) {
        if (json_object_get(mine, key) && strcmp(key, "out") != 0) json_object_set(shared, key, value);
    }
    if (status == DLQAT_OK) status = dq_options_apply(options, shared, error);
    for (size_t i = 0; status == DLQAT_OK && command == DLQAT_TRAIN && i < sizeof imposed / sizeof imposed[0]; i++) {
        if (dq_options_given(compare, imposed[i].name)) continue;
        if (strcmp(imposed[i].name, "warmup-ratio") == 0 && dq_options_given(compare, "warmup-steps")) continue;
        status = dlqat_options_set(options, imposed[i].name, imposed[i].value, error);
    }
    json_decref(shared);
    json_decref(record);
    json_decref(own);
    if (status != DLQAT_OK) {
        dlqat_options_free(options);
        options = NULL;
    }
    *out = options;
    return status;
}

/* --phase1-steps is for the recipes that have such a phase; for the others all steps are of phase 2. */
static dlqat_status leave_out_phase1(const dlqat_options *compare, dlqat_options *options, const dq_recipe *recipe,
                                     dlqat_error *error) {
    const int64_t shared = dq_options_settings(compare)->phase1_steps;
    if (recipe->phase1 || shared == DQ_AUTO || dq_options_settings(options)->phase1_steps != shared) return DLQAT_OK;
    return dlqat_options_set(options, "phase1-steps", "0", error);
}

/* A recipe that trains nothing is quantize's: an option that only training has would be dropped there. */
static dlqat_status check_untrained(const char *entry, size_t length, dlqat_error *error) {
    dlqat_options *options = dlqat_options_new(DLQAT_QUANTIZE);
    if (!options) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the options");
    dlqat_status status = apply_entry(options, entry, length, error);
    dlqat_options_free(options);
    return status;
}

dlqat_status dq_entry_options(const dlqat_options *compare, const char *entry, size_t length, dlqat_options **out,
                              dq_recipe *recipe, dlqat_error *error) {
    dlqat_options *options;
    int64_t phase1_steps, warmup_steps;
    char where[256];
    DQ_TRY(dq_compare_derive(compare, DLQAT_TRAIN, &options, error));
    *out = NULL;
    dlqat_status status = apply_entry(options, entry, length, error);
    if (status == DLQAT_OK) {
        status = dq_resolve_recipe(recipe, options, error);
        if (status == DLQAT_OK) status = leave_out_phase1(compare, options, recipe, error);
        if (status == DLQAT_OK && recipe->trains)
            status = dq_resolve_steps(recipe, options, &phase1_steps, &warmup_steps, error);
        snprintf(where, sizeof where, "--methods %.*s", (int)(length < 200 ? length : 200), entry);
        if (status != DLQAT_OK) dq_fail_in(error, status, where);
    }
    if (status == DLQAT_OK && !recipe->trains) status = check_untrained(entry, length, error);
    if (status == DLQAT_OK)
        *out = options;
    else
        dlqat_options_free(options);
    return status;
}
