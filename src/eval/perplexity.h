/* Perplexity in three protocols. They answer different questions and must never be compared with one another.
 *
 *   ppl_window        The file as it is, tokenized once. Windows of W tokens, the tail dropped, each by itself:
 *                     exp( mean over windows of the mean -log p of the window's W - 1 targets ).   W: 2,048
 *   ppl_llamacpp      llama.cpp's. Chunks of C tokens, the tail dropped; BOS takes the place of a chunk's first token where the
 *                     tokenizer adds BOS. Of each chunk positions C/2 .. C-2 predict: exp( mean -log p ).   C: 512
 *   word_ppl_lmeval   lm-evaluation-harness's. Every token of a document is predicted once, the first from BOS (EOS where there
 *                     is none), in windows of L tokens; the last window reaches back to be full.
 *                     exp( sum of -log p / number of words ).   L: the model's context
 *
 * In word_ppl_lmeval a tokenizer that adds BOS has it twice: the first token to predict is BOS itself, from BOS. So has the harness. */
#ifndef DQ_EVAL_PERPLEXITY_H
#define DQ_EVAL_PERPLEXITY_H

#include "eval/scorer.h"

typedef enum dq_protocol { DQ_PPL_WINDOW, DQ_PPL_LLAMACPP, DQ_PPL_LMEVAL, DQ_PROTOCOLS } dq_protocol;

/* "ppl_window", .. */
const char *dq_protocol_key(dq_protocol protocol);
/* From the word of --ppl-protocol ("window", ..), of length bytes; false: unknown. */
bool dq_protocol_find(const char *word, size_t length, dq_protocol *protocol);

typedef struct dq_perplexity_options {
    int64_t window;      /* 0: the protocol's own, or the model's context where that is less */
    int64_t max_windows; /* 0: all. Not for lmeval: words can only be counted for whole documents */
    bool wikitext;       /* lmeval: documents and detokenization of the wikitext task; else the text is one document */
} dq_perplexity_options;

typedef struct dq_perplexity {
    double value, nll; /* nll: sum of -log p */
    int64_t window;
    uint64_t windows, targets;
    uint64_t documents, words; /* lmeval */
} dq_perplexity;

dlqat_status dq_perplexity_measure(dq_perplexity *out, dq_protocol protocol, const dq_bench *bench, const char *text,
                                   size_t length, const dq_perplexity_options *options, dlqat_error *error);

#endif
