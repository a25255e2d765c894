/* UTF-8: lengths, code points, and repair. */
#ifndef DQ_TEXT_UTF8_H
#define DQ_TEXT_UTF8_H

#include "base/buffer.h"

/* Bytes of the well-formed character at text[0 .. length), 0 when there is none. *point may be NULL. */
size_t dq_utf8_next(const char *text, size_t length, uint32_t *point);
/* Writes the 1 to 4 bytes of a code point; returns their number. */
size_t dq_utf8_put(uint32_t point, char out[4]);
/* Whether all of text is well-formed. */
bool dq_utf8_valid(const char *text, size_t length);
/* Appends text with U+FFFD for each maximal ill-formed part (Unicode 3.9, as Rust's and Python's lossy conversions). */
void dq_utf8_repair(const char *text, size_t length, dq_buffer *out);

#endif
