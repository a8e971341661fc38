/* Every method of the registry on two real networks: the gradient of its loss through its adaptors
   and the student, its stages, its state. */
#include "support/check.h"
#include "support/next_batch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "nn/models/models.h"
#include "support/temp_files.h"
#include "support/tiny.h"

/* Of equal and of other widths, so that adaptors have something to do. */
static const char *const teachers[] = { "resnet8", "resnet8x4" };

/* A run of one method alone on the folder's data, whose student is a resnet8. */
static struct ctkd__config *config_of(const char *folder, const ctkd_loss_def *def,
                                      const char *teacher, const char *settings)
{
    char all[2048];
    struct ctkd__network_info info = tiny_network_info();
    snprintf(info.network, sizeof info.network, "%s", teacher);
    tiny_data_write(folder, 64, 20);
    tiny_network_write(temp_path(folder, "t.safetensors"), 77, &info);
    snprintf(all, sizeof all,
             "teacher.path=%s method.name=%s method.weight=1 method.ce_weight=0 "
             "method.kd_weight=0 temperature.kind=fixed data.augment=none %s",
             temp_path(folder, "t.safetensors"), def->name, settings);
    return tiny_small_config(folder, all);
}

static float *copy_of(const float *values, size_t n)
{
    float *copy = malloc((n + 1) * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

/* The loss of a batch and the gradient that it leaves, as a step without movement (lr 0). */
static double loss_of(struct ctkd__session *session, struct ctkd__training_step *step,
                      const struct ctkd__batch *batch, const float *method_state)
{
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    memcpy(session->state.method_state, method_state,
           session->state.n_method_state * sizeof *method_state);
    check_ok(ctkd__step_run(step, batch, 1, 0, &report, &err), &err);
    return (double)report.losses[0];
}

static void sum_gradient(const struct ctkd__session *session, const struct ctkd__training *training,
                         float *gradient)
{
    const size_t n = session->weights->n_values;
    const float *const strong = ctkd__step_strong_gradient(session->step);
    for (size_t i = 0; i < n; i++)
        gradient[i] = strong && training == session->training ? strong[i] : 0;
    for (size_t w = 0; w < ctkd__workers_count(session->engine.workers); w++)
        for (size_t i = 0; i < n; i++)
            gradient[i] += ctkd__training_gradient(training, w)[i];
}

/* Along its own gradient a loss rises by its norm. */
static void check_along_gradient(struct ctkd__session *session, unsigned stage)
{
    const bool initial = stage == CTKD_STAGE_INITIAL;
    struct ctkd__training_step *const step = initial ? session->initial_step : session->step;
    struct ctkd__training *const training = initial ? session->initial_training : session->training;
    const struct ctkd__batch batch = first_batch(session->data.train);
    const size_t n = session->weights->n_values;
    session->state.stage = stage;
    float *method_state = copy_of(session->state.method_state, session->state.n_method_state);
    loss_of(session, step, &batch, method_state); /* what a first batch fixes is fixed now */
    free(method_state);
    method_state = copy_of(session->state.method_state, session->state.n_method_state);
    float *const x = copy_of(session->weights->values, n), *const g = copy_of(x, n);
    const double loss = loss_of(session, step, &batch, method_state);
    sum_gradient(session, training, g);
    double norm = 0;
    for (size_t i = 0; i < n; i++)
        norm += (double)g[i] * (double)g[i];
    norm = sqrt(norm);
    const char *const name = session->methods.items[0].def->name;
    if (!(norm > 0) || !isfinite(norm))
        fail_msg("%s: gradient of norm %g, expected above 0", name, norm);
    /* The best of several steps: a short one drowns in rounding, a long one meets bends. */
    double best = INFINITY;
    for (double relative = 1e-1; relative > 2e-4; relative /= 2) {
        const double h = relative * loss / norm;
        double sides[2];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < n; i++)
                session->weights->values[i] =
                    (float)((double)x[i] + (side ? h : -h) * (double)g[i] / norm);
            sides[side] = loss_of(session, step, &batch, method_state);
        }
        best = fmin(best, fabs((sides[1] - sides[0]) / (2 * h) / norm - 1));
    }
    memcpy(session->weights->values, x, n * sizeof *x);
    if (!(best < 0.02))
        fail_msg("%s: the loss along its gradient rises by %.4f of what its norm says", name,
                 1 + best);
    free(method_state);
    free(x);
    free(g);
}

static void check_method(const char *folder, const ctkd_loss_def *def, const char *teacher)
{
    struct ctkd__config *config = config_of(folder, def, teacher, "");
    struct ctkd__session *session = tiny_session(config, true);
    const unsigned stages = def->stages ? def->stages : CTKD_STAGE_MAIN;
    if (stages & CTKD_STAGE_INITIAL)
        check_along_gradient(session, CTKD_STAGE_INITIAL);
    if (stages & CTKD_STAGE_MAIN)
        check_along_gradient(session, CTKD_STAGE_MAIN);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void the_loss_of_every_method_rises_along_its_gradient(void **state)
{
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (strcmp((*def)->name, "kd") == 0)
            continue; /* in a configuration it is method.kd_weight */
        check_method(*state, *def, teachers[0]);
        if ((*def)->plan && strcmp((*def)->name, "fsp") != 0) /* fsp asks for equal widths */
            check_method(*state, *def, teachers[1]);
    }
}

static struct ctkd__graph *student_alone(const struct ctkd__session *session)
{
    const struct ctkd__network_info *const info = &session->info;
    const struct ctkd__model_args args = { info->channels, info->height, info->width,
                                           info->classes };
    struct ctkd__graph *graph;
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build(info->network, &args, &graph, &err), &err);
    return graph;
}

/* What leaves the run is the student: its names, its values, nothing of a method. */
static void adaptors_are_no_part_of_the_student(void **state)
{
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (strcmp((*def)->name, "kd") == 0)
            continue; /* in a configuration it is method.kd_weight */
        struct ctkd__config *config = config_of(*state, *def, teachers[0], "");
        struct ctkd__session *session = tiny_session(config, true);
        const struct ctkd__weights student = ctkd__session_student(session);
        struct ctkd__tensors list = { 0 };
        ctkd_error err = { 0 };
        check_ok(ctkd__weights_export(&student, &list, &err), &err);
        for (size_t i = 0; i < list.count; i++)
            assert_null(strstr(list.items[i].name, "adaptors"));
        struct ctkd__graph *const alone = student_alone(session);
        assert_int_equal(list.count, ctkd__graph_state_tensors(alone));
        assert_int_equal(session->graph->n_nodes, alone->n_nodes);
        assert_int_equal(session->graph->n_taps, alone->n_taps);
        assert_ptr_equal(session->graph->nodes, session->network->nodes); /* built once */
        ctkd__graph_destroy(alone);
        ctkd__tensors_fini(&list);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
}

/* In an initial stage the classifier rests; the student only moves where the method says so. */
static void an_initial_stage_moves_what_its_method_declares(void **state)
{
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!((*def)->stages & CTKD_STAGE_INITIAL))
            continue;
        struct ctkd__config *config = config_of(*state, *def, teachers[0], "optimizer.lr=0.01");
        struct ctkd__session *session = tiny_session(config, true);
        const struct ctkd__batch batch = first_batch(session->data.train);
        const struct ctkd__weights *const weights = session->weights;
        struct ctkd__step_report report;
        ctkd_error err = { 0 };
        assert_int_equal(session->state.stage, CTKD_STAGE_INITIAL);
        float *const before = copy_of(weights->values, weights->n_values);
        check_ok(ctkd__step_run(session->initial_step, &batch, 1, 1, &report, &err), &err);
        assert_true(isnan(report.loss_ce) && isfinite(report.loss) && report.loss > 0);
        for (int i = 0; i < session->graph->n_parameters; i++) {
            const struct ctkd__parameter *const p = &session->graph->parameters[i];
            const size_t at = weights->offsets[i];
            if (p->role > CTKD__ROLE_BIAS || p->rank < 2)
                continue;
            const bool moved = before[at] != weights->values[at];
            const bool classifier = p->node == session->graph->output;
            if (moved != ((*def)->initial_trains_student && !classifier))
                fail_msg("%s: %s has%s moved in the initial stage", (*def)->name, p->name,
                         moved ? "" : " not");
        }
        free(before);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
}

static bool all_zero(const struct ctkd__tensor *tensor)
{
    const float *const values = tensor->data;
    for (size_t i = 0; i < ctkd__tensor_elements(tensor); i++)
        if (values[i] != 0)
            return false;
    return true;
}

/* A step of a stage with weight decay: a parameter moves if a gradient arrives at it, and rests if
   the plan leaves it out. */
static void check_moves(struct ctkd__session *session, const char *method, unsigned stage)
{
    const bool initial = stage == CTKD_STAGE_INITIAL;
    const struct ctkd__batch batch = first_batch(session->data.train);
    struct ctkd__weights *const weights = session->weights;
    const struct ctkd__graph *const graph = weights->graph;
    struct ctkd__tensors gradient = { 0 };
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    float *const before = copy_of(weights->values, weights->n_values);
    session->state.stage = stage;
    check_ok(ctkd__step_run(initial ? session->initial_step : session->step, &batch, 1, 1, &report,
                            &err),
             &err);
    check_ok(ctkd__training_export_gradient(initial ? session->initial_training : session->training,
                                            &gradient, &err),
             &err);
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        if (p->role > CTKD__ROLE_BIAS)
            continue;
        const struct ctkd__tensor *const g = ctkd__tensors_find(&gradient, p->name);
        const size_t at = weights->offsets[i], n = ctkd__parameter_elements(p);
        assert_non_null(g);
        const bool moved = memcmp(before + at, weights->values + at, n * sizeof *before) != 0;
        if (all_zero(g) ? moved && !(session->adaptors->trained_in[i] & stage) : !moved)
            fail_msg("%s, stage %u: %s has%s moved", method, stage, p->name, moved ? "" : " not");
    }
    free(before);
    ctkd__tensors_fini(&gradient);
}

static void a_parameter_moves_where_a_gradient_arrives(void **state)
{
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!(*def)->plan)
            continue;
        struct ctkd__config *config =
            config_of(*state, *def, teachers[0], "optimizer.lr=0.01 optimizer.weight_decay=0.1");
        struct ctkd__session *session = tiny_session(config, true);
        if (session->initial_step)
            check_moves(session, (*def)->name, CTKD_STAGE_INITIAL);
        check_moves(session, (*def)->name, CTKD_STAGE_MAIN);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
}

/* Two methods on one feature: their gradients add up. */
static void gradients_of_several_methods_add_up(void **state)
{
    const char *const names[] = { "sp,at", "sp", "at" };
    float *sums[3];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        char settings[64];
        snprintf(settings, sizeof settings, "method.name=%s method.weight=%s", names[i],
                 i == 0   ? "3,50"
                 : i == 1 ? "3"
                          : "50");
        struct ctkd__config *config = config_of(*state, ctkd_loss_list()[0], teachers[0], settings);
        struct ctkd__session *session = tiny_session(config, true);
        const struct ctkd__batch batch = first_batch(session->data.train);
        n = session->weights->n_values;
        loss_of(session, session->step, &batch, session->state.method_state);
        sums[i] = copy_of(session->weights->values, n);
        sum_gradient(session, session->training, sums[i]);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
    for (size_t i = 0; i < n; i++)
        sums[1][i] += sums[2][i];
    check_relative(sums[0], sums[1], n, 1e-5);
    for (size_t i = 0; i < 3; i++)
        free(sums[i]);
}

/* The KD loss and that of sp in a step beside another method. */
static void losses_beside(const char *folder, const char *names, const char *settings,
                          float losses[2])
{
    char all[128];
    snprintf(all, sizeof all, "method.kd_weight=1 method.name=%s method.weight= %s", names,
             settings);
    struct ctkd__config *config = config_of(folder, ctkd_loss_list()[0], teachers[0], all);
    struct ctkd__session *session = tiny_session(config, true);
    const struct ctkd__batch batch = first_batch(session->data.train);
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    check_ok(ctkd__step_run(session->step, &batch, 1, 0, &report, &err), &err);
    losses[0] = report.loss_kd;
    losses[1] = report.losses[0];
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* One teacher for all: who asks for batch statistics asks for every method. */
static void methods_of_a_run_see_one_teacher(void **state)
{
    float alone[2], published[2], still[2];
    losses_beside(*state, "sp", "", alone);
    losses_beside(*state, "sp,ofd", "", published);
    losses_beside(*state, "sp,ofd", "method.ofd.batch_statistics=false", still);
    for (size_t i = 0; i < 2; i++) {
        check_close(still[i], (double)alone[i], 0, 0);
        if (!(fabs((double)(published[i] - alone[i])) > 1e-3 * fabs((double)alone[i])))
            fail_msg("loss %zu: %g with batch statistics, %g without: expected another", i,
                     (double)published[i], (double)alone[i]);
    }
}

static void networks_that_do_not_fit_a_method_are_refused_with_the_reason(void **state)
{
    static const struct {
        const char *method, *teacher, *reason;
    } cases[] = {
        { "fsp", "resnet8x4", "16" }, /* and the teacher's 32 */
        { "ofd", "ShuffleV2", "has no batch norm before its ReLU" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__config *config =
            config_of(*state, ctkd_loss_find(cases[i].method), cases[i].teacher, "");
        struct ctkd__session *session;
        ctkd_error err = { 0 };
        assert_int_equal(ctkd__session_open(config, true, NULL, &session, &err), CTKD_ESHAPE);
        assert_null(session);
        assert_non_null(strstr(err.message, cases[i].method));
        assert_non_null(strstr(err.message, cases[i].teacher));
        if (!strstr(err.message, cases[i].reason))
            fail_msg("found '%s', expected it to say '%s'", err.message, cases[i].reason);
        ctkd__config_destroy(config);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_loss_of_every_method_rises_along_its_gradient),
        TEST(adaptors_are_no_part_of_the_student),
        TEST(an_initial_stage_moves_what_its_method_declares),
        TEST(a_parameter_moves_where_a_gradient_arrives),
        TEST(gradients_of_several_methods_add_up),
        TEST(methods_of_a_run_see_one_teacher),
        TEST(networks_that_do_not_fit_a_method_are_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
