/* Pre-tokenizers: from a normalized text to the words that the model merges within. */
#include "text/steps.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Pieces of one word in order, matches and the gaps between them. */
typedef struct span {
    size_t start, end;
    bool match;
} span;

typedef struct spans {
    span *at;
    size_t count, capacity;
} spans;

static dlqat_status add_span(spans *list, size_t start, size_t end, bool match, dlqat_error *error) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        span *larger = realloc(list->at, capacity * sizeof *larger);
        if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the words of a text");
        list->at = larger;
        list->capacity = capacity;
    }
    list->at[list->count++] = (span){start, end, match};
    return DLQAT_OK;
}

static dlqat_status find_spans(dq_scan *scan, const char *text, size_t length, bool invert, spans *list,
                               dlqat_error *error) {
    size_t done = 0;
    bool found = true;
    list->count = 0;
    dq_scan_text(scan, text, length);
    while (found) {
        size_t start, end;
        DQ_TRY(dq_scan_next(scan, &found, &start, &end, error));
        if (start > done) DQ_TRY(add_span(list, done, start, invert, error));
        if (found) DQ_TRY(add_span(list, start, end, !invert, error));
        done = end;
    }
    return DLQAT_OK;
}

/* Joins neighbours as the behaviour wants, in place; what is dropped becomes empty. */
static void join_spans(spans *list, dq_split_behaviour behaviour) {
    span *at = list->at;
    size_t kept = 0;
    switch (behaviour) {
    case DQ_SPLIT_ISOLATED:
        return;
    case DQ_SPLIT_REMOVED:
        for (size_t i = 0; i < list->count; i++)
            if (!at[i].match) at[kept++] = at[i];
        break;
    case DQ_SPLIT_CONTIGUOUS:
        for (size_t i = 0; i < list->count; i++) {
            if (kept && at[kept - 1].match == at[i].match)
                at[kept - 1].end = at[i].end;
            else
                at[kept++] = at[i];
        }
        break;
    case DQ_SPLIT_MERGED_WITH_PREVIOUS: { /* of several matches in a row the first alone is merged */
        bool previous = false;
        for (size_t i = 0; i < list->count; i++) {
            bool match = at[i].match;
            if (match && !previous && kept)
                at[kept - 1].end = at[i].end;
            else
                at[kept++] = at[i];
            previous = match;
        }
        break;
    }
    case DQ_SPLIT_MERGED_WITH_NEXT: { /* from behind: the last of several matches is merged */
        bool next = false;
        kept = list->count;
        for (size_t i = list->count; i-- > 0;) {
            bool match = at[i].match;
            if (match && !next && kept < list->count)
                at[kept].start = at[i].start;
            else
                at[--kept] = at[i];
            next = match;
        }
        memmove(at, at + kept, (list->count - kept) * sizeof *at);
        kept = list->count - kept;
        break;
    }
    }
    list->count = kept;
}

static void map_bytes(const char *text, size_t length, dq_buffer *out) {
    char mapped[4];
    for (size_t i = 0; i < length; i++)
        dq_buffer_put(out, mapped, dq_utf8_put(dq_byte_to_point((unsigned char)text[i]), mapped));
}

static void replace_spaces(const dq_step *step, const char *text, size_t length, bool first, dq_buffer *out) {
    bool starts =
        text[0] == ' ' || (length >= step->content_length && !memcmp(text, step->content, step->content_length));
    bool wanted = step->prepend == DQ_PREPEND_ALWAYS || (step->prepend == DQ_PREPEND_FIRST && first);
    if (wanted && !starts) dq_buffer_put(out, step->content, step->content_length);
    for (size_t i = 0; i < length;) {
        size_t plain = i;
        while (plain < length && text[plain] != ' ') plain++;
        dq_buffer_put(out, text + i, plain - i);
        if (plain < length) dq_buffer_put(out, step->content, step->content_length);
        i = plain + 1;
    }
}

/* What a step does to a text before it splits it; true when it wrote it anew. */
static bool rewrite(const dq_step *step, const char *text, size_t length, bool first, dq_buffer *out) {
    if (step->kind == DQ_STEP_METASPACE) {
        replace_spaces(step, text, length, first, out);
        return true;
    }
    if (step->kind != DQ_STEP_BYTE_LEVEL || !step->add_prefix_space || text[0] == ' ') return false;
    dq_buffer_put(out, " ", 1);
    dq_buffer_put(out, text, length);
    return true;
}

static dlqat_status emit(const dq_step *step, const char *text, size_t length, dq_pieces *out, dlqat_error *error) {
    if (!length) return DLQAT_OK;
    if (step->kind == DQ_STEP_BYTE_LEVEL)
        map_bytes(text, length, &out->text);
    else
        dq_buffer_put(&out->text, text, length);
    return dq_pieces_end(out, error);
}

static dlqat_status apply(const dq_step *step, const dq_pieces *in, bool first, dq_pieces *out, dlqat_error *error) {
    spans list = {0};
    dq_scan scan = {0};
    dq_buffer rewritten = {0};
    dlqat_status status = DLQAT_OK;
    bool splits = step->pattern && (step->kind != DQ_STEP_METASPACE || step->split);
    if (splits) DQ_TRY(dq_scan_open(&scan, step->pattern, error));
    size_t start = 0;
    for (size_t i = 0; i < in->count && status == DLQAT_OK; start = in->ends[i++]) {
        const char *text = in->text.data + start;
        size_t length = in->ends[i] - start;
        rewritten.size = 0;
        if (rewrite(step, text, length, first && i == 0, &rewritten)) {
            DQ_TRY_GOTO(status, dq_buffer_check(&rewritten, "the words of a text", error), done);
            text = rewritten.data;
            length = rewritten.size;
        }
        if (!splits) {
            status = emit(step, text, length, out, error);
            continue;
        }
        DQ_TRY_GOTO(status, find_spans(&scan, text, length, step->invert, &list, error), done);
        join_spans(&list, step->behaviour);
        for (size_t j = 0; j < list.count && status == DLQAT_OK; j++)
            status = emit(step, text + list.at[j].start, list.at[j].end - list.at[j].start, out, error);
    }
    if (status == DLQAT_OK) status = dq_buffer_check(&out->text, "the words of a text", error);
done:
    dq_scan_close(&scan);
    dq_buffer_free(&rewritten);
    free(list.at);
    return status;
}

dlqat_status dq_pretokenize(const dq_steps *steps, const char *text, size_t length, bool first, dq_pieces *words,
                            dlqat_error *error) {
    dq_pieces_clear(words);
    if (!length) return DLQAT_OK;
    dq_pieces next = {0};
    dq_buffer_put(&words->text, text, length);
    dlqat_status status = dq_buffer_check(&words->text, "the words of a text", error);
    if (status == DLQAT_OK) status = dq_pieces_end(words, error);
    for (size_t i = 0; i < steps->count && status == DLQAT_OK; i++) {
        dq_pieces_clear(&next);
        status = apply(&steps->at[i], words, first, &next, error);
        dq_pieces swap = *words;
        *words = next;
        next = swap;
    }
    dq_pieces_free(&next);
    return status;
}
