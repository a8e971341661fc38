#include "run/run_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/file.h"
#include "util/run_files.h"

enum { PATH_BYTES = CTKD__RUN_PATH_BYTES };

/* --- images.txt has a line for each file: "train" or "test", the class and the name, separated by
   tabs */

struct lister {
    const struct ctkd__dataset *dataset;
    int part;
    size_t id;
};

static const struct ctkd__layout_part *part_of(const struct lister *lister)
{
    const struct ctkd__layout *const layout = &lister->dataset->folder->layout;
    return lister->part == 0 ? &layout->train : &layout->test;
}

/* Moves to the next file and sets *class and *name to its own, borrowed from the data set; false at
   the end. */
static bool next_file(struct lister *lister, const char **class, const char **name)
{
    while (lister->part < 2 && lister->id == part_of(lister)->count) {
        lister->part++;
        lister->id = 0;
    }
    if (lister->part == 2)
        return false;
    const struct ctkd__layout_part *const part = part_of(lister);
    *class = lister->dataset->class_names->items[part->labels[lister->id]];
    *name = ctkd__tree_name(lister->dataset->folder->tree, part->files[lister->id]) +
            lister->dataset->folder->layout.base_bytes;
    lister->id++;
    return true;
}

enum { LINE_BYTES = 2 * 4096 };

/* The line of a file. A line end in its name would make two of it: it becomes a blank. */
static void make_line(const struct lister *lister, const char *class, const char *name,
                      char out[LINE_BYTES])
{
    snprintf(out, LINE_BYTES, "%s\t%s\t%s", lister->part == 0 ? "train" : "test", class, name);
    for (char *at = out; *at; at++)
        if (*at == '\n')
            *at = ' ';
}

static ctkd_status save_files(const char *dir, const struct ctkd__dataset *dataset, ctkd_error *err)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    struct ctkd__new_file file;
    const char *class, *name;
    ctkd__run_file_path(dir, CTKD__RUN_IMAGES, path, sizeof path);
    const ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    for (struct lister at = { .dataset = dataset }; next_file(&at, &class, &name);) {
        make_line(&at, class, name, line);
        fprintf(file.stream, "%s\n", line);
    }
    return ctkd__new_file_commit(&file, err);
}

ctkd_status ctkd__run_data_save(const char *dir, const struct ctkd__dataset *dataset,
                                ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__new_file file;
    if (dataset->class_names) {
        ctkd__run_file_path(dir, CTKD__RUN_CLASSES, path, sizeof path);
        ctkd_status status = ctkd__new_file_open(&file, path, err);
        if (status != CTKD_OK)
            return status;
        fputs(dataset->class_names->text, file.stream);
        status = ctkd__new_file_commit(&file, err);
        if (status != CTKD_OK)
            return status;
    }
    return dataset->folder ? save_files(dir, dataset, err) : CTKD_OK;
}

/* The next line without its end; false at the end of the file. */
static bool next_line(FILE *file, char **line, size_t *bytes)
{
    const ssize_t n = getline(line, bytes, file);
    if (n > 0 && (*line)[n - 1] == '\n')
        (*line)[n - 1] = '\0';
    return n > 0;
}

static void tabs_to_blanks(char *line)
{
    for (; line && *line; line++)
        if (*line == '\t')
            *line = ' ';
}

/* CTKD_EINVAL for the first line that differs; `then` or `now` is NULL where that list has
   ended. */
static ctkd_status differs(const char *path, size_t line, char *then, char *now, ctkd_error *err)
{
    tabs_to_blanks(then);
    tabs_to_blanks(now);
    return ctkd__fail(err, CTKD_EINVAL,
                      "%s: line %zu: the data have '%.150s', expected '%.150s' as when the run "
                      "began",
                      path, line, now ? now : "(no more files)", then ? then : "(no more files)");
}

static ctkd_status compare(const char *path, FILE *file, const struct ctkd__dataset *dataset,
                           ctkd_error *err)
{
    struct lister at = { .dataset = dataset };
    char *then = NULL, now[LINE_BYTES];
    size_t bytes = 0;
    ctkd_status status = CTKD_OK;
    for (size_t line = 1; status == CTKD_OK; line++) {
        const char *class, *name;
        const bool was = next_line(file, &then, &bytes), is = next_file(&at, &class, &name);
        if (!was && !is)
            break;
        if (is)
            make_line(&at, class, name, now);
        if (was != is || strcmp(then, now) != 0)
            status = differs(path, line, was ? then : NULL, is ? now : NULL, err);
    }
    free(then);
    return status;
}

ctkd_status ctkd__run_data_check(const char *dir, const struct ctkd__dataset *dataset,
                                 ctkd_error *err)
{
    char path[PATH_BYTES];
    if (!dataset->folder || !ctkd__run_file_exists(dir, CTKD__RUN_IMAGES))
        return CTKD_OK;
    ctkd__run_file_path(dir, CTKD__RUN_IMAGES, path, sizeof path);
    FILE *const file = fopen(path, "re");
    if (!file)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    const ctkd_status status = compare(path, file, dataset, err);
    fclose(file);
    return status;
}
