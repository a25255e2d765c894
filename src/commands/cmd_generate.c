/* dlqat generate: a model's answer, printed as it comes. */
#include <string.h>

#include "base/talk.h"
#include "commands/session.h"
#include "eval/generate.h"
#include "eval/resident.h"
#include "eval/text_stream.h"

typedef struct printer {
    const dlqat_callbacks *callbacks;
    dq_text_stream stream;
    dq_buffer pending;
} printer;

static void print_pending(printer *p) {
    dq_put_output(p->callbacks, p->pending.data, p->pending.size);
    p->pending.size = 0;
}

static dlqat_status print_token(void *user, int32_t id, dlqat_error *error) {
    printer *p = user;
    DQ_TRY(dq_text_stream_put(&p->stream, id, &p->pending, error));
    print_pending(p);
    return DLQAT_OK;
}

static void print_speed(const dlqat_callbacks *callbacks, const dq_generated *got, size_t prompt) {
    static const char *const ends[] = {[DQ_END_STOP] = "the model ended its text",
                                       [DQ_END_LENGTH] = "--max-new-tokens reached",
                                       [DQ_END_CONTEXT] = "the model's context is full"};
    /* The first token comes with the prompt's logits, so the time is that of the others. */
    double timed = got->end == DQ_END_STOP ? (double)got->ids.count : (double)got->ids.count - 1;
    dq_note(callbacks, "prompt: %zu tokens, %.1f tokens/s; text: %zu tokens, %.1f tokens/s; %s", prompt,
            (double)prompt / (got->prompt_seconds + 1e-9), got->ids.count, timed / (got->seconds + 1e-9),
            ends[got->end]);
}

static dlqat_status generate(const dq_session *session, const dq_template *template, const dq_ids *prompt,
                             dlqat_error *error) {
    const dq_settings *s = session->settings;
    const dq_bench bench = {session->model, &session->compute, session->callbacks};
    printer p = {.callbacks = session->callbacks};
    dq_generation how = {
        .sampling = {.temperature = s->temperature, .top_k = s->top_k, .top_p = s->top_p, .seed = (uint64_t)s->seed},
        .max_new_tokens = s->max_new_tokens,
        .int8 = strcmp(s->activations, "int8") == 0,
        .stops = dq_prompt_stops(session->model, template),
        .token = print_token,
        .user = &p};
    dq_generated got = {0};
    /* An answer is a text of its own; a continuation goes on from the prompt, with the space that may stand between. */
    dlqat_status status =
        dq_text_stream_open(&p.stream, session->model->tokenizer, prompt->at, template ? 0 : prompt->count, error);
    if (status == DLQAT_OK) status = dq_generate(&got, &bench, &how, prompt->at, prompt->count, error);
    if (status == DLQAT_OK) status = dq_text_stream_end(&p.stream, &p.pending, error);
    if (got.ids.count || status == DLQAT_OK) dq_buffer_puts(&p.pending, "\n");
    print_pending(&p);
    if (status == DLQAT_OK) print_speed(session->callbacks, &got, prompt->count);
    dq_ids_free(&got.ids);
    dq_text_stream_close(&p.stream);
    dq_buffer_free(&p.pending);
    return status;
}

static dlqat_status answer(dq_session *session, dlqat_error *error) {
    const dq_settings *s = session->settings;
    const dq_tokenizer *tokenizer = session->model->tokenizer;
    const dq_template *template = s->raw ? NULL : &session->template;
    if (template) DQ_TRY(dq_template_open(&session->template, dq_template_chosen(s->template_name), tokenizer, error));
    dq_ids prompt = {0};
    dq_resident resident = {0};
    dlqat_status status = dq_prompt_ids(tokenizer, template, s->system, s->prompt, &prompt, error);
    if (status == DLQAT_OK)
        status =
            dq_resident_open(&resident, session->model, s->resident_weights, DQ_FOR_TEXT, &session->compute, error);
    if (status == DLQAT_OK) status = generate(session, template, &prompt, error);
    dq_resident_close(&resident);
    dq_ids_free(&prompt);
    return status;
}

dlqat_status dlqat_generate(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    dq_session session;
    DQ_TRY(dlqat_options_check(options, error));
    DQ_TRY(dq_session_open(&session, options, callbacks, true, error));
    dlqat_status status = answer(&session, error);
    dq_session_close(&session);
    return status;
}
