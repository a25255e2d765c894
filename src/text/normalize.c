#include "text/steps.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef struct points {
    utf8proc_int32_t *at;
    size_t count, capacity;
} points;

static bool make_room(points *list, size_t more) {
    if (list->capacity - list->count >= more) return true;
    size_t capacity = list->capacity ? list->capacity : 256;
    while (capacity - list->count < more) capacity *= 2;
    utf8proc_int32_t *larger = realloc(list->at, capacity * sizeof *larger);
    if (!larger) return false;
    list->at = larger;
    list->capacity = capacity;
    return true;
}

static bool decompose(const char *text, size_t length, utf8proc_option_t options, points *list) {
    enum { LONGEST = 32 }; /* U+FDFA gives 18 */
    for (size_t i = 0; i < length;) {
        uint32_t point;
        size_t size = dq_utf8_next(text + i, length - i, &point);
        if (!size || !make_room(list, LONGEST)) return false;
        int boundary = 0;
        utf8proc_ssize_t parts =
            utf8proc_decompose_char((utf8proc_int32_t)point, list->at + list->count, LONGEST, options, &boundary);
        if (parts < 0 || parts > LONGEST) return false;
        list->count += (size_t)parts;
        i += size;
    }
    return true;
}

static int combining_class(utf8proc_int32_t point) {
    return point < 0x300 ? 0 : utf8proc_get_property(point)->combining_class;
}

/* Canonical order: each run of marks sorted by class, stably. utf8proc's own sort is quadratic in the length of a run;
 * this one counts classes. spare: as long as list. */
static void sort_marks(points *list, utf8proc_int32_t *spare) {
    for (size_t start = 0; start < list->count;) {
        if (!combining_class(list->at[start])) {
            start++;
            continue;
        }
        size_t end = start, places[256] = {0};
        while (end < list->count && combining_class(list->at[end])) places[combining_class(list->at[end++])]++;
        if (end - start > 1) {
            size_t next = 0;
            for (int c = 0; c < 256; c++) {
                size_t members = places[c];
                places[c] = next;
                next += members;
            }
            for (size_t i = start; i < end; i++) spare[places[combining_class(list->at[i])]++] = list->at[i];
            memcpy(list->at + start, spare, (end - start) * sizeof *spare);
        }
        start = end;
    }
}

static dlqat_status unicode_form(dq_unicode_form form, const char *text, size_t length, dq_buffer *out,
                                 dlqat_error *error) {
    size_t ascii = 0;
    while (ascii < length && (unsigned char)text[ascii] < 0x80) ascii++;
    if (ascii == length) { /* in every form already */
        dq_buffer_put(out, text, length);
        return DLQAT_OK;
    }
    bool compose = form == DQ_NFC || form == DQ_NFKC, compatible = form == DQ_NFKC || form == DQ_NFKD;
    points list = {0};
    utf8proc_int32_t *spare = NULL;
    bool done =
        decompose(text, length, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0), &list);
    if (done) done = (spare = malloc(list.count * sizeof *spare)) != NULL;
    if (done) {
        sort_marks(&list, spare);
        utf8proc_ssize_t count = (utf8proc_ssize_t)list.count;
        if (compose) count = utf8proc_normalize_utf32(list.at, count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        done = count >= 0;
        char bytes[4];
        for (utf8proc_ssize_t i = 0; i < count; i++)
            dq_buffer_put(out, bytes, dq_utf8_put((uint32_t)list.at[i], bytes));
    }
    free(spare);
    free(list.at);
    return done ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the Unicode normalization of a text");
}

static dlqat_status apply(const dq_step *step, const char *text, size_t length, dq_buffer *out, dlqat_error *error) {
    switch (step->kind) {
    case DQ_STEP_UNICODE_FORM:
        return unicode_form(step->form, text, length, out, error);
    case DQ_STEP_PREPEND:
        if (length) dq_buffer_put(out, step->content, step->content_length);
        dq_buffer_put(out, text, length);
        return DLQAT_OK;
    default:
        return dq_pattern_replace(step->pattern, text, length, step->content, step->content_length, out, error);
    }
}

dlqat_status dq_normalize(const dq_steps *steps, const char *text, size_t length, dq_buffer *out, dlqat_error *error) {
    dq_buffer from = {0}, to = {0};
    dlqat_status status = DLQAT_OK;
    for (size_t i = 0; i < steps->count && status == DLQAT_OK; i++) {
        to.size = 0;
        status = apply(&steps->at[i], i ? from.data : text, i ? from.size : length, &to, error);
        dq_buffer_put(&to, "", 0);
        if (status == DLQAT_OK) status = dq_buffer_check(&to, "normalized text", error);
        dq_buffer swap = from;
        from = to;
        to = swap;
    }
    if (status == DLQAT_OK) {
        dq_buffer_put(out, steps->count ? from.data : text, steps->count ? from.size : length);
        status = dq_buffer_check(out, "normalized text", error);
    }
    dq_buffer_free(&from);
    dq_buffer_free(&to);
    return status;
}
