/* The quantizers of a whole model: one per linear that is not excluded, attached so that the model's passes multiply with their
 * W_hat. Used by training, by `quantize`, and by whoever writes the result. */
#ifndef DQ_TRAIN_QUANTIZER_SET_H
#define DQ_TRAIN_QUANTIZER_SET_H

#include "base/options.h"
#include "model/model.h"
#include "quant/fixed_point.h"
#include "quant/quantizer.h"

typedef struct dq_quantizer_set {
    dq_model *model;
    int count;        /* linears of the model */
    dq_quantizer *at; /* [count]; at[i].out is 0 where linear i is excluded */
    dq_recipe recipe; /* resolved: the table's row with the options in place */
    bool resident;    /* W_hat of every linear is kept as codes (quantizer.h) */
    dq_affine *base;  /* [count] with --base-storage int8 the frozen weights, else NULL */
    float *scratch;   /* scratch_floats: threads rows, or what a backward of capacity tokens needs */
    size_t scratch_floats;
    dq_arena arena;
    int64_t groups, held; /* of all linears: groups, and those whose s the floor held at the last refresh */
} dq_quantizer_set;

/* The recipe named by settings->method with the axis options (range, magnitude, offset, clip mask, start) and the numbers
 * (rank, alpha) in place, checked. */
dlqat_status dq_resolve_recipe(dq_recipe *recipe, const dlqat_options *options, dlqat_error *error);
/* The grid of linear `index`: bits, --bits-for (the last pattern that matches the module path wins), group size (auto: the largest
 * of 128, 64, 32 that divides every included tensor's width), scale type. excluded: --exclude matches. */
dlqat_status dq_resolve_grid(const dq_model *model, const dq_settings *settings, int index, dq_grid *grid,
                             bool *excluded, dlqat_error *error);

typedef struct dq_quantizer_set_options {
    bool training; /* with gradients and moments */
    bool resident;
    int threads;
    int64_t capacity; /* tokens of the largest batch, for the backward's scratch; 0 without training */
} dq_quantizer_set_options;

/* Checks every grid, lays out and starts the quantizers (start, refresh), and attaches them: model->layer[..].linear[..].active.
 * The model must outlive the set; closing the set gives the model its own weights back. */
dlqat_status dq_quantizer_set_open(dq_quantizer_set *set, dq_model *model, const dlqat_options *options,
                                   const dq_quantizer_set_options *how, const dq_compute *compute, dlqat_error *error);
/* Bytes that open would take: parameters (and a byte a group for the floor of s), their gradients and moments; the frozen weights
 * where they are encoded; W_hat where it is kept; scratch. */
typedef struct dq_quantizer_set_bytes {
    size_t parameters, optimizer, base, what, scratch;
} dq_quantizer_set_bytes;
dlqat_status dq_quantizer_set_plan(dq_quantizer_set_bytes *bytes, dq_model *model, const dlqat_options *options,
                                   const dq_quantizer_set_options *how, dlqat_error *error);
void dq_quantizer_set_close(dq_quantizer_set *set);

/* After any change of parameters: refreshes all. */
dlqat_status dq_quantizer_set_refresh(dq_quantizer_set *set, const dq_compute *compute, dlqat_error *error);
/* Numbers that phase trains, over all linears. */
uint64_t dq_quantizer_set_trainable(const dq_quantizer_set *set, int phase);
/* XXH3-128 (hex, 32 digits) of the weight of every linear in order, excluded ones too, as the passes multiply with it: f32 rows,
 * little-endian, -0 as +0. The same as dq_inventory_hash of the file that is written from it. */
dlqat_status dq_quantizer_set_hash(const dq_quantizer_set *set, char hash[33], dlqat_error *error);

#endif
