/* Data sets: rows of tokens with labels, from instruction, chat, or text files; shuffled, split, and packed.
 *
 * A row is a sequence of ids and, per id, whether the loss counts it as a target. A file is recognised by its contents:
 * a JSON array or JSONL of {instruction, input, output}, of {messages}, or of {text}; anything else is plain text,
 * cut into consecutive rows of max_length tokens. Instruction rows under a chat template become user (instruction +
 * "\n\n" + input) and assistant. Prompt tokens carry no loss; every row ends with EOS, and a conversation with the
 * assistant's last words; BOS as the tokenizer adds it, unless the template writes it. A row longer than max_length is
 * cut at its end, without EOS there; a row without any label left is dropped and counted. Rows of plain text begin
 * with BOS each; only the end of the text ends with EOS. Strings of special tokens inside a row's text are recognised
 * as such, as transformers does. */
#ifndef DQ_TEXT_DATASET_H
#define DQ_TEXT_DATASET_H

#include "text/template.h"

typedef struct dq_dataset {
    size_t rows;
    int32_t *ids;     /* all rows one after another */
    uint8_t *learned; /* [tokens] 1: this token is a target; never the first of a row */
    size_t *begin;    /* [rows + 1] offsets into ids */
    size_t tokens, labels;
    size_t dropped, truncated;
    const char *kind; /* "instruction", "chat", "text", "plain text" */
} dq_dataset;

typedef struct dq_dataset_options {
    int max_length; /* tokens a row, at least 2 */
    const dq_template *template;
    const dq_tokenizer *tokenizer;
} dq_dataset_options;

/* The fields' names are the ones above. Rows of different kinds do not mix. Empty data is ERROR_INPUT; so is a row that
 * cannot be read, named by its line. A file named *.json or *.jsonl must be JSON. */
dlqat_status dq_dataset_open(dq_dataset *data, const char *path, const dq_dataset_options *options, dlqat_error *error);
void dq_dataset_close(dq_dataset *data);

/* Moves a seeded random share (0 < share < 1; at least one row each) of the rows of data to held_out. */
dlqat_status dq_dataset_split(dq_dataset *data, double share, uint64_t seed, dq_dataset *held_out, dlqat_error *error);

/* The order of rows: epoch after epoch, each a fresh permutation from (seed, epoch), or the file's order. Position n of
 * the endless sequence is a function of n alone, so a run resumes from a number. */
typedef struct dq_order {
    size_t rows;
    uint64_t seed;
    bool shuffle;
    size_t epoch; /* the one that `permutation` holds */
    size_t *permutation;
} dq_order;
dlqat_status dq_order_open(dq_order *order, size_t rows, uint64_t seed, bool shuffle, dlqat_error *error);
size_t dq_order_row(dq_order *order, uint64_t position);
void dq_order_close(dq_order *order);

/* What the loss needs of a row: its tokens before the last target. */
size_t dq_row_needed(const dq_dataset *data, size_t row);
/* How many tokens at the beginning of row `other` give what those of `row` give: the same ids, without a target to predict
 * in either row. 0 where they are too few to be worth the trouble. */
size_t dq_row_shared(const dq_dataset *data, size_t row, size_t other);
/* For sorting: by their ids, so that rows that share most are neighbours; < 0: `row` comes first. Equal ones by their numbers. */
int dq_row_compare(const dq_dataset *data, size_t row, size_t other);
/* A row is compared with so many before it: enough for what templates write, and linear in rows. */
enum { DQ_SHARE_AMONG = 64 };

/* Rows packed one after another without padding, of each what the loss needs of it. Attention never crosses a row's
 * border; positions restart. label[t] is the target of token t: the next token of the same row if it is learned, else -1.
 *
 * Where a batch shares prefixes, the beginning that a row has in common with an earlier one (dq_row_shared) is not there
 * again. Rows keep all of their keys: keys [0, keys) are the rows one after another with nothing left out, key e is that
 * of token source[e], and token t stands at key[t]. Otherwise each token is its own key. */
typedef struct dq_batch {
    int32_t *ids, *position, *label; /* [capacity] */
    int32_t *row_start;              /* [capacity]: the key at which a token's row begins */
    int32_t *key;                    /* [capacity], ascending; NULL: prefixes are not shared */
    int32_t *source;                 /* [key_capacity]; NULL likewise */
    size_t tokens, capacity, keys, key_capacity, labels, rows;
    size_t *row, *row_key; /* [capacity]: the data's number of each row, and its first key; NULL likewise */
} dq_batch;
/* key_capacity 0: prefixes are not shared. */
dlqat_status dq_batch_open(dq_batch *batch, size_t capacity, size_t key_capacity, dlqat_error *error);
void dq_batch_clear(dq_batch *batch);
/* Whether it fitted. All rows between two clears are of one data set. */
bool dq_batch_add(dq_batch *batch, const dq_dataset *data, size_t row);
void dq_batch_close(dq_batch *batch);

#endif
