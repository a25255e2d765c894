/* Products with weights: resident ones; in generation, with not too many tokens, straight from their packed codes; all others
 * are produced a tile of rows at a time. */
#include "model/pass_internal.h"

/* With more tokens than this, a matrix product is worth the packing of its operands. */
enum { CODED_TOKENS = 96, CODED_TOKENS_BF16 = 32 };

/* Evaluation goes the other way even with few tokens: it promises the same bits whether weights are resident or not. */
static bool stays_packed(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, int64_t T) {
    const int64_t most = compute->multiply == DQ_MULTIPLY_BF16 ? CODED_TOKENS_BF16 : CODED_TOKENS;
    return pass->options.cache && T <= most && !weight->resident && weight->coded.coding;
}

/* Rounded activations save time where the codes are not unpacked to f32 anyway. */
static bool rounds(const dq_pass *pass, int64_t T) {
    return pass->options.int8 && T <= DQ_CODED_FEW;
}

/* Rows [first, first + count) of W to where the kernels read them as the B of a product: W^T (the forward's, [in, count]) or W (the
 * input gradient's, [count, in]). A piece is packed while the rows that its thread has just made are in the cache. */
static const void *packed_tile(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, int64_t first,
                               int64_t count, bool transposed) {
    const int64_t in = weight->in;
    dq_operation before = dq_profile_enter(compute->profile, DQ_WEIGHTS, 0);
#pragma omp parallel for num_threads(compute->threads) schedule(dynamic)
    for (int64_t at = 0; at < count; at += DQ_PACK_UNIT) {
        int64_t rows = count - at < DQ_PACK_UNIT ? count - at : DQ_PACK_UNIT;
        float *made = pass->tile + at * in;
        if (weight->coded.coding)
            compute->kernels->coded_rows(&weight->coded, first + at, rows, made);
        else
            dq_weight_rows(weight, first + at, rows, made);
        const dq_pack forward = {.k = in,
                                 .n = count,
                                 .rows = in,
                                 .first_column = at,
                                 .columns = rows,
                                 .b = made,
                                 .b_row = 1,
                                 .b_column = in};
        const dq_pack backward = {
            .k = count, .n = in, .first_row = at, .rows = rows, .columns = in, .b = made, .b_row = in, .b_column = 1};
        compute->kernels->pack(compute, transposed ? &forward : &backward, pass->packed);
    }
    dq_profile_return(compute->profile, before);
    return pass->packed;
}

/* The product with rows [first, first + count) of W: where they lie if they are resident, else by way of a packed tile. */
static void multiply_tile(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, int64_t first,
                          int64_t count, bool transposed, dq_gemm *product) {
    if (weight->resident) {
        product->b = weight->resident + first * weight->in;
        product->b_row = transposed ? 1 : weight->in;
        product->b_column = transposed ? weight->in : 1;
        compute->kernels->gemm(compute, product);
        return;
    }
    compute->kernels->gemm_packed(compute, product, packed_tile(pass, compute, weight, first, count, transposed));
}

void dq_linears_forward(const dq_pass *pass, const dq_compute *compute, int count, const dq_weight *const *weight,
                        const float *x, float *const *y, int64_t T, bool accumulate) {
    dq_coded_product product = {.x = x, .tokens = T, .accumulate = accumulate, .int8 = rounds(pass, T)};
    for (int i = 0; i < count; i++) {
        if (product.count == DQ_CODED_TOGETHER || !stays_packed(pass, compute, weight[i], T)) {
            dq_linear_forward(pass, compute, weight[i], x, y[i], T, accumulate);
            continue;
        }
        product.weight[product.count] = &weight[i]->coded;
        product.y[product.count++] = y[i];
    }
    if (product.count) compute->kernels->coded_multiply(compute, &product);
}

/* For the profile. A pass of a test may have no model. */
static dq_operation operation_of(const dq_pass *pass, const dq_weight *weight, dq_operation linear) {
    return pass->model && weight == &pass->model->head ? DQ_HEAD : linear;
}

void dq_linear_forward(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, const float *x,
                       float *y, int64_t T, bool accumulate) {
    if (stays_packed(pass, compute, weight, T)) {
        const dq_coded_product product = {.x = x,
                                          .tokens = T,
                                          .count = 1,
                                          .weight = {&weight->coded},
                                          .y = {y},
                                          .accumulate = accumulate,
                                          .int8 = rounds(pass, T)};
        compute->kernels->coded_multiply(compute, &product);
        return;
    }
    dq_operation before = dq_profile_enter(compute->profile, operation_of(pass, weight, DQ_LINEAR_FORWARD),
                                           2.0 * (double)T * (double)weight->in * (double)weight->out);
    /* An element of y is one sum over `in` wherever the tiles' borders lie, so a resident weight needs no tiles. */
    int64_t step = weight->resident ? weight->out : dq_tile_rows(weight->in);
    for (int64_t first = 0; first < weight->out; first += step) {
        int64_t count = weight->out - first < step ? weight->out - first : step;
        dq_gemm product = {
            .m = T,
            .n = count,
            .k = weight->in,
            .a = x,
            .a_row = weight->in,
            .a_column = 1,
            .c = y + first,
            .c_row = weight->out,
            .accumulate = accumulate,
        };
        multiply_tile(pass, compute, weight, first, count, true, &product);
    }
    dq_profile_return(compute->profile, before);
}

void dq_linear_backward(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, const float *dy,
                        float *dx, int64_t T, bool accumulate) {
    dq_operation before = dq_profile_enter(compute->profile, operation_of(pass, weight, DQ_LINEAR_INPUT_GRADIENT),
                                           2.0 * (double)T * (double)weight->in * (double)weight->out);
    /* Here the sum runs over `out`: the same tiles for a resident weight keep its order. */
    int64_t step = dq_tile_rows(weight->in);
    for (int64_t first = 0; first < weight->out; first += step) {
        int64_t count = weight->out - first < step ? weight->out - first : step;
        dq_gemm product = {
            .m = T,
            .n = weight->in,
            .k = count,
            .a = dy + first,
            .a_row = weight->out,
            .a_column = 1,
            .c = dx,
            .c_row = weight->in,
            .accumulate = accumulate || first > 0,
        };
        multiply_tile(pass, compute, weight, first, count, false, &product);
    }
    dq_profile_return(compute->profile, before);
}
