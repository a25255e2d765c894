#include "made_text.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"

enum { BYTES = 256, QUAD = 4, LONGEST_SIDE = 23 };

dlqat_status made_text_open(made_text *text, int64_t vocabulary, dlqat_error *error) {
    *text = (made_text){.vocabulary = vocabulary};
    for (int64_t side = 1; side <= LONGEST_SIDE; side++) {
        int64_t quads = vocabulary - 1 - BYTES - 2 * side * side;
        if (quads < 1 || quads > side * side * side * side) continue;
        text->side = (int)side;
        text->quads = quads;
        return DLQAT_OK;
    }
    return dq_fail(error, DLQAT_ERROR_USAGE, "no tokenizer of %lld tokens can be made; 260 to 281000 can",
                   (long long)vocabulary);
}

/* The which-th character of a set. JSON's own two signs are left out. */
static char character(const made_text *text, int set, int64_t which) {
    int code = '!' + set * text->side + (int)which;
    if (code >= '"') code++;
    if (code >= '\\') code++;
    return (char)code;
}

static void spell_quad(const made_text *text, int64_t quad, char out[QUAD + 1]) {
    for (int set = QUAD - 1; set >= 0; set--, quad /= text->side) out[set] = character(text, set, quad % text->side);
    out[QUAD] = '\0';
}

/* GPT-2's letter for a byte: itself where it can be printed, else the next one from U+0100 on. */
static void spell_byte(int byte, char out[3]) {
    int code = byte;
    if (byte <= ' ' || (byte >= 127 && byte <= 160) || byte == 173) {
        code = 256;
        for (int i = 0; i < byte; i++) code += i <= ' ' || (i >= 127 && i <= 160) || i == 173;
    }
    int length = 0;
    if (code >= 128) out[length++] = (char)(0xC0 | code >> 6);
    out[length++] = (char)(code < 128 ? code : 0x80 | (code & 0x3F));
    out[length] = '\0';
}

/* The merge of the first `half` characters of a token with its rest becomes the next token. */
static void add_merge(json_t *vocabulary, json_t *merges, const char *token, int half) {
    json_object_set_new(vocabulary, token, json_integer((json_int_t)json_object_size(vocabulary)));
    json_array_append_new(merges, json_pack("[s#, s]", token, half, token + half));
}

static void fill_vocabulary(const made_text *text, json_t *vocabulary, json_t *merges) {
    char token[QUAD + 1];
    json_object_set_new(vocabulary, "<|endoftext|>", json_integer(0));
    for (int byte = 0; byte < BYTES; byte++) {
        spell_byte(byte, token);
        json_object_set_new(vocabulary, token, json_integer(1 + byte));
    }
    for (int set = 0; set < QUAD; set += 2)
        for (int64_t i = 0; i < (int64_t)text->side * text->side; i++) {
            token[0] = character(text, set, i / text->side);
            token[1] = character(text, set + 1, i % text->side);
            token[2] = '\0';
            add_merge(vocabulary, merges, token, 1);
        }
    for (int64_t i = 0; i < text->quads; i++) {
        spell_quad(text, i, token);
        add_merge(vocabulary, merges, token, 2);
    }
}

static dlqat_status save(json_t *json, const char *directory, const char *name, dlqat_error *error) {
    char *path = dq_path_join(directory, name);
    dlqat_status status = json && path ? dq_json_save(json, path, error)
                                       : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for %s", directory, name);
    json_decref(json);
    free(path);
    return status;
}

dlqat_status made_text_save_tokenizer(const made_text *text, const char *directory, dlqat_error *error) {
    json_t *vocabulary = json_object(), *merges = json_array();
    fill_vocabulary(text, vocabulary, merges);
    bool whole = (int64_t)json_object_size(vocabulary) == text->vocabulary;
    static const char byte_level[] = "ByteLevel";
    json_t *tokenizer = json_pack(
        "{s:s, s:n, s:n, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b, s:b}, s:n,"
        " s:{s:s, s:b, s:b, s:b}, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}}",
        "version", "1.0", "truncation", "padding", "added_tokens", "id", 0, "content", "<|endoftext|>", "single_word",
        0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1, "normalizer", "pre_tokenizer", "type", byte_level,
        "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0, "post_processor", "decoder", "type", byte_level,
        "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0, "model", "type", "BPE", "dropout", "unk_token",
        "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0,
        "vocab", vocabulary, "merges", merges);
    if (!tokenizer || !whole) {
        json_decref(tokenizer);
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a tokenizer", directory);
    }
    DQ_TRY(save(tokenizer, directory, "tokenizer.json", error));
    return save(json_pack("{s:s, s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "eos_token", "<|endoftext|>",
                          "clean_up_tokenization_spaces", 0),
                directory, "tokenizer_config.json", error);
}

dlqat_status made_text_save_rows(const made_text *text, const char *path, int64_t rows, int64_t tokens, uint64_t seed,
                                 dlqat_error *error) {
    dq_buffer line = {0};
    dq_writer out;
    DQ_TRY(dq_writer_open(&out, path, error));
    dlqat_status status = DLQAT_OK;
    for (int64_t row = 0; row < rows && status == DLQAT_OK; row++) {
        line.size = 0;
        dq_buffer_puts(&line, "{\"text\": \"");
        for (int64_t i = 0; i < tokens - 1; i++) { /* the last token is EOS */
            char quad[QUAD + 1];
            double place = dq_random_uniform(seed, DQ_STREAM_SAMPLE, (uint32_t)row, (uint64_t)i);
            spell_quad(text, (int64_t)(place * (double)text->quads), quad);
            dq_buffer_puts(&line, quad);
        }
        dq_buffer_puts(&line, "\"}\n");
        status = dq_buffer_check(&line, path, error);
        if (status == DLQAT_OK) status = dq_writer_put(&out, line.data, line.size, error);
    }
    dq_buffer_free(&line);
    if (status == DLQAT_OK) return dq_writer_commit(&out, error);
    dq_writer_discard(&out);
    return status;
}
