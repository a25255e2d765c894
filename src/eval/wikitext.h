/* Documents and words as lm-evaluation-harness's wikitext task sees them. */
#ifndef DQ_EVAL_WIKITEXT_H
#define DQ_EVAL_WIKITEXT_H

#include "base/buffer.h"

#include <stdint.h>

/* The next document of text: from a heading of the first level (" = Title = ") to the end of the line before the next such
 * heading. *at: where to look, 0 at first. Blank documents are passed over; false at the end. */
bool dq_wikitext_next(const char *text, size_t length, size_t *at, size_t *begin, size_t *end);

/* Undoes the spaces that the corpus's tokenizer put around punctuation; appends to out. */
dlqat_status dq_wikitext_detokenize(const char *text, size_t length, dq_buffer *out, dlqat_error *error);

/* len(re.split(r"\s+", text)) of Python: runs of white space, plus one. */
uint64_t dq_count_words(const char *text, size_t length);

#endif
