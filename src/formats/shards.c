#define _DEFAULT_SOURCE
#include "formats/shards.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char single_name[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

/* Appends a copy of path. */
static dlqat_status add(dq_shard_list *list, const char *path, dlqat_error *error) {
    char **longer = realloc(list->paths, (list->count + 1) * sizeof *longer);
    if (longer) list->paths = longer;
    char *copy = longer && path ? strdup(path) : NULL;
    if (!copy) return dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its name", path ? path : "a file");
    list->paths[list->count++] = copy;
    return DLQAT_OK;
}

static dlqat_status add_in(dq_shard_list *list, const char *directory, const char *name, dlqat_error *error) {
    char *path = dq_path_join(directory, name);
    dlqat_status status = add(list, path, error);
    free(path);
    return status;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static dlqat_status read_index(dq_shard_list *list, const char *directory, const char *index_path, dlqat_error *error) {
    DQ_TRY(dq_json_load(index_path, &list->index, error));
    json_t *map = json_object_get(list->index, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: expected \"weight_map\", an object from tensor to file",
                       index_path);
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value) {
        const char *file_name = json_string_value(value);
        /* Only plain names: an index must not reach outside of its directory. */
        if (!file_name || !*file_name || strchr(file_name, '/') || strcmp(file_name, "..") == 0)
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: the file of tensor %s must be a plain file name", index_path,
                           name);
        if (dq_shard_find(list, file_name) != SIZE_MAX) continue;
        DQ_TRY(add_in(list, directory, file_name, error));
        if (!dq_file_exists(list->paths[list->count - 1]))
            return dq_fail(error, DLQAT_ERROR_INPUT, "%s: it names %s, which is not there; was the download complete?",
                           index_path, file_name);
    }
    list->weight_map = map;
    return DLQAT_OK;
}

static bool has_ends(const char *name, const char *start, const char *end) {
    const size_t length = strlen(name), a = strlen(start), b = strlen(end);
    return length >= a + b && strncmp(name, start, a) == 0 && strcmp(name + length - b, end) == 0;
}

/* Several model*.safetensors without an index, as mlx-lm takes them. */
static dlqat_status scan(dq_shard_list *list, const char *path, dlqat_error *error) {
    DIR *directory = opendir(path);
    if (!directory) return dq_fail(error, DLQAT_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
    dlqat_status status = DLQAT_OK;
    struct dirent *entry;
    while (status == DLQAT_OK && (entry = readdir(directory)))
        if (has_ends(entry->d_name, "model", ".safetensors")) status = add_in(list, path, entry->d_name, error);
    closedir(directory);
    DQ_TRY(status);
    if (list->count == 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no %s and no %s in this directory", path, single_name,
                       index_name);
    qsort(list->paths, list->count, sizeof *list->paths, compare);
    return DLQAT_OK;
}

dlqat_status dq_shard_list_open(dq_shard_list *list, const char *path, dlqat_error *error) {
    memset(list, 0, sizeof *list);
    if (!dq_is_directory(path)) return add(list, path, error);
    char *single = dq_path_join(path, single_name), *index = dq_path_join(path, index_name);
    dlqat_status status;
    if (!single || !index)
        status = dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for its name", path);
    else if (dq_file_exists(single))
        status = add(list, single, error);
    else if (dq_file_exists(index))
        status = read_index(list, path, index, error);
    else
        status = scan(list, path, error);
    free(single);
    free(index);
    return status;
}

void dq_shard_list_close(dq_shard_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->paths[i]);
    free(list->paths);
    json_decref(list->index);
    memset(list, 0, sizeof *list);
}

size_t dq_shard_find(const dq_shard_list *list, const char *file_name) {
    for (size_t i = 0; i < list->count; i++) {
        const char *slash = strrchr(list->paths[i], '/');
        if (strcmp(slash ? slash + 1 : list->paths[i], file_name) == 0) return i;
    }
    return SIZE_MAX;
}
