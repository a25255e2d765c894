/* Runs a target without libFuzzer.
 *   replay RUNS        the seeds, then so many deterministic mutations of them
 *   replay FILE ..     these inputs: how a crash that libFuzzer wrote down is looked at
 *   replay --seeds DIR writes the seeds there, for libFuzzer to begin with */
#include "fuzz.h"

#include "../formats/mutate.h"
#include "base/file.h"

enum { MOST_SEEDS = 256 };

typedef struct seeds {
    fuzz_sink sink; /* first: put gets a pointer to it */
    dq_buffer seed[MOST_SEEDS];
    size_t count;
} seeds;

static void keep(fuzz_sink *sink, const void *bytes, size_t size) {
    seeds *all = (seeds *)sink;
    FUZZ_REQUIRE(all->count < MOST_SEEDS);
    dq_buffer_put(&all->seed[all->count++], bytes, size);
}

/* A block of just that size, so that a sanitizer sees a read behind its end. */
static void run_once(const void *bytes, size_t size) {
    unsigned char *copy = malloc(size ? size : 1);
    FUZZ_REQUIRE(copy != NULL);
    if (size) memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_all(const seeds *all, uint64_t runs) {
    run_once("", 0);
    for (size_t i = 0; i < all->count; i++) run_once(all->seed[i].data, all->seed[i].size);
    for (uint64_t number = 0; number < runs; number++) {
        const dq_buffer *seed = &all->seed[number % all->count];
        unsigned char *copy = malloc(seed->size);
        FUZZ_REQUIRE(copy != NULL);
        run_once(copy, mutate(copy, (const unsigned char *)seed->data, seed->size, number));
        free(copy);
    }
}

static void write_all(const seeds *all, const char *directory) {
    dlqat_error error;
    FUZZ_REQUIRE(dq_make_directories(directory, &error) == DLQAT_OK);
    for (size_t i = 0; i < all->count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/seed-%03zu", directory, i);
        FUZZ_REQUIRE(dq_write_file(path, all->seed[i].data, all->seed[i].size, &error) == DLQAT_OK);
    }
}

int main(int argc, char **argv) {
    static seeds all = {.sink = {keep}};
    fuzz_seeds(&all.sink);
    FUZZ_REQUIRE(all.count > 0);
    char *end = NULL;
    const uint64_t runs = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        write_all(&all, argv[2]);
    else if (argc == 2 && *argv[1] && *end == '\0')
        run_all(&all, runs);
    else
        for (int i = 1; i < argc; i++) {
            char *bytes;
            size_t size;
            dlqat_error error;
            FUZZ_REQUIRE(dq_read_file(argv[i], &bytes, &size, &error) == DLQAT_OK);
            run_once(bytes, size);
            free(bytes);
        }
    for (size_t i = 0; i < all.count; i++) dq_buffer_free(&all.seed[i]);
    return 0;
}
