#define _DEFAULT_SOURCE
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool round_up(size_t count, size_t size, size_t *bytes) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || product > SIZE_MAX - DQ_ALIGNMENT) return false;
    *bytes = (product + DQ_ALIGNMENT - 1) & ~(size_t)(DQ_ALIGNMENT - 1);
    return true;
}

void *dq_arena_take(dq_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!round_up(count, size, &bytes) || bytes > SIZE_MAX - arena->used) {
        arena->overflow = true;
        return NULL;
    }
    size_t at = arena->used;
    arena->used += bytes;
    if (!arena->base || arena->used > arena->capacity) return NULL;
    return arena->base + at;
}

dlqat_status dq_arena_reserve(dq_arena *arena, const char *what, dlqat_error *error) {
    size_t bytes = arena->used ? arena->used : DQ_ALIGNMENT;
    if (arena->overflow) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: the size overflows the address space", what);
    arena->base = dq_alloc(bytes, 1, what, error);
    if (!arena->base) return DLQAT_ERROR_MEMORY;
    arena->capacity = bytes;
    arena->used = 0;
    return DLQAT_OK;
}

void dq_arena_release(dq_arena *arena) {
    dq_free(arena->base);
    memset(arena, 0, sizeof *arena);
}

void *dq_alloc(size_t count, size_t size, const char *what, dlqat_error *error) {
    enum { HUGE_PAGE = 2 << 20 };
    size_t bytes;
    void *memory = NULL;
    if (round_up(count, size, &bytes)) {
        if (bytes == 0) bytes = DQ_ALIGNMENT;
        bool large = bytes >= 4 * (size_t)HUGE_PAGE;
        if (large) bytes = (bytes + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
        memory = aligned_alloc(large ? HUGE_PAGE : DQ_ALIGNMENT, bytes);
        if (memory && large) madvise(memory, bytes, MADV_HUGEPAGE); /* a hint; refusal changes nothing */
        if (memory) memset(memory, 0, bytes);
    }
    if (!memory)
        dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for %s (%zu x %zu bytes): choose a smaller batch or length", what,
                count, size);
    return memory;
}

void dq_free(void *memory) { free(memory); }
