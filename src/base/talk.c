#include "base/talk.h"

#include <stdarg.h>
#include <stdio.h>

static void say(const dlqat_callbacks *callbacks, dlqat_log_level level, const char *format, va_list arguments) {
    char line[1024]; /* longer talk is cut: it is for reading */
    vsnprintf(line, sizeof line, format, arguments);
    callbacks->log(callbacks->user, level, line);
}

void dq_note(const dlqat_callbacks *callbacks, const char *format, ...) {
    if (!callbacks || !callbacks->log) return;
    va_list arguments;
    va_start(arguments, format);
    say(callbacks, DLQAT_LOG_NOTE, format, arguments);
    va_end(arguments);
}

void dq_warn(const dlqat_callbacks *callbacks, const char *format, ...) {
    if (!callbacks || !callbacks->log) return;
    va_list arguments;
    va_start(arguments, format);
    say(callbacks, DLQAT_LOG_WARNING, format, arguments);
    va_end(arguments);
}

void dq_put_output(const dlqat_callbacks *callbacks, const char *bytes, size_t length) {
    if (callbacks && callbacks->output && length) callbacks->output(callbacks->user, bytes, length);
}

bool dq_stop_wanted(const dlqat_callbacks *callbacks) {
    return callbacks && callbacks->should_stop && callbacks->should_stop(callbacks->user);
}
