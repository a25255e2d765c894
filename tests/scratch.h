/* A directory of the test's own, and bytes to and from files. */
#ifndef DQ_TESTS_SCRATCH_H
#define DQ_TESTS_SCRATCH_H

#include "base/file.h"
#include "support.h"

/* mkdtemp under TMPDIR; removed with scratch_remove. */
typedef struct scratch {
    char path[512];
} scratch;

static inline void scratch_make(scratch *s) {
    const char *root = getenv("TMPDIR");
    snprintf(s->path, sizeof s->path, "%s/dlqat-test-XXXXXX", root && *root ? root : "/tmp");
    char *mkdtemp(char *);
    assert_non_null(mkdtemp(s->path));
}

static inline void scratch_remove(scratch *s) {
    dlqat_error error;
    assert_ok(dq_remove_tree(s->path, &error));
}

/* The path of name in the directory; valid until the next call with the same buffer. */
static inline const char *scratch_file(const scratch *s, char buffer[1024], const char *name) {
    snprintf(buffer, 1024, "%s/%s", s->path, name);
    return buffer;
}

/* Plain writing, without the library's care: a test's input. Removed first, since some file systems wait for the disk when
 * a file is cut to nothing and filled again. */
static inline void put_bytes(const char *path, const void *bytes, size_t size) {
    (void)remove(path);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

/* malloc'd contents of a fixture under tests/fixtures. */
static inline unsigned char *fixture_bytes(const char *name, size_t *size) {
    char path[1024], *text;
    dlqat_error error;
    snprintf(path, sizeof path, "%s/%s", TEST_FIXTURES, name);
    assert_ok(dq_read_file(path, &text, size, &error));
    return (unsigned char *)text;
}

#endif
