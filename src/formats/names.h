/* A sorted list of names, each with a number: look-up by binary search, duplicates found on the way. */
#ifndef DQ_FORMATS_NAMES_H
#define DQ_FORMATS_NAMES_H

#include "base/error.h"

typedef struct dq_name {
    const char *name; /* borrowed */
    size_t index;
} dq_name;

/* Sorts entries; returns a name that occurs twice, or NULL. */
const char *dq_names_sort(dq_name *entries, size_t count);
/* The index of name, or SIZE_MAX. */
size_t dq_names_find(const dq_name *entries, size_t count, const char *name);

#endif
