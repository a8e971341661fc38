#include "cli/doctor_data.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/cli.h"
#include "data/folder/survey.h"
#include "io/jsonl.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/file.h"
#include "util/run_files.h"
#include "util/say.h"
#include "util/text.h"

/* The kind of data set that NAME:PATH names, if it consists of image files; else NULL. */
static const struct ctkd__dataset_def *find_def(const char *spec)
{
    const struct ctkd__dataset_def *const def = strchr(spec, ':') ? ctkd__dataset_find(spec) : NULL;
    return def && def->in_files ? def : NULL;
}

/* A configuration has neither ending. */
static bool is_archive(const char *name)
{
    const char *const dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".zip") == 0 || strcasecmp(dot, ".tar") == 0);
}

bool ctkd__doctor_is_data(const char *name, char *set, size_t bytes)
{
    if (find_def(name)) {
        snprintf(set, bytes, "%s", name);
        return true;
    }
    const bool folder = ctkd__is_folder(name) && !ctkd__run_file_exists(name, CTKD__RUN_CONFIG);
    if (!folder && !is_archive(name))
        return false;
    snprintf(set, bytes, "imagefolder:%s", name);
    return true;
}

/* --- output */

/* "duplicate  train/a.jpg: the bytes of val/b.jpg", one line for each finding of a file,
   whatever its name is. */
static void print_file(const struct ctkd__survey *survey, size_t i)
{
    const struct ctkd__surveyed *const file = &survey->files[i];
    if (file->fault)
        ctkd__say(stdout, "unreadable  %s", file->fault); /* names the file */
    if (file->same != i) {
        const struct ctkd__surveyed *const original = &survey->files[file->same];
        ctkd__say(stdout, "duplicate   %s: the bytes of %s%s%s", file->name, original->name,
                  file->test == original->test ? ""
                  : file->test                 ? ", a training image"
                                               : ", a test image",
                  strcmp(file->class, original->class) ? ", in another class" : "");
    }
    if (file->damaged)
        ctkd__say(stdout, "damaged     %s: corrupt codes, decoded as Pillow does", file->name);
    if (file->cmyk)
        ctkd__say(stdout, "cmyk        %s", file->name);
    if (file->orientation != 1)
        ctkd__say(stdout, "rotated     %s: EXIF orientation %d", file->name, file->orientation);
    if (file->odd)
        ctkd__say(stdout, "odd size    %s: %zu x %zu", file->name, file->width, file->height);
}

/* The name of a file that is left out, as data.exclude has it. */
static const char *name_left_out(const struct ctkd__tree *tree, const struct ctkd__layout *layout,
                                 size_t i)
{
    return ctkd__tree_name(tree, layout->left_out.items[i].file) + layout->base_bytes;
}

static void print_text(const struct ctkd__survey *s, const struct ctkd__tree *tree,
                       const struct ctkd__layout *layout)
{
    for (size_t i = 0; i < s->count; i++)
        print_file(s, i);
    for (size_t i = 0; i < layout->left_out.count; i++)
        ctkd__say(stdout, "left out    %s: %s", name_left_out(tree, layout, i),
                  layout->left_out.items[i].why);
    printf("%zu training and %zu test images of %zu classes: %zu unreadable, %zu duplicate (%zu of "
           "them in both parts), %zu damaged, %zu cmyk, %zu rotated, %zu of odd size\n",
           layout->train.count, layout->test.count, layout->classes->count, s->unreadable,
           s->copies, s->across_parts, s->damaged, s->cmyk, s->rotated, s->odd);
    if (layout->not_read[0])
        printf("left out: %s (JPEG, PNG, WebP and PPM are read)\n", layout->not_read);
    if (layout->unused[0])
        ctkd__say(stdout,
                  "not used: %s (test images are those of the first of val/, valid/, validation/, "
                  "test/ and testing/)",
                  layout->unused);
}

static void write_left_out(struct ctkd__jsonl *json, const struct ctkd__tree *tree,
                           const struct ctkd__layout *layout)
{
    ctkd__jsonl_string(json, "left_out", layout->not_read);
    ctkd__jsonl_list_begin(json, "left_out_files");
    for (size_t i = 0; i < layout->left_out.count; i++) {
        ctkd__jsonl_item_begin(json);
        ctkd__jsonl_string(json, "file", name_left_out(tree, layout, i));
        ctkd__jsonl_string(json, "why", layout->left_out.items[i].why);
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
    ctkd__jsonl_string(json, "not_used", layout->unused);
}

static ctkd_status print_json(const struct ctkd__survey *s, const struct ctkd__tree *tree,
                              const struct ctkd__layout *layout, ctkd_error *err)
{
    struct ctkd__jsonl json = { .stream = stdout };
    const struct {
        const char *key;
        size_t value;
    } counts[] = { { "train", layout->train.count },
                   { "test", layout->test.count },
                   { "classes", layout->classes->count },
                   { "unreadable", s->unreadable },
                   { "duplicates", s->copies },
                   { "in_both_parts", s->across_parts },
                   { "damaged", s->damaged },
                   { "cmyk", s->cmyk },
                   { "rotated", s->rotated },
                   { "odd_size", s->odd } };
    ctkd__jsonl_begin(&json);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        ctkd__jsonl_integer(&json, counts[i].key, (int64_t)counts[i].value);
    write_left_out(&json, tree, layout);
    ctkd__jsonl_list_begin(&json, "files");
    for (size_t i = 0; i < s->count; i++) {
        const struct ctkd__surveyed *const file = &s->files[i];
        if (!file->fault && file->same == i && !file->damaged && !file->cmyk && !file->odd &&
            file->orientation == 1)
            continue;
        ctkd__jsonl_item_begin(&json);
        ctkd__jsonl_string(&json, "file", file->name);
        ctkd__jsonl_string(&json, "part", file->test ? "test" : "train");
        ctkd__jsonl_string(&json, "class", file->class);
        if (file->fault)
            ctkd__jsonl_string(&json, "unreadable", file->fault);
        if (file->same != i)
            ctkd__jsonl_string(&json, "duplicate_of", s->files[file->same].name);
        ctkd__jsonl_boolean(&json, "damaged", file->damaged);
        ctkd__jsonl_boolean(&json, "cmyk", file->cmyk);
        ctkd__jsonl_integer(&json, "orientation", file->orientation);
        ctkd__jsonl_integer(&json, "width", (int64_t)file->width);
        ctkd__jsonl_integer(&json, "height", (int64_t)file->height);
        ctkd__jsonl_boolean(&json, "odd_size", file->odd);
        ctkd__jsonl_item_end(&json);
    }
    ctkd__jsonl_list_end(&json);
    return ctkd__jsonl_end(&json, err);
}

/* A file whose name data.exclude would not read must not be missing in the list silently. */
static ctkd_status check_names(const struct ctkd__survey *survey, const char *path, ctkd_error *err)
{
    for (size_t i = 0; i < survey->count; i++)
        if (ctkd__survey_excludes(&survey->files[i], i) &&
            !ctkd__text_is_line(survey->files[i].name))
            return ctkd__fail(err, CTKD_EFORMAT,
                              "--exclude: %s was not written: found the file name '%.200s', "
                              "expected a line of UTF-8 text, as data.exclude reads names: rename "
                              "the file",
                              path, survey->files[i].name);
    return CTKD_OK;
}

static ctkd_status write_exclusions(const struct ctkd__survey *survey, const char *path,
                                    ctkd_error *err)
{
    struct ctkd__new_file file;
    size_t count = 0;
    ctkd_status status = check_names(survey, path, err);
    if (status == CTKD_OK)
        status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < survey->count; i++)
        if (ctkd__survey_excludes(&survey->files[i], i)) {
            fprintf(file.stream, "%s\n", survey->files[i].name);
            count++;
        }
    ctkd__say(stderr, "%s: %zu image%s for data.exclude", path, count, count == 1 ? "" : "s");
    return ctkd__new_file_commit(&file, err);
}

/* --- progress */

struct live {
    double last; /* seconds */
    bool shown;
};

static void show_progress(void *context, size_t done, size_t total)
{
    struct live *const live = context;
    const double now = ctkd__clock_seconds();
    if (now - live->last < 0.2 && done < total)
        return;
    live->last = now;
    live->shown = true;
    fprintf(stderr, "\r%zu of %zu images decoded", done, total);
    fflush(stderr);
}

/* Says if data.holdout was given for data with a validation folder. */
static void note_holdout(const struct ctkd__config *config, const struct ctkd__layout *layout)
{
    static const char *const keys[] = { "data.holdout", NULL };
    const struct ctkd__facts facts = { .has_test = !layout->held_out };
    ctkd__cli_note_unused(config, CTKD__READER_OF_LIST, &facts, "`ctkd doctor DATA`", keys);
}

static ctkd_status survey_tree(const struct ctkd__config *config, const struct ctkd__tree *tree,
                               const struct ctkd__dataset_options *options, const char *exclude,
                               bool json, size_t *problems, ctkd_error *err)
{
    struct ctkd__layout layout;
    struct ctkd__survey survey;
    struct live live = { .last = ctkd__clock_seconds() };
    ctkd_status status = ctkd__layout_find(tree, &options->layout, &layout, err);
    if (status != CTKD_OK)
        return status;
    note_holdout(config, &layout);
    status = ctkd__survey_make(tree, &layout, options->pixels_max,
                               isatty(STDERR_FILENO) ? show_progress : NULL, &live, &survey, err);
    if (live.shown)
        fprintf(stderr, "\r%40s\r", "");
    if (status == CTKD_OK) {
        *problems = survey.unreadable + survey.across_parts;
        if (json)
            status = print_json(&survey, tree, &layout, err);
        else
            print_text(&survey, tree, &layout);
        if (status == CTKD_OK && exclude)
            status = write_exclusions(&survey, exclude, err);
        ctkd__survey_free(&survey);
    }
    ctkd__layout_fini(&layout);
    return status;
}

int ctkd__doctor_data(const struct ctkd__config *config, const char *exclude, bool json)
{
    struct ctkd__dataset_options options;
    struct ctkd__tree *tree = NULL;
    ctkd_error err = { 0 };
    size_t problems = 0;
    const struct ctkd__dataset_def *const def = find_def(config->data.set);
    ctkd_status status = ctkd__config_dataset(config, &options, &err);
    if (status == CTKD_OK && !def)
        status = ctkd__fail(&err, CTKD_EINVAL,
                            "data.set: found '%s', expected a data set of image files, such as "
                            "imagefolder:PATH",
                            config->data.set);
    if (status == CTKD_OK)
        status = ctkd__tree_open(strchr(config->data.set, ':') + 1, def->mounts, &tree, &err);
    if (status == CTKD_OK)
        status = survey_tree(config, tree, &options, exclude, json, &problems, &err);
    ctkd__tree_close(tree);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    return problems ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}
