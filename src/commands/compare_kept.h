/* What a comparison finds done when it is run again: finished runs, and figures that were measured. Both count only if they were made
 * with the options of now. */
#ifndef DQ_COMMANDS_COMPARE_KEPT_H
#define DQ_COMMANDS_COMPARE_KEPT_H

#include <jansson.h>

#include "base/options.h"

/* The options that decide a result, as recorded: without places, threads, memory and the like. A new reference; NULL without memory. */
json_t *dq_kept_options(const dlqat_options *options);

/* ERROR_USAGE naming the first option in which the record of `run` (its config.json) and `options` differ. */
dlqat_status dq_kept_check_run(const char *run, const dlqat_options *options, dlqat_error *error);

/* Figures that dq_kept_save put there under the same `asked` are added to row; false where there are none. */
bool dq_kept_find(const char *path, const json_t *asked, json_t *row);
dlqat_status dq_kept_save(const char *path, json_t *asked, json_t *figures, dlqat_error *error);

#endif
