#include "support/check.h"

#include <stdlib.h>

#include "train/sgd.h"

enum { N = 2500, SLICES = 3, STEPS = 6 };

/* The published update, in double and one element at a time. */
static void reference_step(size_t n, const double *g, double lr, double momentum, double decay,
                           bool nesterov, bool first, double *v, double *x)
{
    for (size_t i = 0; i < n; i++) {
        const double d = g[i] + decay * x[i];
        v[i] = first ? d : momentum * v[i] + d;
        x[i] -= lr * (nesterov ? d + momentum * v[i] : v[i]);
    }
}

struct fixture {
    float x[N], v[N], slices[SLICES][N];
    const float *gradients[SLICES];
    double x_ref[N], v_ref[N], g_ref[N];
};

static struct fixture *fixture_create(uint64_t seed)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fill_normal(f->x, N, seed);
    for (size_t i = 0; i < N; i++)
        f->x_ref[i] = (double)f->x[i];
    for (size_t s = 0; s < SLICES; s++)
        f->gradients[s] = f->slices[s];
    return f;
}

static void new_gradient(struct fixture *f, uint64_t seed)
{
    memset(f->g_ref, 0, sizeof f->g_ref);
    for (size_t s = 0; s < SLICES; s++) {
        fill_normal(f->slices[s], N, seed * SLICES + s);
        for (size_t i = 0; i < N; i++)
            f->g_ref[i] += (double)f->slices[s][i];
    }
}

static struct ctkd__sgd_group group_of(struct fixture *f, float lr, float momentum, float decay,
                                       bool nesterov)
{
    return (struct ctkd__sgd_group){ .values = f->x,
                                     .velocity = f->v,
                                     .gradients = f->gradients,
                                     .n = N,
                                     .n_gradients = SLICES,
                                     .lr = lr,
                                     .momentum = momentum,
                                     .weight_decay = decay,
                                     .nesterov = nesterov,
                                     .scale = 1 };
}

static void compare(float lr, float momentum, float decay, bool nesterov)
{
    struct fixture *f = fixture_create(7);
    struct ctkd__sgd_group group = group_of(f, lr, momentum, decay, nesterov);
    for (uint64_t step = 0; step < STEPS; step++) {
        new_gradient(f, step);
        ctkd__sgd_update_range(&group, 0, N);
        reference_step(N, f->g_ref, (double)lr, (double)momentum, (double)decay, nesterov,
                       step == 0, f->v_ref, f->x_ref);
    }
    for (size_t i = 0; i < N; i++) {
        check_close(f->x[i], f->x_ref[i], 1e-5, 1e-5);
        check_close(f->v[i], f->v_ref[i], 1e-5, 1e-5);
    }
    free(f);
}

static void update_matches_the_published_formula(void **state)
{
    (void)state;
    compare(0.05f, 0.9f, 5e-4f, false);
    compare(0.1f, 0.0f, 0.0f, false);
    compare(0.1f, 0.9f, 0.1f, false);
}

static void update_matches_nesterov(void **state)
{
    (void)state;
    compare(0.05f, 0.9f, 5e-4f, true);
    compare(0.1f, 0.5f, 0.1f, true);
}

static void range_leaves_the_rest_alone(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(3);
    new_gradient(f, 1);
    const struct ctkd__sgd_group group = group_of(f, 0.1f, 0.9f, 0.1f, false);
    ctkd__sgd_update_range(&group, 100, 1300);
    for (size_t i = 0; i < N; i++)
        assert_true(((double)f->x[i] == f->x_ref[i]) == (i < 100 || i >= 1300));
    free(f);
}

/* Groups with options of their own, split over 1, 2 and 3 workers: the same bits. */
static void groups_keep_their_options_and_workers_do_not_change_bits(void **state)
{
    (void)state;
    float expected[2][N];
    for (size_t count = 1; count <= 3; count++) {
        struct ctkd__workers *workers;
        ctkd_error err = { 0 };
        check_ok(ctkd__workers_create(count, &workers, &err), &err);
        struct fixture *a = fixture_create(1), *b = fixture_create(2);
        float x = 1, v = 0, g = 0.5f;
        const float *const slice[1] = { &g };
        const struct ctkd__sgd_group groups[] = {
            group_of(a, 0.05f, 0.9f, 5e-4f, false),
            group_of(b, 0.5f, 0.0f, 0.0f, true),
            { .values = &x,
              .velocity = &v,
              .gradients = slice,
              .n = 1,
              .n_gradients = 1,
              .lr = 2,
              .scale = 1 },
        };
        for (uint64_t step = 0; step < 2; step++) {
            new_gradient(a, 10 + step);
            new_gradient(b, 20 + step);
            ctkd__sgd_update(groups, 3, workers);
        }
        check_close(x, 1 - 2 * 2 * 0.5, 0, 0);
        if (count == 1) {
            memcpy(expected[0], a->x, sizeof expected[0]);
            memcpy(expected[1], b->x, sizeof expected[1]);
        }
        assert_memory_equal(expected[0], a->x, sizeof expected[0]);
        assert_memory_equal(expected[1], b->x, sizeof expected[1]);
        assert_memory_not_equal(expected[0], expected[1], sizeof expected[0]);
        free(a);
        free(b);
        ctkd__workers_destroy(workers);
    }
}

/* Of 5: ((0 + 1) + (2 + 3)) + 4; the others follow in order. The same as the tree over ranks. */
static void a_tree_over_the_slices_comes_before_the_rest(void **state)
{
    (void)state;
    enum { LENGTH = 2500 }; /* more than two chunks */
    float *const values = malloc(6 * LENGTH * sizeof *values), *const sum =
                                                                   malloc(sizeof(float[LENGTH]));
    assert_true(values && sum);
    const float *gradients[6];
    for (size_t g = 0; g < 6; g++) {
        fill_normal(values + g * LENGTH, LENGTH, 70 + g);
        gradients[g] = values + g * LENGTH;
    }
    ctkd__sgd_sum(gradients, 6, 5, 7, LENGTH - 7, sum);
    for (size_t i = 7; i < LENGTH; i++) {
        const float first = gradients[0][i] + gradients[1][i],
                    second = gradients[2][i] + gradients[3][i];
        const float four = first + second, tree = four + gradients[4][i];
        assert_true(sum[i - 7] == tree + gradients[5][i]);
    }
    ctkd__sgd_sum(gradients, 6, 0, 7, LENGTH - 7, sum);
    for (size_t i = 7; i < LENGTH; i++) {
        float in_order = gradients[0][i];
        for (size_t g = 1; g < 6; g++)
            in_order += gradients[g][i];
        assert_true(sum[i - 7] == in_order);
    }
    free(values);
    free(sum);
}

/* 8 parts: the same bits with every number of workers. */
static void norm_in_parts_does_not_depend_on_the_workers(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(3);
    new_gradient(f, 5);
    struct ctkd__sgd_group group = group_of(f, 1, 0, 0, false);
    group.n_tree = SLICES;
    double sums[8], first = 0;
    for (size_t threads = 1; threads <= 8; threads *= 2) {
        struct ctkd__workers *workers;
        ctkd_error err = { 0 };
        check_ok(ctkd__workers_create(threads, &workers, &err), &err);
        const double norm = ctkd__sgd_norm(&group, workers, 8, sums);
        assert_true(norm > 0 && (threads == 1 || norm == first));
        first = norm;
        ctkd__workers_destroy(workers);
    }
    free(f);
}

static void norm_is_that_of_the_summed_slices_and_scale_multiplies_them(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(3);
    ctkd_error err = { 0 };
    for (size_t threads = 1; threads <= 3; threads++) {
        struct ctkd__workers *workers;
        double sums[3], expected = 0;
        check_ok(ctkd__workers_create(threads, &workers, &err), &err);
        new_gradient(f, 5);
        for (size_t i = 0; i < N; i++)
            expected += f->g_ref[i] * f->g_ref[i];
        struct ctkd__sgd_group group = group_of(f, 1, 0, 0, false);
        check_close((float)ctkd__sgd_norm(&group, workers, ctkd__workers_count(workers), sums),
                    sqrt(expected), 1e-6, 0);
        float before[N];
        memcpy(before, f->x, sizeof before);
        group.scale = 0.25f;
        ctkd__sgd_update(&group, 1, workers);
        for (size_t i = 0; i < N; i++)
            check_close((double)f->x[i], (double)before[i] - 0.25 * f->g_ref[i], 1e-5, 1e-6);
        f->slices[1][N - 1] = threads == 2 ? NAN : INFINITY;
        assert_true(!isfinite(ctkd__sgd_norm(&group, workers, ctkd__workers_count(workers), sums)));
        ctkd__workers_destroy(workers);
    }
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(update_matches_the_published_formula),
        cmocka_unit_test(update_matches_nesterov),
        cmocka_unit_test(range_leaves_the_rest_alone),
        cmocka_unit_test(groups_keep_their_options_and_workers_do_not_change_bits),
        cmocka_unit_test(norm_is_that_of_the_summed_slices_and_scale_multiplies_them),
        cmocka_unit_test(a_tree_over_the_slices_comes_before_the_rest),
        cmocka_unit_test(norm_in_parts_does_not_depend_on_the_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
