#include "run/preflight.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "config/epochs.h"
#include "data/folder/in_memory.h"
#include "nn/cpus.h"
#include "train/normalisation_trials.h"
#include "util/cgroup.h"

/* If the gradients of two terms differ by more than this factor, one has almost no influence. */
static const double balance_limit = 100;
/* How many images are examined, and how far their mean and deviation may be from 0 and 1. */
enum { SAMPLE_IMAGES = 1000, SAMPLE_FILES = 64 };
static const double constants_limit = 0.3;

__attribute__((format(printf, 4, 5))) static void add_finding(struct ctkd__findings *findings,
                                                              bool problem, const char *check,
                                                              const char *format, ...)
{
    findings->problems += problem;
    if (findings->count == CTKD__FINDINGS_MAX)
        return;
    struct ctkd__finding *finding = &findings->items[findings->count++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    finding->check = check;
    finding->problem = problem;
}

/* Adds to the text in `out`, never past its end: a value may have 40 digits. */
__attribute__((format(printf, 3, 4))) static void append(char *out, size_t bytes,
                                                         const char *format, ...)
{
    const size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + used, bytes - used, format, arguments);
    va_end(arguments);
}

/* --- data */

/* How many classes have none of the first `count` images of a part, or of its images `chosen`
   [count] (if not NULL); the first four of these classes as text. */
static size_t empty_classes(const struct ctkd__images *images, const uint32_t *chosen, size_t count,
                            size_t classes, char text[64])
{
    enum { NAMED = 4 };
    bool *there = calloc(classes, sizeof *there);
    size_t empty = 0, used = 0;
    if (!there)
        return 0;
    for (size_t i = 0; i < count; i++)
        there[images->labels[chosen ? chosen[i] : i]] = true;
    for (size_t k = 0; k < classes; k++)
        if (!there[k] && empty++ < NAMED)
            used += (size_t)snprintf(text + used, 64 - used, "%s%zu", used ? ", " : "", k);
    if (empty > NAMED)
        snprintf(text + used, 64 - used, " and %zu more", empty - NAMED);
    free(there);
    return empty;
}

static void check_classes(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    const struct ctkd__dataset *dataset = session->data.dataset;
    char train[64], test[64];
    const struct ctkd__loader *loader = session->data.train;
    const bool limited = ctkd__loader_samples(loader) < dataset->train.count;
    const size_t no_train = empty_classes(&dataset->train, ctkd__loader_chosen(loader),
                                          ctkd__loader_samples(loader), dataset->classes, train);
    const size_t no_test =
        empty_classes(&dataset->test, NULL, dataset->test.count, dataset->classes, test);
    const bool by_teacher = session->teacher && ctkd__config_classes(session->config) == 0 &&
                            dataset->classes_open && no_train;
    if (by_teacher && !limited) /* by the labels alone there would be fewer classes */
        add_finding(
            findings, true, "data",
            "%zu of %zu classes have no training image (label %s): the student gets %zu outputs "
            "because the teacher has as many; data.classes=%zu confirms that, and a student with "
            "fewer needs a teacher with fewer",
            no_train, dataset->classes, train, dataset->classes, dataset->classes);
    else if (no_train)
        add_finding(
            findings, true, "data",
            "%zu of %zu classes have no training image (label %s): does %s leave out too much?",
            no_train, dataset->classes, train, limited ? "data.limit" : "data.set");
    if (no_test && !no_train)
        add_finding(
            findings, true, "data",
            "%zu of %zu classes have no test image (label %s): the accuracy does not cover them",
            no_test, dataset->classes, test);
    if (dataset->note[0])
        add_finding(findings, false, "data", "%s", dataset->note);
    if (dataset->note[0] && findings->count)
        findings->items[findings->count - 1].said = true;
    if (!no_train && !no_test)
        add_finding(
            findings, false, "data",
            "%s: %zu training and %zu test images in use, every label in 0..%zu, no class without "
            "images",
            dataset->name, ctkd__loader_samples(session->data.train),
            ctkd__loader_samples(session->data.test), dataset->classes - 1);
}

/* Mean and deviation of a channel's bytes / 255, over images spread evenly over the set. */
static void measure_channel(const struct ctkd__images *images, size_t c, double *mean, double *std)
{
    const size_t pixels = images->height * images->width;
    const size_t n = images->count < SAMPLE_IMAGES ? images->count : SAMPLE_IMAGES;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t image = i * images->count / n;
        const uint8_t *at = images->pixels + (image * images->channels + c) * pixels;
        for (size_t p = 0; p < pixels; p++) {
            sum += at[p];
            squares += (double)at[p] * at[p];
        }
    }
    const double count = (double)(n * pixels);
    *mean = sum / count / 255;
    *std = sqrt(fmax(squares / count / (255.0 * 255.0) - *mean * *mean, 0));
}

/* Decodes some image files, spread evenly over the set, to their evaluation views. False: one
   cannot be read (the run will report it), or out of memory. The caller frees sample->pixels. */
static bool sample_files(const struct ctkd__images *images, struct ctkd__images *sample)
{
    struct ctkd__image_source source = *images->source;
    const size_t n = images->count < SAMPLE_FILES ? images->count : SAMPLE_FILES;
    uint32_t *const files = malloc(n * sizeof *files);
    *sample = *images;
    sample->count = n;
    sample->pixels = malloc(n * images->channels * images->height * images->width);
    bool complete = files && sample->pixels;
    for (size_t i = 0; complete && i < n; i++)
        files[i] = images->source->files[i * images->count / n];
    source.files = files;
    complete =
        complete && ctkd__image_source_load(&source, n, NULL, sample->pixels, NULL) == CTKD_OK;
    free(files);
    return complete;
}

static void check_constants(const struct ctkd__session *session, const struct ctkd__images *images,
                            struct ctkd__findings *findings)
{
    const struct ctkd__network_info *used = &session->data.images;
    char means[96] = "", deviations[96] = "", found[160] = "";
    bool plausible = true, constant = false;
    for (size_t c = 0; c < images->channels; c++) {
        const char *comma = c ? "," : "";
        double mean, std;
        measure_channel(images, c, &mean, &std);
        const double shifted = (mean - (double)used->mean[c]) / (double)used->std[c];
        const double scaled = std / (double)used->std[c];
        plausible =
            plausible && fabs(shifted) <= constants_limit && fabs(scaled - 1) <= constants_limit;
        constant |= std < 1e-7; /* above rounding errors, below what one other pixel gives */
        append(means, sizeof means, "%s%.4g", comma, mean);
        append(deviations, sizeof deviations, "%s%.4g", comma, std);
        append(found, sizeof found, "%s%.2f and %.2f", c ? "; " : "", shifted, scaled);
    }
    if (constant)
        add_finding(
            findings, true, "normalisation",
            "every pixel of a channel has the same value in all training images (means %s, "
            "deviations %s): such a channel carries no information; expected images that differ",
            means, deviations);
    else if (plausible)
        add_finding(findings, false, "normalisation",
                    "mean and deviation of the images as loaded: %s", found);
    else
        add_finding(findings, true, "normalisation",
                    "mean and deviation of the images as loaded are %s, expected about 0 and 1: "
                    "data.mean=%s data.std=%s would fit them",
                    found, means, deviations);
}

static void check_normalisation(const struct ctkd__session *session,
                                struct ctkd__findings *findings)
{
    const struct ctkd__images *const images = &session->data.dataset->train;
    struct ctkd__images sample = { 0 };
    if (!images->source)
        check_constants(session, images, findings);
    else if (sample_files(images, &sample))
        check_constants(session, &sample, findings);
    free(sample.pixels);
}

/* A method that compares the images of a batch with each other needs at least two. */
static void check_batches(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    const size_t samples = ctkd__loader_samples(session->data.train);
    const size_t batch = (size_t)session->config->train.batch;
    if (session->methods.count == 0 || samples < 2)
        return;
    if (batch == 1)
        add_finding(
            findings, true, "batch",
            "train.batch=1: a method that compares the images of a batch with each other has none "
            "to compare; expected 2 or more");
    else if (samples % batch == 1)
        add_finding(
            findings, true, "batch",
            "the last batch of every epoch has a single image, so a method that compares images "
            "with each other has none to compare: data.limit=%zu leaves it out",
            samples - 1);
}

/* --- plans that do nothing */

/* A loss that grows with tau without bound drives a learned temperature to its upper end. Says that
   the default is therefore fixed, or warns of a temperature that was set to be learned. */
static void check_growing(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    const struct ctkd__config *config = session->config;
    const ctkd_loss_def *const def = ctkd__methods_growing(&session->methods);
    if (!def)
        return;
    if (config->temperature.kind == CTKD__KIND_AUTO) {
        const size_t at = findings->count;
        add_finding(
            findings, false, "temperature",
            "fixed at %g: the loss of %s grows as tau^2 without bound, so a learned temperature "
            "would run to its upper end and the student would diverge; temperature.kind=global or "
            "instance overrides this",
            (double)config->temperature.tau, def->name);
        if (findings->count > at)
            findings->items[at].said = true;
    } else if (config->temperature.kind != CTKD__KIND_FIXED) {
        add_finding(
            findings, true, "temperature",
            "the loss of %s grows as tau^2 without bound: a learned temperature runs to its upper "
            "end (%g), and the student may diverge; expected temperature.kind=fixed, or a low "
            "temperature.tau_span and theta_init",
            def->name, (double)(config->temperature.tau_min + config->temperature.tau_span));
    }
}

static void check_temperature(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    const struct ctkd__config *config = session->config;
    if (!session->teacher)
        return;
    check_growing(session, findings);
    if (ctkd__methods_temperature_kind(config) == CTKD_TEMPERATURE_FIXED)
        return;
    bool used = session->methods.kd_weight > 0;
    for (size_t i = 0; i < session->methods.count; i++)
        used = used || session->methods.items[i].def->needs & CTKD_NEEDS_TAU;
    if (!used)
        add_finding(
            findings, true, "temperature",
            "no term of the loss uses tau, so it learns nothing: set temperature.kind=fixed, or "
            "method.kd_weight above 0");
    else if (config->temperature.lambda_max <= 0)
        add_finding(
            findings, true, "temperature",
            "temperature.lambda_max is 0, so tau never moves: set temperature.kind=fixed, or "
            "lambda_max=1");
}

static void check_schedule(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    const struct ctkd__config *config = session->config;
    const struct ctkd__schedule *schedule = &session->schedule;
    const unsigned long long epochs = schedule->epochs;
    if (schedule->kind == CTKD__SCHEDULE_STEP && schedule->n_milestones &&
        schedule->milestones[0] >= schedule->epochs)
        add_finding(
            findings, true, "schedule",
            "the learning rate never decays: schedule.milestones=%s, train.epochs=%llu; set "
            "schedule.kind=constant if that is intended, else schedule.kind=cosine",
            config->schedule.milestones, epochs);
    else if (schedule->warmup_epochs >= schedule->epochs)
        add_finding(findings, true, "schedule",
                    "schedule.warmup_epochs=%llu covers all of train.epochs=%llu",
                    (unsigned long long)schedule->warmup_epochs, epochs);
    else
        add_finding(findings, false, "schedule", "%llu epoch%s of %llu step%s", epochs,
                    epochs == 1 ? "" : "s", (unsigned long long)schedule->steps_per_epoch,
                    schedule->steps_per_epoch == 1 ? "" : "s");
}

/* --- threads */

/* "2 threads on 2 cores (CPUs 0-1), one each, no CPU quota, 2 by default" */
static void describe_threads(const struct ctkd__workers *workers, const struct ctkd__cpus *cpus,
                             char *out, size_t bytes)
{
    char list[96], quota[64];
    const size_t threads = ctkd__workers_count(workers);
    if (cpus->quota > 0)
        snprintf(quota, sizeof quota, "a quota of %.2f CPUs", cpus->quota);
    else
        snprintf(quota, sizeof quota, "no CPU quota");
    snprintf(out, bytes, "%zu thread%s on %zu core%s (CPUs %s)%s, %s, %zu by default", threads,
             threads == 1 ? "" : "s", cpus->cores, cpus->cores == 1 ? "" : "s",
             ctkd__cpus_text(&cpus->allowed, list, sizeof list),
             ctkd__workers_pinned(workers) ? ", one each" : "", quota, cpus->threads);
}

bool ctkd__preflight_threads(const struct ctkd__engine *engine, struct ctkd__findings *findings)
{
    const size_t threads = ctkd__workers_count(engine->workers);
    const struct ctkd__cpus *const cpus = &engine->cpus;
    const bool over_quota = cpus->quota > 0 && (double)threads > ceil(cpus->quota);
    if (threads > cpus->cores)
        add_finding(
            findings, true, "threads",
            "train.threads=%zu, but this process has %zu core%s: threads will wait for each other; "
            "train.threads=%zu is faster",
            threads, cpus->cores, cpus->cores == 1 ? "" : "s", cpus->threads);
    else if (over_quota)
        add_finding(
            findings, true, "threads",
            "%zu threads, but the container or batch system grants %.2f CPUs: train.threads=%zu "
            "is faster",
            threads, cpus->quota, cpus->threads);
    return threads > cpus->cores || over_quota;
}

static void check_threads(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    const struct ctkd__workers *workers = session->engine.workers;
    const size_t threads = ctkd__workers_count(workers);
    const size_t batch = ctkd__config_pass(session->config);
    const struct ctkd__cpus *const cpus = &session->engine.cpus;
    char text[256];
    if (ctkd__preflight_threads(&session->engine, findings))
        return;
    if (batch < threads) {
        add_finding(
            findings, true, "threads",
            "train.batch=%zu leaves some of %zu threads idle: expected at least one image for each",
            batch, threads);
        return;
    }
    describe_threads(workers, cpus, text, sizeof text);
    add_finding(findings, false, "threads", "%s; %s kernels", text, session->engine.kernels->name);
}

/* --- disk and memory */

/* Bytes of the run directory at its largest: three checkpoints and three weights files, since one
   of each exists twice while it is replaced, and the log. */
static double disk_needed(const struct ctkd__session *session)
{
    const struct ctkd__weights *weights = session->weights;
    const struct ctkd__schedule *schedule = &session->schedule;
    const double values = (double)weights->n_values, buffers = (double)weights->n_buffers;
    const double checkpoint = 4 * (2 * values + buffers + (double)session->state.n_method_state);
    const int64_t log_every = session->config->train.log_every;
    const double epochs = (double)schedule->epochs;
    const double steps = epochs * (double)schedule->steps_per_epoch;
    const double lines = epochs * 600 + (log_every ? steps / (double)log_every * 400 : 0);
    return 3 * checkpoint + 3 * 4 * (values + buffers) + lines + 3 * 65536;
}

/* The file system of a folder that may not exist yet. */
static bool find_disk(const char *dir, struct statvfs *disk)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", dir);
    while (statvfs(path, disk) != 0) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return statvfs(".", disk) == 0;
        *(slash == path ? slash + 1 : slash) = '\0';
        if (slash == path)
            return statvfs("/", disk) == 0;
    }
    return true;
}

static void check_disk(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    struct statvfs disk;
    const char *dir = session->config->run.dir;
    const double needed = disk_needed(session);
    if (!find_disk(dir, &disk))
        return;
    const double available = (double)disk.f_bavail * (double)disk.f_frsize;
    if (available < needed)
        add_finding(
            findings, true, "disk",
            "run.dir: %s: %.1f MB free, the run needs about %.1f MB: free some space, or set "
            "another run.dir",
            dir, 1e-6 * available, 1e-6 * needed);
    else
        add_finding(findings, false, "disk", "%s: needs about %.1f MB, %.1f GB free", dir,
                    1e-6 * needed, 1e-9 * available);
}

/* Our defaults never choose oneDNN's reference code. If it runs, train.conv asked for oneDNN, or
   the layer is of a kind for which we have no kernels. */
static void check_convolutions(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    char first[CTKD__REFERENCE_BYTES], other[CTKD__REFERENCE_BYTES];
    size_t student = ctkd__training_references(session->training, first), teacher = 0;
    if (session->teacher && session->teacher->inference)
        teacher = ctkd__inference_references(session->teacher->inference, other);
    const size_t count = student + teacher;
    if (count == 0)
        add_finding(findings, false, "convolutions", "all run optimised kernels (%s)",
                    session->engine.kernels->name);
    else
        add_finding(
            findings, true, "convolutions",
            "train.conv: %s: oneDNN has only its reference code, which is 10 to 100 times slower, "
            "for the %s's %s (%zu in all); train.conv=auto uses other kernels where they exist",
            session->config->train.conv, student ? "student" : "teacher", student ? first : other,
            count);
}

void ctkd__preflight_session(const struct ctkd__session *session, struct ctkd__findings *findings)
{
    check_classes(session, findings);
    check_batches(session, findings);
    check_normalisation(session, findings);
    check_schedule(session, findings);
    check_temperature(session, findings);
    check_threads(session, findings);
    check_disk(session, findings);
    check_convolutions(session, findings);
}

ctkd_status ctkd__preflight_teacher(struct ctkd__session *session,
                                    const struct ctkd__scores *scores,
                                    struct ctkd__findings *findings, ctkd_error *err)
{
    struct ctkd__trials trials = { .count = 0 };
    const struct ctkd__teacher *const teacher = session->teacher;
    const size_t classes = session->info.classes;
    ctkd_status status = CTKD_OK;
    if (ctkd__normalisation_doubtful(scores->top1, classes))
        status = ctkd__normalisation_try(session->teacher, session->data.test,
                                         &session->data.images, session->dist, &trials, err);
    if (session->engine.profile) /* not part of a step */
        ctkd__profile_reset(session->engine.profile);
    if (status != CTKD_OK)
        return status;
    const struct ctkd__trial *const best = &trials.items[trials.best];
    if (trials.best)
        add_finding(
            findings, true, "teacher",
            "%s: test top-1 %.2f %% with %s (its constants), but %.2f %% of %zu images with %s: "
            "teacher.mean=%s teacher.std=%s",
            teacher->file, scores->top1, trials.items[0].name, best->top1, trials.n, best->name,
            best->mean, best->std);
    else if (ctkd__normalisation_near_chance(scores->top1, classes))
        add_finding(
            findings, true, "teacher",
            "%s: test top-1 %.2f %%, chance is %.2f %%: wrong weights or data set; no known "
            "normalisation does better (see `ctkd check`)",
            teacher->file, scores->top1, 100.0 / (double)classes);
    else
        add_finding(findings, false, "teacher",
                    "%s: test top-1 %.2f %% of %zu images, constants %s", teacher->file,
                    scores->top1, scores->n, ctkd__source_text(teacher->normalisation_source));
    return CTKD_OK;
}

/* --- balance */

struct term {
    const char *name, *key;
    double norm; /* NaN: there is no such term, or it has no gradient on the logits */
};

void ctkd__preflight_balance(const struct ctkd__session *session,
                             const struct ctkd__step_report *first, struct ctkd__findings *findings)
{
    /* The method's term at its full weight: undo the warm-up, which is 1 / warmup in epoch 1. */
    const struct ctkd__config *config = session->config;
    const double warmup = fmax((double)ctkd__epochs_of(config, config->method.warmup_epochs), 1);
    const struct term terms[] = {
        { "cross-entropy", "method.ce_weight", (double)first->gradient_ce },
        { "KD", "method.kd_weight", (double)first->gradient_kd },
        { "method", "method.weight", warmup * (double)first->gradient_method },
    };
    const struct term *least = NULL, *most = NULL;
    char text[200] = "";
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        if (!(terms[i].norm > 0))
            continue;
        least = !least || terms[i].norm < least->norm ? &terms[i] : least;
        most = !most || terms[i].norm > most->norm ? &terms[i] : most;
        append(text, sizeof text, "%s%s %.3g", text[0] ? ", " : "", terms[i].name, terms[i].norm);
    }
    if (!session->teacher || !least)
        return;
    if (most->norm > balance_limit * least->norm)
        add_finding(
            findings, true, "balance",
            "gradients on the logits at the first step: %s: the %s term has almost no influence "
            "beside %s; %s and %s change that",
            text, least->name, most->name, least->key, most->key);
    else
        add_finding(findings, false, "balance", "gradients on the logits at the first step: %s",
                    text);
}

/* --- cost */

static void duration(double seconds, char *out, size_t bytes)
{
    if (seconds < 120)
        snprintf(out, bytes, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(out, bytes, "%.0f min", seconds / 60);
    else
        snprintf(out, bytes, "%.1f h", seconds / 3600);
}

void ctkd__preflight_cost(const struct ctkd__session *session, struct ctkd__cost *cost,
                          struct ctkd__findings *findings)
{
    const struct ctkd__config *config = session->config;
    const struct ctkd__schedule *schedule = &session->schedule;
    const double per_epoch = (double)schedule->steps_per_epoch, epochs = (double)schedule->epochs;
    double steps = epochs * per_epoch;
    if (session->initial_step)
        steps += (double)ctkd__epochs_of(config, config->method.initial_epochs) * per_epoch;
    if (config->train.max_steps > 0)
        steps = fmin(steps, (double)config->train.max_steps);
    steps = fmax(steps - (double)session->state.step, 0); /* a resumed run has done some */
    const double evaluations =
        ceil(fmin(epochs, steps / per_epoch) / (double)config->train.eval_every);
    const double limit = 60 * (double)config->train.max_minutes, memory = ctkd__memory_limit();
    char total[32];
    cost->run = steps * cost->step + evaluations * cost->evaluation;
    cost->memory_bytes = (double)ctkd__memory_peak();
    cost->disk_bytes = disk_needed(session);
    duration(cost->run, total, sizeof total);
    if (limit > 0 && cost->run > limit)
        add_finding(
            findings, true, "time",
            "about %s, but train.max_minutes=%g stops it earlier: continue with --resume until it "
            "is done",
            total, (double)config->train.max_minutes);
    else
        add_finding(findings, false, "time",
                    "about %s: %.0f steps of %.1f ms, %.0f evaluations of %.1f s", total, steps,
                    1e3 * cost->step, evaluations, cost->evaluation);
    if (cost->memory_bytes > 0.9 * memory)
        add_finding(
            findings, true, "memory",
            "%.2f GB of the %.2f GB that this process may use: a smaller train.batch needs less",
            1e-9 * cost->memory_bytes, 1e-9 * memory);
    else
        add_finding(findings, false, "memory", "%.2f GB of %.2f GB", 1e-9 * cost->memory_bytes,
                    1e-9 * memory);
}
