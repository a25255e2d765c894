/* dlqat info: what a model is, and the memory plan of a training run under the options given. */
#include "base/file.h"
#include "base/talk.h"
#include "commands/session.h"
#include "train/plan.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KINDS = 32 };

/* Weights of one role in one type. */
typedef struct kind {
    const char *role;
    char type[48];
    uint64_t numbers, bytes;
} kind;

typedef struct inventory {
    kind at[MAX_KINDS];
    int count;
    uint64_t numbers, bytes;
} inventory;

static void name_type(char type[48], const dq_weight *weight) {
    if (weight->kind == DQ_WEIGHT_AFFINE) {
        const dq_affine *a = &weight->affine;
        snprintf(type, 48, "%d bit, group %lld, %s", a->bits, (long long)a->group, dq_dtype_info(a->scale_dtype)->name);
    } else {
        snprintf(type, 48, "%s", weight->kind == DQ_WEIGHT_TENSOR ? dq_dtype_info(weight->tensor->dtype)->name : "-");
    }
}

static void add(inventory *all, const char *role, const char *type, uint64_t numbers, uint64_t bytes) {
    all->numbers += numbers;
    all->bytes += bytes;
    int i = 0;
    while (i < all->count && (strcmp(all->at[i].role, role) != 0 || strcmp(all->at[i].type, type) != 0)) i++;
    if (i == MAX_KINDS) return; /* more kinds than a table should have: the totals still count them */
    if (i == all->count) {
        all->at[all->count++].role = role;
        snprintf(all->at[i].type, sizeof all->at[i].type, "%s", type);
    }
    all->at[i].numbers += numbers;
    all->at[i].bytes += bytes;
}

static void add_weight(inventory *all, const char *role, const dq_weight *weight) {
    char type[48];
    name_type(type, weight);
    add(all, role, type, (uint64_t)weight->out * (uint64_t)weight->in, dq_plan_weight_bytes(weight));
}

static inventory take_inventory(dq_model *model) {
    inventory all = {0};
    for (int i = 0; i < dq_model_linear_count(model); i++)
        add_weight(&all, "linears", &dq_model_linear(model, i)->base);
    add_weight(&all, model->config.tied ? "embedding, head" : "embedding", &model->embedding);
    if (!model->config.tied) add_weight(&all, "head", &model->head);
    /* Norms and biases are read to f32, whatever the file's type. */
    uint64_t rest = dq_model_parameters(model) - all.numbers;
    add(&all, "norms, biases", "F32", rest, 4 * rest);
    return all;
}

/* 1234567 -> "1,234,567" */
static const char *grouped(uint64_t n, char text[32]) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), out = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

static void print_sizes(dq_buffer *out, const dq_model *model) {
    const dq_config *c = &model->config;
    bool packed = model->layer[0].linear[0].base.kind == DQ_WEIGHT_AFFINE;
    dq_buffer_format(out, "model            %s\n", model->path);
    dq_buffer_format(out, "family           %s, from %s\n", dq_family_name(c->family),
                     model->gguf ? "a GGUF file"
                     : packed    ? "a directory in MLX's affine layout"
                                 : "a Hugging Face directory");
    dq_buffer_format(out, "sizes            %d layers, hidden %d, intermediate %d, vocabulary %lld, context %lld\n",
                     c->layers, c->hidden, c->intermediate, (long long)c->vocabulary, (long long)c->context);
    dq_buffer_format(out, "attention        %d heads, %d key/value heads, %d wide", c->heads, c->kv_heads,
                     c->head_width);
    if (c->window)
        dq_buffer_format(out, ", window %lld from layer %d on", (long long)c->window, c->first_windowed_layer);
    if (c->qkv_bias) dq_buffer_puts(out, ", q/k/v biases");
    if (c->qk_norm) dq_buffer_puts(out, ", q/k norms");
    static const char *const ropes[] = {
        [DQ_ROPE_DEFAULT] = "", [DQ_ROPE_LINEAR] = ", linear scaling", [DQ_ROPE_LLAMA3] = ", llama3 scaling"};
    dq_buffer_format(out, "\nrope             theta %g%s\n", c->rope_theta, ropes[c->rope]);
}

static void print_weights(dq_buffer *out, dq_model *model) {
    inventory all = take_inventory(model);
    char n[32];
    dq_buffer_format(out, "\n%-17s%-26s%16s%12s%10s\n", "weights", "type", "numbers", "MiB", "bits each");
    for (int i = 0; i < all.count; i++) {
        const kind *k = &all.at[i];
        if (k->numbers == 0) continue;
        dq_buffer_format(out, "%-17s%-26s%16s%12.2f%10.2f\n", k->role, k->type, grouped(k->numbers, n),
                         (double)k->bytes / 1048576, 8 * (double)k->bytes / (double)k->numbers);
    }
    dq_buffer_format(out, "%-17s%-26s%16s%12.2f%10.2f\n", "total", "", grouped(all.numbers, n),
                     (double)all.bytes / 1048576, 8 * (double)all.bytes / (double)all.numbers);
}

static void print_token(dq_buffer *out, const dq_tokenizer *tokenizer, const char *name, int64_t id) {
    size_t length = 0;
    const char *text = id >= 0 && id <= INT32_MAX ? dq_tokenizer_token(tokenizer, (int32_t)id, &length) : NULL;
    if (text) dq_buffer_format(out, ", %s %.*s (%lld)", name, (int)length, text, (long long)id);
}

static void print_tokenizer(dq_buffer *out, const dq_model *model) {
    const dq_tokenizer *tokenizer = model->tokenizer;
    if (!tokenizer) {
        dq_buffer_puts(out, "tokenizer        none\n");
        return;
    }
    dq_buffer_format(out, "tokenizer        %d tokens", (int)dq_tokenizer_vocabulary_size(tokenizer));
    print_token(out, tokenizer, dq_tokenizer_adds_bos(tokenizer) ? "adds BOS" : "BOS (not added)",
                dq_tokenizer_bos(tokenizer));
    print_token(out, tokenizer, "EOS", dq_tokenizer_eos(tokenizer));
    dq_template template;
    dlqat_error error = {0};
    if (dq_template_open(&template, DQ_TEMPLATE_AUTO, tokenizer, &error) == DLQAT_OK) {
        dq_buffer_format(out, "\nchat template    %s\n",
                         dq_tokenizer_chat_template(tokenizer) ? dq_template_name(template.kind)
                                                               : "none: alpaca is taken");
        dq_template_close(&template);
    } else {
        dq_buffer_format(out, "\nchat template    cannot be rendered: %s\n", error.message);
    }
}

static void print_item(dq_buffer *out, const char *name, size_t bytes, const char *note) {
    dq_buffer_format(out, "%-26s%12.2f  %s\n", name, (double)bytes / 1048576, note);
}

static void print_plan(dq_buffer *out, const dq_plan *plan, const dq_settings *s, const dq_feed_sizes *sizes) {
    dq_buffer_format(
        out,
        "\nA run of %s: %lld rows of at most %lld tokens in a micro-batch, %s %lld tokens to work on, %lld at once; %d "
        "threads\n",
        s->method, (long long)s->batch_size, (long long)s->max_length, s->data ? "of these data" : "at the most",
        (long long)sizes->micro_batch, (long long)plan->capacity, plan->threads);
    dq_buffer_format(out, "%-26s%12s\n", "memory", "MiB");
    print_item(out, "frozen weights", plan->weights, "as the file holds them, mapped");
    if (plan->base) print_item(out, "frozen weights, encoded", plan->base, "8 bits");
    print_item(out, "W_hat", plan->what, plan->resident ? "its codes are kept" : "made anew where it is needed");
    print_item(out, "trainable parameters", plan->parameters, "f32");
    print_item(out, "gradients and moments", plan->optimizer, "f32");
    print_item(out, "activations", plan->activations,
               plan->checkpoint ? "the inputs of the blocks, the rest made again in the backward" : "all kept");
    print_item(out, "logits", plan->logits, "one chunk at a time");
    print_item(out, "batch", plan->batch, "");
    print_item(out, "quantizers' scratch", plan->scratch, "");
    print_item(out, "kernels' workspace", plan->workspace, "");
    print_item(out, "program", plan->program, "tokenizer and rows among it, held already");
    print_item(out, "total", plan->total, "");
    if (plan->available)
        dq_buffer_format(out, "%-26s%12.2f  %s\n", "available", (double)plan->available / 1048576,
                         plan->fits ? "it fits" : "it does not fit: lower --tokens-at-once or --max-length");
}

static dlqat_status plan_run(dq_session *session, const dlqat_options *options, dq_buffer *out, dlqat_error *error) {
    const dq_settings *s = session->settings;
    dq_feed_sizes sizes = {.row = s->max_length};
    if (s->data) {
        DQ_TRY(dq_session_open_data(session, error));
        DQ_TRY(dq_feed_measure(&sizes, options, &session->data, session->held_out.rows ? &session->held_out : NULL,
                               error));
    } else if (__builtin_mul_overflow(s->batch_size, s->max_length, &sizes.micro_batch) ||
               sizes.micro_batch > INT32_MAX) {
        return dq_fail(error, DLQAT_ERROR_USAGE,
                       "--batch-size %lld of --max-length %lld are more tokens than a micro-batch can have",
                       (long long)s->batch_size, (long long)s->max_length);
    }
    dq_plan plan;
    DQ_TRY(dq_plan_make(&plan, session->model, options, &sizes, &session->compute, error));
    print_plan(out, &plan, s, &sizes);
    return DLQAT_OK;
}

static dlqat_status describe(dq_session *session, const dlqat_options *options, dq_buffer *out, dlqat_error *error) {
    print_sizes(out, session->model);
    print_tokenizer(out, session->model);
    print_weights(out, session->model);
    dlqat_status status = plan_run(session, options, out, error);
    /* Who only asks what a model is should learn it even where the default grid does not fit. */
    if (status == DLQAT_ERROR_USAGE && error && !dq_options_given(options, "group-size") &&
        !dq_options_given(options, "bits")) {
        dq_warn(session->callbacks, "no memory plan: %s", error->message);
        status = DLQAT_OK;
    }
    return status;
}

/* With --resume the options are those of the run, where they were not given anew. */
static dlqat_status take_options(dlqat_options **taken, const dlqat_options *options, dlqat_error *error) {
    *taken = dq_options_copy(options);
    if (!*taken) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for options");
    const char *run = dq_options_settings(options)->resume;
    if (!run) return DLQAT_OK;
    char *path = dq_path_join(run, "config.json");
    dlqat_status status = path ? dlqat_options_load(*taken, path, error)
                               : dq_fail(error, DLQAT_ERROR_MEMORY, "%s: no memory for a path", run);
    free(path);
    if (status == DLQAT_OK && !dq_options_settings(*taken)->model)
        status = dq_fail(error, DLQAT_ERROR_INPUT, "%s: its config.json names no model: give --model", run);
    return status;
}

dlqat_status dlqat_info(const dlqat_options *options, const dlqat_callbacks *callbacks, dlqat_error *error) {
    dq_session session = {0};
    dq_buffer out = {0};
    dlqat_options *taken = NULL;
    DQ_TRY(dlqat_options_check(options, error));
    dlqat_status status = take_options(&taken, options, error);
    if (status == DLQAT_OK) status = dq_session_open(&session, taken, callbacks, false, error);
    if (status == DLQAT_OK) {
        status = describe(&session, taken, &out, error);
        if (status == DLQAT_OK) status = dq_buffer_check(&out, "the description", error);
        if (status == DLQAT_OK) dq_put_output(callbacks, out.data, out.size);
        dq_session_close(&session);
    }
    dq_buffer_free(&out);
    dlqat_options_free(taken);
    return status;
}
