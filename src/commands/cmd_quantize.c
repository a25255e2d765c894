/* dlqat quantize: a model made low-bit without training. */
#include "base/talk.h"
#include "commands/session.h"
#include "export/export.h"

#include <inttypes.h>

static dlqat_status write_result(dq_session *session, const dq_quantizer_set *set, dlqat_error *error) {
    const char *path = session->settings->out;
    const dq_export_options how = {.format = DQ_EXPORT_RESULT, .threads = session->compute.threads};
    dq_export_report report;
    DQ_TRY(dq_export(session->model, set, path, &how, &report, error));
    dq_buffer text = {0};
    dq_export_describe(&report, &text);
    dq_buffer_format(&text,
                     "groups: %" PRId64 ", of which %" PRId64 " are held at the least scale that may be stored\n",
                     set->groups, set->held);
    dlqat_status status = dq_buffer_check(&text, "the report", error);
    if (status == DLQAT_OK) dq_put_output(session->callbacks, text.data, text.size);
    dq_buffer_free(&text);
    DQ_TRY(status);
    dq_note(session->callbacks, "wrote %s", path);
    return DLQAT_OK;
}

dlqat_status dlqat_quantize(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    DQ_TRY(dlqat_options_check(options, error));
    dq_session session;
    DQ_TRY(dq_session_open(&session, options, callbacks, false, error));
    const dq_quantizer_set_options how = {.threads = session.compute.threads};
    dq_quantizer_set set;
    dlqat_status status = dq_quantizer_set_open(&set, session.model, options, &how, &session.compute, error);
    if (status == DLQAT_OK) {
        if (set.recipe.trains)
            status = dq_fail(error, DLQAT_ERROR_USAGE,
                             "--method %s is trained: use `dlqat train`; `quantize` takes rtn", set.recipe.name);
        else
            status = write_result(&session, &set, error);
        dq_quantizer_set_close(&set);
    }
    dq_session_close(&session);
    return status;
}
