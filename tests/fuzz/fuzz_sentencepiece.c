/* A SentencePiece .model. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dlqat_error error;
    dq_tokenizer *tokenizer;
    if (dq_tokenizer_open(&tokenizer, fuzz_file("tokenizer.model", data, size), &error) != DLQAT_OK) return 0;
    fuzz_use_tokenizer(tokenizer, "", 0);
    dq_tokenizer_close(tokenizer);
    return 0;
}

void fuzz_seeds(fuzz_sink *sink) {
    fuzz_seed_fixture(sink, "tokenizers/collapsed.model");
    fuzz_seed_fixture(sink, "tokenizers/no_prefix.model");
    fuzz_seed_fixture(sink, "tokenizers/spaces.model");
    fuzz_seed_shared(sink, "models/tok512.model", 1 << 16);
}
