/*
 * Milliseconds of one step of curriculum-temperature distillation: teacher, student, temperature
 * with reversal, losses, backward and SGD, on a fixed batch, as `ctkd distill` runs it. One JSON
 * line.
 *
 *   bench_step [--pair rn56-rn20] [--batch 64] [--mode step|hits|teacher|student] [--threads N]
 *              [--steps 20] [--warmup 3] [--isa NAME] [--conv NAME] [--side S] [--channels 3]
 *              [--classes K] [--chunk N] [--slices N] [--tune] [--profile] [--batch-statistics]
 *
 * Mode hits: a step that finds all of the teacher's logits in a store (teacher.store), a file in
 * the current folder that is removed at the end. By default the side of images and the number of
 * classes are those of the student's published results (32 and 100, or 224 and 1000).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ctkd/random.h"
#include "nn/models/models.h"
#include "train/step.h"
#include "util/clock.h"
#include "util/median.h"

struct pair {
    const char *name, *teacher, *student;
};
static const struct pair pairs[] = {
    { "rn56-rn20", "resnet56", "resnet20" },
    { "rn20-rn8", "resnet20", "resnet8" },
    { "rn110-rn32", "resnet110", "resnet32" },
    { "rn110-rn20", "resnet110", "resnet20" },
    { "wrn40-2-wrn16-2", "wrn_40_2", "wrn_16_2" },
    { "wrn40-2-wrn40-1", "wrn_40_2", "wrn_40_1" },
    { "vgg13-vgg8", "vgg13", "vgg8" },
    { "vgg13-MobileNetV2", "vgg13", "MobileNetV2" },
    { "ResNet50-MobileNetV2", "ResNet50", "MobileNetV2" },
    { "rn32x4-ShuffleV1", "resnet32x4", "ShuffleV1" },
    { "rn32x4-ShuffleV2", "resnet32x4", "ShuffleV2" },
    { "wrn40-2-ShuffleV1", "wrn_40_2", "ShuffleV1" },
    { "rn34-rn18", "resnet34", "resnet18" },
    { "rn50-mv1", "resnet50", "MobileNetV1" },
};

struct arguments {
    const struct pair *pair;
    const char *mode, *isa, *conv;
    size_t batch, threads, steps, warmup, side, classes, chunk, channels, slices;
    bool profile, tune, batch_statistics; /* the last: of the teacher's batch norms */
};

struct rig {
    struct ctkd__config *config;
    struct ctkd__engine engine;
    struct ctkd__teacher teacher;
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__training *training;
    struct ctkd__run_state state;
    struct ctkd__methods methods;
    struct ctkd__training_step *step;
    struct ctkd__batch batch;
    struct ctkd__teacher_store *store; /* mode hits; else NULL */
};

static void stop(const char *message)
{
    fprintf(stderr, "bench_step: %s\n", message);
    exit(1);
}

static void must(ctkd_status status, const ctkd_error *err)
{
    if (status != CTKD_OK)
        stop(err->message);
}

static const char *next_value(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc)
        stop("a flag lacks its value");
    return argv[++*i];
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments a = { &pairs[0], "step", "auto", "auto", 64, 0,     20,    3,
                           0,         0,      0,      3,      0,  false, false, false };
    const struct {
        const char *flag;
        size_t *value;
    } numbers[] = { { "--batch", &a.batch },       { "--threads", &a.threads },
                    { "--steps", &a.steps },       { "--warmup", &a.warmup },
                    { "--side", &a.side },         { "--classes", &a.classes },
                    { "--channels", &a.channels }, { "--chunk", &a.chunk },
                    { "--slices", &a.slices } };
    for (int i = 1; i < argc; i++) {
        bool known = true;
        if (strcmp(argv[i], "--profile") == 0) {
            a.profile = true;
        } else if (strcmp(argv[i], "--tune") == 0) {
            a.tune = true;
        } else if (strcmp(argv[i], "--batch-statistics") == 0) {
            a.batch_statistics = true;
        } else if (strcmp(argv[i], "--mode") == 0) {
            a.mode = next_value(argc, argv, &i);
        } else if (strcmp(argv[i], "--isa") == 0) {
            a.isa = next_value(argc, argv, &i);
        } else if (strcmp(argv[i], "--conv") == 0) {
            a.conv = next_value(argc, argv, &i);
        } else if (strcmp(argv[i], "--pair") == 0) {
            const char *const name = next_value(argc, argv, &i);
            a.pair = NULL;
            for (size_t j = 0; j < sizeof pairs / sizeof *pairs; j++)
                if (strcmp(pairs[j].name, name) == 0)
                    a.pair = &pairs[j];
            known = a.pair != NULL;
        } else {
            known = false;
            for (size_t j = 0; j < sizeof numbers / sizeof *numbers && !known; j++)
                if (strcmp(argv[i], numbers[j].flag) == 0) {
                    *numbers[j].value = strtoul(next_value(argc, argv, &i), NULL, 10);
                    known = true;
                }
        }
        if (!known)
            stop("unknown flag or pair; see the head of bench_step.c");
    }
    const struct ctkd__model_family *family = NULL;
    ctkd__model_find(a.pair->student, &family);
    const struct ctkd__model_args published = ctkd__model_published(family);
    a.side = a.side ? a.side : published.height;
    a.classes = a.classes ? a.classes : published.classes;
    return a;
}

/* Stands for weights read from a file: the draws repeat, so that the start is not measured with
 * them. */
static void fill_weights(struct ctkd__weights *weights)
{
    enum { DRAWS = 4093 };
    float draws[DRAWS];
    for (uint64_t i = 0; i < DRAWS; i++)
        draws[i] = ctkd_random_normal(1, CTKD_RANDOM_TEST, 2, i);
    for (int i = 0; i < weights->graph->n_parameters; i++) {
        const struct ctkd__parameter *const p = &weights->graph->parameters[i];
        const bool buffer = p->role == CTKD__ROLE_MEAN || p->role == CTKD__ROLE_VARIANCE;
        const size_t n = ctkd__parameter_elements(p);
        float *const plain = malloc(n * sizeof *plain);
        if (!plain)
            stop("out of memory");
        for (size_t j = 0; j < n; j++)
            plain[j] = p->init == CTKD__INIT_CONSTANT ? p->value : p->value * draws[j % DRAWS];
        ctkd__weights_pack(weights, i, plain,
                           (buffer ? weights->buffers : weights->values) + weights->offsets[i]);
        free(plain);
    }
}

static void open_teacher(struct rig *rig, const struct arguments *a,
                         const struct ctkd__model_args *args)
{
    ctkd_error err;
    must(ctkd__model_build(a->pair->teacher, args, &rig->teacher.graph, &err), &err);
    must(ctkd__weights_create(rig->teacher.graph, rig->engine.kernels->block, &rig->teacher.weights,
                              &err),
         &err);
    fill_weights(rig->teacher.weights);
    struct ctkd__inference_config inference = ctkd__engine_inference(&rig->engine, "teacher");
    inference.chunk = a->chunk;
    must(ctkd__inference_create(rig->teacher.graph, &inference, &rig->teacher.inference, &err),
         &err);
    must(ctkd__inference_load(rig->teacher.inference, rig->teacher.weights, &err), &err);
    rig->teacher.role = "teacher";
    rig->teacher.batch_max = a->batch;
    if (a->batch_statistics)
        must(ctkd__teacher_use_batch_statistics(&rig->teacher, NULL, 0, &rig->engine, &err), &err);
}

static void open_student(struct rig *rig, const struct arguments *a,
                         const struct ctkd__model_args *args)
{
    ctkd_error err;
    ctkd_temperature *temperature;
    must(ctkd__model_build(a->pair->student, args, &rig->graph, &err), &err);
    must(ctkd__weights_create(rig->graph, rig->engine.kernels->block, &rig->weights, &err), &err);
    ctkd__weights_initialise(rig->weights, 2);
    const struct ctkd__training_config training =
        ctkd__engine_training(&rig->engine, "student", a->batch);
    must(ctkd__training_create(rig->graph, rig->weights, &training, &rig->training, &err), &err);
    must(ctkd__step_temperature(rig->config, a->classes, &temperature, &err), &err);
    must(ctkd__run_state_init(&rig->state, rig->weights, temperature, 0, &err), &err);
    const bool alone = strcmp(a->mode, "student") == 0;
    must(ctkd__methods_resolve(rig->config, &rig->methods, &err), &err);
    const struct ctkd__step_args step = { .config = rig->config,
                                          .stage = CTKD_STAGE_MAIN,
                                          .training = rig->training,
                                          .workers = rig->engine.workers,
                                          .state = &rig->state,
                                          .teacher = alone ? NULL : &rig->teacher,
                                          .store = &rig->store,
                                          .methods = &rig->methods,
                                          .classes = a->classes,
                                          .image_floats = a->channels * a->side * a->side };
    must(ctkd__step_create(&step, &rig->step, &err), &err);
}

static void make_batch(struct rig *rig, const struct arguments *a)
{
    const size_t floats = a->batch * a->channels * a->side * a->side;
    float *const x = malloc(floats * sizeof *x);
    int32_t *const labels = malloc(a->batch * sizeof *labels);
    uint64_t *const ids = malloc(a->batch * sizeof *ids);
    if (!x || !labels || !ids)
        stop("out of memory");
    for (size_t i = 0; i < floats; i++)
        x[i] = ctkd_random_normal(3, CTKD_RANDOM_TEST, 0, i);
    for (size_t i = 0; i < a->batch; i++) {
        ids[i] = i;
        labels[i] = (int32_t)ctkd_random_below(3, CTKD_RANDOM_TEST, 1, i, (uint32_t)a->classes);
    }
    rig->batch = (struct ctkd__batch){ .n = a->batch,
                                       .x = ctkd__batch_images_of(x),
                                       .strong = ctkd__batch_images_of(x),
                                       .labels = labels,
                                       .ids = ids };
}

/* Opens a store with one view of each image of the batch, which the first step fills. */
static void open_store(struct rig *rig, const struct arguments *a)
{
    ctkd_error err;
    char path[64];
    uint64_t *const views = calloc(a->batch, sizeof *views);
    const struct ctkd__network_info images = { .channels = a->channels,
                                               .height = a->side,
                                               .width = a->side };
    const struct ctkd__teacher_store_args args = {
        .teacher = &rig->teacher, .engine = &rig->engine, .images = &images, .classes = a->classes
    };
    const struct ctkd__logit_shape shape = { a->batch, 1, a->classes, false };
    snprintf(path, sizeof path, "bench_step-%ld.logits", (long)getpid());
    if (!views)
        stop("out of memory");
    must(ctkd__teacher_store_create(&args, 1, false, &rig->store, &err), &err);
    must(ctkd__logit_file_create(path, "bench 1\n", &shape, &rig->store->file, &err), &err);
    unlink(path);
    rig->batch.views = views;
}

static void open_rig(struct rig *rig, const struct arguments *a)
{
    ctkd_error err;
    const struct ctkd__model_args args = { a->channels, a->side, a->side, a->classes };
    memset(rig, 0, sizeof *rig);
    must(ctkd__config_create(&rig->config, &err), &err);
    rig->config->train.batch = (int64_t)a->batch;
    rig->config->train.slices = (int64_t)a->slices;
    const struct ctkd__engine_config engine = { .isa = a->isa,
                                                .threads = a->threads,
                                                .slices = a->slices,
                                                .conv = a->conv,
                                                .measure = a->tune,
                                                .profile = a->profile };
    must(ctkd__engine_open(&engine, &rig->engine, &err), &err);
    if (strcmp(a->mode, "student") != 0)
        open_teacher(rig, a, &args);
    if (strcmp(a->mode, "teacher") != 0)
        open_student(rig, a, &args);
    make_batch(rig, a);
    if (strcmp(a->mode, "hits") == 0)
        open_store(rig, a);
}

static size_t step_number;

static void step(struct rig *rig, const struct arguments *a, float *logits)
{
    ctkd_error err;
    struct ctkd__step_report report;
    if (strcmp(a->mode, "teacher") == 0)
        must(ctkd__teacher_forward(&rig->teacher, a->batch, rig->batch.x, logits, &err), &err);
    else
        must(ctkd__step_run(rig->step, &rig->batch, 5, 1.0, &report, &err), &err);
    if (rig->store && step_number++ && report.teacher.hits != a->batch)
        stop("a step of mode hits asked the teacher");
}

int main(int argc, char **argv)
{
    const double begin = ctkd__clock_seconds();
    const struct arguments a = parse(argc, argv);
    struct rig rig;
    open_rig(&rig, &a);
    float *const logits = malloc(a.batch * a.classes * sizeof *logits);
    double *const ms = malloc((a.steps + 1) * sizeof *ms);
    if (!logits || !ms)
        stop("out of memory");
    step(&rig, &a, logits);
    const double first = ctkd__clock_seconds() - begin;
    for (size_t i = 0; i < a.warmup; i++)
        step(&rig, &a, logits);
    if (rig.engine.profile)
        ctkd__profile_reset(rig.engine.profile);
    for (size_t i = 0; i < a.steps; i++) {
        const double start = ctkd__clock_seconds();
        step(&rig, &a, logits);
        ms[i] = 1e3 * (ctkd__clock_seconds() - start);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const double median = ctkd__sort_median(a.steps, ms);
    printf("{\"pair\": \"%s\", \"batch\": %zu, \"channels\": %zu, \"mode\": \"%s\", \"threads\": "
           "%zu, \"isa\": \"%s\", "
           "\"conv\": \"%s\", \"ms_median\": %.2f, \"ms_min\": %.2f, \"img_per_s\": %.0f, "
           "\"first_step_s\": %.3f, \"teacher_mib\": %.1f, \"student_mib\": %.1f, "
           "\"peak_rss_mib\": %ld}\n",
           a.pair->name, a.batch, a.channels, a.mode, ctkd__workers_count(rig.engine.workers),
           rig.engine.kernels->name, a.conv, median, ms[0], 1e3 * (double)a.batch / median, first,
           rig.teacher.training    ? (double)ctkd__training_bytes(rig.teacher.training) / 1048576
           : rig.teacher.inference ? (double)ctkd__inference_bytes(rig.teacher.inference) / 1048576
                                   : 0,
           rig.training ? (double)ctkd__training_bytes(rig.training) / 1048576 : 0,
           usage.ru_maxrss / 1024);
    if (rig.engine.profile)
        ctkd__profile_print(rig.engine.profile, a.steps, stdout);
    ctkd__step_destroy(rig.step);
    ctkd__teacher_store_close(rig.store);
    free((void *)(uintptr_t)rig.batch.views);
    ctkd__training_destroy(rig.training);
    if (rig.weights)
        ctkd__run_state_fini(&rig.state);
    ctkd__weights_destroy(rig.weights);
    ctkd__graph_destroy(rig.graph);
    ctkd__inference_destroy(rig.teacher.inference);
    ctkd__training_destroy(rig.teacher.training);
    free(rig.teacher.taps);
    ctkd__weights_destroy(rig.teacher.weights);
    ctkd__graph_destroy(rig.teacher.graph);
    if (a.tune)
        ctkd__choices_write(rig.engine.choices, stderr);
    ctkd__engine_close(&rig.engine);
    ctkd__config_destroy(rig.config);
    free((void *)(uintptr_t)rig.batch.x.values);
    free((void *)(uintptr_t)rig.batch.labels);
    free((void *)(uintptr_t)rig.batch.ids);
    free(logits);
    free(ms);
    return 0;
}
