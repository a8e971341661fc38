/* Whole steps of the methods that read features, against PyTorch in float64
   (tests/golden/adaptors.py): the loss, and the gradient of every parameter of student and
   adaptors. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctkd/loss.h"
#include "ctkd/random.h"
#include "nn/models/models.h"
#include "support/temp_files.h"
#include "support/tiny.h"
#include "util/text.h"

/* As in adaptors.py and initial_stages.py. */
enum { N = 5, SIDE = 20, SAMPLES = 60, EMBEDDING = 128 };
enum kind { STUDENT, TEACHER, DIRECTION, PIXELS, BANK };
static const uint64_t ids[N] = { 3, 14, 15, 9, 26 };

/* Two networks, and the steps taken with them. */
struct pair {
    const char *folder, *student, *teacher;
    struct golden *golden;
    uint64_t seed;
    float *x;
    bool used[CTKD__OP_COUNT]; /* by the adaptors */
    bool stretched;            /* a transposed convolution had a stride */
};

/* --- draws */

static uint64_t stream(enum kind kind, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return (uint64_t)kind << 32 | hash;
}

static float draw_normal(const struct pair *pair, uint64_t major, size_t i)
{
    return ctkd_random_normal(pair->seed, CTKD_RANDOM_TEST, major, i);
}

static void draw_parameter(const struct pair *pair, enum kind kind,
                           const struct ctkd__parameter *parameter, float *values)
{
    const uint64_t major = stream(kind, parameter->name);
    const size_t n = ctkd__parameter_elements(parameter);
    const float he = (float)sqrt(2.0 / (double)(n / parameter->shape[0]));
    for (size_t i = 0; i < n; i++)
        if (ctkd__text_ends(parameter->name, "running_var"))
            values[i] = 0.75f + 0.5f * ctkd_random_uniform(pair->seed, CTKD_RANDOM_TEST, major, i);
        else if (parameter->rank > 1)
            values[i] = he * draw_normal(pair, major, i);
        else if (ctkd__text_ends(parameter->name, "weight"))
            values[i] = 1.0f + 0.125f * draw_normal(pair, major, i);
        else
            values[i] = 0.125f * draw_normal(pair, major, i);
}

/* Every parameter and statistic of the weights' graph. */
static void draw_weights(const struct pair *pair, enum kind kind, struct ctkd__weights *weights)
{
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { 0 };
    for (int i = 0; i < weights->graph->n_parameters; i++) {
        const struct ctkd__parameter *const parameter = &weights->graph->parameters[i];
        int64_t shape[4];
        for (int j = 0; j < 4; j++)
            shape[j] = (int64_t)parameter->shape[j];
        struct ctkd__tensor *tensor;
        check_ok(ctkd__tensors_add(&list, parameter->name, CTKD__F32, parameter->rank, shape,
                                   &tensor, &err),
                 &err);
        draw_parameter(pair, kind, parameter, tensor->data);
    }
    check_ok(ctkd__weights_import(weights, &list, &err), &err);
    ctkd__tensors_fini(&list);
}

/* CRD's two banks, before its first batch. */
static void draw_banks(const struct pair *pair, struct ctkd__run_state *state)
{
    static const char *const names[] = { "M1", "M2" };
    enum { BANK_VALUES = SAMPLES * EMBEDDING };
    assert_int_equal(state->n_method_state, 2 * BANK_VALUES + 2);
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < BANK_VALUES; i++)
            state->method_state[side * BANK_VALUES + i] =
                draw_normal(pair, stream(BANK, names[side]), i) / 8;
}

/* --- a pair of networks */

static void write_teacher(const struct pair *pair)
{
    struct ctkd__network_info info = tiny_network_info();
    snprintf(info.network, sizeof info.network, "%s", pair->teacher);
    info.height = info.width = SIDE;
    const struct ctkd__model_args args = { info.channels, SIDE, SIDE, info.classes };
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    ctkd_error err = { 0 };
    check_ok(ctkd__model_build(info.network, &args, &graph, &err), &err);
    check_ok(ctkd__weights_create(graph, 8, &weights, &err), &err);
    draw_weights(pair, TEACHER, weights);
    check_ok(
        ctkd__network_file_write(temp_path(pair->folder, "t.safetensors"), weights, &info, &err),
        &err);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
}

static void pair_init(struct pair *pair, const char *folder, const char *golden,
                      const char *student, const char *teacher)
{
    *pair = (struct pair){ .folder = folder, .student = student, .teacher = teacher };
    pair->golden = golden_open(golden);
    pair->seed = (uint64_t)golden_get(pair->golden, "seed", 1)[0];
    pair->x = malloc(N * SIDE * SIDE * sizeof *pair->x);
    assert_non_null(pair->x);
    for (size_t i = 0; i < N * SIDE * SIDE; i++)
        pair->x[i] = draw_normal(pair, stream(PIXELS, ""), i);
    tiny_data_write(folder, SAMPLES, 20);
    write_teacher(pair);
}

static void pair_fini(struct pair *pair)
{
    golden_check_all_read(pair->golden);
    golden_close(pair->golden);
    free(pair->x);
}

static struct ctkd__config *config_of(const struct pair *pair, const char *method,
                                      const char *settings)
{
    char all[2048];
    snprintf(all, sizeof all,
             "student.network=%s teacher.path=%s method.name=%s method.weight=1 "
             "method.ce_weight=0 method.kd_weight=0 temperature.kind=fixed data.augment=none "
             "data.pad_to=%d train.batch=%d %s",
             pair->student, temp_path(pair->folder, "t.safetensors"), method, SIDE, N, settings);
    return tiny_config(pair->folder, all);
}

/* --- a step */

static void note_ops(struct pair *pair, const struct ctkd__session *session)
{
    const struct ctkd__graph *const graph = session->network;
    for (int i = session->graph->n_nodes; i < graph->n_nodes; i++) {
        const struct ctkd__node *const node = &graph->nodes[i];
        pair->used[node->op] = true;
        pair->stretched |= node->op == CTKD__OP_TRANSPOSED_CONV && node->stride > 1;
    }
}

/* A step whose learning rate is lr_factor times the configuration's; its loss. */
static float run_step(const struct pair *pair, struct ctkd__session *session, unsigned stage,
                      double lr_factor)
{
    int32_t labels[N];
    for (size_t i = 0; i < N; i++)
        labels[i] = (int32_t)(ids[i] % TINY_CLASSES);
    const struct ctkd__batch batch = {
        .n = N, .x = ctkd__batch_images_of(pair->x), .labels = labels, .ids = ids
    };
    struct ctkd__step_report report;
    ctkd_error err = { 0 };
    session->state.stage = stage;
    check_ok(ctkd__step_run(stage == CTKD_STAGE_INITIAL ? session->initial_step : session->step,
                            &batch, 1, lr_factor, &report, &err),
             &err);
    return report.losses[0];
}

struct summary {
    double norm, product; /* with the random direction of its name */
};

static struct summary summarise(const struct pair *pair, const struct ctkd__tensor *tensor)
{
    const float *const values = tensor->data;
    const uint64_t major = stream(DIRECTION, tensor->name);
    struct summary s = { 0 };
    for (size_t i = 0; i < ctkd__tensor_elements(tensor); i++) {
        if (values[i] == 0) /* of what a loss does not reach all are: nothing to draw for */
            continue;
        const float u = ctkd_random_uniform(pair->seed, CTKD_RANDOM_TEST, major, i);
        s.norm += (double)values[i] * (double)values[i];
        s.product += (double)values[i] * (double)(2 * u - 1);
    }
    s.norm = sqrt(s.norm);
    return s;
}

/* How far a gradient is off, relative to its norm. That of a bias before a batch norm is 0, and
   what we have of it is rounding: 1e-6 of the largest gradient counts as 1e-4 there. */
static double error_of(const float *expected, struct summary found, double largest)
{
    const double norm = (double)expected[0];
    return fmax(fabs(found.norm - norm), fabs(found.product - (double)expected[1])) /
           (norm > 0 ? norm : 1e-2 * largest);
}

static void check_gradients(struct pair *pair, const char *run, const struct ctkd__tensors *list)
{
    struct summary *const found = malloc(list->count * sizeof *found);
    assert_non_null(found);
    double largest = 0;
    for (size_t i = 0; i < list->count; i++) {
        found[i] = summarise(pair, &list->items[i]);
        largest = fmax(largest, found[i].norm);
    }
    for (size_t i = 0; i < list->count; i++) {
        char key[160];
        snprintf(key, sizeof key, "%s.%s", run, list->items[i].name);
        const float *const expected = golden_get(pair->golden, key, 2);
        const double error = error_of(expected, found[i], largest);
        if (!(error < 1e-4))
            fail_msg("%s: gradient's norm and product with a direction are %.8g and %.8g, expected "
                     "%.8g and %.8g",
                     key, found[i].norm, found[i].product, (double)expected[0],
                     (double)expected[1]);
    }
    free(found);
}

static void check_stage(struct pair *pair, struct ctkd__session *session, const char *run,
                        unsigned stage)
{
    const bool initial = stage == CTKD_STAGE_INITIAL;
    struct ctkd__tensors gradient = { 0 };
    ctkd_error err = { 0 };
    char key[96];
    const float loss = run_step(pair, session, stage, 0);
    snprintf(key, sizeof key, "%s.loss", run);
    check_close(loss, golden_get(pair->golden, key, 1)[0], 1e-5, 0);
    check_ok(ctkd__training_export_gradient(initial ? session->initial_training : session->training,
                                            &gradient, &err),
             &err);
    check_gradients(pair, run, &gradient);
    ctkd__tensors_fini(&gradient);
}

/* `run`: what golden values call it. */
static void check_run(struct pair *pair, const ctkd_loss_def *def, const char *run,
                      const char *settings)
{
    struct ctkd__config *config = config_of(pair, def->name, settings);
    const unsigned stages = def->stages ? def->stages : CTKD_STAGE_MAIN;
    char initial[64];
    snprintf(initial, sizeof initial, "%s.initial", run);
    struct ctkd__session *session = tiny_session(config, true);
    note_ops(pair, session);
    draw_weights(pair, STUDENT, session->weights);
    if (session->state.n_method_state > 0)
        draw_banks(pair, &session->state);
    if (stages & CTKD_STAGE_INITIAL)
        check_stage(pair, session, initial, CTKD_STAGE_INITIAL);
    if (stages & CTKD_STAGE_MAIN)
        check_stage(pair, session, run, CTKD_STAGE_MAIN);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void check_method(struct pair *pair, const ctkd_loss_def *def)
{
    /* All samples of other classes, so that none is drawn. */
    const bool has_state = def->needs & CTKD_NEEDS_IDS;
    check_run(pair, def, def->name, has_state ? "method.crd.negatives=54" : "");
}

static void check_ofd_of_a_teacher_at_rest(struct pair *pair)
{
    check_run(pair, ctkd_loss_find("ofd"), "ofd_still", "method.ofd.batch_statistics=false");
}

static void check_refused(const struct pair *pair, const char *method)
{
    struct ctkd__config *config = config_of(pair, method, "");
    struct ctkd__session *session;
    ctkd_error err = { 0 };
    assert_int_equal(ctkd__session_open(config, true, NULL, &session, &err), CTKD_ESHAPE);
    ctkd__config_destroy(config);
}

static bool listed(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

/* Every method of the registry that reads features; `refused`: those that do not fit the two
   networks, which is checked too. */
static void check_every_method(struct pair *pair, const char *const *refused)
{
    size_t n_checked = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++) {
        if (!(*def)->plan)
            continue;
        if (listed(refused, (*def)->name))
            check_refused(pair, (*def)->name);
        else
            check_method(pair, *def);
        n_checked++;
    }
    assert_true(n_checked > 0);
}

/* --- tests */

static void steps_with_equal_networks_agree_with_pytorch(void **state)
{
    static const char *const refused[] = { NULL };
    struct pair pair;
    pair_init(&pair, *state, "adaptors_equal.txt", "resnet8", "resnet8");
    check_every_method(&pair, refused);
    assert_true(pair.used[CTKD__OP_PARAMETER] && pair.used[CTKD__OP_SIDE_INPUT]);
    pair_fini(&pair);
}

static void steps_with_a_wider_teacher_agree_with_pytorch(void **state)
{
    static const char *const refused[] = { "fsp", NULL };
    struct pair pair;
    pair_init(&pair, *state, "adaptors_wide.txt", "resnet8", "resnet8x4");
    check_every_method(&pair, refused);
    check_ofd_of_a_teacher_at_rest(&pair);
    pair_fini(&pair);
}

/* Maps of 20, 20, 10, 5 and of 10, 10, 5, 3, 2. */
static void steps_with_a_teacher_of_smaller_maps_agree_with_pytorch(void **state)
{
    static const char *const refused[] = { "ab", "fsp", "reviewkd", NULL };
    struct pair pair;
    pair_init(&pair, *state, "adaptors_small.txt", "resnet8", "MobileNetV2");
    check_every_method(&pair, refused);
    check_run(&pair, ctkd_loss_find("fitnet"), "fitnet_3", "method.fitnet.hint=3");
    assert_true(pair.used[CTKD__OP_POOL_TO]);
    pair_fini(&pair);
}

/* Maps of 20, 20, 10, 5 and of 20, 10, 5, 3: resized both ways, by halves and by 5 to 3. */
static void steps_with_maps_that_are_resized_agree_with_pytorch(void **state)
{
    struct pair pair;
    pair_init(&pair, *state, "adaptors_uneven.txt", "resnet8", "ShuffleV2");
    check_method(&pair, ctkd_loss_find("ab"));
    check_method(&pair, ctkd_loss_find("reviewkd"));
    assert_true(pair.used[CTKD__OP_RESIZE] && pair.used[CTKD__OP_SCALE_BY] &&
                pair.used[CTKD__OP_CONCAT] && pair.used[CTKD__OP_POOL_TO]);
    pair_fini(&pair);
}

/* Maps of 20, 10, 5, 2, 2 and of 20, 20, 10, 5. */
static void steps_with_a_teacher_of_larger_maps_agree_with_pytorch(void **state)
{
    struct pair pair;
    pair_init(&pair, *state, "adaptors_large.txt", "vgg8", "resnet8x4");
    check_method(&pair, ctkd_loss_find("fitnet"));
    assert_true(pair.stretched && !pair.used[CTKD__OP_POOL_TO]);
    check_run(&pair, ctkd_loss_find("fitnet"), "fitnet_3", "method.fitnet.hint=3");
    assert_true(pair.used[CTKD__OP_POOL_TO]);
    check_method(&pair, ctkd_loss_find("ofd"));
    check_ofd_of_a_teacher_at_rest(&pair);
    pair_fini(&pair);
}

/* --- the steps of an initial stage */

enum { STEPS = 12 };

/* Batch norms start at 1 and 0. */
static void reset_norms(struct ctkd__session *session)
{
    const struct ctkd__graph *const graph = session->weights->graph;
    for (int i = 0; i < graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &graph->parameters[i];
        if (graph->nodes[p->node].op != CTKD__OP_BATCH_NORM || p->role > CTKD__ROLE_BIAS)
            continue;
        float *const values = session->weights->values + session->weights->offsets[i];
        for (size_t j = 0; j < p->shape[0]; j++)
            values[j] = p->role == CTKD__ROLE_WEIGHT ? 1 : 0;
    }
}

/* Values after the steps against the golden ones, which float follows to some 2e-3 over these
   steps; how many did not move by a bit. Statistics are not compared. */
static size_t check_values(const struct pair *pair, const char *run,
                           const struct ctkd__tensors *before, const struct ctkd__tensors *after)
{
    size_t resting = 0;
    for (size_t i = 0; i < after->count; i++) {
        char key[160];
        const struct ctkd__tensor *const tensor = &after->items[i];
        snprintf(key, sizeof key, "%s.%s", run, tensor->name);
        if (golden_count(pair->golden, key) == 0)
            continue;
        const float *const expected = golden_get(pair->golden, key, 2);
        const struct summary found = summarise(pair, tensor);
        const double norm = (double)expected[0], product = (double)expected[1];
        if (!(fmax(fabs(found.norm - norm), fabs(found.product - product)) < 1e-2 * (norm + 0.1)))
            fail_msg("%s: norm and product with a direction are %.8g and %.8g, expected %.8g and "
                     "%.8g",
                     key, found.norm, found.product, norm, product);
        resting += memcmp(tensor->data, before->items[i].data,
                          ctkd__tensor_elements(tensor) * sizeof(float)) == 0;
    }
    return resting;
}

static void check_initial_stage(struct pair *pair, const char *method)
{
    struct ctkd__tensors before = { 0 }, after = { 0 };
    ctkd_error err = { 0 };
    char run[32], key[64], settings[160];
    snprintf(run, sizeof run, "%s.initial", method);
    snprintf(key, sizeof key, "%s.steepness", run);
    const double steepness = (double)golden_get(pair->golden, key, 1)[0];
    snprintf(settings, sizeof settings,
             "optimizer.lr=%.9g optimizer.momentum=0 optimizer.weight_decay=%.9g", 0.05 / steepness,
             0.1 * steepness);
    struct ctkd__config *const config = config_of(pair, method, settings);
    snprintf(key, sizeof key, "%s.losses", run);
    const float *const losses = golden_get(pair->golden, key, STEPS);
    struct ctkd__session *session = tiny_session(config, true);
    draw_weights(pair, STUDENT, session->weights);
    reset_norms(session);
    check_ok(ctkd__weights_export(session->weights, &before, &err), &err);
    /* AB's margin has a jump in its gradient at zero, which makes a step amplify the rounding of
       the kernels in use: 1e-5 in the first three steps with AVX-512 and AVX2, up to 6e-3 in the
       last. */
    for (size_t i = 0; i < STEPS; i++)
        check_close(run_step(pair, session, CTKD_STAGE_INITIAL, 1), losses[i], i < 3 ? 1e-4 : 2e-2,
                    0);
    check_ok(ctkd__weights_export(session->weights, &after, &err), &err);
    snprintf(key, sizeof key, "%s.resting", run);
    const float *const resting = golden_get(pair->golden, key, 1);
    assert_int_equal(check_values(pair, run, &before, &after), (int)resting[0]);
    ctkd__tensors_fini(&before);
    ctkd__tensors_fini(&after);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* A layer above the last feature that the stage compares keeps its start, weight decay or not. */
static void steps_of_initial_stages_agree_with_pytorch(void **state)
{
    static const struct {
        const char *network, *golden;
        bool fsp;
    } cases[] = { { "wrn_16_1", "initial_wrn.txt", true },
                  { "ShuffleV2", "initial_shuffle.txt", true },
                  { "MobileNetV2", "initial_mobile.txt", false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair pair;
        pair_init(&pair, *state, cases[i].golden, cases[i].network, cases[i].network);
        check_initial_stage(&pair, "ab");
        if (cases[i].fsp)
            check_initial_stage(&pair, "fsp");
        pair_fini(&pair);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_with_equal_networks_agree_with_pytorch),
        TEST(steps_with_a_wider_teacher_agree_with_pytorch),
        TEST(steps_with_a_teacher_of_smaller_maps_agree_with_pytorch),
        TEST(steps_with_maps_that_are_resized_agree_with_pytorch),
        TEST(steps_with_a_teacher_of_larger_maps_agree_with_pytorch),
        TEST(steps_of_initial_stages_agree_with_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
