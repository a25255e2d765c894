/* Added tokens: strings that are cut out of a text before the model sees it. Of those that match at the leftmost place the
 * longest is taken. Raw ones match the text as it is, normalized ones (their content normalized, too) after the normalizer. */
#ifndef DQ_TEXT_ADDED_TOKENS_H
#define DQ_TEXT_ADDED_TOKENS_H

#include "base/buffer.h"

typedef struct dq_added_token {
    int32_t id;
    char *content; /* owned */
    size_t length;
    char *shown; /* what decoding gives: the content, normalized if that is how it is matched; owned */
    size_t shown_length;
    bool single_word;    /* not within a word */
    bool lstrip, rstrip; /* takes the white space on that side along */
    bool normalized, special;
} dq_added_token;

/* A node's children are a list in no particular order, but the root has a table. */
typedef struct dq_trie_node {
    uint32_t child, sibling; /* 0: none */
    int32_t token;           /* index into at, -1: none ends here */
    unsigned char byte;
} dq_trie_node;

typedef struct dq_trie {
    dq_trie_node *nodes; /* nodes[0] is unused */
    size_t count, capacity;
    uint32_t root[256];
} dq_trie;

typedef struct dq_added_tokens {
    dq_added_token *at;
    size_t count, capacity;
    dq_trie raw, normalized;
} dq_added_tokens;

/* Appends a copy of token. */
dlqat_status dq_added_tokens_add(dq_added_tokens *tokens, const dq_added_token *token, dlqat_error *error);
void dq_added_tokens_free(dq_added_tokens *tokens);
/* Enters pattern as what token `index` looks like in one of the two kinds of text. Of equal patterns the first stays; an
 * empty one is left out. */
dlqat_status dq_trie_insert(dq_trie *trie, const char *pattern, size_t length, int32_t index, dlqat_error *error);

/* A walk along one text. */
typedef struct dq_added_walk {
    const dq_added_tokens *tokens;
    const dq_trie *trie;
    const char *text;
    size_t length;
    bool skip_special;  /* special tokens are text */
    size_t search;      /* where the next match may begin */
    size_t plain_start; /* where the text begins that belongs to no token yet */
} dq_added_walk;

/* The next token, and the text before it: text[*start .. *end), perhaps empty. NULL at the end, with the last of the text. */
const dq_added_token *dq_added_next(dq_added_walk *walk, size_t *start, size_t *end);

#endif
