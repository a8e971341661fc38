/* The part of the selftest on whole runs, in a folder of its own: files, repetition, resuming. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "config/methods.h"
#include "ctkd/random.h"
#include "io/sealed.h"
#include "run/loop.h"
#include "run/start.h"
#include "selftest/selftest.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/file.h"
#include "util/run_files.h"

enum {
    SIDE = 16,
    TRAIN = 80,
    TEST = 20,
    STEPS = 10,
    CUT = 8,
    PATH_BYTES = 1100,
    FILE_LIMIT = 1 << 26
};

/* --- a data set in MNIST's format: noise with stripes, whose number is the class */

static void put_u32(FILE *file, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(value >> shift & 255), file);
}

static void write_images(FILE *file, uint32_t n)
{
    put_u32(file, 0x803);
    put_u32(file, n);
    put_u32(file, SIDE);
    put_u32(file, SIDE);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t p = 0; p < SIDE * SIDE; p++) {
            const uint32_t label = i % 10, stripe = p / SIDE * (label + 1) / SIDE % 2;
            const uint32_t noise = ctkd_random_below(n, CTKD_RANDOM_TEST, i, p, 40);
            fputc((int)(20 + 20 * label * stripe + noise), file);
        }
}

static void write_labels(FILE *file, uint32_t n)
{
    put_u32(file, 0x801);
    put_u32(file, n);
    for (uint32_t i = 0; i < n; i++)
        fputc((int)(i % 10), file);
}

static ctkd_status write_data(const char *folder, ctkd_error *err)
{
    static const struct {
        const char *name;
        void (*write)(FILE *file, uint32_t n);
        uint32_t n;
    } files[] = { { "train-images-idx3-ubyte", write_images, TRAIN },
                  { "train-labels-idx1-ubyte", write_labels, TRAIN },
                  { "t10k-images-idx3-ubyte", write_images, TEST },
                  { "t10k-labels-idx1-ubyte", write_labels, TEST } };
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == CTKD_OK; i++) {
        char path[PATH_BYTES];
        struct ctkd__new_file file;
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        status = ctkd__new_file_open(&file, path, err);
        if (status != CTKD_OK)
            break;
        files[i].write(file.stream, files[i].n);
        status = ctkd__new_file_commit(&file, err);
    }
    return status;
}

/* --- runs */

struct plan {
    const char *folder;
    const char *run; /* name of its folder */
    bool distil, resume;
    int max_steps;      /* 0: to the end */
    const char *method; /* "none", or a loss that is added to CE and KD */
};

static ctkd_status set(struct ctkd__config *config, const char *key, const char *value,
                       ctkd_error *err)
{
    return ctkd__sections_set(ctkd__config_sections(config), "selftest", key, value, err);
}

ctkd_status ctkd__selftest_make_small(struct ctkd__config *config, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++)
        for (const ctkd_option *o = (*def)->options; o && o->name && status == CTKD_OK; o++) {
            char key[96], text[32];
            double value;
            if (!ctkd__selftest_smaller(o, &value))
                continue;
            snprintf(key, sizeof key, "method.%s.%s", (*def)->name, o->name);
            snprintf(text, sizeof text, "%.0f", value);
            status = set(config, key, text, err);
        }
    return status;
}

static ctkd_status configure(const struct plan *plan, struct ctkd__config *config, ctkd_error *err)
{
    char data[PATH_BYTES], dir[PATH_BYTES], teacher[PATH_BYTES], steps[32];
    snprintf(data, sizeof data, "mnist:%s", plan->folder);
    snprintf(dir, sizeof dir, "%s/%s", plan->folder, plan->run);
    snprintf(teacher, sizeof teacher, "%s/teacher", plan->folder);
    snprintf(steps, sizeof steps, "%d", plan->max_steps);
    const char *const settings[][2] = { { "data.set", data },
                                        { "run.dir", dir },
                                        { "run.name", "selftest" },
                                        { "run.force", "true" },
                                        { "student.network", "resnet8" },
                                        { "train.epochs", "2" },
                                        { "train.batch", "16" },
                                        { "train.max_steps", steps },
                                        { "schedule.kind", "cosine" },
                                        { "optimizer.nesterov", "true" },
                                        { "optimizer.lr", "0.01" },
                                        { "optimizer.clip_norm", "1" },
                                        { "temperature.kind", "instance" },
                                        { "teacher.path", plan->distil ? teacher : "" },
                                        { "teacher.tolerance", "100" },
                                        { "method.name", plan->distil ? plan->method : "none" },
                                        { "method.initial_epochs", "1" } };
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < sizeof settings / sizeof *settings && status == CTKD_OK; i++)
        status = set(config, settings[i][0], settings[i][1], err);
    if (status == CTKD_OK)
        status = ctkd__selftest_make_small(config, err);
    if (status == CTKD_OK)
        status = ctkd__config_check(config, plan->distil, err);
    return status;
}

/* A run, or its rest, as `ctkd train` and `ctkd distill` do it. */
static ctkd_status train(const struct plan *plan, ctkd_error *err)
{
    struct ctkd__config *config;
    struct ctkd__session *session = NULL;
    ctkd_status status = ctkd__config_create(&config, err);
    if (status != CTKD_OK)
        return status;
    status = configure(plan, config, err);
    if (status == CTKD_OK)
        status = ctkd__session_open(config, plan->distil, NULL, &session, err);
    struct ctkd__scores teacher = { 0 };
    if (status == CTKD_OK && plan->distil)
        status = ctkd__session_evaluate_teacher(session, &teacher, err);
    if (status == CTKD_OK) {
        struct ctkd__run run;
        char note[CTKD__CHECKPOINT_NOTE];
        const struct ctkd__start start = { "selftest", plan->resume, session, NULL };
        status = ctkd__start_run(&start, &run, note, err);
        const struct ctkd__loop loop = { .session = session,
                                         .run = &run,
                                         .command = "selftest",
                                         .teacher_scores = plan->distil ? &teacher : NULL,
                                         .began = ctkd__clock_seconds(),
                                         .resumed = plan->resume };
        if (status == CTKD_OK)
            status = ctkd__loop_run(&loop, err);
        ctkd__run_close(&run);
    }
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    return status;
}

/* Whether two runs ended with the same weights, to the bit. */
static ctkd_status same_weights(const char *folder, const char *a, const char *b, bool *same,
                                ctkd_error *err)
{
    const char *const runs[2] = { a, b };
    char *text[2] = { NULL, NULL };
    size_t bytes[2];
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < 2 && status == CTKD_OK; i++) {
        char path[PATH_BYTES];
        char dir[PATH_BYTES - 64];
        snprintf(dir, sizeof dir, "%s/%s", folder, runs[i]);
        ctkd__run_file_path(dir, CTKD__RUN_LAST, path, sizeof path);
        status = ctkd__file_read(path, FILE_LIMIT, &text[i], &bytes[i], err);
    }
    if (status == CTKD_OK)
        *same = bytes[0] == bytes[1] && memcmp(text[0], text[1], bytes[0]) == 0;
    free(text[0]);
    free(text[1]);
    return status;
}

/* --- verdicts */

static void report_same(struct ctkd__selftest *test, ctkd_status status, bool same,
                        const char *what, const char *figure, const ctkd_error *err)
{
    if (status != CTKD_OK)
        ctkd__selftest_report(test, false, what, "%s", err->message);
    else
        ctkd__selftest_report(test, same, what, "%s", same ? figure : "the final weights differ");
}

static bool check_repetition(struct ctkd__selftest *test, const char *folder)
{
    ctkd_error err = { 0 };
    bool same = false;
    struct plan plan = { .folder = folder, .run = "teacher", .method = "none" };
    ctkd_status status = train(&plan, &err);
    plan.run = "again";
    if (status == CTKD_OK)
        status = train(&plan, &err);
    if (status == CTKD_OK)
        status = same_weights(folder, "teacher", "again", &same, &err);
    report_same(test, status, same, "repetition", "two runs of 10 steps end with the same bits",
                &err);
    return status == CTKD_OK;
}

/* Whether a distillation that is stopped in the middle of its second epoch and resumed ends with
   the weights of one that is not. `methods` as method.name takes them. */
static ctkd_status resumes(const char *folder, const char *methods, bool *same, ctkd_error *err)
{
    struct plan plan = { .folder = folder, .run = "whole", .distil = true, .method = methods };
    ctkd_status status = train(&plan, err);
    plan.run = "cut";
    plan.max_steps = CUT;
    if (status == CTKD_OK)
        status = train(&plan, err);
    plan.max_steps = 0;
    plan.resume = true;
    if (status == CTKD_OK)
        status = train(&plan, err);
    return status == CTKD_OK ? same_weights(folder, "whole", "cut", same, err) : status;
}

static void report_resumed(struct ctkd__selftest *test, const char *method, ctkd_status status,
                           bool same, const char *others, const ctkd_error *err)
{
    char what[96], figure[160];
    snprintf(what, sizeof what, "resuming: distillation, method %s", method);
    snprintf(figure, sizeof figure,
             "stopped after %d of %d steps and resumed, it ends with the same bits%s", CUT, STEPS,
             others);
    report_same(test, status, same, what, figure, err);
}

static void check_resuming(struct ctkd__selftest *test, const char *folder, const char *method)
{
    ctkd_error err = { 0 };
    bool same = false;
    const ctkd_status status = resumes(folder, method, &same, &err);
    report_resumed(test, method, status, same, "", &err);
}

/* Tests several methods in one run, which takes the time of one; if that fails, each by itself. */
static void check_group(struct ctkd__selftest *test, const char *folder,
                        const ctkd_loss_def *const *defs, size_t n)
{
    char names[CTKD__METHODS_MAX * 24] = "", others[64];
    ctkd_error err = { 0 };
    bool same = false;
    for (size_t i = 0, used = 0; i < n && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? "," : "",
                                 defs[i]->name);
    const ctkd_status status = resumes(folder, names, &same, &err);
    snprintf(others, sizeof others, ", with %zu other methods in the run", n - 1);
    for (size_t i = 0; i < n && !(test->failures && test->first_failure_ends); i++)
        if (status == CTKD_OK && same)
            report_resumed(test, defs[i]->name, status, same, others, &err);
        else
            check_resuming(test, folder, defs[i]->name);
}

/* Writes, syncs, renames and reads back a sealed file. */
static void check_writing(struct ctkd__selftest *test, const char *folder)
{
    const int64_t shape = 1 << 18;
    char path[PATH_BYTES];
    struct ctkd__tensors list = { 0 };
    struct ctkd__tensor *tensor;
    struct statvfs disk;
    ctkd_error err = { 0 };
    snprintf(path, sizeof path, "%s/proof", folder);
    ctkd_status status = ctkd__tensors_add(&list, "proof", CTKD__F32, 1, &shape, &tensor, &err);
    for (int64_t i = 0; i < shape && status == CTKD_OK; i++)
        ((float *)tensor->data)[i] = ctkd_random_uniform(1, CTKD_RANDOM_TEST, 0, (uint64_t)i);
    if (status == CTKD_OK)
        status = ctkd__sealed_write(path, &list, &err);
    ctkd__tensors_fini(&list);
    const double free_gb =
        statvfs(folder, &disk) == 0 ? 1e-9 * (double)disk.f_bavail * (double)disk.f_frsize : 0;
    if (status == CTKD_OK)
        ctkd__selftest_report(test, true, "writing",
                              "%s: a file was written, synced, renamed and read back; %.1f GB free",
                              test->dir, free_gb);
    else
        ctkd__selftest_report(test, false, "writing", "%s", err.message);
}

static void check_runs(struct ctkd__selftest *test, const char *folder)
{
    ctkd_error err = { 0 };
    if (write_data(folder, &err) != CTKD_OK) {
        ctkd__selftest_report(test, false, "repetition", "%s", err.message);
        return;
    }
    if (!check_repetition(test, folder) || (test->failures && test->first_failure_ends))
        return;
    check_resuming(test, folder, "none");
    const ctkd_loss_def *const *def = ctkd_loss_list();
    while (*def && !(test->failures && test->first_failure_ends)) {
        size_t n = 0;
        while (n < CTKD__METHODS_MAX && def[n])
            n++;
        check_group(test, folder, def, n);
        def += n;
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* A part in a folder of its own, which is removed. */
static void in_folder(struct ctkd__selftest *test, const char *part,
                      void (*check)(struct ctkd__selftest *test, const char *folder))
{
    char folder[PATH_BYTES - 64];
    const int length =
        snprintf(folder, sizeof folder, "%s/ctkd-selftest-XXXXXX", test->dir[0] ? test->dir : ".");
    if (length < 0 || (size_t)length >= sizeof folder || !mkdtemp(folder)) {
        ctkd__selftest_report(test, false, part, "%s: cannot create a folder in it: %s", test->dir,
                              strerror(errno));
        return;
    }
    check(test, folder);
    if (nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS) != 0)
        ctkd__selftest_report(test, false, "cleaning", "cannot remove %s: %s", folder,
                              strerror(errno));
}

void ctkd__selftest_writing(struct ctkd__selftest *test)
{
    in_folder(test, "writing", check_writing);
}

void ctkd__selftest_runs(struct ctkd__selftest *test)
{
    in_folder(test, "runs", check_runs);
}
