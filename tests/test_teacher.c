#include "support/check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/safetensors.h"
#include "support/temp_files.h"
#include "support/tiny.h"

enum { N = 5, PIXELS = TINY_SIDE * TINY_SIDE };

static struct ctkd__config *config; /* of all tests, like the engine, which borrows from it */
static struct ctkd__engine engine;

static int open_engine(void **state)
{
    (void)state;
    ctkd_error err = { 0 };
    check_ok(ctkd__config_create(&config, &err), &err);
    config->train.threads = 2;
    const struct ctkd__engine_config asked = ctkd__config_engine(config, NULL);
    check_ok(ctkd__engine_open(&asked, &engine, &err), &err);
    return 0;
}

static int close_engine(void **state)
{
    (void)state;
    ctkd__engine_close(&engine);
    ctkd__config_destroy(config);
    return 0;
}

static ctkd_status open_teacher(const char *path, const struct ctkd__network_info *images,
                                const char *network, const char *mean, struct ctkd__teacher **out,
                                ctkd_error *err)
{
    const struct ctkd__teacher_args args = { .role = "teacher",
                                             .path = path,
                                             .network = network,
                                             .mean = mean,
                                             .std = "",
                                             .images = images,
                                             .batch_max = N };
    return ctkd__teacher_open(&args, &engine, out, err);
}

static void assert_refused(const char *path, const struct ctkd__network_info *images,
                           const char *network, const char *mean, const char *part)
{
    struct ctkd__teacher *teacher;
    ctkd_error err = { 0 };
    const ctkd_status status = open_teacher(path, images, network, mean, &teacher, &err);
    assert_null(teacher);
    if (status == CTKD_OK || !strstr(err.message, part))
        fail_msg("found '%s', expected a message with '%s'", err.message, part);
}

static void file_keeps_weights_and_metadata(void **state)
{
    const char *file = temp_path(*state, "a.safetensors");
    struct ctkd__network_info info = tiny_network_info(), read;
    info.has_top1 = true;
    info.top1 = 91.25;
    info.epoch = 240;
    tiny_network_write(file, 1, &info);
    struct ctkd__tensors tensors = { 0 };
    ctkd_error err = { 0 };
    check_ok(ctkd__network_file_read(file, &tensors, &read, &err), &err);
    assert_string_equal(read.network, "resnet8");
    assert_string_equal(read.dataset, "mnist");
    assert_int_equal(read.classes, info.classes);
    assert_int_equal(read.channels, 1);
    assert_int_equal(read.height, TINY_SIDE);
    assert_int_equal(read.width, TINY_SIDE);
    assert_int_equal(read.epoch, 240);
    assert_true(read.has_top1 && read.has_normalisation);
    check_close(read.top1, 91.25, 0, 0);
    check_close(read.mean[0], info.mean[0], 0, 0);
    check_close(read.std[0], info.std[0], 0, 0);
    assert_non_null(ctkd__tensors_find(&tensors, "conv1.weight"));
    assert_string_equal(ctkd__tensors_get(&tensors, "format"), "pt");
    ctkd__tensors_fini(&tensors);
}

static void malformed_metadata_are_named(void **state)
{
    static const char *const wrong[][2] = { { "classes", "ten" }, { "channels", "-1" },
                                            { "height", "" },     { "top1", "101" },
                                            { "top1", "nan" },    { "epoch", "1.5" },
                                            { "mean", "x" },      { "std", "0" },
                                            { "mean", "1,2" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *file = temp_path(*state, "a.safetensors");
        struct ctkd__tensors list = { 0 }, again = { 0 };
        struct ctkd__network_info info;
        ctkd_error err = { 0 };
        check_ok(ctkd__tensors_set(&list, "channels", "1", &err), &err);
        check_ok(ctkd__tensors_set(&list, "mean", "0.5", &err), &err);
        check_ok(ctkd__tensors_set(&list, "std", "0.5", &err), &err);
        check_ok(ctkd__tensors_set(&list, wrong[i][0], wrong[i][1], &err), &err);
        check_ok(ctkd__safetensors_write(file, &list, &err), &err);
        assert_int_equal(ctkd__network_file_read(file, &again, &info, &err), CTKD_EFORMAT);
        assert_non_null(strstr(err.message, file));
        assert_non_null(strstr(err.message, wrong[i][0]));
        ctkd__tensors_fini(&list);
    }
}

static void run_directory_stands_for_its_last_weights(void **state)
{
    const struct ctkd__network_info info = tiny_network_info();
    const char *dir = temp_path(*state, "run");
    ctkd_error err = { 0 };
    char found[256];
    assert_int_equal(mkdir(dir, 0777), 0);
    assert_int_equal(ctkd__network_file_find(dir, found, sizeof found, &err), CTKD_EIO);
    assert_non_null(strstr(err.message, "last.safetensors"));
    tiny_network_write(temp_path(*state, "run/last.safetensors"), 1, &info);
    check_ok(ctkd__network_file_find(dir, found, sizeof found, &err), &err);
    assert_string_equal(found, temp_path(*state, "run/last.safetensors"));
    struct ctkd__teacher *teacher;
    check_ok(open_teacher(dir, &info, "", "", &teacher, &err), &err);
    ctkd__teacher_close(teacher);
}

static void teacher_that_does_not_fit_the_data_is_refused(void **state)
{
    const char *file = temp_path(*state, "t.safetensors");
    struct ctkd__network_info info = tiny_network_info(), images = info;
    tiny_network_write(file, 1, &info);
    images.classes = 100;
    assert_refused(file, &images, "", "",
                   "found a network of 10 classes, but data set mnist has 100");
    images = info;
    images.channels = 3;
    assert_refused(file, &images, "", "", "1 channels, but the images of mnist have 3");
    images = info;
    images.height = 32;
    assert_refused(file, &images, "", "", "16 rows, but the images of mnist have 32");
    images = info;
    images.width = 32;
    assert_refused(file, &images, "", "", "16 columns, but the images of mnist have 32");
    assert_refused(file, &info, "resnet14", "", "t.safetensors (resnet14): ");
    assert_refused(file, &info, "resnet9", "", "did you mean");
    assert_refused(file, &info, "", "0.1,0.2", "teacher.mean");
    assert_refused(file, &info, "", "nan", "teacher.mean");
    assert_refused(file, &info, "", "3e38", "3e+38");
    assert_refused(temp_path(*state, "none.safetensors"), &info, "", "", "none.safetensors");
}

/* Data whose labels leave open how many classes there are: weights that know more of them fit, also
   where no metadata say their number. */
static void weights_may_know_more_classes_than_the_labels(void **state)
{
    const char *file = temp_path(*state, "t.safetensors");
    const struct ctkd__network_info info = tiny_network_info();
    for (int bare = 0; bare < 2; bare++) {
        struct ctkd__network_info images = info, found;
        struct ctkd__tensors list = { 0 };
        struct ctkd__teacher *teacher;
        ctkd_error err = { 0 };
        tiny_network_write(file, 1, &info);
        if (bare) {
            check_ok(ctkd__network_file_read(file, &list, &found, &err), &err);
            const size_t kept = list.n_metadata;
            list.n_metadata = 0;
            check_ok(ctkd__safetensors_write(file, &list, &err), &err);
            list.n_metadata = kept;
            ctkd__tensors_fini(&list);
        }
        struct ctkd__teacher_args args = { .role = "teacher",
                                           .path = file,
                                           .network = "resnet8",
                                           .mean = "",
                                           .std = "",
                                           .images = &images,
                                           .classes_max = 256,
                                           .batch_max = N };
        images.classes = 2;
        check_ok(ctkd__teacher_open(&args, &engine, &teacher, &err), &err);
        assert_int_equal(teacher->info.classes, 10);
        ctkd__teacher_close(teacher);
        images.classes = 12;
        assert_int_equal(ctkd__teacher_open(&args, &engine, &teacher, &err), CTKD_ESHAPE);
        images.classes = 2;
        args.classes_max = 9; /* 10 are more than labels of nine values can say */
        assert_int_equal(ctkd__teacher_open(&args, &engine, &teacher, &err), CTKD_ESHAPE);
        assert_non_null(strstr(err.message, "found a network of 10 classes, but the labels of "));
        assert_non_null(strstr(err.message, " are of 2 classes and allow 9 at most"));
        args.classes_max = 2;
        assert_int_equal(ctkd__teacher_open(&args, &engine, &teacher, &err), CTKD_ESHAPE);
    }
}

static void network_is_named_by_file_or_key_or_is_the_one_that_fits(void **state)
{
    const char *file = temp_path(*state, "t.safetensors");
    const struct ctkd__network_info images = tiny_network_info();
    struct ctkd__network_info info = images;
    info.network[0] = '\0';
    tiny_network_write(file, 1, &info);
    struct ctkd__teacher *teacher;
    ctkd_error err = { 0 };
    check_ok(open_teacher(file, &images, "resnet8", "", &teacher, &err), &err);
    ctkd__teacher_close(teacher);
    check_ok(open_teacher(file, &images, "", "", &teacher, &err), &err);
    assert_string_equal(teacher->info.network, "resnet8");
    ctkd__teacher_close(teacher);
}

static void truncated_file_is_refused_at_every_length(void **state)
{
    const struct ctkd__network_info info = tiny_network_info();
    const char *file = temp_path(*state, "t.safetensors");
    tiny_network_write(file, 1, &info);
    size_t size;
    void *bytes = temp_read(file, &size);
    for (size_t length = 0; length < size; length += 1 + length / 2) {
        assert_int_equal(truncate(file, (off_t)length), 0);
        assert_refused(file, &info, "", "", "t.safetensors");
        temp_write(*state, "t.safetensors", bytes, size);
    }
    free(bytes);
}

/* Logits of raw images by a teacher whose batches are normalised with (mean, std). */
static void forward_raw(const char *file, float mean, float std, const char *own_mean,
                        const float *raw, float *logits)
{
    struct ctkd__network_info images = tiny_network_info();
    images.mean[0] = mean;
    images.std[0] = std;
    struct ctkd__teacher *teacher;
    ctkd_error err = { 0 };
    float *x = malloc(N * PIXELS * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < N * PIXELS; i++)
        x[i] = (raw[i] - mean) / std;
    check_ok(open_teacher(file, &images, "", own_mean, &teacher, &err), &err);
    check_ok(ctkd__teacher_forward_evaluation(teacher, N, ctkd__batch_images_of(x), logits, &err),
             &err);
    ctkd__teacher_close(teacher);
    free(x);
}

static void teacher_sees_images_as_it_was_trained(void **state)
{
    const char *file = temp_path(*state, "t.safetensors");
    const struct ctkd__network_info info = tiny_network_info();
    float raw[N * PIXELS], expected[N * TINY_CLASSES], other[N * TINY_CLASSES];
    tiny_network_write(file, 1, &info);
    fill_uniform(raw, N * PIXELS, 3, 0, 1);
    forward_raw(file, info.mean[0], info.std[0], "", raw, expected);
    forward_raw(file, 0.5f, 0.25f, "", raw, other); /* the student's constants differ */
    check_relative(other, expected, N * TINY_CLASSES, 1e-5);
    forward_raw(file, info.mean[0], info.std[0], "0.9", raw, other); /* overridden by the key */
    double difference = 0;
    for (size_t i = 0; i < N * TINY_CLASSES; i++)
        difference += fabs((double)(other[i] - expected[i]));
    assert_true(difference > 1e-3);
}

/* The forward pass of a program of `teacher` in training that moves its statistics, which those
   of the teacher itself are compared with. */
static void forward_moving(const struct ctkd__teacher *teacher, const float *x, int node,
                           float *logits, float *tap)
{
    const struct ctkd__training_config t = { .kernels = engine.kernels,
                                             .workers = engine.workers,
                                             .batch_max = N,
                                             .conv = "auto",
                                             .outputs = &node,
                                             .n_outputs = 1 };
    const struct ctkd__node *const of = &teacher->graph->nodes[node];
    struct ctkd__training *training;
    ctkd_error err = { 0 };
    check_ok(ctkd__training_create(teacher->graph, teacher->weights, &t, &training, &err), &err);
    check_ok(ctkd__training_forward(training, N, x, logits, &err), &err);
    memcpy(tap, ctkd__training_output(training, 0), N * of->c * of->h * of->w * sizeof *tap);
    ctkd__training_destroy(training);
}

/* Its weights are protected: a write would end the test. */
static void teacher_with_batch_statistics_keeps_its_running_ones(void **state)
{
    enum { TAP = N * 64 * 4 * 4 };
    const char *file = temp_path(*state, "t.safetensors");
    struct ctkd__network_info info = tiny_network_info(), images = info;
    struct ctkd__teacher *still, *moving;
    ctkd_error err = { 0 };
    static float x[N * PIXELS], own[N * PIXELS], tap[TAP];
    float expected[N * TINY_CLASSES], logits[N * TINY_CLASSES], alone[TINY_CLASSES];
    tiny_network_write(file, 1, &info);
    images.mean[0] = 0.5f; /* it sees the batch rescaled */
    images.std[0] = 0.25f;
    check_ok(open_teacher(file, &images, "", "", &still, &err), &err);
    check_ok(open_teacher(file, &info, "", "", &moving, &err), &err);
    fill_uniform(x, N * PIXELS, 3, -2, 2);
    for (size_t i = 0; i < N * PIXELS; i++)
        own[i] = (x[i] * 0.25f + 0.5f - info.mean[0]) / info.std[0];
    const int node = ctkd__graph_find_tap(still->graph, "pre3");
    check_ok(ctkd__teacher_forward_evaluation(still, N, ctkd__batch_images_of(x), expected, &err),
             &err);
    check_ok(ctkd__teacher_use_batch_statistics(still, &node, 1, &engine, &err), &err);
    check_ok(ctkd__teacher_protect(still, &err), &err);
    for (size_t i = 0; i < 2; i++) { /* what it saw before plays no part */
        check_ok(ctkd__teacher_forward(still, 1, ctkd__batch_images_of(x), alone, &err), &err);
        check_ok(ctkd__teacher_forward(still, N, ctkd__batch_images_of(x), logits, &err), &err);
    }
    assert_true(fabs((double)(alone[0] - logits[0])) > 1e-3);
    float evaluated[N * TINY_CLASSES];
    check_ok(ctkd__teacher_forward_evaluation(still, N, ctkd__batch_images_of(x), evaluated, &err),
             &err);
    assert_memory_equal(evaluated, expected, sizeof expected);
    forward_moving(moving, own, node, expected, tap);
    check_relative(logits, expected, N * TINY_CLASSES, 1e-5);
    check_relative(still->taps[0], tap, TAP, 1e-5);
    ctkd__teacher_close(still);
    ctkd__teacher_close(moving);
}

static void teacher_far_below_its_promise_stops_the_run(void **state)
{
    (void)state;
    struct ctkd__teacher teacher = { .file = "t.safetensors",
                                     .info = { .has_top1 = true, .top1 = 72 } };
    ctkd_error err = { 0 };
    check_ok(ctkd__teacher_check_top1(&teacher, 71.5, 0, 1, &err), &err);
    assert_int_equal(ctkd__teacher_check_top1(&teacher, 70.5, 0, 1, &err), CTKD_ERANGE);
    assert_non_null(strstr(err.message, "found test top-1 70.50 %, expected 72.00 %"));
    check_ok(ctkd__teacher_check_top1(&teacher, 70.5, 71, 1, &err), &err);
    assert_int_equal(ctkd__teacher_check_top1(&teacher, 70.5, 80, 1, &err), CTKD_ERANGE);
    teacher.info.has_top1 = false; /* nothing promised */
    check_ok(ctkd__teacher_check_top1(&teacher, 1, 0, 1, &err), &err);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(file_keeps_weights_and_metadata),
        TEST(malformed_metadata_are_named),
        TEST(run_directory_stands_for_its_last_weights),
        TEST(teacher_that_does_not_fit_the_data_is_refused),
        TEST(weights_may_know_more_classes_than_the_labels),
        TEST(network_is_named_by_file_or_key_or_is_the_one_that_fits),
        TEST(truncated_file_is_refused_at_every_length),
        TEST(teacher_sees_images_as_it_was_trained),
        TEST(teacher_with_batch_statistics_keeps_its_running_ones),
        cmocka_unit_test(teacher_far_below_its_promise_stops_the_run),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
