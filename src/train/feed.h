/* How the rows of optimizer steps go through the model.
 *
 * The rows of step k = 1, 2, .. are positions (k-1) R .. k R - 1 of the data's order, R = batch_size * accumulation: so a run goes
 * on from a number. Each micro-batch of batch_size rows is fed in pieces of whole rows of at most `at_once` tokens, but at least
 * one row. What a piece adds to the gradients does not depend on the others, so pieces change nothing but the order of sums; they
 * bound the memory of the activations.
 *
 * Tokens that rows of a piece have in common are worked on once (dq_batch), which again changes nothing but the order of sums. Where
 * they are, the rows of a micro-batch come sorted, so that those that begin alike are in one piece, and it is cut where they begin
 * otherwise if that takes no more pieces. All counts here are of tokens
 * worked on, but for those of dq_feed_step. */
#ifndef DQ_TRAIN_FEED_H
#define DQ_TRAIN_FEED_H

#include "base/options.h"
#include "text/dataset.h"

/* What a feed may have to hold, in tokens. */
typedef struct dq_feed_sizes {
    int64_t micro_batch; /* the largest of the run */
    int64_t row;         /* the longest row of the run, or held out */
    int64_t keys;        /* the most keys of a micro-batch; 0: no rows share a prefix, or they shall not */
} dq_feed_sizes;

/* held_out may be NULL. */
dlqat_status dq_feed_measure(dq_feed_sizes *sizes, const dlqat_options *options, const dq_dataset *data,
                             const dq_dataset *held_out, dlqat_error *error);
/* Tokens of the largest piece that there can be. at_once 0: micro-batches stay whole. */
int64_t dq_feed_capacity(const dq_feed_sizes *sizes, int64_t at_once);
/* Keys of the largest piece, where prefixes are shared, else 0. */
int64_t dq_feed_keys(const dq_feed_sizes *sizes, int64_t at_once);

/* Before a row of the micro-batch, as its rows come, and behind the last. */
typedef struct dq_feed_cut {
    uint64_t tokens, keys; /* of the rows before it, in one piece; at most so many tokens */
    uint64_t shared;  /* that the row has in common with the one before it: worked on again where a piece begins here */
    uint64_t pieces;  /* of the best way to cut the rows before it */
    double cost;      /* of that way */
    size_t from, end; /* where its last piece begins; where a piece that begins here ends */
} dq_feed_cut;

typedef struct dq_feed {
    const dq_dataset *data; /* borrowed */
    dq_order order;
    dq_batch batch;                 /* the piece that is at work */
    int64_t rows, micro_batches;    /* of a micro-batch; of a step */
    uint64_t at_once;               /* 0: no bound */
    uint64_t next, end;             /* positions: of the next micro-batch, and of the end of the step */
    size_t *row;                    /* [rows] of this micro-batch: numbers of the data's rows */
    size_t taken;                   /* of them */
    struct dq_feed_member *members; /* [rows]: to sort them */
    dq_feed_cut *cut;               /* [rows + 1] */
} dq_feed;

/* sizes: as measured with the same options and data. */
dlqat_status dq_feed_open(dq_feed *feed, const dlqat_options *options, const dq_dataset *data,
                          const dq_feed_sizes *sizes, int64_t at_once, dlqat_error *error);
void dq_feed_close(dq_feed *feed);
/* Begins a step; tokens and labels of all of its rows, as the data has them. */
void dq_feed_step(dq_feed *feed, int64_t step, uint64_t *tokens, uint64_t *labels);
/* The next piece of the step, valid until the next call; NULL after the last. */
const dq_batch *dq_feed_next(dq_feed *feed);

#endif
