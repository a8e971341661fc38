/* Lists of methods, and the temperature that each trains with. */
#include "support/check.h"
#include "support/next_batch.h"

#include <stdio.h>

#include "ctkd/loss.h"
#include "run/preflight.h"
#include "support/temp_files.h"
#include "support/tiny.h"

enum { EPOCHS = 3 };

/* method.name=NAME with everything else by default, but for the size of the run. */
static struct ctkd__config *config_of(const char *folder, const char *name, const char *settings)
{
    char all[1024];
    snprintf(all, sizeof all, "teacher.path=%s method.name=%s train.epochs=%d %s",
             temp_path(folder, "t.safetensors"), name, EPOCHS, settings);
    return tiny_small_config(folder, all);
}

/* Every step of an epoch; *last is the report of the last one. A step whose loss, gradient or
   logits are not finite is an error. */
static void run_epoch(struct ctkd__session *session, struct ctkd__training_step *step,
                      uint64_t epoch, struct ctkd__step_report *last)
{
    struct ctkd__batch batch;
    ctkd_error err = { 0 };
    ctkd__loader_start(session->data.train, epoch, 0);
    while (next_batch(session->data.train, &batch)) {
        check_ok(ctkd__step_run(step, &batch, epoch, 1, last, &err), &err);
        assert_true(isfinite(last->loss));
    }
}

/* A teacher that has learned the data: one of drawn weights has hardly an opinion. */
static void write_files(const char *folder)
{
    const struct ctkd__network_info info = tiny_network_info();
    ctkd_error err = { 0 };
    tiny_data_write(folder, 64, 20);
    struct ctkd__config *config = tiny_config(folder, "data.augment=none optimizer.lr=0.05");
    struct ctkd__session *session = tiny_session(config, false);
    struct ctkd__step_report last;
    for (uint64_t epoch = 1; epoch <= 30; epoch++)
        run_epoch(session, session->step, epoch, &last);
    check_ok(
        ctkd__network_file_write(temp_path(folder, "t.safetensors"), session->weights, &info, &err),
        &err);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* Loss and tau of the last step of each epoch of the main stage. */
struct course {
    float loss[EPOCHS], tau[EPOCHS];
};

static struct course train(const char *folder, const char *method, const char *settings)
{
    struct ctkd__config *config = config_of(folder, method, settings);
    struct ctkd__step_report last;
    struct course course;
    struct ctkd__session *session = tiny_session(config, true);
    if (session->initial_step)
        run_epoch(session, session->initial_step, 1, &last);
    session->state.stage = CTKD_STAGE_MAIN;
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        run_epoch(session, session->step, epoch, &last);
        course.loss[epoch - 1] = last.loss;
        course.tau[epoch - 1] = last.tau_mean;
    }
    for (size_t i = 0; i < session->weights->n_values; i++)
        assert_true(isfinite(session->weights->values[i]));
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    return course;
}

static void every_method_stays_finite_with_every_kind_of_temperature(void **state)
{
    static const char *const kinds[] = { "temperature.kind=fixed", "temperature.kind=global",
                                         "temperature.kind=instance" };
    write_files(*state);
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            (void)train(*state, (*def)->name, kinds[i]);
}

/* By default a method has a temperature that it trains with. What grows with tau shows why:
   learned, tau is at its end within an epoch, and the loss goes up instead of down. */
static void the_default_temperature_of_every_method_trains(void **state)
{
    write_files(*state);
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        const struct course course = train(*state, (*def)->name, "");
        if (!((*def)->properties & CTKD_GROWS_WITH_TAU)) {
            assert_true(course.tau[EPOCHS - 1] != 4 && course.tau[EPOCHS - 1] < 20);
            continue;
        }
        assert_true(course.tau[0] == 4 && course.tau[EPOCHS - 1] == 4);
        assert_true(course.loss[EPOCHS - 1] < 0.5f * course.loss[0]);
        const struct course learned = train(*state, (*def)->name, "temperature.kind=global");
        assert_true(learned.tau[0] > 20 && learned.tau[EPOCHS - 1] > 20.9f);
        assert_true(learned.loss[EPOCHS - 1] > 10 * course.loss[0]);
    }
}

static ctkd_temperature_kind kind_of(const char *folder, const char *method, const char *settings)
{
    struct ctkd__config *config = config_of(folder, method, settings);
    const ctkd_temperature_kind kind = ctkd__methods_temperature_kind(config);
    ctkd__config_destroy(config);
    return kind;
}

static void a_temperature_of_kind_auto_follows_the_methods(void **state)
{
    assert_int_equal(kind_of(*state, "none", ""), CTKD_TEMPERATURE_GLOBAL);
    assert_int_equal(kind_of(*state, "pkt,dkd", ""), CTKD_TEMPERATURE_GLOBAL);
    assert_int_equal(kind_of(*state, "dist", ""), CTKD_TEMPERATURE_FIXED);
    assert_int_equal(kind_of(*state, "pkt,dist", ""), CTKD_TEMPERATURE_FIXED);
    assert_int_equal(kind_of(*state, "dist", "temperature.kind=global"), CTKD_TEMPERATURE_GLOBAL);
    assert_int_equal(kind_of(*state, "dist", "temperature.kind=instance"),
                     CTKD_TEMPERATURE_INSTANCE);
    assert_int_equal(kind_of(*state, "dist", "temperature.kind=auto"), CTKD_TEMPERATURE_FIXED);
}

/* What a run says of its temperature; NULL: nothing. */
static void check_said(const char *folder, const char *method, const char *settings,
                       const char *text, bool problem)
{
    static struct ctkd__findings findings;
    struct ctkd__config *config = config_of(folder, method, settings);
    const struct ctkd__finding *found = NULL;
    findings = (struct ctkd__findings){ 0 };
    struct ctkd__session *session = tiny_session(config, true);
    ctkd__preflight_session(session, &findings);
    for (size_t i = 0; i < findings.count; i++)
        if (strcmp(findings.items[i].check, "temperature") == 0)
            found = &findings.items[i];
    assert_true((found != NULL) == (text != NULL));
    if (found) {
        assert_non_null(strstr(found->text, text));
        assert_true(found->problem == problem && found->said == !problem);
    }
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void a_run_says_why_its_temperature_is_fixed(void **state)
{
    write_files(*state);
    check_said(*state, "dist", "", "fixed at 4: the loss of dist grows as tau^2", false);
    check_said(*state, "dist", "temperature.kind=global", "the loss of dist grows as tau^2", true);
    check_said(*state, "dist", "temperature.kind=fixed", NULL, false);
    check_said(*state, "dkd", "", NULL, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_method_stays_finite_with_every_kind_of_temperature),
        TEST(the_default_temperature_of_every_method_trains),
        TEST(a_temperature_of_kind_auto_follows_the_methods),
        TEST(a_run_says_why_its_temperature_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
