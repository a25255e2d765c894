#include "train/checkpoint.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The arrays of a parameter that a checkpoint holds. */
static const char *const suffixes[] = {"", ".exp_avg", ".exp_avg_sq"};
enum { ARRAYS = sizeof suffixes / sizeof suffixes[0] };

static float *array_of(const dq_parameter *p, int which) {
    float *const arrays[ARRAYS] = {p->value, p->moment1, p->moment2};
    return arrays[which];
}

/* Moments mean something in the phase of the last step alone: in the other their place may be another parameter's. */
static dq_trained live(const dq_quantizer_set *set, const dq_trainer_state *state) {
    return dq_recipe_trained(&set->recipe, state->step <= state->phase1_steps && state->phase1_steps > 0 ? 1 : 2);
}

/* Calls f for every array that a checkpoint holds after this state, with its name; stops at the first failure. */
typedef dlqat_status array_fn(void *user, const char *name, const dq_parameter *p, float *array, dlqat_error *error);

static dlqat_status each_array(dq_quantizer_set *set, const dq_trainer_state *state, array_fn *f, void *user,
                               dlqat_error *error) {
    dq_trained trained = live(set, state);
    for (int i = 0; i < set->count; i++) {
        dq_quantizer *q = &set->at[i];
        for (int kind = 0; q->out && kind < DQ_PARAMETERS; kind++)
            for (int which = 0; which < ARRAYS; which++) {
                char name[512];
                float *array = array_of(&q->parameter[kind], which);
                if (!array || (which > 0 && !dq_quantizer_trains(q, (dq_parameter_kind)kind, trained))) continue;
                snprintf(name, sizeof name, "%s.%s%s", q->name, dq_parameter_name(kind), suffixes[which]);
                DQ_TRY(f(user, name, &q->parameter[kind], array, error));
            }
    }
    return DLQAT_OK;
}

/* ---- Saving ---------------------------------------------------------------------------------------------------------- */

static dlqat_status declare_array(void *user, const char *name, const dq_parameter *p, float *array,
                                  dlqat_error *error) {
    int64_t shape[2] = {p->rows, p->columns};
    return dq_safetensors_declare(user, name, DQ_F32, 2, shape, array, error);
}

static dlqat_status save_arrays(dq_quantizer_set *set, const dq_trainer_state *state, const char *path,
                                dlqat_error *error) {
    dq_safetensors_writer *writer;
    DQ_TRY(dq_safetensors_create(&writer, path, error));
    dq_safetensors_set_metadata(writer, "format", "pt");
    dlqat_status status = each_array(set, state, declare_array, writer, error);
    const dq_tensor *tensor = NULL;
    void *array;
    while (status == DLQAT_OK && (status = dq_safetensors_next(writer, &tensor, &array, error)) == DLQAT_OK && tensor)
        status = dq_safetensors_put(writer, array, (size_t)dq_tensor_elements(tensor) * sizeof(float), error);
    if (status == DLQAT_OK) return dq_safetensors_finish(writer, error);
    dq_safetensors_abandon(writer);
    return status;
}

static dlqat_status save_state(const dq_trainer_state *state, const dq_recipe *recipe, const char *path,
                               dlqat_error *error) {
    json_t *json = json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "version", 1, "method", recipe->name,
                             "step", (json_int_t)state->step, "max_steps", (json_int_t)state->max_steps, "phase1_steps",
                             (json_int_t)state->phase1_steps, "tokens", (json_int_t)state->tokens, "loss_sum",
                             state->loss_sum, "seconds", state->seconds, "best_step", (json_int_t)state->best_step);
    if (json && isfinite(state->best_eval_loss))
        json_object_set_new(json, "best_eval_loss", json_real(state->best_eval_loss));
    dlqat_status status =
        json ? dq_json_save(json, path, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", path);
    json_decref(json);
    return status;
}

dlqat_status dq_checkpoint_save(dq_trainer *trainer, const char *run, dlqat_error *error) {
    dq_quantizer_set *set = dq_trainer_quantizers(trainer);
    const dq_trainer_state *state = dq_trainer_get_state(trainer);
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)state->step);
    char *path = dq_path_join(run, name), *arrays = NULL, *json = NULL;
    dq_staging staging = {0};
    dlqat_status status =
        path ? dq_staging_open(&staging, path, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
    if (status == DLQAT_OK) {
        arrays = dq_path_join(staging.temporary, "state.safetensors");
        json = dq_path_join(staging.temporary, "trainer_state.json");
        status = arrays && json ? save_arrays(set, state, arrays, error)
                                : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", path);
    }
    if (status == DLQAT_OK) status = save_state(state, &set->recipe, json, error);
    if (status == DLQAT_OK)
        status = dq_staging_commit(&staging, error);
    else
        dq_staging_discard(&staging);
    free(arrays);
    free(json);
    free(path);
    return status;
}

/* ---- Loading --------------------------------------------------------------------------------------------------------- */

typedef struct loading {
    const dq_safetensors *file;
    const char *where;
    bool commit; /* first all are checked, then all are copied */
} loading;

static dlqat_status load_array(void *user, const char *name, const dq_parameter *p, float *array, dlqat_error *error) {
    const loading *from = user;
    const dq_tensor *tensor = dq_safetensors_find(from->file, name);
    int64_t shape[2] = {p->rows, p->columns};
    if (!tensor)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: no tensor %s: the checkpoint is of a run with other options",
                       from->where, name);
    DQ_TRY(dq_tensor_expect(tensor, from->where, 2, shape, error));
    if (tensor->dtype != DQ_F32)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: tensor %s is %s, expected F32", from->where, name,
                       dq_dtype_info(tensor->dtype)->name);
    if (from->commit) memcpy(array, tensor->data, tensor->bytes);
    return DLQAT_OK;
}

static dlqat_status load_arrays(dq_quantizer_set *set, const dq_trainer_state *state, const char *path,
                                dlqat_error *error) {
    dq_safetensors *file;
    DQ_TRY(dq_safetensors_open(&file, path, error));
    loading from = {.file = file, .where = path};
    dlqat_status status = each_array(set, state, load_array, &from, error);
    from.commit = true;
    if (status == DLQAT_OK) status = each_array(set, state, load_array, &from, error);
    dq_safetensors_close(file);
    return status;
}

static dlqat_status read_state(dq_trainer_state *state, const dq_recipe *recipe, const json_t *json, const char *path,
                               dlqat_error *error) {
    int64_t version = 0, step = -1, max_steps = -1, phase1_steps = -1, tokens = 0, best_step = 0;
    double loss_sum = 0, seconds = 0, best = INFINITY;
    const char *method = "";
    DQ_TRY(dq_json_get_int(json, "version", path, &version, error));
    if (version != 1)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED, "%s: version %lld of the checkpoint's form; this dlqat knows 1",
                       path, (long long)version);
    DQ_TRY(dq_json_get_string(json, "method", path, &method, error));
    DQ_TRY(dq_json_get_int(json, "step", path, &step, error));
    DQ_TRY(dq_json_get_int(json, "max_steps", path, &max_steps, error));
    DQ_TRY(dq_json_get_int(json, "phase1_steps", path, &phase1_steps, error));
    DQ_TRY(dq_json_get_int(json, "tokens", path, &tokens, error));
    DQ_TRY(dq_json_get_int(json, "best_step", path, &best_step, error));
    DQ_TRY(dq_json_get_real(json, "loss_sum", path, &loss_sum, error));
    DQ_TRY(dq_json_get_real(json, "seconds", path, &seconds, error));
    DQ_TRY(dq_json_get_real(json, "best_eval_loss", path, &best, error));
    if (strcmp(method, recipe->name) != 0)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: made by --method %s, this run has %s", path, method,
                       recipe->name);
    if (step < 0 || step > state->max_steps || phase1_steps != state->phase1_steps)
        return dq_fail(
            error, DLQAT_ERROR_INPUT,
            "%s: %lld steps done, %lld of phase 1; this run has %lld and %lld: resume with the run's own options", path,
            (long long)step, (long long)phase1_steps, (long long)state->max_steps, (long long)state->phase1_steps);
    state->step = step;
    state->tokens = (uint64_t)tokens;
    state->loss_sum = loss_sum;
    state->seconds = seconds;
    state->best_step = best_step;
    state->best_eval_loss = best;
    return DLQAT_OK;
}

dlqat_status dq_checkpoint_load(dq_trainer *trainer, const char *checkpoint, const dq_compute *compute,
                                dlqat_error *error) {
    dq_quantizer_set *set = dq_trainer_quantizers(trainer);
    char *arrays = dq_path_join(checkpoint, "state.safetensors"),
         *path = dq_path_join(checkpoint, "trainer_state.json");
    json_t *json = NULL;
    dlqat_status status = arrays && path ? dq_json_load(path, &json, error)
                                         : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", checkpoint);
    if (status == DLQAT_OK) status = read_state(dq_trainer_get_state(trainer), &set->recipe, json, path, error);
    if (status == DLQAT_OK) status = load_arrays(set, dq_trainer_get_state(trainer), arrays, error);
    if (status == DLQAT_OK) status = dq_quantizer_set_refresh(set, compute, error);
    json_decref(json);
    free(arrays);
    free(path);
    return status;
}

/* ---- Those of a run -------------------------------------------------------------------------------------------------- */

/* N of "checkpoint-N", or -1. Temporary directories bear a suffix, and so are none. */
static int64_t checkpoint_step(const char *name) {
    static const char prefix[] = "checkpoint-";
    char *end;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return -1;
    name += sizeof prefix - 1;
    if (*name < '0' || *name > '9') return -1;
    errno = 0;
    long long step = strtoll(name, &end, 10);
    return *end || errno ? -1 : step;
}

/* The oldest of a run's checkpoints other than `keep`, the newest of all (-1: none), and how many there are. */
static dlqat_status scan(const char *run, int64_t keep, int64_t *oldest, int64_t *newest, int64_t *count,
                         dlqat_error *error) {
    *oldest = *newest = -1;
    *count = 0;
    DIR *directory = opendir(run);
    if (!directory) return dq_fail(error, DLQAT_ERROR_IO, "%s: cannot list it: %s", run, strerror(errno));
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        int64_t step = checkpoint_step(entry->d_name);
        if (step < 0) continue;
        (*count)++;
        if (step > *newest) *newest = step;
        if (step != keep && (*oldest < 0 || step < *oldest)) *oldest = step;
    }
    closedir(directory);
    return DLQAT_OK;
}

static char *checkpoint_path(const char *run, int64_t step) {
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
    return dq_path_join(run, name);
}

dlqat_status dq_checkpoint_newest(const char *run, char **path, int64_t *step, dlqat_error *error) {
    int64_t oldest, count;
    *path = NULL;
    DQ_TRY(scan(run, -1, &oldest, step, &count, error));
    if (*step < 0) return DLQAT_OK;
    *path = checkpoint_path(run, *step);
    return *path ? DLQAT_OK : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
}

dlqat_status dq_checkpoint_prune(const char *run, int64_t limit, int64_t keep, dlqat_error *error) {
    while (limit > 0) {
        int64_t oldest, newest, count;
        DQ_TRY(scan(run, keep, &oldest, &newest, &count, error));
        if (count <= limit || oldest < 0 || oldest == newest) break;
        char *path = checkpoint_path(run, oldest);
        dlqat_status status =
            path ? dq_remove_tree(path, error) : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory", run);
        free(path);
        DQ_TRY(status);
    }
    return DLQAT_OK;
}
