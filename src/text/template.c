#include "text/template.h"

#include "text/template_form.h"

#include <stdlib.h>
#include <string.h>

const char *dq_template_name(dq_template_kind kind) {
    static const char *const names[] = {"auto", "alpaca", "chatml", "llama2", "llama3", "mistral"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

void dq_template_close(dq_template *template) {
    free(template->default_system);
    free(template->system_head);
    free(template->inst.user_open);
    free(template->inst.user_close);
    free(template->inst.system_open);
    free(template->inst.system_close);
    free(template->inst.reply_open);
    free(template->inst.reply_close);
    free(template->inst.reply_end);
    free(template->source);
    memset(template, 0, sizeof *template);
}

static dlqat_status set_source(dq_template *out, const char *source, dlqat_error *error) {
    free(out->source);
    out->source = malloc(strlen(source) + 1);
    if (!out->source) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a template");
    strcpy(out->source, source);
    return DLQAT_OK;
}

static dlqat_status recognise(dq_template *out, dq_template_kind kind, const char *text, bool fixed_date,
                              dlqat_error *error) {
    dq_jinja jinja;
    DQ_TRY(dq_jinja_read(&jinja, text, NULL, error));
    out->kind = kind;
    dlqat_status status = dq_template_recognise(out, &jinja, fixed_date, error);
    dq_jinja_free(&jinja);
    if (status == DLQAT_OK) status = dq_template_try(out, text, error);
    if (status == DLQAT_OK) status = set_source(out, "the model's own chat template", error);
    return status;
}

/* The family's form, by the model's own template where that is of the family and can be rendered. */
static dlqat_status open_named(dq_template *out, dq_template_kind kind, const char *jinja, dlqat_error *error) {
    if (jinja && dq_template_family(jinja) == kind) {
        if (recognise(out, kind, jinja, true, NULL) == DLQAT_OK) return DLQAT_OK;
        dq_template_close(out);
    }
    DQ_TRY(dq_template_plain(out, kind, error));
    return set_source(out, "the family's plain form", error);
}

static dlqat_status open_own(dq_template *out, const char *jinja, dlqat_error *error) {
    dq_template_kind kind = dq_template_family(jinja);
    if (kind == DQ_TEMPLATE_AUTO)
        return dq_fail(
            error, DLQAT_ERROR_UNSUPPORTED,
            "the model's chat template is of none of the families ChatML, Llama-2, Llama-3 and Mistral; give "
            "--template to choose one, or text rows that are already in the model's form");
    dlqat_status status = recognise(out, kind, jinja, false, error);
    if (status == DLQAT_ERROR_UNSUPPORTED && error && !strstr(error->message, "--template")) {
        char message[sizeof error->message];
        memcpy(message, error->message, sizeof message);
        dq_fail(error, status, "%.800s; --template %s takes the family's plain form instead", message,
                dq_template_name(kind));
    }
    return status;
}

dlqat_status dq_template_from_text(dq_template *out, dq_template_kind kind, const char *jinja, dlqat_error *error) {
    memset(out, 0, sizeof *out);
    dlqat_status status;
    if (kind == DQ_TEMPLATE_ALPACA || (kind == DQ_TEMPLATE_AUTO && !jinja)) {
        out->kind = DQ_TEMPLATE_ALPACA;
        status = set_source(out, "Stanford Alpaca's form", error);
    } else
        status = kind == DQ_TEMPLATE_AUTO ? open_own(out, jinja, error) : open_named(out, kind, jinja, error);
    if (status != DLQAT_OK) dq_template_close(out);
    return status;
}

dlqat_status dq_template_open(dq_template *out, dq_template_kind kind, const dq_tokenizer *tokenizer,
                              dlqat_error *error) {
    return dq_template_from_text(out, kind, dq_tokenizer_chat_template(tokenizer), error);
}
