/* Token strings by id, and ids by token string. */
#ifndef DQ_TEXT_VOCABULARY_H
#define DQ_TEXT_VOCABULARY_H

#include "base/buffer.h"

typedef struct dq_vocabulary_entry {
    size_t offset; /* into bytes */
    uint32_t length;
    bool present;
} dq_vocabulary_entry;

typedef struct dq_vocabulary {
    dq_buffer bytes; /* the strings, each followed by a NUL */
    dq_vocabulary_entry *entries;
    size_t count, capacity; /* count: highest id + 1 */
    uint32_t *slots;        /* open addressing: id + 1, 0 is free */
    size_t slot_count, used;
    int64_t id_limit;  /* ids at or beyond it are refused: a file must not make us allocate what it does not fill */
    const char *where; /* the file, for messages; borrowed */
} dq_vocabulary;

/* expected: number of entries that will be added. */
dlqat_status dq_vocabulary_start(dq_vocabulary *vocabulary, const char *where, size_t expected, dlqat_error *error);
void dq_vocabulary_free(dq_vocabulary *vocabulary);

/* ERROR_INPUT when the id is negative, beyond the limit, or taken; or, with findable, the string is. Not findable: the id has a
 * string, but dq_vocabulary_find does not give it (added tokens are no part of the model's vocabulary). */
dlqat_status dq_vocabulary_add(dq_vocabulary *vocabulary, int64_t id, const char *text, size_t length, bool findable,
                               dlqat_error *error);
/* The id or -1. */
int32_t dq_vocabulary_find(const dq_vocabulary *vocabulary, const char *text, size_t length);
/* NULL when out of range or a gap; length may be NULL. Stable once all entries are added. */
const char *dq_vocabulary_text(const dq_vocabulary *vocabulary, int64_t id, size_t *length);

#endif
