/* lstat and directory entries */
#define _POSIX_C_SOURCE 200809L
#include "export/export.h"

#include "base/buffer.h"
#include "base/file.h"
#include "export/export_plan.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- The place ------------------------------------------------------------------------------------------------------- */

static bool is_empty_directory(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return false;
    int entries = 0;
    while (readdir(directory)) entries++;
    closedir(directory);
    return entries <= 2; /* . and .. */
}

/* Nothing that somebody may want is replaced unasked. */
static dlqat_status check_place(const char *path, const dq_export_options *options, dlqat_error *error) {
    struct stat info;
    if (options->replace || lstat(path, &info) != 0) return DLQAT_OK;
    if (options->format != DQ_EXPORT_GGUF && is_empty_directory(path)) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_INPUT, "%s: exists already; remove it, or give another --out", path);
}

static uint64_t bytes_of_files(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return 0;
    if (!S_ISDIR(info.st_mode)) return (uint64_t)info.st_size;
    uint64_t sum = 0;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char *inner = dq_path_join(path, entry->d_name);
        if (inner && lstat(inner, &info) == 0 && S_ISREG(info.st_mode)) sum += (uint64_t)info.st_size;
        free(inner);
    }
    if (directory) closedir(directory);
    return sum;
}

/* ---- Writing and reading back ------------------------------------------------------------------------------------------ */

/* Opens what was written and compares it with what it came from. */
static dlqat_status verify(const dq_export_plan *plan, const char *path, dq_export_report *report, dlqat_error *error) {
    dq_model *back;
    dq_inventory inventory;
    DQ_TRY(dq_model_open(&back, path, false, error));
    dlqat_status status = dq_inventory_open(&inventory, back, NULL, error);
    if (status == DLQAT_OK) {
        status = dq_compare(plan->inventory, &inventory, plan->options->threads, &report->comparison, error);
        dq_inventory_close(&inventory);
    }
    dq_model_close(back);
    if (status != DLQAT_OK) return status;
    report->file_bytes = bytes_of_files(path);
    if (report->rounded || report->comparison.exact) return DLQAT_OK;
    return dq_fail(
        error, DLQAT_ERROR_NUMERIC,
        "what was written differs from the model by up to %.9g, in %s; it was not put in place. Check the disk, "
        "and report this as a defect",
        report->comparison.max_abs_dw, report->comparison.where);
}

static dlqat_status write_directory(dq_export_plan *plan, const char *path, dq_export_report *report,
                                    dlqat_error *error) {
    DQ_TRY(dq_plan_directory(plan, report, error));
    dq_staging staging;
    DQ_TRY(dq_staging_open(&staging, path, error));
    dlqat_status status = dq_write_directory(plan, staging.temporary, error);
    if (status == DLQAT_OK) status = verify(plan, staging.temporary, report, error);
    if (status == DLQAT_OK) return dq_staging_commit(&staging, error);
    dq_staging_discard(&staging);
    return status;
}

static dlqat_status write_file(dq_export_plan *plan, const char *path, dq_export_report *report, dlqat_error *error) {
    DQ_TRY(dq_plan_gguf(plan, report, error));
    dq_buffer temporary = {0};
    dq_buffer_format(&temporary, "%s.unverified", path);
    DQ_TRY(dq_buffer_check(&temporary, path, error));
    dlqat_status status = dq_write_gguf(plan, temporary.data, error);
    if (status == DLQAT_OK) {
        status = verify(plan, temporary.data, report, error);
        if (status == DLQAT_OK) status = dq_rename_file(temporary.data, path, error);
        if (status != DLQAT_OK) dq_remove_tree(temporary.data, NULL);
    }
    dq_buffer_free(&temporary);
    return status;
}

static void count_weights(const dq_inventory *inventory, dq_export_report *report) {
    report->linears = inventory->linears;
    report->weights = dq_model_parameters(inventory->model);
    for (int i = 0; i < inventory->linears; i++)
        report->linear_weights += (uint64_t)(inventory->matrix[i].weight->out * inventory->matrix[i].weight->in);
}

/* Sliding windows that the programs which read a format do not have. What the file cannot even hold is refused. */
static dlqat_status check_window(const dq_config *config, dq_export_format format, dq_export_report *report,
                                 dlqat_error *error) {
    const bool in_effect = config->window > 0 && config->window < config->context;
    if (!in_effect || (format != DQ_EXPORT_GGUF && format != DQ_EXPORT_MLX)) return DLQAT_OK;
    const char *family = dq_family_name(config->family);
    if (format == DQ_EXPORT_GGUF && config->family != DQ_MISTRAL)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "GGUF has no sliding window for %s, and this model has one of %lld tokens from layer %d on: use "
                       "--format hf",
                       family, (long long)config->window, config->first_windowed_layer);
    snprintf(report->window_note, sizeof report->window_note,
             "%s has no sliding window for %s: it gives what this model does in texts of no more than %lld tokens",
             format == DQ_EXPORT_GGUF ? "llama.cpp" : "mlx-lm", family, (long long)config->window);
    return DLQAT_OK;
}

dlqat_status dq_export(dq_model *model, const dq_quantizer_set *set, const char *path, const dq_export_options *options,
                       dq_export_report *report, dlqat_error *error) {
    memset(report, 0, sizeof *report);
    report->rounded = options->format == DQ_EXPORT_HF && options->bf16;
    DQ_TRY(check_place(path, options, error));
    DQ_TRY(check_window(&model->config, options->format, report, error));
    dq_inventory inventory;
    DQ_TRY(dq_inventory_open(&inventory, model, set, error));
    count_weights(&inventory, report);
    dq_export_plan plan = {.inventory = &inventory, .options = options};
    dlqat_status status = options->format == DQ_EXPORT_GGUF ? write_file(&plan, path, report, error)
                                                            : write_directory(&plan, path, report, error);
    free(plan.piece);
    dq_inventory_close(&inventory);
    return status;
}

/* ---- What it says ------------------------------------------------------------------------------------------------------ */

double dq_export_linear_bits(const dq_export_report *report) {
    return 8.0 * (double)report->linear_bytes / (double)report->linear_weights;
}

double dq_export_bits(const dq_export_report *report) {
    return 8.0 * (double)report->weight_bytes / (double)report->weights;
}

void dq_export_describe(const dq_export_report *report, dq_buffer *text) {
    dq_buffer_format(text, "%d linears as", report->linears);
    const char *comma = "";
    for (int dtype = 0; dtype < DQ_DTYPE_COUNT; dtype++) {
        if (!report->written_as[dtype]) continue;
        dq_buffer_format(text, "%s %s (%d)", comma,
                         dtype == DQ_U32 ? "packed codes" : dq_dtype_info((dq_dtype)dtype)->name,
                         report->written_as[dtype]);
        comma = ",";
    }
    dq_buffer_format(text,
                     "; %.3f bits per weight with scales and offsets, %.3f over the whole model; %" PRIu64 " bytes\n",
                     dq_export_linear_bits(report), dq_export_bits(report), report->file_bytes);
    if (report->note[0]) dq_buffer_format(text, "%s\n", report->note);
    if (report->window_note[0]) dq_buffer_format(text, "%s\n", report->window_note);
    dq_buffer_format(text, "read back: max |dW| %.9g%s%s; hash of W_hat %s, of the model %s\n",
                     report->comparison.max_abs_dw, report->comparison.max_abs_dw > 0 ? " in " : "",
                     report->comparison.max_abs_dw > 0 ? report->comparison.where : "", report->comparison.hash_b,
                     report->comparison.hash_a);
}
