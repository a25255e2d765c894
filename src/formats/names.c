#include "formats/names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    return strcmp(((const dq_name *)a)->name, ((const dq_name *)b)->name);
}

const char *dq_names_sort(dq_name *entries, size_t count) {
    if (count) qsort(entries, count, sizeof *entries, compare);
    for (size_t i = 1; i < count; i++)
        if (strcmp(entries[i - 1].name, entries[i].name) == 0) return entries[i].name;
    return NULL;
}

size_t dq_names_find(const dq_name *entries, size_t count, const char *name) {
    const dq_name wanted = {name, 0};
    const dq_name *found = count ? bsearch(&wanted, entries, count, sizeof *entries, compare) : NULL;
    return found ? found->index : SIZE_MAX;
}
