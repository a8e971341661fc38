/* Checkpoints: every option of every table resumes to the same bits or is refused by its name; what
   may differ is what doc/config.md lists; states that a power cut may leave; notes on tau. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/sealed.h"
#include "run/loop.h"
#include "run/start.h"
#include "support/temp_files.h"
#include "support/tiny.h"
#include "util/clock.h"
#include "util/options_inner.h"

/* Hundreds of runs: nothing here depends on a disk that keeps its word (tests/cli/faults.sh does).
 */
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    (void)file;
    return 0;
}

enum { TRAIN = 56, TEST = 10, LINE = 3000 };

static const char *data_folder; /* data, a teacher, and the runs of a test */

static int prepare(void **state)
{
    if (temp_folder_make(state) != 0)
        return -1;
    static char kept[1024];
    snprintf(kept, sizeof kept, "%s", temp_path(*state, ""));
    data_folder = kept;
    tiny_data_write(data_folder, TRAIN, TEST);
    const struct ctkd__network_info info = tiny_network_info();
    char file[1100];
    snprintf(file, sizeof file, "%s/t.safetensors", data_folder);
    tiny_network_write(file, 77, &info);
    return 0;
}

/* 2 epochs of 4 steps, the last one short; then `settings`. */
static struct ctkd__config *config_of(const char *settings)
{
    char line[LINE];
    snprintf(line, sizeof line,
             "teacher.path=%s/t.safetensors teacher.tolerance=100 train.epochs=2 run.dir=%s/run "
             "run.force=true method.initial_epochs=1 %s",
             data_folder, data_folder, settings);
    return tiny_small_config(data_folder, line);
}

/* --- a run, whole or in two parts */

struct result {
    float *values; /* weights, statistics, velocity, temperature, methods' state */
    size_t n;
    double best, loss;
    uint64_t step;
};

static void append(struct result *result, const float *values, size_t n)
{
    result->values = realloc(result->values, (result->n + n + 1) * sizeof *values);
    assert_non_null(result->values);
    memcpy(result->values + result->n, values, n * sizeof *values);
    result->n += n;
}

static struct result result_of(const struct ctkd__session *session)
{
    const struct ctkd__run_state *state = &session->state;
    struct result result = { .best = state->best_top1,
                             .loss = state->sums.loss,
                             .step = state->step };
    append(&result, session->weights->values, session->weights->n_values);
    append(&result, session->weights->buffers, session->weights->n_buffers);
    append(&result, state->velocity, session->weights->n_values);
    if (state->n_method_state)
        append(&result, state->method_state, state->n_method_state);
    if (state->n_theta) {
        append(&result, state->theta, state->n_theta);
        append(&result, state->temperature_velocity, state->n_theta);
    }
    return result;
}

/* Runs to the end or to train.max_steps. False: the configuration is refused when it is opened
   (a method that the networks do not fit); then nothing was run. */
static bool run(const char *settings, bool resume, FILE *progress, struct result *result)
{
    struct ctkd__config *config = config_of(settings);
    struct ctkd__session *session = NULL;
    struct ctkd__run directory;
    const struct ctkd__scores teacher = { .n = 1 };
    ctkd_error err = { 0 };
    const bool opened = ctkd__config_check(config, true, &err) == CTKD_OK &&
                        ctkd__session_open(config, true, NULL, &session, &err) == CTKD_OK;
    if (opened) {
        char note[CTKD__CHECKPOINT_NOTE];
        const struct ctkd__start start = { "distill", resume, session, NULL };
        check_ok(ctkd__start_run(&start, &directory, note, &err), &err);
        const struct ctkd__loop loop = { .session = session,
                                         .run = &directory,
                                         .command = "distill",
                                         .teacher_scores = &teacher,
                                         .began = ctkd__clock_seconds(),
                                         .resumed = resume,
                                         .progress = progress };
        check_ok(ctkd__loop_run(&loop, &err), &err);
        *result = result_of(session);
        ctkd__run_close(&directory);
    } else if (err.status != CTKD_ESHAPE && err.status != CTKD_ERANGE &&
               err.status != CTKD_EINVAL) {
        fail_msg("%s: %s", settings, err.message);
    }
    ctkd__session_close(session);
    ctkd__config_destroy(config);
    return opened;
}

/* Stopped in the middle of an epoch and resumed: the same bits as not stopped. */
static bool check_resumes(const char *settings)
{
    struct result whole, cut, resumed;
    char part[LINE];
    if (!run(settings, false, NULL, &whole))
        return false;
    snprintf(part, sizeof part, "%s train.max_steps=%d", settings, whole.step > 8 ? 7 : 6);
    assert_true(run(part, false, NULL, &cut));
    assert_true(run(settings, true, NULL, &resumed));
    if (whole.n != resumed.n || whole.step != resumed.step || whole.best != resumed.best ||
        whole.loss != resumed.loss ||
        memcmp(whole.values, resumed.values, whole.n * sizeof *whole.values) != 0)
        fail_msg("'%s' does not resume to the same bits", settings);
    free(whole.values);
    free(cut.values);
    free(resumed.values);
    return true;
}

/* The i-th value of an option that is worth a run, as text; NULL behind the last. */
static const char *other_value(const ctkd_option *option, size_t i, char *text, size_t bytes)
{
    static const double numbers[] = { 1, 0.5, 2, 0.25 };
    switch (option->type) {
    case CTKD_OPTION_BOOL:
        return i > 0 ? NULL : option->value != 0 ? "false" : "true";
    case CTKD_OPTION_CHOICE:
        for (size_t j = 0; j <= i; j++)
            if (!option->choices[j])
                return NULL;
        return option->choices[i];
    case CTKD_OPTION_F32:
    case CTKD_OPTION_I64:
        for (size_t j = 0; j < 4 && i == 0; j++) {
            const double x = numbers[j];
            const bool whole = option->type == CTKD_OPTION_F32 || x >= 1;
            if (whole && x >= option->min && x <= option->max && x != option->value) {
                snprintf(text, bytes, "%g", x);
                return text;
            }
        }
        return NULL;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        break;
    }
    return NULL;
}

static bool begins(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* Every value of the options whose key begins with `prefix`, on one of two bases of settings in
   turn. */
static size_t check_options(const char *prefix, const char *const *bases)
{
    struct ctkd__config *config = config_of("");
    struct ctkd__option_at at = { 0 };
    size_t cases = 0, tried = 0;
    while (ctkd__options_next(ctkd__config_sections(config), &at)) {
        char text[32], settings[LINE];
        const char *value;
        /* A loss's options are tried with that loss. */
        if (!begins(at.key, prefix) ||
            (strcmp(prefix, "method.") == 0 && strchr(at.key + strlen(prefix), '.')))
            continue;
        for (size_t i = 0; (value = other_value(at.option, i, text, sizeof text)); i++) {
            snprintf(settings, sizeof settings, "%s %s=%s", bases[tried++ % 2], at.key, value);
            cases += check_resumes(settings);
        }
    }
    ctkd__config_destroy(config);
    return cases;
}

static const char with_instance[] =
    "train.threads=1 temperature.kind=instance schedule.kind=step schedule.milestones=1";
static const char with_global[] = "train.threads=1 temperature.kind=global schedule.kind=cosine "
                                  "schedule.warmup_epochs=1 optimizer.nesterov=true";

static void every_option_of_optimiser_schedule_and_temperature_resumes(void **state)
{
    (void)state;
    const char *const prefixes[] = { "optimizer.", "schedule.", "temperature.", "method.",
                                     "data.augment" };
    size_t cases = 0;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        cases += check_options(prefixes[i], (const char *const[]){ with_instance, with_global });
    assert_true(cases >= 30);
}

static void every_loss_and_its_options_resume(void **state)
{
    (void)state;
    size_t losses = 0, count = 0;
    for (const ctkd_loss_def *const *def = ctkd_loss_list(); *def; def++, count++) {
        char prefix[96], base[LINE];
        snprintf(prefix, sizeof prefix, "method.%s.", (*def)->name);
        snprintf(base, sizeof base, "%s method.name=%s", with_instance, (*def)->name);
        losses += check_resumes(base);
        (void)check_options(prefix, (const char *const[]){ base, base });
    }
    assert_true(count >= 6 && losses == count); /* resnet8 from resnet8 fits every method */
}

static void methods_together_resume(void **state)
{
    (void)state;
    assert_true(check_resumes("method.name=dkd,dist,kd method.weight=1,0.5,0.3 "
                              "method.warmup_epochs=2 temperature.kind=instance"));
}

/* --- refusals */

/* Whether doc/config.md lists a key as one that may differ. */
static bool documented(const char *key)
{
    char line[4096], quoted[160];
    bool inside = false, found = false;
    snprintf(quoted, sizeof quoted, "`%s`", key);
    FILE *file = fopen(CTKD_SOURCE_DIR "/doc/config.md", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (begins(line, "## "))
            inside = begins(line, "## What may differ when a run is resumed");
        found = found || (inside && strstr(line, quoted));
    }
    fclose(file);
    return found;
}

static struct ctkd__session *session_with_checkpoint(const struct ctkd__config *config)
{
    struct ctkd__run directory;
    ctkd_error err = { 0 };
    struct ctkd__session *session = tiny_session(config, true);
    check_ok(ctkd__run_create(&directory, config, &err), &err);
    check_ok(ctkd__checkpoint_save(session, "distill", directory.dir, 0, &err), &err);
    ctkd__run_close(&directory);
    return session;
}

static ctkd_status load(struct ctkd__session *session, const char *command, ctkd_error *err)
{
    char note[CTKD__CHECKPOINT_NOTE], dir[1100];
    uint64_t bytes;
    snprintf(dir, sizeof dir, "%s/run", data_folder);
    *err = (ctkd_error){ 0 };
    return ctkd__checkpoint_load(session, command, dir, &bytes, note, sizeof note, err);
}

/* A value that no other has, of any type. */
static void change(const struct ctkd__option_at *at)
{
    void *field = ctkd__option_field(at->section, at->option);
    switch (at->option->type) {
    case CTKD_OPTION_F32:
        *(float *)field += 0.5f;
        break;
    case CTKD_OPTION_I64:
        *(int64_t *)field += 1;
        break;
    case CTKD_OPTION_BOOL:
        *(bool *)field = !*(bool *)field;
        break;
    case CTKD_OPTION_CHOICE:
        *(int *)field = *(int *)field ? 0 : 1;
        break;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        *(char **)field = (char *)(uintptr_t) "something else";
        break;
    }
}

static size_t field_bytes(const ctkd_option *option)
{
    static const size_t bytes[] = {
        [CTKD_OPTION_F32] = sizeof(float),     [CTKD_OPTION_I64] = sizeof(int64_t),
        [CTKD_OPTION_BOOL] = sizeof(bool),     [CTKD_OPTION_CHOICE] = sizeof(int),
        [CTKD_OPTION_STRING] = sizeof(char *), [CTKD_OPTION_PATH] = sizeof(char *)
    };
    return bytes[option->type];
}

/* Whether a distillation without a method, from images in memory, with an instance temperature, no
   curriculum and a constant learning rate does not read a key. */
static bool is_unread(const struct ctkd__option_at *at)
{
    static const char *const unread[] = {
        "data.view",
        "data.size",
        "data.resize",
        "data.crop_scale",
        "data.orientation",
        "data.class_order",
        "data.holdout",
        "data.allow_empty",
        "data.exclude",
        "student.weights",
        "method.warmup_epochs",
        "method.initial_epochs",
        "method.initial_lr",
        "temperature.tau",
        "temperature.theta_init",
        "temperature.bias_init",
        "temperature.curriculum_epochs",
        "temperature.lambda_min",
        "schedule.milestones",
        "schedule.factor",
        "schedule.lr_min",
    };
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if (strcmp(at->key, unread[i]) == 0)
            return true;
    return at->index > 0; /* an option of a loss */
}

static void a_key_that_differs_is_refused_by_name_unless_it_is_listed_or_not_read(void **state)
{
    (void)state;
    struct ctkd__config *config =
        config_of("temperature.kind=instance temperature.curriculum=none");
    struct ctkd__session *session = session_with_checkpoint(config);
    struct ctkd__option_at at = { 0 };
    size_t refused = 0, allowed = 0;
    ctkd_error err;
    check_ok(load(session, "distill", &err), &err);
    while (ctkd__options_next(ctkd__config_sections(config), &at)) {
        char kept[16], expected[256];
        void *field = ctkd__option_field(at.section, at.option);
        memcpy(kept, field, field_bytes(at.option));
        change(&at);
        const ctkd_status status = load(session, "distill", &err);
        const bool is_free = documented(at.key) || is_unread(&at);
        memcpy(field, kept, field_bytes(at.option));
        snprintf(expected, sizeof expected, "run/last.ckpt: %s: the run has '", at.key);
        if (is_free ? status != CTKD_OK : status != CTKD_EINVAL || !strstr(err.message, expected))
            fail_msg("%s: status %d, '%s'; listed in doc/config.md or not read: %d", at.key,
                     (int)status, err.message, is_free);
        refused += status != CTKD_OK;
        allowed += status == CTKD_OK;
    }
    if (refused < 40 || allowed < 60)
        fail_msg("%zu keys were refused, %zu allowed", refused, allowed);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void a_number_of_epochs_is_compared_where_the_run_reads_it(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *key;
        bool read;
    } cases[] = {
        { "", "method.initial_epochs", false },
        { "method.name=ab", "method.initial_epochs", true },
        { "", "temperature.curriculum_epochs", true },
        { "temperature.curriculum=none", "temperature.curriculum_epochs", false },
        { "temperature.kind=fixed", "temperature.curriculum_epochs", false },
        { "method.name=dist", "temperature.curriculum_epochs", false }, /* its kind is fixed */
        { "schedule.kind=constant", "schedule.milestones", false },
        { "schedule.kind=step", "schedule.milestones", true },
        { "schedule.kind=step", "train.epochs", false },
        { "schedule.kind=cosine", "train.epochs", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ctkd__config *config = config_of(cases[i].settings);
        struct ctkd__session *session = session_with_checkpoint(config);
        char expected[128];
        ctkd_error err;
        check_ok(ctkd__sections_set(ctkd__config_sections(config), "test", cases[i].key, "7", &err),
                 &err);
        snprintf(expected, sizeof expected, "%s: the run has '7', expected '", cases[i].key);
        const ctkd_status status = load(session, "distill", &err);
        if (cases[i].read ? status != CTKD_EINVAL || !strstr(err.message, expected)
                          : status != CTKD_OK)
            fail_msg("%s, %s: status %d, '%s'", cases[i].settings, cases[i].key, (int)status,
                     err.message);
        ctkd__session_close(session);
        ctkd__config_destroy(config);
    }
}

/* Opens the run with other settings and says what it was refused for. */
static void check_refused(const char *settings, const char *command, const char *reason)
{
    struct ctkd__config *config = config_of(settings);
    ctkd_error err = { 0 };
    struct ctkd__session *session = tiny_session(config, true);
    const struct result before = result_of(session);
    const ctkd_status status = load(session, command, &err);
    const struct result after = result_of(session);
    if (status != CTKD_EINVAL || !strstr(err.message, reason))
        fail_msg("'%s': status %d, '%s', expected '%s'", settings, (int)status, err.message,
                 reason);
    assert_memory_equal(before.values, after.values, before.n * sizeof *before.values);
    free(before.values);
    free(after.values);
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void what_is_compared_beside_the_keys_is_refused_too(void **state)
{
    (void)state;
    struct ctkd__config *config = config_of("train.isa=portable");
    ctkd__session_close(session_with_checkpoint(config));
    ctkd__config_destroy(config);
    check_refused("train.isa=portable train.threads=1", "distill",
                  ": threads: the run has '1', expected '2' to resume it (train.threads=2)");
    check_refused("train.isa=portable", "train",
                  ": command: the run has 'train', expected 'distill'");
    const struct ctkd__kernels *best;
    ctkd_error err = { 0 };
    check_ok(ctkd__kernels_select("auto", &best, &err), &err);
    if (strcmp(best->name, "portable") != 0)
        check_refused("", "distill", ": kernels: the run has '");
    char other[1100], settings[LINE];
    const struct ctkd__network_info info = tiny_network_info();
    snprintf(other, sizeof other, "%s/u.safetensors", data_folder);
    tiny_network_write(other, 78, &info);
    snprintf(settings, sizeof settings, "train.isa=portable teacher.path=%s", other);
    check_refused(settings, "distill", ": teacher's weights (SHA-256): the run has '");
}

/* Adds 1 to a byte of a file of the other data set, or takes it back. */
static void change_byte(const char *folder, const char *file, long at, int by)
{
    FILE *stream = fopen(temp_path(folder, file), "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, at, SEEK_SET), 0);
    const int was = fgetc(stream);
    assert_int_equal(fseek(stream, at, SEEK_SET), 0);
    assert_int_not_equal(fputc((was + by) & 255, stream), EOF);
    assert_int_equal(fclose(stream), 0);
}

static void other_data_are_refused_wherever_they_lie(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        long at; /* behind the header: 16 bytes before pixels, 8 before labels */
        int by;
        const char *reason;
    } cases[] = {
        { "train-images-idx3-ubyte", 16 + 55 * TINY_SIDE * TINY_SIDE + 7, 1,
          ": training images (SHA-256): the run has '" },
        { "train-labels-idx1-ubyte", 8 + 55, -1, ": training labels (SHA-256): the run has '" },
        { "t10k-images-idx3-ubyte", 16, 1, ": test images (SHA-256): the run has '" },
        { "t10k-labels-idx1-ubyte", 8 + 9, -1, ": test labels (SHA-256): the run has '" },
    };
    char other[1100], settings[LINE];
    temp_folder_add(data_folder, "other");
    snprintf(other, sizeof other, "%s/other", data_folder);
    tiny_data_write(other, TRAIN, TEST);
    struct ctkd__config *config = config_of("");
    ctkd__session_close(session_with_checkpoint(config));
    ctkd__config_destroy(config);
    snprintf(settings, sizeof settings, "data.set=mnist:%s", other);
    struct result result; /* the same data at another place */
    assert_true(run(settings, true, NULL, &result));
    free(result.values);
    config = config_of("");
    ctkd__session_close(session_with_checkpoint(config));
    ctkd__config_destroy(config);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        change_byte(other, cases[i].file, cases[i].at, cases[i].by);
        check_refused(settings, "distill", cases[i].reason);
        change_byte(other, cases[i].file, cases[i].at, -cases[i].by);
    }
}

static void less_than_what_was_done_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t epoch, epoch_step, step, epochs;
        int64_t max_steps;
        const char *reason; /* NULL: loads */
    } cases[] = {
        { 5, 0, 16, 4, 0, NULL },
        { 5, 0, 16, 3, 0,
          "train.epochs: found 3, but the run has already ended epoch 4; expected "
          "at least 4" },
        { 5, 1, 17, 5, 0, NULL },
        { 5, 1, 17, 4, 0,
          "train.epochs: found 4, but the run has begun epoch 5; expected at least 5" },
        { 5, 1, 17, 9, 17, NULL },
        { 5, 1, 17, 9, 16,
          "train.max_steps: found 16, but the run has made 17 steps; expected at "
          "least as many, or 0 for no limit" },
    };
    struct ctkd__config *config = config_of("");
    struct ctkd__session *session = session_with_checkpoint(config);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ctkd_error err = { 0 };
        session->state.stage = CTKD_STAGE_MAIN;
        session->state.epoch = cases[i].epoch;
        session->state.epoch_step = cases[i].epoch_step;
        session->state.step = cases[i].step;
        check_ok(ctkd__checkpoint_save(session, "distill", config->run.dir, 0, &err), &err);
        session->state.step = 0;
        session->schedule.epochs = cases[i].epochs;
        config->train.max_steps = cases[i].max_steps;
        const ctkd_status status = load(session, "distill", &err);
        config->train.max_steps = 0;
        if (!cases[i].reason) {
            check_ok(status, &err);
            assert_int_equal(session->state.step, cases[i].step);
        } else if (status != CTKD_EINVAL || !strstr(err.message, cases[i].reason)) {
            fail_msg("case %zu: status %d, '%s'", i, (int)status, err.message);
        }
        assert_true(!cases[i].reason || session->state.step == 0); /* nothing was taken */
    }
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

static void a_checkpoint_of_another_format_is_refused(void **state)
{
    (void)state;
    struct ctkd__config *config = config_of("");
    struct ctkd__session *session = session_with_checkpoint(config);
    struct ctkd__tensors list = { 0 };
    char path[1100];
    ctkd_error err = { 0 };
    snprintf(path, sizeof path, "%s/run/last.ckpt", data_folder);
    check_ok(ctkd__sealed_read(path, &list, &err), &err);
    check_ok(ctkd__tensors_set(&list, "format", "ctkd checkpoint 0", &err), &err);
    check_ok(ctkd__sealed_write(path, &list, &err), &err);
    ctkd__tensors_fini(&list);
    assert_int_equal(load(session, "distill", &err), CTKD_EINVAL);
    assert_non_null(strstr(err.message, "last.ckpt: format: the run has 'ctkd checkpoint "));
    assert_non_null(strstr(err.message, "expected 'ctkd checkpoint 0'"));
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* Sealed with a checksum of its own and still not what a run may go on from. */
static void a_checkpoint_with_a_value_that_is_not_finite_is_refused(void **state)
{
    (void)state;
    struct ctkd__config *config = config_of("");
    struct ctkd__session *session = session_with_checkpoint(config);
    struct ctkd__tensors list = { 0 };
    char path[1100];
    ctkd_error err = { 0 };
    snprintf(path, sizeof path, "%s/run/last.ckpt", data_folder);
    check_ok(ctkd__sealed_read(path, &list, &err), &err);
    ((float *)ctkd__tensors_find(&list, "velocity")->data)[7] = NAN;
    check_ok(ctkd__sealed_write(path, &list, &err), &err);
    ctkd__tensors_fini(&list);
    assert_int_equal(load(session, "distill", &err), CTKD_ENAN);
    assert_non_null(strstr(err.message, "last.ckpt: velocity: element 7 is nan, expected"));
    ctkd__session_close(session);
    ctkd__config_destroy(config);
}

/* --- what the temperature is said to do */

static size_t count_in(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

/* How often three epochs say something. */
static size_t times_said(const char *settings, const char *words)
{
    char *text = NULL, line[LINE];
    size_t bytes = 0;
    FILE *progress = open_memstream(&text, &bytes);
    struct result result;
    assert_non_null(progress);
    snprintf(line, sizeof line, "train.epochs=3 %s", settings);
    assert_true(run(line, false, progress, &result));
    fclose(progress);
    const size_t n = count_in(text, words);
    assert_true(count_in(text, "note: temperature: ") <= 1);
    free(text);
    free(result.values);
    return n;
}

static void a_temperature_at_an_end_or_collapsed_is_said_once(void **state)
{
    (void)state;
    assert_int_equal(
        times_said("temperature.kind=global temperature.theta_init=-20",
                   "note: temperature: tau stayed at its lower end (1 to 1, of 1 to 21) during "
                   "epoch 1, where it can no longer adapt"),
        1);
    assert_int_equal(
        times_said("temperature.kind=instance temperature.set_bias=true "
                   "temperature.bias_init=40",
                   "note: temperature: tau stayed at its upper end (21 to 21, of 1 to 21)"),
        1);
    assert_int_equal(
        times_said("temperature.kind=instance temperature.lr=0.5 "
                   "temperature.weight_decay=1.8 temperature.momentum=0 "
                   "temperature.lambda_max=0",
                   "note: temperature: every sample had the same tau (11) during epoch"),
        1);
    assert_int_equal(times_said("temperature.kind=global", "note: tau"), 0);
    assert_int_equal(times_said("temperature.kind=fixed temperature.tau=1", "note: tau"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_differs_is_refused_by_name_unless_it_is_listed_or_not_read),
        cmocka_unit_test(a_number_of_epochs_is_compared_where_the_run_reads_it),
        cmocka_unit_test(what_is_compared_beside_the_keys_is_refused_too),
        cmocka_unit_test(other_data_are_refused_wherever_they_lie),
        cmocka_unit_test(less_than_what_was_done_is_refused),
        cmocka_unit_test(a_checkpoint_of_another_format_is_refused),
        cmocka_unit_test(a_checkpoint_with_a_value_that_is_not_finite_is_refused),
        cmocka_unit_test(a_temperature_at_an_end_or_collapsed_is_said_once),
        cmocka_unit_test(methods_together_resume),
        cmocka_unit_test(every_option_of_optimiser_schedule_and_temperature_resumes),
        cmocka_unit_test(every_loss_and_its_options_resume),
    };
    return cmocka_run_group_tests(tests, prepare, temp_folder_remove);
}
