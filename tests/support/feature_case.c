#include "support/feature_case.h"

#include <stdlib.h>

#include "support/check.h"

static const ctkd_map student[] = {
    { .c = 3, .h = 8, .w = 8 }, { .c = 3, .h = 8, .w = 8 }, { .c = 4, .h = 4, .w = 4 },
    { .c = 5, .h = 2, .w = 2 }, { .c = 5, .h = 1, .w = 1 },
};
static const ctkd_map wider[] = {
    { .c = 4, .h = 8, .w = 8 },  { .c = 6, .h = 8, .w = 8 },  { .c = 8, .h = 4, .w = 4 },
    { .c = 10, .h = 2, .w = 2 }, { .c = 10, .h = 1, .w = 1 },
};
static const ctkd_map longer[] = {
    { .c = 4, .h = 16, .w = 16 }, { .c = 6, .h = 16, .w = 16 }, { .c = 8, .h = 8, .w = 8 },
    { .c = 7, .h = 4, .w = 4 },   { .c = 9, .h = 2, .w = 2 },   { .c = 9, .h = 1, .w = 1 },
};

static void *room(size_t count, size_t bytes)
{
    void *memory = malloc(count * bytes > 0 ? count * bytes : 1);
    assert_non_null(memory);
    return memory;
}

static float *random_values(size_t count, uint64_t seed, float lo, float hi)
{
    float *x = room(count, sizeof *x);
    fill_uniform(x, count, seed, lo, hi);
    return x;
}

static void fill_map(struct feature_case *c, size_t i)
{
    const struct recorded_value *value = &c->reads[i].value;
    ctkd_map *map = &c->maps[i];
    *map = value->shape;
    const size_t count = feature_case_values(c, i);
    map->x = value->parameter ? random_values(count, 100 + i, 0.5f, 1.5f)
                              : random_values(count, 100 + i, -1, 1);
    map->dx = c->reads[i].gradient ? room(count, sizeof *map->dx) : NULL;
    map->norm_weight = value->norm ? random_values(map->c, 200 + i, 0.5f, 1.5f) : NULL;
    map->norm_bias = value->norm ? random_values(map->c, 300 + i, -0.5f, 0.5f) : NULL;
}

static void fill_others(struct feature_case *c, size_t head_channels)
{
    const size_t k = FEATURE_CLASSES, nk = FEATURE_BATCH * k;
    c->s = random_values(nk, 1, -3, 3);
    c->t = random_values(nk, 2, -4, 4);
    c->ds = room(nk, sizeof *c->ds);
    c->dt = room(nk, sizeof *c->dt);
    for (size_t i = 0; i < FEATURE_SAMPLES; i++)
        c->all_labels[i] = (int32_t)(7 * i % FEATURE_CLASSES);
    for (size_t i = 0; i < FEATURE_BATCH; i++) {
        c->ids[i] = 11 * i % FEATURE_SAMPLES;
        c->labels[i] = c->all_labels[c->ids[i]];
        c->tau[i] = 1 + 2.5f * (float)i;
    }
    c->head_weight = random_values(k * head_channels, 3, -1, 1);
    c->head_bias = random_values(k, 4, -1, 1);
    c->head = (ctkd_head){ k, head_channels, c->head_weight, c->head_bias };
    c->samples = (ctkd_samples){ FEATURE_SAMPLES, c->all_labels, 5, 0 };
}

static void make_state(struct feature_case *c)
{
    ctkd_map shapes[RECORDED_MAX];
    for (size_t i = 0; i < c->n_maps; i++)
        shapes[i] = c->reads[i].value.shape;
    const ctkd_loss_shape shape = {
        .n = FEATURE_BATCH,
        .k = FEATURE_CLASSES,
        .maps = shapes,
        .n_maps = c->n_maps,
        .samples = c->def->needs & CTKD_NEEDS_IDS ? FEATURE_SAMPLES : 0,
    };
    size_t values;
    assert_int_equal(ctkd_loss_workspace(c->def, c->config, &shape, &values), CTKD_OK);
    c->workspace = values ? room(values, sizeof *c->workspace) : NULL;
    assert_int_equal(ctkd_loss_state(c->def, c->config, &shape, &c->n_state), CTKD_OK);
    c->state = c->n_state ? room(c->n_state, sizeof *c->state) : NULL;
    c->fresh_state = c->n_state ? room(c->n_state, sizeof *c->state) : NULL;
    if (c->n_state)
        c->def->state_init(c->config, &shape, 6, c->fresh_state);
}

/* Defaults, but for options that cost time alone: a memory of made-up samples is small. */
static void set_defaults(const ctkd_loss_def *def, void *config)
{
    static const struct {
        const char *name;
        double value;
    } smaller[] = { { "dim", 12 }, { "negatives", 50 } };
    ctkd_options_defaults(def->options, config);
    for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++)
        if (ctkd_option_find(def->options, smaller[i].name))
            assert_int_equal(
                ctkd_option_set(def->options, config, smaller[i].name, smaller[i].value), CTKD_OK);
}

static struct feature_case *case_of_reads(const ctkd_loss_def *def, size_t n_maps,
                                          const struct recorded_read *reads, size_t head_channels)
{
    struct feature_case *c = room(1, sizeof *c);
    *c = (struct feature_case){ .def = def, .n = FEATURE_BATCH, .n_maps = n_maps };
    assert_true(def->config_size <= sizeof c->config);
    set_defaults(def, c->config);
    for (size_t i = 0; i < n_maps; i++) {
        c->reads[i] = reads[i];
        fill_map(c, i);
    }
    fill_others(c, head_channels);
    return c;
}

struct feature_case *feature_case_open(const ctkd_loss_def *def, enum feature_networks networks,
                                       unsigned stage, const char *option, double value)
{
    static const struct {
        const ctkd_map *taps;
        size_t count;
    } teachers[FEATURES_PAIRS] = { { wider, 5 }, { student, 5 }, { longer, 6 } };
    static struct recording r;
    static struct recorded_read reads[RECORDED_MAX];
    const ctkd_map *teacher = teachers[networks].taps;
    _Alignas(16) char config[256];
    assert_true(def->config_size <= sizeof config);
    set_defaults(def, config);
    if (option)
        assert_int_equal(ctkd_option_set(def->options, config, option, value), CTKD_OK);
    recording_start(&r, student, 5, teacher, teachers[networks].count);
    if (def->plan) {
        const ctkd_status status = def->plan(config, &r.builder);
        assert_int_equal(status, r.builder.status);
        if (status != CTKD_OK) {
            assert_true(strlen(r.builder.message) > 0);
            return NULL;
        }
    }
    struct feature_case *c = case_of_reads(def, recording_reads(&r, stage, reads), reads,
                                           teacher[teachers[networks].count - 1].c);
    c->stage = stage;
    memcpy(c->config, config, sizeof config);
    make_state(c);
    return c;
}

struct feature_case *feature_case_of_maps(const ctkd_loss_def *def, const ctkd_map *shapes,
                                          const bool *gradients, size_t n_maps, const char *option,
                                          double value)
{
    static struct recorded_read reads[RECORDED_MAX];
    for (size_t i = 0; i < n_maps; i++)
        reads[i] = (struct recorded_read){ .value.shape = shapes[i], .gradient = gradients[i] };
    struct feature_case *c = case_of_reads(def, n_maps, reads, shapes[n_maps - 1].c);
    if (option)
        assert_int_equal(ctkd_option_set(def->options, c->config, option, value), CTKD_OK);
    make_state(c);
    return c;
}

void feature_case_close(struct feature_case *c)
{
    for (size_t i = 0; i < c->n_maps; i++) {
        free((float *)c->maps[i].x);
        free(c->maps[i].dx);
        free((float *)c->maps[i].norm_weight);
        free((float *)c->maps[i].norm_bias);
    }
    free(c->s);
    free(c->t);
    free(c->ds);
    free(c->dt);
    free(c->head_weight);
    free(c->head_bias);
    free(c->workspace);
    free(c->state);
    free(c->fresh_state);
    free(c);
}

size_t feature_case_values(const struct feature_case *c, size_t map)
{
    const ctkd_map *shape = &c->reads[map].value.shape;
    return (c->reads[map].value.parameter ? 1 : c->n) * shape->c * shape->h * shape->w;
}

ctkd_loss_args feature_case_args(struct feature_case *c)
{
    return (ctkd_loss_args){ .n = c->n,
                             .k = FEATURE_CLASSES,
                             .s = c->s,
                             .t = c->t,
                             .labels = c->labels,
                             .tau = c->tau,
                             .n_tau = c->n,
                             .loss = &c->loss,
                             .ds = c->ds,
                             .dt = c->dt,
                             .dtau = c->dtau,
                             .workspace = c->workspace,
                             .stage = c->stage,
                             .maps = c->maps,
                             .n_maps = c->n_maps,
                             .head = &c->head,
                             .ids = c->ids,
                             .samples = &c->samples,
                             .state = c->state,
                             .pool = c->pool,
                             .multiplier = c->multiplier,
                             .part = c->part };
}

static void fill(float *x, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        x[i] = value;
}

ctkd_status feature_case_evaluate(struct feature_case *c)
{
    const bool logits = c->def->needs & CTKD_NEEDS_LOGITS, tau = c->def->needs & CTKD_NEEDS_TAU;
    c->loss = NAN;
    fill(c->ds, c->n * FEATURE_CLASSES, logits ? NAN : 0);
    fill(c->dt, c->n * FEATURE_CLASSES, logits ? NAN : 0);
    fill(c->dtau, c->n, tau ? NAN : 0);
    for (size_t i = 0; i < c->n_maps; i++)
        if (c->maps[i].dx)
            fill(c->maps[i].dx, feature_case_values(c, i), NAN);
    if (c->n_state)
        memcpy(c->state, c->fresh_state, c->n_state * sizeof *c->state);
    const ctkd_loss_args args = feature_case_args(c);
    return c->def->eval(c->config, &args);
}

bool feature_case_make_equal(struct feature_case *c)
{
    size_t s = 0;
    for (size_t t = 0; t < c->n_maps; t++) {
        if (c->reads[t].value.parameter || c->reads[t].value.side != CTKD_TEACHER)
            continue;
        while (s < c->n_maps &&
               (c->reads[s].value.parameter || c->reads[s].value.side != CTKD_STUDENT))
            s++;
        const size_t count = feature_case_values(c, t);
        if (s == c->n_maps || count != feature_case_values(c, s))
            return false;
        memcpy((float *)c->maps[t].x, c->maps[s++].x, count * sizeof(float));
    }
    memcpy(c->t, c->s, c->n * FEATURE_CLASSES * sizeof(float));
    return true;
}

void feature_case_check_finite(struct feature_case *c)
{
    assert_true(isfinite(c->loss));
    for (size_t i = 0; i < c->n_maps; i++)
        for (size_t j = 0; c->maps[i].dx && j < feature_case_values(c, i); j++)
            assert_true(isfinite(c->maps[i].dx[j]));
    for (size_t i = 0; i < c->n * FEATURE_CLASSES; i++)
        assert_true(isfinite(c->ds[i]) && isfinite(c->dt[i]));
    for (size_t i = 0; i < c->n; i++)
        assert_true(isfinite(c->dtau[i]));
}
