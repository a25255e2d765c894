#include "text/template_jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct block {
    bool loop;
    /* In a trial: the list, the turn, where the body begins, and the loop around it. */
    dq_value list;
    size_t turn, body, outer_position;
    bool outer_last;
    bool outer;                                      /* what lies around it is kept */
    bool kept;                                       /* the branch at hand can be entered */
    bool certain;                                    /* a branch before was certain to be entered */
    bool unsure;                                     /* whether it is entered depends on the conversation */
    bool on_first, on_last, on_last_user, on_prompt; /* the branch's condition speaks of */
} block;

typedef struct reader {
    dq_jinja *jinja;
    dq_tokens tokens;
    block *blocks;
    size_t depth;
    bool open; /* the last sequence still takes atoms */
    dlqat_error *error;
} reader;

enum {
    MOST_BLOCKS = 256,
    MOST_BYTES = 1 << 16, /* of a template; real ones stay below 20,000 */
    MOST_STEPS = 100000   /* of a trial */
};

static dlqat_status no_memory(dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to read the chat template");
}

/* Room for one more element; arrays double at powers of two, so that no capacity has to be kept. */
static void *grow(void *array, size_t count, size_t size) {
    if (count & (count - 1)) return array;
    return realloc(array, (count ? 2 * count : 1) * size);
}
#define GROW(array, count) grow((array), (count), sizeof *(array))

static char *copy_text(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void dq_jinja_free(dq_jinja *jinja) {
    for (size_t i = 0; i < jinja->atom_count; i++) free(jinja->atoms[i].text);
    for (size_t i = 0; i < jinja->variable_count; i++) {
        free(jinja->variables[i].name);
        free(jinja->variables[i].literal);
    }
    for (size_t i = 0; i < jinja->call_count; i++) free(jinja->calls[i]);
    free(jinja->atoms);
    free(jinja->sequences);
    free(jinja->variables);
    for (size_t i = 0; jinja->made && i < jinja->made->count; i++) free(jinja->made->at[i]);
    if (jinja->made) free(jinja->made->at);
    free(jinja->made);
    free(jinja->calls);
    memset(jinja, 0, sizeof *jinja);
}

const dq_variable *dq_jinja_variable(const dq_jinja *jinja, const char *name) {
    for (size_t i = 0; i < jinja->variable_count; i++)
        if (strcmp(jinja->variables[i].name, name) == 0) return &jinja->variables[i];
    return NULL;
}

bool dq_jinja_calls(const dq_jinja *jinja, const char *name) {
    for (size_t i = 0; i < jinja->call_count; i++)
        if (strcmp(jinja->calls[i], name) == 0) return true;
    return false;
}

static dq_variable *variable_named(reader *r, const char *name) {
    dq_jinja *jinja = r->jinja;
    const dq_variable *known = dq_jinja_variable(jinja, name);
    if (known) return &jinja->variables[known - jinja->variables];
    dq_variable *larger = GROW(jinja->variables, jinja->variable_count);
    if (!larger) return NULL;
    jinja->variables = larger;
    dq_variable *variable = &larger[jinja->variable_count];
    memset(variable, 0, sizeof *variable);
    variable->name = copy_text(name, strlen(name));
    if (!variable->name) return NULL;
    jinja->variable_count++;
    return variable;
}

static bool is_operator(const reader *r, size_t i, const char *text) {
    return dq_token_is(&r->tokens, i, DQ_TOKEN_OPERATOR, text);
}
static bool is_name(const reader *r, size_t i, const char *text) {
    return dq_token_is(&r->tokens, i, DQ_TOKEN_NAME, text);
}

/* +1 at an opening bracket, -1 at a closing one. */
static int bracket(const dq_token *token) {
    if (token->kind != DQ_TOKEN_OPERATOR) return 0;
    return (strchr("([{", token->text[0]) != NULL) - (strchr(")]}", token->text[0]) != NULL);
}

/* Puts on record what is called in tokens [begin, end), but for what leaves text as it is. */
static dlqat_status note_calls(reader *r, size_t begin, size_t end) {
    static const char *const harmless[] = {"trim",      "length", "count", "raise_exception",
                                           "namespace", "string", "list",  "selectattr",
                                           "and",       "or",     "not",   "in",
                                           "is",        "if",     "else"};
    for (size_t i = begin; i < end && !r->jinja->trial; i++) {
        if (r->tokens.at[i].kind != DQ_TOKEN_NAME) continue;
        bool filter = i > begin && is_operator(r, i - 1, "|"), call = i + 1 < end && is_operator(r, i + 1, "(");
        if (!filter && !call) continue;
        const char *name = r->tokens.at[i].text;
        bool known = strcmp(name, "strip") == 0 && is_operator(r, i + 2, ")");
        for (size_t k = 0; k < sizeof harmless / sizeof *harmless; k++) known |= strcmp(name, harmless[k]) == 0;
        if (known || dq_jinja_calls(r->jinja, name)) continue;
        char **larger = GROW(r->jinja->calls, r->jinja->call_count);
        char *copy = copy_text(name, strlen(name));
        if (larger) r->jinja->calls = larger;
        if (!larger || !copy) {
            free(copy);
            return no_memory(r->error);
        }
        larger[r->jinja->call_count++] = copy;
    }
    return DLQAT_OK;
}

/* ---- Sequences ---- */

static bool kept(const reader *r) {
    return r->depth == 0 || r->blocks[r->depth - 1].kept;
}

static dlqat_status open_sequence(reader *r, bool assigned) {
    dq_jinja *jinja = r->jinja;
    dq_sequence *larger = GROW(jinja->sequences, jinja->sequence_count);
    if (!larger) return no_memory(r->error);
    jinja->sequences = larger;
    dq_sequence *sequence = &larger[jinja->sequence_count++];
    *sequence = (dq_sequence){.begin = jinja->atom_count, .end = jinja->atom_count, .assigned = assigned};
    for (size_t i = 0; i < r->depth; i++) {
        sequence->in_loop |= r->blocks[i].loop;
        sequence->in_branch |= r->blocks[i].unsure;
        sequence->on_first |= r->blocks[i].on_first;
        sequence->on_last |= r->blocks[i].on_last;
        sequence->on_last_user |= r->blocks[i].on_last_user;
        sequence->on_prompt |= r->blocks[i].on_prompt;
    }
    r->open = true;
    return DLQAT_OK;
}

/* text is copied. */
static dlqat_status add_atom(reader *r, dq_atom atom, const char *text) {
    dq_jinja *jinja = r->jinja;
    dq_sequence *sequence = &jinja->sequences[jinja->sequence_count - 1];
    size_t length = text ? strlen(text) : 0;
    if (atom.kind == DQ_ATOM_LITERAL && length == 0 && !atom.opens_strip && !atom.closes_strip) return DLQAT_OK;
    dq_atom *last = sequence->end > sequence->begin ? &jinja->atoms[sequence->end - 1] : NULL;
    bool joins = !atom.trims && !atom.opens_strip && !atom.closes_strip && atom.kind == DQ_ATOM_LITERAL;
    if (last && joins && last->kind == DQ_ATOM_LITERAL && !last->trims && !last->closes_strip) {
        size_t before = strlen(last->text);
        char *joined = realloc(last->text, before + length + 1);
        if (!joined) return no_memory(r->error);
        memcpy(joined + before, text, length + 1);
        last->text = joined;
        return DLQAT_OK;
    }
    dq_atom *larger = GROW(jinja->atoms, jinja->atom_count);
    if (!larger) return no_memory(r->error);
    jinja->atoms = larger;
    atom.text = text ? copy_text(text, length) : NULL;
    if (text && !atom.text) return no_memory(r->error);
    larger[jinja->atom_count++] = atom;
    sequence->end++;
    return DLQAT_OK;
}

/* Takes the atoms of the last sequence back to what it held when it had `count`. */
static void drop_atoms(reader *r, size_t count) {
    dq_jinja *jinja = r->jinja;
    while (jinja->atom_count > count) free(jinja->atoms[--jinja->atom_count].text);
    jinja->sequences[jinja->sequence_count - 1].end = count;
}

/* Adds copies of the atoms of a sequence; strips: the whole is stripped of white space. */
static dlqat_status add_copies(reader *r, const dq_sequence *sequence, bool strips) {
    size_t begin = sequence->begin, end = sequence->end;
    for (size_t k = begin; k < end; k++) {
        dq_atom atom = r->jinja->atoms[k];
        const char *text = atom.text;
        atom.opens_strip |= strips && k == begin;
        atom.closes_strip |= strips && k + 1 == end;
        DQ_TRY(add_atom(r, atom, text));
    }
    return DLQAT_OK;
}

/* Index of the word or operator at the outermost level of tokens [i, end), or end. */
static size_t find_outer(const reader *r, size_t i, size_t end, dq_token_kind kind, const char *text) {
    for (int depth = 0; i < end; i++) {
        depth += bracket(&r->tokens.at[i]);
        if (depth == 0 && dq_token_is(&r->tokens, i, kind, text)) return i;
    }
    return end;
}

/* Adds the atoms of the expression in tokens [begin, end) to the open sequence. *understood becomes false where
 * something else than known atoms, joined by + or ~, is there. */
static dlqat_status add_expression(reader *r, size_t begin, size_t end, int depth, bool *understood) {
    size_t choice = find_outer(r, begin, end, DQ_TOKEN_NAME, "if");
    if (choice < end) { /* a if condition else b */
        size_t other = find_outer(r, choice, end, DQ_TOKEN_NAME, "else");
        dq_truth truth = dq_jinja_truth(r->jinja, &r->tokens, choice + 1, other);
        if (truth == DQ_TRUTH_TRUE) return add_expression(r, begin, choice, depth, understood);
        if (truth == DQ_TRUTH_FALSE && other < end) return add_expression(r, other + 1, end, depth, understood);
        *understood = truth == DQ_TRUTH_FALSE;
        return DLQAT_OK;
    }
    for (size_t i = begin; i < end && *understood; i++) {
        size_t behind = i;
        if (is_operator(r, i, "(")) { /* brackets around a whole operand */
            int level = 0;
            do level += bracket(&r->tokens.at[behind++]);
            while (behind < end && level > 0);
            if ((behind < end && !is_operator(r, behind, "+") && !is_operator(r, behind, "~")) || depth > 16)
                *understood = false;
            else
                DQ_TRY(add_expression(r, i + 1, behind - 1, depth + 1, understood));
        } else {
            static const dq_atom_kind kinds[] = {
                [DQ_VALUE_STRING] = DQ_ATOM_LITERAL,   [DQ_VALUE_ROLE] = DQ_ATOM_ROLE,
                [DQ_VALUE_CONTENT] = DQ_ATOM_CONTENT,  [DQ_VALUE_SYSTEM] = DQ_ATOM_SYSTEM,
                [DQ_VALUE_BOS] = DQ_ATOM_BOS,          [DQ_VALUE_EOS] = DQ_ATOM_EOS,
                [DQ_VALUE_VARIABLE] = DQ_ATOM_VARIABLE};
            dq_value value;
            behind = dq_jinja_value(r->jinja, &r->tokens, i, end, &value);
            dq_atom atom = {.trims = value.trims, .direct = value.direct, .index = value.index};
            const dq_variable *held = r->jinja->trial ? dq_jinja_variable(r->jinja, value.name) : NULL;
            *understood = value.kind >= DQ_VALUE_STRING;
            if (held && held->composite && value.kind == DQ_VALUE_VARIABLE) {
                DQ_TRY(add_copies(r, &r->jinja->sequences[held->sequence], value.trims));
            } else if (*understood) {
                atom.kind = kinds[value.kind];
                const char *text = value.kind == DQ_VALUE_STRING ? value.string : NULL;
                if (value.kind == DQ_VALUE_VARIABLE) text = value.name;
                DQ_TRY(add_atom(r, atom, text));
            }
        }
        if (behind < end && !is_operator(r, behind, "+") && !is_operator(r, behind, "~")) *understood = false;
        i = behind;
    }
    return DLQAT_OK;
}

/* "chat template: it prints "...", which dlqat cannot follow" */
static dlqat_status fail_shown(reader *r, const char *what, size_t begin, size_t end) {
    char shown[96] = "";
    for (size_t i = begin; i < end && strlen(shown) < 60; i++) {
        strncat(shown, r->tokens.at[i].text, 20);
        bool words =
            i + 1 < end && r->tokens.at[i].kind != DQ_TOKEN_OPERATOR && r->tokens.at[i + 1].kind != DQ_TOKEN_OPERATOR;
        if (words) strcat(shown, " ");
    }
    return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: %s \"%s\", which dlqat cannot follow", what,
                   shown);
}

static dlqat_status read_print(reader *r, size_t begin, size_t end) {
    if (!kept(r)) return DLQAT_OK;
    if (is_name(r, begin, "raise_exception") && is_operator(r, begin + 1, "(")) {
        r->jinja->raised = true;
        return DLQAT_OK;
    }
    DQ_TRY(note_calls(r, begin, end));
    if (!r->open) DQ_TRY(open_sequence(r, false));
    bool understood = begin < end;
    DQ_TRY(add_expression(r, begin, end, 0, &understood));
    if (understood) return DLQAT_OK;
    return fail_shown(r, "it prints", begin, end);
}

/* ---- Statements ---- */

/* The keywords of namespace(a=1, b=2) become the variables ns.a and ns.b. */
static dlqat_status assign_namespace(reader *r, const char *name, size_t begin, size_t end) {
    if (!variable_named(r, name)) return no_memory(r->error);
    for (size_t i = begin + 2; i + 1 < end;) {
        size_t comma = find_outer(r, i, end - 1, DQ_TOKEN_OPERATOR, ",");
        char path[64];
        bool fits = snprintf(path, sizeof path, "%s.%s", name, r->tokens.at[i].text) < (int)sizeof path;
        dq_variable *variable = fits && is_operator(r, i + 1, "=") ? variable_named(r, path) : NULL;
        if (!variable) return no_memory(r->error);
        variable->value = dq_jinja_evaluate(r->jinja, &r->tokens, i + 2, comma);
        i = comma + 1;
    }
    return DLQAT_OK;
}

/* In a trial a variable holds one value, or, when it is put together from several, a sequence. What is neither is
 * unknown, which matters only where it is used. */
static dlqat_status assign_on_trial(reader *r, const char *name, size_t begin, size_t end) {
    if (is_name(r, begin, "namespace") && is_operator(r, begin + 1, "(")) return assign_namespace(r, name, begin, end);
    dq_value value = dq_jinja_evaluate(r->jinja, &r->tokens, begin, end);
    bool composite = value.kind == DQ_VALUE_UNKNOWN;
    if (composite) {
        bool understood = true;
        DQ_TRY(open_sequence(r, true));
        DQ_TRY(add_expression(r, begin, end, 0, &understood));
        composite = understood;
        r->open = false;
    }
    dq_variable *variable = variable_named(r, name);
    if (!variable) return no_memory(r->error);
    variable->value = value;
    variable->composite = composite;
    if (composite) {
        variable->value.kind = DQ_VALUE_VARIABLE;
        variable->sequence = r->jinja->sequence_count - 1;
    }
    return DLQAT_OK;
}

static dlqat_status read_set(reader *r, size_t begin, size_t end) {
    char name[64] = "";
    size_t i = begin;
    for (; i < end && !is_operator(r, i, "="); i++) {
        if (is_operator(r, i, ",") || strlen(name) + strlen(r->tokens.at[i].text) >= sizeof name) break;
        strcat(name, r->tokens.at[i].text);
    }
    if (!is_operator(r, i, "=") || i == begin)
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: this form of {%% set %s %%} is not supported",
                       name);
    /* Members can be assigned to a namespace only. */
    const dq_variable *head = dq_jinja_variable(r->jinja, r->tokens.at[begin].text);
    if (is_operator(r, begin + 1, ".") && (!head || head->message || head->value.kind != DQ_VALUE_UNKNOWN))
        return fail_shown(r, "it assigns to", begin, i);
    begin = i + 1;
    DQ_TRY(note_calls(r, begin, end));
    dq_value value;
    size_t behind = dq_jinja_value(r->jinja, &r->tokens, begin, end, &value);
    if (r->jinja->trial) return assign_on_trial(r, name, begin, end);
    dq_variable *variable = variable_named(r, name);
    if (!variable) return no_memory(r->error);
    if (behind == end && (value.kind == DQ_VALUE_MESSAGES || value.kind == DQ_VALUE_MESSAGE)) {
        /* A filter over the messages gives a list of them that is not to be printed. */
        variable->list = value.kind == DQ_VALUE_MESSAGES;
        variable->message = !variable->list;
        return DLQAT_OK;
    }
    if (behind == end && value.kind >= DQ_VALUE_NONE && value.kind <= DQ_VALUE_FALSE) return DLQAT_OK;
    DQ_TRY(open_sequence(r, true));
    size_t first = r->jinja->atom_count;
    bool understood = true;
    DQ_TRY(add_expression(r, begin, end, 0, &understood));
    size_t count = r->jinja->atom_count - first;
    bool composite = understood && count > 1;
    if (understood && count == 1) {
        const dq_atom *atom = &r->jinja->atoms[first];
        variable->trims |= atom->trims;
        variable->content |= atom->kind == DQ_ATOM_CONTENT;
        variable->system |= atom->kind == DQ_ATOM_SYSTEM;
        if (atom->kind == DQ_ATOM_LITERAL) {
            free(variable->literal);
            variable->literal = copy_text(atom->text, strlen(atom->text));
            if (!variable->literal) return no_memory(r->error);
        }
        variable->other |=
            atom->kind != DQ_ATOM_CONTENT && atom->kind != DQ_ATOM_SYSTEM && atom->kind != DQ_ATOM_LITERAL;
    }
    variable->other |= !understood;
    variable->composite |= composite;
    if (!composite) {
        drop_atoms(r, first);
        r->jinja->sequence_count--;
    }
    r->open = false;
    return DLQAT_OK;
}

/* In a trial: gives the loop's variable the message of its turn. */
static void start_turn(reader *r, const block *loop, dq_variable *variable) {
    r->jinja->position = loop->turn;
    r->jinja->last = loop->turn + 1 == dq_jinja_count(r->jinja, &loop->list);
    variable->value =
        (dq_value){.kind = DQ_VALUE_MESSAGE, .direct = true, .index = dq_jinja_nth(r->jinja, &loop->list, loop->turn)};
}

/* In a trial: the next turn of the loop that ends here, if there is one; *at becomes the end of its {% for %}. */
static bool next_turn(reader *r, block *loop, size_t *at) {
    if (!r->jinja->trial || !loop->kept) return false;
    if (++loop->turn < dq_jinja_count(r->jinja, &loop->list)) {
        size_t name = loop->body;
        while (r->tokens.at[name].kind != DQ_TOKEN_STATEMENT) name--;
        dq_variable *variable = variable_named(r, r->tokens.at[name + 2].text); /* there since its first turn */
        if (variable) start_turn(r, loop, variable);
        *at = loop->body;
        return true;
    }
    r->jinja->position = loop->outer_position;
    r->jinja->last = loop->outer_last;
    return false;
}

static dlqat_status read_for(reader *r, size_t begin, size_t end, block *loop) {
    size_t in = find_outer(r, begin, end, DQ_TOKEN_NAME, "in");
    dq_value value;
    dq_jinja_value(r->jinja, &r->tokens, in + 1 < end ? in + 1 : end, end, &value);
    loop->loop = true;
    loop->kept = loop->outer && value.kind != DQ_VALUE_NONE && value.kind != DQ_VALUE_UNDEFINED;
    if (!loop->kept) return DLQAT_OK;
    if (in != begin + 1 || find_outer(r, in, end, DQ_TOKEN_NAME, "if") < end)
        return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED,
                       "chat template: a {%% for %%} over several variables or with a condition is not supported");
    dq_variable *variable = variable_named(r, r->tokens.at[begin].text);
    if (!variable) return no_memory(r->error);
    if (r->jinja->trial) {
        loop->list = dq_jinja_evaluate(r->jinja, &r->tokens, in + 1, end);
        if (loop->list.kind != DQ_VALUE_MESSAGES)
            return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: it loops over what are no messages");
        loop->body = end;
        loop->outer_position = r->jinja->position;
        loop->outer_last = r->jinja->last;
        loop->kept = dq_jinja_count(r->jinja, &loop->list) > 0;
        if (loop->kept) start_turn(r, loop, variable);
        return DLQAT_OK;
    }
    variable->message |= value.kind == DQ_VALUE_MESSAGES;
    variable->other |= value.kind != DQ_VALUE_MESSAGES;
    return note_calls(r, in, end);
}

/* The branch whose condition is in tokens [begin, end) of an if or elif. */
static dlqat_status read_branch(reader *r, size_t begin, size_t end, block *branch) {
    dq_truth truth = dq_jinja_truth(r->jinja, &r->tokens, begin, end);
    if (r->jinja->trial && truth == DQ_TRUTH_UNKNOWN && branch->outer && !branch->certain)
        return fail_shown(r, "it depends on", begin, end);
    branch->kept = branch->outer && !branch->certain && truth != DQ_TRUTH_FALSE;
    branch->unsure |= truth == DQ_TRUTH_UNKNOWN;
    branch->certain |= truth == DQ_TRUTH_TRUE;
    branch->on_first = branch->on_last = branch->on_last_user = branch->on_prompt = false;
    for (size_t i = begin; i < end; i++) {
        bool of_loop = is_name(r, i, "loop") && is_operator(r, i + 1, ".");
        branch->on_first |= of_loop && (is_name(r, i + 2, "first") || is_name(r, i + 2, "index0"));
        branch->on_last |= of_loop && is_name(r, i + 2, "last");
        branch->on_last_user |= is_operator(r, i, "[") && is_operator(r, i + 1, "-") && is_operator(r, i + 3, "]");
        branch->on_prompt |= is_name(r, i, "add_generation_prompt");
    }
    return branch->kept ? note_calls(r, begin, end) : DLQAT_OK;
}

/* *at: the token to go on behind. */
static dlqat_status read_statement(reader *r, size_t begin, size_t end, size_t *at) {
    const char *word = begin < end && r->tokens.at[begin].kind == DQ_TOKEN_NAME ? r->tokens.at[begin].text : "";
    /* transformers' own marks around the assistant's words print nothing. */
    if (strcmp(word, "generation") == 0 || strcmp(word, "endgeneration") == 0) return DLQAT_OK;
    r->open = false;
    bool is_if = strcmp(word, "if") == 0, is_for = strcmp(word, "for") == 0;
    if (is_if || is_for) {
        if (r->depth == MOST_BLOCKS)
            return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: statements are nested too deeply");
        block *new_block = &r->blocks[r->depth];
        *new_block = (block){.outer = kept(r)};
        r->depth++;
        return is_for ? read_for(r, begin + 1, end, new_block) : read_branch(r, begin + 1, end, new_block);
    }
    bool is_elif = strcmp(word, "elif") == 0, is_else = strcmp(word, "else") == 0,
         is_endif = strcmp(word, "endif") == 0;
    if (is_elif || is_else || is_endif || strcmp(word, "endfor") == 0) {
        block *top = r->depth ? &r->blocks[r->depth - 1] : NULL;
        if (!top || top->loop != (strcmp(word, "endfor") == 0))
            return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: {%% %s %%} without its beginning", word);
        if (is_elif) return read_branch(r, begin + 1, end, top);
        if (is_else) {
            top->kept = top->outer && !top->certain;
            top->on_first = top->on_last = top->on_last_user = top->on_prompt = false;
        } else if (is_endif || !next_turn(r, top, at))
            r->depth--;
        return DLQAT_OK;
    }
    if (!kept(r)) return DLQAT_OK;
    if (strcmp(word, "set") == 0) return read_set(r, begin + 1, end);
    return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: the statement {%% %s %%} is not supported", word);
}

static dlqat_status read_all(reader *r) {
    size_t steps = 0;
    for (size_t i = 0; i < r->tokens.count; i++) {
        const dq_token *token = &r->tokens.at[i];
        if (token->kind == DQ_TOKEN_TEXT) {
            if (!kept(r)) continue;
            if (!r->open) DQ_TRY(open_sequence(r, false));
            DQ_TRY(add_atom(r, (dq_atom){.kind = DQ_ATOM_LITERAL}, token->text));
            continue;
        }
        size_t end = i + 1;
        while (r->tokens.at[end].kind != DQ_TOKEN_CLOSE) end++; /* the lexer closes every tag */
        if (token->kind == DQ_TOKEN_PRINT)
            DQ_TRY(read_print(r, i + 1, end));
        else
            DQ_TRY(read_statement(r, i + 1, end, &end));
        i = end;
        if (r->jinja->trial && r->jinja->raised) return DLQAT_OK;
        if (r->jinja->trial && ++steps > MOST_STEPS)
            return dq_fail(r->error, DLQAT_ERROR_UNSUPPORTED, "chat template: its loops are too long");
    }
    return r->depth ? dq_fail(r->error, DLQAT_ERROR_INPUT, "chat template: a statement is not closed") : DLQAT_OK;
}

dlqat_status dq_jinja_read(dq_jinja *jinja, const char *text, const dq_trial *trial, dlqat_error *error) {
    memset(jinja, 0, sizeof *jinja);
    jinja->trial = trial;
    reader r = {.jinja = jinja, .error = error};
    if (strlen(text) > MOST_BYTES)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "chat template: longer than %d bytes", MOST_BYTES);
    DQ_TRY(dq_tokens_read(&r.tokens, text, error));
    r.blocks = calloc(MOST_BLOCKS, sizeof *r.blocks);
    jinja->made = calloc(1, sizeof *jinja->made);
    dlqat_status status = r.blocks && jinja->made ? read_all(&r) : no_memory(error);
    free(r.blocks);
    dq_tokens_free(&r.tokens);
    if (status != DLQAT_OK) dq_jinja_free(jinja);
    return status;
}
