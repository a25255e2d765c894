/* How the library reports failure: a status goes up, the sentence lies in the caller's dlqat_error. */
#ifndef DQ_BASE_ERROR_H
#define DQ_BASE_ERROR_H

#include "dlqat.h"

/* Writes status and the formatted message into error (which may be NULL) and returns status. The message names the
 * file, tensor or option, says what was expected, and what to do. */
dlqat_status dq_fail(dlqat_error *error, dlqat_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message already in error, to name the place from one level up; returns status. */
dlqat_status dq_fail_in(dlqat_error *error, dlqat_status status, const char *prefix);

/* Hands a failing status up. Only where nothing has to be released on the way. */
#define DQ_TRY(call)                                                                                                   \
    do {                                                                                                               \
        dlqat_status dq_try_status_ = (call);                                                                          \
        if (dq_try_status_ != DLQAT_OK) return dq_try_status_;                                                         \
    } while (0)

/* The same where something has to be released: sets status and jumps. */
#define DQ_TRY_GOTO(status, call, label)                                                                               \
    do {                                                                                                               \
        (status) = (call);                                                                                             \
        if ((status) != DLQAT_OK) goto label;                                                                          \
    } while (0)

#endif
