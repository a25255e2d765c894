#include "eval/perplexity.h"

#include "base/arena.h"
#include "base/talk.h"
#include "eval/wikitext.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word, *key;
    int64_t window; /* 0: the model's context */
} protocols[DQ_PROTOCOLS] = {
    [DQ_PPL_WINDOW] = {"window", "ppl_window", 2048},
    [DQ_PPL_LLAMACPP] = {"llamacpp", "ppl_llamacpp", 512},
    [DQ_PPL_LMEVAL] = {"lmeval", "word_ppl_lmeval", 0},
};

const char *dq_protocol_key(dq_protocol protocol) {
    return protocols[protocol].key;
}

bool dq_protocol_find(const char *word, size_t length, dq_protocol *protocol) {
    for (int i = 0; i < DQ_PROTOCOLS; i++) {
        if (strlen(protocols[i].word) != length || memcmp(protocols[i].word, word, length) != 0) continue;
        *protocol = (dq_protocol)i;
        return true;
    }
    return false;
}

static int64_t choose_window(dq_protocol protocol, const dq_bench *bench, int64_t asked) {
    int64_t context = bench->model->config.context, own = protocols[protocol].window;
    if (asked > 0) {
        if (asked > context)
            dq_warn(bench->callbacks, "%s: windows of %lld tokens are longer than the model's context of %lld",
                    dq_protocol_key(protocol), (long long)asked, (long long)context);
        return asked;
    }
    if (own == 0) return context;
    if (own > context)
        dq_note(bench->callbacks, "%s: windows of %lld tokens, the model's whole context, instead of %lld",
                dq_protocol_key(protocol), (long long)context, (long long)own);
    return own < context ? own : context;
}

/* window and llamacpp: windows of equal length cut from one sequence, of which positions first .. W - 2 predict. */
static dlqat_status score_pieces(dq_perplexity *out, dq_protocol protocol, const dq_bench *bench, const dq_ids *ids,
                                 int64_t first, int32_t bos, dlqat_error *error) {
    const char *key = dq_protocol_key(protocol);
    int64_t W = out->window;
    int32_t *window = dq_alloc((size_t)W, 2 * sizeof *window, "a window of tokens", error), *label = window + W;
    if (!window) return DLQAT_ERROR_MEMORY;
    dq_scorer scorer;
    dlqat_status status = dq_scorer_open(&scorer, bench, key, W, out->windows, error);
    for (uint64_t i = 0; status == DLQAT_OK && i < out->windows; i++) {
        const int32_t *piece = ids->at + i * (uint64_t)W;
        memcpy(window, piece, (size_t)W * sizeof *window);
        if (bos >= 0) window[0] = bos;
        for (int64_t t = 0; t < W; t++) label[t] = t >= first && t + 1 < W ? piece[t + 1] : -1;
        status = dq_scorer_add(&scorer, window, label, W, error);
    }
    if (status == DLQAT_OK) status = dq_scorer_finish(&scorer, error);
    out->nll = scorer.nll;
    out->targets = scorer.targets;
    dq_scorer_close(&scorer);
    dq_free(window);
    return status;
}

static dlqat_status measure_pieces(dq_perplexity *out, dq_protocol protocol, const dq_bench *bench, const char *text,
                                   size_t length, const dq_perplexity_options *options, dlqat_error *error) {
    const dq_tokenizer *tokenizer = bench->model->tokenizer;
    bool llamacpp = protocol == DQ_PPL_LLAMACPP;
    /* llama.cpp takes the strings of control tokens in a text for text. */
    unsigned flags = DQ_ENCODE_SPECIAL | (llamacpp ? DQ_ENCODE_NO_ADDED : 0);
    dq_ids ids = {0};
    dlqat_status status = dq_tokenizer_encode(tokenizer, text, length, flags, &ids, error);
    if (status == DLQAT_OK) {
        out->windows = ids.count / (uint64_t)out->window;
        if (out->windows == 0)
            status = dq_fail(error, DLQAT_ERROR_INPUT,
                             "%s: the text has %zu tokens and a window takes %lld: give a longer text, or a smaller "
                             "--window",
                             dq_protocol_key(protocol), ids.count, (long long)out->window);
    }
    if (options->max_windows > 0 && out->windows > (uint64_t)options->max_windows)
        out->windows = (uint64_t)options->max_windows;
    bool bos = llamacpp && dq_tokenizer_adds_bos(tokenizer);
    if (status == DLQAT_OK)
        status = score_pieces(out, protocol, bench, &ids, llamacpp ? out->window / 2 : 0,
                              bos ? dq_tokenizer_bos(tokenizer) : -1, error);
    dq_ids_free(&ids);
    /* Every window has as many targets as any other, so the mean of their means is the mean over all. */
    if (status == DLQAT_OK) out->value = exp(out->nll / (double)out->targets);
    return status;
}

/* ---- lmeval -------------------------------------------------------------------------------------------------------- */

/* The documents' tokens one after another; begin[d] .. begin[d + 1]. */
typedef struct corpus {
    dq_ids ids;
    size_t *begin, documents, room;
    uint64_t words;
} corpus;

static dlqat_status add_document(corpus *c, const dq_tokenizer *tokenizer, const char *text, size_t length,
                                 bool wikitext, dlqat_error *error) {
    if (c->documents + 2 > c->room) {
        size_t room = 2 * c->room + 64;
        size_t *begin = realloc(c->begin, room * sizeof *begin);
        if (!begin) return dq_fail(error, DLQAT_ERROR_MEMORY, "no memory for a list of %zu documents", room);
        c->begin = begin;
        c->room = room;
    }
    c->words += dq_count_words(text, length); /* of the original, as the harness does */
    dq_buffer plain = {0};
    dlqat_status status = DLQAT_OK;
    if (wikitext) {
        status = dq_wikitext_detokenize(text, length, &plain, error);
        text = plain.data;
        length = plain.size;
    }
    c->begin[c->documents] = c->ids.count;
    if (status == DLQAT_OK) status = dq_tokenizer_encode(tokenizer, text, length, DQ_ENCODE_SPECIAL, &c->ids, error);
    c->begin[++c->documents] = c->ids.count;
    dq_buffer_free(&plain);
    return status;
}

static dlqat_status read_corpus(corpus *c, const dq_tokenizer *tokenizer, const char *text, size_t length,
                                bool wikitext, dlqat_error *error) {
    if (!wikitext) return add_document(c, tokenizer, text, length, false, error);
    size_t at = 0, begin, end;
    while (dq_wikitext_next(text, length, &at, &begin, &end))
        DQ_TRY(add_document(c, tokenizer, text + begin, end - begin, true, error));
    return DLQAT_OK;
}

/* seen = prefix and the document's tokens: seen[j] stands before token j. Each token is a target once. */
static dlqat_status score_document(dq_scorer *scorer, const int32_t *seen, int64_t count, int64_t L, int32_t *label,
                                   dlqat_error *error) {
    for (int64_t done = 0; done < count;) {
        int64_t fresh = count - done < L ? count - done : L, end = done + fresh;
        int64_t begin = end > L ? end - L : 0; /* the last window reaches back */
        for (int64_t j = begin; j < end; j++) label[j - begin] = j >= done ? seen[j + 1] : -1;
        DQ_TRY(dq_scorer_add(scorer, seen + begin, label, end - begin, error));
        done = end;
    }
    return DLQAT_OK;
}

static dlqat_status score_corpus(dq_perplexity *out, const dq_bench *bench, const corpus *c, int32_t prefix,
                                 dlqat_error *error) {
    int64_t longest = 1, L = out->window;
    for (size_t d = 0; d < c->documents; d++) {
        int64_t count = (int64_t)(c->begin[d + 1] - c->begin[d]);
        if (count > longest) longest = count;
        out->windows += (uint64_t)((count + L - 1) / L);
    }
    int64_t room = longest < L ? longest : L;
    int32_t *seen = dq_alloc((size_t)(longest + 1 + room), sizeof *seen, "a document's tokens", error);
    if (!seen) return DLQAT_ERROR_MEMORY;
    dq_scorer scorer;
    dlqat_status status = dq_scorer_open(&scorer, bench, dq_protocol_key(DQ_PPL_LMEVAL), room, out->windows, error);
    seen[0] = prefix;
    for (size_t d = 0; status == DLQAT_OK && d < c->documents; d++) {
        size_t count = c->begin[d + 1] - c->begin[d];
        if (count) memcpy(seen + 1, c->ids.at + c->begin[d], count * sizeof *seen);
        status = score_document(&scorer, seen, (int64_t)count, L, seen + longest + 1, error);
    }
    if (status == DLQAT_OK) status = dq_scorer_finish(&scorer, error);
    out->nll = scorer.nll;
    out->targets = scorer.targets;
    dq_scorer_close(&scorer);
    dq_free(seen);
    return status;
}

static dlqat_status measure_words(dq_perplexity *out, const dq_bench *bench, const char *text, size_t length,
                                  const dq_perplexity_options *options, dlqat_error *error) {
    const dq_tokenizer *tokenizer = bench->model->tokenizer;
    int32_t prefix = dq_tokenizer_bos(tokenizer);
    if (prefix < 0) prefix = dq_tokenizer_eos(tokenizer);
    if (prefix < 0)
        return dq_fail(error, DLQAT_ERROR_UNSUPPORTED,
                       "%s: word_ppl_lmeval predicts the first token from BOS or EOS, and the tokenizer has neither",
                       bench->model->path);
    corpus c = {0};
    dlqat_status status = read_corpus(&c, tokenizer, text, length, options->wikitext, error);
    if (status == DLQAT_OK && c.ids.count == 0)
        status = dq_fail(error, DLQAT_ERROR_INPUT, "word_ppl_lmeval: the text is empty");
    if (status == DLQAT_OK) status = score_corpus(out, bench, &c, prefix, error);
    out->documents = c.documents;
    out->words = c.words;
    if (status == DLQAT_OK) out->value = exp(out->nll / (double)out->words);
    dq_ids_free(&c.ids);
    free(c.begin);
    return status;
}

dlqat_status dq_perplexity_measure(dq_perplexity *out, dq_protocol protocol, const dq_bench *bench, const char *text,
                                   size_t length, const dq_perplexity_options *options, dlqat_error *error) {
    *out = (dq_perplexity){.window = choose_window(protocol, bench, options->window)};
    if (!bench->model->tokenizer)
        return dq_fail(error, DLQAT_ERROR_INPUT, "%s: perplexity of a text needs a tokenizer, and the model has none",
                       bench->model->path);
    if (protocol == DQ_PPL_LMEVAL) return measure_words(out, bench, text, length, options, error);
    return measure_pieces(out, protocol, bench, text, length, options, error);
}
