#include "text/template.h"

#include <string.h>

typedef struct renderer {
    const dq_template *template;
    const char *bos, *eos;
    const dq_message *messages;
    size_t count;
    dq_buffer *text;
    size_t origin; /* size of text before rendering */
    dq_segment *segments;
    size_t segment_count, room;
} renderer;

/* ---- White space, as Python's str.strip() sees it ---- */

/* Bytes of the white space character at text, or 0. */
static size_t space_bytes(const unsigned char *text, size_t length) {
    if (length && ((text[0] >= 0x09 && text[0] <= 0x0d) || (text[0] >= 0x1c && text[0] <= 0x20))) return 1;
    if (length >= 2 && text[0] == 0xc2 && (text[1] == 0x85 || text[1] == 0xa0)) return 2;
    if (length < 3) return 0;
    unsigned code = (text[0] & 15u) << 12 | (text[1] & 63u) << 6 | (text[2] & 63u);
    if ((text[0] & 0xf0) != 0xe0) return 0;
    return code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
                   code == 0x205f || code == 0x3000
               ? 3
               : 0;
}

typedef struct span {
    const char *text;
    size_t length;
} span;

static span strip(span s) {
    const unsigned char *text = (const unsigned char *)s.text;
    size_t begin = 0, end = s.length, bytes;
    while (begin < end && (bytes = space_bytes(text + begin, end - begin))) begin += bytes;
    for (;;) { /* a white space character of n bytes ends at end; no shorter one can end a longer one */
        size_t n = 1;
        while (n <= 3 && n <= end - begin && space_bytes(text + end - n, n) != n) n++;
        if (n > 3 || n > end - begin) break;
        end -= n;
    }
    return (span){s.text + begin, end - begin};
}

static span content_of(const dq_message *message, bool trims) {
    span whole = {message->content, strlen(message->content)};
    return trims ? strip(whole) : whole;
}

static bool is_role(const dq_message *message, const char *role) {
    return strcmp(message->role, role) == 0;
}

/* ---- Pieces ---- */

/* Everything put since the last border becomes a segment; neighbours alike are one. */
static void border(renderer *r, bool learned) {
    if (!r->segments) return;
    size_t begin = r->segment_count ? r->segments[r->segment_count - 1].end : r->origin, end = r->text->size;
    if (begin == end || r->text->failed) return;
    if (r->segment_count && r->segments[r->segment_count - 1].learned == learned)
        r->segments[r->segment_count - 1].end = end;
    else if (r->segment_count < r->room)
        r->segments[r->segment_count++] = (dq_segment){begin, end, learned};
}

static void put(renderer *r, const char *text) {
    if (text) dq_buffer_puts(r->text, text);
}
static void put_span(renderer *r, span s) {
    dq_buffer_put(r->text, s.text, s.length);
}

static dlqat_status wrong_roles(const renderer *r, const char *expected, dlqat_error *error) {
    return dq_fail(error, DLQAT_ERROR_INPUT, "the %s template (%s) takes %s", dq_template_name(r->template->kind),
                   r->template->source, expected);
}

/* ---- ChatML and Llama-3 ---- */

static bool contains(span s, const char *word) {
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= s.length; i++)
        if (memcmp(s.text + i, word, length) == 0) return true;
    return false;
}

static span strip_lines(span s, bool left, bool right) {
    while (left && s.length && s.text[0] == '\n') s = (span){s.text + 1, s.length - 1};
    while (right && s.length && s.text[s.length - 1] == '\n') s.length--;
    return s;
}

/* Cuts s at the first (or, last: the last) word; false without one. */
static bool cut(span s, const char *word, bool last, span *before, span *behind) {
    size_t length = strlen(word), at = SIZE_MAX;
    for (size_t i = 0; i + length <= s.length && (last || at == SIZE_MAX); i++)
        if (memcmp(s.text + i, word, length) == 0) {
            at = i;
            if (last) i += length - 1;
        }
    *before = *behind = s;
    if (at == SIZE_MAX) return false;
    before->length = at;
    *behind = (span){s.text + at + length, s.length - at - length};
    return true;
}

/* Qwen3: the answers behind the last question keep their thoughts, the very last has one in any case, if empty. */
static void put_answer(renderer *r, size_t i, size_t last_query) {
    span content = content_of(&r->messages[i], false), thought = {"", 0}, ignored;
    if (contains(content, "</think>")) {
        span whole = content;
        cut(whole, "</think>", false, &thought, &ignored);
        cut(whole, "</think>", true, &ignored, &content);
        content = strip_lines(content, true, false);
        thought = strip_lines(thought, false, true);
        cut(thought, "<think>", true, &ignored, &thought);
        thought = strip_lines(thought, true, false);
    }
    if (i > last_query && (i + 1 == r->count || thought.length)) {
        put(r, "<think>\n");
        put_span(r, strip_lines(thought, true, true));
        put(r, "\n</think>\n\n");
        content = strip_lines(content, true, false);
    }
    put_span(r, content);
}

/* The last question: the last message of the user that is not the answer of a tool. */
static size_t last_query(const renderer *r) {
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    for (size_t i = r->count; i-- > 0;) {
        const char *content = r->messages[i].content;
        size_t length = strlen(content);
        bool tool = strncmp(content, open, strlen(open)) == 0 && length >= strlen(close) &&
                    strcmp(content + length - strlen(close), close) == 0;
        if (is_role(&r->messages[i], "user") && !tool) return i;
    }
    return r->count - 1;
}

static dlqat_status render_turns(renderer *r, bool generation_prompt, dlqat_error *error) {
    const dq_template *t = r->template;
    bool chatml = t->kind == DQ_TEMPLATE_CHATML, has_system = r->count && is_role(&r->messages[0], "system");
    const char *open = chatml ? "<|im_start|>" : "<|start_header_id|>";
    const char *head = chatml ? "\n" : "<|end_header_id|>\n\n", *end = chatml ? "<|im_end|>" : "<|eot_id|>";
    size_t first = 0, query = t->thinks && r->count ? last_query(r) : 0;
    if (t->adds_bos) put(r, r->bos);
    if (t->system_head) {
        put(r, "<|start_header_id|>system<|end_header_id|>\n\n");
        put(r, t->system_head);
        if (has_system) put_span(r, content_of(&r->messages[0], t->trims));
        put(r, end);
        first = has_system;
    } else if (t->default_system && !has_system) {
        dq_buffer_format(r->text, "%ssystem%s%s%s", open, head, t->default_system, end);
        if (chatml) put(r, "\n");
    }
    for (size_t i = first; i < r->count; i++) {
        const dq_message *message = &r->messages[i];
        if (t->no_system && is_role(message, "system"))
            return wrong_roles(r, "messages of the roles user and assistant only", error);
        bool assistant = is_role(message, "assistant");
        put(r, open);
        put(r, message->role);
        put(r, head);
        border(r, false);
        if (assistant && t->thinks)
            put_answer(r, i, query);
        else
            put_span(r, content_of(message, t->trims));
        put(r, end);
        border(r, assistant);
        if (chatml) put(r, "\n");
    }
    if (generation_prompt || t->always_prompts) {
        put(r, open);
        put(r, "assistant");
        put(r, head);
    }
    border(r, false);
    return DLQAT_OK;
}

/* ---- [INST] ---- */

static bool carries_system(const renderer *r, size_t i, size_t first, size_t last_user) {
    switch (r->template->inst.system) {
    case DQ_SYSTEM_FIRST_TURN:
        return i == first;
    case DQ_SYSTEM_LAST_MESSAGE:
        return i + 1 == r->count;
    case DQ_SYSTEM_LAST_USER_TURN:
        return strcmp(r->messages[i].content, r->messages[last_user].content) == 0;
    default:
        return false;
    }
}

static dlqat_status render_inst(renderer *r, dlqat_error *error) {
    const dq_inst_form *form = &r->template->inst;
    size_t first = r->count && is_role(&r->messages[0], "system"), last_user = first;
    if (first && form->system == DQ_SYSTEM_REFUSED) return wrong_roles(r, "no system message", error);
    for (size_t i = first; i < r->count; i++) {
        if (!is_role(&r->messages[i], (i - first) % 2 ? "assistant" : "user"))
            return wrong_roles(r, "user and assistant in turn, after at most one system message", error);
        if ((i - first) % 2 == 0) last_user = i;
    }
    if (!form->bos_each_turn) put(r, r->bos);
    for (size_t i = first; i < r->count; i++) {
        const dq_message *message = &r->messages[i];
        if ((i - first) % 2) {
            put(r, form->reply_open);
            put_span(r, content_of(message, form->trims_reply));
            put(r, form->reply_close);
            put(r, r->eos);
            border(r, true);
            put(r, form->reply_end);
            border(r, false);
            continue;
        }
        if (form->bos_each_turn) put(r, r->bos);
        put(r, form->user_open);
        bool system = first && carries_system(r, i, first, last_user);
        span content = content_of(message, form->trims_user && !system);
        if (system) {
            put(r, form->system_open);
            put_span(r, content_of(&r->messages[0], form->trims_system));
            put(r, form->system_close);
            /* Stripped as a whole, of which only the content's end can be white space. */
            if (form->trims_turn) {
                span stripped = strip(content);
                content.length = stripped.length ? (size_t)(stripped.text - content.text) + stripped.length : 0;
                if (!content.length) {
                    while (r->text->size > r->origin && r->text->data[r->text->size - 1] == '\n') r->text->size--;
                }
            } else if (form->trims_user)
                content = strip(content);
        }
        put_span(r, content);
        put(r, form->user_close);
        border(r, false);
    }
    border(r, false);
    return DLQAT_OK;
}

/* ---- Alpaca ---- */

static const char with_input[] =
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.";
static const char without_input[] =
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.";

void dq_template_alpaca_prompt(const char *instruction, const char *input, dq_buffer *text) {
    bool has_input = input && *input;
    dq_buffer_puts(text, has_input ? with_input : without_input);
    dq_buffer_puts(text, "\n\n### Instruction:\n");
    dq_buffer_puts(text, instruction);
    if (has_input) {
        dq_buffer_puts(text, "\n\n### Input:\n");
        dq_buffer_puts(text, input);
    }
    dq_buffer_puts(text, "\n\n### Response:");
}

static dlqat_status render_alpaca(renderer *r, dlqat_error *error) {
    size_t user = r->count && is_role(&r->messages[0], "system");
    bool fits = r->count > user && r->count <= user + 2 && is_role(&r->messages[user], "user") &&
                (r->count == user + 1 || is_role(&r->messages[user + 1], "assistant"));
    if (!fits)
        return wrong_roles(r, "one message of the user and at most one answer, after at most one system message",
                           error);
    if (user) {
        put(r, r->messages[0].content);
        put(r, "\n\n### Instruction:\n");
        put(r, r->messages[user].content);
        put(r, "\n\n### Response:");
    } else
        dq_template_alpaca_prompt(r->messages[user].content, "", r->text);
    border(r, false);
    if (r->count == user + 2) {
        put(r, r->messages[user + 1].content);
        put(r, r->eos);
        border(r, true);
    }
    return DLQAT_OK;
}

dlqat_status dq_template_render_with(const dq_template *template, const char *bos, const char *eos,
                                     const dq_message *messages, size_t count, bool generation_prompt, dq_buffer *text,
                                     dq_segment *segments, size_t *segment_count, dlqat_error *error) {
    renderer r = {.template = template,
                  .bos = bos,
                  .eos = eos,
                  .messages = messages,
                  .count = count,
                  .text = text,
                  .origin = text->size,
                  .segments = segments,
                  .room = segments ? *segment_count : 0};
    for (size_t i = 0; i < count; i++)
        if (!is_role(&messages[i], "system") && !is_role(&messages[i], "user") && !is_role(&messages[i], "assistant"))
            return dq_fail(error, DLQAT_ERROR_INPUT,
                           "message %zu has the role \"%.40s\", expected system, user or assistant", i + 1,
                           messages[i].role);
    dlqat_status status;
    if (template->kind == DQ_TEMPLATE_ALPACA)
        status = render_alpaca(&r, error);
    else if (template->kind == DQ_TEMPLATE_LLAMA2 || template->kind == DQ_TEMPLATE_MISTRAL)
        status = render_inst(&r, error);
    else
        status = render_turns(&r, generation_prompt, error);
    if (segments) *segment_count = r.segment_count;
    if (status != DLQAT_OK) return status;
    return dq_buffer_check(text, "a conversation", error);
}

dlqat_status dq_template_render(const dq_template *template, const dq_tokenizer *tokenizer, const dq_message *messages,
                                size_t count, bool generation_prompt, dq_buffer *text, dq_segment *segments,
                                size_t *segment_count, dlqat_error *error) {
    size_t length;
    const char *bos = dq_tokenizer_token(tokenizer, dq_tokenizer_bos(tokenizer), &length);
    const char *eos = dq_tokenizer_token(tokenizer, dq_tokenizer_eos(tokenizer), &length);
    return dq_template_render_with(template, bos, eos, messages, count, generation_prompt, text, segments,
                                   segment_count, error);
}
