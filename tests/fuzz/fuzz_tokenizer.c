/* tokenizer.json, a text for it, and tokenizer_config.json, with borders between them; opened as a directory. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part parts[3];
    fuzz_split(data, size, parts, 3);
    fuzz_file("tokenizer.json", parts[0].data, parts[0].size);
    if (parts[2].size)
        fuzz_file("tokenizer_config.json", parts[2].data, parts[2].size);
    else
        fuzz_no_file("tokenizer_config.json");
    dlqat_error error;
    dq_tokenizer *tokenizer;
    if (dq_tokenizer_open(&tokenizer, fuzz_directory(), &error) != DLQAT_OK) return 0;
    fuzz_use_tokenizer(tokenizer, parts[1].data, parts[1].size);
    dq_tokenizer_close(tokenizer);
    return 0;
}

void fuzz_seeds(fuzz_sink *sink) {
    static const char *const names[] = {"cased",          "digits_together",  "fallback_partly", "gpt2_nfc_added",
                                        "gpt2_plain",     "ignore_merges",    "legacy",          "legacy_added",
                                        "llama3_regex",   "metaspace_always", "metaspace_first", "metaspace_never",
                                        "prefix_space",   "split_contiguous", "split_inverted",  "split_next",
                                        "split_previous", "split_removed",    "unk_fused",       "unk_single"};
    dq_buffer seed = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        snprintf(name, sizeof name, "tokenizers/%s.json", names[i]);
        fuzz_put_fixture(&seed, name);
        dq_buffer_puts(&seed, FUZZ_BORDER "It's 12345  words, \xc3\xa9t\xc3\xa9 e\xcc\x81 \xe2\x96\x81<s>");
        fuzz_seed_buffer(sink, &seed);
    }
    /* An expression whose steps double with every letter. */
    dq_buffer_puts(&seed,
                   "{\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": "
                   "\"(a+|aa)+[cd]\"}}, \"decoder\": null, \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, "
                   "\"merges\": []}}" FUZZ_BORDER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    fuzz_seed_buffer(sink, &seed);
    static const char *const directories[] = {"datasets/bytes", "datasets/pieces", "eval/plain"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/tokenizer.json", directories[i]);
        fuzz_put_fixture(&seed, name);
        dq_buffer_puts(&seed, FUZZ_BORDER "a text" FUZZ_BORDER);
        snprintf(name, sizeof name, "%s/tokenizer_config.json", directories[i]);
        fuzz_put_fixture(&seed, name);
        fuzz_seed_buffer(sink, &seed);
    }
    dq_buffer_free(&seed);
}
