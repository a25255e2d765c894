/* Count, then carve: one allocation for many arrays of known sizes.
 *
 * The same function lays out a structure twice: first with a counting arena (base NULL, every pointer it returns is
 * NULL), which sums the sizes; then with a real one. So what is planned and what is taken cannot differ.
 *
 *     dq_arena arena = {0};
 *     lay_out(&thing, &arena);                       // counts: arena.used
 *     DQ_TRY(dq_arena_reserve(&arena, "activations", error));
 *     lay_out(&thing, &arena);                       // carves
 *     ...
 *     dq_arena_release(&arena);
 */
#ifndef DQ_BASE_ARENA_H
#define DQ_BASE_ARENA_H

#include "base/error.h"

enum { DQ_ALIGNMENT = 64 }; /* a cache line, and the widest vector */

typedef struct dq_arena {
    unsigned char *base; /* NULL while counting */
    size_t used, capacity;
    bool overflow; /* a size did not fit into size_t; reserve then fails */
} dq_arena;

/* count elements of size bytes, aligned to DQ_ALIGNMENT, zero when first carved; NULL while counting. */
void *dq_arena_take(dq_arena *arena, size_t count, size_t size);
/* Allocates what was counted and starts carving from the beginning. Large arenas ask for huge pages. what: for the
 * message of ERROR_MEMORY, e.g. "activations". */
dlqat_status dq_arena_reserve(dq_arena *arena, const char *what, dlqat_error *error);
void dq_arena_release(dq_arena *arena);

/* count * size bytes, aligned and zeroed; NULL with ERROR_MEMORY naming what. Freed with dq_free. */
void *dq_alloc(size_t count, size_t size, const char *what, dlqat_error *error);
void dq_free(void *memory);

#endif
