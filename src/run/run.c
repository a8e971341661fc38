#include "run/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/epochs.h"
#include "config/run_config.h"
#include "ctkd/ctkd.h"
#include "data/dataset.h"
#include "train/step.h"
#include "util/cgroup.h"
#include "util/error.h"
#include "util/file.h"
#include "util/run_files.h"
#include "util/text.h"

enum { PATH_BYTES = CTKD__RUN_PATH_BYTES };

static ctkd_status set_string(char **field, const char *text, ctkd_error *err)
{
    char *copy = strdup(text);
    if (!copy)
        return ctkd__fail(err, CTKD_ENOMEM, "run: out of memory");
    free(*field);
    *field = copy;
    return CTKD_OK;
}

/* The last part of a path without .safetensors: the teacher's part of a run's name. */
static void short_name(const char *path, char *out, size_t bytes)
{
    ctkd__last_part(path, out, bytes);
    char *extension = strstr(out, ".safetensors");
    if (extension && extension != out)
        *extension = '\0';
}

static void make_name(const struct ctkd__config *config, bool distil, char *out, size_t bytes)
{
    const int set = (int)ctkd__dataset_name_length(config->data.set);
    char teacher[128];
    short_name(config->teacher.path, teacher, sizeof teacher);
    char methods[256];
    struct ctkd__methods resolved;
    if (ctkd__methods_resolve(config, &resolved, NULL) != CTKD_OK)
        resolved.count = 0; /* refused elsewhere, with the reason */
    ctkd__methods_text(&resolved, methods, sizeof methods);
    if (distil)
        snprintf(out, bytes, "distill-%.*s-%s-%s-%s-%s-seed%lld", set, config->data.set, teacher,
                 config->student.network, methods, ctkd__methods_temperature_text(config),
                 (long long)config->train.seed);
    else
        snprintf(out, bytes, "train-%.*s-%s-seed%lld", set, config->data.set,
                 config->student.network, (long long)config->train.seed);
    for (char *at = out; *at; at++) /* a path in place of a name is refused later, under its key */
        if (*at == '/')
            *at = '-';
}

ctkd_status ctkd__run_resolve(struct ctkd__config *config, bool distil, ctkd_error *err)
{
    char text[512];
    ctkd_status status = CTKD_OK;
    if (!config->run.name[0]) {
        make_name(config, distil, text, sizeof text);
        status = set_string(&config->run.name, text, err);
    }
    if (status == CTKD_OK && strchr(config->run.name, '/'))
        return ctkd__fail(err, CTKD_EINVAL, "run.name: found '%s', expected a name without '/'",
                          config->run.name);
    if (status == CTKD_OK && !config->run.dir[0]) {
        snprintf(text, sizeof text, "runs/%s", config->run.name);
        status = set_string(&config->run.dir, text, err);
    }
    if (status == CTKD_OK && strlen(config->run.dir) >= sizeof((struct ctkd__run *)0)->dir)
        status = ctkd__fail(err, CTKD_ERANGE, "run.dir: the path is too long");
    return status == CTKD_OK ? ctkd__epochs_resolve(config, err) : status;
}

/* Whether `dir` is a writable folder or can be created: then its nearest existing parent must be
   writable. */
static ctkd_status check_writable(const char *dir, ctkd_error *err)
{
    char path[1024];
    struct stat info;
    snprintf(path, sizeof path, "%s", dir);
    while (stat(path, &info) != 0) {
        char *slash = strrchr(path, '/');
        if (errno != ENOENT && errno != ENOTDIR)
            return ctkd__fail(err, CTKD_EIO, "run.dir: cannot create %s: %s", dir, strerror(errno));
        if (slash == path || !slash)
            snprintf(path, sizeof path, "%s", slash ? "/" : ".");
        else
            *slash = '\0';
    }
    if (!S_ISDIR(info.st_mode))
        return ctkd__fail(err, CTKD_EEXIST, "run.dir: %s is a file, expected a directory", path);
    if (access(path, W_OK | X_OK) != 0)
        return ctkd__fail(err, CTKD_EIO, "run.dir: cannot write into %s: %s", path,
                          strerror(errno));
    return CTKD_OK;
}

/* CTKD_EEXIST: the directory holds a run that must not be replaced. */
static ctkd_status check_no_run(const struct ctkd__config *config, ctkd_error *err)
{
    for (unsigned i = 0; i < CTKD__RUN_FILES_WRITTEN && !config->run.force; i++)
        if (ctkd__run_file_exists(config->run.dir, i))
            return ctkd__fail(err, CTKD_EEXIST,
                              "run.dir: %s holds a run (%s), expected a new directory; --resume "
                              "continues it, --force replaces it",
                              config->run.dir, ctkd__run_file_name(i));
    return CTKD_OK;
}

ctkd_status ctkd__run_check(const struct ctkd__config *config, ctkd_error *err)
{
    const ctkd_status status = check_writable(config->run.dir, err);
    return status == CTKD_OK ? check_no_run(config, err) : status;
}

static ctkd_status write_config(const struct ctkd__run *run, enum ctkd__run_file name,
                                const struct ctkd__config *config, ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__new_file file;
    ctkd__run_file_path(run->dir, name, path, sizeof path);
    const ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    ctkd__sections_write_yaml(ctkd__config_sections(config), file.stream);
    return ctkd__new_file_commit(&file, err);
}

ctkd_status ctkd__run_save_recipe(const struct ctkd__run *run, const char *recipe, ctkd_error *err)
{
    struct ctkd__config *config;
    ctkd_status status = ctkd__config_create(&config, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__run_config_read(recipe, config, err);
    if (status == CTKD_OK)
        status = write_config(run, CTKD__RUN_RECIPE, config, err);
    ctkd__config_destroy(config);
    return status;
}

ctkd_status ctkd__run_save_choices(const struct ctkd__run *run, const struct ctkd__choices *choices,
                                   ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__new_file file;
    ctkd__run_file_path(run->dir, CTKD__RUN_CHOICES, path, sizeof path);
    const ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    ctkd__choices_write(choices, file.stream);
    return ctkd__new_file_commit(&file, err);
}

enum { OWNER_BYTES = 128 };

/* What a lock file says about its process: "process 123 on node7", or "". */
static void read_owner(int file, char owner[OWNER_BYTES])
{
    const ssize_t n = pread(file, owner, OWNER_BYTES - 1, 0);
    owner[n > 0 ? n : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
}

/* CTKD_EEXIST; the message names the process that holds the lock, as recorded in the file. */
static ctkd_status refuse_locked(const struct ctkd__run *run, int file, ctkd_error *err)
{
    char owner[OWNER_BYTES];
    read_owner(file, owner);
    return ctkd__fail(err, CTKD_EEXIST,
                      "run.dir: %s is in use by %s; only one process may write it", run->dir,
                      owner[0] ? owner : "another process");
}

/* An advisory lock ends with its process, however that dies, so a lock file that is left behind
   locks nothing. */
static ctkd_status lock(struct ctkd__run *run, ctkd_error *err)
{
    char path[PATH_BYTES], host[64] = "", text[128];
    ctkd__run_file_path(run->dir, CTKD__RUN_LOCK, path, sizeof path);
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", path, strerror(errno));
    int refused = flock(file, LOCK_EX | LOCK_NB);
    /* A killed process holds its lock until its memory is freed: wait up to two seconds. */
    for (int i = 0; i < 100 && refused && errno == EWOULDBLOCK; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
        refused = flock(file, LOCK_EX | LOCK_NB);
    }
    if (refused) {
        const ctkd_status status =
            errno == EWOULDBLOCK
                ? refuse_locked(run, file, err)
                : ctkd__fail(err, CTKD_EIO, "cannot lock %s: %s", path, strerror(errno));
        close(file);
        return status;
    }
    run->lock = file;
    gethostname(host, sizeof host - 1);
    const int length = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(file, 0) != 0 || pwrite(file, text, (size_t)length, 0) != length)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", path, strerror(errno));
    return CTKD_OK;
}

/* Removes what a process left that was killed while it wrote one of the run's files: beside a large
   network each of them may take gigabytes. Called by the holder of the lock. */
static void remove_temporaries(const struct ctkd__run *run)
{
    DIR *const folder = opendir(run->dir);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        unsigned file = 0;
        while (file < CTKD__RUN_FILES &&
               !ctkd__is_temporary(entry->d_name, ctkd__run_file_name(file)))
            file++;
        if (file < CTKD__RUN_FILES)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
}

ctkd_status ctkd__run_check_free(const struct ctkd__config *config, ctkd_error *err)
{
    struct ctkd__run run = { .lock = -1, .config = config };
    char path[PATH_BYTES];
    ctkd_status status = CTKD_OK;
    snprintf(run.dir, sizeof run.dir, "%s", config->run.dir);
    ctkd__run_file_path(run.dir, CTKD__RUN_LOCK, path, sizeof path);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return CTKD_OK; /* no run was ever locked here */
    if (flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        status = refuse_locked(&run, file, err);
    close(file);
    return status;
}

ctkd_status ctkd__run_open(struct ctkd__run *run, const struct ctkd__config *config,
                           ctkd_error *err)
{
    *run = (struct ctkd__run){ .lock = -1, .config = config };
    snprintf(run->dir, sizeof run->dir, "%s", config->run.dir);
    const ctkd_status status = lock(run, err);
    if (status == CTKD_OK)
        remove_temporaries(run);
    return status;
}

static ctkd_status remove_file(const struct ctkd__run *run, enum ctkd__run_file file,
                               ctkd_error *err)
{
    char path[PATH_BYTES];
    ctkd__run_file_path(run->dir, file, path, sizeof path);
    return unlink(path) == 0 || errno == ENOENT
               ? CTKD_OK
               : ctkd__fail(err, CTKD_EIO, "cannot replace %s: %s", path, strerror(errno));
}

ctkd_status ctkd__run_continue_log(struct ctkd__run *run, const struct ctkd__config *config,
                                   uint64_t bytes, uint64_t *found, ctkd_error *err)
{
    char path[PATH_BYTES];
    struct stat info;
    ctkd__run_file_path(run->dir, CTKD__RUN_LOG, path, sizeof path);
    if (stat(path, &info) == 0 && (uint64_t)info.st_size > bytes &&
        truncate(path, (off_t)bytes) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", path, strerror(errno));
    ctkd_status status = write_config(run, CTKD__RUN_CONFIG, config, err);
    if (status == CTKD_OK) /* both describe an end that no longer is one */
        status = remove_file(run, CTKD__RUN_SUMMARY, err);
    if (status == CTKD_OK)
        status = remove_file(run, CTKD__RUN_EVALUATION, err);
    if (status == CTKD_OK)
        status = ctkd__jsonl_open(&run->log, path, true, err);
    if (status == CTKD_OK)
        status = ctkd__jsonl_sync(&run->log, found, err);
    if (status == CTKD_OK)
        status = ctkd__results_open(&run->results, run->dir, config, err);
    return status;
}

ctkd_status ctkd__run_create(struct ctkd__run *run, const struct ctkd__config *config,
                             ctkd_error *err)
{
    *run = (struct ctkd__run){ .lock = -1, .config = config };
    snprintf(run->dir, sizeof run->dir, "%s", config->run.dir);
    char path[PATH_BYTES];
    ctkd_status status = ctkd__run_check(config, err);
    if (status == CTKD_OK)
        status = ctkd__folders_create(run->dir, err);
    if (status == CTKD_OK)
        status = lock(run, err);
    if (status == CTKD_OK) /* again: another process may have begun a run before the lock */
        status = check_no_run(config, err);
    if (status == CTKD_OK)
        remove_temporaries(run);
    for (unsigned i = 0; i < CTKD__RUN_FILES_WRITTEN && status == CTKD_OK; i++)
        status = remove_file(run, i, err);
    if (status == CTKD_OK) /* config.yaml must not make a later call replace a run */
        status =
            ctkd__sections_set(ctkd__config_sections(config), run->dir, "run.force", "false", err);
    if (status == CTKD_OK)
        status = write_config(run, CTKD__RUN_CONFIG, config, err);
    if (status == CTKD_OK) {
        ctkd__run_file_path(run->dir, CTKD__RUN_LOG, path, sizeof path);
        status = ctkd__jsonl_open(&run->log, path, false, err);
    }
    if (status == CTKD_OK)
        status = ctkd__results_open(&run->results, run->dir, config, err);
    return status;
}

void ctkd__run_close(struct ctkd__run *run)
{
    ctkd__results_close(&run->results);
    ctkd__jsonl_close(&run->log);
    if (run->lock >= 0)
        close(run->lock); /* unlocks */
    run->lock = -1;
}

/* A network file system may not share locks between machines, so that a lock held on another one
   seems free. Only a lock file written on this host can be trusted. */
static bool owner_is_here(int file)
{
    char owner[OWNER_BYTES], host[64] = "";
    read_owner(file, owner);
    gethostname(host, sizeof host - 1);
    const char *const on = strstr(owner, " on ");
    return !on || strcmp(on + strlen(" on "), host) == 0;
}

bool ctkd__run_abandoned(const char *dir)
{
    char path[PATH_BYTES];
    ctkd__run_file_path(dir, CTKD__RUN_LOCK, path, sizeof path);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT;
    const bool abandoned = flock(file, LOCK_SH | LOCK_NB) == 0 && owner_is_here(file);
    close(file);
    return abandoned;
}

enum ctkd__run_end ctkd__run_end(const char *dir)
{
    char path[PATH_BYTES];
    struct ctkd__json_rows *summary = NULL;
    if (!ctkd__run_file_exists(dir, CTKD__RUN_SUMMARY))
        return CTKD__RUN_END_NONE;
    ctkd__run_file_path(dir, CTKD__RUN_SUMMARY, path, sizeof path);
    const bool read =
        ctkd__jsonl_read(path, &summary, NULL) == CTKD_OK && ctkd__json_rows_count(summary) > 0;
    const char *const status = read ? ctkd__json_rows_string(summary, 0, "status") : NULL;
    const bool done = status && strcmp(status, "done") == 0;
    ctkd__json_rows_destroy(summary);
    return done ? CTKD__RUN_END_DONE : CTKD__RUN_END_INTERRUPTED;
}

bool ctkd__run_begun(const struct ctkd__config *config)
{
    return ctkd__run_file_exists(config->run.dir, CTKD__RUN_CONFIG);
}

static double mean_or_nan(double sum, uint64_t n)
{
    return n ? sum / (double)n : (double)NAN;
}

/* The quantile `part` of an epoch's temperatures, interpolated within its bin; NaN: no samples. */
static double tau_quantile(const struct ctkd__run_state *state, const struct ctkd__config *config,
                           double part)
{
    double total = 0, below = 0;
    for (size_t i = 0; i < CTKD__TAU_BINS; i++)
        total += (double)state->tau_counts[i];
    const double least = (double)config->temperature.tau_min;
    const double width = (double)config->temperature.tau_span / CTKD__TAU_BINS;
    for (size_t i = 0; i < CTKD__TAU_BINS && total > 0; i++) {
        const double count = (double)state->tau_counts[i];
        if (below + count >= part * total && count > 0)
            return least + width * ((double)i + (part * total - below) / count);
        below += count;
    }
    return (double)NAN;
}

/* With an instance temperature: quantiles over the samples of the epoch. */
static void log_quantiles(struct ctkd__jsonl *log, const struct ctkd__run_state *state,
                          const struct ctkd__config *config)
{
    static const struct {
        const char *key;
        double part;
    } quantiles[] = { { "tau_q05", 0.05 },
                      { "tau_q25", 0.25 },
                      { "tau_q50", 0.5 },
                      { "tau_q75", 0.75 },
                      { "tau_q95", 0.95 } };
    if (config->temperature.kind != CTKD_TEMPERATURE_INSTANCE || !state->temperature)
        return;
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        ctkd__jsonl_number(log, quantiles[i].key, tau_quantile(state, config, quantiles[i].part));
}

/* With several methods: the unweighted loss of each. */
static void log_losses(struct ctkd__jsonl *log, const struct ctkd__methods *methods,
                       const double *losses, double images)
{
    for (size_t i = 0; i < methods->count && methods->count > 1; i++) {
        char key[48];
        snprintf(key, sizeof key, "loss_%s", methods->items[i].def->name);
        ctkd__jsonl_number(log, key, losses[i] / images);
    }
}

/* The stage is named only where there is more than the main one. */
static void log_stage(struct ctkd__jsonl *log, const struct ctkd__run_state *state,
                      const struct ctkd__methods *methods)
{
    if (methods->has_initial)
        ctkd__jsonl_string(log, "stage", state->stage == CTKD_STAGE_INITIAL ? "initial" : "main");
}

/* Only with data.dev. */
static void log_dev(struct ctkd__jsonl *log, const struct ctkd__scores *dev,
                    const struct ctkd__config *config)
{
    const double none = (double)NAN;
    if (!(config->data.dev > 0))
        return;
    ctkd__jsonl_number(log, "dev_top1", dev ? dev->top1 : none);
    ctkd__jsonl_number(log, "dev_top5", dev ? dev->top5 : none);
    ctkd__jsonl_number(log, "dev_loss", dev ? dev->loss : none);
}

/* Where the teacher's logits of the epoch came from; null without a store. */
static void log_store(struct ctkd__jsonl *log, const struct ctkd__epoch_sums *sums)
{
    const bool used = sums->teacher.hits + sums->teacher.misses > 0;
    const double none = (double)NAN;
    ctkd__jsonl_number(log, "teacher_hits", used ? (double)sums->teacher.hits : none);
    ctkd__jsonl_number(log, "teacher_misses", used ? (double)sums->teacher.misses : none);
    ctkd__jsonl_number(log, "teacher_damaged", used ? (double)sums->teacher.damaged : none);
}

/* Means over the batches; null if this process loaded none in the epoch. */
static void log_loading(struct ctkd__jsonl *log, const struct ctkd__loading *loading)
{
    ctkd__jsonl_number(log, "data_ms", mean_or_nan(1e3 * loading->seconds, loading->batches));
    ctkd__jsonl_number(log, "wait_ms",
                       mean_or_nan(1e-6 * (double)loading->waited_ns, loading->batches));
}

/* null: one process, or this one made no step of the epoch. */
static void log_ranks(struct ctkd__jsonl *log, const struct ctkd__epoch_ranks *ranks)
{
    ctkd__jsonl_integer(log, "ranks", (int64_t)ranks->count);
    ctkd__jsonl_integer(log, "threads", (int64_t)ranks->threads);
    ctkd__jsonl_integer(log, "slices", (int64_t)ranks->slices);
    ctkd__jsonl_integer(log, "bn_group", (int64_t)ranks->norm_images);
    ctkd__jsonl_number(log, "comm_ms", 1e3 * ranks->exchanges);
    ctkd__jsonl_number(log, "comm_exposed_ms", 1e3 * ranks->exposed);
    ctkd__jsonl_number(log, "comm_wait_ms", 1e3 * ranks->waited);
    ctkd__jsonl_number(log, "comm_bytes", ranks->bytes);
}

double ctkd__run_lambda(const struct ctkd__config *config, const struct ctkd__run_state *state,
                        const struct ctkd__step_report *report)
{
    const bool reversed = state->temperature && state->stage == CTKD_STAGE_MAIN &&
                          ctkd__methods_temperature_kind(config) != CTKD_TEMPERATURE_FIXED;
    return reversed ? (double)report->lambda : (double)NAN;
}

ctkd_status ctkd__run_log_epoch(struct ctkd__run *run, const struct ctkd__run_state *state,
                                const struct ctkd__methods *methods,
                                const struct ctkd__step_report *last,
                                const struct ctkd__scores *test, ctkd_error *err)
{
    const struct ctkd__epoch_sums *sums = &state->sums;
    const double none = (double)NAN; /* written as null */
    struct ctkd__jsonl *log = &run->log;
    ctkd__jsonl_begin(log);
    ctkd__jsonl_string(log, "kind", "epoch");
    log_stage(log, state, methods);
    ctkd__jsonl_integer(log, "epoch", (int64_t)state->epoch);
    ctkd__jsonl_integer(log, "step", (int64_t)state->step);
    ctkd__jsonl_number(log, "lr", (double)last->lr);
    ctkd__jsonl_number(log, "lambda", ctkd__run_lambda(run->config, state, last));
    ctkd__jsonl_number(log, "tau", mean_or_nan(sums->tau, sums->images));
    ctkd__jsonl_number(log, "tau_min", (double)sums->tau_min);
    ctkd__jsonl_number(log, "tau_max", (double)sums->tau_max);
    log_quantiles(log, state, run->config);
    ctkd__jsonl_number(log, "tau_grad", mean_or_nan(sums->tau_gradient, sums->steps));
    ctkd__jsonl_number(log, "loss", mean_or_nan(sums->loss, sums->images));
    ctkd__jsonl_number(log, "loss_ce", mean_or_nan(sums->loss_ce, sums->images));
    ctkd__jsonl_number(log, "loss_kd", mean_or_nan(sums->loss_kd, sums->images));
    ctkd__jsonl_number(log, "loss_method", mean_or_nan(sums->loss_method, sums->images));
    log_losses(log, methods, sums->losses, (double)sums->images);
    ctkd__jsonl_number(log, "train_top1", mean_or_nan(100.0 * (double)sums->correct, sums->images));
    ctkd__jsonl_number(log, "test_top1", test ? test->top1 : none);
    ctkd__jsonl_number(log, "test_top5", test ? test->top5 : none);
    ctkd__jsonl_number(log, "test_loss", test ? test->loss : none);
    log_dev(log, test && state->dev.n ? &state->dev : NULL, run->config);
    ctkd__jsonl_number(log, "images_per_second", (double)sums->images / sums->seconds);
    log_loading(log, &state->loading);
    log_store(log, sums);
    log_ranks(log, &state->ranks);
    ctkd__jsonl_number(log, "seconds", state->seconds);
    const ctkd_status status = ctkd__jsonl_end(log, err);
    return status == CTKD_OK ? ctkd__results_follow(&run->results, state, err) : status;
}

ctkd_status ctkd__run_log_step(struct ctkd__run *run, const struct ctkd__run_state *state,
                               const struct ctkd__methods *methods,
                               const struct ctkd__step_report *report, ctkd_error *err)
{
    struct ctkd__jsonl *log = &run->log;
    ctkd__jsonl_begin(log);
    ctkd__jsonl_string(log, "kind", "step");
    log_stage(log, state, methods);
    ctkd__jsonl_integer(log, "epoch", (int64_t)state->epoch);
    ctkd__jsonl_integer(log, "step", (int64_t)state->step);
    ctkd__jsonl_number(log, "lr", (double)report->lr);
    ctkd__jsonl_number(log, "lambda", ctkd__run_lambda(run->config, state, report));
    ctkd__jsonl_number(log, "tau", (double)report->tau_mean);
    ctkd__jsonl_number(log, "tau_min", (double)report->tau_min);
    ctkd__jsonl_number(log, "tau_max", (double)report->tau_max);
    ctkd__jsonl_number(log, "tau_grad", (double)report->tau_gradient);
    ctkd__jsonl_number(log, "loss", (double)report->loss);
    ctkd__jsonl_number(log, "loss_ce", (double)report->loss_ce);
    ctkd__jsonl_number(log, "loss_kd", (double)report->loss_kd);
    ctkd__jsonl_number(log, "loss_method", (double)report->loss_method);
    double losses[CTKD__METHODS_MAX];
    for (size_t i = 0; i < CTKD__METHODS_MAX; i++)
        losses[i] = (double)report->losses[i];
    log_losses(log, methods, losses, 1);
    const ctkd_status status = ctkd__jsonl_end(log, err);
    return status == CTKD_OK ? ctkd__results_follow(&run->results, state, err) : status;
}

ctkd_status ctkd__run_save(const struct ctkd__run *run, enum ctkd__run_file file,
                           const struct ctkd__weights *weights,
                           const struct ctkd__network_info *info, ctkd_error *err)
{
    char path[PATH_BYTES];
    ctkd__run_file_path(run->dir, file, path, sizeof path);
    return ctkd__network_file_write(path, weights, info, err);
}

static void summarise_teacher(struct ctkd__jsonl *json, const struct ctkd__summary *summary)
{
    if (!summary->teacher)
        return;
    char methods[256];
    ctkd__jsonl_string(json, "teacher", summary->teacher->network);
    ctkd__jsonl_number(json, "teacher_top1", summary->teacher_scores->top1);
    ctkd__jsonl_string(json, "method",
                       ctkd__methods_text(summary->methods, methods, sizeof methods));
    ctkd__jsonl_string(json, "temperature", ctkd__methods_temperature_text(summary->config));
}

static void summarise_student(struct ctkd__jsonl *json, const struct ctkd__summary *summary)
{
    const struct ctkd__scores *test = summary->test;
    const struct ctkd__run_state *state = summary->state;
    const double none = (double)NAN; /* written as null */
    ctkd__jsonl_string(json, "network", summary->student->network);
    ctkd__jsonl_integer(json, "parameters", (int64_t)summary->parameters);
    ctkd__jsonl_string(json, "dataset", summary->student->dataset);
    ctkd__jsonl_integer(json, "seed", summary->config->train.seed);
    ctkd__jsonl_integer(json, "epochs", (int64_t)state->epoch - 1);
    ctkd__jsonl_integer(json, "steps", (int64_t)state->step);
    ctkd__jsonl_number(json, "top1", test ? test->top1 : none);
    ctkd__jsonl_number(json, "top5", test ? test->top5 : none);
    ctkd__jsonl_number(json, "loss", test ? test->loss : none);
    ctkd__jsonl_integer(json, "n", test ? (int64_t)test->n : 0);
    /* Over all epochs; the published code keeps its best only in the second half of training. */
    ctkd__jsonl_number(json, "best_top1", state->best_epoch ? state->best_top1 : none);
    ctkd__jsonl_integer(json, "best_epoch", (int64_t)state->best_epoch);
    const bool dev = summary->config->data.dev > 0;
    ctkd__jsonl_string(json, "best_chosen_on", dev ? "validation part" : "test images");
    if (dev)
        ctkd__jsonl_number(json, "best_dev_top1", state->best_epoch ? state->best_dev_top1 : none);
}

/* Size of last.safetensors; 0: there is none. */
static int64_t weights_bytes(const struct ctkd__run *run)
{
    char path[PATH_BYTES];
    struct stat info;
    ctkd__run_file_path(run->dir, CTKD__RUN_LAST, path, sizeof path);
    return stat(path, &info) == 0 ? info.st_size : 0;
}

ctkd_status ctkd__run_summarise(const struct ctkd__run *run, const struct ctkd__summary *summary,
                                ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__new_file file;
    ctkd__run_file_path(run->dir, CTKD__RUN_SUMMARY, path, sizeof path);
    ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__jsonl json = { .stream = file.stream };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "command", summary->command);
    ctkd__jsonl_string(&json, "status", summary->status);
    ctkd__jsonl_string(&json, "name", summary->config->run.name);
    summarise_student(&json, summary);
    summarise_teacher(&json, summary);
    ctkd__jsonl_number(&json, "seconds", summary->state->seconds);
    ctkd__jsonl_number(&json, "images_per_second", summary->images_per_second);
    ctkd__jsonl_integer(&json, "ranks", (int64_t)summary->ranks);
    ctkd__jsonl_integer(&json, "threads", (int64_t)summary->threads);
    ctkd__jsonl_string(&json, "isa", summary->isa);
    ctkd__jsonl_integer(&json, "memory_bytes", (int64_t)ctkd__memory_peak());
    ctkd__jsonl_integer(&json, "weights_bytes", weights_bytes(run));
    ctkd__jsonl_string(&json, "version", CTKD_VERSION_STRING);
    status = ctkd__jsonl_end(&json, err);
    if (status != CTKD_OK) {
        ctkd__new_file_abandon(&file);
        return ctkd__fail_within(err, status, "%s", path);
    }
    return ctkd__new_file_commit(&file, err);
}
