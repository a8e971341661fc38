/* Out of memory, everywhere that allocates: the 1st, 2nd, 3rd ... request of an operation fails
   until the operation succeeds. The linker puts these functions in place of the real ones in all of
   our code; nothing may leak (the sanitizers see that), and the status is CTKD_ENOMEM. */
#include "support/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/methods.h"
#include "data/archive.h"
#include "data/loader.h"
#include "io/jsonl.h"
#include "io/safetensors.h"
#include "nn/models/models.h"
#include "report/plot.h"
#include "run/checkpoint.h"
#include "run/run.h"
#include "support/photos.h"
#include "support/temp_files.h"
#include "support/tiny.h"
#include "train/adaptors.h"
#include "util/file.h"
#include "weights/convert.h"
#include "weights/weights_file.h"

static size_t requests, fail_at; /* counted while fail_at is not 0 */
static atomic_size_t asked;      /* bytes, since it was set to 0 */

static bool fails(size_t bytes)
{
    asked += bytes;
    return fail_at && ++requests == fail_at;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
char *__real_strdup(const char *text);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
char *__wrap_strdup(const char *text);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return fails(bytes) ? NULL : __real_malloc(bytes);
}
void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails(n * bytes) ? NULL : __real_calloc(n, bytes);
}
void *__wrap_realloc(void *memory, size_t bytes)
{
    return fails(bytes) ? NULL : __real_realloc(memory, bytes);
}
char *__wrap_strdup(const char *text)
{
    return fails(strlen(text) + 1) ? NULL : __real_strdup(text);
}
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails(bytes) ? NULL : __real_aligned_alloc(alignment, bytes);
}

int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    (void)file;
    return 0;
}

/* One operation: opens and closes whatever it needs; leaves nothing behind. */
typedef ctkd_status operation(const char *argument, ctkd_error *err);

/* Every request up to `dense`, later ones in growing steps: there are thousands. */
static void sweep(const char *name, operation *run, const char *argument, size_t dense)
{
    size_t at = 1, refused = 0;
    for (;; at += at < dense ? 1 : 1 + at / 16) {
        ctkd_error err = { 0 };
        requests = 0;
        fail_at = at;
        const ctkd_status status = run(argument, &err);
        const bool reached = requests >= at;
        fail_at = 0;
        if (!reached) {
            check_ok(status, &err);
            break;
        }
        /* A request whose failure does no harm (a hint, a buffer of the C library) may pass. */
        if (status != CTKD_ENOMEM && status != CTKD_OK)
            fail_msg("%s %s: request %zu fails: status %d, '%s'", name, argument, at, (int)status,
                     err.message);
        if (status == CTKD_ENOMEM && err.status == CTKD_OK)
            fail_msg("%s %s: request %zu fails: no message", name, argument, at);
        refused += status == CTKD_ENOMEM;
    }
    assert_true(refused > 0);
}

static char folder[512];

static const char *in_folder(const char *name)
{
    return temp_path(folder, name);
}

static const char *golden(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/%s", CTKD_SOURCE_DIR, name);
    return path;
}

/* --- operations */

static ctkd_status read_safetensors(const char *path, ctkd_error *err)
{
    struct ctkd__tensors list = { 0 };
    const ctkd_status status = ctkd__safetensors_read(path, &list, err);
    ctkd__tensors_fini(&list);
    return status;
}

static ctkd_status read_weights(const char *path, ctkd_error *err)
{
    struct ctkd__weights_file file;
    const ctkd_status status = ctkd__weights_file_read(path, &file, err);
    ctkd__weights_file_fini(&file);
    return status;
}

static ctkd_status read_archive(const char *path, ctkd_error *err)
{
    static const char *const no_places[] = { NULL };
    struct ctkd__member members[2] = { { .name = "small.bin", .limit = 1000 },
                                       { .name = "large.bin", .limit = 1000 } };
    const ctkd_status status = ctkd__archive_read(path, no_places, members, 2, err);
    ctkd__members_free(members, 2);
    return status;
}

static ctkd_status open_loader(const char *spec, size_t threads, ctkd_error *err)
{
    struct ctkd__dataset *dataset;
    struct ctkd__loader *loader = NULL;
    struct ctkd__dataset_options options = ctkd__dataset_options_defaults();
    options.view = threads ? CTKD__FILE_VIEW_RESIZED_CROP : CTKD__FILE_VIEW_AUTO;
    options.size = threads ? 24 : 0;
    ctkd_status status = ctkd__dataset_open(spec, &options, &dataset, err);
    assert_true(status == CTKD_OK || !dataset);
    const struct ctkd__loader_config config = {
        .batch = 8, .shuffle = true, .limit = 20, .std = { 1, 1, 1, 1 }, .threads = threads
    };
    if (status == CTKD_OK)
        status = ctkd__loader_create(&dataset->train, &config, &loader, err);
    ctkd__loader_destroy(loader);
    ctkd__dataset_close(dataset);
    return status;
}

static ctkd_status open_dataset(const char *spec, ctkd_error *err)
{
    return open_loader(spec, 0, err);
}

static ctkd_status open_decoding_ahead(const char *spec, ctkd_error *err)
{
    return open_loader(spec, 2, err);
}

static ctkd_status read_config(const char *path, ctkd_error *err)
{
    struct ctkd__config *config;
    struct ctkd__methods methods;
    ctkd_status status = ctkd__config_create(&config, err);
    assert_true(status == CTKD_OK || !config);
    if (status != CTKD_OK)
        return status;
    status = ctkd__sections_read_yaml(ctkd__config_sections(config), path, err);
    if (status == CTKD_OK)
        status = ctkd__run_resolve(config, true, err);
    if (status == CTKD_OK)
        status = ctkd__methods_resolve(config, &methods, err);
    ctkd__config_destroy(config);
    return status;
}

static ctkd_status read_log(const char *path, ctkd_error *err)
{
    struct ctkd__json_rows *rows = NULL;
    const ctkd_status status = ctkd__jsonl_read(path, &rows, err);
    ctkd__json_rows_destroy(rows);
    return status;
}

static ctkd_status read_file(const char *path, ctkd_error *err)
{
    char *text = NULL;
    size_t bytes;
    const ctkd_status status = ctkd__file_read(path, 1 << 20, &text, &bytes, err);
    free(text);
    return status;
}

/* A network, built, compiled for both uses and run once. */
static ctkd_status run_network(const char *name, ctkd_error *err)
{
    static float x[2 * 16 * 16 * 3], logits[2 * 10];
    const struct ctkd__model_args args = { 3, 16, 16, 10 };
    struct ctkd__graph *graph = NULL;
    struct ctkd__weights *weights = NULL;
    struct ctkd__training *training = NULL;
    struct ctkd__inference *inference = NULL;
    struct ctkd__engine engine = { 0 };
    ctkd_status status =
        ctkd__engine_open(&(struct ctkd__engine_config){ .threads = 1 }, &engine, err);
    if (status == CTKD_OK)
        status = ctkd__model_build(name, &args, &graph, err);
    if (status == CTKD_OK)
        status = ctkd__weights_create(graph, engine.kernels->block, &weights, err);
    const struct ctkd__training_config t = ctkd__engine_training(&engine, "test", 2);
    const struct ctkd__inference_config i = ctkd__engine_inference(&engine, "test");
    if (status == CTKD_OK)
        status = ctkd__training_create(graph, weights, &t, &training, err);
    if (status == CTKD_OK)
        status = ctkd__training_forward(training, 2, x, logits, err);
    if (status == CTKD_OK)
        status = ctkd__inference_create(graph, &i, &inference, err);
    if (status == CTKD_OK)
        status = ctkd__inference_load(inference, weights, err);
    ctkd__inference_destroy(inference);
    ctkd__training_destroy(training);
    ctkd__weights_destroy(weights);
    ctkd__graph_destroy(graph);
    ctkd__engine_close(&engine);
    return status;
}

/* The plan of a run whose only loss of the teacher is KD. */
static ctkd_status plan_adaptors(const char *network, ctkd_error *err)
{
    const struct ctkd__model_args args = { 3, 16, 16, 10 };
    const struct ctkd__methods none = { .count = 0 };
    struct ctkd__graph *student = NULL;
    struct ctkd__adaptors *adaptors = NULL;
    ctkd_status status = ctkd__model_build(network, &args, &student, err);
    const struct ctkd__adaptors_args plan = { .methods = &none,
                                              .student = student,
                                              .student_name = network,
                                              .teacher_name = network,
                                              .teacher = student };
    if (status == CTKD_OK)
        status = ctkd__adaptors_create(&plan, &adaptors, err);
    ctkd__adaptors_destroy(adaptors);
    ctkd__graph_destroy(student);
    return status;
}

/* A whole session of distillation, its checkpoint written and read. */
static ctkd_status open_session(const char *settings, ctkd_error *err)
{
    const size_t at = fail_at;
    fail_at = 0;
    struct ctkd__config *config = tiny_config(folder, settings);
    fail_at = at;
    struct ctkd__session *session;
    struct ctkd__run run = { .lock = -1 };
    char note[CTKD__CHECKPOINT_NOTE];
    uint64_t bytes;
    ctkd_status status = ctkd__session_open(config, true, NULL, &session, err);
    assert_true(status == CTKD_OK || !session);
    if (status == CTKD_OK)
        status = ctkd__run_create(&run, config, err);
    if (status == CTKD_OK)
        status = ctkd__checkpoint_save(session, "distill", run.dir, 0, err);
    if (status == CTKD_OK)
        status = ctkd__checkpoint_load(session, "distill", run.dir, &bytes, note, sizeof note, err);
    ctkd__run_close(&run);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    return status;
}

/* The session of the next operation, opened without a fault. */
static struct ctkd__session *kept;

static ctkd_status save_and_load(const char *dir, ctkd_error *err)
{
    char note[CTKD__CHECKPOINT_NOTE];
    uint64_t bytes;
    ctkd_status status = ctkd__checkpoint_save(kept, "distill", dir, 0, err);
    if (status == CTKD_OK)
        status = ctkd__checkpoint_load(kept, "distill", dir, &bytes, note, sizeof note, err);
    return status;
}

/* To each format; `in` is a file of ours. */
static ctkd_status convert_file(const char *in, ctkd_error *err)
{
    const struct ctkd__weights_format *const *const formats = ctkd__weights_formats();
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; formats[i] && status == CTKD_OK; i++) {
        struct ctkd__convert_options options = { 0 };
        const struct ctkd__section section = { "", ctkd__convert_table, &options, NULL };
        const struct ctkd__sections sections = { &section, 1, NULL };
        char note[CTKD__NOTE_BYTES], out[600];
        snprintf(out, sizeof out, "%s/out%s", folder, formats[i]->endings[0]);
        status = ctkd__sections_defaults(sections, err);
        if (status == CTKD_OK)
            status = ctkd__convert(in, out, &options, note, err);
        ctkd__sections_fini(sections);
    }
    return status;
}

static ctkd_status plot(const char *run, ctkd_error *err)
{
    char out[600];
    snprintf(out, sizeof out, "%s/out.svg", folder);
    return ctkd__plot_runs(&run, 1, CTKD__PLOT_ALL, out, err);
}

/* --- tests */

static void readers_of_weights_survive(void **state)
{
    (void)state;
    sweep("safetensors", read_safetensors, golden("small.safetensors"), 1000);
    const char *const files[] = { "zip.pth",          "legacy.pth",      "nested.pth",
                                  "sets_modules.pth", "onnx_plain.onnx", "onnx_traced.onnx" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        sweep("weights", read_weights, golden(files[i]), 300);
}

static void data_sets_and_loaders_survive(void **state)
{
    (void)state;
    char spec[600];
    snprintf(spec, sizeof spec, "mnist:%s", folder);
    sweep("dataset", open_dataset, spec, 1000);
    photo_folder_write(in_folder("photos"), 12, 2);
    snprintf(spec, sizeof spec, "imagefolder:%s", in_folder("photos"));
    sweep("dataset", open_dataset, spec, 1000);
    sweep("dataset, threads", open_decoding_ahead, spec, 1000);
    sweep("archive", read_archive, golden("archives/pair.tar.gz"), 100);
    sweep("archive", read_archive, golden("archives/crc64.tar.xz"), 100);
}

static void configurations_and_logs_survive(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/configs/cifar100/resnet56-resnet20/kd+ctkd.yaml",
             CTKD_SOURCE_DIR);
    sweep("yaml", read_config, path, 200);
    static const char log[] = "{\"epoch\": 1, \"loss\": 2.5}\n{\"epoch\": 2, \"loss\": 1.5}\n";
    temp_write(folder, "log.jsonl", log, sizeof log - 1);
    sweep("file", read_file, in_folder("log.jsonl"), 100);
    sweep("log", read_log, in_folder("log.jsonl"), 100);
}

static void networks_survive(void **state)
{
    (void)state;
    const char *const networks[] = { "resnet8", "wrn_16_1", "vgg8" };
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        sweep("network", run_network, networks[i], 150);
    sweep("adaptors", plan_adaptors, "resnet8", 1000);
}

static void a_session_and_its_checkpoint_survive(void **state)
{
    (void)state;
    /* What else a session may hold is open beside one of them. */
    static const char *const methods[] = {
        "dkd,pkt",
        "ofd train.profile=true data.limit=30",
        "mlkd,srrl data.limit=30",
        "crd,ab teacher.mean=0.4 teacher.std=0.3",
    };
    char settings[1600];
    const struct ctkd__network_info info = tiny_network_info();
    tiny_network_write(in_folder("t.safetensors"), 77, &info);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        snprintf(settings, sizeof settings,
                 "teacher.path=%s/t.safetensors train.threads=1 run.dir=%s/run run.force=true "
                 "temperature.kind=instance method.name=%s",
                 folder, folder, methods[i]);
        sweep("session", open_session, settings, i < 2 ? 100 : 20);
    }
}

static void writers_survive(void **state)
{
    (void)state;
    static const char log[] = "{\"kind\": \"epoch\", \"epoch\": 1, \"tau\": 2.5, \"lambda\": 0.1, "
                              "\"train_top1\": 50, \"test_top1\": 40}\n";
    const struct ctkd__network_info info = tiny_network_info();
    char file[600];
    snprintf(file, sizeof file, "%s/w.safetensors", folder);
    tiny_network_write(file, 77, &info);
    sweep("convert", convert_file, file, 60);
    temp_folder_add(folder, "plotted");
    temp_write(folder, "plotted/log.jsonl", log, sizeof log - 1);
    snprintf(file, sizeof file, "%s/plotted", folder);
    sweep("plot", plot, file, 100);
}

/* By itself, so that each of its requests fails: within a session they come late and few are tried.
 */
static void every_request_of_a_checkpoint_has_its_message(void **state)
{
    (void)state;
    char settings[1600];
    const struct ctkd__network_info info = tiny_network_info();
    tiny_network_write(in_folder("t.safetensors"), 77, &info);
    temp_folder_add(folder, "saved");
    snprintf(settings, sizeof settings, "teacher.path=%s/t.safetensors train.threads=1", folder);
    struct ctkd__config *config = tiny_config(folder, settings);
    kept = tiny_session(config, true);
    sweep("checkpoint", save_and_load, in_folder("saved"), 10000);
    ctkd__session_close(kept);
    ctkd__config_destroy(config);
}

static int prepare(void **state)
{
    if (temp_folder_make(state) != 0)
        return -1;
    snprintf(folder, sizeof folder, "%s", (const char *)*state);
    tiny_data_write(folder, 40, 20);
    return 0;
}

/* What a loader of image files asks for before it reads the first one. */
static size_t bytes_of_loader(const struct ctkd__images *images, struct ctkd__loader_config config,
                              size_t batch)
{
    struct ctkd__loader *loader;
    ctkd_error err;
    config.batch = batch;
    asked = 0;
    check_ok(ctkd__loader_create(images, &config, &loader, &err), &err);
    const size_t bytes = asked;
    ctkd__loader_destroy(loader);
    return bytes;
}

/* Slots hold bytes, one for each value of a view, and there are at most three batches of them (four
   where a step looks ahead, as only ranks do). */
static void batches_of_files_take_three_bytes_for_each_value_of_a_view(void **state)
{
    (void)state;
    enum { SIZE = 64, VIEW = 3 * SIZE * SIZE, SMALL = 8, LARGE = 28 };
    enum { REST = 256 }; /* most bytes for an image beside views: labels, ids, what is read ahead */
    struct ctkd__dataset_options options = ctkd__dataset_options_defaults();
    struct ctkd__dataset *dataset;
    char spec[700];
    ctkd_error err;
    photo_folder_write(in_folder("slots"), LARGE, 4);
    snprintf(spec, sizeof spec, "imagefolder:%s", in_folder("slots"));
    options.view = CTKD__FILE_VIEW_RESIZED_CROP;
    options.size = SIZE;
    check_ok(ctkd__dataset_open(spec, &options, &dataset, &err), &err);
    for (size_t threads = 0; threads < 3; threads++)
        for (size_t strong = 0; strong < 2; strong++) {
            const struct ctkd__loader_config config = {
                .shuffle = true, .strong = strong, .std = { 1, 1, 1 }, .threads = threads
            };
            const size_t batches = threads ? 3 : 1;
            const size_t more = bytes_of_loader(&dataset->train, config, LARGE) -
                                bytes_of_loader(&dataset->train, config, SMALL);
            const size_t views = (LARGE - SMALL) * batches * (1 + strong) * VIEW;
            assert_in_range(more, views, views + (LARGE - SMALL) * REST);
        }
    ctkd__dataset_close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_of_weights_survive),
        cmocka_unit_test(data_sets_and_loaders_survive),
        cmocka_unit_test(batches_of_files_take_three_bytes_for_each_value_of_a_view),
        cmocka_unit_test(configurations_and_logs_survive),
        cmocka_unit_test(networks_survive),
        cmocka_unit_test(a_session_and_its_checkpoint_survive),
        cmocka_unit_test(writers_survive),
        cmocka_unit_test(every_request_of_a_checkpoint_has_its_message),
    };
    return cmocka_run_group_tests(tests, prepare, temp_folder_remove);
}
