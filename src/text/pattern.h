/* The regular expressions of tokenizer files. They are written for Oniguruma (Hugging Face) and run here by PCRE2;
 * where the two read the same text differently it is rewritten, and what has no counterpart is refused. */
#ifndef DQ_TEXT_PATTERN_H
#define DQ_TEXT_PATTERN_H

#include "base/buffer.h"

typedef struct dq_pattern dq_pattern;

/* literal: source is a string to be found, no expression. where: the file, for messages. */
dlqat_status dq_pattern_compile(dq_pattern **pattern, const char *source, size_t length, bool literal,
                                const char *where, dlqat_error *error);
void dq_pattern_free(dq_pattern *pattern);

/* What pattern_translate.c does: appends PCRE2's spelling of an Oniguruma expression. */
dlqat_status dq_pattern_translate(dq_buffer *out, const char *source, size_t length, const char *where,
                                  dlqat_error *error);

/* A walk over the matches in one text after the other. A text must be well-formed UTF-8; what lies around it is not
 * seen by the pattern. */
typedef struct dq_scan {
    const dq_pattern *pattern;
    const char *text;
    size_t length, position;
    void *match_data, *context; /* PCRE2's; NULL for a literal */
} dq_scan;

dlqat_status dq_scan_open(dq_scan *scan, const dq_pattern *pattern, dlqat_error *error);
void dq_scan_text(dq_scan *scan, const char *text, size_t length);
/* *found false: no further match, and *start and *end are the length. */
dlqat_status dq_scan_next(dq_scan *scan, bool *found, size_t *start, size_t *end, dlqat_error *error);
void dq_scan_close(dq_scan *scan);

/* Appends text with every match replaced by content. */
dlqat_status dq_pattern_replace(const dq_pattern *pattern, const char *text, size_t length, const char *content,
                                size_t content_length, dq_buffer *out, dlqat_error *error);

#endif
