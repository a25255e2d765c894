/* Pre-tokenizers that GGUF files name in tokenizer.ggml.pre. llama.cpp has their expressions in its source; a file
 * holds the name alone. Each expression in turn splits what the ones before left, matches and gaps alike. */
#include "text/tokenizer_parts.h"

#include <string.h>

#define GPT2           "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define APOSTROPHES    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define HF_APOSTROPHES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT4(digits)                                                                                                   \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* Numbers of Unicode 17 that Rust's is_numeric knows already. */
#define DIGITS "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]"

const char dq_gpt2_pattern[] = GPT2;
const char dq_digits_pattern[] = DIGITS;

/* The first of several rows with the same expressions gives the name that is written. */
static const dq_pre pres[] = {
    {"gpt-2", {GPT2}, {GPT2}, false, false},
    {"llama-bpe", {APOSTROPHES GPT4("\\p{N}{1,3}")}, {HF_APOSTROPHES GPT4("\\p{N}{1,3}")}, true, true},
    {"llama3", {APOSTROPHES GPT4("\\p{N}{1,3}")}, {NULL}, true, true},
    {"llama-v3", {APOSTROPHES GPT4("\\p{N}{1,3}")}, {NULL}, true, true},
    {"qwen2", {APOSTROPHES GPT4("\\p{N}")}, {HF_APOSTROPHES GPT4("\\p{N}")}, false, false},
    {"deepseek-r1-qwen", {APOSTROPHES GPT4("\\p{N}")}, {NULL}, false, false},
    {"smollm", {"\\p{N}", GPT2}, {DIGITS, GPT2}, false, false},
    {"starcoder", {"\\p{N}", GPT2}, {NULL}, false, false},
    {"refact", {"\\p{N}", GPT2}, {NULL}, false, false},
    {"command-r", {"\\p{N}", GPT2}, {NULL}, false, false},
    {"default",
     {"[\\p{P}\\$\\+<=>\\^~\\|]+", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
      "\\p{N}+", "[0-9][0-9][0-9]"},
     {NULL},
     false,
     false},
};
enum { PRES = sizeof pres / sizeof *pres };

const dq_pre *dq_pre_by_name(const char *name) {
    for (size_t i = 0; i < PRES; i++)
        if (!strcmp(pres[i].name, name)) return &pres[i];
    return NULL;
}

static bool same_patterns(const char *const *patterns, const char *const *found, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!patterns[i] || strcmp(patterns[i], found[i])) return false;
    return count == DQ_PRE_PATTERNS || !patterns[count];
}

const dq_pre *dq_pre_by_steps(const dq_steps *pretokenizer, bool ignore_merges) {
    const char *found[DQ_PRE_PATTERNS];
    size_t count = 0;
    bool byte_level = false;
    for (size_t i = 0; i < pretokenizer->count; i++) {
        const dq_step *step = &pretokenizer->at[i];
        if (byte_level || step->literal || (step->kind != DQ_STEP_SPLIT && step->kind != DQ_STEP_BYTE_LEVEL))
            return NULL;
        byte_level = step->kind == DQ_STEP_BYTE_LEVEL;
        if (step->add_prefix_space || step->invert) return NULL;
        if (!step->source) continue;
        if (count == DQ_PRE_PATTERNS || step->behaviour != DQ_SPLIT_ISOLATED) return NULL;
        found[count++] = step->source;
    }
    if (!byte_level || !count) return NULL;
    for (size_t i = 0; i < PRES; i++)
        if (pres[i].ignore_merges == ignore_merges &&
            (same_patterns(pres[i].patterns, found, count) || same_patterns(pres[i].hf_patterns, found, count)))
            return &pres[i];
    return NULL;
}
