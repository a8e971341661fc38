#include "support/check.h"
#include "support/next_batch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctkd/loss.h"
#include "ctkd/plugin.h"
#include "nn/arena.h"
#include "support/temp_files.h"
#include "support/tiny.h"

enum { BATCH = 16 };

/* The folder's data and teacher with further settings. */
static struct ctkd__config *config_with(const char *folder, const char *settings)
{
    char all[2048];
    tiny_data_write(folder, 64, 20);
    const struct ctkd__network_info info = tiny_network_info();
    tiny_network_write(temp_path(folder, "t.safetensors"), 77, &info);
    snprintf(all, sizeof all, "teacher.path=%s %s", temp_path(folder, "t.safetensors"), settings);
    return tiny_config(folder, all);
}

static float *copy_of(const float *values, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

/* Losses of the first batch by the library's functions alone, and their gradient on the logits. */
struct expectation {
    float ce, kd, dkd, tau[BATCH], s[BATCH * TINY_CLASSES], t[BATCH * TINY_CLASSES];
    float ds[BATCH * TINY_CLASSES];
    size_t n_tau;
};

static void add(float weight, const float *part, float *sum)
{
    for (size_t i = 0; i < BATCH * TINY_CLASSES; i++)
        sum[i] += weight * part[i];
}

static void expect_losses(struct ctkd__session *session, const struct ctkd__batch *batch,
                          float dkd_weight, struct expectation *e)
{
    const struct ctkd__config *config = session->config;
    const size_t n = batch->n, k = TINY_CLASSES;
    float part[BATCH * TINY_CLASSES] = { 0 };
    ctkd_error err = { 0 };
    memset(e, 0, sizeof *e);
    check_ok(ctkd__training_forward_images(session->training, n, batch->x, e->s, &err), &err);
    check_ok(ctkd_cross_entropy(n, k, e->s, batch->labels, &e->ce, part), &err);
    add(session->teacher ? config->method.ce_weight : 1, part, e->ds);
    if (!session->teacher)
        return;
    ctkd_temperature *temperature = session->state.temperature;
    check_ok(ctkd__teacher_forward_evaluation(session->teacher, n, batch->x, e->t, &err), &err);
    e->n_tau = ctkd_temperature_count(temperature, n);
    check_ok(ctkd_temperature_forward(temperature, n, e->s, e->t, e->tau), &err);
    check_ok(ctkd_kd_loss(n, k, e->s, e->t, e->tau, e->n_tau, ctkd__config_kd_form(config), &e->kd,
                          part, NULL, NULL),
             &err);
    add(config->method.kd_weight, part, e->ds);
    check_ok(ctkd_dkd_loss(n, k, e->s, e->t, batch->labels, e->tau, e->n_tau, 1, 2, &e->dkd, part,
                           NULL, NULL),
             &err);
    add(dkd_weight, part, e->ds);
}

/* One training step against forward, losses, backward and SGD written out here. */
static void compare_step(const char *folder, const char *settings, bool distil, float dkd_weight)
{
    struct ctkd__config *config = config_with(folder, settings);
    struct ctkd__session *own = tiny_session(config, distil), *ref = tiny_session(config, distil);
    const struct ctkd__batch batch = first_batch(own->data.train),
                             same = first_batch(ref->data.train);
    struct ctkd__step_report report;
    struct expectation e;
    ctkd_error err = { 0 };
    check_ok(ctkd__step_run(own->step, &batch, 1, 0.5, &report, &err), &err);

    expect_losses(ref, &same, dkd_weight, &e);
    check_ok(ctkd__training_backward(ref->training, e.ds, &err), &err);
    const double lr = 0.5 * (double)config->optimizer.lr;
    const double decay = (double)config->optimizer.weight_decay;
    struct ctkd__weights *weights = ref->weights;
    for (size_t i = 0; i < weights->n_values; i++) {
        double g = decay * (double)weights->values[i];
        for (size_t w = 0; w < ctkd__workers_count(ref->engine.workers); w++)
            g += (double)ctkd__training_gradient(ref->training, w)[i];
        weights->values[i] -= (float)(lr * g);
    }
    check_all_close(own->weights->values, weights->values, weights->n_values, 1e-5, 1e-7);
    check_close(report.loss_ce, e.ce, 1e-6, 0);
    check_close(report.lr, lr, 1e-6, 0);
    double loss = (double)e.ce;
    if (distil) {
        check_close(report.loss_kd, e.kd, 1e-6, 0);
        loss = (double)config->method.ce_weight * (double)e.ce +
               (double)config->method.kd_weight * (double)e.kd + (double)dkd_weight * (double)e.dkd;
        double sum = 0;
        for (size_t i = 0; i < e.n_tau; i++)
            sum += (double)e.tau[i];
        check_close(report.tau_mean, sum / (double)e.n_tau, 1e-6, 0);
    } else {
        assert_true(isnan(report.loss_kd) && isnan(report.tau_mean));
    }
    if (dkd_weight > 0)
        check_close(report.loss_method, e.dkd, 1e-6, 0);
    else
        assert_true(isnan(report.loss_method));
    check_close(report.loss, loss, 1e-5, 0);
    ctkd__session_close(own);
    ctkd__session_close(ref);
    ctkd__config_destroy(config);
}

/* A step in groups of 6, 6 and 4 images against a forward and a backward pass of each alone, whose
   gradients are added by their share of the 16. */
static void compare_groups(const char *folder, const char *settings, bool distil)
{
    enum { GROUP = 6, PIXELS = TINY_SIDE * TINY_SIDE };
    struct ctkd__config *config = config_with(folder, settings);
    config->train.batch_norm_group = GROUP;
    struct ctkd__session *own = tiny_session(config, distil), *ref = tiny_session(config, distil);
    const struct ctkd__batch batch = first_batch(own->data.train),
                             same = first_batch(ref->data.train);
    struct ctkd__step_report report;
    struct expectation e;
    ctkd_error err = { 0 };
    check_ok(ctkd__step_run(own->step, &batch, 1, 1, &report, &err), &err);
    const size_t n_values = ref->weights->n_values;
    double *const gradient = calloc(n_values, sizeof *gradient), ce = 0, kd = 0;
    assert_non_null(gradient);
    for (size_t first = 0; first < BATCH; first += GROUP) {
        const size_t n = BATCH - first < GROUP ? BATCH - first : GROUP;
        const double share = (double)n / BATCH;
        const struct ctkd__batch part = { .n = n,
                                          .x = ctkd__batch_images_from(same.x, first * PIXELS),
                                          .labels = same.labels + first,
                                          .ids = same.ids + first };
        expect_losses(ref, &part, 0, &e);
        check_ok(ctkd__training_backward(ref->training, e.ds, &err), &err);
        for (size_t w = 0; w < ctkd__workers_count(ref->engine.workers); w++)
            for (size_t i = 0; i < n_values; i++)
                gradient[i] += share * (double)ctkd__training_gradient(ref->training, w)[i];
        ce += share * (double)e.ce;
        kd += share * (double)e.kd;
    }
    const double lr = (double)config->optimizer.lr, decay = (double)config->optimizer.weight_decay;
    for (size_t i = 0; i < n_values; i++)
        ref->weights->values[i] -=
            (float)(lr * (gradient[i] + decay * (double)ref->weights->values[i]));
    check_all_close(own->weights->values, ref->weights->values, n_values, 1e-5, 1e-7);
    assert_memory_equal(own->weights->buffers, ref->weights->buffers,
                        ref->weights->n_buffers * sizeof(float));
    check_close(report.loss_ce, ce, 1e-6, 0);
    if (distil)
        check_close(report.loss_kd, kd, 1e-6, 0);
    free(gradient);
    ctkd__session_close(own);
    ctkd__session_close(ref);
    ctkd__config_destroy(config);
}

static void step_in_groups_is_their_passes_written_out(void **state)
{
    compare_groups(*state, "data.augment=none", false);
    compare_groups(*state, "temperature.kind=fixed", true);
    compare_groups(*state, "temperature.kind=global", true);
}

/* A group of the batch or more is the batch: the same bits. */
static void a_group_of_all_images_changes_no_bit(void **state)
{
    struct ctkd__config *config = config_with(*state, "temperature.kind=global");
    struct ctkd__session *sessions[2];
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    for (int i = 0; i < 2; i++) {
        config->train.batch_norm_group = i ? BATCH : 0;
        sessions[i] = tiny_session(config, true);
        const struct ctkd__batch batch = first_batch(sessions[i]->data.train);
        check_ok(ctkd__step_run(sessions[i]->step, &batch, 1, 1, &report, &err), &err);
    }
    assert_memory_equal(sessions[0]->weights->values, sessions[1]->weights->values,
                        sessions[0]->weights->n_values * sizeof(float));
    for (int i = 0; i < 2; i++)
        ctkd__session_close(sessions[i]);
    ctkd__config_destroy(config);
}

static void step_on_labels_is_the_update_written_out(void **state)
{
    compare_step(*state, "", false, 0);
}

static void step_of_kd_is_the_update_written_out(void **state)
{
    compare_step(*state, "temperature.kind=fixed", true, 0);
    compare_step(*state, "temperature.kind=global", true, 0);
    compare_step(*state, "temperature.kind=instance", true, 0);
}

static void step_of_dkd_is_the_update_written_out(void **state)
{
    const char *dkd = "--distill dkd --dkd_alpha 1 --dkd_beta 2 -r 1 -a 0.5 -b 2";
    char settings[256];
    compare_step(*state, dkd, true, 2);
    snprintf(settings, sizeof settings, "%s temperature.kind=instance", dkd);
    compare_step(*state, settings, true, 2);
    snprintf(settings, sizeof settings, "%s method.warmup_epochs=8", dkd);
    compare_step(*state, settings, true, 2.0f / 8); /* epoch 1 of 8 */
}

static float theta_of(struct ctkd__session *session)
{
    float *values, *gradient;
    assert_int_equal(ctkd_temperature_parameters(session->state.temperature, &values, &gradient),
                     1);
    return values[0];
}

/* theta moves up the loss: by lr * (lambda * dL/dtheta - decay * theta). */
static void compare_theta(const char *folder, const char *settings, uint64_t epoch, double lr,
                          double decay)
{
    struct ctkd__config *config = config_with(folder, settings);
    struct ctkd__session *session = tiny_session(config, true);
    const struct ctkd__batch batch = first_batch(session->data.train);
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    const double before = (double)theta_of(session);
    check_close(before, 1, 0, 0);
    check_ok(ctkd__step_run(session->step, &batch, epoch, 1, &report, &err), &err);
    const double lambda = epoch < 10 ? (1 - cos(3.14159265358979 * (double)epoch / 10)) / 2 : 1;
    check_close(report.lambda, lambda, 1e-5, 0);
    check_close(report.tau_mean, 15.6211716, 1e-6, 0);
    const double sigmoid = 1 / (1 + exp(-1.0));
    const double slope = 20 * sigmoid * (1 - sigmoid);
    const double expected =
        before + lr * (lambda * (double)report.tau_gradient * slope - decay * before);
    assert_true(fabs((double)report.tau_gradient) > 1e-6);
    check_close((double)theta_of(session) - before, expected - before, 1e-3, 1e-7);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void theta_climbs_the_loss_with_the_students_options(void **state)
{
    compare_theta(*state, "optimizer.lr=0.2", 5, 0.2, 5e-4);
    compare_theta(*state, "optimizer.lr=0.2", 12, 0.2, 5e-4);
}

static void theta_may_have_options_of_its_own(void **state)
{
    compare_theta(*state, "temperature.lr=2 temperature.weight_decay=0", 5, 2, 0);
}

/* The temperature's course is that of a plugin that gets the same logits, and so that of CTKDLoss
   (tests/python/test_torch.py compares it with the plugin over three epochs, bit for bit). */
static void theta_of_three_epochs_is_that_of_the_plugin(void **state)
{
    struct ctkd__config *config = config_with(*state, "");
    struct ctkd__session *session = tiny_session(config, true);
    ctkd_plugin_config plugin_config = ctkd_plugin_defaults(BATCH, TINY_CLASSES);
    plugin_config.learning_rate = config->optimizer.lr;
    ctkd_plugin *plugin;
    check_ok(ctkd_plugin_create(&plugin_config, &plugin), NULL);
    float s[BATCH * TINY_CLASSES], t[BATCH * TINY_CLASSES], ds[BATCH * TINY_CLASSES], theta = 1;
    size_t steps = 0;
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        struct ctkd__batch batch;
        ctkd__loader_start(session->data.train, epoch, 0);
        for (; next_batch(session->data.train, &batch); steps++) {
            struct ctkd__step_report report;
            ctkd_plugin_report same;
            ctkd_error err = { 0 };
            check_ok(ctkd__training_forward_images(session->training, batch.n, batch.x, s, &err),
                     &err);
            check_ok(ctkd__teacher_forward_evaluation(session->teacher, batch.n, batch.x, t, &err),
                     &err);
            check_ok(ctkd_plugin_step(plugin, batch.n, s, t, batch.labels, epoch, ds, &same), NULL);
            check_ok(ctkd__step_run(session->step, &batch, epoch, 1, &report, &err), &err);
            check_close(report.loss, same.loss, 1e-6, 0);
            check_close(report.lambda, same.lambda, 1e-7, 0);
            check_ok(ctkd_plugin_theta_read(plugin, &theta), NULL);
            check_close(theta_of(session), theta, 1e-6, 0);
        }
    }
    assert_int_equal(steps, 12);
    assert_true(fabs((double)theta - 1) > 1e-3);
    ctkd_plugin_destroy(plugin);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void lambda_of_no_epochs_is_its_end(void **state)
{
    struct ctkd__config *config =
        tiny_config(*state, "temperature.curriculum_epochs=0 temperature.lambda_max=0.75");
    float lambda;
    ctkd_error err = { 0 };
    check_ok(ctkd__step_lambda(config, 1, &lambda), &err);
    check_close(lambda, 0.75, 0, 0);
    ctkd__config_destroy(config);
}

static void a_step_that_is_not_finite_is_named_and_changes_nothing(void **state)
{
    static const char *const kinds[] = { "fixed", "global", "instance" };
    for (size_t i = 0; i < 3; i++) {
        char settings[64];
        snprintf(settings, sizeof settings, "temperature.kind=%s", kinds[i]);
        struct ctkd__config *config = config_with(*state, settings);
        struct ctkd__session *session = tiny_session(config, true);
        const struct ctkd__batch batch = first_batch(session->data.train);
        struct ctkd__weights *teacher = session->teacher->weights;
        struct ctkd__step_report report;
        ctkd_error err = { 0 };
        check_ok(ctkd__pages_protect(teacher->values, teacher->n_values * sizeof(float), false),
                 &err);
        for (size_t j = 0; j < teacher->n_values; j++)
            teacher->values[j] = NAN;
        check_ok(ctkd__inference_load(session->teacher->inference, teacher, &err), &err);
        session->state.epoch_step = 41;
        const size_t n = session->weights->n_values;
        float *before = copy_of(session->weights->values, n);
        assert_int_equal(ctkd__step_run(session->step, &batch, 7, 1, &report, &err), CTKD_ENAN);
        char expected[96];
        snprintf(expected, sizeof expected,
                 "epoch 7, step 42: teacher's logit 0 of sample %llu is NaN",
                 (unsigned long long)batch.ids[0]);
        assert_non_null(strstr(err.message, expected));
        assert_memory_equal(before, session->weights->values, n * sizeof *before);
        free(before);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
}

static void student_that_is_not_finite_is_named(void **state)
{
    struct ctkd__config *config = config_with(*state, "");
    struct ctkd__session *session = tiny_session(config, false);
    const struct ctkd__batch batch = first_batch(session->data.train);
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    for (size_t i = 0; i < session->weights->n_values; i++)
        session->weights->values[i] = NAN;
    assert_int_equal(ctkd__step_run(session->step, &batch, 1, 1, &report, &err), CTKD_ENAN);
    assert_non_null(strstr(err.message, "epoch 1, step 1: student's logit 0 of sample "));
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void dkd_is_refused_for_two_classes(void **state)
{
    struct ctkd__config *config = config_with(*state, "--distill dkd -b 1");
    struct ctkd__session *session = tiny_session(config, true);
    const struct ctkd__step_args args = { .config = config,
                                          .stage = CTKD_STAGE_MAIN,
                                          .methods = &session->methods,
                                          .training = session->training,
                                          .workers = session->engine.workers,
                                          .state = &session->state,
                                          .teacher = session->teacher,
                                          .classes = 2 };
    struct ctkd__training_step *step;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__step_create(&args, &step, &err), CTKD_ERANGE);
    assert_null(step);
    assert_non_null(strstr(err.message, "dkd needs 3 classes"));
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* optimizer.clip_norm: without momentum and decay a step is as long as lr times the clipped norm.
 */
static void a_clipped_gradient_has_the_norm_that_was_asked_for(void **state)
{
    const char *const settings[] = { "optimizer.clip_norm=0.001", "optimizer.clip_norm=100000",
                                     "" };
    double lengths[3];
    for (size_t c = 0; c < 3; c++) {
        char all[256];
        snprintf(all, sizeof all, "optimizer.momentum=0 optimizer.weight_decay=0 optimizer.lr=2 %s",
                 settings[c]);
        struct ctkd__config *config = config_with(*state, all);
        struct ctkd__session *session = tiny_session(config, true);
        const struct ctkd__batch batch = first_batch(session->data.train);
        const size_t n = session->weights->n_values;
        float *before = copy_of(session->weights->values, n);
        struct ctkd__step_report report;
        ctkd_error err = { 0 };
        check_ok(ctkd__step_run(session->step, &batch, 1, 1, &report, &err), &err);
        lengths[c] = 0;
        for (size_t i = 0; i < n; i++)
            lengths[c] += pow((double)before[i] - (double)session->weights->values[i], 2);
        lengths[c] = sqrt(lengths[c]);
        free(before);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
    check_close((float)lengths[0], 2 * 0.001, 1e-3, 0);
    assert_true(lengths[1] == lengths[2] && lengths[2] > 0.01);
}

/* A child that writes into a protected block dies of it. */
static void protected_memory_cannot_be_written(void **state)
{
    (void)state;
    const size_t sizes[] = { 100, 5000, 3 << 20 };
    for (size_t i = 0; i < 3; i++) {
        volatile float *block = ctkd__pages_allocate(sizes[i]);
        assert_non_null(block);
        assert_int_equal(ctkd__pages_protect((void *)block, sizes[i], true), CTKD_OK);
        const pid_t child = fork();
        if (child == 0) {
            struct sigaction plain = { .sa_handler = SIG_DFL };
            sigaction(SIGSEGV, &plain, NULL);
            block[3] = 1;
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        assert_int_equal(ctkd__pages_protect((void *)block, sizes[i], false), CTKD_OK);
        block[3] = 1;
        ctkd__pages_release((void *)block, sizes[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(step_on_labels_is_the_update_written_out),
        TEST(step_in_groups_is_their_passes_written_out),
        TEST(a_group_of_all_images_changes_no_bit),
        TEST(step_of_kd_is_the_update_written_out),
        TEST(step_of_dkd_is_the_update_written_out),
        TEST(theta_climbs_the_loss_with_the_students_options),
        TEST(theta_may_have_options_of_its_own),
        TEST(theta_of_three_epochs_is_that_of_the_plugin),
        TEST(lambda_of_no_epochs_is_its_end),
        TEST(a_step_that_is_not_finite_is_named_and_changes_nothing),
        TEST(student_that_is_not_finite_is_named),
        TEST(dkd_is_refused_for_two_classes),
        cmocka_unit_test_setup_teardown(a_clipped_gradient_has_the_norm_that_was_asked_for,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test(protected_memory_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
