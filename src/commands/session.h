/* What most commands begin with: the machine, the model, and the data, from the options. */
#ifndef DQ_COMMANDS_SESSION_H
#define DQ_COMMANDS_SESSION_H

#include "base/options.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "text/dataset.h"

typedef struct dq_session {
    const dq_settings *settings;
    const dlqat_callbacks *callbacks;
    dq_compute compute;
    dq_model *model;
    dq_template template;
    dq_dataset data, held_out;
} dq_session;

/* compute by --kernels, --threads, --dtype; the model by --model. On failure everything is closed again. */
dlqat_status dq_session_open(dq_session *session, const dlqat_options *options, const dlqat_callbacks *callbacks,
                             bool need_tokenizer, dlqat_error *error);
/* --data through the template, and the held-out rows where there are any (held_out.rows is 0 otherwise). */
dlqat_status dq_session_open_data(dq_session *session, dlqat_error *error);
void dq_session_close(dq_session *session);

#endif
