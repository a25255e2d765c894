#include "text/bpe.h"

#include "base/half.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- Tables ---------------------------------------------------------------------------------------------------- */

static dq_merge *slot_of(const dq_bpe *bpe, int32_t left, int32_t right) {
    int32_t pair[2] = {left, right};
    size_t mask = bpe->merge_slots - 1, slot = (size_t)XXH3_64bits(pair, sizeof pair) & mask;
    while (bpe->merges[slot].rank != UINT32_MAX && (bpe->merges[slot].left != left || bpe->merges[slot].right != right))
        slot = (slot + 1) & mask;
    return &bpe->merges[slot];
}

dlqat_status dq_bpe_reserve(dq_bpe *bpe, size_t expected, dlqat_error *error) {
    bpe->merge_slots = 16;
    while (bpe->merge_slots / 2 < expected) bpe->merge_slots *= 2;
    bpe->merges = malloc(bpe->merge_slots * sizeof *bpe->merges);
    if (!bpe->merges) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for %zu merges", expected);
    for (size_t i = 0; i < bpe->merge_slots; i++) bpe->merges[i] = (dq_merge){.rank = UINT32_MAX};
    return DLQAT_OK;
}

void dq_bpe_add_merge(dq_bpe *bpe, dq_merge merge) {
    dq_merge *slot = slot_of(bpe, merge.left, merge.right);
    bpe->merge_count += slot->rank == UINT32_MAX;
    *slot = merge;
}

const dq_merge *dq_bpe_find_merge(const dq_bpe *bpe, int32_t left, int32_t right) {
    if (!bpe->merges || left < 0 || right < 0) return NULL;
    const dq_merge *slot = slot_of(bpe, left, right);
    return slot->rank == UINT32_MAX ? NULL : slot;
}

void dq_bpe_finish(dq_bpe *bpe, const dq_vocabulary *vocabulary) {
    bpe->vocabulary = vocabulary;
    bpe->longest = 0;
    for (size_t id = 0; id < vocabulary->count; id++) {
        size_t length;
        if (dq_vocabulary_text(vocabulary, (int64_t)id, &length) && length > bpe->longest) bpe->longest = length;
    }
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        bpe->bytes[byte] = dq_vocabulary_find(vocabulary, name, 6);
    }
    for (uint32_t point = 0; point < DQ_SHORT_POINTS; point++) {
        char text[4];
        bpe->points[point] = dq_vocabulary_find(vocabulary, text, dq_utf8_put(point, text));
    }
}

static int by_rank(const void *a, const void *b) {
    uint32_t x = ((const dq_merge *)a)->rank, y = ((const dq_merge *)b)->rank;
    return x < y ? -1 : x > y;
}

dq_merge *dq_bpe_sorted_merges(const dq_bpe *bpe) {
    dq_merge *sorted = malloc((bpe->merge_count + 1) * sizeof *sorted);
    if (!sorted) return NULL;
    size_t count = 0;
    for (size_t i = 0; i < bpe->merge_slots; i++)
        if (bpe->merges[i].rank != UINT32_MAX) sorted[count++] = bpe->merges[i];
    qsort(sorted, count, sizeof *sorted, by_rank);
    return sorted;
}

void dq_bpe_free(dq_bpe *bpe) {
    free(bpe->merges);
    free(bpe->scores);
    free(bpe->mergeable);
    free(bpe->forbidden);
    memset(bpe, 0, sizeof *bpe);
}

/* ---- One word -------------------------------------------------------------------------------------------------- */

typedef struct symbol {
    int32_t id;             /* -1: no token has this text */
    int32_t previous, next; /* indices of neighbours, -1 at the ends */
    uint32_t start, length; /* length 0: merged into its left neighbour */
} symbol;

typedef struct candidate {
    uint64_t key; /* (badness, index of the left symbol): the least is merged first */
    int32_t joint;
    uint32_t length; /* of the joint text when the candidate was made; tells outdated ones */
} candidate;

typedef struct word {
    const dq_bpe *bpe;
    const char *text;
    symbol *symbols;
    size_t symbol_count;
    dq_bpe_scratch *scratch;
    size_t heap_count;
} word;

static dlqat_status reserve(void **memory, size_t *capacity, size_t count, size_t size, dlqat_error *error) {
    if (count <= *capacity) return DLQAT_OK;
    size_t wanted = *capacity ? *capacity : 64;
    while (wanted < count) wanted *= 2;
    void *larger = wanted <= SIZE_MAX / size ? realloc(*memory, wanted * size) : NULL;
    if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory to tokenize a word of %zu characters", count);
    *memory = larger;
    *capacity = wanted;
    return DLQAT_OK;
}

static dlqat_status push(word *w, candidate entry, dlqat_error *error) {
    DQ_TRY(reserve(&w->scratch->heap, &w->scratch->heap_capacity, w->heap_count + 1, sizeof entry, error));
    candidate *heap = w->scratch->heap;
    size_t i = w->heap_count++;
    while (i && heap[(i - 1) / 2].key > entry.key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = entry;
    return DLQAT_OK;
}

static candidate pop(word *w) {
    candidate *heap = w->scratch->heap, best = heap[0], last = heap[--w->heap_count];
    size_t i = 0, count = w->heap_count;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= count) break;
        if (child + 1 < count && heap[child + 1].key < heap[child].key) child++;
        if (heap[child].key >= last.key) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return best;
}

/* Floats to integers that grow as the float falls. */
static uint32_t badness_of_score(float score) {
    uint32_t bits = dq_f32_bits(score + 0.0f); /* -0 counts as 0 */
    return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

static bool is_forbidden(const dq_bpe *bpe, int32_t id) {
    return bpe->forbidden && id >= 0 && bpe->forbidden[id];
}

/* What becomes of symbol `left` and its right neighbour; false when they cannot be merged. */
static bool joint_of(const word *w, int32_t left, candidate *out) {
    const dq_bpe *bpe = w->bpe;
    const symbol *a = &w->symbols[left];
    if (a->next < 0) return false;
    const symbol *b = &w->symbols[a->next];
    uint32_t badness;
    if (!bpe->scores) {
        const dq_merge *merge = dq_bpe_find_merge(bpe, a->id, b->id);
        if (!merge || is_forbidden(bpe, merge->joint)) return false;
        badness = merge->rank;
        out->joint = merge->joint;
    } else {
        size_t length = (size_t)a->length + b->length;
        out->joint = length > bpe->longest ? -1 : dq_vocabulary_find(bpe->vocabulary, w->text + a->start, length);
        if (out->joint < 0 || !bpe->mergeable[out->joint]) return false;
        badness = badness_of_score(bpe->scores[out->joint]);
    }
    out->key = (uint64_t)badness << 32 | (uint32_t)left;
    out->length = a->length + b->length;
    return true;
}

static dlqat_status propose(word *w, int32_t left, dlqat_error *error) {
    candidate entry;
    return left >= 0 && joint_of(w, left, &entry) ? push(w, entry, error) : DLQAT_OK;
}

static dlqat_status merge_all(word *w, dlqat_error *error) {
    symbol *symbols = w->symbols;
    w->heap_count = 0;
    for (size_t i = 0; i + 1 < w->symbol_count; i++) DQ_TRY(propose(w, (int32_t)i, error));
    while (w->heap_count) {
        candidate best = pop(w), now;
        int32_t left = (int32_t)(uint32_t)best.key;
        symbol *a = &symbols[left];
        /* Outdated when either side has changed since. That the result is the same one is what Hugging Face asks for,
         * whatever the rank is now. */
        if (!a->length || !joint_of(w, left, &now) || now.joint != best.joint) continue;
        if (w->bpe->scores && now.length != best.length) continue;
        symbol *b = &symbols[a->next];
        a->id = best.joint;
        a->length += b->length;
        a->next = b->next;
        b->length = 0;
        if (a->next >= 0) symbols[a->next].previous = left;
        DQ_TRY(propose(w, a->previous, error));
        DQ_TRY(propose(w, left, error));
    }
    return DLQAT_OK;
}

static void add_symbol(word *w, int32_t id, size_t start, size_t length) {
    int32_t index = (int32_t)w->symbol_count++;
    w->symbols[index] = (symbol){
        .id = id, .previous = index - 1, .next = index + 1, .start = (uint32_t)start, .length = (uint32_t)length};
}

static int32_t id_of_character(const dq_bpe *bpe, const char *text, size_t size, uint32_t point) {
    int32_t id = point < DQ_SHORT_POINTS ? bpe->points[point] : dq_vocabulary_find(bpe->vocabulary, text, size);
    return is_forbidden(bpe, id) ? -1 : id;
}

static bool has_bytes(const dq_bpe *bpe, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bpe->bytes[(unsigned char)text[i]] < 0) return false;
    return true;
}

/* Ranked: characters without a token become bytes or unk before anything is merged. */
static void resolve_first(word *w, size_t length) {
    const dq_bpe *bpe = w->bpe;
    bool pending = false; /* an unk that is not in the list yet, because more may be fused into it */
    size_t pending_start = 0, pending_length = 0;
    for (size_t i = 0, size; i < length; i += size) {
        uint32_t point;
        size = dq_utf8_next(w->text + i, length - i, &point);
        if (!size) break; /* cannot be: the text is well-formed */
        int32_t id = id_of_character(bpe, w->text + i, size, point);
        if (id < 0 && bpe->byte_fallback && has_bytes(bpe, w->text + i, size)) {
            /* A pending unk stays pending, and so lands behind these bytes: Hugging Face's order. */
            for (size_t j = 0; j < size; j++) add_symbol(w, bpe->bytes[(unsigned char)w->text[i + j]], i + j, 1);
            continue;
        }
        if (id < 0 && bpe->unk < 0) continue;
        if (pending && (id >= 0 || !bpe->fuse_unk)) {
            add_symbol(w, bpe->unk, pending_start, pending_length);
            pending = false;
        }
        if (id >= 0)
            add_symbol(w, id, i, size);
        else {
            pending_start = pending ? pending_start : i;
            pending_length = (pending ? pending_length : 0) + size;
            pending = true;
        }
    }
    if (pending) add_symbol(w, bpe->unk, pending_start, pending_length);
}

static void resolve_later(word *w, size_t length) {
    for (size_t i = 0, size; i < length; i += size) {
        uint32_t point;
        size = dq_utf8_next(w->text + i, length - i, &point);
        if (!size) break;
        add_symbol(w, id_of_character(w->bpe, w->text + i, size, point), i, size);
    }
}

/* Scored: what is no token after merging becomes bytes, or unk, one for a run of them. */
static dlqat_status emit_rest(const dq_bpe *bpe, const char *text, size_t size, bool *after_unk, dq_ids *ids,
                              dlqat_error *error) {
    if (bpe->byte_fallback && has_bytes(bpe, text, size)) {
        for (size_t i = 0; i < size; i++) DQ_TRY(dq_ids_add(ids, bpe->bytes[(unsigned char)text[i]], error));
        *after_unk = false;
    } else if (bpe->unk >= 0 && !(*after_unk && bpe->fuse_unk)) {
        DQ_TRY(dq_ids_add(ids, bpe->unk, error));
        *after_unk = true;
    }
    return DLQAT_OK;
}

static bool usable(const dq_bpe *bpe, int32_t id) {
    return id >= 0 && !(bpe->scores && !bpe->mergeable[id]);
}

static dlqat_status encode_word(const dq_bpe *bpe, dq_bpe_scratch *scratch, const char *text, size_t length,
                                dq_ids *ids, dlqat_error *error) {
    if (length > INT32_MAX) return dq_fail(error, DLQAT_ERROR_INPUT, "a word of %zu bytes is too long", length);
    if (bpe->ignore_merges && length <= bpe->longest) {
        int32_t whole = dq_vocabulary_find(bpe->vocabulary, text, length);
        if (whole >= 0 && !is_forbidden(bpe, whole)) return dq_ids_add(ids, whole, error);
    }
    DQ_TRY(reserve(&scratch->symbols, &scratch->symbol_capacity, length, sizeof(symbol), error));
    word w = {.bpe = bpe, .text = text, .symbols = scratch->symbols, .scratch = scratch};
    if (bpe->scores)
        resolve_later(&w, length);
    else
        resolve_first(&w, length);
    if (!w.symbol_count) return DLQAT_OK;
    w.symbols[w.symbol_count - 1].next = -1;
    DQ_TRY(merge_all(&w, error));
    bool after_unk = false;
    for (int32_t i = 0; i >= 0; i = w.symbols[i].next) {
        const symbol *s = &w.symbols[i];
        if (usable(bpe, s->id)) {
            DQ_TRY(dq_ids_add(ids, s->id, error));
            after_unk = false;
        } else
            DQ_TRY(emit_rest(bpe, text + s->start, s->length, &after_unk, ids, error));
    }
    return DLQAT_OK;
}

dlqat_status dq_bpe_encode(const dq_bpe *bpe, dq_bpe_scratch *scratch, const char *text, size_t length, dq_ids *ids,
                           dlqat_error *error) {
    if (!scratch->memo || length == 0 || length > DQ_MEMO_BYTES)
        return encode_word(bpe, scratch, text, length, ids, error);
    dq_memo_word *known = &scratch->memo[XXH3_64bits(text, length) % DQ_MEMO_WORDS];
    if (known->length == length && memcmp(known->text, text, length) == 0) {
        for (int i = 0; i < known->count; i++) DQ_TRY(dq_ids_add(ids, known->ids[i], error));
        return DLQAT_OK;
    }
    const size_t before = ids->count;
    DQ_TRY(encode_word(bpe, scratch, text, length, ids, error));
    if (ids->count - before > DQ_MEMO_IDS) return DLQAT_OK;
    known->length = (uint8_t)length;
    known->count = (uint8_t)(ids->count - before);
    memcpy(known->text, text, length);
    for (int i = 0; i < known->count; i++) known->ids[i] = ids->at[before + (size_t)i];
    return DLQAT_OK;
}

void dq_bpe_scratch_free(dq_bpe_scratch *scratch) {
    free(scratch->memo);
    free(scratch->symbols);
    free(scratch->heap);
    memset(scratch, 0, sizeof *scratch);
}

dlqat_status dq_ids_add(dq_ids *ids, int32_t id, dlqat_error *error) {
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity * 2 : 64;
        int32_t *larger = realloc(ids->at, capacity * sizeof *larger);
        if (!larger) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for %zu ids", capacity);
        ids->at = larger;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
    return DLQAT_OK;
}

void dq_ids_free(dq_ids *ids) {
    free(ids->at);
    memset(ids, 0, sizeof *ids);
}
