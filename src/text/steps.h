/* What tokenizer.json calls normalizer, pre_tokenizer and decoder: chains of steps over text. Every source of a
 * tokenizer (JSON, GGUF, SentencePiece) is brought into these steps, and every export writes them out again. */
#ifndef DQ_TEXT_STEPS_H
#define DQ_TEXT_STEPS_H

#include "text/pattern.h"

typedef enum dq_step_kind {
    DQ_STEP_UNICODE_FORM, /* normalizer: NFC, NFD, NFKC, NFKD */
    DQ_STEP_PREPEND,      /* normalizer: content before a text that is not empty */
    DQ_STEP_REPLACE,      /* normalizer, decoder: pattern by content */
    DQ_STEP_SPLIT,        /* pre-tokenizer */
    DQ_STEP_BYTE_LEVEL, /* pre-tokenizer: splits where there is a pattern, then each byte becomes a printable character;
                             decoder: back */
    DQ_STEP_METASPACE,  /* pre-tokenizer: spaces become content, one is put in front; decoder: back */
    DQ_STEP_BYTE_FALLBACK, /* decoder: <0xAB> becomes the byte */
    DQ_STEP_FUSE,          /* decoder: all tokens become one */
    DQ_STEP_STRIP          /* decoder: up to `left` and `right` times content off the ends */
} dq_step_kind;

typedef enum dq_split_behaviour {
    DQ_SPLIT_ISOLATED,
    DQ_SPLIT_REMOVED,
    DQ_SPLIT_MERGED_WITH_PREVIOUS,
    DQ_SPLIT_MERGED_WITH_NEXT,
    DQ_SPLIT_CONTIGUOUS
} dq_split_behaviour;

typedef enum dq_unicode_form { DQ_NFC, DQ_NFD, DQ_NFKC, DQ_NFKD } dq_unicode_form;
typedef enum dq_prepend { DQ_PREPEND_ALWAYS, DQ_PREPEND_FIRST, DQ_PREPEND_NEVER } dq_prepend;

typedef struct dq_step {
    dq_step_kind kind;
    dq_unicode_form form;
    dq_split_behaviour behaviour;
    dq_prepend prepend;    /* METASPACE */
    bool invert;           /* SPLIT: what does not match is the delimiter */
    bool literal;          /* source is no expression */
    bool add_prefix_space; /* BYTE_LEVEL */
    bool split;            /* METASPACE: at every content */
    int64_t left, right;   /* STRIP */
    char *source;          /* of pattern; owned */
    size_t source_length;
    char *content; /* owned */
    size_t content_length;
    dq_pattern *pattern;
} dq_step;

typedef struct dq_steps {
    dq_step *at;
    size_t count, capacity;
} dq_steps;

/* Appends a copy of step with its pattern compiled; source and content are copied, and may be NULL. */
dlqat_status dq_steps_add(dq_steps *steps, const dq_step *step, const char *where, dlqat_error *error);
void dq_steps_free(dq_steps *steps);

/* Text in consecutive pieces: piece i is text[ends[i - 1] .. ends[i]). */
typedef struct dq_pieces {
    dq_buffer text;
    size_t *ends;
    size_t count, capacity;
} dq_pieces;

/* Ends a piece where text now ends. */
dlqat_status dq_pieces_end(dq_pieces *pieces, dlqat_error *error);
void dq_pieces_clear(dq_pieces *pieces);
void dq_pieces_free(dq_pieces *pieces);

/* text[0 .. length), well-formed UTF-8, through a normalizer; the result is appended to out. */
dlqat_status dq_normalize(const dq_steps *steps, const char *text, size_t length, dq_buffer *out, dlqat_error *error);
/* A normalized text into words. first: it stands at the beginning of the whole text. Empty words are left out. words is
 * cleared first. */
dlqat_status dq_pretokenize(const dq_steps *steps, const char *text, size_t length, bool first, dq_pieces *words,
                            dlqat_error *error);
/* Token strings, one a piece, to text: bytes, which may be ill-formed UTF-8 where the tokens' are. Without steps they are
 * joined with spaces. tokens is used up. */
dlqat_status dq_detokenize(const dq_steps *steps, bool has_decoder, dq_pieces *tokens, dq_buffer *out,
                           dlqat_error *error);

/* GPT-2's printable stand-ins: byte -> code point, and back (-1: stands for no byte). */
uint32_t dq_byte_to_point(unsigned char byte);
int dq_point_to_byte(uint32_t point);

#endif
