/* Byte-pair merging of one word, in O(n log n).
 *
 * A word starts as its characters. While any two neighbours can be merged, the best such pair is, the leftmost of equals.
 *   ranked:  merges are listed; the earlier in the list the better (tokenizer.json, GGUF "gpt2")
 *   scored:  neighbours can be merged when their joint text is a token; the higher its score the better
 *            (SentencePiece, GGUF "llama") */
#ifndef DQ_TEXT_BPE_H
#define DQ_TEXT_BPE_H

#include "text/tokenizer.h"
#include "text/vocabulary.h"

typedef struct dq_merge {
    int32_t left, right, joint;
    uint32_t rank;
} dq_merge;

enum { DQ_SHORT_POINTS = 0x800 };

typedef struct dq_bpe {
    const dq_vocabulary *vocabulary;
    dq_merge *merges; /* ranked: open addressing over (left, right); rank UINT32_MAX is free */
    size_t merge_slots, merge_count;
    float *scores;   /* scored: by id, vocabulary->count of them; NULL when ranked */
    bool *mergeable; /* scored: which ids may come out of a merge; ranked: never used */
    size_t longest;  /* bytes of the longest token */
    bool byte_fallback, fuse_unk, ignore_merges;
    int32_t unk;                     /* -1: characters without a token vanish */
    int32_t bytes[256];              /* ids of <0x00> .. <0xFF> or -1 */
    int32_t points[DQ_SHORT_POINTS]; /* ids of one-character tokens or -1: saves most look-ups */
    bool *forbidden;                 /* by id: special tokens, which no text may spell; may be NULL */
} dq_bpe;

/* Short words and their ids: most words of a text came before. A word has one place, and the last that came holds it. */
enum { DQ_MEMO_WORDS = 8192, DQ_MEMO_BYTES = 14, DQ_MEMO_IDS = 4 };
typedef struct dq_memo_word {
    uint8_t length, count; /* length 0: free */
    char text[DQ_MEMO_BYTES];
    int32_t ids[DQ_MEMO_IDS];
} dq_memo_word;

/* Memory that words of one dq_bpe share. */
typedef struct dq_bpe_scratch {
    void *symbols, *heap;
    size_t symbol_capacity, heap_capacity;
    dq_memo_word *memo; /* [DQ_MEMO_WORDS], zero at first; NULL: every word is merged anew */
} dq_bpe_scratch;

/* Room for `expected` merges. */
dlqat_status dq_bpe_reserve(dq_bpe *bpe, size_t expected, dlqat_error *error);
/* A pair that is there already takes the new rank, as in Hugging Face's reader. Never more than were reserved. */
void dq_bpe_add_merge(dq_bpe *bpe, dq_merge merge);
const dq_merge *dq_bpe_find_merge(const dq_bpe *bpe, int32_t left, int32_t right);
/* Fills the tables that depend on the vocabulary, once it is complete. */
void dq_bpe_finish(dq_bpe *bpe, const dq_vocabulary *vocabulary);
/* All merges by rank, from malloc; merge_count of them. */
dq_merge *dq_bpe_sorted_merges(const dq_bpe *bpe);
void dq_bpe_free(dq_bpe *bpe);

/* word: well-formed UTF-8, below 2 GiB. */
dlqat_status dq_bpe_encode(const dq_bpe *bpe, dq_bpe_scratch *scratch, const char *word, size_t length, dq_ids *ids,
                           dlqat_error *error);
void dq_bpe_scratch_free(dq_bpe_scratch *scratch);

dlqat_status dq_ids_add(dq_ids *ids, int32_t id, dlqat_error *error);

#endif
