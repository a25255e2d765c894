/* What a chat template writes for a plain conversation, read from its Jinja text without running it.
 *
 * A plain conversation has the roles system, user and assistant, whose messages hold text and nothing else, and
 * neither tools nor documents. Branches that such a conversation cannot enter are dropped; what the others print is
 * kept as sequences of atoms, from which template_form.c recognises the family. What cannot be understood is refused
 * by name. */
#ifndef DQ_TEXT_TEMPLATE_JINJA_H
#define DQ_TEXT_TEMPLATE_JINJA_H

#include "text/template_lex.h"

typedef enum dq_atom_kind {
    DQ_ATOM_LITERAL,
    DQ_ATOM_BOS,
    DQ_ATOM_EOS,
    DQ_ATOM_ROLE,
    DQ_ATOM_CONTENT, /* of the message at hand */
    DQ_ATOM_SYSTEM,  /* content of messages[0] */
    DQ_ATOM_VARIABLE /* another variable; text is its name */
} dq_atom_kind;

typedef struct dq_atom {
    dq_atom_kind kind;
    bool trims;  /* stripped of white space at both ends */
    bool direct; /* CONTENT: message.content itself, not a variable that holds it */
    char *text;  /* LITERAL, VARIABLE; else NULL */
} dq_atom;

/* What is printed between two statements, or put together in a {% set %}. Neighbouring literals are one atom. */
typedef struct dq_sequence {
    size_t begin, end; /* atoms */
    bool assigned;     /* from {% set %} */
    bool in_loop;
    bool in_branch;    /* under a condition that is not certain */
    /* What the conditions around it speak of: loop.first, loop.last, LIST[-1], add_generation_prompt. */
    bool on_first, on_last, on_last_user, on_prompt;
} dq_sequence;

/* What is assigned to a name somewhere in the template. */
typedef struct dq_variable {
    char *name; /* with its path: "ns.index" */
    bool content, system, composite, list, message, other;
    bool trims;
    char *literal; /* the last non-empty string, or NULL */
} dq_variable;

typedef struct dq_jinja {
    dq_atom *atoms;
    dq_sequence *sequences;
    dq_variable *variables;
    char **calls; /* functions, filters and methods beyond those that leave text as it is */
    size_t atom_count, sequence_count, variable_count, call_count;
} dq_jinja;

dlqat_status dq_jinja_read(dq_jinja *jinja, const char *text, dlqat_error *error);
void dq_jinja_free(dq_jinja *jinja);
/* NULL: nothing is assigned to it. */
const dq_variable *dq_jinja_variable(const dq_jinja *jinja, const char *name);
bool dq_jinja_calls(const dq_jinja *jinja, const char *name);

/* ---- Values and conditions: template_condition.c ---- */

typedef enum dq_value_kind {
    DQ_VALUE_UNKNOWN,
    DQ_VALUE_UNDEFINED,
    DQ_VALUE_NONE,
    DQ_VALUE_TRUE,
    DQ_VALUE_FALSE,
    DQ_VALUE_STRING,   /* a literal */
    DQ_VALUE_MESSAGES, /* the conversation or a part of it */
    DQ_VALUE_MESSAGE,
    DQ_VALUE_FIRST, /* messages[0] */
    DQ_VALUE_ROLE,
    DQ_VALUE_CONTENT,
    DQ_VALUE_SYSTEM, /* content of messages[0] */
    DQ_VALUE_BOS,
    DQ_VALUE_EOS,
    DQ_VALUE_VARIABLE
} dq_value_kind;

typedef struct dq_value {
    dq_value_kind kind;
    const char *string; /* STRING */
    bool trims;         /* through a trim filter or strip() */
    bool direct;        /* no variable in between */
    char name[64];      /* VARIABLE: with its path; too long a one is UNKNOWN */
} dq_value;

/* The value of the operand that starts at token i, as far as a plain conversation settles it; returns the index behind
 * the operand. */
size_t dq_jinja_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t end, dq_value *value);

typedef enum dq_truth { DQ_TRUTH_FALSE, DQ_TRUTH_TRUE, DQ_TRUTH_UNKNOWN } dq_truth;
/* Of the condition in tokens [begin, end). */
dq_truth dq_jinja_truth(const dq_jinja *jinja, const dq_tokens *tokens, size_t begin, size_t end);

#endif
