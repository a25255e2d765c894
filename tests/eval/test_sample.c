/* The distribution of drawn tokens, against transformers' warpers. */
#include "eval_support.h"

#include "eval/sample.h"

enum { MOST = 64, DRAWS = 200000 };

static void frequencies_are_the_warpers(void **state) {
    (void)state;
    dlqat_error error;
    json_t *values = load_values();
    const json_t *sampling = json_object_get(values, "sampling"), *one;
    const json_t *given = json_object_get(sampling, "logits");
    float logits[MOST];
    int64_t V = (int64_t)json_array_size(given);
    assert_true(V > 0 && V <= MOST);
    for (int64_t i = 0; i < V; i++) logits[i] = (float)json_number_value(json_array_get(given, (size_t)i));
    size_t c;
    json_array_foreach(json_object_get(sampling, "cases"), c, one) {
        dq_sampling how = {.temperature = number_of(one, "temperature"),
                           .top_k = (int64_t)number_of(one, "top_k"),
                           .top_p = number_of(one, "top_p"),
                           .seed = 11 + c};
        dq_sampler sampler;
        int64_t drawn[MOST] = {0};
        assert_ok(dq_sampler_open(&sampler, &how, V, &error));
        for (uint64_t i = 0; i < DRAWS; i++) drawn[dq_sampler_draw(&sampler, logits, i)]++;
        dq_sampler_close(&sampler);
        double worst = 0;
        for (int64_t i = 0; i < V; i++) {
            double p = json_number_value(json_array_get(json_object_get(one, "p"), (size_t)i));
            if (p == 0) assert_int_equal(drawn[i], 0); /* what is warped away never comes */
            /* The count is binomial. 4.5 standard deviations are passed once in 150,000 times; here 24 x 7 are looked at. */
            double deviation = sqrt(DRAWS * p * (1 - p));
            if (p > 0 && p < 1) worst = fmax(worst, fabs((double)drawn[i] - DRAWS * p) / deviation);
            if (p == 1) assert_int_equal(drawn[i], DRAWS);
        }
        print_message("temperature %.1f, top_k %d, top_p %.2f: worst count %.2f standard deviations off\n",
                      how.temperature, (int)how.top_k, how.top_p, worst);
        assert_true(worst < 4.5);
    }
    json_decref(values);
}

static void greedy_is_the_first_of_the_likeliest(void **state) {
    (void)state;
    dlqat_error error;
    const float logits[] = {-1, 3, 2, 3, -INFINITY};
    const dq_sampling ways[] = {{.temperature = 0, .top_p = 1},
                                {.temperature = 2, .top_k = 1, .top_p = 1},
                                {.temperature = 1, .top_p = 1e-9},
                                {.temperature = 1e-6, .top_k = 2, .top_p = 0.4}};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        dq_sampler sampler;
        assert_ok(dq_sampler_open(&sampler, &ways[w], 5, &error));
        for (uint64_t i = 0; i < 200; i++) assert_int_equal(dq_sampler_draw(&sampler, logits, i), 1);
        dq_sampler_close(&sampler);
    }
}

static void draws_depend_on_seed_and_index_alone(void **state) {
    (void)state;
    dlqat_error error;
    float logits[MOST] = {0};
    dq_sampling how = {.temperature = 1, .top_p = 1, .seed = 5};
    dq_sampler a, b;
    assert_ok(dq_sampler_open(&a, &how, MOST, &error));
    how.seed = 6;
    assert_ok(dq_sampler_open(&b, &how, MOST, &error));
    int32_t first[100];
    int others = 0, moved = 0;
    for (uint64_t i = 0; i < 100; i++) first[i] = dq_sampler_draw(&a, logits, i);
    for (uint64_t i = 100; i-- > 0;) {
        assert_int_equal(dq_sampler_draw(&a, logits, i), first[i]);
        others += dq_sampler_draw(&b, logits, i) != first[i];
        moved += first[i] != first[0];
    }
    assert_true(others > 80 && moved > 80); /* of 64 tokens alike, one in 64 would be the same */
    dq_sampler_close(&a);
    dq_sampler_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_the_warpers),
        cmocka_unit_test(greedy_is_the_first_of_the_likeliest),
        cmocka_unit_test(draws_depend_on_seed_and_index_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
