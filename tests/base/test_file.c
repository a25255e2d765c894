/* Files: what is written is there wholly, or what was there before is. */
#define _DEFAULT_SOURCE
#include "base/file.h"
#include "scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static scratch dir;
static char path[1024];

static const char *in_dir(const char *name) {
    return scratch_file(&dir, path, name);
}

/* Entries of the scratch directory: shows temporary files that were left behind. */
static int entries(void) {
    DIR *d = opendir(dir.path);
    int count = -2; /* . and .. */
    while (readdir(d)) count++;
    closedir(d);
    return count;
}

static void assert_holds(const char *name, const char *text) {
    dlqat_error error;
    char *got;
    size_t size;
    assert_ok(dq_read_file(name, &got, &size, &error));
    assert_string_equal(got, text);
    assert_int_equal(size, strlen(text));
    free(got);
}

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_writer(void **state) {
    (void)state;
    dlqat_error error;
    dq_writer w;
    put_bytes(in_dir("f"), "old", 3);
    assert_ok(dq_writer_open(&w, path, &error));
    assert_ok(dq_writer_put(&w, "new", 3, &error));
    assert_ok(dq_writer_pad(&w, 300, &error));
    assert_ok(dq_writer_put(&w, NULL, 0, &error));
    assert_int_equal(w.written, 303);
    assert_holds(path, "old"); /* until commit */
    assert_int_equal(entries(), 2);
    assert_ok(dq_writer_commit(&w, &error));
    assert_int_equal(entries(), 1);
    char *text;
    size_t size;
    assert_ok(dq_read_file(path, &text, &size, &error));
    assert_int_equal(size, 303);
    assert_string_equal(text, "new");
    assert_int_equal(text[302], 0);
    free(text);

    assert_ok(dq_writer_open(&w, path, &error));
    assert_ok(dq_writer_put(&w, "x", 1, &error));
    dq_writer_discard(&w);
    dq_writer_discard(&w);
    assert_int_equal(entries(), 1);
    assert_fails(dq_writer_commit(&w, &error), DLQAT_ERROR_IO, "no file is open");
    assert_ok(dq_write_file(path, "whole", 5, &error));
    assert_holds(path, "whole");
    char copy[1024];
    assert_ok(dq_copy_file(path, scratch_file(&dir, copy, "g"), &error));
    assert_holds(copy, "whole");
}

static void test_places_that_cannot_be_written(void **state) {
    (void)state;
    dlqat_error error;
    dq_writer w;
    put_bytes(in_dir("file"), "x", 1);
    assert_fails(dq_write_file(in_dir("absent/f"), "x", 1, &error), DLQAT_ERROR_IO,
                 "absent/f: cannot create: No such file or directory");
    assert_fails(dq_write_file(in_dir("file/f"), "x", 1, &error), DLQAT_ERROR_IO,
                 "file/f: cannot create: Not a directory");
    assert_fails(dq_writer_open(&w, dir.path, &error), DLQAT_ERROR_IO, "it is a directory");
    assert_fails(dq_copy_file(in_dir("absent"), dir.path, &error), DLQAT_ERROR_IO, "absent: cannot open");
    if (geteuid() != 0) { /* root may write everywhere */
        assert_int_equal(chmod(dir.path, 0500), 0);
        assert_fails(dq_write_file(in_dir("f"), "x", 1, &error), DLQAT_ERROR_IO, "Permission denied");
        assert_int_equal(chmod(dir.path, 0700), 0);
    }
    assert_int_equal(entries(), 1);
}

/* A full disk, by a limit on the size of files: the old file stays, and nothing else. */
static void test_no_room(void **state) {
    (void)state;
    dlqat_error error;
    dq_writer w;
    char *large = calloc(1, 1 << 20);
    put_bytes(in_dir("f"), "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(4096);

    /* Seen by put. */
    assert_fails(dq_write_file(path, large, 1 << 20, &error), DLQAT_ERROR_IO, "f: cannot write: File too large");
    assert_int_equal(entries(), 1);

    /* Seen by commit alone: less than a stdio buffer would hold, more than there is room for. */
    limit_file_size(1000);
    assert_ok(dq_writer_open(&w, path, &error));
    assert_ok(dq_writer_put(&w, large, 2000, &error));
    assert_fails(dq_writer_commit(&w, &error), DLQAT_ERROR_IO, "f: cannot write: File too large");
    assert_int_equal(entries(), 1);

    /* A caller that overlooks a failing put gets no file by commit, even if there is room again. */
    assert_ok(dq_writer_open(&w, path, &error));
    assert_fails(dq_writer_put(&w, large, 1 << 20, &error), DLQAT_ERROR_IO, "cannot write");
    limit_file_size(RLIM_INFINITY);
    assert_fails(dq_writer_commit(&w, &error), DLQAT_ERROR_IO, "cannot write");
    assert_int_equal(entries(), 1);
    assert_holds(path, "old");
    free(large);
}

/* Pipes and devices are written to, not replaced; links stay links. */
static void test_devices_and_links(void **state) {
    (void)state;
    dlqat_error error;
    dq_writer w;
    struct stat info;
    char got[8] = {0};
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    const int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_ok(dq_write_file(path, "through", 7, &error));
    assert_int_equal(read(reader, got, 7), 7);
    assert_string_equal(got, "through");
    close(reader);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    assert_int_equal(remove(path), 0);
    if (geteuid() != 0 && access("/dev/full", W_OK) == 0) { /* not as root, whose /dev a broken writer could harm */
        assert_ok(dq_writer_open(&w, "/dev/full", &error));
        assert_ok(dq_writer_put(&w, "x", 1, &error));
        assert_fails(dq_writer_commit(&w, &error), DLQAT_ERROR_IO, "/dev/full: cannot write: No space left on device");
    }
    char link[1024];
    put_bytes(in_dir("target"), "old", 3);
    assert_int_equal(symlink(path, scratch_file(&dir, link, "link")), 0);
    assert_ok(dq_write_file(link, "new", 3, &error));
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_holds(path, "new");
    assert_int_equal(entries(), 2);
}

static void test_staging(void **state) {
    (void)state;
    dlqat_error error;
    dq_staging s;
    char inner[1200], place[1024];
    snprintf(place, sizeof place, "%s", in_dir("out"));

    assert_ok(dq_staging_open(&s, in_dir("out/"), &error)); /* a slash at the end changes nothing */
    snprintf(inner, sizeof inner, "%s/a", s.temporary);
    assert_ok(dq_write_file(inner, "first", 5, &error));
    assert_false(dq_is_directory(place));
    assert_ok(dq_staging_commit(&s, &error));
    snprintf(inner, sizeof inner, "%s/a", place);
    assert_holds(inner, "first");
    assert_int_equal(entries(), 1);

    assert_ok(dq_staging_open(&s, place, &error)); /* given up: what was there stays */
    dq_staging_discard(&s);
    dq_staging_discard(&s);
    assert_holds(inner, "first");
    assert_int_equal(entries(), 1);
    assert_fails(dq_staging_commit(&s, &error), DLQAT_ERROR_IO, "no directory is open");

    assert_ok(dq_staging_open(&s, place, &error)); /* replaced wholly: a is gone */
    snprintf(inner, sizeof inner, "%s/b", s.temporary);
    assert_ok(dq_write_file(inner, "second", 6, &error));
    assert_ok(dq_staging_commit(&s, &error));
    snprintf(inner, sizeof inner, "%s/b", place);
    assert_holds(inner, "second");
    snprintf(inner, sizeof inner, "%s/a", place);
    assert_false(dq_file_exists(inner));
    assert_int_equal(entries(), 1);

    put_bytes(in_dir("file"), "x", 1);
    assert_fails(dq_staging_open(&s, path, &error), DLQAT_ERROR_IO, "it is a file");
    assert_fails(dq_staging_open(&s, in_dir("file/out"), &error), DLQAT_ERROR_IO, "file: expected a directory");
    assert_int_equal(entries(), 2);

    /* The staged directory vanishes before commit: an error, and the old one stays. */
    assert_ok(dq_staging_open(&s, place, &error));
    assert_int_equal(rmdir(s.temporary), 0);
    assert_fails(dq_staging_commit(&s, &error), DLQAT_ERROR_IO, "out: cannot");
    snprintf(inner, sizeof inner, "%s/b", place);
    assert_holds(inner, "second");
    assert_int_equal(entries(), 2);
}

static void test_maps(void **state) {
    (void)state;
    dlqat_error error;
    dq_map map;
    put_bytes(in_dir("f"), "bytes", 5);
    assert_ok(dq_map_open(&map, path, &error));
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "bytes", 5);
    dq_map_close(&map);
    dq_map_close(&map);
    put_bytes(path, "", 0);
    assert_ok(dq_map_open(&map, path, &error));
    assert_non_null(map.data);
    assert_int_equal(map.size, 0);
    dq_map_close(&map);
    assert_fails(dq_map_open(&map, dir.path, &error), DLQAT_ERROR_INPUT, "expected a regular file");
    assert_fails(dq_map_open(&map, in_dir("absent"), &error), DLQAT_ERROR_IO, "absent: cannot open: No such file");
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_fails(dq_map_open(&map, path, &error), DLQAT_ERROR_INPUT, "expected a regular file"); /* and no waiting */
}

static void test_read_file(void **state) {
    (void)state;
    dlqat_error error;
    char *text;
    size_t size;
    const size_t n = 200001; /* over several growths */
    char *large = malloc(n);
    for (size_t i = 0; i < n; i++) large[i] = (char)(i * 7);
    put_bytes(in_dir("f"), large, n);
    assert_ok(dq_read_file(path, &text, &size, &error));
    assert_int_equal(size, n);
    assert_memory_equal(text, large, n);
    assert_int_equal(text[n], 0);
    free(text);
    free(large);
    put_bytes(path, "", 0);
    assert_ok(dq_read_file(path, &text, NULL, &error));
    assert_string_equal(text, "");
    free(text);
    assert_fails(dq_read_file(dir.path, &text, &size, &error), DLQAT_ERROR_IO, "Is a directory");
    assert_null(text);
    assert_fails(dq_read_file(in_dir("absent"), &text, &size, &error), DLQAT_ERROR_IO, "absent: cannot open");
}

static void test_directories(void **state) {
    (void)state;
    dlqat_error error;
    char other[1024];
    assert_ok(dq_make_directories(in_dir("a/b//c/"), &error));
    assert_true(dq_is_directory(path));
    assert_ok(dq_make_directories(path, &error));
    assert_ok(dq_make_directories("/", &error));
    assert_fails(dq_make_directories("", &error), DLQAT_ERROR_IO, "empty");
    put_bytes(in_dir("a/file"), "kept", 4);
    assert_fails(dq_make_directories(in_dir("a/file/b"), &error), DLQAT_ERROR_IO, "a/file: expected a directory");
    /* A tree with a link to outside: the link goes, what it points to stays. */
    assert_ok(dq_make_directories(in_dir("tree/deep"), &error));
    put_bytes(in_dir("tree/deep/f"), "x", 1);
    assert_int_equal(symlink(scratch_file(&dir, other, "a"), in_dir("tree/link")), 0);
    assert_ok(dq_remove_tree(in_dir("tree"), &error));
    assert_false(dq_is_directory(path));
    assert_holds(in_dir("a/file"), "kept");
    assert_ok(dq_remove_tree(in_dir("absent"), &error));
    char *joined = dq_path_join("a/", "b");
    assert_string_equal(joined, "a/b");
    free(joined);
    joined = dq_path_join("a", "b");
    assert_string_equal(joined, "a/b");
    free(joined);
    assert_true(dq_file_exists(in_dir("a/file")));
    assert_false(dq_file_exists(in_dir("a")));
}

static int set_up(void **state) {
    (void)state;
    scratch_make(&dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    scratch_remove(&dir);
    return 0;
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_writer),    EACH(test_places_that_cannot_be_written),
        EACH(test_no_room),   EACH(test_devices_and_links),
        EACH(test_staging),   EACH(test_maps),
        EACH(test_read_file), EACH(test_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
