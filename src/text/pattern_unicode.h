/* Characters that Unicode gained after the tables of the PCRE2 in use were made. Hugging Face's tokenizers carry
 * Unicode 16; Debian 12's PCRE2 has 14, and would take, say, the ideographs of extension H for symbols. */
#ifndef DQ_TEXT_PATTERN_UNICODE_H
#define DQ_TEXT_PATTERN_UNICODE_H

#include "base/buffer.h"

/* Appends the ranges, as they stand inside [..], of a general category ("L", "Lu", "N", ..) that PCRE2 does not know yet. */
void dq_unicode_recent(const char *category, dq_buffer *out);

#endif
