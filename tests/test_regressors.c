/* Losses of maps that a trained network brings together: agreement with PyTorch. */
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "support/check.h"

enum { MAPS_MAX = 32, CONFIG_BYTES = 256 };

/* A case of golden/regressors.txt: inputs, room for outputs, and what those should be. */
struct example {
    struct golden *golden;
    const char *key;
    size_t n, n_maps;
    ctkd_map maps[MAPS_MAX];
    const float *dx[MAPS_MAX]; /* NULL where there is no gradient */
    double *workspace;
    _Alignas(16) char config[CONFIG_BYTES];
    const ctkd_loss_def *def;
    ctkd_loss_args args;
    float loss;
};

static const char *key_of(const struct example *e, size_t map, const char *part)
{
    static char key[96];
    snprintf(key, sizeof key, "%s.%zu.%s", e->key, map, part);
    return key;
}

static const float *value(const struct example *e, const char *part, size_t count)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", e->key, part);
    return golden_get(e->golden, key, count);
}

static void load_map(struct example *e, size_t i)
{
    const float *shape = golden_get(e->golden, key_of(e, i, "shape"), 3);
    ctkd_map *map = &e->maps[i];
    *map = (ctkd_map){ .c = (size_t)shape[0], .h = (size_t)shape[1], .w = (size_t)shape[2] };
    const size_t values = golden_count(e->golden, key_of(e, i, "x"));
    const size_t of_one = map->c * map->h * map->w;
    assert_true(values == of_one || values == e->n * of_one); /* a parameter has no n */
    map->x = golden_get(e->golden, key_of(e, i, "x"), values);
    if (golden_count(e->golden, key_of(e, i, "dx"))) {
        e->dx[i] = golden_get(e->golden, key_of(e, i, "dx"), values);
        map->dx = malloc(values * sizeof *map->dx);
        assert_non_null(map->dx);
    }
    if (golden_count(e->golden, key_of(e, i, "weight"))) {
        map->norm_weight = golden_get(e->golden, key_of(e, i, "weight"), map->c);
        map->norm_bias = golden_get(e->golden, key_of(e, i, "bias"), map->c);
    }
}

static struct example *open_example(const char *method, const char *key)
{
    struct example *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->golden = golden_open("regressors.txt");
    e->key = key;
    e->def = ctkd_loss_find(method);
    assert_non_null(e->def);
    e->n = (size_t)*value(e, "n", 1);
    while (golden_count(e->golden, key_of(e, e->n_maps, "shape")))
        load_map(e, e->n_maps++);
    assert_true(e->def->config_size <= sizeof e->config);
    ctkd_options_defaults(e->def->options, e->config);
    const ctkd_loss_shape shape = { .n = e->n, .k = 1, .maps = e->maps, .n_maps = e->n_maps };
    size_t values;
    assert_int_equal(ctkd_loss_workspace(e->def, e->config, &shape, &values), CTKD_OK);
    e->workspace = malloc(values * sizeof *e->workspace); /* exactly: a sanitizer sees one more */
    e->args = (ctkd_loss_args){ .n = e->n,
                                .k = 1,
                                .loss = &e->loss,
                                .workspace = e->workspace,
                                .maps = e->maps,
                                .n_maps = e->n_maps };
    return e;
}

static void close_example(struct example *e)
{
    for (size_t i = 0; i < e->n_maps; i++)
        free(e->maps[i].dx);
    free(e->workspace);
    golden_close(e->golden);
    free(e);
}

static void check_example(struct example *e, double tolerance)
{
    assert_int_equal(e->def->eval(e->config, &e->args), CTKD_OK);
    check_close(e->loss, *value(e, "loss", 1), tolerance, 0);
    for (size_t i = 0; i < e->n_maps; i++)
        if (e->dx[i])
            check_relative(e->maps[i].dx, e->dx[i], golden_count(e->golden, key_of(e, i, "x")),
                           tolerance);
}

/* Someone's threads: here one, that takes the bodies from the last to the first. */
static void run_backwards(void *context, size_t count, void (*body)(void *argument, size_t i),
                          void *argument)
{
    for (*(size_t *)context += count; count > 0; count--)
        body(argument, count - 1);
}

/* And the same bits in another order, without gradients, and with the stage said. */
static void check_method(const char *method, const char *key, unsigned stage)
{
    struct example *e = open_example(method, key);
    e->args.stage = stage;
    check_example(e, 1e-6);
    const float loss = e->loss;
    size_t bodies = 0;
    const ctkd_pool pool = { &bodies, run_backwards };
    e->args.pool = &pool;
    check_example(e, 1e-6);
    assert_true(e->loss == loss && bodies >= e->n);
    for (size_t i = 0; i < e->n_maps; i++) {
        free(e->maps[i].dx);
        e->maps[i].dx = NULL;
    }
    assert_int_equal(e->def->eval(e->config, &e->args), CTKD_OK);
    assert_true(e->loss == loss);
    close_example(e);
}

static void vid_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("vid", "vid", CTKD_STAGE_MAIN);
}

static void fitnet_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("fitnet", "fitnet", CTKD_STAGE_MAIN);
}

static void reviewkd_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("reviewkd", "reviewkd", CTKD_STAGE_MAIN);
}

static void ofd_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("ofd", "ofd", CTKD_STAGE_MAIN);
}

static void ab_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("ab", "ab", CTKD_STAGE_INITIAL);
}

static void ft_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("ft", "ft", CTKD_STAGE_MAIN);
}

static void paraphraser_agrees_with_pytorch(void **state)
{
    (void)state;
    check_method("ft", "ft_initial", CTKD_STAGE_INITIAL);
}

static void srrl_agrees_with_pytorch(void **state)
{
    (void)state;
    enum { K = 7, C = 6, N = 5 };
    struct example *e = open_example("srrl", "srrl");
    const float zero[N * K] = { 0 };
    float ds[N * K], dt[N * K];
    memset(ds, 0x5a, sizeof ds);
    const ctkd_head head = { K, C, value(e, "weight", K * C), value(e, "bias", K) };
    e->args.k = K;
    e->args.head = &head;
    e->args.s = e->args.t = value(e, "t", N * K);
    e->args.ds = ds;
    e->args.dt = dt;
    const ctkd_loss_shape shape = { .n = N, .k = K, .maps = e->maps, .n_maps = 2 };
    size_t values;
    assert_int_equal(ctkd_loss_workspace(e->def, NULL, &shape, &values), CTKD_OK);
    free(e->workspace);
    e->args.workspace = e->workspace = malloc(values * sizeof *e->workspace);
    check_example(e, 1e-6);
    check_relative(dt, value(e, "dt", N * K), N * K, 1e-6);
    check_all_close(ds, zero, N * K, 0, 0);
    const ctkd_head wrong = { K, C + 1, head.weight, head.bias };
    e->args.head = &wrong;
    assert_int_equal(e->def->eval(NULL, &e->args), CTKD_ESHAPE);
    close_example(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vid_agrees_with_pytorch),
        cmocka_unit_test(fitnet_agrees_with_pytorch),
        cmocka_unit_test(reviewkd_agrees_with_pytorch),
        cmocka_unit_test(srrl_agrees_with_pytorch),
        cmocka_unit_test(ofd_agrees_with_pytorch),
        cmocka_unit_test(ab_agrees_with_pytorch),
        cmocka_unit_test(ft_agrees_with_pytorch),
        cmocka_unit_test(paraphraser_agrees_with_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
