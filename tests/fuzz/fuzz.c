#define _GNU_SOURCE /* memfd_create, mkdtemp */
#include "fuzz.h"

#include "base/file.h"
#include "text/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_require(bool holds, const char *condition, const char *file, int line) {
    if (holds) return;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

/* ---- Files: links to memory, since thousands a second would wear out a disk ---- */

enum { MOST_FILES = 8 };

static struct {
    char directory[512], path[1024];
    struct {
        char name[64];
        int memory;
    } file[MOST_FILES];
    int files;
} place;

static void remove_place(void) {
    for (int i = 0; i < place.files; i++) fuzz_no_file(place.file[i].name);
    rmdir(place.directory);
}

const char *fuzz_directory(void) {
    if (*place.directory) return place.directory;
    const char *root = getenv("TMPDIR");
    snprintf(place.directory, sizeof place.directory, "%.400s/dlqat-fuzz-XXXXXX", root && *root ? root : "/tmp");
    FUZZ_REQUIRE(mkdtemp(place.directory) != NULL);
    FUZZ_REQUIRE(atexit(remove_place) == 0);
    return place.directory;
}

static const char *path_of(const char *name) {
    snprintf(place.path, sizeof place.path, "%s/%s", fuzz_directory(), name);
    return place.path;
}

void fuzz_no_file(const char *name) {
    unlink(path_of(name));
}

const char *fuzz_file(const char *name, const void *bytes, size_t size) {
    int i = 0;
    while (i < place.files && strcmp(place.file[i].name, name)) i++;
    FUZZ_REQUIRE(i < MOST_FILES);
    if (i == place.files) {
        snprintf(place.file[i].name, sizeof place.file[i].name, "%s", name);
        place.file[i].memory = memfd_create(name, MFD_CLOEXEC);
        FUZZ_REQUIRE(place.file[i].memory >= 0);
        place.files++;
    }
    const int memory = place.file[i].memory;
    char target[64];
    snprintf(target, sizeof target, "/proc/%ld/fd/%d", (long)getpid(), memory);
    const char *path = path_of(name);
    if (access(path, F_OK) != 0) {
        unlink(path);
        FUZZ_REQUIRE(symlink(target, path) == 0);
    }
    FUZZ_REQUIRE(ftruncate(memory, 0) == 0);
    FUZZ_REQUIRE(size == 0 || pwrite(memory, bytes, size, 0) == (ssize_t)size);
    return path;
}

void fuzz_split(const uint8_t *data, size_t size, fuzz_part *parts, size_t count) {
    const size_t border = strlen(FUZZ_BORDER);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *found = i + 1 < count && size ? memmem(data, size, FUZZ_BORDER, border) : NULL;
        parts[i] = (fuzz_part){data, found ? (size_t)(found - data) : size};
        if (found) {
            size -= parts[i].size + border;
            data = found + border;
        } else {
            data += size;
            size = 0;
        }
    }
}

/* ---- Using what opened ---- */

void fuzz_read_tensor(const dq_tensor *tensor) {
    const unsigned char *bytes = tensor->data;
    volatile unsigned char sum = 0;
    if (tensor->bytes) sum = (unsigned char)(bytes[0] + bytes[tensor->bytes - 1]);
    (void)sum;
    dq_tensor again = *tensor;
    FUZZ_REQUIRE(dq_tensor_measure(&again) && again.bytes == tensor->bytes);
    if (!dq_dtype_info(tensor->dtype)->to_f32 || tensor->dimensions < 1 || tensor->dimensions > 2) return;
    const bool vector = tensor->dimensions == 1;
    const int64_t rows = vector ? 1 : tensor->shape[0], columns = vector ? tensor->shape[0] : tensor->shape[1];
    if (rows == 0 || columns == 0 || columns > 1 << 16) return;
    const int64_t count = rows < 4 ? rows : 4;
    float *values = malloc((size_t)(count * columns) * sizeof *values);
    FUZZ_REQUIRE(values != NULL);
    dq_tensor_rows(tensor, 0, count, values);
    dq_tensor_rows(tensor, rows - count, count, values);
    free(values);
}

static void encode_and_decode(const dq_tokenizer *tokenizer, const void *text, size_t size) {
    for (unsigned flags = DQ_ENCODE_PLAIN; flags <= (DQ_ENCODE_SPECIAL | DQ_ENCODE_NO_ADDED); flags++) {
        dq_ids ids = {0};
        dq_buffer decoded = {0};
        dlqat_error error;
        if (dq_tokenizer_encode(tokenizer, text, size, flags, &ids, &error) == DLQAT_OK) {
            for (size_t i = 0; i < ids.count; i++)
                FUZZ_REQUIRE(ids.at[i] >= 0 && ids.at[i] < dq_tokenizer_vocabulary_size(tokenizer));
            (void)dq_tokenizer_decode(tokenizer, ids.at, ids.count, flags & DQ_ENCODE_SPECIAL, &decoded, &error);
        }
        dq_buffer_free(&decoded);
        dq_ids_free(&ids);
    }
}

static void render(const dq_tokenizer *tokenizer) {
    static const dq_message messages[] = {{"system", "Be brief."}, {"user", " Why?\n"}, {"assistant", "So."}};
    dlqat_error error;
    dq_template template;
    if (dq_template_open(&template, DQ_TEMPLATE_AUTO, tokenizer, &error) != DLQAT_OK) return;
    dq_segment segments[8];
    size_t count = sizeof segments / sizeof *segments;
    dq_buffer text = {0};
    (void)dq_template_render(&template, tokenizer, messages, 3, false, &text, segments, &count, &error);
    dq_buffer_free(&text);
    dq_template_close(&template);
}

void fuzz_use_tokenizer(const dq_tokenizer *tokenizer, const void *text, size_t size) {
    static const char sample[] =
        "The  year 1984,\n\n\tna\xc3\xafve \xe2\x96\x81 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x99\x82 "
        "don't</s><s> \xff\xc3 aaaaaaaaaaaaaaaa";
    encode_and_decode(tokenizer, sample, sizeof sample - 1);
    if (size) encode_and_decode(tokenizer, text, size);
    size_t length;
    for (int32_t id = -1; id <= dq_tokenizer_vocabulary_size(tokenizer) && id < 300; id++) {
        const char *token = dq_tokenizer_token(tokenizer, id, &length);
        if (token) (void)dq_tokenizer_find(tokenizer, token);
    }
    render(tokenizer);
}

/* ---- Seeds ---- */

void fuzz_put_path(dq_buffer *buffer, const char *path) {
    char *bytes;
    size_t size;
    dlqat_error error;
    FUZZ_REQUIRE(dq_read_file(path, &bytes, &size, &error) == DLQAT_OK);
    dq_buffer_put(buffer, bytes, size);
    free(bytes);
}

void fuzz_put_fixture(dq_buffer *buffer, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TEST_FIXTURES, name);
    fuzz_put_path(buffer, path);
}

void fuzz_seed_buffer(fuzz_sink *sink, dq_buffer *buffer) {
    dlqat_error error;
    FUZZ_REQUIRE(dq_buffer_check(buffer, "a seed", &error) == DLQAT_OK);
    sink->put(sink, buffer->data, buffer->size);
    buffer->size = 0;
}

void fuzz_seed_fixture(fuzz_sink *sink, const char *name) {
    dq_buffer buffer = {0};
    fuzz_put_fixture(&buffer, name);
    fuzz_seed_buffer(sink, &buffer);
    dq_buffer_free(&buffer);
}

void fuzz_seed_shared(fuzz_sink *sink, const char *name, size_t most) {
    const char *root = getenv("DLQAT_DATA");
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root ? root : "", name);
    if (!root || !*root || !dq_file_exists(path)) return;
    dq_buffer buffer = {0};
    fuzz_put_path(&buffer, path);
    if (buffer.size <= most) fuzz_seed_buffer(sink, &buffer);
    dq_buffer_free(&buffer);
}
