/* The selftest finds what is broken: the linker puts these functions in place of the real ones,
   and each damages one result while its switch is on. */
#include "support/check.h"

#include <stdio.h>

#include "nn/compile/inference.h"
#include "nn/compile/training.h"
#include "run/checkpoint.h"
#include "selftest/selftest.h"
#include "selftest/selftest_cases.h"
#include "support/scratch.h"
#include "train/sgd.h"

ctkd_status __real_ctkd_cross_entropy(size_t n, size_t k, const float *s, const int32_t *labels,
                                      float *loss, float *ds);
ctkd_status __real_ctkd__training_export_gradient(const struct ctkd__training *training,
                                                  struct ctkd__tensors *list, ctkd_error *err);
void __real_ctkd__sgd_update(const struct ctkd__sgd_group *groups, size_t n_groups,
                             struct ctkd__workers *workers);
ctkd_status __real_ctkd__checkpoint_load(struct ctkd__session *session, const char *command,
                                         const char *dir, uint64_t *log_bytes, char *note,
                                         size_t bytes, ctkd_error *err);

const ctkd_loss_def *const *__real_ctkd_loss_list(void);
const float *__real_ctkd__training_input_gradient(const struct ctkd__training *training, int node);
ctkd_status __real_ctkd__inference_run_outputs(struct ctkd__inference *inference, size_t n,
                                               const float *x, float *logits, float *const *outputs,
                                               ctkd_error *err);
void __real_ctkd__selftest_compute(const struct ctkd__reference *reference,
                                   const struct ctkd__node *node, size_t n, bool training,
                                   double *const *values, double *y);
int __real_ctkd__graph_shuffle(struct ctkd__graph *graph, int x, size_t groups);

/* Many runs: nothing here depends on a disk that keeps its word. */
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    (void)file;
    return 0;
}

static enum {
    NOTHING,
    LOSS,
    FEATURES,
    WEIGHT_GRADIENT,
    INPUT_GRADIENT,
    INFERENCE,
    DEFINITION,
    UNTRIED_OP,
    PATH,
    REPETITION,
    RESUMING,
    MEMORY
} broken;
static unsigned calls;

ctkd_status __wrap_ctkd_cross_entropy(size_t n, size_t k, const float *s, const int32_t *labels,
                                      float *loss, float *ds)
{
    const ctkd_status status = __real_ctkd_cross_entropy(n, k, s, labels, loss, ds);
    for (size_t i = 0; ds && broken == LOSS && i < n * k; i++)
        ds[i] *= 1.02f;
    return status;
}

ctkd_status __wrap_ctkd__training_export_gradient(const struct ctkd__training *training,
                                                  struct ctkd__tensors *list, ctkd_error *err)
{
    const ctkd_status status = __real_ctkd__training_export_gradient(training, list, err);
    const float factor = broken == WEIGHT_GRADIENT            ? 1.001f
                         : broken == PATH && calls++ % 2 == 0 ? 3 /* one path, not the other */
                                                              : 1;
    for (size_t i = 0; list->count && i < ctkd__tensor_elements(&list->items[0]); i++)
        ((float *)list->items[0].data)[i] *= factor;
    return status;
}

/* The first loss of features alone, one of whose gradients is 2 % too large. */
static const ctkd_loss_def *sound;

static ctkd_status eval_damaged(const void *config, const ctkd_loss_args *args)
{
    const ctkd_status status = sound->eval(config, args);
    for (size_t i = 0; i < args->n_maps; i++) {
        const ctkd_map *const map = &args->maps[i];
        for (size_t j = 0; map->dx && j < args->n * map->c * map->h * map->w; j++)
            map->dx[j] *= 1.02f;
        if (map->dx)
            break;
    }
    return status;
}

const ctkd_loss_def *const *__wrap_ctkd_loss_list(void)
{
    static ctkd_loss_def damaged;
    static const ctkd_loss_def *const list[] = { &damaged, NULL };
    if (broken != FEATURES)
        return __real_ctkd_loss_list();
    for (const ctkd_loss_def *const *def = __real_ctkd_loss_list(); *def; def++)
        if ((*def)->needs & CTKD_NEEDS_MAPS) {
            sound = *def;
            break;
        }
    damaged = *sound;
    damaged.eval = eval_damaged;
    return list;
}

/* Doubles one value of the first gradient that is asked for. */
const float *__wrap_ctkd__training_input_gradient(const struct ctkd__training *training, int node)
{
    static float damaged[3 * 20 * 5 * 5]; /* of the first op */
    const float *const gradient = __real_ctkd__training_input_gradient(training, node);
    if (broken != INPUT_GRADIENT)
        return gradient;
    memcpy(damaged, gradient, sizeof damaged);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        if (damaged[i] > 1) {
            damaged[i] *= 2;
            break;
        }
    return damaged;
}

ctkd_status __wrap_ctkd__inference_run_outputs(struct ctkd__inference *inference, size_t n,
                                               const float *x, float *logits, float *const *outputs,
                                               ctkd_error *err)
{
    const ctkd_status status =
        __real_ctkd__inference_run_outputs(inference, n, x, logits, outputs, err);
    if (broken == INFERENCE && calls++ == 0)
        outputs[0][0] = NAN;
    return status;
}

/* As if the engine's batch norm had another epsilon, in every way that it is computed. */
void __wrap_ctkd__selftest_compute(const struct ctkd__reference *reference,
                                   const struct ctkd__node *node, size_t n, bool training,
                                   double *const *values, double *y)
{
    __real_ctkd__selftest_compute(reference, node, n, training, values, y);
    for (size_t i = 0; broken == DEFINITION && node->op == CTKD__OP_BATCH_NORM &&
                       i < n * node->c * node->h * node->w;
         i++)
        y[i] *= 1.0001;
}

/* As if no graph of the selftest had this op. */
int __wrap_ctkd__graph_shuffle(struct ctkd__graph *graph, int x, size_t groups)
{
    return broken == UNTRIED_OP ? x : __real_ctkd__graph_shuffle(graph, x, groups);
}

void __wrap_ctkd__sgd_update(const struct ctkd__sgd_group *groups, size_t n_groups,
                             struct ctkd__workers *workers)
{
    __real_ctkd__sgd_update(groups, n_groups, workers);
    if (broken == REPETITION && ++calls == 7)
        groups[0].values[0] += 1e-3f;
}

ctkd_status __wrap_ctkd__checkpoint_load(struct ctkd__session *session, const char *command,
                                         const char *dir, uint64_t *log_bytes, char *note,
                                         size_t bytes, ctkd_error *err)
{
    const ctkd_status status =
        __real_ctkd__checkpoint_load(session, command, dir, log_bytes, note, bytes, err);
    if (broken == RESUMING)
        session->state.velocity[0] += 1;
    if (broken == MEMORY && session->state.n_method_state > 0)
        session->state.method_state[session->state.n_method_state - 1] += 1;
    return status;
}

struct found {
    size_t ok, failed;
    char first[700];
};

static void note_verdict(void *context, bool ok, const char *what, const char *figure)
{
    struct found *found = context;
    if (!ok && found->failed == 0)
        snprintf(found->first, sizeof found->first, "%s: %s", what, figure);
    found->ok += ok;
    found->failed += !ok;
}

static struct found run(void (*part)(struct ctkd__selftest *test))
{
    struct found found = { 0 };
    struct ctkd__selftest test = { scratch_path(""), note_verdict, &found, true, 0, 0 };
    calls = 0;
    part(&test);
    assert_int_equal(test.failures, found.failed);
    assert_int_equal(test.verdicts, found.ok + found.failed);
    return found;
}

static void check_found(const struct found *found, const char *begin)
{
    if (found->failed == 0 || strncmp(found->first, begin, strlen(begin)) != 0)
        fail_msg("%zu failures, the first is '%s', expected '%s'", found->failed, found->first,
                 begin);
}

/* The other parts pass in tests/cli/selftest.sh. */
static void sound_losses_pass(void **state)
{
    (void)state;
    broken = NOTHING;
    const struct found found = run(ctkd__selftest_losses);
    if (found.failed)
        fail_msg("%s", found.first);
    assert_true(found.ok >= 8);
}

static void a_wrong_gradient_of_a_loss_is_found(void **state)
{
    (void)state;
    broken = LOSS;
    const struct found found = run(ctkd__selftest_losses);
    check_found(
        &found,
        "loss cross_entropy: gradients: differ from central differences by at most 2.0e-02");
    assert_int_equal(found.failed, 1);
}

static void a_wrong_gradient_of_a_feature_is_found(void **state)
{
    (void)state;
    broken = FEATURES;
    const struct found found = run(ctkd__selftest_losses);
    check_found(&found, "loss ");
    assert_non_null(strstr(found.first, "at most 2.0e-02"));
    assert_int_equal(found.failed, 1);
}

static void a_wrong_gradient_of_an_ops_weights_is_found(void **state)
{
    (void)state;
    broken = WEIGHT_GRADIENT;
    const struct found found = run(ctkd__selftest_ops);
    check_found(&found,
                "op batch_norm: gradients differ from central differences by at most 1.0e-03");
}

static void one_wrong_value_of_an_ops_gradient_is_found(void **state)
{
    (void)state;
    broken = INPUT_GRADIENT;
    const struct found found = run(ctkd__selftest_ops);
    check_found(&found, "op relu: gradients ");
}

static void a_nan_that_comes_once_is_found(void **state)
{
    (void)state;
    broken = INFERENCE;
    const struct found found = run(ctkd__selftest_ops);
    check_found(&found, "op relu: gradients differ from central differences by at most 0.0e+00, "
                        "values from those in double by nan");
}

static void an_op_that_is_not_what_its_definition_says_is_found(void **state)
{
    (void)state;
    broken = DEFINITION;
    const struct found found = run(ctkd__selftest_ops);
    check_found(&found, "op batch_norm: gradients ");
    assert_non_null(strstr(found.first, "values from those in double by 1.0e-04"));
}

static void an_op_that_nothing_tries_is_a_failure(void **state)
{
    (void)state;
    broken = UNTRIED_OP;
    const struct found found = run(ctkd__selftest_ops);
    check_found(&found, "ops: tried: input conv ");
    assert_non_null(strstr(found.first, "; not tried: shuffle"));
    assert_int_equal(found.failed, 1);
}

static void a_path_that_differs_is_found(void **state)
{
    (void)state;
    broken = PATH;
    const struct found found = run(ctkd__selftest_networks);
    assert_true(found.failed >= 1);
    assert_non_null(strstr(found.first, "kernels: resnet8: differs from portable kernels by "));
}

static void runs_that_do_not_repeat_are_found(void **state)
{
    (void)state;
    broken = REPETITION;
    const struct found found = run(ctkd__selftest_runs);
    check_found(&found, "repetition: the final weights differ");
}

static void runs_that_resume_to_other_bits_are_found(void **state)
{
    (void)state;
    broken = RESUMING;
    const struct found found = run(ctkd__selftest_runs);
    check_found(&found, "resuming: distillation, method none: the final weights differ");
}

/* Of several methods in one run the one that did not resume is named. */
static void a_method_that_forgets_is_named(void **state)
{
    (void)state;
    broken = MEMORY;
    const struct found found = run(ctkd__selftest_runs);
    check_found(&found, "resuming: distillation, method crd: the final weights differ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_losses_pass),
        cmocka_unit_test(a_wrong_gradient_of_a_loss_is_found),
        cmocka_unit_test(a_wrong_gradient_of_a_feature_is_found),
        cmocka_unit_test(a_wrong_gradient_of_an_ops_weights_is_found),
        cmocka_unit_test(one_wrong_value_of_an_ops_gradient_is_found),
        cmocka_unit_test(a_nan_that_comes_once_is_found),
        cmocka_unit_test(an_op_that_is_not_what_its_definition_says_is_found),
        cmocka_unit_test(an_op_that_nothing_tries_is_a_failure),
        cmocka_unit_test(a_path_that_differs_is_found),
        cmocka_unit_test(runs_that_do_not_repeat_are_found),
        cmocka_unit_test(runs_that_resume_to_other_bits_are_found),
        cmocka_unit_test(a_method_that_forgets_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
