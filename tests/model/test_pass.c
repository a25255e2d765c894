/* The passes: a real model against float64 values, and what must be equal whatever the way taken. */
#include "pass_support.h"

#include "model/pass_internal.h"

typedef struct fixture {
    dq_model *model;
    dq_compute compute;
    dq_batch batch;
} fixture;

/* Rows of 24, 17 and 9 tokens, as many as the capacity takes. */
static void set_up_from(fixture *f, const char *path) {
    static const size_t lengths[] = {24, 17, 9};
    dlqat_error error;
    assert_ok(dq_model_open(&f->model, path, false, &error));
    assert_ok(dq_compute_open(&f->compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    make_batch(&f->batch, 50);
    int32_t ids[24];
    for (size_t r = 0; r < 3; r++) {
        for (size_t i = 0; i < lengths[r]; i++) ids[i] = (int32_t)((i * i + 11 * r + 5 * i) % 61);
        add_row(&f->batch, ids, lengths[r]);
    }
}

static void set_up(fixture *f, const char *family) {
    char path[1024];
    snprintf(path, sizeof path, "%s/families/%s", TEST_FIXTURES, family);
    set_up_from(f, path);
}

static void tear_down(fixture *f) {
    free_batch(&f->batch);
    dq_compute_close(&f->compute);
    dq_model_close(f->model);
}

static dq_pass *open_pass(const fixture *f, bool training, bool checkpoint, int64_t cache) {
    dlqat_error error;
    dq_pass *pass;
    dq_pass_options options = {
        .capacity = (int64_t)f->batch.capacity, .training = training, .checkpoint = checkpoint, .cache = cache};
    assert_ok(dq_pass_open(&pass, f->model, &options, &error));
    return pass;
}

/* stories260K, five layers, against PyTorch's float64: the tolerances that the project promises, 1e-5. */
static void matches_oracle(void **state) {
    (void)state;
    char path[1024];
    dlqat_error error;
    fixture f = {0};
    dq_safetensors *oracle;
    shared_data(path, "oracles/fp.safetensors");
    assert_ok(dq_safetensors_open(&oracle, path, &error));
    shared_data(path, "models/stories260K/config.json");
    *strrchr(path, '/') = '\0';
    assert_ok(dq_model_open(&f.model, path, false, &error));
    assert_ok(dq_compute_open(&f.compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    const dq_tensor *ids = dq_safetensors_find(oracle, "ids");
    make_batch(&f.batch, 256);
    for (size_t r = 0; r < 2; r++) add_row(&f.batch, (const int32_t *)ids->data + 128 * r, 128);

    dq_pass *pass = open_pass(&f, true, false, 0);
    gradients g;
    make_gradients(&g, f.model);
    double mean = run_backward(pass, &f.compute, &f.batch, 1.0f / (float)f.batch.labels, &g) / (double)f.batch.labels;
    double expected = *(const double *)dq_safetensors_find(oracle, "loss")->data;
    print_message("loss %.9f, oracle %.9f\n", mean, expected);
    assert_true(fabs(mean - expected) <= 1e-5 * expected);
    gradient_check check = {.file = oracle, .tolerance = 1e-5};
    each_gradient(&g, check_gradient, &check);
    print_message("%d gradients, worst %.2e (%s)\n", check.count, check.worst, check.worst_name);
    assert_int_equal(check.count, 5 * 9 + 2);

    float *logits = reserve(256 * 512, sizeof *logits);
    assert_ok(dq_pass_forward(pass, &f.compute, &f.batch, &error));
    assert_ok(dq_pass_logits(pass, &f.compute, 0, 256, logits, &error));
    double d = distance(logits, dq_safetensors_find(oracle, "logits"));
    print_message("logits %.2e\n", d);
    assert_true(d <= 1e-5);

    free(logits);
    free_gradients(&g);
    dq_pass_close(pass);
    dq_safetensors_close(oracle);
    tear_down(&f);
}

/* Recomputation runs the same operations on the same numbers. */
static void checkpointing_keeps_the_bits(void **state) {
    fixture f = {0};
    set_up(&f, *state);
    double sums[2];
    gradients g[2];
    for (int i = 0; i < 2; i++) {
        dq_pass *pass = open_pass(&f, true, i == 1, 0);
        make_gradients(&g[i], f.model);
        sums[i] = run_backward(pass, &f.compute, &f.batch, 0.5f, &g[i]);
        dq_pass_close(pass);
    }
    assert_true(sums[0] == sums[1]);
    comparison c = {.other = &g[1]};
    each_gradient(&g[0], compare, &c);
    for (int i = 0; i < 2; i++) free_gradients(&g[i]);
    tear_down(&f);
}

/* The loss and gradients of a packed batch are the sums of those of its rows alone. Only the order of f32 sums differs. */
static void packing_changes_nothing(void **state) {
    fixture f = {0};
    set_up(&f, *state);
    dlqat_error error;
    dq_pass *pass = open_pass(&f, true, false, 0);
    gradients packed, alone;
    make_gradients(&packed, f.model);
    make_gradients(&alone, f.model);
    double sum = run_backward(pass, &f.compute, &f.batch, 1, &packed), sum_alone = 0;
    double each[50], each_alone[50];
    assert_ok(dq_pass_forward(pass, &f.compute, &f.batch, &error));
    assert_ok(dq_pass_loss(pass, &f.compute, &f.batch, false, 1, &(double){0}, each, &error));
    size_t seen = 0;
    for (size_t start = 0; start < f.batch.tokens;) {
        size_t end = start;
        while (end < f.batch.tokens && (size_t)f.batch.row_start[end] == start) end++;
        dq_batch row;
        make_batch(&row, end - start);
        add_row(&row, f.batch.ids + start, end - start);
        sum_alone += run_backward(pass, &f.compute, &row, 1, &alone);
        assert_ok(dq_pass_forward(pass, &f.compute, &row, &error));
        assert_ok(dq_pass_loss(pass, &f.compute, &row, false, 1, &(double){0}, each_alone + seen, &error));
        seen += row.labels;
        free_batch(&row);
        start = end;
    }
    assert_int_equal(seen, f.batch.labels);
    for (size_t i = 0; i < seen; i++) assert_true(fabs(each[i] - each_alone[i]) <= 1e-5 * fabs(each[i]));
    assert_true(fabs(sum - sum_alone) <= 1e-5 * sum);
    comparison c = {.other = &alone, .tolerance = 1e-5};
    each_gradient(&packed, compare, &c);
    print_message("worst gradient %.2e\n", c.worst);
    free_gradients(&packed);
    free_gradients(&alone);
    dq_pass_close(pass);
    tear_down(&f);
}

/* Weights that are kept, and the same produced tile by tile: the same bits. */
static void residence_keeps_the_bits(void **state) {
    (void)state;
    fixture f = {0};
    set_up(&f, "llama3");
    double sums[2];
    gradients g[2];
    for (int i = 0; i < 2; i++) {
        for (int k = 0; i == 1 && k < dq_model_linear_count(f.model); k++) {
            assert_non_null(dq_model_linear(f.model, k)->active.resident);
            dq_model_linear(f.model, k)->active.resident = NULL;
        }
        if (i == 1) f.model->embedding.resident = f.model->head.resident = NULL;
        dq_pass *pass = open_pass(&f, true, false, 0);
        make_gradients(&g[i], f.model);
        sums[i] = run_backward(pass, &f.compute, &f.batch, 0.5f, &g[i]);
        dq_pass_close(pass);
    }
    assert_true(sums[0] == sums[1]);
    comparison c = {.other = &g[1]};
    each_gradient(&g[0], compare, &c);
    for (int i = 0; i < 2; i++) free_gradients(&g[i]);
    tear_down(&f);
}

/* More rows than a tile has, so that products and their backward go over several, and enough tokens that x is packed once for
 * them: [1100, 1030] against plain loops. */
static void tiles_join(void **state) {
    (void)state;
    enum { OUT = 1100, IN = 1030, T = 70, MAKERS = 2 };
    assert_true(dq_tile_rows(IN) < OUT);
    dlqat_error error;
    float *w = reserve((size_t)OUT * IN, sizeof *w), *made = reserve((size_t)MAKERS * DQ_PACK_UNIT * IN, sizeof *made);
    float *packed = reserve((size_t)dq_packed_floats(dq_tile_rows(IN), IN), sizeof *packed);
    float *input = reserve((size_t)dq_packed_floats(DQ_PACK_ROWS, IN), sizeof *input);
    float *x = reserve((size_t)T * IN, sizeof *x), *dx = reserve((size_t)T * IN, sizeof *dx);
    float *y = reserve((size_t)T * OUT, sizeof *y), *dy = reserve((size_t)T * OUT, sizeof *dy);
    for (int i = 0; i < OUT * IN; i++) w[i] = (float)(i % 201 * 7919 % 201 - 100) / 100.0f;
    for (int i = 0; i < T * IN; i++) x[i] = (float)(i % 197 * 104 % 197 - 98) / 98.0f;
    for (int i = 0; i < T * OUT; i++) dy[i] = (float)(i % 13 - 6);
    dq_tensor tensor = {.name = "w", .dtype = DQ_F32, .dimensions = 2, .shape = {OUT, IN}, .data = w};
    dq_weight weight = dq_weight_from_tensor(&tensor, 0);
    weight.resident = NULL;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    dq_pass pass = {
        .packed_input = input, .makers = MAKERS, .made_floats = DQ_PACK_UNIT * IN, .made = made, .packed = packed};
    dq_linear_forward(&pass, &compute, &weight, x, y, T, false);
    dq_linear_backward(&pass, &compute, &weight, dy, dx, T, false);
    for (int t = 0; t < T; t++) {
        for (int i = 0; i < OUT; i++) {
            double sum = 0, size = 0;
            for (int j = 0; j < IN; j++) {
                sum += (double)x[t * IN + j] * w[i * IN + j];
                size += fabs((double)x[t * IN + j] * w[i * IN + j]);
            }
            assert_true(fabs(y[t * OUT + i] - sum) <= 1e-5 * size);
        }
        for (int j = 0; j < IN; j += 97) {
            double sum = 0, size = 0;
            for (int i = 0; i < OUT; i++) {
                sum += (double)dy[t * OUT + i] * w[i * IN + j];
                size += fabs((double)dy[t * OUT + i] * w[i * IN + j]);
            }
            assert_true(fabs(dx[t * IN + j] - sum) <= 1e-5 * size);
        }
    }
    /* Resident, y comes from one product; dx still from the same tiles. */
    float *kept_y = reserve((size_t)T * OUT, sizeof *kept_y), *kept_dx = reserve((size_t)T * IN, sizeof *kept_dx);
    weight.resident = w;
    dq_linear_forward(&pass, &compute, &weight, x, kept_y, T, false);
    dq_linear_backward(&pass, &compute, &weight, dy, kept_dx, T, false);
    assert_memory_equal(kept_y, y, (size_t)T * OUT * sizeof *y);
    assert_memory_equal(kept_dx, dx, (size_t)T * IN * sizeof *dx);
    dq_compute_close(&compute);
    float *const all[] = {w, made, packed, input, x, dx, y, dy, kept_y, kept_dx};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static int weights_by_tables; /* a test may have one */

static void count_and_multiply(const dq_compute *compute, const dq_coded_product *p) {
    weights_by_tables += p->count;
    dq_kernels_at(0, NULL)->tables_multiply(compute, p); /* plain C */
}

/* Products go by tables where codes have few bits and tokens are many enough, in f32, each weight of one x by itself: the sums
 * are those of the others. */
static void few_bits_go_by_tables(void **state) {
    (void)state;
    enum { OUT = 24, IN = 128, T = 64 };
    dlqat_error error;
    dq_compute compute;
    assert_ok(dq_compute_open(&compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    dq_kernels kernels = *compute.kernels;
    kernels.tables_multiply = count_and_multiply;
    kernels.tables_bits = 3;
    compute.kernels = &kernels;
    uint8_t codes[OUT * IN];
    float scales[OUT * IN / 32], offsets[OUT * IN / 32], *x = reserve((size_t)T * IN, sizeof *x);
    float *y[2] = {reserve((size_t)T * OUT, sizeof(float)), reserve((size_t)T * OUT, sizeof(float))};
    float *made = reserve((size_t)DQ_PACK_UNIT * IN, sizeof *made);
    float *packed = reserve((size_t)dq_packed_floats(OUT, IN), sizeof *packed);
    float *input = reserve((size_t)dq_packed_floats(DQ_PACK_ROWS, IN), sizeof *input);
    for (int i = 0; i < OUT * IN; i++) codes[i] = (uint8_t)(i * 7 % 13 % 4);
    for (int i = 0; i < OUT * IN / 32; i++) {
        scales[i] = (float)(i % 11 - 5) / 8;
        offsets[i] = (float)(i % 17 - 8) / 4;
    }
    for (int i = 0; i < T * IN; i++) x[i] = (float)(i % 197 * 104 % 197 - 98) / 98.0f;
    const dq_pass pass = {
        .packed_input = input, .makers = 1, .made_floats = DQ_PACK_UNIT * IN, .made = made, .packed = packed};
    static const struct {
        int64_t tokens, group;
        int bits[2], by_tables;
        dq_multiply multiply;
    } cases[] = {{T, 64, {3, 2}, 2, DQ_MULTIPLY_F32},     {T, 64, {3, 4}, 1, DQ_MULTIPLY_F32},
                 {T, 128, {8, 3}, 1, DQ_MULTIPLY_F32},    {T, 64, {0, 0}, 0, DQ_MULTIPLY_F32},
                 {T - 1, 64, {3, 3}, 0, DQ_MULTIPLY_F32}, {T, 32, {3, 3}, 0, DQ_MULTIPLY_F32},
                 {T, 64, {3, 3}, 0, DQ_MULTIPLY_BF16}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dq_weight weight[2];
        for (int n = 0; n < 2; n++)
            weight[n] = (dq_weight){.out = OUT,
                                    .in = IN,
                                    .coded = {.coding = DQ_CODING_BITS,
                                              .out = OUT,
                                              .in = IN,
                                              .row_bytes = IN,
                                              .codes = codes,
                                              .bits = 8,
                                              .code_bits = cases[i].bits[n],
                                              .group = cases[i].group,
                                              .scale_type = DQ_SCALE_F32,
                                              .scales = scales,
                                              .offsets = offsets}};
        weights_by_tables = 0;
        compute.multiply = cases[i].multiply;
        dq_linears_forward(&pass, &compute, 2, (const dq_weight *[]){&weight[0], &weight[1]}, x, y, cases[i].tokens,
                           false);
        assert_int_equal(weights_by_tables, cases[i].by_tables);
        for (int64_t at = 0; at < 2 * cases[i].tokens * OUT; at++) {
            const int64_t row = at / 2 % OUT, token = at / 2 / OUT;
            double sum = 0, size = 0;
            for (int64_t j = 0; j < IN; j++) {
                const int64_t group = (row * IN + j) / cases[i].group;
                const double term = ((double)scales[group] * codes[row * IN + j] + offsets[group]) * x[token * IN + j];
                sum += term;
                size += fabs(term);
            }
            /* 128 sums of f32, or both operands rounded to bf16 (2^-9 each). */
            const double allowed = cases[i].multiply == DQ_MULTIPLY_BF16 ? 1e-2 : 1e-5;
            assert_true(fabs(y[at % 2][at / 2] - sum) <= allowed * size);
        }
    }
    dq_compute_close(&compute);
    float *const all[] = {x, y[0], y[1], made, packed, input};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

/* Loss in chunks: 600 label tokens are more than a chunk holds. Rows alone fit into one. */
static void loss_chunks_join(void **state) {
    (void)state;
    enum { ROW = 24, ROWS = 25 };
    fixture f = {0};
    set_up(&f, "qwen3_tied");
    dlqat_error error;
    dq_batch many;
    make_batch(&many, ROW * ROWS);
    for (int r = 0; r < ROWS; r++) add_row(&many, f.batch.ids, ROW);
    dq_batch one;
    make_batch(&one, ROW);
    add_row(&one, f.batch.ids, ROW);
    dq_pass *pass;
    dq_pass_options options = {.capacity = ROW * ROWS, .training = true};
    assert_true(dq_loss_rows(f.model->config.vocabulary, f.model->config.hidden, options.capacity) <
                (int64_t)many.labels);
    assert_ok(dq_pass_open(&pass, f.model, &options, &error));
    gradients g, g_one;
    make_gradients(&g, f.model);
    make_gradients(&g_one, f.model);
    double sum = run_backward(pass, &f.compute, &many, 1.0f / ROWS, &g);
    double sum_one = run_backward(pass, &f.compute, &one, 1, &g_one);
    assert_true(fabs(sum / ROWS - sum_one) <= 1e-5 * sum_one);
    comparison c = {.other = &g_one, .tolerance = 1e-5};
    each_gradient(&g, compare, &c);
    free_gradients(&g);
    free_gradients(&g_one);
    free_batch(&many);
    free_batch(&one);
    dq_pass_close(pass);
    tear_down(&f);
}

/* Gradients are added to, so two micro-batches accumulate; and what nobody wants changes nothing else. */
static void wanted_gradients_are_independent(void **state) {
    (void)state;
    fixture f = {0};
    set_up(&f, "qwen3");
    dq_pass *pass = open_pass(&f, true, true, 0);
    gradients all, linears;
    make_gradients(&all, f.model);
    make_gradients(&linears, f.model);
    linears.want = (dq_gradients){.user = &linears, .linears = collect};
    run_backward(pass, &f.compute, &f.batch, 1, &all);
    run_backward(pass, &f.compute, &f.batch, 1, &linears);
    for (int i = 0; i < dq_model_linear_count(f.model); i++) {
        const dq_weight *weight = &dq_model_linear(f.model, i)->base;
        assert_memory_equal(all.linear[i], linears.linear[i], (size_t)(weight->out * weight->in) * sizeof(float));
    }
    float before = all.embedding[1];
    run_backward(pass, &f.compute, &f.batch, 1, &all);
    assert_true(before != 0 && fabsf(all.embedding[1] - 2 * before) <= 1e-5f * fabsf(before));
    free_gradients(&all);
    free_gradients(&linears);
    dq_pass_close(pass);
    tear_down(&f);
}

/* sum_t dy_ti y_ti is sum_j G_ij W_ij, G the weight's gradient, in every architecture, with and without recomputation; where
 * nobody asks there are none, and what else is made does not depend on it. y is read as a difference of the residual stream,
 * whose values are up to some hundred times as large, or through a rotation and back: 1e-4 of the linear's dots in Euclidean
 * norm. */
static void dots_are_those_of_the_outputs(void **state) {
    fixture f = {0};
    set_up(&f, *state);
    gradients without;
    dq_pass *pass = open_pass(&f, true, false, 0);
    make_gradients(&without, f.model);
    run_backward(pass, &f.compute, &f.batch, 0.5f, &without);
    dq_pass_close(pass);
    for (int way = 0; way < 4; way++) {
        gradients g;
        make_gradients(&g, f.model);
        for (int i = 0; i < dq_model_linear_count(f.model); i++) /* all; or not those of every third linear */
            if (way < 2 || i % 3 != 1)
                g.dots[i] = reserve((size_t)dq_model_linear(f.model, i)->base.out, sizeof(float));
        pass = open_pass(&f, true, way % 2, 0);
        run_backward(pass, &f.compute, &f.batch, 0.5f, &g);
        dq_pass_close(pass);
        comparison same = {.other = &without};
        each_gradient(&g, compare, &same);
        for (int i = 0; i < dq_model_linear_count(f.model); i++) {
            const dq_weight *weight = &dq_model_linear(f.model, i)->base;
            float *row = reserve((size_t)weight->in, sizeof *row);
            double difference = 0, norm = 0;
            for (int64_t r = 0; g.dots[i] && r < weight->out; r++) {
                double sum = 0;
                dq_weight_rows(weight, r, 1, row);
                for (int64_t j = 0; j < weight->in; j++) sum += (double)g.linear[i][r * weight->in + j] * row[j];
                difference += (g.dots[i][r] - sum) * (g.dots[i][r] - sum);
                norm += sum * sum;
            }
            free(row);
            if (!(difference <= 1e-8 * norm))
                fail_msg("%s: dots off by %.3g of their norm", dq_model_linear(f.model, i)->name,
                         sqrt(difference / norm));
        }
        free_gradients(&g);
    }
    free_gradients(&without);
    tear_down(&f);
}

/* Through the cache, in pieces of uneven length, one token at a time at the end: the full forward's logits, to f32 rounding
 * (an element's sum does not depend on how many tokens stand beside it; attention may block its sums otherwise). */
static void decoding_matches_forward(void **state) {
    static const int64_t pieces[] = {7, 1, 10, 1, 1, 1, 1, 1, 1};
    fixture f = {0};
    set_up(&f, *state);
    dlqat_error error;
    int64_t V = f.model->config.vocabulary;
    float *expected = reserve((size_t)(24 * V), sizeof *expected), *got = reserve((size_t)(24 * V), sizeof *got);
    dq_batch row;
    make_batch(&row, 24);
    add_row(&row, f.batch.ids, 24);
    dq_pass *full = open_pass(&f, false, false, 0), *cached = open_pass(&f, false, false, 30);
    assert_ok(dq_pass_forward(full, &f.compute, &row, &error));
    assert_ok(dq_pass_logits(full, &f.compute, 0, 24, expected, &error));
    for (int round = 0; round < 2; round++) {
        int64_t at = 0;
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; at += pieces[p++]) {
            assert_int_equal(dq_pass_past(cached), at);
            assert_ok(dq_pass_decode(cached, &f.compute, row.ids + at, pieces[p], &error));
            assert_ok(dq_pass_logits(cached, &f.compute, 0, pieces[p], got + at * V, &error));
        }
        assert_int_equal(at, 24);
        double d = distance_f32(got, expected, 24 * V);
        print_message("decoded %.2e\n", d);
        assert_true(d <= 2e-6);
        dq_pass_rewind(cached, 0); /* and again from the start */
        memset(got, 0, (size_t)(24 * V) * sizeof *got);
    }
    /* Rewinding into the middle keeps what stands before. */
    assert_ok(dq_pass_decode(cached, &f.compute, row.ids, 24, &error));
    dq_pass_rewind(cached, 20);
    assert_ok(dq_pass_decode(cached, &f.compute, row.ids + 20, 4, &error));
    assert_ok(dq_pass_logits(cached, &f.compute, 3, 1, got, &error));
    assert_true(distance_f32(got, expected + 23 * V, V) <= 2e-6);
    assert_fails(dq_pass_decode(cached, &f.compute, row.ids, 7, &error), DLQAT_ERROR_USAGE, "cache");
    assert_int_equal(dq_pass_past(cached), 24);
    free(expected);
    free(got);
    free_batch(&row);
    dq_pass_close(full);
    dq_pass_close(cached);
    tear_down(&f);
}

/* What the kernels are told of a weight is what its rows are, heads' order included. */
static void packed_is_the_weight(void **state) {
    (void)state;
    enum { OUT = 24, IN = 96 };
    static const dq_dtype types[] = {DQ_F16, DQ_BF16, DQ_Q4_0, DQ_Q4_1, DQ_Q5_0, DQ_Q5_1, DQ_Q8_0};
    const dq_kernels *kernels;
    dlqat_error error;
    assert_ok(dq_kernels_choose(NULL, &kernels, &error));
    static uint8_t bytes[OUT * IN * 2];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 13 & 63); /* as f16: finite */
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (int heads = 0; heads <= 3; heads += 3) {
            dq_tensor tensor = {.name = "w", .dtype = types[i], .dimensions = 2, .shape = {OUT, IN}, .data = bytes};
            static float rows[OUT * IN], packed[OUT * IN];
            const dq_weight weight = dq_weight_from_tensor(&tensor, heads);
            assert_int_not_equal(weight.coded.coding, DQ_CODING_NONE);
            weight.rows(&weight, 0, OUT, rows);
            kernels->coded_rows(&weight.coded, 0, OUT, packed);
            assert_memory_equal(packed, rows, sizeof rows);
        }
    dq_tensor other = {.name = "w", .dtype = DQ_Q4_K, .dimensions = 2, .shape = {1, 256}, .data = bytes};
    assert_int_equal(dq_weight_from_tensor(&other, 0).coded.coding, DQ_CODING_NONE);
}

/* A low-bit model that decodes from its packed codes, and the same from rows: the same logits, to f32 rounding. One token at a
 * time, several, more than codes are unpacked for in registers, and more than go the packed way. With inputs of 8 bits each is
 * off by up to a/254, a the largest of its block, so by some 0.3 % of the block's norm, and so is each product; a few of them
 * follow one another: within 3 %, and more than f32 rounding. */
static void packed_matches_rows(void **state) {
    static const int64_t pieces[] = {1, 1, 3, 8, 9, 2, 100};
    enum { PIECE = 100, TOKENS = 124 };
    dlqat_error error;
    dq_model *model;
    dq_compute compute;
    char path[256];
    snprintf(path, sizeof path, "%s/families/%s", TEST_FIXTURES, (const char *)*state);
    assert_ok(dq_model_open(&model, path, false, &error));
    assert_ok(dq_compute_open(&compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    int64_t V = model->config.vocabulary;
    enum { PACKED, ROWS, INT8, WAYS };
    float *logits[WAYS];
    for (int way = 0; way < WAYS; way++) {
        const dq_pass_options options = {.capacity = PIECE, .cache = TOKENS, .int8 = way == INT8};
        dq_pass *pass;
        float *rows[DQ_LINEARS_PER_LAYER * 8];
        int count = dq_model_linear_count(model);
        assert_true(count <= DQ_LINEARS_PER_LAYER * 8);
        for (int i = 0; i < count; i++) {
            dq_weight *weight = &dq_model_linear(model, i)->active;
            rows[i] = NULL;
            if (weight->resident) continue; /* one that is not quantized */
            assert_int_equal(weight->coded.coding, DQ_CODING_BITS);
            rows[i] = reserve((size_t)(weight->out * weight->in), sizeof(float));
            dq_weight_rows(weight, 0, weight->out, rows[i]);
            if (way == ROWS) weight->resident = rows[i];
        }
        logits[way] = reserve((size_t)(TOKENS * V), sizeof(float));
        assert_ok(dq_pass_open(&pass, model, &options, &error));
        int64_t at = 0;
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; at += pieces[p++]) {
            int32_t ids[PIECE];
            for (int64_t i = 0; i < pieces[p]; i++) ids[i] = (int32_t)((at + i) * 29 % V);
            assert_ok(dq_pass_decode(pass, &compute, ids, pieces[p], &error));
            assert_ok(dq_pass_logits(pass, &compute, 0, pieces[p], logits[way] + at * V, &error));
        }
        assert_int_equal(at, TOKENS);
        dq_pass_close(pass);
        for (int i = 0; i < count; i++) {
            dq_weight *weight = &dq_model_linear(model, i)->active;
            if (rows[i] && weight->resident == rows[i]) weight->resident = NULL;
            free(rows[i]);
        }
    }
    double d = distance_f32(logits[PACKED], logits[ROWS], TOKENS * V);
    double rounded = distance_f32(logits[INT8], logits[ROWS], TOKENS * V);
    print_message("%s: packed %.2e from rows, of 8 bits %.2e\n", (const char *)*state, d, rounded);
    assert_true(d > 0 && d <= 2e-6);
    assert_true(rounded > 1e-4 && rounded <= 3e-2);
    for (int way = 0; way < WAYS; way++) free(logits[way]);
    dq_compute_close(&compute);
    dq_model_close(model);
}

static void plan_is_what_is_taken(void **state) {
    (void)state;
    fixture f = {0};
    set_up(&f, "qwen3");
    dlqat_error error;
    const dq_pass_options options[] = {
        {.capacity = 50},
        {.capacity = 50, .training = true},
        {.capacity = 50, .training = true, .checkpoint = true},
        {.capacity = 8, .cache = 100},
    };
    size_t bytes[4];
    for (int i = 0; i < 4; i++) {
        dq_pass *pass;
        bytes[i] = dq_pass_bytes(f.model, &options[i]);
        assert_ok(dq_pass_open(&pass, f.model, &options[i], &error));
        assert_int_equal(bytes[i], pass->arena.capacity + sizeof *pass);
        assert_int_equal(pass->arena.used, pass->arena.capacity);
        dq_pass_close(pass);
    }
    assert_true(bytes[0] < bytes[2] && bytes[2] < bytes[1]);
    dq_pass *pass;
    dq_pass_options absurd = {.capacity = INT32_MAX, .training = true};
    f.model->config.layers = 1 << 14; /* only sizes are read before the allocation fails */
    f.model->config.intermediate = 1 << 22;
    assert_fails(dq_pass_open(&pass, f.model, &absurd, &error), DLQAT_ERROR_MEMORY, "activations");
    f.model->config.layers = 2;
    tear_down(&f);
}

static void misuse_is_refused(void **state) {
    (void)state;
    fixture f = {0};
    set_up(&f, "qwen3");
    dlqat_error error;
    double sum;
    dq_pass *training = open_pass(&f, true, false, 0), *plain = open_pass(&f, false, false, 0), *other;
    dq_pass_options both = {.capacity = 4, .training = true, .cache = 4};
    assert_fails(dq_pass_open(&other, f.model, &both, &error), DLQAT_ERROR_USAGE, "not both");
    assert_fails(dq_pass_backward(training, &f.compute, &f.batch, &error), DLQAT_ERROR_USAGE, "forward");
    assert_fails(dq_pass_loss(training, &f.compute, &f.batch, true, 1, &sum, NULL, &error), DLQAT_ERROR_USAGE,
                 "forward");
    assert_fails(dq_pass_logits(training, &f.compute, 0, 1, NULL, &error), DLQAT_ERROR_USAGE, "logits");
    assert_ok(dq_pass_forward(plain, &f.compute, &f.batch, &error));
    assert_fails(dq_pass_loss(plain, &f.compute, &f.batch, true, 1, &sum, NULL, &error), DLQAT_ERROR_USAGE, "training");
    assert_fails(dq_pass_decode(plain, &f.compute, f.batch.ids, 1, &error), DLQAT_ERROR_USAGE, "cache");
    f.batch.label[3] = 64;
    assert_fails(dq_pass_loss(plain, &f.compute, &f.batch, false, 1, &sum, NULL, &error), DLQAT_ERROR_INPUT,
                 "label 64");
    f.batch.ids[5] = 64;
    assert_fails(dq_pass_forward(plain, &f.compute, &f.batch, &error), DLQAT_ERROR_INPUT, "token id 64");
    f.batch.ids[5] = -1;
    assert_fails(dq_pass_forward(plain, &f.compute, &f.batch, &error), DLQAT_ERROR_INPUT, "token id -1");
    f.batch.tokens = 0;
    assert_fails(dq_pass_forward(plain, &f.compute, &f.batch, &error), DLQAT_ERROR_USAGE, "0 tokens");
    f.batch.tokens = 51;
    assert_fails(dq_pass_forward(plain, &f.compute, &f.batch, &error), DLQAT_ERROR_USAGE, "51 tokens");
    dq_pass_close(training);
    dq_pass_close(plain);
    tear_down(&f);
}

/* A batch without any label: no loss, no gradient, no failure. */
static void no_labels_no_gradient(void **state) {
    (void)state;
    fixture f = {0};
    set_up(&f, "qwen3");
    for (size_t t = 0; t < f.batch.tokens; t++) f.batch.label[t] = -1;
    dq_pass *pass = open_pass(&f, true, false, 0);
    gradients g;
    make_gradients(&g, f.model);
    assert_true(run_backward(pass, &f.compute, &f.batch, 1, &g) == 0);
    for (int i = 0; i < 1024; i++) assert_true(g.linear[0][i] == 0);
    free_gradients(&g);
    dq_pass_close(pass);
    tear_down(&f);
}

#define WITH(test, family)                                                                                             \
    { #test " " family, test, NULL, NULL, (void *)(uintptr_t)family }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_oracle),
        WITH(checkpointing_keeps_the_bits, "qwen3"),
        WITH(checkpointing_keeps_the_bits, "qwen2"),
        WITH(checkpointing_keeps_the_bits, "mistral_window"),
        WITH(packing_changes_nothing, "llama_bias_sharded"),
        WITH(packing_changes_nothing, "mistral_window"),
        WITH(packing_changes_nothing, "qwen2"),
        WITH(packing_changes_nothing, "qwen3_tied"),
        cmocka_unit_test(residence_keeps_the_bits),
        cmocka_unit_test(tiles_join),
        cmocka_unit_test(few_bits_go_by_tables),
        cmocka_unit_test(loss_chunks_join),
        cmocka_unit_test(wanted_gradients_are_independent),
        WITH(dots_are_those_of_the_outputs, "llama3"),
        WITH(dots_are_those_of_the_outputs, "llama_bias_sharded"),
        WITH(dots_are_those_of_the_outputs, "qwen2"),
        WITH(dots_are_those_of_the_outputs, "qwen3"),
        WITH(decoding_matches_forward, "llama3"),
        WITH(decoding_matches_forward, "mistral_window"),
        WITH(decoding_matches_forward, "qwen2_window"),
        WITH(decoding_matches_forward, "qwen3"),
        cmocka_unit_test(packed_is_the_weight),
        WITH(packed_matches_rows, "affine_own"),
        WITH(packed_matches_rows, "affine_mlx"),
        cmocka_unit_test(plan_is_what_is_taken),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(no_labels_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
