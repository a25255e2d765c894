/* Three-valued evaluation of a template's conditions: what is certain of every plain conversation, and unknown for
 * the rest. */
#include "text/template_jinja.h"

#include <stdio.h>
#include <string.h>

typedef struct condition {
    const dq_jinja *jinja;
    const dq_tokens *tokens;
    size_t at, end;
    int depth;
} condition;

enum { DEEPEST = 64 }; /* nesting of a condition; deeper is unknown */

static bool is_operator(const dq_tokens *tokens, size_t i, const char *text) {
    return dq_token_is(tokens, i, DQ_TOKEN_OPERATOR, text);
}

static bool accept_name(condition *c, const char *text) {
    bool there = c->at < c->end && dq_token_is(c->tokens, c->at, DQ_TOKEN_NAME, text);
    if (there) c->at++;
    return there;
}

/* i at an opening bracket: the index behind its closing one. */
static size_t behind_bracket(const dq_tokens *tokens, size_t i, size_t end) {
    int depth = 0;
    for (; i < end; i++) {
        if (tokens->at[i].kind != DQ_TOKEN_OPERATOR) continue;
        if (strchr("([{", tokens->at[i].text[0])) depth++;
        if (strchr(")]}", tokens->at[i].text[0]) && --depth == 0) return i + 1;
    }
    return end;
}

static void name_value(const dq_jinja *jinja, const char *name, dq_value *value) {
    const dq_variable *variable = dq_jinja_variable(jinja, name);
    value->kind = DQ_VALUE_UNKNOWN;
    if (variable) {
        value->kind = DQ_VALUE_VARIABLE;
        value->trims = variable->trims;
        value->direct = false;
        if (variable->message) value->kind = DQ_VALUE_MESSAGE;
        if (variable->list) value->kind = DQ_VALUE_MESSAGES;
        if (variable->content) value->kind = DQ_VALUE_CONTENT;
        if (variable->system) value->kind = DQ_VALUE_SYSTEM;
    } else if (strcmp(name, "messages") == 0) {
        value->kind = DQ_VALUE_MESSAGES;
        value->direct = true;
    } else if (strcmp(name, "bos_token") == 0)
        value->kind = DQ_VALUE_BOS;
    else if (strcmp(name, "eos_token") == 0)
        value->kind = DQ_VALUE_EOS;
    else if (strcmp(name, "tools") == 0 || strcmp(name, "documents") == 0)
        value->kind = DQ_VALUE_NONE; /* transformers hands them over as None */
    else if (strcmp(name, "none") == 0 || strcmp(name, "None") == 0)
        value->kind = DQ_VALUE_NONE;
    else if (strcmp(name, "true") == 0 || strcmp(name, "True") == 0)
        value->kind = DQ_VALUE_TRUE;
    else if (strcmp(name, "false") == 0 || strcmp(name, "False") == 0)
        value->kind = DQ_VALUE_FALSE;
    else if (strcmp(name, "loop") && strcmp(name, "add_generation_prompt") && strcmp(name, "namespace") &&
             strcmp(name, "raise_exception") && strcmp(name, "strftime_now") && strcmp(name, "range") &&
             strcmp(name, "pad_token") && strcmp(name, "unk_token"))
        value->kind = DQ_VALUE_UNDEFINED;
}

/* value.member; path: the whole name so far, "" for value["member"]. */
static void member_value(const dq_jinja *jinja, dq_value *value, const char *path, const char *member) {
    bool role = strcmp(member, "role") == 0, content = strcmp(member, "content") == 0;
    const dq_variable *variable = dq_jinja_variable(jinja, path);
    switch (value->kind) {
    case DQ_VALUE_MESSAGE:
    case DQ_VALUE_FIRST:
        if (content)
            value->kind = value->kind == DQ_VALUE_FIRST ? DQ_VALUE_SYSTEM : DQ_VALUE_CONTENT;
        else
            value->kind = role ? DQ_VALUE_ROLE : DQ_VALUE_UNDEFINED;
        value->direct = true;
        value->trims = false;
        break;
    case DQ_VALUE_CONTENT: /* text has no members */
    case DQ_VALUE_SYSTEM:
    case DQ_VALUE_UNDEFINED:
        value->kind = DQ_VALUE_UNDEFINED;
        break;
    default:
        value->kind = DQ_VALUE_UNKNOWN;
        if (variable) name_value(jinja, path, value);
    }
}

/* One [...] behind a value. */
static void index_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t behind, dq_value *value) {
    bool slice = false;
    for (size_t k = i + 1; k + 1 < behind; k++) slice |= is_operator(tokens, k, ":");
    if (behind - i == 3 && tokens->at[i + 1].kind == DQ_TOKEN_STRING)
        member_value(jinja, value, "", tokens->at[i + 1].text);
    else if (value->kind == DQ_VALUE_MESSAGES) {
        bool first = value->direct && behind - i == 3 && dq_token_is(tokens, i + 1, DQ_TOKEN_NUMBER, "0");
        if (!slice) value->kind = first ? DQ_VALUE_FIRST : DQ_VALUE_MESSAGE;
    } else
        value->kind = value->kind == DQ_VALUE_UNDEFINED ? DQ_VALUE_UNDEFINED : DQ_VALUE_UNKNOWN;
}

size_t dq_jinja_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t end, dq_value *value) {
    memset(value, 0, sizeof *value);
    if (i >= end) return i;
    const dq_token *token = &tokens->at[i++];
    if (token->kind == DQ_TOKEN_STRING) {
        value->kind = DQ_VALUE_STRING;
        value->string = token->text;
    } else if (token->kind == DQ_TOKEN_NAME) {
        int length = snprintf(value->name, sizeof value->name, "%s", token->text);
        if (length < (int)sizeof value->name) name_value(jinja, token->text, value);
    } else if (token->kind == DQ_TOKEN_OPERATOR && strchr("([{", token->text[0]))
        i = behind_bracket(tokens, i - 1, end);
    while (i < end && tokens->at[i].kind == DQ_TOKEN_OPERATOR) {
        size_t behind = i + 2; /* of .name and |name */
        bool name_next = behind <= end && tokens->at[i + 1].kind == DQ_TOKEN_NAME;
        bool call = behind < end && is_operator(tokens, behind, "(");
        if (is_operator(tokens, i, ".") && name_next && !call) {
            size_t used = strlen(value->name);
            int length = snprintf(value->name + used, sizeof value->name - used, ".%s", tokens->at[i + 1].text);
            member_value(jinja, value, length < (int)(sizeof value->name - used) ? value->name : "",
                         tokens->at[i + 1].text);
        } else if ((is_operator(tokens, i, ".") || is_operator(tokens, i, "|")) && name_next) {
            bool filter = is_operator(tokens, i, "|");
            if (call) behind = behind_bracket(tokens, behind, end);
            bool bare = !call || behind - i == 4;
            const char *called = tokens->at[i + 1].text;
            /* What a call strips off is on record as the call; what it is taken from stays what it is. */
            bool strips =
                strcmp(called, "strip") == 0 || strcmp(called, "lstrip") == 0 || strcmp(called, "rstrip") == 0;
            if (bare && strcmp(called, filter ? "trim" : "strip") == 0)
                value->trims = true;
            else if (!(filter && strcmp(called, "string") == 0) &&
                     !(strips && (value->kind == DQ_VALUE_CONTENT || value->kind == DQ_VALUE_VARIABLE)))
                value->kind = DQ_VALUE_UNKNOWN;
        } else if (is_operator(tokens, i, "[")) {
            behind = behind_bracket(tokens, i, end);
            index_value(jinja, tokens, i, behind, value);
        } else if (is_operator(tokens, i, "(")) {
            behind = behind_bracket(tokens, i, end);
            value->kind = DQ_VALUE_UNKNOWN;
        } else
            break;
        i = behind;
    }
    return i;
}

static dq_truth from_bool(bool value) {
    return value ? DQ_TRUTH_TRUE : DQ_TRUTH_FALSE;
}
static dq_truth negate(dq_truth t) {
    return t == DQ_TRUTH_UNKNOWN ? t : from_bool(t == DQ_TRUTH_FALSE);
}

static dq_truth truth_of(const dq_value *value) {
    switch (value->kind) {
    case DQ_VALUE_UNDEFINED:
    case DQ_VALUE_NONE:
    case DQ_VALUE_FALSE:
        return DQ_TRUTH_FALSE;
    case DQ_VALUE_TRUE:
    case DQ_VALUE_MESSAGES:
        return value->kind == DQ_VALUE_TRUE ? DQ_TRUTH_TRUE : DQ_TRUTH_UNKNOWN;
    case DQ_VALUE_STRING:
        return from_bool(value->string[0] != '\0');
    default:
        return DQ_TRUTH_UNKNOWN;
    }
}

static bool is_text(dq_value_kind kind) {
    return kind == DQ_VALUE_CONTENT || kind == DQ_VALUE_SYSTEM || kind == DQ_VALUE_ROLE || kind == DQ_VALUE_STRING;
}

/* value is TEST */
static dq_truth test_value(const dq_value *value, const char *test) {
    dq_value_kind kind = value->kind;
    if (kind == DQ_VALUE_UNKNOWN || kind == DQ_VALUE_VARIABLE || kind == DQ_VALUE_BOS || kind == DQ_VALUE_EOS ||
        (is_text(kind) && !value->direct && kind != DQ_VALUE_STRING)) /* a variable may lack its value on some way */
        return DQ_TRUTH_UNKNOWN;
    if (strcmp(test, "defined") == 0) return from_bool(kind != DQ_VALUE_UNDEFINED);
    if (strcmp(test, "undefined") == 0) return from_bool(kind == DQ_VALUE_UNDEFINED);
    if (strcmp(test, "none") == 0) return from_bool(kind == DQ_VALUE_NONE);
    if (strcmp(test, "true") == 0) return from_bool(kind == DQ_VALUE_TRUE);
    if (strcmp(test, "false") == 0) return from_bool(kind == DQ_VALUE_FALSE);
    if (strcmp(test, "string") == 0) return from_bool(is_text(kind));
    if (strcmp(test, "mapping") == 0) return from_bool(kind == DQ_VALUE_MESSAGE || kind == DQ_VALUE_FIRST);
    return DQ_TRUTH_UNKNOWN;
}

static dq_truth equal_values(const dq_value *a, const dq_value *b) {
    if (b->kind == DQ_VALUE_ROLE) {
        const dq_value *swap = a;
        a = b;
        b = swap;
    }
    if (a->kind == DQ_VALUE_ROLE && b->kind == DQ_VALUE_STRING && strcmp(b->string, "system") &&
        strcmp(b->string, "user") && strcmp(b->string, "assistant"))
        return DQ_TRUTH_FALSE;
    bool a_constant = truth_of(a) != DQ_TRUTH_UNKNOWN, b_constant = truth_of(b) != DQ_TRUTH_UNKNOWN;
    if (!a_constant || !b_constant) return DQ_TRUTH_UNKNOWN;
    if (a->kind == DQ_VALUE_STRING && b->kind == DQ_VALUE_STRING) return from_bool(strcmp(a->string, b->string) == 0);
    return from_bool(a->kind == b->kind);
}

static dq_truth read_or(condition *c);

static dq_truth read_comparison(condition *c) {
    if (c->at < c->end && is_operator(c->tokens, c->at, "(")) {
        size_t behind = behind_bracket(c->tokens, c->at, c->end);
        bool whole = behind >= c->end || c->tokens->at[behind].kind == DQ_TOKEN_NAME;
        whole = whole && !dq_token_is(c->tokens, behind, DQ_TOKEN_NAME, "is") &&
                !dq_token_is(c->tokens, behind, DQ_TOKEN_NAME, "in");
        if (whole && c->depth < DEEPEST && behind - c->at >= 2) {
            condition inner = {c->jinja, c->tokens, c->at + 1, behind - 1, c->depth + 1};
            c->at = behind;
            return read_or(&inner);
        }
    }
    dq_value left, right;
    c->at = dq_jinja_value(c->jinja, c->tokens, c->at, c->end, &left);
    if (c->at >= c->end) return truth_of(&left);
    if (accept_name(c, "is")) {
        bool negated = accept_name(c, "not");
        dq_truth truth = DQ_TRUTH_UNKNOWN;
        if (c->at < c->end && c->tokens->at[c->at].kind == DQ_TOKEN_NAME)
            truth = test_value(&left, c->tokens->at[c->at++].text);
        return negated ? negate(truth) : truth;
    }
    if (is_operator(c->tokens, c->at, "==") || is_operator(c->tokens, c->at, "!=")) {
        bool equal = c->tokens->at[c->at].text[0] == '=';
        c->at = dq_jinja_value(c->jinja, c->tokens, c->at + 1, c->end, &right);
        dq_truth truth = equal_values(&left, &right);
        return equal ? truth : negate(truth);
    }
    size_t kept = c->at;
    bool negated = accept_name(c, "not");
    if (accept_name(c, "in")) {
        c->at = dq_jinja_value(c->jinja, c->tokens, c->at, c->end, &right);
        bool message = right.kind == DQ_VALUE_MESSAGE || right.kind == DQ_VALUE_FIRST;
        if (!message || left.kind != DQ_VALUE_STRING) return DQ_TRUTH_UNKNOWN;
        bool there = strcmp(left.string, "role") == 0 || strcmp(left.string, "content") == 0;
        return from_bool(there != negated);
    }
    c->at = kept;
    return truth_of(&left);
}

static dq_truth read_not(condition *c) {
    bool negated = false;
    while (accept_name(c, "not")) negated = !negated;
    dq_truth truth = read_comparison(c);
    /* Whatever the comparison did not read makes it unknown: arithmetic, other operators. */
    for (; c->at < c->end; c->at++) {
        if (dq_token_is(c->tokens, c->at, DQ_TOKEN_NAME, "and") || dq_token_is(c->tokens, c->at, DQ_TOKEN_NAME, "or"))
            break;
        if (is_operator(c->tokens, c->at, "(") || is_operator(c->tokens, c->at, "["))
            c->at = behind_bracket(c->tokens, c->at, c->end) - 1;
        truth = DQ_TRUTH_UNKNOWN;
    }
    return negated ? negate(truth) : truth;
}

static dq_truth read_and(condition *c) {
    dq_truth truth = read_not(c);
    while (accept_name(c, "and")) {
        dq_truth next = read_not(c);
        if (truth == DQ_TRUTH_FALSE || next == DQ_TRUTH_FALSE)
            truth = DQ_TRUTH_FALSE;
        else if (truth == DQ_TRUTH_UNKNOWN || next == DQ_TRUTH_UNKNOWN)
            truth = DQ_TRUTH_UNKNOWN;
    }
    return truth;
}

static dq_truth read_or(condition *c) {
    dq_truth truth = read_and(c);
    while (accept_name(c, "or")) {
        dq_truth next = read_and(c);
        if (truth == DQ_TRUTH_TRUE || next == DQ_TRUTH_TRUE)
            truth = DQ_TRUTH_TRUE;
        else if (truth == DQ_TRUTH_UNKNOWN || next == DQ_TRUTH_UNKNOWN)
            truth = DQ_TRUTH_UNKNOWN;
    }
    return truth;
}

dq_truth dq_jinja_truth(const dq_jinja *jinja, const dq_tokens *tokens, size_t begin, size_t end) {
    condition c = {jinja, tokens, begin, end, 0};
    return read_or(&c);
}
