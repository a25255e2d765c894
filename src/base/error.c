#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

dlqat_status dq_fail(dlqat_error *error, dlqat_status status, const char *format, ...) {
    if (error) {
        char message[sizeof error->message]; /* the arguments may point into error->message */
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        /* One line, whatever a file name or a token brought along, and nothing that steers a terminal. */
        for (char *c = message; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
        memcpy(error->message, message, strlen(message) + 1);
        error->status = status;
    }
    return status;
}

dlqat_status dq_fail_in(dlqat_error *error, dlqat_status status, const char *prefix) {
    if (error) {
        char inner[sizeof error->message];
        memcpy(inner, error->message, sizeof inner);
        inner[sizeof inner - 1] = '\0';
        snprintf(error->message, sizeof error->message, "%.400s: %.600s", prefix, inner);
        error->status = status;
    }
    return status;
}

const char *dlqat_version(void) {
    return DLQAT_VERSION_STRING;
}
