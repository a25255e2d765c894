#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

dlqat_status dq_vocabulary_start(dq_vocabulary *vocabulary, const char *where, size_t expected, dlqat_error *error) {
    enum { GAPS = 1 << 20 };
    memset(vocabulary, 0, sizeof *vocabulary);
    if (expected > INT32_MAX / 2)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: %zu tokens are too many", where, expected);
    vocabulary->where = where;
    vocabulary->id_limit = (int64_t)expected + GAPS;
    vocabulary->slot_count = 16;
    while (vocabulary->slot_count < expected * 2) vocabulary->slot_count *= 2;
    vocabulary->slots = calloc(vocabulary->slot_count, sizeof *vocabulary->slots);
    return vocabulary->slots ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the vocabulary", where);
}

void dq_vocabulary_free(dq_vocabulary *vocabulary) {
    dq_buffer_free(&vocabulary->bytes);
    free(vocabulary->entries);
    free(vocabulary->slots);
    memset(vocabulary, 0, sizeof *vocabulary);
}

/* The slot that holds text, or the free one where it belongs. */
static size_t slot_of(const dq_vocabulary *vocabulary, const char *text, size_t length) {
    size_t mask = vocabulary->slot_count - 1, slot = (size_t)XXH3_64bits(text, length) & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t taken = vocabulary->slots[slot];
        if (!taken) return slot;
        const dq_vocabulary_entry *entry = &vocabulary->entries[taken - 1];
        if (entry->length == length && !memcmp(vocabulary->bytes.data + entry->offset, text, length)) return slot;
    }
}

static bool grow_slots(dq_vocabulary *vocabulary) {
    dq_vocabulary larger = *vocabulary;
    larger.slot_count *= 2;
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots) return false;
    for (size_t i = 0; i < vocabulary->slot_count; i++) {
        uint32_t taken = vocabulary->slots[i];
        if (!taken) continue;
        const dq_vocabulary_entry *entry = &vocabulary->entries[taken - 1];
        larger.slots[slot_of(&larger, vocabulary->bytes.data + entry->offset, entry->length)] = taken;
    }
    free(vocabulary->slots);
    *vocabulary = larger;
    return true;
}

static bool make_entry(dq_vocabulary *vocabulary, size_t id) {
    if (id < vocabulary->capacity) return true;
    size_t capacity = vocabulary->capacity ? vocabulary->capacity : 256;
    while (capacity <= id) capacity *= 2;
    dq_vocabulary_entry *larger = realloc(vocabulary->entries, capacity * sizeof *larger);
    if (!larger) return false;
    memset(larger + vocabulary->capacity, 0, (capacity - vocabulary->capacity) * sizeof *larger);
    vocabulary->entries = larger;
    vocabulary->capacity = capacity;
    return true;
}

dlqat_status dq_vocabulary_add(dq_vocabulary *vocabulary, int64_t id, const char *text, size_t length, bool findable,
                               dlqat_error *error) {
    const char *where = vocabulary->where;
    int shown = length < 60 ? (int)length : 60;
    if (id < 0 || id >= vocabulary->id_limit)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: token \"%.*s\" has the id %lld, expected one from 0 to %lld",
                       where, shown, text, (long long)id, (long long)vocabulary->id_limit - 1);
    if (length > UINT32_MAX / 2)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: token %lld is too long", where, (long long)id);
    if (dq_vocabulary_text(vocabulary, id, NULL))
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the id %lld is given to two tokens, \"%.60s\" and \"%.*s\"",
                       where, (long long)id, dq_vocabulary_text(vocabulary, id, NULL), shown, text);
    int32_t other = findable ? dq_vocabulary_find(vocabulary, text, length) : -1;
    if (other >= 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: token \"%.*s\" stands there twice, with the ids %d and %lld",
                       where, shown, text, other, (long long)id);
    bool room = make_entry(vocabulary, (size_t)id);
    if (room && findable && (vocabulary->used + 1) * 2 > vocabulary->slot_count) room = grow_slots(vocabulary);
    size_t offset = vocabulary->bytes.size;
    if (room) {
        dq_buffer_put(&vocabulary->bytes, text, length);
        dq_buffer_put(&vocabulary->bytes, "", 1);
    }
    if (!room || vocabulary->bytes.failed)
        return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the vocabulary", where);
    if (findable) {
        vocabulary->slots[slot_of(vocabulary, text, length)] = (uint32_t)id + 1;
        vocabulary->used++;
    }
    vocabulary->entries[id] = (dq_vocabulary_entry){.offset = offset, .length = (uint32_t)length, .present = true};
    if ((size_t)id >= vocabulary->count) vocabulary->count = (size_t)id + 1;
    return DLQAT_OK;
}

int32_t dq_vocabulary_find(const dq_vocabulary *vocabulary, const char *text, size_t length) {
    if (!vocabulary->slots) return -1;
    uint32_t taken = vocabulary->slots[slot_of(vocabulary, text, length)];
    return taken ? (int32_t)(taken - 1) : -1;
}

const char *dq_vocabulary_text(const dq_vocabulary *vocabulary, int64_t id, size_t *length) {
    if (id < 0 || (size_t)id >= vocabulary->count || !vocabulary->entries[id].present) return NULL;
    if (length) *length = vocabulary->entries[id].length;
    return vocabulary->bytes.data + vocabulary->entries[id].offset;
}
