/* A tokenizer that fills a vocabulary of any size, and texts whose number of tokens is known beforehand.
 *
 * The vocabulary: 0 <|endoftext|>, 1 .. 256 the bytes, then pairs and quads of characters. The printable characters are dealt
 * to four sets W, X, Y, Z of `side` each; the merges are W+X, Y+Z, and WX+YZ. No character is in two sets, so a text of
 * quads WXYZWXYZ.. can merge in one way alone: one token a quad. As much of the vocabulary is used as in real text, which
 * decides how many pages of the embedding are touched. */
#ifndef DQ_BENCH_MADE_TEXT_H
#define DQ_BENCH_MADE_TEXT_H

#include "base/error.h"

typedef struct made_text {
    int64_t vocabulary;
    int side;
    int64_t quads;
} made_text;

/* ERROR_USAGE where no such vocabulary is possible. */
dlqat_status made_text_open(made_text *text, int64_t vocabulary, dlqat_error *error);
/* tokenizer.json and tokenizer_config.json, in Hugging Face's forms. */
dlqat_status made_text_save_tokenizer(const made_text *text, const char *directory, dlqat_error *error);
/* JSONL of `rows` objects {"text"}, each of exactly `tokens` tokens, the EOS that training adds included. */
dlqat_status made_text_save_rows(const made_text *text, const char *path, int64_t rows, int64_t tokens, uint64_t seed,
                                 dlqat_error *error);

#endif
