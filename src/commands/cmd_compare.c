/* dlqat compare: several recipes under the same rows, order, steps, seed, rank, rate and schedule, in one table.
 *
 * --methods is a list of entries NAME[:AXIS=VALUE..], e.g. dlqat,dlqat:range=minmax:magnitude=off,l4q: an entry may set any training option
 * for itself, which is how an ablation is run. rtn is what all others start from. Each entry is a run of its own in OUT/ENTRY;
 * OUT/table.md and OUT/table.json hold the figures. Runs that are finished and figures that were measured with the same options are
 * taken as they are, so that a comparison goes on after an interruption, or takes in more entries. */
#include "base/talk.h"
#include "base/buffer.h"
#include "base/file.h"
#include "commands/compare_entry.h"
#include "commands/compare_kept.h"
#include "commands/train_run.h"
#include "eval/evaluate.h"
#include "eval/resident.h"
#include "export/export.h"
#include "quant/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct comparison {
    const dlqat_options *options;
    const dq_settings *settings;
    const dlqat_callbacks *callbacks;
    json_t *rows; /* of table.json */
} comparison;

static dlqat_status evaluate(const comparison *c, const dlqat_options *options, json_t *figures, dlqat_error *error) {
    dq_session session = {0};
    dq_resident resident = {0};
    dlqat_status status = dq_session_open(&session, options, c->callbacks, true, error);
    if (status == DLQAT_OK)
        status = dq_resident_open(&resident, session.model, NULL, DQ_FOR_BATCHES, &session.compute, error);
    if (status == DLQAT_OK) {
        dq_bench bench = {session.model, &session.compute, c->callbacks};
        status = dq_evaluate(figures, &bench, options, error);
    }
    dq_resident_close(&resident);
    dq_session_close(&session);
    return status;
}

/* Perplexity and held-out loss of the model at `path`, as flat keys into row; kept in the file `kept`. made_by: the options that
 * made the model, NULL for one that was there before. */
static dlqat_status measure(const comparison *c, const char *path, const dlqat_options *made_by, const char *kept,
                            json_t *row, dlqat_error *error) {
    if (!c->settings->ppl && !c->settings->validation_data) return DLQAT_OK;
    dlqat_options *options;
    DQ_TRY(dq_compare_derive(c->options, DLQAT_EVAL, &options, error));
    dlqat_status status = dlqat_options_set(options, "model", path, error);
    if (status == DLQAT_OK && c->settings->validation_data)
        status = dlqat_options_set(options, "loss", c->settings->validation_data, error);
    json_t *asked = json_object(), *figures = json_object();
    if (status == DLQAT_OK && asked) {
        json_object_set_new(asked, "evaluation", dq_kept_options(options));
        if (made_by) json_object_set_new(asked, "model", dq_kept_options(made_by));
        if (!dq_kept_find(kept, asked, row)) {
            status = evaluate(c, options, figures, error);
            if (status == DLQAT_OK) status = dq_kept_save(kept, asked, figures, error);
            if (status == DLQAT_OK) json_object_update(row, figures);
        }
    }
    json_decref(asked);
    json_decref(figures);
    dlqat_options_free(options);
    return status;
}

/* Rounding alone: the grid every recipe starts from. */
static dlqat_status round_model(const comparison *c, dlqat_options *options, const char *path, json_t *row,
                                dlqat_error *error) {
    dq_session session;
    dq_quantizer_set set = {0};
    DQ_TRY(dq_session_open(&session, options, c->callbacks, true, error));
    dq_quantizer_set_options how = {.threads = session.compute.threads};
    dlqat_status status = dq_quantizer_set_open(&set, session.model, options, &how, &session.compute, error);
    dq_export_options write = {.format = DQ_EXPORT_RESULT, .replace = true, .threads = session.compute.threads};
    dq_export_report report;
    if (status == DLQAT_OK) status = dq_export(session.model, &set, path, &write, &report, error);
    if (status == DLQAT_OK) {
        json_object_set_new(row, "trainable_parameters", json_integer(0));
        json_object_set_new(row, "model_bytes", json_integer((json_int_t)report.file_bytes));
        json_object_set_new(row, "bits_per_weight", json_real(dq_export_linear_bits(&report)));
        json_object_set_new(row, "max_abs_dw", json_real(report.comparison.max_abs_dw));
    }
    dq_quantizer_set_close(&set);
    dq_session_close(&session);
    return status;
}

/* What a finished run says of itself. */
static dlqat_status take_summary(const char *run, json_t *row, dlqat_error *error) {
    char *path = dq_path_join(run, "summary.json");
    json_t *summary = NULL;
    dlqat_status status =
        path ? dq_json_load(path, &summary, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
    if (status == DLQAT_OK) json_object_update(row, summary);
    json_decref(summary);
    free(path);
    return status;
}

/* Trains the entry in its own run directory, or goes on with it, or finds it finished. */
static dlqat_status train_entry(const comparison *c, dlqat_options *options, const char *run, json_t *row,
                                dlqat_error *error) {
    char *summary = dq_path_join(run, "summary.json"), *config = dq_path_join(run, "config.json");
    dlqat_status status = summary && config ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
    if (status == DLQAT_OK && dq_file_exists(config)) status = dq_kept_check_run(run, options, error);
    if (status == DLQAT_OK && !dq_file_exists(summary)) {
        dq_run_result result;
        status = dlqat_options_set(options, dq_file_exists(config) ? "resume" : "out", run, error);
        if (status == DLQAT_OK) status = dq_train_run(options, c->callbacks, &result, error);
    }
    if (status == DLQAT_OK) status = take_summary(run, row, error);
    free(summary);
    free(config);
    return status;
}

static dlqat_status run_entry(const comparison *c, const char *entry, size_t length, dlqat_error *error) {
    char name[256];
    dq_entry_directory(entry, length, name, sizeof name);
    char *run = dq_path_join(c->settings->out, name), *model = run ? dq_path_join(run, "model") : NULL;
    char *kept = run ? dq_path_join(run, "figures.json") : NULL;
    dlqat_options *options = NULL;
    json_t *row = json_object();
    dq_recipe recipe;
    dlqat_status status = model && kept && row
                              ? dq_entry_options(c->options, entry, length, &options, &recipe, error)
                              : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for an entry of --methods");
    if (status == DLQAT_OK) {
        json_object_set_new(row, "entry", json_stringn(entry, length));
        dq_note(c->callbacks, "== %.*s", (int)length, entry);
        if (recipe.trains)
            status = train_entry(c, options, run, row, error);
        else {
            status = dq_make_directories(run, error);
            if (status == DLQAT_OK) status = round_model(c, options, model, row, error);
        }
    }
    if (status == DLQAT_OK) status = measure(c, model, options, kept, row, error);
    /* Rows held out by --validation-split are known to the run alone. */
    if (status == DLQAT_OK && !json_object_get(row, "loss") && json_object_get(row, "eval_loss"))
        json_object_set(row, "loss", json_object_get(row, "eval_loss"));
    if (status == DLQAT_OK) json_array_append(c->rows, row);
    json_decref(row);
    dlqat_options_free(options);
    free(model);
    free(kept);
    free(run);
    return status;
}

/* The first row: the model as it came. */
static dlqat_status measure_original(const comparison *c, dlqat_error *error) {
    json_t *row = json_pack("{s:s}", "entry", "original");
    char *kept = dq_path_join(c->settings->out, "original.json");
    dlqat_status status = row && kept ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the table");
    if (status == DLQAT_OK) status = measure(c, c->settings->model, NULL, kept, row, error);
    if (status == DLQAT_OK) json_array_append(c->rows, row);
    json_decref(row);
    free(kept);
    return status;
}

/* ---- The table ---------------------------------------------------------------------------------------------------------- */

static const struct column {
    const char *title, *key, *format;
    double unit;
} columns[] = {
    {"ppl_window", "ppl_window", "%.3f", 1},
    {"ppl_llamacpp", "ppl_llamacpp", "%.3f", 1},
    {"word_ppl_lmeval", "word_ppl_lmeval", "%.3f", 1},
    {"held-out loss", "loss", "%.4f", 1},
    {"train loss", "train_loss", "%.4f", 1},
    {"trained", "trainable_parameters", "%.0f", 1},
    {"bits/weight", "bits_per_weight", "%.3f", 1},
    {"MB", "model_bytes", "%.1f", 1e6},
    {"tokens/s", "train_tokens_per_second", "%.0f", 1},
    {"minutes", "train_runtime", "%.1f", 60},
    {"peak GB", "peak_rss_bytes", "%.2f", 1e9},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void print_table(const json_t *rows, dq_buffer *text) {
    bool shown[COLUMNS] = {false};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        for (int k = 0; k < COLUMNS; k++) shown[k] |= json_is_number(json_object_get(row, columns[k].key));
    }
    dq_buffer_puts(text, "| method |");
    for (int k = 0; k < COLUMNS; k++)
        if (shown[k]) dq_buffer_format(text, " %s |", columns[k].title);
    dq_buffer_puts(text, "\n|---|");
    for (int k = 0; k < COLUMNS; k++)
        if (shown[k]) dq_buffer_puts(text, "---:|");
    dq_buffer_puts(text, "\n");
    json_array_foreach(rows, i, row) {
        dq_buffer_format(text, "| %s |", json_string_value(json_object_get(row, "entry")));
        for (int k = 0; k < COLUMNS; k++) {
            const json_t *value = json_object_get(row, columns[k].key);
            char number[64] = "";
            if (!shown[k]) continue;
            if (json_is_number(value))
                snprintf(number, sizeof number, columns[k].format, json_number_value(value) / columns[k].unit);
            dq_buffer_format(text, " %s |", number);
        }
        dq_buffer_puts(text, "\n");
    }
}

/* After every entry, so that an interrupted comparison leaves what it has. */
static dlqat_status write_tables(const comparison *c, dq_buffer *text, dlqat_error *error) {
    char *markdown = dq_path_join(c->settings->out, "table.md"), *json = dq_path_join(c->settings->out, "table.json");
    text->size = 0;
    print_table(c->rows, text);
    dlqat_status status = dq_buffer_check(text, "the table", error);
    if (status == DLQAT_OK && (!markdown || !json))
        status = dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the table's path");
    if (status == DLQAT_OK) status = dq_write_file(markdown, text->data, text->size, error);
    if (status == DLQAT_OK) status = dq_json_save(c->rows, json, error);
    free(markdown);
    free(json);
    return status;
}

/* An entry that cannot be run is found before hours go into the others. */
static dlqat_status check_entries(const comparison *c, dlqat_error *error) {
    const char *rest = c->settings->methods, *entry;
    size_t length;
    while (dq_options_names(&rest, &entry, &length)) {
        dlqat_options *options;
        dq_recipe recipe;
        DQ_TRY(dq_entry_options(c->options, entry, length, &options, &recipe, error));
        dlqat_options_free(options);
    }
    return DLQAT_OK;
}

dlqat_status dlqat_compare(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    DQ_TRY(dlqat_options_check(options, error));
    comparison c = {options, dq_options_settings(options), callbacks, json_array()};
    dq_buffer text = {0};
    const char *rest = c.settings->methods, *entry;
    size_t length;
    dlqat_status status =
        c.rows ? check_entries(&c, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the table");
    if (status == DLQAT_OK) status = dq_make_directories(c.settings->out, error);
    if (status == DLQAT_OK) status = measure_original(&c, error);
    while (status == DLQAT_OK && dq_options_names(&rest, &entry, &length)) {
        status = run_entry(&c, entry, length, error);
        if (status == DLQAT_OK) status = write_tables(&c, &text, error);
    }
    if (status == DLQAT_OK && callbacks && callbacks->output) callbacks->output(callbacks->user, text.data, text.size);
    dq_buffer_free(&text);
    json_decref(c.rows);
    return status;
}
