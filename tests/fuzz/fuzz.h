/* What the fuzz targets share. A target is one file with
 *   LLVMFuzzerTestOneInput, which goes through the entry points that the program uses and must not crash, leak or hang;
 *   fuzz_seeds, which gives the inputs that fuzzing starts from, made of the fixtures and of what the library writes.
 * libFuzzer runs the first; replay.c runs both without it, so that any compiler keeps the targets alive. */
#ifndef DQ_TESTS_FUZZ_H
#define DQ_TESTS_FUZZ_H

#include "base/buffer.h"
#include "formats/tensor.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with the condition where it does not hold. */
#define FUZZ_REQUIRE(condition) fuzz_require((condition), #condition, __FILE__, __LINE__)
void fuzz_require(bool holds, const char *condition, const char *file, int line);

/* ---- For targets ---- */

/* Files in memory under names of their own, in one directory of this process that its end removes. The path is valid
 * until the next call. */
const char *fuzz_file(const char *name, const void *bytes, size_t size);
const char *fuzz_directory(void);
/* The same without the file. */
void fuzz_no_file(const char *name);

/* An input that stands for several files: parts with FUZZ_BORDER between them. Absent ones are empty. */
#define FUZZ_BORDER "\n%%border%%\n"
typedef struct fuzz_part {
    const uint8_t *data;
    size_t size;
} fuzz_part;
void fuzz_split(const uint8_t *data, size_t size, fuzz_part *parts, size_t count);

/* Reads what a tensor holds, as f32 where it can be (of a large one the first rows), and its bytes. */
void fuzz_read_tensor(const dq_tensor *tensor);
/* Encodes and decodes text of every sort, and the given one; renders a conversation with the chat template. */
void fuzz_use_tokenizer(const dq_tokenizer *tokenizer, const void *text, size_t size);

/* ---- For seeds ---- */

typedef struct fuzz_sink {
    void (*put)(struct fuzz_sink *sink, const void *bytes, size_t size);
} fuzz_sink;
void fuzz_seeds(fuzz_sink *sink);

/* Appends a file; one under tests/fixtures. */
void fuzz_put_path(dq_buffer *buffer, const char *path);
void fuzz_put_fixture(dq_buffer *buffer, const char *name);
/* Puts it as a seed of its own. */
void fuzz_seed_fixture(fuzz_sink *sink, const char *name);
/* Puts a file of the shared data, where there is one and it is not larger than that. */
void fuzz_seed_shared(fuzz_sink *sink, const char *name, size_t most);
/* Puts what the buffer holds, and empties it. */
void fuzz_seed_buffer(fuzz_sink *sink, dq_buffer *buffer);

#endif
