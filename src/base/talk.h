/* Talking to the caller of the library, through dlqat_callbacks; any of them, or all, may be missing. */
#ifndef DQ_BASE_TALK_H
#define DQ_BASE_TALK_H

#include "dlqat.h"

/* One line, without a newline. */
void dq_note(const dlqat_callbacks *callbacks, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dq_warn(const dlqat_callbacks *callbacks, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Data. */
void dq_put_output(const dlqat_callbacks *callbacks, const char *bytes, size_t length);
/* Whether the caller wants to stop. */
bool dq_stop_wanted(const dlqat_callbacks *callbacks);

#endif
