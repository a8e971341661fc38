#include "run/run_page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/base64.h>

#include "config/arguments.h"
#include "config/run_config.h"
#include "data/picture/picture_write.h"
#include "run/arm.h"
#include "run/origin.h"
#include "train/evaluator.h"
#include "train/teacher.h"
#include "util/error.h"
#include "util/file.h"
#include "util/names.h"
#include "util/run_files.h"
#include "util/say.h"
#include "util/text.h"

enum { SIDE_MAX = 96 }; /* of an embedded picture */

/* --- images that were classified wrongly */

/* One evaluation of a run. */
struct reviewed {
    const struct ctkd__page_request *request;
    struct ctkd__page_run *run;
    struct ctkd__evaluator evaluator;
    struct ctkd__predictions student, teacher;
};

static double confidence_of(const struct ctkd__predictions *p, size_t image, size_t class)
{
    const float *const row = p->logits + image * p->classes;
    double sum = 0;
    for (size_t j = 0; j < p->classes; j++)
        sum += exp((double)row[j] - (double)row[class]);
    return 1 / sum;
}

static size_t class_of(const struct ctkd__predictions *p, size_t image)
{
    return ctkd__predicted_class(p->classes, p->logits + image * p->classes);
}

/* Keeps the most confident wrong predictions, sorted by insertion; equal ones in image order. */
static void choose_wrong(struct reviewed *r)
{
    struct ctkd__page_run *const run = r->run;
    const struct ctkd__predictions *const p = &r->student;
    for (size_t i = 0; i < p->n; i++) {
        const size_t class = class_of(p, i);
        if (class == (size_t)p->labels[i])
            continue;
        const double confidence = confidence_of(p, i, class);
        size_t at = run->n_wrong;
        while (at > 0 && run->wrong[at - 1].confidence < confidence)
            at--;
        if (at == r->request->pictures)
            continue;
        run->n_wrong += run->n_wrong < r->request->pictures;
        memmove(&run->wrong[at + 1], &run->wrong[at], (run->n_wrong - 1 - at) * sizeof *run->wrong);
        run->wrong[at] = (struct ctkd__page_picture){
            .id = i,
            .label = p->labels[i],
            .student = (int32_t) class,
            .teacher = r->teacher.n ? (int32_t)class_of(&r->teacher, i) : -1,
            .confidence = confidence,
        };
    }
}

/* Converts a normalised image to bytes; each pixel is the mean of factor x factor pixels. */
static void make_bytes(const struct ctkd__network_info *info, const float *x, size_t factor,
                       uint8_t *out)
{
    const size_t h = info->height, w = info->width;
    for (size_t y = 0; y < h / factor; y++)
        for (size_t column = 0; column < w / factor; column++)
            for (size_t c = 0; c < info->channels; c++) {
                double sum = 0;
                for (size_t i = 0; i < factor * factor; i++)
                    sum += (double)
                        x[(c * h + y * factor + i / factor) * w + column * factor + i % factor];
                const double value =
                    sum / (double)(factor * factor) * (double)info->std[c] + (double)info->mean[c];
                *out++ = (uint8_t)(255 * fmin(fmax(value, 0), 1) + 0.5);
            }
}

static ctkd_status encode(const uint8_t *file, size_t bytes, char **text, ctkd_error *err)
{
    *text = calloc(BASE64_ENCODE_RAW_LENGTH(bytes) + 1, 1);
    if (!*text)
        return ctkd__fail(err, CTKD_ENOMEM, "report: out of memory");
    base64_encode_raw(*text, bytes, file);
    return CTKD_OK;
}

/* Small images are kept pixel by pixel as PNG; larger ones are reduced to SIDE_MAX as JPEG. */
static ctkd_status make_picture(const struct ctkd__network_info *info, const float *x,
                                struct ctkd__page_picture *out, ctkd_error *err)
{
    const size_t side = info->height > info->width ? info->height : info->width;
    const size_t factor = (side + SIDE_MAX - 1) / SIDE_MAX;
    const size_t width = info->width / factor, height = info->height / factor;
    uint8_t *const pixels = calloc(width * height * info->channels + 1, 1), *file = NULL;
    size_t bytes;
    if (!pixels)
        return ctkd__fail(err, CTKD_ENOMEM, "report: out of memory");
    make_bytes(info, x, factor, pixels);
    out->type = factor > 1 ? "jpeg" : "png";
    ctkd_status status = (factor > 1 ? ctkd__picture_write_jpeg : ctkd__picture_write_png)(
        pixels, width, height, info->channels, &file, &bytes, err);
    if (status == CTKD_OK)
        status = encode(file, bytes, &out->bytes, err);
    free(file);
    free(pixels);
    return status;
}

static ctkd_status make_picture_of(const struct ctkd__network_info *info,
                                   const struct ctkd__batch *batch, size_t at,
                                   struct ctkd__page_picture *p, ctkd_error *err)
{
    const size_t plane = info->height * info->width, image = info->channels * plane;
    float *const x = malloc(image * sizeof *x);
    if (!x)
        return ctkd__fail(err, CTKD_ENOMEM, "report: out of memory");
    ctkd__batch_images_write(ctkd__batch_images_from(batch->x, at * image), 1, info->channels,
                             plane, x);
    const ctkd_status status = make_picture(info, x, p, err);
    free(x);
    return status;
}

/* The name of a test image's file, where the images are files; freed by the caller. */
static char *name_of(const struct ctkd__dataset *dataset, uint64_t id)
{
    if (!dataset->folder)
        return NULL;
    const uint32_t file = dataset->folder->layout.test.files[id];
    return strdup(ctkd__base_name(ctkd__tree_name(dataset->folder->tree, file)));
}

/* Reads the images a second time to make pictures of the chosen ones. */
static ctkd_status make_pictures(struct reviewed *r, ctkd_error *err)
{
    const struct ctkd__network_info *const info = &r->evaluator.data.images;
    struct ctkd__batch batch;
    ctkd_status status = CTKD_OK;
    size_t first = 0;
    ctkd__loader_start(r->evaluator.data.test, 1, 0);
    while ((status = ctkd__loader_next(r->evaluator.data.test, &batch, err)) == CTKD_OK &&
           batch.n > 0) {
        for (size_t i = 0; i < r->run->n_wrong && status == CTKD_OK; i++) {
            struct ctkd__page_picture *const p = &r->run->wrong[i];
            if (p->id < first || p->id >= first + batch.n)
                continue;
            const size_t at = p->id - first;
            p->name = name_of(r->evaluator.data.dataset, batch.ids[at]);
            status = make_picture_of(info, &batch, at, p, err);
        }
        if (status != CTKD_OK)
            break;
        first += batch.n;
    }
    return status;
}

static ctkd_status add_wrong(struct reviewed *r, ctkd_error *err)
{
    const size_t channels = r->evaluator.data.images.channels;
    r->run->wrong = calloc(r->request->pictures + 1, sizeof *r->run->wrong);
    if (!r->run->wrong)
        return ctkd__fail(err, CTKD_ENOMEM, "report: out of memory");
    if (channels != 1 && channels != 3)
        return CTKD_OK; /* nothing that a browser could show */
    choose_wrong(r);
    return make_pictures(r, err);
}

/* --- evaluation */

static ctkd_status predict_student(struct reviewed *r, ctkd_error *err)
{
    struct ctkd__evaluation found;
    const ctkd_status status = ctkd__evaluator_predict(
        &r->evaluator, CTKD__EVALUATED_STUDENT, r->run->dir, "", "", &found, &r->student, err);
    if (status == CTKD_OK && found.info.class_names)
        r->run->names = found.info.class_names->items;
    return status;
}

/* The teacher may have been moved since: the page then leaves it out and says so. */
static void predict_teacher(struct reviewed *r, const struct ctkd__config *config)
{
    const char *const path = config->teacher.path;
    ctkd_error why = { 0 };
    if (!path[0])
        return;
    if (ctkd__evaluator_predict_teacher(&r->evaluator, path, config->teacher.mean,
                                        config->teacher.std, &r->student, &r->teacher,
                                        &why) == CTKD_OK) {
        snprintf(r->run->teacher, sizeof r->run->teacher, "%s", path);
        return;
    }
    ctkd__predictions_free(&r->teacher);
    snprintf(r->run->note, sizeof r->run->note, "The teacher is not compared: %s", why.message);
}

static ctkd_status review(struct reviewed *r, const struct ctkd__config *config, ctkd_error *err)
{
    ctkd_status status = ctkd__evaluator_open(config, NULL, &r->evaluator, err);
    if (status != CTKD_OK)
        return status;
    status = predict_student(r, err);
    if (status == CTKD_OK)
        predict_teacher(r, config);
    if (status == CTKD_OK)
        status = ctkd__metrics(r->student.n, r->student.classes, r->student.logits,
                               r->student.labels, r->teacher.logits, &r->run->metrics, err);
    if (status == CTKD_OK)
        status = add_wrong(r, err);
    ctkd__evaluator_close(&r->evaluator);
    ctkd__predictions_free(&r->student);
    ctkd__predictions_free(&r->teacher);
    return status;
}

static ctkd_status evaluate(const struct ctkd__page_request *request, struct ctkd__page_run *run,
                            ctkd_error *err)
{
    struct ctkd__config *config;
    char note[CTKD__NOTE_BYTES];
    ctkd_status status = ctkd__config_create(&config, err);
    if (status != CTKD_OK)
        return status;
    struct reviewed reviewed = { .request = request, .run = run };
    status = ctkd__origin_configure(run->dir, config, note, err);
    for (size_t i = 0; i < request->n_settings && status == CTKD_OK; i++) {
        char *const setting = (char *)(uintptr_t)request->settings[i];
        status = ctkd__arguments_apply(1, &setting, config, err);
    }
    if (status == CTKD_OK)
        status = review(&reviewed, config, err);
    ctkd__config_destroy(config);
    return status;
}

/* --- what the directory says */

static ctkd_status add_setting(void *entries, const char *key, const char *unused,
                               const char *value, ctkd_error *err)
{
    (void)unused;
    return ctkd__page_entries_add(entries, key, value, err);
}

static ctkd_status add_settings(struct ctkd__page_run *run, ctkd_error *err)
{
    struct ctkd__config *base = NULL, *config = NULL; /* base: the recipe, or the defaults */
    char path[CTKD__RUN_PATH_BYTES + 256], seed[32];
    run->has_recipe = ctkd__run_file_exists(run->dir, CTKD__RUN_RECIPE);
    ctkd_status status = ctkd__config_create(&base, err);
    if (status == CTKD_OK)
        status = ctkd__config_create(&config, err);
    ctkd__run_file_path(run->dir, CTKD__RUN_RECIPE, path, sizeof path);
    if (status == CTKD_OK && run->has_recipe)
        status = ctkd__run_config_read(path, base, err);
    ctkd__run_file_path(run->dir, CTKD__RUN_CONFIG, path, sizeof path);
    if (status == CTKD_OK)
        status = ctkd__run_config_read(path, config, err);
    if (status == CTKD_OK)
        status = ctkd__arm_differences(base, config, add_setting, &run->settings, err);
    if (status == CTKD_OK) {
        snprintf(seed, sizeof seed, "%lld", (long long)config->train.seed);
        status = ctkd__page_entries_add(&run->settings, "train.seed", seed, err);
    }
    ctkd__config_destroy(config);
    ctkd__config_destroy(base);
    return status;
}

/* What summary.json says about the program and machine, and the command that repeats the run. */
static ctkd_status add_environment(struct ctkd__page_run *run, ctkd_error *err)
{
    static const char *const keys[] = { "version", "isa", "threads" };
    char path[CTKD__RUN_PATH_BYTES + 256], word[4 * sizeof path], text[sizeof word + 64];
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == CTKD_OK; i++) {
        const char *value = ctkd__json_rows_string(run->summary, 0, keys[i]);
        const double number = ctkd__json_rows_number(run->summary, 0, keys[i]);
        snprintf(text, sizeof text, "%.0f", number);
        if (value || isfinite(number))
            status = ctkd__page_entries_add(&run->environment, keys[i], value ? value : text, err);
    }
    const char *const command = ctkd__json_rows_string(run->summary, 0, "command");
    ctkd__run_file_path(run->dir, CTKD__RUN_CONFIG, path, sizeof path);
    snprintf(text, sizeof text, "ctkd %s %s run.dir=NEW", command ? command : "train",
             ctkd__text_shell(path, word, sizeof word));
    return status == CTKD_OK
               ? ctkd__page_entries_add(&run->environment, "the same run again", text, err)
               : status;
}

static ctkd_status collect(const struct ctkd__page_request *request,
                           const struct ctkd__curves *curves, struct ctkd__page_run *run,
                           FILE *notes, ctkd_error *err)
{
    char path[CTKD__RUN_PATH_BYTES + 256];
    ctkd_error why = { 0 };
    *run = (struct ctkd__page_run){ .dir = curves->first };
    ctkd_status status = add_settings(run, err);
    ctkd__run_file_path(run->dir, CTKD__RUN_NOTES, path, sizeof path);
    if (status == CTKD_OK && ctkd__run_file_exists(run->dir, CTKD__RUN_NOTES))
        status = ctkd__jsonl_read(path, &run->notes, err);
    ctkd__run_file_path(run->dir, CTKD__RUN_SUMMARY, path, sizeof path);
    if (status == CTKD_OK && ctkd__run_file_exists(run->dir, CTKD__RUN_SUMMARY))
        status = ctkd__jsonl_read(path, &run->summary, err);
    if (status == CTKD_OK && run->summary && ctkd__json_rows_count(run->summary) > 0)
        status = add_environment(run, err);
    if (status != CTKD_OK || !request->evaluates)
        return status;
    status = evaluate(request, run, &why);
    if (status == CTKD_ENOMEM)
        return ctkd__fail(err, status, "%s", why.message);
    if (status != CTKD_OK)
        snprintf(run->note, sizeof run->note, "The run is not evaluated: %s", why.message);
    if (run->note[0])
        ctkd__say(notes, "note: %s: %s", run->dir, run->note);
    return CTKD_OK;
}

/* --- arms */

struct compared {
    struct ctkd__arm arms[CTKD__PAGE_RUNS_MAX];
    struct ctkd__page_arm described[CTKD__PAGE_RUNS_MAX];
    struct ctkd__comparison results[CTKD__PAGE_RUNS_MAX];
    struct ctkd__compare_options options;
    bool compared;
};

static void free_arms(struct compared *c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ctkd__arm_free(&c->arms[i]);
}

/* *same: the same epoch counts in all arms. */
static ctkd_status read_arms(const struct ctkd__page_request *request, enum ctkd__arm_choice choice,
                             struct compared *c, bool *same, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    *same = true;
    for (size_t i = 0; i < request->count && status == CTKD_OK; i++) {
        status = ctkd__arm_read(request->paths[i], c->options.metric, choice, &c->arms[i], err);
        *same = *same && c->arms[i].choice == c->arms[0].choice;
    }
    c->options.choice = ctkd__arm_choice_text(c->arms[0].choice);
    return status;
}

static ctkd_status describe_arm(struct compared *c, size_t i, struct ctkd__compared_arm *values,
                                ctkd_error *err)
{
    const struct ctkd__config *const first = c->arms[0].runs->config;
    struct ctkd__page_arm *const out = &c->described[i];
    const ctkd_status status = ctkd__arm_describe(&c->arms[i], values, err);
    if (status != CTKD_OK)
        return status;
    out->spread = ctkd__spread(values->values, values->n);
    out->unfinished = c->arms[i].unfinished;
    out->t = ctkd__t_interval(values->values, values->n, 1 - c->options.level);
    ctkd__arm_differences_text(first, c->arms[i].runs->config, out->differences,
                               sizeof out->differences);
    return CTKD_OK;
}

/* Means of arms and, of two or more, their differences: the epoch counts that `ctkd compare` takes,
   or the last one where arms do not agree on it. */
static ctkd_status sum_up(const struct ctkd__page_request *request, struct compared *c,
                          ctkd_error *err)
{
    struct ctkd__compared_arm values[CTKD__PAGE_RUNS_MAX] = { { 0 } };
    bool same;
    ctkd_status status = read_arms(request, CTKD__ARM_AUTO, c, &same, err);
    if (status == CTKD_OK && !same) {
        free_arms(c, request->count);
        status = read_arms(request, CTKD__ARM_LAST, c, &same, err);
    }
    for (size_t i = 0; i < request->count && status == CTKD_OK; i++) {
        status = describe_arm(c, i, &values[i], err);
        values[i].name = request->paths[i];
    }
    if (status == CTKD_OK && request->count > 1) {
        status = ctkd__compare(values, request->count, &c->options, c->results, err);
        c->compared = status == CTKD_OK;
    }
    for (size_t i = 0; i < request->count; i++)
        ctkd__arm_describe_free(&values[i]);
    free_arms(c, request->count);
    return status;
}

/* If arms cannot be summed up or compared (no seed in common, a run that has not ended), a note
   says why. */
static ctkd_status compare(const struct ctkd__page_request *request, struct compared *c,
                           FILE *notes, ctkd_error *err)
{
    ctkd_error why = { 0 };
    const ctkd_status status = sum_up(request, c, &why);
    if (status == CTKD_ENOMEM)
        return ctkd__fail(err, status, "%s", why.message);
    if (status != CTKD_OK)
        ctkd__say(notes, "note: the runs are not %s: %s",
                  request->count > 1 ? "compared" : "summed up", why.message);
    return CTKD_OK;
}

/* --- the page */

static void free_run(struct ctkd__page_run *run)
{
    for (size_t i = 0; i < run->n_wrong; i++) {
        free(run->wrong[i].bytes);
        free(run->wrong[i].name);
    }
    free(run->wrong);
    ctkd__metrics_free(&run->metrics);
    ctkd__page_entries_free(&run->settings);
    ctkd__page_entries_free(&run->environment);
    ctkd__json_rows_destroy(run->summary);
    ctkd__json_rows_destroy(run->notes);
}

static ctkd_status write_page(const struct ctkd__page *page, const char *file, ctkd_error *err)
{
    struct ctkd__new_file out;
    const ctkd_status status = ctkd__new_file_open(&out, file, err);
    if (status != CTKD_OK)
        return status;
    ctkd__page_write(page, out.stream);
    return ctkd__new_file_commit(&out, err);
}

ctkd_status ctkd__run_page(const struct ctkd__page_request *request, const char *file, FILE *notes,
                           ctkd_error *err)
{
    struct ctkd__curves curves[CTKD__PAGE_RUNS_MAX] = { { .n_runs = 0 } };
    struct ctkd__page_run runs[CTKD__PAGE_RUNS_MAX] = { { .dir = NULL } };
    struct compared *const c = calloc(1, sizeof *c);
    if (!c)
        return ctkd__fail(err, CTKD_ENOMEM, "report: out of memory");
    c->options = ctkd__compare_defaults;
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < request->count && status == CTKD_OK; i++)
        status = ctkd__curves_read(request->paths[i], &curves[i], err);
    for (size_t i = 0; i < request->count && status == CTKD_OK; i++)
        status = collect(request, &curves[i], &runs[i], notes, err);
    if (status == CTKD_OK && (request->count > 1 || curves[0].n_runs > 1))
        status = compare(request, c, notes, err);
    const struct ctkd__page page = { .curves = curves,
                                     .runs = runs,
                                     .arms = c->described,
                                     .count = request->count,
                                     .comparison = c->compared ? c->results : NULL,
                                     .compare_options = &c->options };
    if (status == CTKD_OK)
        status = write_page(&page, file, err);
    for (size_t i = 0; i < request->count; i++) {
        free_run(&runs[i]);
        ctkd__curves_free(&curves[i]);
    }
    free(c);
    return status;
}
