/* What a chat template writes for a plain conversation, read from its Jinja text without running it.
 *
 * A plain conversation has the roles system, user and assistant, whose messages hold text and nothing else, and
 * neither tools nor documents. Branches that such a conversation cannot enter are dropped; what the others print is
 * kept as sequences of atoms, from which template_form.c recognises the family. What cannot be understood is refused
 * by name. A trial runs the same reader on one conversation, for template_trial.c to compare with the family's form. */
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
    bool trims;   /* stripped of white space at both ends */
    bool direct;  /* CONTENT: message.content itself, not a variable that holds it */
    size_t index; /* ROLE, CONTENT, SYSTEM of a trial: of which message */
    /* In a trial: the first and the last atom of a whole that is stripped of white space. */
    bool opens_strip, closes_strip;
    char *text; /* LITERAL, VARIABLE; else NULL */
} dq_atom;

/* What is printed between two statements, or put together in a {% set %}. Neighbouring literals are one atom. */
typedef struct dq_sequence {
    size_t begin, end; /* atoms */
    bool assigned;     /* from {% set %} */
    bool in_loop;
    bool in_branch; /* under a condition that is not certain */
    /* What the conditions around it speak of: loop.first, loop.last, LIST[-1], add_generation_prompt. */
    bool on_first, on_last, on_last_user, on_prompt;
} dq_sequence;

typedef enum dq_value_kind {
    DQ_VALUE_UNKNOWN,
    DQ_VALUE_UNDEFINED,
    DQ_VALUE_NONE,
    DQ_VALUE_TRUE,
    DQ_VALUE_FALSE,
    DQ_VALUE_NUMBER,
    DQ_VALUE_LOOP,
    DQ_VALUE_MESSAGES, /* the conversation or a part of it */
    DQ_VALUE_MESSAGE,
    DQ_VALUE_FIRST,  /* messages[0] */
    DQ_VALUE_PIECES, /* string.split(separator) */
    DQ_VALUE_STRING, /* a literal, or made from one */
    DQ_VALUE_ROLE,
    DQ_VALUE_CONTENT,
    DQ_VALUE_SYSTEM, /* content of messages[0] */
    DQ_VALUE_BOS,
    DQ_VALUE_EOS,
    DQ_VALUE_VARIABLE
} dq_value_kind;

typedef struct dq_value {
    dq_value_kind kind;
    const char *string;    /* STRING, PIECES */
    const char *separator; /* PIECES */
    bool trims;            /* through a trim filter or strip() */
    bool direct;           /* no variable in between */
    long number;           /* NUMBER */
    size_t index;          /* MESSAGE, FIRST, ROLE, CONTENT, SYSTEM: of which message; MESSAGES: the first one */
    bool backwards, users; /* MESSAGES: in reverse; those of the user only */
    char name[64];         /* the name with its path; too long a one is UNKNOWN */
} dq_value;

/* What is assigned to a name somewhere in the template. */
typedef struct dq_variable {
    char *name; /* with its path: "ns.index" */
    bool content, system, composite, list, message, other;
    bool trims;
    char *literal;   /* the last non-empty string, or NULL */
    dq_value value;  /* in a trial: what it holds now */
    size_t sequence; /* in a trial: where composite is */
} dq_variable;

/* A conversation on which a template is tried: every condition is then certain, and loops run. */
typedef struct dq_trial {
    const char *const *roles, *const *contents;
    size_t count;
    bool prompt;
} dq_trial;

/* Strings made in a trial. */
typedef struct dq_made {
    char **at;
    size_t count;
} dq_made;

typedef struct dq_jinja {
    const dq_trial *trial;    /* NULL: any conversation */
    size_t message, position; /* the loop at hand: its message, and which turn of the loop it is, from 0 */
    bool last;                /* the loop's last turn */
    bool raised;              /* the template raised an exception */
    dq_made *made;
    dq_atom *atoms;
    dq_sequence *sequences;
    dq_variable *variables;
    char **calls; /* functions, filters and methods beyond those that leave text as it is */
    size_t atom_count, sequence_count, variable_count, call_count;
} dq_jinja;

/* What the template prints for any plain conversation, or (trial not NULL) for this one. */
dlqat_status dq_jinja_read(dq_jinja *jinja, const char *text, const dq_trial *trial, dlqat_error *error);
void dq_jinja_free(dq_jinja *jinja);
/* NULL: nothing is assigned to it. */
const dq_variable *dq_jinja_variable(const dq_jinja *jinja, const char *name);
bool dq_jinja_calls(const dq_jinja *jinja, const char *name);

/* ---- Values and conditions: template_condition.c ---- */

/* The value of the operand that starts at token i, as far as it is certain; returns the index behind the operand. */
size_t dq_jinja_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t end, dq_value *value);
/* The same of the whole expression in tokens [begin, end). */
dq_value dq_jinja_evaluate(const dq_jinja *jinja, const dq_tokens *tokens, size_t begin, size_t end);

typedef enum dq_truth { DQ_TRUTH_FALSE, DQ_TRUTH_TRUE, DQ_TRUTH_UNKNOWN } dq_truth;
dq_truth dq_jinja_truth(const dq_jinja *jinja, const dq_tokens *tokens, size_t begin, size_t end);

/* Messages of a list: how many there are, and which one the n-th is. */
size_t dq_jinja_count(const dq_jinja *jinja, const dq_value *list);
size_t dq_jinja_nth(const dq_jinja *jinja, const dq_value *list, size_t n);

#endif
