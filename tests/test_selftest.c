/* The selftest finds what is broken: the linker puts these functions in place of the real ones,
   and each damages one result while its switch is on. */
#include "support/check.h"

#include <stdio.h>

#include "nn/training.h"
#include "support/scratch.h"
#include "train/checkpoint.h"
#include "train/selftest.h"
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

/* Many runs: nothing here depends on a disk that keeps its word. */
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    (void)file;
    return 0;
}

static enum { NOTHING, LOSS, GRADIENT, REPETITION, RESUMING } broken;
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
    if (broken == GRADIENT && calls++ % 2 == 0) /* one path, not the other */
        for (size_t i = 0; i < ctkd__tensor_elements(&list->items[0]); i++)
            ((float *)list->items[0].data)[i] *= 3;
    return status;
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
    check_found(&found, "loss cross_entropy: gradients: error 2.0e-02");
    assert_int_equal(found.failed, 1);
}

static void a_wrong_gradient_of_a_network_is_found(void **state)
{
    (void)state;
    broken = GRADIENT;
    const struct found found = run(ctkd__selftest_networks);
    assert_true(found.failed >= 1); /* of one path, not of the other */
    assert_non_null(strstr(found.first, "resnet8"));
    assert_non_null(strstr(found.first, "gradients"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_losses_pass),
        cmocka_unit_test(a_wrong_gradient_of_a_loss_is_found),
        cmocka_unit_test(a_wrong_gradient_of_a_network_is_found),
        cmocka_unit_test(runs_that_do_not_repeat_are_found),
        cmocka_unit_test(runs_that_resume_to_other_bits_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
