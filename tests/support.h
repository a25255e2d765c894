/* What every test needs: cmocka with its includes, and the way to the shared data. */
#ifndef DQ_TESTS_SUPPORT_H
#define DQ_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dlqat.h"

/* Fails the test with the library's own message. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        dlqat_status assert_ok_status_ = (call);                                                                       \
        if (assert_ok_status_ != DLQAT_OK) fail_msg("%s: status %d: %s", #call, assert_ok_status_, error.message);    \
    } while (0)

/* The call must fail with this status and a message that contains the text. */
#define assert_fails(call, expected, text)                                                                             \
    do {                                                                                                               \
        error.message[0] = '\0';                                                                                       \
        dlqat_status assert_fails_status_ = (call);                                                                    \
        if (assert_fails_status_ != (expected) || !strstr(error.message, (text)))                                     \
            fail_msg("%s: expected status %d and \"%s\", got %d and \"%s\"", #call, (expected), (text),               \
                     assert_fails_status_, error.message);                                                             \
    } while (0)

/* DLQAT_DATA/name in buffer; skips the test, saying what it misses, when there is no such file or directory. */
static inline const char *shared_data(char buffer[1024], const char *name) {
    const char *root = getenv("DLQAT_DATA");
    if (root && *root) {
        snprintf(buffer, 1024, "%s/%s", root, name);
        FILE *stream = fopen(buffer, "rb");
        if (stream) {
            fclose(stream);
            return buffer;
        }
    }
    print_message("skipped: needs %s of the shared data (set DLQAT_DATA)\n", name);
    skip();
    return NULL;
}

#endif
