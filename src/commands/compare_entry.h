/* An entry of `dlqat compare --methods`, NAME[:OPTION=VALUE..], as a directory and as the options of a run. */
#ifndef DQ_COMMANDS_COMPARE_ENTRY_H
#define DQ_COMMANDS_COMPARE_ENTRY_H

#include "base/options.h"
#include "quant/recipe.h"

/* The entry as a directory's name: letters that a path or a shell would mind become '-'. */
void dq_entry_directory(const char *entry, size_t length, char *name, size_t size);

/* compare's own options as those of `command`; what a recipe would choose for itself is imposed: DL-QAT's numbers unless given. The
 * caller frees *out. */
dlqat_status dq_compare_derive(const dlqat_options *compare, dlqat_command command, dlqat_options **out,
                               dlqat_error *error);

/* The options and the recipe of the entry's run, checked as far as that goes without the model; errors name the entry. */
dlqat_status dq_entry_options(const dlqat_options *compare, const char *entry, size_t length, dlqat_options **out,
                              dq_recipe *recipe, dlqat_error *error);

#endif
