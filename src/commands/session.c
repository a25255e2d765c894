#include "commands/session.h"

#include "base/talk.h"

#include <string.h>

dlqat_status dq_session_open(dq_session *session, const dlqat_options *options, const dlqat_callbacks *callbacks,
                             bool need_tokenizer, dlqat_error *error) {
    memset(session, 0, sizeof *session);
    const dq_settings *set = session->settings = dq_options_settings(options);
    session->callbacks = callbacks;
    dq_multiply multiply = set->dtype && strcmp(set->dtype, "bf16") == 0 ? DQ_MULTIPLY_BF16 : DQ_MULTIPLY_F32;
    dlqat_status status = dq_compute_open(&session->compute, set->kernels, (int)set->threads, multiply, error);
    if (status == DLQAT_OK) status = dq_model_open(&session->model, set->model, need_tokenizer, error);
    if (status != DLQAT_OK) dq_session_close(session);
    return status;
}

static dq_template_kind template_kind(const char *word) {
    for (int kind = DQ_TEMPLATE_AUTO; word && kind <= DQ_TEMPLATE_MISTRAL; kind++)
        if (strcmp(dq_template_name(kind), word) == 0) return kind;
    return DQ_TEMPLATE_AUTO;
}

static void say_rows(const dq_session *session, const char *what, const char *path, const dq_dataset *data) {
    dq_note(session->callbacks, "%s: %zu %s rows, %zu tokens, %zu of them labels (%s)", what, data->rows, data->kind,
            data->tokens, data->labels, path);
    if (data->truncated)
        dq_note(session->callbacks, "%s: %zu rows were cut at %lld tokens", what, data->truncated,
                (long long)session->settings->max_length);
    if (data->dropped)
        dq_warn(session->callbacks, "%s: %zu rows were dropped: no label was left within %lld tokens", what,
                data->dropped, (long long)session->settings->max_length);
}

dlqat_status dq_session_open_data(dq_session *session, dlqat_error *error) {
    const dq_settings *set = session->settings;
    const dq_tokenizer *tokenizer = session->model->tokenizer;
    dq_template_close(&session->template);
    DQ_TRY(dq_template_open(&session->template, template_kind(set->template_name), tokenizer, error));
    dq_dataset_options how = {
        .max_length = (int)set->max_length, .template = &session->template, .tokenizer = tokenizer};
    DQ_TRY(dq_dataset_open(&session->data, set->data, &how, error));
    if (set->validation_data)
        DQ_TRY(dq_dataset_open(&session->held_out, set->validation_data, &how, error));
    else if (set->validation_split > 0)
        DQ_TRY(dq_dataset_split(&session->data, set->validation_split, (uint64_t)set->seed, &session->held_out, error));
    dq_note(session->callbacks, "template: %s", dq_template_name(session->template.kind));
    say_rows(session, "training", set->data, &session->data);
    if (session->held_out.rows)
        say_rows(session, "held out", set->validation_data ? set->validation_data : set->data, &session->held_out);
    return DLQAT_OK;
}

void dq_session_close(dq_session *session) {
    dq_dataset_close(&session->data);
    dq_dataset_close(&session->held_out);
    dq_template_close(&session->template);
    dq_model_close(session->model);
    dq_compute_close(&session->compute);
    memset(session, 0, sizeof *session);
}
