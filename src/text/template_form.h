/* From what a template prints (template_jinja.h) to the family and what it does beyond the family's form. */
#ifndef DQ_TEXT_TEMPLATE_FORM_H
#define DQ_TEXT_TEMPLATE_FORM_H

#include "text/template.h"
#include "text/template_jinja.h"

/* The family whose markers are in the text; AUTO: none that is known. */
dq_template_kind dq_template_family(const char *jinja);

/* Fills out, whose kind is set, from what the template prints. fixed_date: where the template would write today's date,
 * take its own fallback instead of refusing. */
dlqat_status dq_template_recognise(dq_template *out, dq_jinja *jinja, bool fixed_date, dlqat_error *error);

/* Fails where the form does not write what the template writes, on conversations of every kind. */
dlqat_status dq_template_try(const dq_template *template, const char *jinja, dlqat_error *error);

/* The family's plain form. */
dlqat_status dq_template_plain(dq_template *out, dq_template_kind kind, dlqat_error *error);

#endif
