/* Products with weights: resident ones; in generation, with not too many tokens, straight from their packed codes; the forward
 * with codes of few bits by tables; all others are produced a tile of rows at a time. */
#include "model/pass_internal.h"

#include <omp.h>
#include <string.h>

#include "kernels/tables.h"

/* With more tokens than this, a matrix product is worth the packing of its operands. */
enum { CODED_TOKENS = 96, CODED_TOKENS_BF16 = 32 };
/* With fewer tokens than this, packing them apart costs more in waking threads than it saves. */
enum { PACKED_TOKENS = 64 };

/* Evaluation goes the other way even with few tokens: it promises the same bits whether weights are resident or not. */
static bool stays_packed(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, int64_t T) {
    const int64_t most = compute->multiply == DQ_MULTIPLY_BF16 ? CODED_TOKENS_BF16 : CODED_TOKENS;
    return pass->options.cache && T <= most && !weight->resident && weight->coded.coding;
}

/* Rounded activations save time where the codes are not unpacked to f32 anyway. */
static bool rounds(const dq_pass *pass, int64_t T) {
    return pass->options.int8 && T <= DQ_CODED_FEW;
}

/* Planes are made of the codes for every product: with fewer tokens than this they cost a tenth of it and more. */
enum { TABLES_TOKENS = 64 };

static bool goes_by_tables(const dq_compute *compute, const dq_weight *weight, int64_t T) {
    return T >= TABLES_TOKENS && compute->multiply == DQ_MULTIPLY_F32 && !weight->resident &&
           dq_tables_admit(&weight->coded) && weight->coded.code_bits <= compute->kernels->tables_bits;
}

/* Whether the kernels packed the piece without unpacking its codes to f32. */
static bool pack_coded(const dq_compute *compute, const dq_weight *weight, int64_t first, const dq_pack *piece,
                       bool transposed, void *packed) {
    const dq_kernels *kernels = compute->kernels;
    return weight->coded.coding && kernels->pack_coded &&
           kernels->pack_coded(compute, &weight->coded, first, piece, transposed, packed);
}

/* Rows [first, first + count) of W to where the kernels read them as the B of a product: W^T (the forward's, [in, count]) or W
 * (the input gradient's, [count, in]). A piece is packed while the rows that its thread has just made are in the cache. */
static const void *packed_tile(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, int64_t first,
                               int64_t count, bool transposed) {
    const int64_t in = weight->in;
    const int makers = compute->threads < pass->makers ? compute->threads : pass->makers;
    dq_operation before = dq_profile_enter(compute->profile, DQ_WEIGHTS, 0);
#pragma omp parallel for num_threads(makers) schedule(dynamic)
    for (int64_t at = 0; at < count; at += DQ_PACK_UNIT) {
        int64_t rows = count - at < DQ_PACK_UNIT ? count - at : DQ_PACK_UNIT;
        float *made = pass->made + omp_get_thread_num() * pass->made_floats;
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
        const dq_pack *piece = transposed ? &forward : &backward;
        if (pack_coded(compute, weight, first + at, piece, transposed, pass->packed)) continue;
        if (weight->coded.coding)
            compute->kernels->coded_rows(&weight->coded, first + at, rows, made);
        else
            dq_weight_rows(weight, first + at, rows, made);
        compute->kernels->pack(compute, piece, pass->packed);
    }
    dq_profile_return(compute->profile, before);
    return pass->packed;
}

/* The product with rows [first, first + count) of W: where they lie if they are resident, else by way of a packed tile.
 * input: A as it is packed, or NULL. */
static void multiply_tile(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, int64_t first,
                          int64_t count, bool transposed, const void *input, dq_gemm *product) {
    dq_packed packed = {.a = input};
    if (weight->resident) {
        product->b = weight->resident + first * weight->in;
        product->b_row = transposed ? 1 : weight->in;
        product->b_column = transposed ? weight->in : 1;
    } else {
        packed.b = packed_tile(pass, compute, weight, first, count, transposed);
    }
    compute->kernels->gemm_packed(compute, product, &packed);
}

/* For the profile. A pass of a test may have no model. */
static dq_operation operation_of(const dq_pass *pass, const dq_weight *weight, dq_operation linear) {
    return pass->model && weight == &pass->model->head ? DQ_HEAD : linear;
}

/* Rows of W that a product of the forward takes. An element of y is one sum over `in` wherever the tiles' borders lie, so a
 * resident weight needs no tiles. */
static int64_t rows_at_once(const dq_weight *weight) {
    return weight->resident ? weight->out : dq_tile_rows(weight->in);
}

/* y = x W^T for a weight by way of matrix products. */
static void forward(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, const float *x,
                    const void *packed, float *y, int64_t T, bool accumulate) {
    dq_operation before = dq_profile_enter(compute->profile, operation_of(pass, weight, DQ_LINEAR_FORWARD),
                                           2.0 * (double)T * (double)weight->in * (double)weight->out);
    int64_t step = rows_at_once(weight);
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
        multiply_tile(pass, compute, weight, first, count, true, packed, &product);
    }
    dq_profile_return(compute->profile, before);
}

/* x [T, in] as the A of several products; NULL where it is as well packed on the way of each: there is but one, or x is small. */
static const void *packed_input(const dq_pass *pass, const dq_compute *compute, int count,
                                const dq_weight *const *weight, const float *x, int64_t T) {
    int64_t products = 0, in = weight[0]->in;
    for (int i = 0; i < count; i++)
        products += (weight[i]->out + rows_at_once(weight[i]) - 1) / rows_at_once(weight[i]);
    if (products < 2 || T < PACKED_TOKENS) return NULL;
    dq_operation before = dq_profile_enter(compute->profile, operation_of(pass, weight[0], DQ_LINEAR_FORWARD), 0);
    const dq_gemm operand = {.m = T, .k = in, .a = x, .a_row = in, .a_column = 1};
    compute->kernels->pack_a(compute, &operand, pass->packed_input);
    dq_profile_return(compute->profile, before);
    return pass->packed_input;
}

static void multiply_by_tables(const dq_compute *compute, const dq_coded_product *p) {
    double operations = 0;
    for (int i = 0; i < p->count; i++)
        operations += 2.0 * (double)p->tokens * (double)p->weight[i]->in * (double)p->weight[i]->out;
    dq_operation before = dq_profile_enter(compute->profile, DQ_LINEAR_FORWARD, operations);
    compute->kernels->tables_multiply(compute, p);
    dq_profile_return(compute->profile, before);
}

void dq_linears_forward(const dq_pass *pass, const dq_compute *compute, int count, const dq_weight *const *weight,
                        const float *x, float *const *y, int64_t T, bool accumulate) {
    dq_coded_product coded = {.x = x, .tokens = T, .accumulate = accumulate, .int8 = rounds(pass, T)};
    dq_coded_product tables = {.x = x, .tokens = T, .accumulate = accumulate};
    const dq_weight *others[DQ_CODED_TOGETHER];
    float *others_y[DQ_CODED_TOGETHER];
    int other = 0;
    for (int i = 0; i < count; i++) {
        if (stays_packed(pass, compute, weight[i], T)) {
            coded.weight[coded.count] = &weight[i]->coded;
            coded.y[coded.count++] = y[i];
        } else if (goes_by_tables(compute, weight[i], T)) {
            tables.weight[tables.count] = &weight[i]->coded;
            tables.y[tables.count++] = y[i];
        } else {
            others[other] = weight[i];
            others_y[other++] = y[i];
        }
    }
    if (coded.count) compute->kernels->coded_multiply(compute, &coded);
    if (tables.count) multiply_by_tables(compute, &tables);
    if (other == 0) return;
    const void *packed = packed_input(pass, compute, other, others, x, T);
    for (int i = 0; i < other; i++) forward(pass, compute, others[i], x, packed, others_y[i], T, accumulate);
}

void dq_linear_forward(const dq_pass *pass, const dq_compute *compute, const dq_weight *weight, const float *x,
                       float *y, int64_t T, bool accumulate) {
    dq_linears_forward(pass, compute, 1, &weight, x, &y, T, accumulate);
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
        multiply_tile(pass, compute, weight, first, count, false, NULL, &product);
    }
    dq_profile_return(compute->profile, before);
}

/* x [T, in] as the B of products over tokens. */
static const void *packed_for_gradients(const dq_pass *pass, const dq_compute *compute, int64_t in, const float *x,
                                        int64_t T) {
    dq_operation before = dq_profile_enter(compute->profile, DQ_LINEAR_WEIGHT_GRADIENT, 0);
#pragma omp parallel for num_threads(compute->threads) schedule(static)
    for (int64_t at = 0; at < T; at += DQ_PACK_UNIT) {
        const dq_pack piece = {.k = T,
                               .n = in,
                               .first_row = at,
                               .rows = T - at < DQ_PACK_UNIT ? T - at : DQ_PACK_UNIT,
                               .columns = in,
                               .b = x + at * in,
                               .b_row = in,
                               .b_column = 1};
        compute->kernels->pack(compute, &piece, pass->packed_input);
    }
    dq_profile_return(compute->profile, before);
    return pass->packed_input;
}

bool dq_linear_wants_dots(const dq_pass *pass, int l, dq_linear_kind kind) {
    const dq_gradients *want = &pass->want;
    return want->linears && want->dots && want->dots(want->user, l * DQ_LINEARS_PER_LAYER + (int)kind);
}

float *dq_linear_dots(const dq_pass *pass, int l, dq_linear_kind kind, int i) {
    float *dots = pass->dots + i * pass->dots_floats;
    memset(dots, 0, (size_t)pass->model->layer[l].linear[kind].active.out * sizeof *dots);
    return dots;
}

void dq_linears_report(const dq_pass *pass, const dq_compute *compute, int l, dq_linear_kind kind, int count,
                       const float *const *dy, const float *x, const float *const *dots, int64_t T) {
    const dq_gradients *want = &pass->want;
    if (!want->linears) return;
    const int64_t in = dq_linear_in(&pass->model->config, kind);
    dq_linears_gradient given = {.index = l * DQ_LINEARS_PER_LAYER + (int)kind,
                                 .count = count,
                                 .T = T,
                                 .dy = dy,
                                 .x = x,
                                 .packed = want->packed ? packed_for_gradients(pass, compute, in, x, T) : NULL};
    for (int i = 0; i < count; i++) given.dots[i] = dots[i];
    want->linears(want->user, compute, &given);
}
