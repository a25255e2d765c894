#include "commands/compare_kept.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"

static void drop_incidental(json_t *options) {
    static const char *const incidental[] = {"out",
                                             "resume",
                                             "json",
                                             "threads",
                                             "kernels",
                                             "profile",
                                             "logging_steps",
                                             "save_steps",
                                             "save_total_limit",
                                             "resident_weights",
                                             "checkpoint_activations"};
    for (size_t i = 0; i < sizeof incidental / sizeof incidental[0]; i++) json_object_del(options, incidental[i]);
}

json_t *dq_kept_options(const dlqat_options *options) {
    json_t *record = dq_options_to_json(options);
    json_t *kept = json_deep_copy(json_object_get(record, "options"));
    json_decref(record);
    if (kept) drop_incidental(kept);
    return kept;
}

dlqat_status dq_kept_check_run(const char *run, const dlqat_options *options, dlqat_error *error) {
    char *path = dq_path_join(run, "config.json");
    json_t *now = dq_kept_options(options), *record = NULL, *value;
    const char *key;
    dlqat_status status =
        path && now ? dq_json_load(path, &record, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
    const json_t *then = json_object_get(record, "options");
    json_object_foreach(now, key, value) {
        if (status != DLQAT_OK || json_equal(value, json_object_get(then, key))) continue;
        status = dq_fail(error, DLQAT_ERROR_USAGE,
                         "%s was made with another %s: choose another --out, or remove that directory", run, key);
    }
    json_decref(record);
    json_decref(now);
    free(path);
    return status;
}

bool dq_kept_find(const char *path, const json_t *asked, json_t *row) {
    json_t *kept = NULL;
    dlqat_error error;
    if (!dq_file_exists(path) || dq_json_load(path, &kept, &error) != DLQAT_OK) return false;
    bool same = json_equal(json_object_get(kept, "asked"), asked) && json_is_object(json_object_get(kept, "figures"));
    if (same) json_object_update(row, json_object_get(kept, "figures"));
    json_decref(kept);
    return same;
}

dlqat_status dq_kept_save(const char *path, json_t *asked, json_t *figures, dlqat_error *error) {
    json_t *kept = json_pack("{s:O, s:O}", "asked", asked, "figures", figures);
    dlqat_status status = kept ? dq_json_save(kept, path, error)
                               : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for the figures", path);
    json_decref(kept);
    return status;
}
