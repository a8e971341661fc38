/*
 * One step on one, two and four ranks, which are threads here, with batch norms in groups, against
 * PyTorch's DistributedDataParallel with as many processes as there are groups
 * (tests/golden/ddp.py).
 */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/models/models.h"
#include "support/drawn.h"
#include "support/thread_ranks.h"
#include "train/session.h"
#include "train/step_groups.h"

/* As in ddp.py. */
enum { IMAGES = 16, RANKS_MAX = 4, CLASSES = DRAWN_CLASSES };

struct drawn_case {
    const char *name; /* "smooth": a network of this file */
    size_t side;
    /* Of gradients' norms, and of their projections on a random direction: these see every ReLU
       that rounding has decided otherwise (1.1e-2 in resnet18 with sanitizers), relative to the
       norm. */
    double norm, projection;
};

struct fixture {
    const struct drawn_case *drawn;
    struct golden *golden;
    struct ctkd__graph *graph;
    struct ctkd__tensors values, directions;
    float *x;
    size_t image_floats;
    int32_t labels[IMAGES];
    uint64_t ids[IMAGES];
};

/* What a rank has after the step: parameters without their gradient, and running statistics. */
struct outcome {
    ctkd_error err;
    struct ctkd__step_report report;
    struct ctkd__tensors moved;
};

struct job {
    const struct fixture *fixture;
    const struct ctkd__config *config;
    bool whole; /* each rank has whole groups */
    struct outcome outcomes[RANKS_MAX];
};

/* conv, batch norm, square, mean, linear: nothing but rounding separates two programs. */
static struct ctkd__graph *smooth_network(size_t side)
{
    struct ctkd__graph *g;
    ctkd_error err = { 0 };
    check_ok(ctkd__graph_create(&g), NULL);
    int x = ctkd__graph_conv(g, ctkd__graph_input(g, 3, side, side), "conv",
                             &(struct ctkd__conv_args){ 16, 3, 1, 1, 1, false, CTKD__INIT_NORMAL, 1,
                                                        CTKD__INIT_CONSTANT, 0 });
    x = ctkd__graph_batch_norm(g, x, "bn");
    x = ctkd__graph_global_pool(g, ctkd__graph_multiply(g, x, x));
    x = ctkd__graph_linear(g, x, "fc", CLASSES, CTKD__INIT_UNIFORM, 1, CTKD__INIT_UNIFORM, 1);
    check_ok(ctkd__graph_finish(g, x, &err), &err);
    return g;
}

static struct fixture fixture_open(const struct drawn_case *drawn)
{
    struct fixture fixture = { .drawn = drawn, .golden = golden_open("ddp.txt") };
    const size_t side = drawn->side;
    const struct ctkd__model_args args = { 3, side, side, CLASSES };
    ctkd_error err = { 0 };
    char key[64];
    if (strcmp(drawn->name, "smooth") == 0)
        fixture.graph = smooth_network(side);
    else
        check_ok(ctkd__model_build(drawn->name, &args, &fixture.graph, &err), &err);
    snprintf(key, sizeof key, "%s.seed", drawn->name);
    const uint64_t seed = (uint64_t)golden_get(fixture.golden, key, 1)[0];
    drawn_parameters(fixture.graph, seed, &fixture.values, &fixture.directions);
    fixture.image_floats = 3 * side * side;
    fixture.x = drawn_pixels(seed, IMAGES * fixture.image_floats);
    for (size_t i = 0; i < IMAGES; i++) {
        fixture.labels[i] = drawn_label(i);
        fixture.ids[i] = i;
    }
    return fixture;
}

static void fixture_close(struct fixture *fixture)
{
    free(fixture->x);
    ctkd__tensors_fini(&fixture->values);
    ctkd__tensors_fini(&fixture->directions);
    ctkd__graph_destroy(fixture->graph);
    golden_close(fixture->golden);
}

static ctkd_status take_step(const struct job *job, struct ctkd__engine *engine,
                             struct ctkd__training *training, struct ctkd__weights *weights,
                             struct outcome *out)
{
    const struct fixture *const fixture = job->fixture;
    const struct ctkd__batch batch = { .n = IMAGES,
                                       .x = ctkd__batch_images_of(fixture->x),
                                       .labels = fixture->labels,
                                       .ids = fixture->ids };
    struct ctkd__run_state run = { 0 };
    struct ctkd__training_step *step = NULL;
    ctkd_status status = ctkd__run_state_init(&run, weights, NULL, 0, &out->err);
    const struct ctkd__step_args args = { .config = job->config,
                                          .stage = CTKD_STAGE_MAIN,
                                          .training = training,
                                          .dist = engine->pass_dist,
                                          .groups_dist = engine->pass_dist ? NULL : engine->dist,
                                          .slices = engine->slices,
                                          .workers = engine->workers,
                                          .state = &run,
                                          .classes = CLASSES,
                                          .image_floats = fixture->image_floats };
    if (status == CTKD_OK)
        status = ctkd__step_create(&args, &step, &out->err);
    if (status == CTKD_OK)
        status = ctkd__step_run(step, &batch, 1, 1, &out->report, &out->err);
    if (status == CTKD_OK)
        status = ctkd__weights_export(weights, &out->moved, &out->err);
    ctkd__step_destroy(step);
    ctkd__run_state_fini(&run);
    return status;
}

static void run_rank(struct ctkd__dist *dist, void *context)
{
    struct job *const job = context;
    struct outcome *const out = &job->outcomes[ctkd__dist_rank(dist)];
    const struct fixture *const fixture = job->fixture;
    struct ctkd__engine_config asked = ctkd__config_engine(job->config, dist);
    asked.alone = job->whole;
    struct ctkd__engine engine = { 0 };
    struct ctkd__weights *weights = NULL;
    struct ctkd__training *training = NULL;
    ctkd_status status = ctkd__engine_open(&asked, &engine, &out->err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(fixture->graph, engine.kernels->block, &weights, &out->err);
    if (status == CTKD_OK)
        status = ctkd__weights_import(weights, &fixture->values, &out->err);
    const struct ctkd__training_config of_training =
        ctkd__engine_training(&engine, "student", ctkd__config_pass(job->config));
    if (status == CTKD_OK)
        status = ctkd__training_create(fixture->graph, weights, &of_training, &training, &out->err);
    if (status == CTKD_OK)
        status = take_step(job, &engine, training, weights, out);
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
    ctkd__engine_close(&engine);
    if (status != CTKD_OK)
        ctkd__dist_abort(dist, 1);
}

/* A rate of 1 and nothing else: the parameters lose their gradient. */
static struct ctkd__config *config_of(size_t processes)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    check_ok(ctkd__config_create(&config, &err), &err);
    config->train.batch = IMAGES;
    config->train.batch_norm_group = (int64_t)(IMAGES / processes);
    config->train.threads = 1;
    config->train.slices = RANKS_MAX;
    config->optimizer.lr = 1;
    config->optimizer.momentum = config->optimizer.weight_decay = 0;
    return config;
}

static void check_golden(const struct fixture *fixture, size_t processes,
                         const struct outcome *found)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%zu.loss", fixture->drawn->name, processes);
    check_close(found->report.loss, golden_get(fixture->golden, key, 1)[0], 1e-5, 0);
    for (int i = 0; i < fixture->graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &fixture->graph->parameters[i];
        const bool trained = p->role <= CTKD__ROLE_BIAS;
        const size_t n = ctkd__parameter_elements(p);
        float *const values = ctkd__tensors_find(&found->moved, p->name)->data;
        const float *const before = ctkd__tensors_find(&fixture->values, p->name)->data;
        for (size_t j = 0; j < n && trained; j++)
            values[j] = before[j] - values[j];
        snprintf(key, sizeof key, "%s.%zu.%s", fixture->drawn->name, processes, p->name);
        const struct drawn_difference d =
            drawn_compare(golden_get(fixture->golden, key, DRAWN_ENTRY), (size_t)i, DRAWN_SAMPLES,
                          values, fixture->directions.items[i].data, n, 1e-4);
        const double norm = trained ? fixture->drawn->norm : 1e-5;
        const double projection = trained ? fixture->drawn->projection : 1e-5;
        if (!(d.norm <= norm && d.projection <= projection && d.element <= 10 * norm))
            fail_msg("%s: norm %.2g, projection %.2g, element %.2g, expected at most %g, %g, %g",
                     key, d.norm, d.projection, d.element, norm, projection, 10 * norm);
    }
}

static void check_same(const struct outcome *a, const struct outcome *b, const char *what)
{
    if (b->err.status != CTKD_OK)
        fail_msg("%s: %s", what, b->err.message);
    assert_memory_equal(&a->report, &b->report, sizeof a->report);
    assert_int_equal(a->moved.count, b->moved.count);
    for (size_t i = 0; i < a->moved.count; i++)
        if (memcmp(a->moved.items[i].data, b->moved.items[i].data,
                   ctkd__tensor_elements(&a->moved.items[i]) * sizeof(float)) != 0)
            fail_msg("%s: %s has other bits than on one rank", what, a->moved.items[i].name);
}

static void free_outcomes(struct job *job)
{
    for (size_t r = 0; r < RANKS_MAX; r++)
        ctkd__tensors_fini(&job->outcomes[r].moved);
}

/* Ranks that share every group or, with `whole`, have some groups each. */
static void compare_ranks(const struct job *first, size_t ranks, bool whole)
{
    struct job job = { .fixture = first->fixture, .config = first->config, .whole = whole };
    char what[96];
    thread_ranks_run(ranks, run_rank, &job);
    snprintf(what, sizeof what, "%s, groups of %lld on %zu ranks%s", first->fixture->drawn->name,
             (long long)first->config->train.batch_norm_group, ranks, whole ? ", whole" : "");
    for (size_t r = 0; r < ranks; r++)
        check_same(&first->outcomes[0], &job.outcomes[r], what);
    free_outcomes(&job);
}

static void agrees_with_ddp(void **state)
{
    const struct ctkd__methods none = { 0 };
    struct fixture fixture = fixture_open(*state);
    for (size_t processes = 2; processes <= 4; processes *= 2) {
        struct ctkd__config *const config = config_of(processes);
        struct job first = { .fixture = &fixture, .config = config };
        run_rank(NULL, &first);
        if (first.outcomes[0].err.status != CTKD_OK)
            fail_msg("%s", first.outcomes[0].err.message);
        for (size_t ranks = 2; ranks <= RANKS_MAX; ranks *= 2) {
            const bool whole = ctkd__step_groups_whole(config, &none, ranks);
            assert_true(whole == (ranks <= processes));
            compare_ranks(&first, ranks, false);
            if (whole)
                compare_ranks(&first, ranks, true);
        }
        check_golden(&fixture, processes, &first.outcomes[0]);
        free_outcomes(&first);
        ctkd__config_destroy(config);
    }
    fixture_close(&fixture);
}

int main(void)
{
    /* Of the kernels of every instruction set the best alone: test_networks tries them all. */
    static struct drawn_case ops = { "smooth", 8, 1e-5, 1e-5 },
                             small = { "resnet8", 32, 1e-2, 1e-2 },
                             large = { "resnet18", 64, 1e-2, 3e-2 };
    const struct CMUnitTest tests[] = {
        { .name = "ops_agree_with_ddp", .test_func = agrees_with_ddp, .initial_state = &ops },
        { .name = "resnet8_agrees_with_ddp",
          .test_func = agrees_with_ddp,
          .initial_state = &small },
        { .name = "resnet18_agrees_with_ddp",
          .test_func = agrees_with_ddp,
          .initial_state = &large },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
