#include "quant/recipe.h"

#include <stdio.h>
#include <string.h>

static const dq_recipe recipes[] = {
    {
        .name = "dlqat",
        .paper = "arXiv 2504.09223",
        .summary = "weight-decomposed low-rank QAT: grid first, then magnitude and adapter inside the rounding",
        .adapter = DQ_ADAPTER_LORA,
        .range = DQ_RANGE_FIXED,
        .start = DQ_START_MINMAX,
        .mask =
            DQ_MASK_VALUE, /* the paper leaves it open; with `code` the same budget ends at a higher perplexity (README) */
        .magnitude = true,
        .phase1 = true,
        .trains = true,
        .init = DQ_INIT_GAUSSIAN,
        .rank = 16,
        .learning_rate = 2e-4,
        .schedule = DQ_SCHEDULE_CONSTANT,
    },
    {
        .name = "l4q",
        .paper = "arXiv 2402.04902",
        .summary = "low-rank adapter inside the rounding, scale and offset trained with it throughout",
        .adapter = DQ_ADAPTER_LORA,
        .range = DQ_RANGE_ADAPTIVE,
        .start = DQ_START_L4Q,
        .mask = DQ_MASK_VALUE_CLOSED,
        .trains = true,
        .init = DQ_INIT_KAIMING,
        .rank = 4,
        .learning_rate = 2e-4,
        .weight_decay = 0.01,
        .warmup_ratio = 0.1,
        .schedule = DQ_SCHEDULE_COSINE,
    },
    {
        .name = "qalora",
        .paper = "arXiv 2309.14717",
        .summary = "adapter on group-pooled inputs over a rounded base, merged into the offsets",
        .adapter = DQ_ADAPTER_POOLED,
        .range = DQ_RANGE_MINMAX,
        .start = DQ_START_MINMAX,
        .mask = DQ_MASK_CODE,
        .trains = true,
        .init = DQ_INIT_XAVIER,
        .rank = 64,
        .alpha = 16,
        .learning_rate = 2e-4,
        .warmup_ratio = 0.03,
        .max_grad_norm = 0.3,
        .schedule = DQ_SCHEDULE_CONSTANT,
    },
    {
        .name = "rtn",
        .paper = "round to nearest",
        .summary = "plain rounding to the min-max grid, nothing trained",
        .adapter = DQ_ADAPTER_NONE,
        .range = DQ_RANGE_MINMAX,
        .start = DQ_START_MINMAX,
        .mask = DQ_MASK_CODE,
    },
};

size_t dq_recipe_count(void) {
    return sizeof recipes / sizeof recipes[0];
}
const dq_recipe *dq_recipe_at(size_t index) {
    return &recipes[index];
}

dlqat_status dq_recipe_find(const char *name, const dq_recipe **recipe, dlqat_error *error) {
    char names[256] = "";
    for (size_t i = 0; i < dq_recipe_count(); i++) {
        if (strcmp(recipes[i].name, name) == 0) {
            *recipe = &recipes[i];
            return DLQAT_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", recipes[i].name);
    }
    return dq_fail(error, DLQAT_ERROR_USAGE, "--method %s: no such method; choose one of %s", name, names);
}

dq_trained dq_recipe_trained(const dq_recipe *recipe, int phase) {
    if (phase == 1) return (dq_trained){.grid = true};
    return (dq_trained){
        .grid = recipe->range == DQ_RANGE_ADAPTIVE,
        .magnitude = recipe->magnitude,
        .adapter = recipe->adapter != DQ_ADAPTER_NONE,
    };
}

dlqat_status dq_recipe_check(const dq_recipe *recipe, dlqat_error *error) {
    if (recipe->adapter != DQ_ADAPTER_POOLED) return DLQAT_OK;
    if (recipe->magnitude || recipe->range != DQ_RANGE_MINMAX)
        return dq_fail(
            error, DLQAT_ERROR_USAGE,
            "--method %s: its adapter lies in the offsets of a rounded base; use --range minmax --magnitude off",
            recipe->name);
    if (recipe->offset == DQ_OFFSET_NONE)
        return dq_fail(error, DLQAT_ERROR_USAGE, "--method %s lives in the offsets: it needs --offset float",
                       recipe->name);
    return DLQAT_OK;
}

const char dq_range_words[] = "minmax|fixed|adaptive";
const char dq_start_words[] = "minmax|l4q";
const char dq_offset_words[] = "float|none";
const char dq_mask_words[] = "code|value|value-closed";
const char dq_init_words[] = "gaussian|kaiming|xavier";
const char dq_schedule_words[] = "constant|cosine|linear";

int dq_word_index(const char *words, const char *word) {
    size_t length = strlen(word);
    for (int index = 0;; index++) {
        size_t span = strcspn(words, "|");
        if (span == length && memcmp(words, word, length) == 0) return index;
        if (words[span] == '\0') return -1;
        words += span + 1;
    }
}

const char *dq_word_at(const char *words, int index, char buffer[32]) {
    while (index-- > 0) words += strcspn(words, "|") + 1;
    snprintf(buffer, 32, "%.*s", (int)strcspn(words, "|"), words);
    return buffer;
}
