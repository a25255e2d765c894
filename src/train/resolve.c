/* From options to a recipe and to the grid of each linear. */
#include "train/quantizer_set.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

/* An axis option that was given replaces the recipe's value; the words were checked against the table already. */
static void axis(const char *word, const char *words, int *value) {
    if (word) *value = dq_word_index(words, word);
}

dlqat_status dq_resolve_recipe(dq_recipe *recipe, const dlqat_options *options, dlqat_error *error) {
    const dq_settings *set = dq_options_settings(options);
    const dq_recipe *row;
    DQ_TRY(dq_recipe_find(set->method, &row, error));
    *recipe = *row;
    int range = (int)row->range, start = (int)row->start, offset = (int)row->offset, mask = (int)row->mask;
    int init = (int)row->init;
    axis(set->range, dq_range_words, &range);
    axis(set->start, dq_start_words, &start);
    axis(set->offset, dq_offset_words, &offset);
    axis(set->clip_mask, dq_mask_words, &mask);
    axis(set->adapter_init, dq_init_words, &init);
    recipe->range = (dq_range)range;
    recipe->start = (dq_start)start;
    recipe->offset = (dq_offset)offset;
    recipe->mask = (dq_clip_mask)mask;
    recipe->init = (dq_adapter_init)init;
    if (set->magnitude) recipe->magnitude = strcmp(set->magnitude, "on") == 0;
    /* A grid recomputed at every step has nothing for a first phase to train. */
    if (recipe->range == DQ_RANGE_MINMAX) recipe->phase1 = false;
    /* A rank of one's own goes with c = 1, not with an alpha that was meant for the paper's rank. */
    if (set->lora_rank > 0) {
        recipe->rank = (int)set->lora_rank;
        recipe->alpha = 0;
    }
    if (!isnan(set->lora_alpha)) recipe->alpha = set->lora_alpha;
    if (!isnan(set->learning_rate)) recipe->learning_rate = set->learning_rate;
    if (!isnan(set->weight_decay)) recipe->weight_decay = set->weight_decay;
    if (!isnan(set->max_grad_norm)) recipe->max_grad_norm = set->max_grad_norm;
    if (!isnan(set->warmup_ratio)) recipe->warmup_ratio = set->warmup_ratio;
    if (set->lr_scheduler_type)
        recipe->schedule = (dq_schedule_kind)dq_word_index(dq_schedule_words, set->lr_scheduler_type);
    return dq_recipe_check(recipe, error);
}

static bool is_excluded(const dq_settings *set, const char *name) {
    for (size_t i = 0; i < set->exclude.count; i++)
        if (fnmatch(set->exclude.at[i], name, 0) == 0) return true;
    return false;
}

static dlqat_status bits_of(const dq_settings *set, const char *name, int *bits, dlqat_error *error) {
    *bits = (int)set->bits;
    for (size_t i = 0; i < set->bits_for.count; i++) {
        char pattern[512];
        size_t length;
        int n;
        DQ_TRY(dq_options_split_bits(set->bits_for.at[i], &length, &n, error));
        if (length >= sizeof pattern)
            return dq_fail(error, DLQAT_ERROR_USAGE, "--bits-for: the pattern is longer than %zu bytes",
                           sizeof pattern - 1);
        memcpy(pattern, set->bits_for.at[i], length);
        pattern[length] = '\0';
        if (fnmatch(pattern, name, 0) == 0) *bits = n;
    }
    return DLQAT_OK;
}

/* The largest of 128, 64 and 32 that divides the width of every linear that is quantized. */
static dlqat_status automatic_group(const dq_model *model, const dq_settings *set, int64_t *group, dlqat_error *error) {
    for (*group = 128; *group >= 32; *group /= 2) {
        bool divides = true;
        for (int i = 0; i < dq_model_linear_count(model); i++) {
            const dq_linear *linear = dq_model_linear((dq_model *)(uintptr_t)model, i);
            if (!is_excluded(set, linear->name) && linear->base.in % *group != 0) divides = false;
        }
        if (divides) return DLQAT_OK;
    }
    return dq_fail(
        error, DLQAT_ERROR_USAGE,
        "none of the group sizes 128, 64, 32 divides the width of every linear of this model: give --group-size");
}

dlqat_status dq_resolve_grid(const dq_model *model, const dq_settings *settings, int index, dq_grid *grid,
                             bool *excluded, dlqat_error *error) {
    const dq_linear *linear = dq_model_linear((dq_model *)(uintptr_t)model, index);
    *excluded = is_excluded(settings, linear->name);
    if (*excluded) return DLQAT_OK;
    DQ_TRY(bits_of(settings, linear->name, &grid->bits, error));
    if (settings->group_size == DQ_AUTO)
        DQ_TRY(automatic_group(model, settings, &grid->group, error));
    else
        grid->group = settings->group_size == -1 ? linear->base.in : settings->group_size;
    grid->scale = strcmp(settings->scale_dtype, "bf16") == 0  ? DQ_BF16
                  : strcmp(settings->scale_dtype, "f32") == 0 ? DQ_F32
                                                              : DQ_F16;
    grid->offset = settings->offset && strcmp(settings->offset, "none") == 0 ? DQ_OFFSET_NONE : DQ_OFFSET_FLOAT;
    return dq_grid_check(grid, linear->name, linear->base.in, error);
}
