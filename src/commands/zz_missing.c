/* Stands in for the commands that are not there yet, so that the program links. The definitions are weak, and the file
 * is the last of the archive, so that a real one always wins; an entry goes when its command comes. */
#include "base/error.h"

#define MISSING(name)                                                                                                  \
    __attribute__((weak))                                                                                              \
    dlqat_status dlqat_##name(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {    \
        (void)callbacks;                                                                                               \
        DQ_TRY(dlqat_options_check(options, error));                                                                   \
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, #name ": not in this build yet");                               \
    }

MISSING(compare)
