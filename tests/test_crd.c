/* CRD: draws, losses, gradients and memory against PyTorch; what a draw promises. */
#include "lib/loss/crd.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctkd/random.h"
#include "support/check.h"
#include "support/slope.h"

enum { COUNT = 300, CLASSES = 4, DIM = 20, BATCH = 5 };

static const uint64_t seed = UINT64_C(0x123456789abcdef);

struct config {
    _Alignas(16) char bytes[256];
};

/* One run: memory between steps, and the last step's outputs. */
struct run {
    const ctkd_loss_def *def;
    struct config config;
    int32_t labels[COUNT];
    ctkd_samples samples;
    float *state;
    size_t state_values;
    double *workspace;
    ctkd_map maps[2];
    float x[2][BATCH * DIM], dx[2][BATCH * DIM], loss;
    uint64_t ids[BATCH];
    ctkd_loss_args args;
};

static void set(struct run *r, const char *name, double value)
{
    assert_int_equal(ctkd_option_set(r->def->options, r->config.bytes, name, value), CTKD_OK);
}

static struct run *start(size_t negatives, bool relax)
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->def = ctkd_loss_find("crd");
    assert_non_null(r->def);
    ctkd_options_defaults(r->def->options, r->config.bytes);
    set(r, "dim", DIM);
    set(r, "negatives", (double)negatives);
    set(r, "mode", relax);
    for (size_t i = 0; i < COUNT; i++)
        r->labels[i] = (int32_t)ctkd_random_below(1, CTKD_RANDOM_TEST, 0, i, CLASSES);
    r->samples = (ctkd_samples){ .count = COUNT, .labels = r->labels, .seed = seed };
    for (size_t s = 0; s < 2; s++) {
        fill_normal(r->x[s], BATCH * DIM, s);
        r->maps[s] = (ctkd_map){ .c = DIM, .h = 1, .w = 1, .x = r->x[s], .dx = r->dx[s] };
    }
    for (size_t i = 0; i < BATCH; i++)
        r->ids[i] = i * 70;
    const ctkd_loss_shape shape = {
        .n = BATCH, .k = CLASSES, .maps = r->maps, .n_maps = 2, .samples = COUNT
    };
    size_t workspace;
    assert_int_equal(ctkd_loss_workspace(r->def, r->config.bytes, &shape, &workspace), CTKD_OK);
    assert_int_equal(ctkd_loss_state(r->def, r->config.bytes, &shape, &r->state_values), CTKD_OK);
    assert_int_equal(r->state_values, 2 * COUNT * DIM + 2);
    r->workspace = malloc(workspace * sizeof *r->workspace);
    r->state = malloc(r->state_values * sizeof *r->state);
    assert_true(r->workspace && r->state);
    r->def->state_init(r->config.bytes, &shape, seed, r->state);
    r->args = (ctkd_loss_args){ .n = BATCH,
                                .k = CLASSES,
                                .loss = &r->loss,
                                .workspace = r->workspace,
                                .maps = r->maps,
                                .n_maps = 2,
                                .ids = r->ids,
                                .samples = &r->samples,
                                .state = r->state };
    return r;
}

static void finish(struct run *r)
{
    free(r->workspace);
    free(r->state);
    free(r);
}

static ctkd_status step(struct run *r)
{
    return r->def->eval(r->config.bytes, &r->args);
}

/* --- draws */

struct drawn {
    struct ctkd__crd_classes classes;
    uint32_t class_start[CLASSES + 1], class_rows[COUNT];
    void *scratch;
    uint32_t *rows;
};

static void prepare(struct drawn *d, const ctkd_samples *samples, size_t m)
{
    d->classes = (struct ctkd__crd_classes){ CLASSES, d->class_start, d->class_rows };
    ctkd__crd_sort(samples, &d->classes);
    d->scratch = malloc(ctkd__crd_scratch_bytes(COUNT, m)); /* exactly */
    d->rows = malloc(m * sizeof *d->rows);
    assert_true(d->scratch && d->rows);
}

static void release(struct drawn *d)
{
    free(d->scratch);
    free(d->rows);
}

static size_t others_of(const struct run *r, uint64_t id)
{
    size_t others = 0;
    for (size_t i = 0; i < COUNT; i++)
        others += r->labels[i] != r->labels[id];
    return others;
}

static void negatives_are_of_other_classes_and_differ_while_they_can(void **state)
{
    (void)state;
    struct run *r = start(1, false);
    const size_t others = others_of(r, 7);
    const size_t counts[] = {
        1, 2, others / 2, others / 2 + 1, others - 1, others, others + 1, 999
    };
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct drawn d;
        prepare(&d, &r->samples, counts[c]);
        for (r->samples.step = 0; r->samples.step < 20; r->samples.step++) {
            ctkd__crd_negatives(&r->samples, &d.classes, 7, counts[c], d.scratch, d.rows);
            for (size_t j = 0; j < counts[c]; j++) {
                assert_true(d.rows[j] < COUNT && r->labels[d.rows[j]] != r->labels[7]);
                if (j > 0)
                    assert_true(d.rows[j] >= d.rows[j - 1]);
                if (j > 0 && counts[c] <= others)
                    assert_true(d.rows[j] != d.rows[j - 1]);
            }
        }
        release(&d);
    }
    finish(r);
}

/* How often each row is drawn in 2000 steps: binomial around its mean. */
static void every_row_is_drawn_as_often_as_any_other(void **state)
{
    (void)state;
    enum { STEPS = 2000 };
    struct run *r = start(1, false);
    const size_t others = others_of(r, 3), counts[] = { 30, others - 30, 2 * others };
    for (size_t c = 0; c < 3; c++) {
        struct drawn d;
        size_t times[COUNT] = { 0 };
        prepare(&d, &r->samples, counts[c]);
        for (r->samples.step = 0; r->samples.step < STEPS; r->samples.step++) {
            ctkd__crd_negatives(&r->samples, &d.classes, 3, counts[c], d.scratch, d.rows);
            for (size_t j = 0; j < counts[c]; j++)
                times[d.rows[j]]++;
        }
        const double share = (double)counts[c] / (double)others, mean = STEPS * share;
        const double deviation = sqrt(mean * (c < 2 ? 1 - share : 1));
        for (size_t i = 0; i < COUNT; i++)
            if (r->labels[i] != r->labels[3])
                check_close((double)times[i], mean, 0, 5 * deviation);
        release(&d);
    }
    finish(r);
}

static void a_draw_depends_on_seed_step_and_sample_alone(void **state)
{
    (void)state;
    enum { M = 40 };
    struct run *r = start(M, false);
    uint32_t first[M];
    struct drawn d;
    prepare(&d, &r->samples, M);
    for (int c = 0; c < 5; c++) {
        ctkd_samples samples = r->samples;
        samples.seed += c == 1;
        samples.step += c == 2;
        ctkd__crd_negatives(&samples, &d.classes, c == 3 ? 8 : 7, M, d.scratch, d.rows);
        if (c == 0)
            memcpy(first, d.rows, sizeof first);
        assert_true((memcmp(first, d.rows, sizeof first) == 0) == (c == 0 || c == 4));
    }
    release(&d);
    finish(r);
}

static void a_relative_is_any_row_of_the_same_class(void **state)
{
    (void)state;
    struct run *r = start(1, true);
    struct drawn d;
    bool seen[COUNT] = { false };
    prepare(&d, &r->samples, 1);
    for (r->samples.step = 0; r->samples.step < 5000; r->samples.step++)
        seen[ctkd__crd_relative(&r->samples, &d.classes, 9)] = true;
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], r->labels[i] == r->labels[9]);
    release(&d);
    finish(r);
}

/* --- golden values */

static const float *golden_at(struct golden *g, const char *name, int step, const char *what,
                              size_t count)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%d.%s", name, step, what);
    return golden_get(g, key, count ? count : golden_count(g, key));
}

static void check_draws(struct golden *g, const struct run *r, const char *name, size_t m,
                        bool relax)
{
    struct drawn d;
    const size_t n = r->args.n;
    const float *rows = golden_at(g, name, (int)r->samples.step, "rows", 0);
    const size_t shown = m < 120 ? m + 1 : 20; /* the first are enough of the long ones */
    prepare(&d, &r->samples, m);
    for (size_t i = 0; i < n; i++) {
        ctkd__crd_negatives(&r->samples, &d.classes, r->ids[i], m, d.scratch, d.rows);
        const uint64_t positive =
            relax ? ctkd__crd_relative(&r->samples, &d.classes, r->ids[i]) : r->ids[i];
        assert_int_equal(positive, (uint64_t)rows[i * shown]);
        for (size_t j = 1; j < shown; j++)
            assert_int_equal(d.rows[j - 1], (uint32_t)rows[i * shown + j]);
    }
    release(&d);
}

static void check_step(struct golden *g, struct run *r, const char *name, int number, size_t n)
{
    const float *ids = golden_at(g, name, number, "ids", n);
    bool written[COUNT] = { false };
    char what[8];
    r->samples.step = (uint64_t)number;
    r->args.n = n;
    for (size_t i = 0; i < n; i++) {
        r->ids[i] = (uint64_t)ids[i];
        written[r->ids[i]] = true;
    }
    for (size_t s = 0; s < 2; s++) {
        snprintf(what, sizeof what, "%zu.x", s);
        memcpy(r->x[s], golden_at(g, name, number, what, n * DIM), n * DIM * sizeof(float));
    }
    assert_int_equal(step(r), CTKD_OK);
    check_close(r->loss, *golden_at(g, name, number, "loss", 1), 1e-6, 0);
    check_all_close(r->state + 2 * COUNT * DIM, golden_at(g, name, number, "z", 2), 2, 2e-6, 0);
    for (size_t s = 0; s < 2; s++) {
        snprintf(what, sizeof what, "%zu.dx", s);
        check_relative(r->dx[s], golden_at(g, name, number, what, n * DIM), n * DIM, 2e-6);
        snprintf(what, sizeof what, "%zu.bank", s);
        const float *bank = golden_at(g, name, number, what, n * DIM);
        for (size_t i = 0; i < COUNT; i++)
            if (written[i]) {
                check_relative(r->state + (s * COUNT + i) * DIM, bank, DIM, 1e-6);
                bank += DIM;
            }
    }
}

static void two_steps_agree_with_pytorch(void **state)
{
    (void)state;
    const struct {
        const char *name;
        size_t negatives;
        bool relax;
    } cases[] = { { "few", 60, false },
                  { "most", 200, false },
                  { "repeated", 1000, false },
                  { "relax", 60, true } };
    struct golden *g = golden_open("crd.txt");
    const float *labels = golden_get(g, "labels", COUNT);
    for (size_t c = 0; c < 4; c++) {
        struct run *r = start(cases[c].negatives, cases[c].relax);
        for (size_t i = 0; i < COUNT; i++)
            r->labels[i] = (int32_t)labels[i];
        check_step(g, r, cases[c].name, 3, 5);
        check_draws(g, r, cases[c].name, cases[c].negatives, cases[c].relax);
        check_step(g, r, cases[c].name, 4, 4);
        check_draws(g, r, cases[c].name, cases[c].negatives, cases[c].relax);
        finish(r);
    }
    golden_close(g);
}

/* --- what else it promises */

static void run_backwards(void *context, size_t count, void (*body)(void *argument, size_t i),
                          void *argument)
{
    for (*(size_t *)context += count; count > 0; count--)
        body(argument, count - 1);
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    struct run *a = start(100, false), *b = start(100, false);
    size_t bodies = 0;
    const ctkd_pool pool = { &bodies, run_backwards };
    b->args.pool = &pool;
    for (int i = 0; i < 3; i++) {
        a->samples.step = b->samples.step = (uint64_t)i;
        assert_int_equal(step(a), CTKD_OK);
        assert_int_equal(step(b), CTKD_OK);
        assert_true(a->loss == b->loss);
        assert_memory_equal(a->dx, b->dx, sizeof a->dx);
        assert_memory_equal(a->state, b->state, a->state_values * sizeof(float));
    }
    assert_true(bodies > 0);
    finish(a);
    finish(b);
}

/* A step's loss from the state that was kept. */
struct kept_run {
    struct run *run;
    float *state;
};

static double loss_of(void *context)
{
    const struct kept_run *const kept = context;
    memcpy(kept->run->state, kept->state, kept->run->state_values * sizeof(float));
    assert_int_equal(step(kept->run), CTKD_OK);
    return (double)kept->run->loss;
}

static void gradients_match_central_differences(void **state)
{
    (void)state;
    struct run *r = start(100, false);
    assert_int_equal(step(r), CTKD_OK); /* sets Z */
    float dx[2][BATCH * DIM], *kept = malloc(r->state_values * sizeof *kept);
    assert_non_null(kept);
    memcpy(kept, r->state, r->state_values * sizeof *kept);
    assert_int_equal(step(r), CTKD_OK);
    memcpy(dx, r->dx, sizeof dx);
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < BATCH * DIM; i += 7)
            check_close(dx[s][i],
                        slope_of_float(loss_of, &(struct kept_run){ r, kept }, &r->x[s][i], 0.01f),
                        5e-3, 1e-3);
    free(kept);
    finish(r);
}

static void an_embedding_without_length_has_no_gradient(void **state)
{
    (void)state;
    struct run *r = start(50, false);
    memset(r->x, 0, sizeof r->x);
    assert_int_equal(step(r), CTKD_OK);
    const float zero[BATCH * DIM] = { 0 };
    assert_true(isfinite(r->loss));
    check_all_close(r->dx[0], zero, BATCH * DIM, 0, 0);
    check_all_close(r->dx[1], zero, BATCH * DIM, 0, 0);
    for (size_t i = 0; i < r->state_values; i++)
        assert_true(isfinite(r->state[i]));
    finish(r);
}

static void z_is_set_by_the_first_batch_and_then_kept(void **state)
{
    (void)state;
    struct run *r = start(50, false);
    float *const z = r->state + 2 * COUNT * DIM, first[2];
    assert_true(z[0] == 0 && z[1] == 0);
    assert_int_equal(step(r), CTKD_OK);
    memcpy(first, z, sizeof first);
    assert_true(z[0] > 0 && z[1] > 0);
    r->samples.step = 1;
    assert_int_equal(step(r), CTKD_OK);
    assert_memory_equal(first, z, sizeof first);
    finish(r);
}

#define REFUSE(expected, ...)                                                                      \
    do {                                                                                           \
        struct run *r = start(50, false);                                                          \
        float *const before = malloc(r->state_values * sizeof *before);                            \
        memcpy(before, r->state, r->state_values * sizeof *before);                                \
        r->loss = 7;                                                                               \
        float *const kept = r->state;                                                              \
        __VA_ARGS__;                                                                               \
        assert_int_equal(step(r), expected);                                                       \
        assert_true(r->loss == 7 && r->dx[0][0] == 0 && r->dx[1][0] == 0);                         \
        assert_memory_equal(kept, before, r->state_values * sizeof *before);                       \
        free(before);                                                                              \
        finish(r);                                                                                 \
    } while (0)

static void bad_arguments_are_refused_and_nothing_moves(void **state)
{
    (void)state;
    REFUSE(CTKD_EINVAL, r->args.n = 0);
    REFUSE(CTKD_EINVAL, r->args.k = 1);
    REFUSE(CTKD_EINVAL, r->args.loss = NULL);
    REFUSE(CTKD_EINVAL, r->args.maps = NULL);
    REFUSE(CTKD_EINVAL, r->args.state = NULL);
    REFUSE(CTKD_EINVAL, r->args.workspace = NULL);
    REFUSE(CTKD_EINVAL, r->args.ids = NULL);
    REFUSE(CTKD_EINVAL, r->args.samples = NULL);
    REFUSE(CTKD_EINVAL, r->samples.labels = NULL);
    REFUSE(CTKD_EINVAL, r->samples.count = 0);
    REFUSE(CTKD_EINVAL, r->maps[1].x = NULL);
    REFUSE(CTKD_ESHAPE, r->args.n_maps = 1);
    REFUSE(CTKD_ESHAPE, r->maps[0].c = DIM + 1);
    REFUSE(CTKD_ERANGE, r->ids[BATCH - 1] = COUNT);
    REFUSE(CTKD_ERANGE, r->labels[COUNT - 1] = CLASSES);
    REFUSE(CTKD_ERANGE, r->labels[0] = -1);
    /* of one class alone there is nothing to compare with */
    REFUSE(CTKD_EINVAL, memset(r->labels, 0, sizeof r->labels));
}

static void sizes_that_overflow_are_said_to(void **state)
{
    (void)state;
    struct run *r = start(50, false);
    size_t values;
    ctkd_loss_shape shape = { .n = SIZE_MAX / 16, .k = CLASSES, .samples = COUNT };
    assert_int_equal(ctkd_loss_workspace(r->def, r->config.bytes, &shape, &values), CTKD_ERANGE);
    shape = (ctkd_loss_shape){ .n = 1, .k = CLASSES, .samples = SIZE_MAX / 16 };
    assert_int_equal(ctkd_loss_workspace(r->def, r->config.bytes, &shape, &values), CTKD_ERANGE);
    assert_int_equal(ctkd_loss_state(r->def, r->config.bytes, &shape, &values), CTKD_ERANGE);
    finish(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(negatives_are_of_other_classes_and_differ_while_they_can),
        cmocka_unit_test(every_row_is_drawn_as_often_as_any_other),
        cmocka_unit_test(a_draw_depends_on_seed_step_and_sample_alone),
        cmocka_unit_test(a_relative_is_any_row_of_the_same_class),
        cmocka_unit_test(two_steps_agree_with_pytorch),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(gradients_match_central_differences),
        cmocka_unit_test(an_embedding_without_length_has_no_gradient),
        cmocka_unit_test(z_is_set_by_the_first_batch_and_then_kept),
        cmocka_unit_test(bad_arguments_are_refused_and_nothing_moves),
        cmocka_unit_test(sizes_that_overflow_are_said_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
