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

/* The pointer that calloc gave stands in front of the aligned block: fresh pages come zeroed from the system, and are not
 * touched (so not resident) before they are used. */
void *dq_alloc(size_t count, size_t size, const char *what, dlqat_error *error) {
    enum { HUGE_PAGE = 2 << 20 };
    size_t bytes;
    if (round_up(count, size, &bytes)) {
        size_t alignment = bytes >= 4 * (size_t)HUGE_PAGE ? HUGE_PAGE : DQ_ALIGNMENT, room = alignment + sizeof(void *);
        unsigned char *raw = bytes <= SIZE_MAX - room ? calloc(bytes + room, 1) : NULL;
        if (raw) {
            uintptr_t at = ((uintptr_t)raw + sizeof(void *) + alignment - 1) & ~(uintptr_t)(alignment - 1);
            void **block = (void **)at;
            block[-1] = raw;
            if (alignment == HUGE_PAGE) madvise(block, bytes, MADV_HUGEPAGE); /* a hint; refusal changes nothing */
            return block;
        }
    }
    dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for %s (%zu x %zu bytes): choose a smaller batch or length", what,
            count, size);
    return NULL;
}

void dq_free(void *memory) {
    if (memory) free(((void **)memory)[-1]);
}
