/* A file of rows: read under a tokenizer and a template that the first byte chooses, split, ordered and packed. */
#include "fuzz.h"

#include "text/dataset.h"

#include <stdio.h>

typedef struct reader {
    dq_tokenizer *tokenizer;
    dq_template template;
} reader;

enum { READERS = 4 };

static void open_reader(reader *r, const char *directory, dq_template_kind kind) {
    dlqat_error error;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TEST_FIXTURES, directory);
    FUZZ_REQUIRE(dq_tokenizer_open(&r->tokenizer, path, &error) == DLQAT_OK);
    FUZZ_REQUIRE(dq_template_open(&r->template, kind, r->tokenizer, &error) == DLQAT_OK);
}

/* Kept from input to input, until the process ends. */
static const reader *readers(void) {
    static reader all[READERS];
    if (!all[0].tokenizer) {
        open_reader(&all[0], "datasets/bytes", DQ_TEMPLATE_AUTO);
        open_reader(&all[1], "datasets/pieces", DQ_TEMPLATE_AUTO);
        open_reader(&all[2], "datasets/bytes", DQ_TEMPLATE_ALPACA);
        open_reader(&all[3], "eval/bos", DQ_TEMPLATE_AUTO);
    }
    return all;
}

static void pack(const dq_dataset *data) {
    dlqat_error error;
    dq_order order;
    dq_batch batch;
    FUZZ_REQUIRE(dq_order_open(&order, data->rows, 1, true, &error) == DLQAT_OK);
    FUZZ_REQUIRE(dq_batch_open(&batch, 64, 96, &error) == DLQAT_OK);
    for (uint64_t at = 0; at < 2 * data->rows && at < 64; at++) {
        const size_t row = dq_order_row(&order, at);
        FUZZ_REQUIRE(row < data->rows);
        if (!dq_batch_add(&batch, data, row)) {
            dq_batch_clear(&batch);
            if (!dq_batch_add(&batch, data, row)) continue;
        }
        /* The row is there whole, wherever its tokens come from. */
        const size_t first = batch.row_key[batch.rows - 1], needed = dq_row_needed(data, row);
        FUZZ_REQUIRE(first + needed == batch.keys && batch.keys <= 96 && batch.tokens <= 64);
        for (size_t i = 0; i < needed; i++)
            FUZZ_REQUIRE(batch.ids[batch.source[first + i]] == data->ids[data->begin[row] + i]);
    }
    dq_batch_close(&batch);
    dq_order_close(&order);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    static const char *const names[] = {"rows", "rows.json", "rows.jsonl", "rows.txt"};
    const reader *chosen = &readers()[data[0] % READERS];
    const dq_dataset_options options = {
        .max_length = 2 + (data[0] >> 4) * 5, .template = &chosen->template, .tokenizer = chosen->tokenizer};
    dlqat_error error;
    dq_dataset rows, held_out;
    const char *path = fuzz_file(names[data[0] / READERS % 4], data + 1, size - 1);
    if (dq_dataset_open(&rows, path, &options, &error) != DLQAT_OK) return 0;
    FUZZ_REQUIRE(rows.rows > 0 && rows.begin[0] == 0 && rows.begin[rows.rows] == rows.tokens);
    size_t labels = 0;
    for (size_t row = 0; row < rows.rows; row++) {
        const size_t begin = rows.begin[row], count = rows.begin[row + 1] - begin;
        FUZZ_REQUIRE(count >= 2 && count <= (size_t)options.max_length && !rows.learned[begin]);
        for (size_t i = begin; i < begin + count; i++) labels += rows.learned[i];
    }
    FUZZ_REQUIRE(labels == rows.labels);
    if (dq_dataset_split(&rows, 0.3, 7, &held_out, &error) == DLQAT_OK) {
        pack(&held_out);
        dq_dataset_close(&held_out);
    }
    pack(&rows);
    dq_dataset_close(&rows);
    return 0;
}

static void seed_text(fuzz_sink *sink, unsigned char choice, const char *text) {
    dq_buffer seed = {0};
    dq_buffer_put(&seed, &choice, 1);
    dq_buffer_puts(&seed, text);
    fuzz_seed_buffer(sink, &seed);
    dq_buffer_free(&seed);
}

void fuzz_seeds(fuzz_sink *sink) {
    static const char instructions[] =
        "[{\"instruction\": \"Name a tree.\", \"input\": \"\", \"output\": \"Oak.\"},\n"
        " {\"instruction\": \"Add.\", \"input\": \"2, 3\", \"output\": \"5 \\u00e9\", \"text\": \"x\"}]\n";
    static const char chat[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"Be kind.\"}, {\"role\": \"user\", \"content\": \"Hi\"}, "
        "{\"role\": \"assistant\", \"content\": \"Hello.\", \"tool_calls\": []}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, "
        "{\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"d\"}]}\n";
    static const char texts[] = "\xef\xbb\xbf{\"text\": \"It was late.\"}\r\n\n{\"text\": \"\\ud83d\\ude42 <s> 12\"}\n";
    static const char plain[] = "= A heading =\n\nAnd some words \xe2\x80\x94 of it.\n";
    for (unsigned i = 0; i < READERS; i++) {
        const unsigned char longest = (unsigned char)(0xf0 + i);
        seed_text(sink, longest + 4, instructions);
        seed_text(sink, longest, chat);
        seed_text(sink, longest + 8, texts);
        seed_text(sink, (unsigned char)(0x20 + i), plain);
    }
}
