/* Losses of features against PyTorch's autograd: tests/golden/relations.py and its like. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "support/feature_case.h"

/* Cases of golden/FILE by key, with at most one option other than the default. */
static const struct golden_case {
    const char *file, *key, *name, *option;
    double value;
} cases[] = {
    { "relations.txt", "pkt", "pkt", NULL, 0 },
    { "relations.txt", "sp", "sp", NULL, 0 },
    { "relations.txt", "at", "at", NULL, 0 },
    { "relations.txt", "at_4", "at", "power", 4 },
    { "relations.txt", "rkd", "rkd", NULL, 0 },
    { "relations.txt", "rkd_distance", "rkd", "angle", 0 },
    { "relations.txt", "nst", "nst", NULL, 0 },
    { "relations.txt", "cc", "cc", NULL, 0 },
    { "relations.txt", "fsp", "fsp", NULL, 0 },
    { "relations.txt", "kdsvd", "kdsvd", NULL, 0 },
    { "relations.txt", "kdsvd_2", "kdsvd", "k", 2 },
};

static const float *get(struct golden *golden, const char *key, size_t map, const char *what,
                        size_t count)
{
    char path[96];
    snprintf(path, sizeof path, "%s.map.%zu.%s", key, map, what);
    return golden_get(golden, path, count);
}

static bool has(struct golden *golden, const char *key, size_t map, const char *what)
{
    char path[96];
    snprintf(path, sizeof path, "%s.map.%zu.%s", key, map, what);
    return golden_count(golden, path) > 0;
}

static size_t get_shapes(struct golden *golden, const char *key, ctkd_map *shapes, bool *gradients)
{
    size_t count = 0;
    for (; has(golden, key, count, "shape"); count++) {
        const float *shape = get(golden, key, count, "shape", 3);
        assert_true(count < RECORDED_MAX);
        shapes[count] =
            (ctkd_map){ .c = (size_t)shape[0], .h = (size_t)shape[1], .w = (size_t)shape[2] };
        gradients[count] = has(golden, key, count, "dx");
    }
    assert_true(count > 0);
    return count;
}

static void check_case(struct golden *golden, const struct golden_case *g)
{
    ctkd_map shapes[RECORDED_MAX];
    bool gradients[RECORDED_MAX];
    const ctkd_loss_def *def = ctkd_loss_find(g->name);
    assert_non_null(def);
    struct feature_case *c = feature_case_of_maps(
        def, shapes, gradients, get_shapes(golden, g->key, shapes, gradients), g->option, g->value);
    for (size_t i = 0; i < c->n_maps; i++) {
        const size_t values = feature_case_values(c, i);
        memcpy((float *)c->maps[i].x, get(golden, g->key, i, "x", values), values * sizeof(float));
    }
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    char path[96];
    snprintf(path, sizeof path, "%s.loss", g->key);
    check_close(c->loss, *golden_get(golden, path, 1), 2e-6, 0);
    for (size_t i = 0; i < c->n_maps; i++)
        if (gradients[i]) {
            const size_t values = feature_case_values(c, i);
            check_relative(c->maps[i].dx, get(golden, g->key, i, "dx", values), values, 5e-6);
        }
    feature_case_close(c);
}

static void values_and_gradients_agree_with_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct golden *golden = golden_open(cases[i].file);
        check_case(golden, &cases[i]);
        golden_close(golden);
    }
}

/* Losses of golden/close.txt. `products`: of features, summed in float, of which the difference is
   what counts: some 1e-7 over the distance, and of the loss, which is squared differences, no digit
   need be left. */
static const struct close_case {
    const char *name;
    bool products;
} close_cases[] = {
    { "pkt", false },    { "sp", true },        { "at", false }, { "rkd", false },
    { "nst", true },     { "cc", false },       { "fsp", true }, { "kdsvd", false },
    { "fitnet", false }, { "reviewkd", false }, { "ft", false },
};

static void check_close_student(struct golden *golden, const struct close_case *p,
                                const char *distance)
{
    ctkd_map shapes[RECORDED_MAX];
    bool gradients[RECORDED_MAX];
    char key[64], path[96];
    const ctkd_loss_def *def = ctkd_loss_find(p->name);
    const double tolerance = p->products ? 2e-7 / strtod(distance, NULL) : 2e-7;
    assert_non_null(def);
    snprintf(key, sizeof key, "%s_%s", p->name, distance);
    struct feature_case *c = feature_case_of_maps(
        def, shapes, gradients, get_shapes(golden, key, shapes, gradients), NULL, 0);
    for (size_t i = 0; i < c->n_maps; i++) {
        const size_t values = feature_case_values(c, i);
        memcpy((float *)c->maps[i].x, get(golden, key, i, "x", values), values * sizeof(float));
    }
    assert_int_equal(feature_case_evaluate(c), CTKD_OK);
    snprintf(path, sizeof path, "%s.loss", key);
    check_close(c->loss, *golden_get(golden, path, 1), p->products ? tolerance : 1e-6,
                p->products ? 1e-7 : 0);
    for (size_t i = 0; i < c->n_maps; i++)
        if (gradients[i]) {
            const size_t values = feature_case_values(c, i);
            check_relative(c->maps[i].dx, get(golden, key, i, "dx", values), values, tolerance);
        }
    feature_case_close(c);
}

/* Every loss of the registry that declares to be zero where both are equal. */
static void a_student_close_to_its_teacher_costs_no_digits(void **state)
{
    (void)state;
    struct golden *golden = golden_open("close.txt");
    size_t n_zero = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        n_zero += (*def)->plan && (*def)->properties & CTKD_ZERO_WHEN_EQUAL;
    const size_t count = sizeof close_cases / sizeof *close_cases;
    for (size_t i = 0; i < count; i++) {
        check_close_student(golden, &close_cases[i], "1e-3");
        check_close_student(golden, &close_cases[i], "1e-4");
        n_zero -= (ctkd_loss_find(close_cases[i].name)->properties & CTKD_ZERO_WHEN_EQUAL) != 0;
    }
    assert_int_equal(n_zero, 0);
    golden_close(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_agree_with_pytorch),
        cmocka_unit_test(a_student_close_to_its_teacher_costs_no_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
