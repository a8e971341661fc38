/* The registry of losses, those that read more than logits: gradients, declared properties, errors,
   memory, threads. The networks are lists of shapes (tests/support/feature_case.h). */
#include "support/check.h"

#include <float.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "support/feature_case.h"
#include "support/slope.h"

static const unsigned stages[] = { CTKD_STAGE_INITIAL, CTKD_STAGE_MAIN };

/* Calls check for each loss, pair of networks that it takes, and stage that it has a value in. */
static void for_each_case(void (*check)(struct feature_case *c))
{
    size_t count = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!((*def)->needs & (CTKD_NEEDS_MAPS | CTKD_NEEDS_IDS | CTKD_NEEDS_HEAD)))
            continue;
        const unsigned has = (*def)->stages ? (*def)->stages : CTKD_STAGE_MAIN;
        for (unsigned i = 0; i < 2 * FEATURES_PAIRS; i++) {
            if (!(has & stages[i % 2]))
                continue;
            struct feature_case *c =
                feature_case_open(*def, (enum feature_networks)(i / 2), stages[i % 2], NULL, 0);
            assert_true(c || i / 2 != FEATURES_EQUAL); /* the others may be refused */
            if (!c)
                continue;
            check(c);
            feature_case_close(c);
            count++;
        }
    }
    assert_true(count > 0);
}

static double loss_of(void *context)
{
    struct feature_case *const c = context;
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    return (double)c->loss;
}

static const float coarse_step = 0.03125f, fine_step = 0.0078125f;

/* Compares gradient[i] with differences at two steps; where these disagree, the loss has a kink
   within the step, and that entry does not count. Few may be so. The loss is a float, whose
   rounding is allowed for. */
static void check_gradient(struct feature_case *c, float *x, const float *gradient, size_t count,
                           const char *what, size_t which)
{
    float *actual = malloc(count * sizeof *actual);
    assert_non_null(actual);
    (void)loss_of(c); /* at x itself, after the differences of others */
    memcpy(actual, gradient, count * sizeof *actual);
    const double rounding = (double)FLT_EPSILON * fabs((double)c->loss);
    double norm = 0, error = 0, square = 0;
    for (size_t i = 0; i < count; i++)
        norm += (double)actual[i] * (double)actual[i] / (double)count;
    size_t kinks = 0;
    for (size_t i = 0; i < count; i++) {
        const double coarse = slope_of_float(loss_of, c, &x[i], coarse_step);
        const double fine = slope_of_float(loss_of, c, &x[i], fine_step),
                     d = (double)actual[i] - coarse;
        if (fabs(coarse - fine) >
            0.008 * (sqrt(norm) + fabs(fine)) + rounding / (double)fine_step) {
            kinks++;
            continue;
        }
        error += d * d;
        square += coarse * coarse;
    }
    const double allowed =
        3e-3 * sqrt(square) + rounding / (double)coarse_step * sqrt((double)count);
    if (!(sqrt(error) <= allowed) || kinks * 5 > count)
        fail_msg(
            "%s, %zu maps, stage %u: gradient of %s %zu: error %.3g of %.3g, allowed %.3g, %zu "
            "kinks in %zu values",
            c->def->name, c->n_maps, c->stage, what, which, sqrt(error), sqrt(square), allowed,
            kinks, count);
    free(actual);
}

static void check_gradients(struct feature_case *c)
{
    const unsigned needs = c->def->needs;
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    if (c->n_state) { /* what a first call makes constant is not differentiated */
        memcpy(c->fresh_state, c->state, c->n_state * sizeof *c->state);
        assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    }
    (void)loss_of(c);
    feature_case_check_finite(c);
    for (size_t i = 0; i < c->n_maps; i++)
        if (c->maps[i].dx)
            check_gradient(c, (float *)c->maps[i].x, c->maps[i].dx, feature_case_values(c, i),
                           "map", i);
    if (needs & CTKD_NEEDS_LOGITS) {
        check_gradient(c, c->s, c->ds, c->n * FEATURE_CLASSES, "s", 0);
        check_gradient(c, c->t, c->dt, c->n * FEATURE_CLASSES, "t", 0);
    }
    if (needs & CTKD_NEEDS_TAU)
        check_gradient(c, c->tau, c->dtau, c->n, "tau", 0);
}

static void gradients_match_central_differences(void **state)
{
    (void)state;
    for_each_case(check_gradients);
}

static void check_equal(struct feature_case *c)
{
    if (!(c->def->properties & CTKD_ZERO_WHEN_EQUAL) || !feature_case_make_equal(c))
        return;
    check_close(loss_of(c), 0, 0, 0);
    for (size_t i = 0; i < c->n_maps; i++)
        for (size_t j = 0; c->maps[i].dx && j < feature_case_values(c, i); j++)
            check_close(c->maps[i].dx[j], 0, 0, 1e-7);
}

static void check_nonnegative(struct feature_case *c)
{
    if (!(c->def->properties & CTKD_NONNEGATIVE))
        return;
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (size_t i = 0; i < c->n_maps; i++)
            fill_uniform((float *)c->maps[i].x, feature_case_values(c, i), seed * 64 + i, -2, 2);
        if (seed % 2)
            (void)feature_case_make_equal(c);
        assert_true(loss_of(c) >= 0);
    }
}

static void every_loss_has_the_properties_that_it_declares(void **state)
{
    (void)state;
    for_each_case(check_equal);
    for_each_case(check_nonnegative);
}

/* --- the same value however it is asked for */

static size_t append(float *to, size_t at, const float *from, size_t count)
{
    if (to && count)
        memcpy(to + at, from, count * sizeof *to);
    return at + count;
}

static size_t collect(const struct feature_case *c, float *to)
{
    size_t at = append(to, 0, &c->loss, 1);
    for (size_t i = 0; i < c->n_maps; i++)
        if (c->maps[i].dx)
            at = append(to, at, c->maps[i].dx, feature_case_values(c, i));
    at = append(to, at, c->ds, c->n * FEATURE_CLASSES);
    at = append(to, at, c->dt, c->n * FEATURE_CLASSES);
    at = append(to, at, c->dtau, c->n);
    return append(to, at, c->state, c->n_state);
}

static float *outputs_of(struct feature_case *c, size_t *count)
{
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    *count = collect(c, NULL);
    float *values = malloc(*count * sizeof *values);
    assert_non_null(values);
    (void)collect(c, values);
    return values;
}

static void run_backwards(void *context, size_t count, void (*body)(void *argument, size_t i),
                          void *argument)
{
    (void)context;
    for (size_t i = count; i-- > 0;)
        body(argument, i);
}

static void check_pool(struct feature_case *c)
{
    const ctkd_pool pool = { NULL, run_backwards };
    size_t count, again;
    float *alone = outputs_of(c, &count);
    c->pool = &pool;
    float *pooled = outputs_of(c, &again);
    c->pool = NULL;
    assert_int_equal(count, again);
    assert_memory_equal(alone, pooled, count * sizeof *alone);
    free(alone);
    free(pooled);
}

static void results_do_not_depend_on_threads(void **state)
{
    (void)state;
    for_each_case(check_pool);
}

struct multiplications {
    size_t calls;
};

/* In double, and with what a BLAS asks for. */
static void multiply(void *context, size_t m, size_t n, size_t k, const float *a, size_t a_row,
                     size_t a_column, const float *b, size_t b_row, size_t b_column, float *out)
{
    struct multiplications *const count = context;
    count->calls++;
    assert_true(m > 0 && n > 0 && k > 0);
    assert_true(a_row == 1 || a_column == 1);
    assert_true(b_row == 1 || b_column == 1);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t p = 0; p < k; p++)
                sum += (double)a[i * a_row + p * a_column] * (double)b[p * b_row + j * b_column];
            out[i * n + j] = (float)sum;
        }
}

static size_t losses_with_products;

static void check_multiplier(struct feature_case *c)
{
    struct multiplications calls = { 0 };
    const ctkd_multiplier multiplier = { &calls, multiply };
    size_t count, again;
    float *alone = outputs_of(c, &count);
    c->multiplier = &multiplier;
    float *multiplied = outputs_of(c, &again);
    c->multiplier = NULL;
    float *after = outputs_of(c, &again);
    assert_memory_equal(alone, after, count * sizeof *alone); /* without it: the same bits */
    if (calls.calls == 0)
        assert_memory_equal(alone, multiplied, count * sizeof *alone);
    else
        check_relative(multiplied, alone, count, 2e-5);
    const char *const expected[] = { "nst", "fsp", "sp", "pkt", "srrl" };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strcmp(c->def->name, expected[i]) == 0) {
            assert_true(calls.calls > 0);
            losses_with_products++;
        }
    free(alone);
    free(multiplied);
    free(after);
}

static void products_of_others_agree(void **state)
{
    (void)state;
    losses_with_products = 0;
    for_each_case(check_multiplier);
    assert_true(losses_with_products >= 5);
}

static void check_repeats(struct feature_case *c)
{
    size_t count, again;
    float *first = outputs_of(c, &count);
    float *second = outputs_of(c, &again); /* what the first left behind must not matter */
    assert_int_equal(count, again);
    assert_memory_equal(first, second, count * sizeof *first);
    free(first);
    free(second);
}

static void a_second_call_gives_the_same(void **state)
{
    (void)state;
    for_each_case(check_repeats);
}

static void check_skipped(struct feature_case *c)
{
    const double loss = loss_of(c);
    ctkd_map maps[RECORDED_MAX];
    memcpy(maps, c->maps, sizeof maps);
    for (size_t i = 0; i < c->n_maps; i++)
        maps[i].dx = NULL;
    ctkd_loss_args args = feature_case_args(c);
    args.maps = maps;
    args.ds = args.dt = args.dtau = NULL;
    if (c->n_state)
        memcpy(c->state, c->fresh_state, c->n_state * sizeof *c->state);
    assert_int_equal(c->def->eval(c->config, &args), CTKD_OK);
    assert_true((double)c->loss == loss);
}

static void skipped_gradients_do_not_change_the_loss(void **state)
{
    (void)state;
    for_each_case(check_skipped);
}

/* --- a batch in parts */

/* Stands for what processes exchange. As they run in turn here, each is evaluated twice: first it
   leaves its terms, then it receives those of all. */
struct exchange {
    size_t n, width, calls;
    double *terms; /* [n, width] */
    bool leaving;
    ctkd_part part; /* of the process that is evaluated */
};

static ctkd_status exchange_terms(void *context, size_t width, double *values)
{
    struct exchange *const e = context;
    e->calls++;
    if (!e->terms) {
        e->width = width;
        e->terms = malloc(e->n * width * sizeof *e->terms);
    }
    assert_true(e->terms && width == e->width);
    const size_t at = e->part.first * width;
    if (e->leaving)
        memcpy(e->terms + at, values + at, e->part.count * width * sizeof *values);
    else
        memcpy(values, e->terms, e->n * width * sizeof *values);
    return CTKD_OK;
}

/* Values of one sample of a map; 0: a parameter. */
static size_t of_sample(const struct feature_case *c, size_t map)
{
    return c->reads[map].value.parameter ? 0 : feature_case_values(c, map) / c->n;
}

/* Evaluates one part, while the rows of the others are NaN. */
static ctkd_status evaluate_part(struct feature_case *c, const ctkd_part *part)
{
    float *kept[RECORDED_MAX];
    for (size_t i = 0; i < c->n_maps; i++) {
        const size_t count = feature_case_values(c, i), size = of_sample(c, i);
        float *const x = (float *)c->maps[i].x;
        kept[i] = malloc(count * sizeof *x);
        assert_non_null(kept[i]);
        memcpy(kept[i], x, count * sizeof *x);
        for (size_t j = 0; size && j < count; j++)
            if (j < part->first * size || j >= (part->first + part->count) * size)
                x[j] = NAN;
    }
    c->part = part;
    const ctkd_status status = feature_case_evaluate(c);
    c->part = NULL;
    for (size_t i = 0; i < c->n_maps; i++) {
        memcpy((float *)c->maps[i].x, kept[i], feature_case_values(c, i) * sizeof(float));
        free(kept[i]);
    }
    return status;
}

/* The gradients of the part's rows and of parameters are those of all; others were not written. */
static void check_part(const struct feature_case *c, const ctkd_part *part, const float *all)
{
    assert_memory_equal(&c->loss, all, sizeof c->loss);
    all++;
    for (size_t i = 0; i < c->n_maps; i++) {
        const size_t count = feature_case_values(c, i), size = of_sample(c, i);
        if (!c->maps[i].dx)
            continue;
        for (size_t j = 0; j < count; j++) {
            const bool own =
                !size || (j >= part->first * size && j < (part->first + part->count) * size);
            if (own ? memcmp(&c->maps[i].dx[j], &all[j], sizeof *all) != 0
                    : !isnan(c->maps[i].dx[j]))
                fail_msg("%s, map %zu, value %zu: %.9g, of all samples %.9g", c->def->name, i, j,
                         (double)c->maps[i].dx[j], (double)all[j]);
        }
        all += count;
    }
}

static size_t losses_by_parts;

static void check_parts(struct feature_case *c)
{
    static const struct {
        size_t first, count;
    } parts[] = { { 0, 2 }, { 2, 0 }, { 2, 1 }, { 3, 2 } };
    if (!(c->def->properties & CTKD_BY_PARTS))
        return;
    assert_int_equal(c->def->needs, CTKD_NEEDS_MAPS);
    size_t count;
    float *const all = outputs_of(c, &count);
    struct exchange e = { .n = c->n, .leaving = true };
    for (size_t round = 0; round < 2; round++, e.leaving = false)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            e.part = (ctkd_part){ parts[i].first, parts[i].count, &e, exchange_terms };
            assert_int_equal(evaluate_part(c, &e.part), CTKD_OK);
            if (round > 0)
                check_part(c, &e.part, all);
        }
    assert_int_equal(e.calls, 2 * sizeof parts / sizeof *parts);
    losses_by_parts++;
    free(e.terms);
    free(all);
}

static void parts_of_a_batch_give_the_bits_of_all(void **state)
{
    (void)state;
    losses_by_parts = 0;
    for_each_case(check_parts);
    assert_true(losses_by_parts >= 10);
}

static ctkd_status fail_to_exchange(void *context, size_t width, double *values)
{
    (void)context;
    (void)width;
    (void)values;
    return CTKD_EBACKEND;
}

static void check_failed_exchange(struct feature_case *c)
{
    const ctkd_part part = { 1, 2, NULL, fail_to_exchange };
    if (!(c->def->properties & CTKD_BY_PARTS))
        return;
    c->part = &part;
    assert_int_equal(feature_case_evaluate(c), CTKD_EBACKEND);
    assert_true(isnan(c->loss)); /* not written */
    c->part = NULL;
}

static void a_failed_exchange_is_returned(void **state)
{
    (void)state;
    for_each_case(check_failed_exchange);
}

/* --- edges */

static void check_small_batches(struct feature_case *c)
{
    for (c->n = 1; c->n <= 2; c->n++) {
        assert_int_equal(feature_case_evaluate(c), CTKD_OK);
        feature_case_check_finite(c);
        if (c->n >= c->def->batch_min)
            continue;
        assert_true(c->loss == 0);
        for (size_t i = 0; i < c->n_maps; i++)
            for (size_t j = 0; c->maps[i].dx && j < feature_case_values(c, i); j++)
                assert_true(c->maps[i].dx[j] == 0);
    }
}

static void a_short_last_batch_has_finite_values(void **state)
{
    (void)state;
    for_each_case(check_small_batches);
}

static void scale_maps(struct feature_case *c, enum ctkd_side side, float factor)
{
    for (size_t i = 0; i < c->n_maps; i++)
        if (c->reads[i].value.side == side && !c->reads[i].value.parameter)
            for (size_t j = 0; j < feature_case_values(c, i); j++)
                ((float *)c->maps[i].x)[j] *= factor;
}

/* Large, and dead: all zero in one sample, one network or both. */
static void check_extremes(struct feature_case *c)
{
    for (size_t i = 0; i < c->n_maps; i++)
        if (!c->reads[i].value.parameter)
            memset((float *)c->maps[i].x, 0, feature_case_values(c, i) / c->n * sizeof(float));
    for (size_t i = 0; i < 4; i++) {
        const float factors[] = { 1, 1e4f, 0, 0 };
        scale_maps(c, i % 2 ? CTKD_TEACHER : CTKD_STUDENT, factors[i]);
        assert_int_equal(feature_case_evaluate(c), CTKD_OK);
        feature_case_check_finite(c);
    }
}

static void dead_and_large_features_have_finite_values(void **state)
{
    (void)state;
    for_each_case(check_extremes);
}

static double largest_gradient(struct feature_case *c)
{
    double largest = 0;
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    feature_case_check_finite(c);
    for (size_t i = 0; i < c->n_maps; i++)
        for (size_t j = 0; c->maps[i].dx && j < feature_case_values(c, i); j++)
            largest = fmax(largest, fabs((double)c->maps[i].dx[j]));
    return largest;
}

enum degeneracy { SAMPLE_OF_ZEROS, SAMPLES_THAT_COINCIDE, MAPS_WITHOUT_CONTRAST };

static void degenerate(float *x, const ctkd_map *map, size_t n, enum degeneracy how)
{
    const size_t of_one = map->c * map->h * map->w, places = map->h * map->w;
    if (how == SAMPLE_OF_ZEROS)
        memset(x, 0, of_one * sizeof *x);
    else if (how == SAMPLES_THAT_COINCIDE)
        memcpy(x + of_one, x, of_one * sizeof *x);
    else
        for (size_t i = 0; i < n * of_one; i++)
            x[i] = x[i / places * places];
}

/* Where a direction, a distance or a relation is not defined, the gradient is no larger for it: a
   division by a guard against 0 would make it 1e7 or 1e12. */
static void check_degenerate(struct feature_case *c, enum degeneracy how, enum ctkd_side side)
{
    const double usual = largest_gradient(c);
    for (size_t i = 0; i < c->n_maps; i++)
        if (c->reads[i].value.side == side && !c->reads[i].value.parameter)
            degenerate((float *)c->maps[i].x, &c->maps[i], c->n, how);
    const double found = largest_gradient(c);
    if (found > 30 * usual)
        fail_msg("%s, degeneracy %d of side %d: a gradient of %g, expected about %g", c->def->name,
                 (int)how, (int)side, found, usual);
}

static void check_students_of_zeros(struct feature_case *c)
{
    check_degenerate(c, SAMPLE_OF_ZEROS, CTKD_STUDENT);
}
static void check_teachers_of_zeros(struct feature_case *c)
{
    check_degenerate(c, SAMPLE_OF_ZEROS, CTKD_TEACHER);
}
static void check_students_that_coincide(struct feature_case *c)
{
    check_degenerate(c, SAMPLES_THAT_COINCIDE, CTKD_STUDENT);
}
static void check_teachers_that_coincide(struct feature_case *c)
{
    check_degenerate(c, SAMPLES_THAT_COINCIDE, CTKD_TEACHER);
}
static void check_students_without_contrast(struct feature_case *c)
{
    check_degenerate(c, MAPS_WITHOUT_CONTRAST, CTKD_STUDENT);
}
static void check_teachers_without_contrast(struct feature_case *c)
{
    check_degenerate(c, MAPS_WITHOUT_CONTRAST, CTKD_TEACHER);
}

static void what_is_not_defined_has_no_large_gradient(void **state)
{
    (void)state;
    for_each_case(check_students_of_zeros);
    for_each_case(check_teachers_of_zeros);
    for_each_case(check_students_that_coincide);
    for_each_case(check_teachers_that_coincide);
    for_each_case(check_students_without_contrast);
    for_each_case(check_teachers_without_contrast);
}

/* --- errors */

static void check_refused(struct feature_case *c, ctkd_loss_args args, bool null)
{
    size_t count = collect(c, NULL);
    float *before = malloc(count * sizeof *before), *after = malloc(count * sizeof *after);
    assert_true(before && after);
    (void)collect(c, before);
    const ctkd_status status = c->def->eval(c->config, &args);
    (void)collect(c, after);
    if (status != CTKD_EINVAL && (null || status != CTKD_ESHAPE))
        fail_msg("%s, stage %u: status %d", c->def->name, c->stage, (int)status);
    assert_memory_equal(before, after, count * sizeof *before);
    free(before);
    free(after);
}

#define REFUSE(null, ...)                                                                          \
    do {                                                                                           \
        ctkd_loss_args a = feature_case_args(c);                                                   \
        __VA_ARGS__;                                                                               \
        check_refused(c, a, null);                                                                 \
    } while (0)

static void check_wrong_maps(struct feature_case *c)
{
    ctkd_map maps[RECORDED_MAX];
    REFUSE(true, a.maps = NULL);
    REFUSE(false, a.n_maps = 0);
    REFUSE(false, a.n_maps--);
    for (size_t i = 0; i < c->n_maps; i++) {
        memcpy(maps, c->maps, sizeof maps);
        maps[i].x = NULL;
        REFUSE(true, a.maps = maps);
        maps[i].x = c->maps[i].x;
        maps[i].c = 0;
        REFUSE(false, a.maps = maps);
        maps[i].c = c->maps[i].c;
        maps[i].w = 0;
        REFUSE(false, a.maps = maps);
    }
}

static void check_wrong_parts(struct feature_case *c)
{
    static const ctkd_part wrong[] = {
        { 0, 1, NULL, NULL },
        { 0, FEATURE_BATCH + 1, NULL, fail_to_exchange },
        { FEATURE_BATCH, 1, NULL, fail_to_exchange },
        { SIZE_MAX, 1, NULL, fail_to_exchange },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        REFUSE(true, a.part = &wrong[i]);
}

static void check_errors(struct feature_case *c)
{
    const unsigned needs = c->def->needs;
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    REFUSE(true, a.n = 0);
    REFUSE(true, a.loss = NULL);
    if (needs & CTKD_NEEDS_MAPS)
        check_wrong_maps(c);
    if (c->def->properties & CTKD_BY_PARTS)
        check_wrong_parts(c);
    if (c->workspace)
        REFUSE(true, a.workspace = NULL);
    if (c->state)
        REFUSE(true, a.state = NULL);
    if (needs & CTKD_NEEDS_LOGITS) {
        REFUSE(true, a.s = NULL);
        REFUSE(true, a.t = NULL);
    }
    if (needs & CTKD_NEEDS_LABELS)
        REFUSE(true, a.labels = NULL);
    if (needs & CTKD_NEEDS_HEAD)
        REFUSE(true, a.head = NULL);
    if (needs & CTKD_NEEDS_IDS) {
        REFUSE(true, a.ids = NULL);
        REFUSE(true, a.samples = NULL);
    }
}

static void every_loss_refuses_bad_arguments_and_writes_nothing(void **state)
{
    (void)state;
    for_each_case(check_errors);
}

static void check_overflow(struct feature_case *c)
{
    const ctkd_map huge = { .c = SIZE_MAX / 8, .h = SIZE_MAX / 8, .w = SIZE_MAX / 8 };
    ctkd_map maps[RECORDED_MAX];
    for (size_t i = 0; i < c->n_maps; i++)
        maps[i] = huge;
    const ctkd_loss_shape shape = {
        .n = SIZE_MAX, .k = 64, .maps = maps, .n_maps = c->n_maps, .samples = SIZE_MAX
    };
    size_t values;
    if (c->def->workspace)
        assert_int_equal(ctkd_loss_workspace(c->def, c->config, &shape, &values), CTKD_ERANGE);
    if (c->def->state)
        assert_int_equal(ctkd_loss_state(c->def, c->config, &shape, &values), CTKD_ERANGE);
}

static void memory_that_no_size_can_say_is_refused(void **state)
{
    (void)state;
    for_each_case(check_overflow);
}

static void plans_of_networks_without_maps_are_refused_or_read_the_vector(void **state)
{
    (void)state;
    static struct recording r;
    const ctkd_map vector = { .c = 3, .h = 1, .w = 1 };
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!(*def)->plan)
            continue;
        _Alignas(16) char config[256];
        ctkd_options_defaults((*def)->options, config);
        recording_start(&r, &vector, 1, &vector, 1);
        const ctkd_status status = (*def)->plan(config, &r.builder);
        assert_int_equal(status, r.builder.status);
        if (status == CTKD_OK)
            assert_true(r.n_reads >= 2);
        else
            assert_true(status == CTKD_ESHAPE && strlen(r.builder.message) > 0);
    }
}

static void fsp_says_which_channels_differ(void **state)
{
    (void)state;
    static struct recording r;
    const ctkd_map student[] = { { .c = 3, .h = 4, .w = 4 },
                                 { .c = 5, .h = 4, .w = 4 },
                                 { .c = 5, .h = 1, .w = 1 } };
    const ctkd_map teacher[] = { { .c = 3, .h = 4, .w = 4 },
                                 { .c = 7, .h = 4, .w = 4 },
                                 { .c = 7, .h = 1, .w = 1 } };
    recording_start(&r, student, 3, teacher, 3);
    assert_int_equal(ctkd_loss_find("fsp")->plan(NULL, &r.builder), CTKD_ESHAPE);
    assert_non_null(strstr(r.builder.message, "feature 1"));
    assert_non_null(strstr(r.builder.message, "5 channels"));
    assert_non_null(strstr(r.builder.message, "teacher 7"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_central_differences),
        cmocka_unit_test(every_loss_has_the_properties_that_it_declares),
        cmocka_unit_test(results_do_not_depend_on_threads),
        cmocka_unit_test(products_of_others_agree),
        cmocka_unit_test(a_second_call_gives_the_same),
        cmocka_unit_test(parts_of_a_batch_give_the_bits_of_all),
        cmocka_unit_test(a_failed_exchange_is_returned),
        cmocka_unit_test(skipped_gradients_do_not_change_the_loss),
        cmocka_unit_test(a_short_last_batch_has_finite_values),
        cmocka_unit_test(dead_and_large_features_have_finite_values),
        cmocka_unit_test(what_is_not_defined_has_no_large_gradient),
        cmocka_unit_test(every_loss_refuses_bad_arguments_and_writes_nothing),
        cmocka_unit_test(memory_that_no_size_can_say_is_refused),
        cmocka_unit_test(plans_of_networks_without_maps_are_refused_or_read_the_vector),
        cmocka_unit_test(fsp_says_which_channels_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
