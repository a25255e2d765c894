#include "report/run_log.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The lines of a log that stay when a run continues after `step`. */
static dlqat_status kept_lines(const char *path, int64_t step, dq_buffer *kept, dlqat_error *error) {
    char *text;
    DQ_TRY(dq_read_file(path, &text, NULL, error));
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_error_t problem;
        json_t *object = json_loadb(line, (size_t)(end - line), 0, &problem);
        const json_t *at = json_object_get(object, "step");
        if (json_is_integer(at) && json_integer_value(at) <= step) dq_buffer_put(kept, line, (size_t)(end - line) + 1);
        json_decref(object);
    }
    free(text);
    return dq_buffer_check(kept, path, error);
}

dlqat_status dq_run_log_open(dq_run_log *log, const char *run, int64_t step, dlqat_error *error) {
    memset(log, 0, sizeof *log);
    log->path = dq_path_join(run, "log.jsonl");
    if (!log->path) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
    dlqat_status status = DLQAT_OK;
    if (dq_file_exists(log->path)) {
        dq_buffer kept = {0};
        status = kept_lines(log->path, step, &kept, error);
        if (status == DLQAT_OK) status = dq_write_file(log->path, kept.data, kept.size, error);
        dq_buffer_free(&kept);
    }
    if (status == DLQAT_OK && !(log->stream = fopen(log->path, "ae")))
        status = dq_fail(error, DLQAT_ERROR_IO, "%s: cannot append to it: %s", log->path, strerror(errno));
    if (status != DLQAT_OK) dq_run_log_close(log);
    return status;
}

/* Takes the reference to object. */
static dlqat_status put_line(dq_run_log *log, json_t *object, dlqat_error *error) {
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a line", log->path);
    bool written = fprintf(log->stream, "%s\n", text) > 0 && fflush(log->stream) == 0;
    free(text);
    if (written) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_IO, "%s: cannot write: %s", log->path, strerror(errno));
}

dlqat_status dq_run_log_step(dq_run_log *log, const dq_step_record *record, const dq_trainer_state *state,
                             dlqat_error *error) {
    return put_line(
        log,
        json_pack("{s:I, s:i, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "step", (json_int_t)record->step,
                  "phase", record->phase, "loss", record->loss, "grad_norm", record->grad_norm, "learning_rate",
                  record->learning_rate, "tokens", (json_int_t)state->tokens, "step_tokens", (json_int_t)record->tokens,
                  "step_labels", (json_int_t)record->labels, "step_computed", (json_int_t)record->computed,
                  "tokens_per_second", (double)record->tokens / record->seconds, "elapsed", state->seconds,
                  "peak_rss_bytes", (json_int_t)dq_peak_rss_bytes(), "groups_at_floor", (json_int_t)state->held),
        error);
}

dlqat_status dq_run_log_evaluation(dq_run_log *log, int64_t step, double loss, double seconds, dlqat_error *error) {
    return put_line(
        log, json_pack("{s:I, s:f, s:f}", "step", (json_int_t)step, "eval_loss", loss, "eval_runtime", seconds), error);
}

void dq_run_log_close(dq_run_log *log) {
    if (log->stream) fclose(log->stream);
    free(log->path);
    memset(log, 0, sizeof *log);
}
