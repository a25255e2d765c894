#include "text/template_form.h"

#include <stdlib.h>
#include <string.h>

static dlqat_status no_memory(dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a template");
}

static dlqat_status refuse(dlqat_error *error, const char *what, const char *shown) {
    char text[64] = "";
    for (size_t i = 0; shown && shown[i] && i < sizeof text - 1; i++) text[i] = shown[i];
    return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "chat template: it %s%s%s%s, so that dlqat cannot render it equally",
                   what, *text ? " \"" : "", text, *text ? "\"" : "");
}

dq_template_kind dq_template_family(const char *jinja) {
    if (strstr(jinja, "<|im_start|>")) return DQ_TEMPLATE_CHATML;
    if (strstr(jinja, "<|start_header_id|>")) return DQ_TEMPLATE_LLAMA3;
    if (strstr(jinja, "[INST]")) return strstr(jinja, "<<SYS>>") ? DQ_TEMPLATE_LLAMA2 : DQ_TEMPLATE_MISTRAL;
    return DQ_TEMPLATE_AUTO;
}

/* Replaces *to by a copy of length bytes of text. */
static dlqat_status put(char **to, const char *text, size_t length, dlqat_error *error) {
    free(*to);
    *to = malloc(length + 1);
    if (!*to) return no_memory(error);
    memcpy(*to, text, length);
    (*to)[length] = '\0';
    return DLQAT_OK;
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list; list++)
        if (strcmp(text, *list) == 0) return true;
    return false;
}

static dlqat_status check_calls(const dq_jinja *jinja, const char *const *allowed, dlqat_error *error) {
    for (size_t i = 0; i < jinja->call_count; i++)
        if (!is_one_of(jinja->calls[i], allowed)) return refuse(error, "calls", jinja->calls[i]);
    return DLQAT_OK;
}

/* Whether the messages' contents are stripped: all of them or none. The contents themselves decide, and where they
 * are only printed through a variable, that. */
static dlqat_status find_trims(dq_template *out, const dq_jinja *jinja, dlqat_error *error) {
    size_t seen[2][2] = {{0, 0}, {0, 0}}; /* [direct][trims] */
    for (size_t i = 0; i < jinja->sequence_count; i++)
        for (size_t k = jinja->sequences[i].begin; k < jinja->sequences[i].end; k++) {
            const dq_atom *atom = &jinja->atoms[k];
            if (atom->kind == DQ_ATOM_CONTENT || atom->kind == DQ_ATOM_SYSTEM) seen[atom->direct][atom->trims]++;
        }
    size_t with = seen[0][1] + seen[1][1], without = seen[0][0] + seen[1][0];
    if (with && without) return refuse(error, "strips some contents and others not", NULL);
    if (!with && !without) return refuse(error, "never prints a message's content", NULL);
    out->trims = with > 0;
    return DLQAT_OK;
}

/* What ChatML and Llama-3 share: BOS at the start or not at all, no EOS, variables only those that are known. */
static dlqat_status check_atoms(dq_template *out, const dq_jinja *jinja, const char *const *variables,
                                dlqat_error *error) {
    out->no_system = true;
    for (size_t i = 0; i < jinja->sequence_count; i++) {
        const dq_sequence *sequence = &jinja->sequences[i];
        if (sequence->on_last && !out->thinks) return refuse(error, "treats the last message otherwise", NULL);
        for (size_t k = sequence->begin; k < sequence->end; k++) {
            const dq_atom *atom = &jinja->atoms[k];
            if (atom->kind == DQ_ATOM_ROLE || atom->kind == DQ_ATOM_SYSTEM) out->no_system = false;
            if (atom->kind == DQ_ATOM_EOS) return refuse(error, "writes", "eos_token");
            if (atom->kind == DQ_ATOM_BOS) {
                out->adds_bos = true;
                if (k > sequence->begin || (sequence->in_loop && !sequence->on_first) || sequence->on_prompt)
                    return refuse(error, "writes inside the conversation", "bos_token");
            }
            if (atom->kind != DQ_ATOM_VARIABLE || is_one_of(atom->text, variables)) continue;
            const dq_variable *variable = dq_jinja_variable(jinja, atom->text);
            if (!variable || !variable->composite || variable->other) return refuse(error, "prints", atom->text);
        }
    }
    return DLQAT_OK;
}

static const char *literal(const dq_jinja *jinja, size_t atom) {
    return jinja->atoms[atom].kind == DQ_ATOM_LITERAL ? jinja->atoms[atom].text : "";
}

/* Every literal must be one of the family's. Sets always_prompts where the generation prompt depends on nothing. */
static dlqat_status check_literals(dq_template *out, const dq_jinja *jinja, const char *const *known,
                                   const char *generation, const char *ending, dlqat_error *error) {
    bool prompts = false, ends = false;
    for (size_t i = 0; i < jinja->sequence_count; i++) {
        const dq_sequence *sequence = &jinja->sequences[i];
        for (size_t k = sequence->begin; k < sequence->end; k++) {
            const char *text = literal(jinja, k);
            if (jinja->atoms[k].kind != DQ_ATOM_LITERAL) continue;
            ends |= strcmp(text, ending) == 0;
            if (strcmp(text, generation) == 0 && sequence->end - sequence->begin == 1 && !sequence->in_loop) {
                prompts = true;
                out->always_prompts |= !sequence->on_prompt;
            } else if (!is_one_of(text, known))
                return refuse(error, "writes", text);
        }
    }
    if (!ends) return refuse(error, "does not end its turns with", ending);
    return prompts ? DLQAT_OK : refuse(error, "has no generation prompt", generation);
}

/* The text of the only literal that starts and ends so and is longer than both; taken out of the sequence, which is left
 * with the beginning. */
static dlqat_status take_default_system(dq_template *out, dq_jinja *jinja, const char *before, const char *behind,
                                        dlqat_error *error) {
    size_t head = strlen(before), tail = strlen(behind);
    for (size_t k = 0; k < jinja->atom_count; k++) {
        char *text = jinja->atoms[k].kind == DQ_ATOM_LITERAL ? jinja->atoms[k].text : NULL;
        size_t length = text ? strlen(text) : 0;
        if (length <= head + tail || strncmp(text, before, head) || strcmp(text + length - tail, behind)) continue;
        if (strstr(text + head, "<|") != text + length - tail) continue;
        if (out->default_system) return refuse(error, "has more than one default system message", NULL);
        DQ_TRY(put(&out->default_system, text + head, length - head - tail, error));
        for (size_t i = 0; i < jinja->sequence_count; i++)
            if (k >= jinja->sequences[i].begin && k < jinja->sequences[i].end && !jinja->sequences[i].in_branch)
                return refuse(error, "writes, whatever the messages are,", text);
        text[head] = '\0';
    }
    return DLQAT_OK;
}

static dlqat_status recognise_chatml(dq_template *out, dq_jinja *jinja, dlqat_error *error) {
    static const char *const plain[] = {"<|im_start|>",
                                        "\n",
                                        "<|im_end|>\n",
                                        "<|im_start|>system\n",
                                        "<|im_start|>user\n",
                                        "<|im_start|>assistant\n",
                                        NULL};
    static const char *const thinking[] = {"<|im_start|>",         "\n",          "<|im_end|>\n",
                                           "<|im_start|>system\n", "\n<think>\n", "\n</think>\n\n",
                                           "<|im_start|>user\n",   NULL};
    static const char *const none[] = {NULL}, *const reasoning[] = {"reasoning_content", NULL};
    static const char *const cuts[] = {"split", "strip", "lstrip", "rstrip", "startswith", "endswith", NULL};
    const dq_variable *query = dq_jinja_variable(jinja, "ns.last_query_index");
    out->thinks = query && dq_jinja_variable(jinja, "reasoning_content") && dq_jinja_calls(jinja, "split");
    DQ_TRY(check_calls(jinja, out->thinks ? cuts : none, error));
    DQ_TRY(take_default_system(out, jinja, "<|im_start|>system\n", "<|im_end|>\n", error));
    DQ_TRY(check_atoms(out, jinja, out->thinks ? reasoning : none, error));
    DQ_TRY(
        check_literals(out, jinja, out->thinks ? thinking : plain, "<|im_start|>assistant\n", "<|im_end|>\n", error));
    return find_trims(out, jinja, error);
}

/* Llama-3.1 and later: the system's turn is always there and starts with two dates, the second from a variable. */
static dlqat_status find_dates(dq_template *out, const dq_jinja *jinja, bool fixed_date, dlqat_error *error) {
    const dq_variable *date = dq_jinja_variable(jinja, "date_string");
    if (!date || !date->literal) return refuse(error, "writes a date that it does not hold", NULL);
    if (dq_jinja_calls(jinja, "strftime_now") && !fixed_date)
        return dq_fail(
            error, DLQAT_ERROR_UNSUPPORTED,
            "chat template: it writes today's date (strftime_now), so that data would change from day to day; "
            "--template llama3 takes the template's own fixed date, %s, instead",
            date->literal);
    char *head = out->system_head;
    out->system_head = NULL;
    size_t before = strlen(head), length = strlen(date->literal);
    char *whole = malloc(before + length + 3);
    if (whole) {
        memcpy(whole, head, before);
        memcpy(whole + before, date->literal, length);
        memcpy(whole + before + length, "\n\n", 3);
    }
    free(head);
    out->system_head = whole;
    return whole ? DLQAT_OK : no_memory(error);
}

static dlqat_status recognise_llama3(dq_template *out, dq_jinja *jinja, bool fixed_date, dlqat_error *error) {
    static const char *const known[] = {"<|start_header_id|>",
                                        "<|end_header_id|>\n\n",
                                        "<|eot_id|>",
                                        "<|start_header_id|>system<|end_header_id|>\n\n",
                                        "<|start_header_id|>user<|end_header_id|>\n\n",
                                        "<|start_header_id|>assistant<|end_header_id|>\n\n",
                                        NULL};
    static const char *const dated[] = {"date_string", NULL}, *const none[] = {NULL};
    static const char *const clock[] = {"strftime_now", NULL};
    static const char system_turn[] = "<|start_header_id|>system<|end_header_id|>\n\n";
    /* "...system...\n\n<dates>" DATE "\n\n" SYSTEM "<|eot_id|>" may be one sequence or, with statements between, several. */
    for (size_t i = 0; i < jinja->sequence_count; i++) {
        dq_sequence *sequence = &jinja->sequences[i];
        for (size_t k = sequence->begin; k + 1 < sequence->end; k++) {
            dq_atom *next = &jinja->atoms[k + 1];
            if (next->kind != DQ_ATOM_VARIABLE || strcmp(next->text, "date_string") || !*literal(jinja, k)) continue;
            char *text = jinja->atoms[k].text, *behind = k + 2 < sequence->end ? jinja->atoms[k + 2].text : NULL;
            const char *from = strncmp(text, system_turn, strlen(system_turn)) ? text : text + strlen(system_turn);
            if (out->system_head || strchr(from, '<') || !behind || strcmp(behind, "\n\n"))
                return refuse(error, "writes its dates in a form that is not known:", from);
            DQ_TRY(put(&out->system_head, from, strlen(from), error));
            text[from - text] = '\0';
            behind[0] = '\0';
        }
    }
    static const char *const with_dates[] = {"<|start_header_id|>",
                                             "<|end_header_id|>\n\n",
                                             "<|eot_id|>",
                                             "",
                                             "<|start_header_id|>system<|end_header_id|>\n\n",
                                             NULL};
    DQ_TRY(check_calls(jinja, out->system_head ? clock : none, error));
    DQ_TRY(check_atoms(out, jinja, out->system_head ? dated : none, error));
    DQ_TRY(check_literals(out, jinja, out->system_head ? with_dates : known,
                          "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", error));
    DQ_TRY(find_trims(out, jinja, error));
    return out->system_head ? find_dates(out, jinja, fixed_date, error) : DLQAT_OK;
}

/* ---- [INST]: Llama-2 and Mistral ---- */

static size_t find_atom(const dq_jinja *jinja, const dq_sequence *sequence, dq_atom_kind kind) {
    for (size_t k = sequence->begin; k < sequence->end; k++)
        if (jinja->atoms[k].kind == kind) return k;
    return SIZE_MAX;
}

/* [BOS] "..[INST].." CONTENT "..[/INST].." */
static dlqat_status read_user(dq_template *out, const dq_jinja *jinja, const dq_sequence *sequence,
                              dlqat_error *error) {
    dq_inst_form *form = &out->inst;
    size_t begin = sequence->begin, content = find_atom(jinja, sequence, DQ_ATOM_CONTENT);
    bool bos = jinja->atoms[begin].kind == DQ_ATOM_BOS;
    if (sequence->end - begin != (bos ? 4u : 3u) || content != begin + bos + 1)
        return refuse(error, "writes the user's turn in a form that is not known", NULL);
    const char *open = literal(jinja, content - 1), *close = literal(jinja, content + 1);
    if (!strstr(open, "[INST]") || !strstr(close, "[/INST]") ||
        (form->user_open && (strcmp(form->user_open, open) || strcmp(form->user_close, close))))
        return refuse(error, "writes the user's turn in a form that is not known:", open);
    form->bos_each_turn = bos;
    form->trims_user = jinja->atoms[content].trims;
    DQ_TRY(put(&form->user_open, open, strlen(open), error));
    return put(&form->user_close, close, strlen(close), error);
}

/* ["open"] CONTENT ["close"] EOS ["end"] */
static dlqat_status read_reply(dq_template *out, const dq_jinja *jinja, const dq_sequence *sequence,
                               dlqat_error *error) {
    dq_inst_form *form = &out->inst;
    size_t content = find_atom(jinja, sequence, DQ_ATOM_CONTENT), eos = find_atom(jinja, sequence, DQ_ATOM_EOS);
    if (content == SIZE_MAX || form->reply_open || content > sequence->begin + 1 || eos < content ||
        eos > content + 2 || sequence->end > eos + 2)
        return refuse(error, "writes the assistant's turn in a form that is not known", NULL);
    const char *open = content > sequence->begin ? literal(jinja, sequence->begin) : "";
    const char *close = eos > content + 1 ? literal(jinja, content + 1) : "";
    const char *end = sequence->end > eos + 1 ? literal(jinja, eos + 1) : "";
    if ((!*open && content > sequence->begin) || (!*close && eos > content + 1) || (!*end && sequence->end > eos + 1) ||
        strchr(open, '[') || strchr(close, '['))
        return refuse(error, "writes the assistant's turn in a form that is not known", NULL);
    form->trims_reply = jinja->atoms[content].trims;
    DQ_TRY(put(&form->reply_open, open, strlen(open), error));
    DQ_TRY(put(&form->reply_close, close, strlen(close), error));
    return put(&form->reply_end, end, strlen(end), error);
}

/* Mistral: "[INST].." SYSTEM "between" CONTENT "[/INST]"; Llama-2: "<<SYS>>.." SYSTEM "..<</SYS>>.." CONTENT. */
static dlqat_status read_system(dq_template *out, const dq_jinja *jinja, const dq_sequence *sequence, char **open,
                                char **close, dlqat_error *error) {
    dq_inst_form *form = &out->inst;
    size_t system = find_atom(jinja, sequence, DQ_ATOM_SYSTEM);
    if (form->system != DQ_SYSTEM_REFUSED || system != sequence->begin + 1 || sequence->end < system + 3 ||
        sequence->end > system + 4 || jinja->atoms[system + 2].kind != DQ_ATOM_CONTENT)
        return refuse(error, "writes the system's message in a form that is not known", NULL);
    const char *before = literal(jinja, sequence->begin), *between = literal(jinja, system + 1);
    form->system = sequence->on_last        ? DQ_SYSTEM_LAST_MESSAGE
                   : sequence->on_last_user ? DQ_SYSTEM_LAST_USER_TURN
                                            : DQ_SYSTEM_FIRST_TURN;
    form->trims_system = jinja->atoms[system].trims;
    DQ_TRY(put(open, before, strlen(before), error));
    DQ_TRY(put(&form->system_close, between, strlen(between), error));
    if (!sequence->assigned) {
        const char *last = sequence->end > system + 3 ? literal(jinja, system + 3) : "";
        return put(close, last, strlen(last), error);
    }
    if (!sequence->on_first || jinja->atoms[system + 2].trims || sequence->end > system + 3)
        return refuse(error, "writes the system's message in a form that is not known", NULL);
    return DLQAT_OK;
}

/* The order of system_open and user_open: Mistral's system sequence holds the user's opening itself. */
static dlqat_status settle_system(dq_template *out, char *open, char *close, dlqat_error *error) {
    dq_inst_form *form = &out->inst;
    if (form->system == DQ_SYSTEM_REFUSED) {
        DQ_TRY(put(&form->system_open, "", 0, error));
        return put(&form->system_close, "", 0, error);
    }
    if (!close) { /* Llama-2: assigned to the content, then printed as the user's */
        form->trims_turn = form->trims_user;
        return put(&form->system_open, open, strlen(open), error);
    }
    size_t used = strlen(form->user_open);
    if (strncmp(open, form->user_open, used) || strcmp(close, form->user_close))
        return refuse(error, "writes the system's message in a form that is not known:", open);
    return put(&form->system_open, open + used, strlen(open + used), error);
}

static dlqat_status recognise_inst(dq_template *out, const dq_jinja *jinja, dlqat_error *error) {
    static const char *const none[] = {NULL};
    char *open = NULL, *close = NULL;
    dlqat_status status = check_calls(jinja, none, error);
    for (size_t i = 0; i < jinja->sequence_count && status == DLQAT_OK; i++) {
        const dq_sequence *sequence = &jinja->sequences[i];
        size_t count = sequence->end - sequence->begin;
        if (count == 0) continue;
        const dq_atom *first = &jinja->atoms[sequence->begin];
        if (find_atom(jinja, sequence, DQ_ATOM_SYSTEM) != SIZE_MAX)
            status = read_system(out, jinja, sequence, &open, &close, error);
        else if (sequence->on_last || sequence->on_last_user || sequence->on_prompt)
            status = refuse(error, "treats the last message otherwise", NULL);
        else if (count == 1 && first->kind == DQ_ATOM_BOS && !sequence->in_loop)
            out->adds_bos = true;
        else if (find_atom(jinja, sequence, DQ_ATOM_EOS) != SIZE_MAX)
            status = read_reply(out, jinja, sequence, error);
        else if (strstr(literal(jinja, sequence->begin), "<<SYS>>"))
            continue; /* a system message behind the first, which the check of alternation refuses */
        else
            status = read_user(out, jinja, sequence, error);
    }
    dq_inst_form *form = &out->inst;
    if (status == DLQAT_OK && (!form->user_open || !form->reply_open))
        status = refuse(error, "lacks a turn of the user or of the assistant", NULL);
    for (size_t i = 0; i < jinja->variable_count && status == DLQAT_OK; i++)
        if (jinja->variables[i].system && jinja->variables[i].literal)
            status = refuse(error, "has a default system message", jinja->variables[i].literal);
    if (status == DLQAT_OK && out->adds_bos && form->bos_each_turn) status = refuse(error, "writes twice", "bos_token");
    if (status == DLQAT_OK) status = settle_system(out, open, close, error);
    out->adds_bos |= form->bos_each_turn;
    free(open);
    free(close);
    return status;
}

dlqat_status dq_template_recognise(dq_template *out, dq_jinja *jinja, bool fixed_date, dlqat_error *error) {
    if (out->kind == DQ_TEMPLATE_CHATML) return recognise_chatml(out, jinja, error);
    if (out->kind == DQ_TEMPLATE_LLAMA3) return recognise_llama3(out, jinja, fixed_date, error);
    return recognise_inst(out, jinja, error);
}

dlqat_status dq_template_plain(dq_template *out, dq_template_kind kind, dlqat_error *error) {
    out->kind = kind;
    out->adds_bos = out->trims = kind == DQ_TEMPLATE_LLAMA3;
    if (kind != DQ_TEMPLATE_LLAMA2 && kind != DQ_TEMPLATE_MISTRAL) return DLQAT_OK;
    bool llama2 = kind == DQ_TEMPLATE_LLAMA2;
    dq_inst_form *form = &out->inst;
    out->adds_bos = true;
    form->bos_each_turn = form->trims_user = form->trims_reply = form->trims_turn = llama2;
    form->system = DQ_SYSTEM_FIRST_TURN;
    char **const parts[] = {&form->user_open,  &form->user_close,  &form->system_open, &form->system_close,
                            &form->reply_open, &form->reply_close, &form->reply_end};
    static const char *const texts[2][7] = {{"[INST] ", " [/INST]", "", "\n\n", " ", "", ""},
                                            {"[INST] ", " [/INST]", "<<SYS>>\n", "\n<</SYS>>\n\n", " ", " ", ""}};
    for (size_t i = 0; i < 7; i++) DQ_TRY(put(parts[i], texts[llama2][i], strlen(texts[llama2][i]), error));
    return DLQAT_OK;
}
