/* Which safetensors files a model directory consists of. */
#ifndef DQ_FORMATS_SHARDS_H
#define DQ_FORMATS_SHARDS_H

#include "base/json.h"

typedef struct dq_shard_list {
    char **paths; /* each once */
    size_t count;
    json_t *index;      /* model.safetensors.index.json, or NULL */
    json_t *weight_map; /* its {tensor: file name}: every value a string and one of paths; or NULL */
} dq_shard_list;

/* path as dq_safetensors_open takes it. Zeroed first; closed by the caller also after a failure. */
dlqat_status dq_shard_list_open(dq_shard_list *list, const char *path, dlqat_error *error);
void dq_shard_list_close(dq_shard_list *list);
/* Number of the path whose last component is file_name, or SIZE_MAX. */
size_t dq_shard_find(const dq_shard_list *list, const char *file_name);

#endif
