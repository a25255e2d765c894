#include "eval/evaluate.h"

#include "base/file.h"
#include "base/talk.h"
#include "eval/prompt.h"

#include <stdio.h>
#include <string.h>

dlqat_status dq_loss_measure(dq_loss *out, const dq_bench *bench, const dq_settings *settings, const char *path,
                             dlqat_error *error) {
    *out = (dq_loss){0};
    if (!bench->model->tokenizer)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: loss on rows needs a tokenizer, and the model has none",
                       bench->model->path);
    dq_template template = {0};
    dq_dataset data = {0};
    dq_scorer scorer = {0};
    dlqat_status status;
    DQ_TRY(dq_template_open(&template, dq_template_chosen(settings->template_name), bench->model->tokenizer, error));
    dq_dataset_options rows = {
        .max_length = (int)settings->max_length, .template = &template, .tokenizer = bench->model->tokenizer};
    DQ_TRY_GOTO(status, dq_dataset_open(&data, path, &rows, error), out);
    if (data.dropped || data.truncated)
        dq_note(bench->callbacks, "%s: %zu rows cut to %d tokens, %zu left out since no label remained", path,
                data.truncated, rows.max_length, data.dropped);
    size_t longest = 1;
    for (size_t r = 0; r < data.rows; r++)
        if (data.begin[r + 1] - data.begin[r] > longest) longest = data.begin[r + 1] - data.begin[r];
    DQ_TRY_GOTO(status, dq_scorer_open(&scorer, bench, "loss", (int64_t)longest, data.rows, error), out);
    for (size_t r = 0; r < data.rows; r++) DQ_TRY_GOTO(status, dq_scorer_add_row(&scorer, &data, r, error), out);
    DQ_TRY_GOTO(status, dq_scorer_finish(&scorer, error), out);
    *out = (dq_loss){scorer.nll / (double)scorer.targets, scorer.targets, data.rows, data.kind};
out:
    dq_scorer_close(&scorer);
    dq_dataset_close(&data);
    dq_template_close(&template);
    return status;
}

/* ---- All figures of one call ---------------------------------------------------------------------------------------- */

static dlqat_status keep(json_t *figures, const char *prefix, const char *suffix, json_t *value, dlqat_error *error) {
    char key[80];
    snprintf(key, sizeof key, "%s%s", prefix, suffix);
    if (json_object_set_new(figures, key, value) == 0) return DLQAT_OK;
    return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for the figure %s", key);
}

static json_t *whole(uint64_t n) {
    return json_integer((json_int_t)n);
}

static dlqat_status keep_perplexity(json_t *figures, dq_protocol protocol, const dq_perplexity *p, dlqat_error *error) {
    const char *key = dq_protocol_key(protocol);
    DQ_TRY(keep(figures, key, "", json_real(p->value), error));
    DQ_TRY(keep(figures, key, "_window", json_integer(p->window), error));
    DQ_TRY(keep(figures, key, "_windows", whole(p->windows), error));
    DQ_TRY(keep(figures, key, "_targets", whole(p->targets), error));
    if (protocol == DQ_PPL_LMEVAL) {
        DQ_TRY(keep(figures, key, "_documents", whole(p->documents), error));
        DQ_TRY(keep(figures, key, "_words", whole(p->words), error));
    }
    if (json_object_get(figures, "windows")) return DLQAT_OK;
    DQ_TRY(keep(figures, "window", "", json_integer(p->window), error));
    return keep(figures, "windows", "", whole(p->windows), error);
}

static dlqat_status measure_protocols(json_t *figures, const dq_bench *bench, const dlqat_options *options,
                                      const char *text, size_t size, dlqat_error *error) {
    const dq_settings *settings = dq_options_settings(options);
    dq_perplexity_options how = {.window = dq_options_given(options, "window") ? settings->window : 0,
                                 .max_windows = settings->max_windows,
                                 .wikitext = strcmp(settings->ppl_split, "wikitext") == 0};
    const char *rest = settings->ppl_protocol, *word;
    size_t length;
    while (dq_options_names(&rest, &word, &length)) {
        dq_protocol protocol;
        dq_perplexity p;
        if (!dq_protocol_find(word, length, &protocol))
            return dq_fail(error, DLQAT_ERROR_USAGE, "--ppl-protocol: there is no protocol \"%.*s\"", (int)length,
                           word);
        DQ_TRY(dq_perplexity_measure(&p, protocol, bench, text, size, &how, error));
        DQ_TRY(keep_perplexity(figures, protocol, &p, error));
    }
    return DLQAT_OK;
}

dlqat_status dq_evaluate(json_t *figures, const dq_bench *bench, const dlqat_options *options, dlqat_error *error) {
    const dq_settings *settings = dq_options_settings(options);
    const char *dtype = bench->compute->multiply == DQ_MULTIPLY_BF16 ? "bf16" : "f32";
    DQ_TRY(keep(figures, "dtype", "", json_string(dtype), error));
    if (settings->ppl) {
        dq_map file;
        DQ_TRY(dq_map_open(&file, settings->ppl, error));
        dlqat_status status =
            file.size ? measure_protocols(figures, bench, options, (const char *)file.data, file.size, error)
                      : dq_fail(error, DLQAT_ERROR_INPUT, "%s: the file is empty: there is no text to predict",
                                settings->ppl);
        dq_map_close(&file);
        if (status != DLQAT_OK) return status;
    }
    if (settings->loss) {
        dq_loss loss;
        DQ_TRY(dq_loss_measure(&loss, bench, settings, settings->loss, error));
        DQ_TRY(keep(figures, "loss", "", json_real(loss.value), error));
        DQ_TRY(keep(figures, "loss", "_tokens", whole(loss.labels), error));
        DQ_TRY(keep(figures, "loss", "_rows", whole(loss.rows), error));
    }
    return DLQAT_OK;
}

static long long number(const json_t *figures, const char *prefix, const char *suffix) {
    char key[80];
    snprintf(key, sizeof key, "%s%s", prefix, suffix);
    return (long long)json_integer_value(json_object_get(figures, key));
}

void dq_figures_print(const json_t *figures, dq_buffer *text) {
    const char *dtype = json_string_value(json_object_get(figures, "dtype"));
    for (int i = 0; i < DQ_PROTOCOLS; i++) {
        const char *key = dq_protocol_key((dq_protocol)i);
        const json_t *value = json_object_get(figures, key);
        if (!value) continue;
        dq_buffer_format(text, "%-16s %12.4f   %lld windows of %lld tokens, %lld targets", key, json_real_value(value),
                         number(figures, key, "_windows"), number(figures, key, "_window"),
                         number(figures, key, "_targets"));
        if (i == DQ_PPL_LMEVAL)
            dq_buffer_format(text, ", %lld words in %lld documents", number(figures, key, "_words"),
                             number(figures, key, "_documents"));
        dq_buffer_format(text, ", %s\n", dtype);
    }
    const json_t *loss = json_object_get(figures, "loss");
    if (loss)
        dq_buffer_format(text, "%-16s %12.4f   %lld label tokens of %lld rows, %s\n", "loss", json_real_value(loss),
                         number(figures, "loss", "_tokens"), number(figures, "loss", "_rows"), dtype);
}
