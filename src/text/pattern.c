#include "text/pattern.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct dq_pattern {
    pcre2_code *code; /* NULL for a literal */
    char *literal;
    size_t length;
};

static dlqat_status compile_code(dq_pattern *pattern, const char *source, size_t length, const char *where,
                                 dlqat_error *error) {
    dq_buffer translated = {0};
    pcre2_compile_context *context = NULL;
    dlqat_status status = dq_pattern_translate(&translated, source, length, where, error);
    if (status != DLQAT_OK) goto done;
    context = pcre2_compile_context_create(NULL);
    if (!context) {
        status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a regular expression", where);
        goto done;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code;
    PCRE2_SIZE place;
    /* Oniguruma's ^ and $ always mean lines. */
    pattern->code = pcre2_compile((PCRE2_SPTR)translated.data, translated.size, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE,
                                  &code, &place, context);
    if (!pattern->code) {
        char reason[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: the regular expression \"%.*s\" cannot be compiled: %s", where,
                         length < 300 ? (int)length : 300, source, reason);
        goto done;
    }
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE); /* where there is no JIT the interpreter runs it */
done:
    pcre2_compile_context_free(context);
    dq_buffer_free(&translated);
    return status;
}

dlqat_status dq_pattern_compile(dq_pattern **out, const char *source, size_t length, bool literal, const char *where,
                                dlqat_error *error) {
    *out = NULL;
    dq_pattern *pattern = calloc(1, sizeof *pattern);
    if (!pattern) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a pattern", where);
    dlqat_status status = DLQAT_OK;
    if (!literal)
        status = compile_code(pattern, source, length, where, error);
    else if (!length)
        status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: an empty string cannot be searched for", where);
    else {
        pattern->literal = malloc(length);
        pattern->length = length;
        if (pattern->literal)
            memcpy(pattern->literal, source, length);
        else
            status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a pattern", where);
    }
    if (status == DLQAT_OK)
        *out = pattern;
    else
        dq_pattern_free(pattern);
    return status;
}

void dq_pattern_free(dq_pattern *pattern) {
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    free(pattern->literal);
    free(pattern);
}

dlqat_status dq_scan_open(dq_scan *scan, const dq_pattern *pattern, dlqat_error *error) {
    memset(scan, 0, sizeof *scan);
    scan->pattern = pattern;
    if (!pattern->code) return DLQAT_OK;
    scan->match_data = pcre2_match_data_create(1, NULL);
    scan->context = pcre2_match_context_create(NULL);
    if (scan->match_data && scan->context) return DLQAT_OK;
    dq_scan_close(scan);
    return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to run a regular expression");
}

void dq_scan_text(dq_scan *scan, const char *text, size_t length) {
    scan->text = text;
    scan->length = length;
    scan->position = 0;
    if (!scan->context) return;
    /* A run of a million spaces costs about as many steps; what needs thousands a byte is an attack. */
    const size_t most = 1000 * 1000 * 1000, start = 1000 * 1000, per_byte = 5000;
    pcre2_set_match_limit(scan->context,
                          (uint32_t)(length < (most - start) / per_byte ? start + per_byte * length : most));
}

static bool next_literal(dq_scan *scan, size_t *start) {
    const dq_pattern *pattern = scan->pattern;
    size_t i = scan->position;
    while (scan->length - i >= pattern->length) {
        const char *first = memchr(scan->text + i, pattern->literal[0], scan->length - i - pattern->length + 1);
        if (!first) return false;
        i = (size_t)(first - scan->text);
        if (!memcmp(first, pattern->literal, pattern->length)) {
            *start = i;
            return true;
        }
        i++;
    }
    return false;
}

static dlqat_status next_code(dq_scan *scan, bool *found, size_t *start, size_t *end, dlqat_error *error) {
    const dq_pattern *pattern = scan->pattern;
    PCRE2_SPTR text = (PCRE2_SPTR)scan->text;
    int result = pcre2_match(pattern->code, text, scan->length, scan->position, PCRE2_NO_UTF_CHECK, scan->match_data,
                             scan->context);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its stack on the heap */
        result = pcre2_match(pattern->code, text, scan->length, scan->position, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                             scan->match_data, scan->context);
    if (result == PCRE2_ERROR_NOMATCH) {
        *found = false;
        return DLQAT_OK;
    }
    if (result < 0) {
        char reason[160];
        pcre2_get_error_message(result, (PCRE2_UCHAR *)reason, sizeof reason);
        return dq_fail(error, DLQAT_ERROR_INPUT, "the tokenizer's regular expression fails on this text: %s", reason);
    }
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(scan->match_data);
    *found = true;
    *start = bounds[0];
    *end = bounds[1];
    return DLQAT_OK;
}

dlqat_status dq_scan_next(dq_scan *scan, bool *found, size_t *start, size_t *end, dlqat_error *error) {
    *found = false;
    if (scan->position <= scan->length) {
        if (scan->pattern->code)
            DQ_TRY(next_code(scan, found, start, end, error));
        else {
            *found = next_literal(scan, start);
            *end = *start + scan->pattern->length;
        }
    }
    if (!*found) {
        *start = *end = scan->length;
        return DLQAT_OK;
    }
    scan->position = *end;
    if (*start == *end) { /* step over one character, past the end if there is none */
        size_t size = dq_utf8_next(scan->text + *end, scan->length - *end, NULL);
        scan->position += size ? size : 1;
    }
    return DLQAT_OK;
}

void dq_scan_close(dq_scan *scan) {
    pcre2_match_data_free(scan->match_data);
    pcre2_match_context_free(scan->context);
    scan->match_data = scan->context = NULL;
}

dlqat_status dq_pattern_replace(const dq_pattern *pattern, const char *text, size_t length, const char *content,
                                size_t content_length, dq_buffer *out, dlqat_error *error) {
    dq_scan scan;
    DQ_TRY(dq_scan_open(&scan, pattern, error));
    dq_scan_text(&scan, text, length);
    size_t done = 0;
    dlqat_status status;
    for (;;) {
        bool found;
        size_t start, end;
        status = dq_scan_next(&scan, &found, &start, &end, error);
        if (status != DLQAT_OK) break;
        dq_buffer_put(out, text + done, start - done);
        if (!found) break;
        dq_buffer_put(out, content, content_length);
        done = end;
    }
    dq_scan_close(&scan);
    return status == DLQAT_OK ? dq_buffer_check(out, "normalized text", error) : status;
}
