/* Values of a template's expressions and truth of its conditions: what is certain of every plain conversation, or, in
 * a trial, of that one; UNKNOWN for the rest. */
#include "text/template_jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct expression {
    const dq_jinja *jinja;
    const dq_tokens *tokens;
    size_t at, end;
} expression;

enum { DEEPEST = 32 }; /* nesting of brackets; deeper is unknown */

static bool is_operator(const dq_tokens *tokens, size_t i, const char *text) {
    return dq_token_is(tokens, i, DQ_TOKEN_OPERATOR, text);
}

static bool accept(expression *e, dq_token_kind kind, const char *text) {
    bool there = e->at < e->end && dq_token_is(e->tokens, e->at, kind, text);
    if (there) e->at++;
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

static dq_value plain_value(dq_value_kind kind) {
    return (dq_value){.kind = kind, .direct = true};
}
static dq_value number_value(long number) {
    return (dq_value){.kind = DQ_VALUE_NUMBER, .direct = true, .number = number};
}
static dq_value from_truth(dq_truth truth) {
    return plain_value(truth == DQ_TRUTH_UNKNOWN ? DQ_VALUE_UNKNOWN
                       : truth == DQ_TRUTH_TRUE  ? DQ_VALUE_TRUE
                                                 : DQ_VALUE_FALSE);
}
static dq_truth from_bool(bool value) {
    return value ? DQ_TRUTH_TRUE : DQ_TRUTH_FALSE;
}
static dq_truth negate(dq_truth t) {
    return t == DQ_TRUTH_UNKNOWN ? t : from_bool(t == DQ_TRUTH_FALSE);
}

static bool is_text(dq_value_kind kind) {
    return kind >= DQ_VALUE_STRING && kind <= DQ_VALUE_SYSTEM;
}

/* The text that a value is, where that is certain; else NULL. */
static const char *text_of(const dq_jinja *jinja, const dq_value *value) {
    if (value->kind == DQ_VALUE_STRING) return value->string;
    if (!jinja->trial || !is_text(value->kind) || value->index >= jinja->trial->count) return NULL;
    return value->kind == DQ_VALUE_ROLE ? jinja->trial->roles[value->index] : jinja->trial->contents[value->index];
}

/* A string made of length bytes of text; UNKNOWN without memory. Strings are few: templates are short. */
static dq_value make_string(const dq_jinja *jinja, const char *text, size_t length) {
    dq_made *made = jinja->made;
    char **larger = realloc(made->at, (made->count + 1) * sizeof *larger), *copy = malloc(length + 1);
    if (larger) made->at = larger;
    if (!larger || !copy) {
        free(copy);
        return plain_value(DQ_VALUE_UNKNOWN);
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    larger[made->count++] = copy;
    return (dq_value){.kind = DQ_VALUE_STRING, .direct = true, .string = copy};
}

/* text.split(separator)[n], n = -1 the last; UNKNOWN for other pieces. */
static dq_value take_piece(const dq_jinja *jinja, const dq_value *pieces, long n) {
    const char *begin = pieces->string, *next;
    size_t length = strlen(pieces->separator);
    if (n == 0) {
        next = strstr(begin, pieces->separator);
        return make_string(jinja, begin, next ? (size_t)(next - begin) : strlen(begin));
    }
    if (n != -1) return plain_value(DQ_VALUE_UNKNOWN);
    while ((next = strstr(begin, pieces->separator))) begin = next + length;
    return make_string(jinja, begin, strlen(begin));
}

/* text.lstrip("\n") and its kin: of one character. */
static dq_value strip_character(const dq_jinja *jinja, const char *text, char character, bool left, bool right) {
    size_t length = strlen(text);
    while (left && length && text[0] == character) {
        text++;
        length--;
    }
    while (right && length && text[length - 1] == character) length--;
    return make_string(jinja, text, length);
}

/* ---- Lists of messages ---- */

size_t dq_jinja_count(const dq_jinja *jinja, const dq_value *list) {
    size_t count = 0;
    for (size_t i = list->index; jinja->trial && i < jinja->trial->count; i++)
        count += !list->users || strcmp(jinja->trial->roles[i], "user") == 0;
    return count;
}

size_t dq_jinja_nth(const dq_jinja *jinja, const dq_value *list, size_t n) {
    if (list->backwards) n = dq_jinja_count(jinja, list) - 1 - n;
    size_t i = list->index;
    for (; i < jinja->trial->count; i++)
        if ((!list->users || strcmp(jinja->trial->roles[i], "user") == 0) && n-- == 0) break;
    return i;
}

/* ---- Operands ---- */

static void name_value(const dq_jinja *jinja, const char *name, dq_value *value) {
    static const struct {
        const char *name;
        dq_value_kind kind;
    } known[] = {{"messages", DQ_VALUE_MESSAGES},
                 {"bos_token", DQ_VALUE_BOS},
                 {"eos_token", DQ_VALUE_EOS},
                 {"tools", DQ_VALUE_NONE}, /* transformers hands tools and documents over as None */
                 {"documents", DQ_VALUE_NONE},
                 {"none", DQ_VALUE_NONE},
                 {"None", DQ_VALUE_NONE},
                 {"true", DQ_VALUE_TRUE},
                 {"True", DQ_VALUE_TRUE},
                 {"false", DQ_VALUE_FALSE},
                 {"False", DQ_VALUE_FALSE},
                 {"loop", DQ_VALUE_LOOP},
                 {"add_generation_prompt", DQ_VALUE_UNKNOWN},
                 {"namespace", DQ_VALUE_UNKNOWN},
                 {"raise_exception", DQ_VALUE_UNKNOWN},
                 {"strftime_now", DQ_VALUE_UNKNOWN},
                 {"range", DQ_VALUE_UNKNOWN},
                 {"dict", DQ_VALUE_UNKNOWN},
                 {"pad_token", DQ_VALUE_UNKNOWN},
                 {"unk_token", DQ_VALUE_UNKNOWN}};
    const dq_variable *variable = dq_jinja_variable(jinja, name);
    char kept[sizeof value->name];
    memcpy(kept, value->name, sizeof kept);
    *value = plain_value(DQ_VALUE_UNDEFINED);
    if (variable && jinja->trial) {
        *value = variable->value;
    } else if (variable) {
        value->kind = DQ_VALUE_VARIABLE;
        value->trims = variable->trims;
        value->direct = false;
        if (variable->message) value->kind = DQ_VALUE_MESSAGE;
        if (variable->list) value->kind = DQ_VALUE_MESSAGES;
        if (variable->content) value->kind = DQ_VALUE_CONTENT;
        if (variable->system) value->kind = DQ_VALUE_SYSTEM;
    } else {
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(name, known[i].name) == 0) value->kind = known[i].kind;
        /* A form that is tried on a template with a clock is the one with the template's own fixed date. */
        if (jinja->trial && strcmp(name, "strftime_now") == 0) value->kind = DQ_VALUE_UNDEFINED;
        if (jinja->trial && strcmp(name, "add_generation_prompt") == 0)
            value->kind = jinja->trial->prompt ? DQ_VALUE_TRUE : DQ_VALUE_FALSE;
    }
    memcpy(value->name, kept, sizeof kept);
}

/* value.member; path: the whole name so far, "" for value["member"]. */
static void member_value(const dq_jinja *jinja, dq_value *value, const char *path, const char *member) {
    bool role = strcmp(member, "role") == 0, content = strcmp(member, "content") == 0;
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
    case DQ_VALUE_UNDEFINED: /* Jinja raises an error, unless the branch is not entered */
        value->kind = jinja->trial ? DQ_VALUE_UNKNOWN : DQ_VALUE_UNDEFINED;
        break;
    case DQ_VALUE_CONTENT: /* text has no members */
    case DQ_VALUE_SYSTEM:
        value->kind = DQ_VALUE_UNDEFINED;
        break;
    case DQ_VALUE_LOOP: {
        long position = (long)jinja->position;
        value->kind = DQ_VALUE_UNKNOWN;
        if (!jinja->trial) break;
        if (strcmp(member, "first") == 0) *value = from_truth(from_bool(position == 0));
        if (strcmp(member, "last") == 0) *value = from_truth(from_bool(jinja->last));
        if (strcmp(member, "index0") == 0) *value = number_value(position);
        if (strcmp(member, "index") == 0) *value = number_value(position + 1);
        break;
    }
    default:
        value->kind = DQ_VALUE_UNKNOWN;
        if (dq_jinja_variable(jinja, path)) name_value(jinja, path, value);
    }
}

/* One [...] of tokens [i, behind) behind a value. */
static void index_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t behind, dq_value *value) {
    size_t size = behind - i;
    if (size == 3 && tokens->at[i + 1].kind == DQ_TOKEN_STRING) {
        member_value(jinja, value, "", tokens->at[i + 1].text);
        return;
    }
    if (value->kind == DQ_VALUE_PIECES) {
        dq_value number = dq_jinja_evaluate(jinja, tokens, i + 1, behind - 1);
        *value =
            number.kind == DQ_VALUE_NUMBER ? take_piece(jinja, value, number.number) : plain_value(DQ_VALUE_UNKNOWN);
        return;
    }
    if (value->kind != DQ_VALUE_MESSAGES) {
        value->kind = value->kind == DQ_VALUE_UNDEFINED && !jinja->trial ? DQ_VALUE_UNDEFINED : DQ_VALUE_UNKNOWN;
        return;
    }
    bool slice = false, base = value->direct && value->index == 0 && !value->users && !value->backwards;
    for (size_t k = i + 1; k + 1 < behind; k++) slice |= is_operator(tokens, k, ":");
    if (slice) {
        bool from = size == 4 && tokens->at[i + 1].kind == DQ_TOKEN_NUMBER && !value->backwards && !value->users;
        bool turned = size == 6 && is_operator(tokens, i + 1, ":") && is_operator(tokens, i + 2, ":") &&
                      is_operator(tokens, i + 3, "-") && dq_token_is(tokens, i + 4, DQ_TOKEN_NUMBER, "1");
        if (from) value->index += (size_t)strtoul(tokens->at[i + 1].text, NULL, 10) % 1000;
        value->backwards ^= turned;
        if (!from && !turned && jinja->trial) value->kind = DQ_VALUE_UNKNOWN;
        return;
    }
    dq_value which = dq_jinja_evaluate(jinja, tokens, i + 1, behind - 1);
    if (which.kind == DQ_VALUE_NUMBER && which.number == 0 && base)
        value->kind = DQ_VALUE_FIRST;
    else
        value->kind = DQ_VALUE_MESSAGE;
    if (!jinja->trial) return;
    long count = (long)dq_jinja_count(jinja, value), n = which.number + (which.number < 0 ? count : 0);
    if (which.kind != DQ_VALUE_NUMBER)
        value->kind = DQ_VALUE_UNKNOWN;
    else if (n < 0 || n >= count)
        value->kind = DQ_VALUE_UNDEFINED;
    else
        value->index = dq_jinja_nth(jinja, value, (size_t)n);
}

/* A filter or a method's call in tokens [i, behind): |name, |name(..), .name(..). */
static void call_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t behind, dq_value *value) {
    const char *called = tokens->at[i + 1].text;
    bool filter = is_operator(tokens, i, "|"), bare = behind - i == 2 || behind - i == 4;
    bool one = behind - i == 5 && tokens->at[i + 3].kind == DQ_TOKEN_STRING;
    const char *text = text_of(jinja, value), *word = one ? tokens->at[i + 3].text : "";
    size_t length = text ? strlen(text) : 0, tail = strlen(word);
    if (bare && strcmp(called, filter ? "trim" : "strip") == 0) {
        value->trims = true;
        return;
    }
    if (filter && (strcmp(called, "string") == 0 || strcmp(called, "list") == 0)) return;
    /* What a call strips off is on record as the call; what it is taken from stays what it is. */
    bool left = strcmp(called, "lstrip") == 0, right = strcmp(called, "rstrip") == 0;
    bool strips = left || right || strcmp(called, "strip") == 0;
    if (jinja->trial && text && one && !filter && !value->trims && tail == 1 && strips) {
        *value = strip_character(jinja, text, *word, !right, !left);
        return;
    }
    if (!jinja->trial && strips && (is_text(value->kind) || value->kind == DQ_VALUE_VARIABLE)) return;
    dq_value_kind before = value->kind;
    value->kind = DQ_VALUE_UNKNOWN;
    if (!jinja->trial) return;
    if (filter && before == DQ_VALUE_MESSAGES && strcmp(called, "length") == 0) {
        value->kind = before;
        *value = number_value((long)dq_jinja_count(jinja, value));
    } else if (filter && before == DQ_VALUE_MESSAGES && strcmp(called, "selectattr") == 0) {
        /* selectattr("role", "equalto", "user") */
        bool users = behind - i == 9 && dq_token_is(tokens, i + 3, DQ_TOKEN_STRING, "role") &&
                     dq_token_is(tokens, i + 7, DQ_TOKEN_STRING, "user");
        value->kind = users ? before : DQ_VALUE_UNKNOWN;
        value->users = users;
    } else if (text && one && tail && !filter && !value->trims && strcmp(called, "split") == 0) {
        value->kind = DQ_VALUE_PIECES;
        value->string = text;
        value->separator = word;
    } else if (text && one && !filter && strcmp(called, "startswith") == 0)
        *value = from_truth(from_bool(strncmp(text, word, tail) == 0));
    else if (text && one && !filter && strcmp(called, "endswith") == 0)
        *value = from_truth(from_bool(length >= tail && strcmp(text + length - tail, word) == 0));
}

size_t dq_jinja_value(const dq_jinja *jinja, const dq_tokens *tokens, size_t i, size_t end, dq_value *value) {
    *value = plain_value(DQ_VALUE_UNKNOWN);
    if (i >= end) return i;
    const dq_token *token = &tokens->at[i++];
    if (token->kind == DQ_TOKEN_STRING) {
        value->kind = DQ_VALUE_STRING;
        value->string = token->text;
    } else if (token->kind == DQ_TOKEN_NUMBER) {
        *value = number_value(strtol(token->text, NULL, 10) % 100000);
    } else if (token->kind == DQ_TOKEN_NAME) {
        int length = snprintf(value->name, sizeof value->name, "%s", token->text);
        if (length < (int)sizeof value->name) name_value(jinja, token->text, value);
    } else if (token->kind == DQ_TOKEN_OPERATOR && strchr("([{", token->text[0])) {
        size_t behind = behind_bracket(tokens, i - 1, end);
        if (token->text[0] == '(' && behind >= i + 1) *value = dq_jinja_evaluate(jinja, tokens, i, behind - 1);
        i = behind;
    } else
        return end; /* no operand: what follows is not read */
    while (i < end && tokens->at[i].kind == DQ_TOKEN_OPERATOR) {
        size_t behind = i + 2; /* of .name and |name */
        bool name_next = behind <= end && tokens->at[i + 1].kind == DQ_TOKEN_NAME;
        bool call = behind < end && is_operator(tokens, behind, "(");
        bool dot = is_operator(tokens, i, "."), bar = is_operator(tokens, i, "|");
        if (dot && name_next && !call) {
            size_t used = strlen(value->name), room = sizeof value->name - used;
            int length = snprintf(value->name + used, room, ".%s", tokens->at[i + 1].text);
            member_value(jinja, value, length < (int)room ? value->name : "", tokens->at[i + 1].text);
        } else if ((dot || bar) && name_next) {
            if (call) behind = behind_bracket(tokens, behind, end);
            call_value(jinja, tokens, i, behind, value);
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

/* ---- Expressions ---- */

static dq_truth truth_of(const dq_jinja *jinja, const dq_value *value) {
    const char *text = text_of(jinja, value);
    if (text && value->trims && strspn(text, " \t\n") == strlen(text)) return DQ_TRUTH_UNKNOWN;
    if (text) return from_bool(*text != '\0');
    switch (value->kind) {
    case DQ_VALUE_UNDEFINED:
    case DQ_VALUE_NONE:
    case DQ_VALUE_FALSE:
        return DQ_TRUTH_FALSE;
    case DQ_VALUE_TRUE:
        return DQ_TRUTH_TRUE;
    case DQ_VALUE_NUMBER:
        return from_bool(value->number != 0);
    case DQ_VALUE_MESSAGES:
        return jinja->trial ? from_bool(dq_jinja_count(jinja, value) > 0) : DQ_TRUTH_UNKNOWN;
    default:
        return DQ_TRUTH_UNKNOWN;
    }
}

/* value is TEST */
static dq_truth test_value(const dq_value *value, const char *test) {
    dq_value_kind kind = value->kind;
    if (kind == DQ_VALUE_UNKNOWN || kind == DQ_VALUE_VARIABLE || kind == DQ_VALUE_BOS || kind == DQ_VALUE_EOS ||
        (is_text(kind) && !value->direct)) /* a variable may lack its value on some way */
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

static bool is_message(const dq_value *value) {
    return value->kind == DQ_VALUE_MESSAGE || value->kind == DQ_VALUE_FIRST;
}

static dq_truth equal_values(const dq_jinja *jinja, const dq_value *a, const dq_value *b) {
    const char *one = text_of(jinja, a), *two = text_of(jinja, b);
    if (one && two && !a->trims && !b->trims) return from_bool(strcmp(one, two) == 0);
    const dq_value *role = a->kind == DQ_VALUE_ROLE ? a : b, *other = role == a ? b : a;
    if (role->kind == DQ_VALUE_ROLE && other->kind == DQ_VALUE_STRING)
        return strcmp(other->string, "system") && strcmp(other->string, "user") && strcmp(other->string, "assistant")
                   ? DQ_TRUTH_FALSE
                   : DQ_TRUTH_UNKNOWN;
    const dq_trial *trial = jinja->trial;
    if (is_message(a) && is_message(b) && trial)
        return from_bool(strcmp(trial->roles[a->index], trial->roles[b->index]) == 0 &&
                         strcmp(trial->contents[a->index], trial->contents[b->index]) == 0);
    if (a->kind == DQ_VALUE_NUMBER && b->kind == DQ_VALUE_NUMBER) return from_bool(a->number == b->number);
    bool a_fixed = a->kind >= DQ_VALUE_UNDEFINED && a->kind <= DQ_VALUE_FALSE;
    bool b_fixed = b->kind >= DQ_VALUE_UNDEFINED && b->kind <= DQ_VALUE_FALSE;
    if (a_fixed && b_fixed) return from_bool(a->kind == b->kind);
    if ((a_fixed && two) || (b_fixed && one)) return DQ_TRUTH_FALSE;
    return DQ_TRUTH_UNKNOWN;
}

static dq_truth contains(const dq_jinja *jinja, const dq_value *whole, const dq_value *part) {
    const char *text = text_of(jinja, whole), *word = text_of(jinja, part);
    if (text && word && !whole->trims && !part->trims) return from_bool(strstr(text, word) != NULL);
    if (is_message(whole) && part->kind == DQ_VALUE_STRING) /* its keys */
        return from_bool(strcmp(part->string, "role") == 0 || strcmp(part->string, "content") == 0);
    return DQ_TRUTH_UNKNOWN;
}

/* Sums, differences and remainders of numbers; of anything else unknown. * and / do not occur. */
static dq_value read_sum(expression *e) {
    dq_value sum, next;
    bool negative = accept(e, DQ_TOKEN_OPERATOR, "-");
    e->at = dq_jinja_value(e->jinja, e->tokens, e->at, e->end, &sum);
    if (negative) sum = sum.kind == DQ_VALUE_NUMBER ? number_value(-sum.number) : plain_value(DQ_VALUE_UNKNOWN);
    while (e->at < e->end) {
        char sign = is_operator(e->tokens, e->at, "+")   ? '+'
                    : is_operator(e->tokens, e->at, "-") ? '-'
                    : is_operator(e->tokens, e->at, "%") ? '%'
                    : is_operator(e->tokens, e->at, "~") ? '~'
                                                         : '\0';
        if (!sign) break;
        e->at = dq_jinja_value(e->jinja, e->tokens, e->at + 1, e->end, &next);
        bool numbers = sum.kind == DQ_VALUE_NUMBER && next.kind == DQ_VALUE_NUMBER;
        if (numbers && sign == '+')
            sum = number_value((sum.number + next.number) % 100000);
        else if (numbers && sign == '-')
            sum = number_value((sum.number - next.number) % 100000);
        else if (numbers && sign == '%' && next.number > 0 && sum.number >= 0)
            sum = number_value(sum.number % next.number);
        else
            sum = plain_value(DQ_VALUE_UNKNOWN);
    }
    return sum;
}

static dq_value read_comparison(expression *e) {
    dq_value left = read_sum(e);
    while (e->at < e->end) {
        if (accept(e, DQ_TOKEN_NAME, "is")) {
            bool negated = accept(e, DQ_TOKEN_NAME, "not");
            dq_truth truth = DQ_TRUTH_UNKNOWN;
            if (e->at < e->end && e->tokens->at[e->at].kind == DQ_TOKEN_NAME)
                truth = test_value(&left, e->tokens->at[e->at++].text);
            left = from_truth(negated ? negate(truth) : truth);
            continue;
        }
        size_t kept = e->at;
        bool negated = accept(e, DQ_TOKEN_NAME, "not");
        if (accept(e, DQ_TOKEN_NAME, "in")) {
            dq_value whole = read_sum(e);
            dq_truth truth = contains(e->jinja, &whole, &left);
            left = from_truth(negated ? negate(truth) : truth);
            continue;
        }
        e->at = kept;
        static const char *const signs[] = {"==", "!=", "<", ">", "<=", ">="};
        size_t sign = 0;
        while (sign < 6 && !is_operator(e->tokens, e->at, signs[sign])) sign++;
        if (sign == 6) break;
        e->at++;
        dq_value right = read_sum(e);
        dq_truth truth = DQ_TRUTH_UNKNOWN;
        if (sign < 2) {
            truth = equal_values(e->jinja, &left, &right);
            if (sign == 1) truth = negate(truth);
        } else if (left.kind == DQ_VALUE_NUMBER && right.kind == DQ_VALUE_NUMBER) {
            long a = left.number, b = right.number;
            truth = from_bool(sign == 2 ? a < b : sign == 3 ? a > b : sign == 4 ? a <= b : a >= b);
        }
        left = from_truth(truth);
    }
    return left;
}

static dq_value read_not(expression *e) {
    bool negated = false, any = false;
    while (accept(e, DQ_TOKEN_NAME, "not")) {
        negated = !negated;
        any = true;
    }
    dq_value value = read_comparison(e);
    if (!any) return value;
    dq_truth truth = truth_of(e->jinja, &value);
    return from_truth(negated ? negate(truth) : truth);
}

static dq_value read_and(expression *e) {
    dq_value value = read_not(e);
    while (accept(e, DQ_TOKEN_NAME, "and")) {
        dq_value next = read_not(e);
        dq_truth a = truth_of(e->jinja, &value), b = truth_of(e->jinja, &next);
        if (a == DQ_TRUTH_FALSE || b == DQ_TRUTH_FALSE)
            value = from_truth(DQ_TRUTH_FALSE);
        else
            value = from_truth(a == DQ_TRUTH_TRUE ? b : DQ_TRUTH_UNKNOWN);
    }
    return value;
}

static dq_value read_or(expression *e) {
    dq_value value = read_and(e);
    while (accept(e, DQ_TOKEN_NAME, "or")) {
        dq_value next = read_and(e);
        dq_truth a = truth_of(e->jinja, &value), b = truth_of(e->jinja, &next);
        if (a == DQ_TRUTH_TRUE || b == DQ_TRUTH_TRUE)
            value = from_truth(DQ_TRUTH_TRUE);
        else
            value = from_truth(a == DQ_TRUTH_FALSE ? b : DQ_TRUTH_UNKNOWN);
    }
    return value;
}

dq_value dq_jinja_evaluate(const dq_jinja *jinja, const dq_tokens *tokens, size_t begin, size_t end) {
    int depth = 0;
    for (size_t i = begin; i < end; i++) { /* evaluation descends at each bracket */
        depth += (is_operator(tokens, i, "(") || is_operator(tokens, i, "["));
        depth -= (is_operator(tokens, i, ")") || is_operator(tokens, i, "]"));
        if (depth > DEEPEST) return plain_value(DQ_VALUE_UNKNOWN);
    }
    expression e = {jinja, tokens, begin, end};
    dq_value value = read_or(&e);
    if (accept(&e, DQ_TOKEN_NAME, "if")) { /* a if condition else b */
        dq_value condition = read_or(&e), other = plain_value(DQ_VALUE_UNDEFINED);
        if (accept(&e, DQ_TOKEN_NAME, "else")) other = read_or(&e);
        dq_truth truth = truth_of(jinja, &condition);
        if (truth != DQ_TRUTH_TRUE) value = truth == DQ_TRUTH_FALSE ? other : plain_value(DQ_VALUE_UNKNOWN);
    }
    return e.at == end ? value : plain_value(DQ_VALUE_UNKNOWN);
}

dq_truth dq_jinja_truth(const dq_jinja *jinja, const dq_tokens *tokens, size_t begin, size_t end) {
    dq_value value = dq_jinja_evaluate(jinja, tokens, begin, end);
    return truth_of(jinja, &value);
}
