/* The proof that a family's form is the template's own: both are tried on conversations and must write the same. */
#include "text/template_form.h"

#include <string.h>

#define WHITE "\t\n \xe3\x80\x80"
enum { MOST = 6 };

typedef struct conversation {
    const char *roles; /* a letter each: system, user, assistant */
    const char *contents[MOST];
} conversation;

/* Every order of roles that a template may treat in its own way, white space at both ends, equal questions, thoughts. */
static const conversation conversations[] = {
    {"u", {"Question?"}},
    {"u", {" \t q \xc2\xa0"}},
    {"ua", {"Question?", "Answer."}},
    {"su", {"Rules.", "Question?"}},
    {"sua", {" s" WHITE " ", " u" WHITE " ", " a" WHITE " "}},
    {"uau", {"One?", "1", "Two?"}},
    {"uaua", {"One?", "1", "Two?", "2"}},
    {"suau", {"Rules.", "One?", "1", "Two?"}},
    {"suaua", {"Rules.", "One?", "1", "Two?", "2"}},
    {"suauau", {"Rules.", "Same?", "1", "Same?", "2", "Same?"}},
    {"suauau", {"Rules.", "Same?", "1", "Other?", "2", "Same?"}},
    {"uu", {"One?", "Two?"}},
    {"au", {"Hello!", "Who?"}},
    {"usa", {"Who?", "Rules.", "Me."}},
    {"ssu", {"Rules.", "More.", "Who?"}},
    {"uaa", {"Who?", "Me.", "And me."}},
    {"s", {"Rules."}},
    {"a", {"Hello!"}},
    {"ua", {"", ""}},
    {"sua", {"Rules.", " ", ""}},
    {"uaua", {"Q?", "<think>\nOne.\n</think>\n\nA.", "R?", "<think>\n\nTwo.</think>\n\nB.\n"}},
    {"uau", {"Q?", "\n\nNone.\n</think>A</think>\nB", "<tool_response>x</tool_response>"}},
    {"uaua", {"Q?", "<think>x<think>\ny</think>A", "<tool_response>x</tool_response>", "\n\nB\n"}},
    {"uau", {"Q?", "\n <think> \n</think> \n", "<tool_response>x"}},
};

static size_t front_space(const char *text, size_t length) { /* of what the conversations hold */
    size_t n = 0;
    for (;;)
        if (n + 3 <= length && strncmp(text + n, "\xe3\x80\x80", 3) == 0)
            n += 3;
        else if (n + 2 <= length && strncmp(text + n, "\xc2\xa0", 2) == 0)
            n += 2;
        else if (n < length && strchr(" \t\n", text[n]) && text[n])
            n++;
        else
            return n;
}

/* Strips the text from byte `from` on. */
static void strip_end(dq_buffer *text, size_t from) {
    size_t length = text->size - from, front = front_space(text->data + from, length), keep = front;
    for (;;) { /* to the first character behind which, itself included, there is white space alone */
        const char *rest = text->data + from + keep;
        bool starts = keep == length || ((unsigned char)*rest & 0xc0) != 0x80;
        if (starts && front_space(rest, length - keep) == length - keep) break;
        keep++;
    }
    memmove(text->data + from, text->data + from + front, keep - front);
    text->size = from + keep - front;
}

/* What the template prints, written out. */
static void write_out(const dq_jinja *jinja, dq_buffer *text) {
    size_t whole = 0;
    for (size_t i = 0; i < jinja->sequence_count; i++) {
        const dq_sequence *sequence = &jinja->sequences[i];
        for (size_t k = sequence->begin; k < sequence->end && !sequence->assigned; k++) {
            const dq_atom *atom = &jinja->atoms[k];
            size_t begin = text->size;
            if (atom->opens_strip) whole = begin;
            dq_buffer_puts(text, atom->kind == DQ_ATOM_LITERAL ? atom->text
                                 : atom->kind == DQ_ATOM_BOS   ? "<bos>"
                                 : atom->kind == DQ_ATOM_EOS   ? "<eos>"
                                 : atom->kind == DQ_ATOM_ROLE  ? jinja->trial->roles[atom->index]
                                                               : jinja->trial->contents[atom->index]);
            if (atom->trims && !text->failed) strip_end(text, begin);
            if (atom->closes_strip && !text->failed) strip_end(text, whole);
        }
    }
}

static dlqat_status try_one(const dq_template *template, const char *jinja_text, const dq_trial *trial,
                            dlqat_error *error) {
    dq_jinja jinja;
    dq_message messages[MOST];
    dq_buffer own = {0}, native = {0};
    for (size_t i = 0; i < trial->count; i++) messages[i] = (dq_message){trial->roles[i], trial->contents[i]};
    DQ_TRY(dq_jinja_read(&jinja, jinja_text, trial, error));
    write_out(&jinja, &own);
    dlqat_status rendered = dq_template_render_with(template, "<bos>", "<eos>", messages, trial->count, trial->prompt,
                                                    &native, NULL, NULL, NULL);
    dlqat_status status = dq_buffer_check(&own, "a conversation", error);
    if (rendered == DLQAT_ERROR_MEMORY) status = dq_fail(error, rendered, "no memory for a conversation");
    bool refused = rendered != DLQAT_OK; /* more than the template refuses is allowed, but never less */
    bool same = own.size == native.size && (!own.size || memcmp(own.data, native.data, own.size) == 0);
    if (status == DLQAT_OK && !refused && (jinja.raised || !same))
        status = dq_fail(
            error, DLQAT_ERROR_UNSUPPORTED,
            "chat template: for %zu messages, the last of the role %s, it writes something else than the %s "
            "form",
            trial->count, trial->count ? trial->roles[trial->count - 1] : "none", dq_template_name(template->kind));
    dq_buffer_free(&own);
    dq_buffer_free(&native);
    dq_jinja_free(&jinja);
    return status;
}

dlqat_status dq_template_try(const dq_template *template, const char *jinja, dlqat_error *error) {
    for (size_t i = 0; i < sizeof conversations / sizeof *conversations; i++)
        for (int prompt = 0; prompt < 2; prompt++) {
            const char *roles[MOST];
            size_t count = strlen(conversations[i].roles);
            for (size_t k = 0; k < count; k++) {
                char letter = conversations[i].roles[k];
                roles[k] = letter == 's' ? "system" : letter == 'u' ? "user" : "assistant";
            }
            const dq_trial trial = {roles, conversations[i].contents, count, prompt};
            DQ_TRY(try_one(template, jinja, &trial, error));
        }
    return DLQAT_OK;
}
