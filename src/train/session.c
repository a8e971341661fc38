#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/models/models.h"
#include "train/step_groups.h"
#include "util/error.h"

struct ctkd__weights ctkd__session_student(const struct ctkd__session *session)
{
    struct ctkd__weights student = *session->weights;
    student.graph = session->graph; /* its parameters are the first of the joint graph */
    return student;
}

/* Renames and completes the tensors of a file to the student's parameters. Where the file has other
   classes, the last layer keeps its drawn values. */
static ctkd_status fit_start(struct ctkd__session *session, const struct ctkd__weights *student,
                             struct ctkd__weights_file *file, ctkd_error *err)
{
    struct ctkd__tensors drawn = { 0 };
    ctkd_status status = ctkd__weights_export(student, &drawn, err);
    if (status == CTKD_OK)
        status = ctkd__match_start(session->info.network, session->graph, &drawn, &file->tensors,
                                   session->note, err);
    ctkd__tensors_fini(&drawn);
    if (status == CTKD_OK) {
        ctkd__weights_file_note(file, session->note);
        ctkd__note_sets(session->note, &file->sets, "student.weights");
    }
    return status;
}

/* The weights to start from: drawn, then replaced by those of student.init if there is one. */
static ctkd_status start_weights(struct ctkd__session *session, ctkd_error *err)
{
    const struct ctkd__config *config = session->config;
    ctkd__weights_initialise(session->weights, (uint64_t)config->train.seed);
    if (!config->student.init[0])
        return CTKD_OK;
    struct ctkd__weights_file file;
    struct ctkd__weights student = ctkd__session_student(session);
    const struct ctkd__model_args sizes = { session->info.channels, session->info.height,
                                            session->info.width, session->info.classes };
    ctkd_status status =
        ctkd__weights_file_read_set(config->student.init, config->student.weights, &file, err);
    if (status == CTKD_OK)
        status = ctkd__weights_file_resolve(&file, &sizes, err);
    const bool read = status == CTKD_OK; /* before that, messages name the file */
    if (read)
        status = fit_start(session, &student, &file, err);
    if (status == CTKD_OK)
        status = ctkd__weights_import(&student, &file.tensors, err);
    if (status != CTKD_OK && read)
        ctkd__fail_within(err, status, "%s (%s)", file.path, session->info.network);
    if (status != CTKD_OK)
        ctkd__fail_within(err, status, "student.init");
    session->weights->batches_tracked = student.batches_tracked;
    ctkd__weights_file_fini(&file);
    return status;
}

static ctkd_status build_student(struct ctkd__session *session, ctkd_error *err)
{
    const struct ctkd__network_info *const info = &session->info;
    const struct ctkd__model_args model = { .channels = info->channels,
                                            .height = info->height,
                                            .width = info->width,
                                            .classes = info->classes };
    const ctkd_status status =
        ctkd__model_build(session->config->student.network, &model, &session->network, err);
    session->graph = session->network;
    return status == CTKD_OK ? status : ctkd__fail_within(err, status, "student.network");
}

/* Prepares the program for its smaller passes: the last batch-norm group of every batch and the
   last group of the last batch of an epoch, if these have fewer images. */
static ctkd_status prepare_last(const struct ctkd__session *session,
                                struct ctkd__training *training, ctkd_error *err)
{
    const size_t batch = (size_t)session->config->train.batch;
    const size_t pass = ctkd__config_pass(session->config);
    const size_t rest = ctkd__loader_samples(session->data.train) % batch;
    const size_t last = rest % pass, of_each = batch % pass;
    ctkd_status status = of_each ? ctkd__training_prepare(training, of_each, err) : CTKD_OK;
    if (status == CTKD_ERANGE)
        return ctkd__fail_within(err, status,
                                 "train.batch_norm_group: the last group of %zu images has %zu",
                                 batch, of_each);
    if (status == CTKD_OK && last)
        status = ctkd__training_prepare(training, last, err);
    if (status != CTKD_ERANGE)
        return status;
    return ctkd__fail_within(err, status, "train.batch%s: the last batch holds %zu of %zu images",
                             pass < batch ? " and train.batch_norm_group" : "", rest,
                             ctkd__loader_samples(session->data.train));
}

static ctkd_status prepare_teacher(struct ctkd__session *session, ctkd_error *err)
{
    const struct ctkd__adaptors *const adaptors = session->adaptors;
    struct ctkd__teacher *const teacher = session->teacher;
    if (!adaptors->batch_statistics)
        return ctkd__teacher_keep_taps(teacher, adaptors->taps, adaptors->n_taps, &session->engine,
                                       err);
    ctkd_status status = ctkd__teacher_keep_taps(teacher, NULL, 0, &session->engine, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__teacher_use_batch_statistics(teacher, adaptors->taps, adaptors->n_taps,
                                                &session->engine, err);
    return status == CTKD_OK ? prepare_last(session, teacher->training, err) : status;
}

/* Plans the methods: adds their adaptors to the student and keeps the teacher's taps they read. */
static ctkd_status open_methods(struct ctkd__session *session, ctkd_error *err)
{
    const struct ctkd__adaptors_args args = { .methods = &session->methods,
                                              .student = session->network,
                                              .student_name = session->info.network,
                                              .teacher_name = session->teacher->info.network,
                                              .teacher = session->teacher->graph,
                                              .teacher_weights = session->teacher->weights };
    const ctkd_status status = ctkd__adaptors_create(&args, &session->adaptors, err);
    if (status != CTKD_OK)
        return status;
    session->graph = &session->adaptors->student;
    return prepare_teacher(session, err);
}

static ctkd_status open_training(struct ctkd__session *session, bool initial,
                                 struct ctkd__training **out, ctkd_error *err)
{
    const struct ctkd__config *config = session->config;
    struct ctkd__training_config training =
        ctkd__engine_training(&session->engine, "student", ctkd__config_pass(config));
    training.no_logits = initial;
    if (session->adaptors) {
        const struct ctkd__stage_reads *const reads =
            initial ? &session->adaptors->initial : &session->adaptors->main;
        training.outputs = reads->outputs;
        training.n_outputs = reads->n_outputs;
    }
    const ctkd_status status =
        ctkd__training_create(session->network, session->weights, &training, out, err);
    return status == CTKD_OK ? prepare_last(session, *out, err) : status;
}

static ctkd_status open_student(struct ctkd__session *session, bool distil, ctkd_error *err)
{
    const struct ctkd__config *config = session->config;
    struct ctkd__network_info *info = &session->info;
    *info = session->data.images;
    if (info->classes < 2)
        return ctkd__fail(err, CTKD_ERANGE,
                          "data.set: found only label 0 in %s, expected at least two classes (set "
                          "data.classes if some have no images)",
                          config->data.set);
    snprintf(info->network, sizeof info->network, "%s", config->student.network);
    ctkd_status status = build_student(session, err);
    if (status == CTKD_OK && distil)
        status = open_methods(session, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__weights_create(session->network, session->engine.kernels->block,
                                  &session->weights, err);
    if (status == CTKD_OK)
        status = start_weights(session, err);
    if (status == CTKD_OK)
        status = open_training(session, false, &session->training, err);
    if (status == CTKD_OK && session->methods.has_initial)
        status = open_training(session, true, &session->initial_training, err);
    if (status == CTKD_OK) {
        /* Evaluation is not part of a step: its rows stay out of the profile. */
        struct ctkd__inference_config alone = ctkd__engine_inference(&session->engine, "student");
        alone.profile = NULL;
        status = ctkd__inference_create(session->graph, &alone, &session->inference, err);
    }
    return status;
}

static ctkd_status open_teacher(struct ctkd__session *session, ctkd_error *err)
{
    const struct ctkd__config *config = session->config;
    const struct ctkd__teacher_args args = { .role = "teacher",
                                             .path = config->teacher.path,
                                             .network = config->teacher.network,
                                             .weights = config->teacher.weights,
                                             .classes = config->teacher.classes,
                                             .mean = config->teacher.mean,
                                             .std = config->teacher.std,
                                             .images = &session->data.images,
                                             .classes_max = ctkd__data_classes_max(&session->data),
                                             .batch_max = ctkd__config_pass(config),
                                             .compiled_by_taps = true };
    const ctkd_status status = ctkd__teacher_open(&args, &session->engine, &session->teacher, err);
    if (status == CTKD_OK)
        ctkd__data_take_classes(&session->data, &session->teacher->info);
    return status;
}

/* The methods of a stage. */
static ctkd_status open_method_losses(struct ctkd__session *session, unsigned stage,
                                      struct ctkd__training *training,
                                      struct ctkd__method_losses **out, ctkd_error *err)
{
    const struct ctkd__method_losses_args args = { .methods = &session->methods,
                                                   .adaptors = session->adaptors,
                                                   .stage = stage,
                                                   .training = training,
                                                   .teacher = session->teacher,
                                                   .loader = session->data.train,
                                                   .labels = session->data.dataset->train.labels,
                                                   .dist = session->engine.pass_dist,
                                                   .workers = session->engine.workers,
                                                   .profile = session->engine.profile,
                                                   .batch = ctkd__config_pass(session->config),
                                                   .classes = session->info.classes,
                                                   .seed = (uint64_t)session->config->train.seed };
    return ctkd__method_losses_create(&args, out, err);
}

static ctkd_status open_state(struct ctkd__session *session, bool distil, ctkd_error *err)
{
    ctkd_temperature *temperature = NULL;
    const size_t n_method_state =
        session->method_losses ? ctkd__method_losses_state(session->method_losses) : 0;
    ctkd_status status = CTKD_OK;
    if (distil)
        status = ctkd__step_temperature(session->config, session->info.classes, &temperature, err);
    if (status == CTKD_OK)
        status = ctkd__run_state_init(&session->state, session->weights, temperature,
                                      n_method_state, err);
    if (status != CTKD_OK) {
        ctkd_temperature_destroy(temperature);
        return status;
    }
    if (n_method_state)
        ctkd__method_losses_state_init(session->method_losses, session->state.method_state);
    if (session->methods.has_initial && session->config->method.initial_epochs > 0)
        session->state.stage = CTKD_STAGE_INITIAL;
    return CTKD_OK;
}

static ctkd_status create_step(struct ctkd__session *session, unsigned stage,
                               struct ctkd__training *training,
                               struct ctkd__method_losses *method_losses,
                               struct ctkd__training_step **out, ctkd_error *err)
{
    const struct ctkd__step_args args = {
        .config = session->config,
        .stage = stage,
        .training = training,
        .dist = session->engine.pass_dist,
        .groups_dist = session->engine.pass_dist ? NULL : session->dist,
        .slices = session->engine.slices,
        .workers = session->engine.workers,
        .profile = session->engine.profile,
        .state = &session->state,
        .trained_in = session->adaptors ? session->adaptors->trained_in : NULL,
        .teacher = session->teacher,
        .store = &session->store,
        .any_store = &session->any_store,
        .methods = &session->methods,
        .method_losses = method_losses,
        .classes = session->info.classes,
        .image_floats = session->info.channels * session->info.height * session->info.width,
    };
    return ctkd__step_create(&args, out, err);
}

/* State, schedule and the step of each stage. */
static ctkd_status open_step(struct ctkd__session *session, bool distil, ctkd_error *err)
{
    const struct ctkd__config *config = session->config;
    const size_t batch = ctkd__config_pass(config);
    const bool initial = session->methods.has_initial;
    ctkd_status status = CTKD_OK;
    if (session->methods.count)
        status = open_method_losses(session, CTKD_STAGE_MAIN, session->training,
                                    &session->method_losses, err);
    if (status == CTKD_OK && initial)
        status = open_method_losses(session, CTKD_STAGE_INITIAL, session->initial_training,
                                    &session->initial_method_losses, err);
    if (status == CTKD_OK)
        status = open_state(session, distil, err);
    if (status == CTKD_OK)
        status = ctkd__schedule_init(&session->schedule, config,
                                     ctkd__loader_batches(session->data.train), err);
    if (status == CTKD_OK)
        status = create_step(session, CTKD_STAGE_MAIN, session->training, session->method_losses,
                             &session->step, err);
    if (status == CTKD_OK && initial)
        status = create_step(session, CTKD_STAGE_INITIAL, session->initial_training,
                             session->initial_method_losses, &session->initial_step, err);
    session->logits = calloc(batch * session->info.classes, sizeof *session->logits);
    if (status == CTKD_OK && !session->logits)
        status = ctkd__fail(err, CTKD_ENOMEM, "evaluation: out of memory");
    return status;
}

/* Refuses settings that do not work with several ranks. */
static ctkd_status check_ranks(const struct ctkd__config *config, const struct ctkd__dist *dist,
                               ctkd_error *err)
{
    const size_t ranks = ctkd__dist_size(dist), images = ctkd__config_pass(config);
    if (ranks == 1)
        return CTKD_OK;
    if (images < ranks)
        return ctkd__fail(
            err, CTKD_ERANGE,
            "train.batch: found %zu ranks for %s of %zu images, expected at most as "
            "many as there are images",
            ranks, images < (size_t)config->train.batch ? "batch-norm groups" : "batches", images);
    if (config->train.tune)
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "train.tune: found true with %zu ranks, each of which would measure for "
                          "itself; expected false (train.choices takes what one process measured)",
                          ranks);
    return CTKD_OK;
}

static ctkd_status open_data_and_engine(struct ctkd__session *session, ctkd_error *err)
{
    const struct ctkd__config *const config = session->config;
    const bool views = session->methods.needs & CTKD_NEEDS_VIEWS;
    const bool whole =
        ctkd__step_groups_whole(config, &session->methods, ctkd__dist_size(session->dist));
    const unsigned use = CTKD__DATA_TRAINING | (views ? CTKD__DATA_VIEWS : 0) |
                         (whole ? CTKD__DATA_WHOLE_GROUPS : 0);
    const ctkd_status status = ctkd__data_open(config, use, session->dist, &session->data, err);
    if (status != CTKD_OK)
        return status;
    ctkd__data_digest(session->data.dataset, &session->digest);
    struct ctkd__engine_config engine = ctkd__config_engine(config, whole ? NULL : session->dist);
    engine.dist = session->dist;
    engine.alone = whole;
    return ctkd__engine_open(&engine, &session->engine, err);
}

ctkd_status ctkd__session_open(const struct ctkd__config *config, bool distil,
                               struct ctkd__dist *dist, struct ctkd__session **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__session *session = calloc(1, sizeof *session);
    if (!session)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    session->config = config;
    session->dist = dist;
    ctkd_status status = check_ranks(config, dist, err);
    if (status == CTKD_OK && distil)
        status = ctkd__methods_resolve(config, &session->methods, err);
    if (status == CTKD_OK)
        status = open_data_and_engine(session, err);
    if (status == CTKD_OK)
        status = ctkd__data_use_engine(&session->data, &session->engine, err);
    if (status == CTKD_OK && distil)
        status = open_teacher(session, err);
    if (status == CTKD_OK)
        status = open_student(session, distil, err);
    if (status == CTKD_OK && distil) /* after the last import: a stray write now faults */
        status = ctkd__teacher_protect(session->teacher, err);
    if (status == CTKD_OK)
        status = open_step(session, distil, err);
    if (status == CTKD_OK)
        *out = session;
    else
        ctkd__session_close(session);
    return status;
}

void ctkd__session_close(struct ctkd__session *session)
{
    if (!session)
        return;
    free(session->logits);
    ctkd__step_destroy(session->step);
    ctkd__step_destroy(session->initial_step);
    ctkd__method_losses_destroy(session->method_losses);
    ctkd__method_losses_destroy(session->initial_method_losses);
    ctkd__run_state_fini(&session->state);
    ctkd__inference_destroy(session->inference);
    ctkd__training_destroy(session->training);
    ctkd__training_destroy(session->initial_training);
    ctkd__weights_destroy(session->weights);
    ctkd__adaptors_destroy(session->adaptors);
    ctkd__graph_destroy(session->network);
    ctkd__teacher_store_close(session->store);
    ctkd__teacher_close(session->teacher);
    ctkd__engine_close(&session->engine);
    ctkd__data_close(&session->data);
    free(session);
}

struct ctkd__facts ctkd__session_facts(const struct ctkd__session *session)
{
    struct ctkd__facts facts = ctkd__data_facts(&session->data);
    facts.teacher_says_top1 = session->teacher && session->teacher->info.has_top1;
    facts.ranks = ctkd__dist_size(session->dist);
    return facts;
}

ctkd_status ctkd__session_peek(struct ctkd__session *session, struct ctkd__batch *next,
                               ctkd_error *err)
{
    struct ctkd__loader *const loader = session->data.train;
    *next = (struct ctkd__batch){ 0 };
    if (!session->teacher || !ctkd__loader_settings(loader)->holds_two)
        return CTKD_OK;
    return ctkd__loader_peek(loader, next, err);
}

static ctkd_status open_own_store(struct ctkd__session *session, const char *folder,
                                  char note[CTKD__STORE_NOTE], ctkd_error *err)
{
    const struct ctkd__teacher_store_args args = {
        .folder = folder,
        .teacher = session->teacher,
        .engine = &session->engine,
        .loader = session->data.train,
        .source = session->data.dataset->train.source,
        .seed = (uint64_t)session->config->train.seed,
        .epochs = (uint64_t)session->config->train.epochs,
        .images = &session->data.images,
        .images_digest = session->digest.train_images,
        .samples = session->data.dataset->train.count,
        .classes = session->info.classes,
    };
    const ctkd_status status = ctkd__teacher_store_open(&args, &session->store, note, err);
    if (session->engine.profile) /* trying the teacher is not part of a step */
        ctkd__profile_reset(session->engine.profile);
    return status;
}

ctkd_status ctkd__session_open_store(struct ctkd__session *session, char note[CTKD__STORE_NOTE],
                                     ctkd_error *err)
{
    const char *const folder = session->config->teacher.store;
    note[0] = '\0';
    if (!session->teacher)
        return CTKD_OK;
    ctkd_status status =
        ctkd__teacher_store_asked(folder) ? open_own_store(session, folder, note, err) : CTKD_OK;
    status = ctkd__dist_agree(session->dist, status, err);
    uint64_t used = session->store != NULL;
    if (status == CTKD_OK)
        status = ctkd__dist_max(session->dist, CTKD__CHANNEL_MAIN, &used, err);
    session->any_store = used != 0;
    return status;
}

ctkd_status ctkd__session_evaluate_teacher(struct ctkd__session *session,
                                           struct ctkd__scores *scores, ctkd_error *err)
{
    const struct ctkd__config *config = session->config;
    const ctkd_status status =
        ctkd__evaluate(session->data.test, session->info.classes, ctkd__teacher_forward_evaluation,
                       session->teacher, session->dist, session->logits, scores, NULL, err);
    if (session->engine.profile) /* evaluation is not part of a step */
        ctkd__profile_reset(session->engine.profile);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s", session->teacher->file);
    /* On a part of the test images the top-1 is an estimate: allow three standard errors more, each
       at most 50 / sqrt(n) points. */
    double tolerance = (double)config->teacher.tolerance;
    if (config->data.test_limit > 0)
        tolerance += 3 * 50 / sqrt((double)scores->n);
    return ctkd__teacher_check_top1(session->teacher, scores->top1,
                                    (double)config->teacher.expect_top1, tolerance, err);
}

static ctkd_status forward_student(void *context, size_t n, struct ctkd__batch_images x,
                                   float *logits, ctkd_error *err)
{
    return ctkd__inference_run_images(context, n, x, logits, NULL, err);
}

static ctkd_status evaluate_student(struct ctkd__session *session, struct ctkd__scores *scores,
                                    struct ctkd__predictions *kept, ctkd_error *err)
{
    const struct ctkd__weights student = ctkd__session_student(session);
    const ctkd_status status = ctkd__inference_load(session->inference, &student, err);
    if (status != CTKD_OK)
        return status;
    return ctkd__evaluate(session->data.test, session->info.classes, forward_student,
                          session->inference, session->dist, session->logits, scores, kept, err);
}

ctkd_status ctkd__session_evaluate(struct ctkd__session *session, struct ctkd__scores *test,
                                   struct ctkd__scores *dev, struct ctkd__predictions *kept,
                                   ctkd_error *err)
{
    const ctkd_status status = evaluate_student(session, test, kept, err);
    if (status != CTKD_OK || !session->data.dev)
        return status;
    return ctkd__evaluate(session->data.dev, session->info.classes, forward_student,
                          session->inference, session->dist, session->logits, dev, NULL, err);
}

ctkd_status ctkd__session_predict(struct ctkd__session *session, struct ctkd__predictions *student,
                                  struct ctkd__predictions *teacher, ctkd_error *err)
{
    struct ctkd__scores scores;
    const ctkd_status status =
        student->n ? CTKD_OK : evaluate_student(session, &scores, student, err);
    if (status != CTKD_OK || !session->teacher)
        return status;
    return ctkd__evaluate(session->data.test, session->info.classes,
                          ctkd__teacher_forward_evaluation, session->teacher, session->dist,
                          session->logits, &scores, teacher, err);
}
