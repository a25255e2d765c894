/* dlqat eval: perplexities of a text, loss on held-out rows. */
#include "base/file.h"
#include "base/talk.h"
#include "commands/session.h"
#include "eval/evaluate.h"
#include "eval/resident.h"

static dlqat_status report(json_t *figures, const dq_session *session, dlqat_error *error) {
    dq_buffer table = {0};
    dq_figures_print(figures, &table);
    dlqat_status status = dq_buffer_check(&table, "the table of figures", error);
    if (status == DLQAT_OK) dq_put_output(session->callbacks, table.data, table.size);
    dq_buffer_free(&table);
    const char *path = session->settings->json;
    return status == DLQAT_OK && path ? dq_json_save(figures, path, error) : status;
}

static dlqat_status evaluate(json_t *figures, const dq_session *session, const dlqat_options *options,
                             dlqat_error *error) {
    double begin = dq_seconds();
    dq_resident resident;
    DQ_TRY(dq_resident_open(&resident, session->model, session->settings->resident_weights, DQ_FOR_BATCHES,
                            &session->compute, error));
    dq_bench bench = {session->model, &session->compute, session->callbacks};
    dlqat_status status = dq_evaluate(figures, &bench, options, error);
    dq_resident_close(&resident);
    DQ_TRY(status);
    if (json_object_set_new(figures, "seconds", json_real(dq_seconds() - begin)) != 0)
        return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the figures");
    return report(figures, session, error);
}

dlqat_status dlqat_eval(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    dq_session session;
    DQ_TRY(dlqat_options_check(options, error));
    DQ_TRY(dq_session_open(&session, options, callbacks, true, error));
    json_t *figures = json_pack("{s:s, s:s}", "dlqat", dlqat_version(), "model", session.settings->model);
    dlqat_status status = figures
                              ? evaluate(figures, &session, options, error)
                              : dq_fail(error, DLQAT_ERROR_INPUT, "--model: the path is not UTF-8, which JSON needs");
    json_decref(figures);
    dq_session_close(&session);
    return status;
}
