/* Between the two ways in which SentencePiece BPE is written down: scores of tokens (SentencePiece, GGUF) and a list of
 * merges (tokenizer.json). */
#include "text/tokenizer_parts.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- Scores to merges ------------------------------------------------------------------------------------------ */

typedef struct split {
    dq_merge merge;
    float score;
    uint32_t left, right; /* characters */
} split;

/* Hugging Face's order: score, then characters on the left, then on the right, descending; then as found. */
static int by_score(const void *a, const void *b) {
    const split *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->left != y->left) return x->left > y->left ? -1 : 1;
    if (x->right != y->right) return x->right > y->right ? -1 : 1;
    return x->merge.rank < y->merge.rank ? -1 : x->merge.rank > y->merge.rank;
}

/* Whether a word can come to hold this token as one symbol: a character, or the outcome of a merge. */
static bool reachable(const dq_bpe *bpe, int32_t id, uint32_t characters) {
    return id >= 0 && (characters == 1 || bpe->mergeable[id]);
}

static dlqat_status add_splits(const dq_tokenizer *tokenizer, int32_t id, split **splits, size_t *count,
                               size_t *capacity, dlqat_error *error) {
    const dq_vocabulary *vocabulary = &tokenizer->vocabulary;
    size_t length;
    const char *text = dq_vocabulary_text(vocabulary, id, &length);
    uint32_t total = 0, left = 0;
    for (size_t i = 0, size; i < length && (size = dq_utf8_next(text + i, length - i, NULL)); i += size) total++;
    for (size_t i = dq_utf8_next(text, length, NULL); i && i < length; i += dq_utf8_next(text + i, length - i, NULL)) {
        left++;
        dq_merge merge = {.left = dq_vocabulary_find(vocabulary, text, i),
                          .right = dq_vocabulary_find(vocabulary, text + i, length - i),
                          .joint = id,
                          .rank = (uint32_t)*count};
        if (!reachable(&tokenizer->bpe, merge.left, left) || !reachable(&tokenizer->bpe, merge.right, total - left))
            continue;
        if (*count == *capacity) {
            size_t wanted = *capacity ? *capacity * 2 : 4096;
            split *larger = realloc(*splits, wanted * sizeof *larger);
            if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its merges", tokenizer->source);
            *splits = larger;
            *capacity = wanted;
        }
        (*splits)[(*count)++] = (split){merge, tokenizer->bpe.scores[id], left, total - left};
    }
    return DLQAT_OK;
}

static dlqat_status merges_from_scores(const dq_tokenizer *tokenizer, dq_merge **merges, size_t *count,
                                       dlqat_error *error) {
    split *splits = NULL;
    size_t capacity = 0;
    dlqat_status status = DLQAT_OK;
    *count = 0;
    for (size_t id = 0; id < tokenizer->vocabulary.count && status == DLQAT_OK; id++)
        if (tokenizer->bpe.mergeable[id]) status = add_splits(tokenizer, (int32_t)id, &splits, count, &capacity, error);
    if (status == DLQAT_OK && *count) {
        qsort(splits, *count, sizeof *splits, by_score);
        *merges = malloc(*count * sizeof **merges);
        if (!*merges) status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its merges", tokenizer->source);
        for (size_t i = 0; i < *count && status == DLQAT_OK; i++) (*merges)[i] = splits[i].merge;
    }
    free(splits);
    return status;
}

dlqat_status dq_tokenizer_merges(const dq_tokenizer *tokenizer, dq_merge **merges, size_t *count, dlqat_error *error) {
    *merges = NULL;
    if (tokenizer->bpe.scores) return merges_from_scores(tokenizer, merges, count, error);
    *count = tokenizer->bpe.merge_count;
    *merges = dq_bpe_sorted_merges(&tokenizer->bpe);
    return *merges ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its merges", tokenizer->source);
}

/* ---- Merges to scores ------------------------------------------------------------------------------------------ */

static dlqat_status no_scores(const dq_tokenizer *tokenizer, int32_t id, dlqat_error *error) {
    return dq_fail(
        error, DLQAT_ERROR_UNSUPPORTED,
        "%s: its merges, at token \"%.60s\", cannot be written as scores, which GGUF has for a tokenizer of this kind",
        tokenizer->source, dq_vocabulary_text(&tokenizer->vocabulary, id, NULL));
}

/* A run of one character, such as of spaces. */
static bool is_run(const dq_tokenizer *tokenizer, int32_t id) {
    size_t length;
    const char *text = dq_vocabulary_text(&tokenizer->vocabulary, id, &length);
    size_t size = dq_utf8_next(text, length, NULL);
    for (size_t i = size; size && i < length; i += size)
        if (length - i < size || memcmp(text, text + i, size)) return false;
    return size != 0;
}

/* Neighbours that make a token must be listed as a merge: scores would merge them anyway. */
static dlqat_status check_splits(const dq_tokenizer *tokenizer, const bool *made, int32_t id, dlqat_error *error) {
    size_t length;
    const char *text = dq_vocabulary_text(&tokenizer->vocabulary, id, &length);
    for (size_t i = dq_utf8_next(text, length, NULL), first = i; i && i < length;
         i += dq_utf8_next(text + i, length - i, NULL)) {
        int32_t left = dq_vocabulary_find(&tokenizer->vocabulary, text, i);
        int32_t right = dq_vocabulary_find(&tokenizer->vocabulary, text + i, length - i);
        if (left < 0 || right < 0) continue;
        bool last = i + dq_utf8_next(text + i, length - i, NULL) == length;
        if ((i != first && !made[left]) || (!last && !made[right])) continue;
        if (!dq_bpe_find_merge(&tokenizer->bpe, left, right)) return no_scores(tokenizer, id, error);
    }
    return DLQAT_OK;
}

/* The earlier the merge that makes a token, the higher its score. Where the merges of several tokens alternate those tokens have
 * one score between them: right for runs of spaces, of which SentencePiece thinks so, too. */
static dlqat_status rank_tokens(const dq_tokenizer *tokenizer, const dq_merge *merges, float *scores, size_t *last,
                                dlqat_error *error) {
    size_t count = tokenizer->bpe.merge_count, class = 0;
    for (size_t i = 0; i < count; i++) last[merges[i].joint] = i;
    for (size_t i = 0; i < count; class ++) {
        size_t end = last[merges[i].joint];
        bool mixed = false;
        for (size_t j = i; j <= end; j++) {
            if (last[merges[j].joint] > end) end = last[merges[j].joint];
            mixed = mixed || merges[j].joint != merges[i].joint;
            scores[merges[j].joint] = -(float)class;
        }
        for (size_t j = i; j <= end && mixed; j++)
            if (!is_run(tokenizer, merges[j].joint)) return no_scores(tokenizer, merges[j].joint, error);
        i = end + 1;
    }
    return DLQAT_OK;
}

dlqat_status dq_tokenizer_scores(const dq_tokenizer *tokenizer, float *scores, dlqat_error *error) {
    size_t count = tokenizer->vocabulary.count;
    if (tokenizer->bpe.scores) {
        memcpy(scores, tokenizer->bpe.scores, count * sizeof *scores);
        return DLQAT_OK;
    }
    if (tokenizer->bpe.merge_count >= 1 << 24) /* scores are floats, which count so far */
        return no_scores(tokenizer, 0, error);
    dq_merge *merges = dq_bpe_sorted_merges(&tokenizer->bpe);
    bool *made = calloc(count, sizeof *made);
    size_t *last = malloc(count * sizeof *last);
    dlqat_status status = DLQAT_OK;
    if (!merges || !made || !last)
        status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for scores", tokenizer->source);
    for (size_t id = 0; id < count; id++) scores[id] = -(float)(1 << 24);
    if (status == DLQAT_OK) status = rank_tokens(tokenizer, merges, scores, last, error);
    for (size_t i = 0; status == DLQAT_OK && i < tokenizer->bpe.merge_count; i++) made[merges[i].joint] = true;
    for (size_t id = 0; status == DLQAT_OK && id < count; id++)
        if (dq_vocabulary_text(&tokenizer->vocabulary, (int64_t)id, NULL) && tokenizer->added_index[id] < 0)
            status = check_splits(tokenizer, made, (int32_t)id, error);
    free(merges);
    free(made);
    free(last);
    return status;
}
