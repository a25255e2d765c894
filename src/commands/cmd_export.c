/* dlqat export: a run's result, or any model, in a form that other programs load. */
#include "base/talk.h"
#include "commands/session.h"
#include "export/export.h"

#include <string.h>

static dq_export_format format_of(const char *word) {
    if (strcmp(word, "gguf") == 0) return DQ_EXPORT_GGUF;
    return strcmp(word, "mlx") == 0 ? DQ_EXPORT_MLX : DQ_EXPORT_HF;
}

static void say_result(const dq_session *session, const dq_export_report *report, const char *path) {
    dq_buffer text = {0};
    dq_export_describe(report, &text);
    if (!text.failed) dq_put_output(session->callbacks, text.data, text.size);
    dq_buffer_free(&text);
    if (report->rounded)
        dq_warn(session->callbacks,
                "--export-dtype bf16 rounds: the weights of %s differ from the model's by up to %.3g", path,
                report->comparison.max_abs_dw);
    dq_note(session->callbacks, "wrote %s", path);
}

dlqat_status dlqat_export(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    DQ_TRY(dlqat_options_check(options, error));
    const dq_settings *set = dq_options_settings(options);
    dq_export_options how = {.format = format_of(set->format), .bf16 = strcmp(set->export_dtype, "bf16") == 0};
    if (how.bf16 && how.format != DQ_EXPORT_HF)
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "--export-dtype bf16 goes with --format hf; mlx and gguf keep the weights as they are");
    dq_session session;
    DQ_TRY(dq_session_open(&session, options, callbacks, false, error));
    how.threads = session.compute.threads;
    if (!session.model->tokenizer)
        dq_warn(callbacks, "%s has no tokenizer, so %s will have none", set->model, set->out);
    dq_export_report report;
    dlqat_status status = dq_export(session.model, NULL, set->out, &how, &report, error);
    if (status == DLQAT_OK) say_result(&session, &report, set->out);
    dq_session_close(&session);
    return status;
}
