/* The memory plan: its sum, its decisions, and that what is planned is what is taken. */
#include "support.h"

#include "model/pass.h"
#include "train/plan.h"

#define MODEL TEST_FIXTURES "/eval/bos"
enum { TOKENS = 256, TAKEN = 12345 };

typedef struct setup {
    dlqat_options *options;
    dq_model *model;
    dq_compute compute;
} setup;

static setup open_setup(void) {
    dlqat_error error;
    setup s = {.options = dlqat_options_new(DLQAT_INFO)};
    assert_ok(dlqat_options_set(s.options, "model", MODEL, &error));
    assert_ok(dlqat_options_set(s.options, "group-size", "32", &error));
    assert_ok(dq_model_open(&s.model, MODEL, false, &error));
    assert_ok(dq_compute_open(&s.compute, NULL, 2, DQ_MULTIPLY_F32, &error));
    return s;
}

static void close_setup(setup *s) {
    dq_compute_close(&s->compute);
    dq_model_close(s->model);
    dlqat_options_free(s->options);
}

static dq_plan plan_within(setup *s, uint64_t available) {
    dlqat_error error;
    dq_plan plan;
    const dq_feed_sizes sizes = {.micro_batch = TOKENS, .row = 64};
    const dq_plan_memory memory = {.available = available, .taken = TAKEN};
    assert_ok(dq_plan_within(&plan, s->model, s->options, &sizes, &s->compute, &memory, &error));
    return plan;
}

static void total_is_the_sum(void **state) {
    (void)state;
    setup s = open_setup();
    dq_plan p = plan_within(&s, 0);
    assert_true(p.resident && !p.checkpoint && p.fits);
    assert_int_equal(p.total, p.weights + p.what + p.parameters + p.optimizer + p.activations + p.logits + p.scratch +
                                  p.workspace + p.batch + TAKEN);
    assert_int_equal(p.weights, 4 * (18432 + 10240)); /* f32: the linears, and the tied embedding once */
    /* a byte and a bit a weight, S and O a group of 32; every width is a multiple of 32 */
    size_t kept = 18432 + 18432 / 8 + 8 * 18432 / 32;
    assert_in_range(p.what, kept, kept + 14 * 4 * 64);
    /* 14 linears: s, b, m per group of 32 and a byte for the floor of s, A and B of rank 16. The optimizer has three more of each
     * that is trained, and the phases, s and b first, then m, A and B, share one place. */
    size_t groups = 18432 / 32, adapters = 0;
    for (int i = 0; i < dq_model_linear_count(s.model); i++) {
        const dq_weight *w = &dq_model_linear(s.model, i)->base;
        adapters += 16 * (size_t)(w->in + w->out);
    }
    size_t numbers = 13 * groups + 4 * adapters, phase1 = 2 * groups, phase2 = groups + adapters;
    assert_in_range(p.parameters, numbers, numbers + 14 * 6 * 64);
    size_t most = 3 * 4 * (phase1 > phase2 ? phase1 : phase2);
    assert_in_range(p.optimizer, most, most + 3 * 14 * 6 * 64);
    dq_pass_options pass = {.capacity = TOKENS, .training = true, .threads = s.compute.threads};
    assert_int_equal(p.activations + p.logits, dq_pass_bytes(s.model, &pass));
    close_setup(&s);
}

/* What the batch and the pass of rows that share prefixes take: keys, values and their gradients of one block. */
static void shared_prefixes_are_planned(void **state) {
    (void)state;
    enum { KEYS = 2 * TOKENS };
    dlqat_error error;
    setup s = open_setup();
    const dq_feed_sizes sizes = {.micro_batch = TOKENS, .row = 64, .keys = KEYS};
    const dq_plan_memory memory = {.taken = TAKEN};
    const dq_plan without = plan_within(&s, 0);
    dq_plan with;
    assert_ok(dq_plan_within(&with, s.model, s.options, &sizes, &s.compute, &memory, &error));
    assert_int_equal(with.capacity, TOKENS);
    assert_int_equal(with.keys, KEYS);
    const dq_config *config = &s.model->config;
    const size_t arrays = 4 * (size_t)KEYS * (size_t)(config->kv_heads * config->head_width) * sizeof(float);
    assert_in_range(with.activations - without.activations, arrays, arrays + 4 * DQ_ALIGNMENT);
    assert_int_equal(with.batch - without.batch, TOKENS * (4 + 2 * sizeof(size_t)) + 4 * KEYS);
    const dq_pass_options options = {.capacity = TOKENS, .keys = KEYS, .training = true, .threads = s.compute.threads};
    assert_int_equal(with.activations + with.logits, dq_pass_bytes(s.model, &options));
    assert_int_equal(with.total - without.total, with.activations - without.activations + with.batch - without.batch);
    close_setup(&s);
}

static void less_memory_costs_speed_in_order(void **state) {
    (void)state;
    setup s = open_setup();
    const struct { bool resident, checkpoint; } ways[] = {{true, false}, {true, true}, {false, false}, {false, true}};
    size_t totals[4];
    dlqat_error error;
    for (int i = 0; i < 4; i++) {
        setup forced = open_setup();
        assert_ok(dlqat_options_set(forced.options, "resident-weights", ways[i].resident ? "on" : "off", &error));
        assert_ok(
            dlqat_options_set(forced.options, "checkpoint-activations", ways[i].checkpoint ? "on" : "off", &error));
        dq_plan p = plan_within(&forced, 1); /* what is asked for is planned, whether it fits or not */
        assert_true(p.resident == ways[i].resident && p.checkpoint == ways[i].checkpoint && !p.fits);
        totals[i] = p.total;
        close_setup(&forced);
    }
    assert_true(totals[1] < totals[0] && totals[2] < totals[0] && totals[3] < totals[1] && totals[3] < totals[2]);
    /* Just enough for a way: it is taken, unless a faster one fits as well. */
    for (int i = 0; i < 4; i++) {
        dq_plan p = plan_within(&s, (uint64_t)((double)(totals[i] - TAKEN) / DQ_PLAN_SHARE) + 2);
        int expected = 0;
        while (totals[expected] > totals[i]) expected++;
        assert_int_equal(p.total, totals[expected]);
        assert_true(p.fits);
    }
    dq_plan p = plan_within(&s, totals[3] / 2); /* nothing fits: the least that there is, and it says so */
    assert_true(!p.resident && p.checkpoint && !p.fits);
    close_setup(&s);
}

/* The arenas are laid out by the code that counts, so planned and taken must agree to the byte. */
static void planned_is_taken(void **state) {
    (void)state;
    dlqat_error error;
    for (int way = 0; way < 3; way++) {
        setup s = open_setup();
        bool resident = way == 1;
        assert_ok(dlqat_options_set(s.options, "resident-weights", resident ? "on" : "off", &error));
        assert_ok(dlqat_options_set(s.options, "base-storage", way == 2 ? "int8" : "given", &error));
        dq_plan p = plan_within(&s, 0);
        dq_quantizer_set set = {0};
        dq_quantizer_set_options how = {.training = true, .resident = resident, .threads = 2, .capacity = TOKENS};
        assert_ok(dq_quantizer_set_open(&set, s.model, s.options, &how, &s.compute, &error));
        size_t planned = p.base + p.what + p.parameters + p.optimizer + p.scratch;
        /* 18432 weights of one byte, and eight bytes for a group of 32; the file's are needed no more, but for the embedding. */
        if (way == 2) {
            assert_in_range(p.base, 18432 + 18432 / 32 * 8, 18432 + 18432 / 32 * 8 + 14 * 3 * 64);
            assert_int_equal(p.weights, 4 * 10240);
        }
        print_message("quantizers: planned %zu bytes, taken %zu\n", planned, set.arena.capacity);

        size_t bookkeeping = (size_t)set.count * 32 * DQ_ALIGNMENT; /* every array begins on a cache line */
        assert_in_range(set.arena.capacity, planned, planned + bookkeeping);
        dq_quantizer_set_close(&set);
        close_setup(&s);
    }
}

/* The bound is what is asked for, or follows from the model; never from the memory that is there, which may be another when the
 * run goes on. Activations follow it; a row is never cut. */
static void tokens_at_once_bound_the_activations(void **state) {
    (void)state;
    dlqat_error error;
    setup s = open_setup();
    dq_feed_sizes sizes = {.micro_batch = 100000, .row = 64};
    const dq_plan_memory unknown = {0}, little = {.available = 1 << 20};
    dq_plan automatic, asked, scarce;
    assert_ok(dq_plan_within(&automatic, s.model, s.options, &sizes, &s.compute, &unknown, &error));
    assert_int_equal(automatic.at_once,
                     512); /* the weights of so small a model are as large as the activations of a few tokens */
    assert_int_equal(automatic.capacity, 512);
    assert_ok(dq_plan_within(&scarce, s.model, s.options, &sizes, &s.compute, &little, &error));
    assert_int_equal(scarce.at_once, 512);
    assert_ok(dlqat_options_set(s.options, "tokens-at-once", "100", &error));
    assert_ok(dq_plan_within(&asked, s.model, s.options, &sizes, &s.compute, &unknown, &error));
    assert_int_equal(asked.capacity, 100);
    dq_pass_options pass = {.capacity = 100, .training = true, .threads = s.compute.threads};
    assert_int_equal(asked.activations + asked.logits, dq_pass_bytes(s.model, &pass));
    sizes.row = 200;
    assert_ok(dq_plan_within(&asked, s.model, s.options, &sizes, &s.compute, &unknown, &error));
    assert_int_equal(asked.capacity, 200);
    sizes.micro_batch = sizes.row = 64;
    assert_ok(dq_plan_within(&asked, s.model, s.options, &sizes, &s.compute, &unknown, &error));
    assert_int_equal(asked.capacity, 64);
    close_setup(&s);
}

static void absurd_batches_are_refused(void **state) {
    (void)state;
    dlqat_error error;
    setup s = open_setup();
    dq_plan plan;
    const dq_feed_sizes sizes = {.micro_batch = INT64_MAX / 64, .row = INT64_MAX / 64};
    const dq_plan_memory unknown = {0};
    assert_fails(dq_plan_within(&plan, s.model, s.options, &sizes, &s.compute, &unknown, &error), DLQAT_ERROR_MEMORY,
                 "--max-length");
    close_setup(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(total_is_the_sum),
        cmocka_unit_test(less_memory_costs_speed_in_order),
        cmocka_unit_test(planned_is_taken),
        cmocka_unit_test(shared_prefixes_are_planned),
        cmocka_unit_test(tokens_at_once_bound_the_activations),
        cmocka_unit_test(absurd_batches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
