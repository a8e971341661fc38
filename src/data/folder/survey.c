#include "data/folder/survey.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture/picture.h"
#include "data/source.h"
#include "util/error.h"
#include "util/thread.h"

enum { HELPERS_MAX = 64 };

struct surveyor {
    const struct ctkd__tree *tree;
    const struct ctkd__layout *layout;
    struct ctkd__survey *out;
    uint64_t pixels_max;
    ctkd__survey_progress progress;
    void *context;
    atomic_size_t next, done;
    atomic_int status; /* out of memory only; a file's faults are stored with it */
};

static uint32_t file_of(const struct ctkd__layout *layout, size_t i)
{
    return i < layout->train.count ? layout->train.files[i]
                                   : layout->test.files[i - layout->train.count];
}

static int32_t label_of(const struct ctkd__layout *layout, size_t i)
{
    return i < layout->train.count ? layout->train.labels[i]
                                   : layout->test.labels[i - layout->train.count];
}

/* --- one file */

static ctkd_status look(struct ctkd__picture_reader *reader, const struct ctkd__picture_file *file,
                        struct ctkd__surveyed *out, ctkd_error *err)
{
    struct ctkd__picture_info info;
    struct ctkd__picture picture;
    ctkd_status status = ctkd__picture_probe(file, &info, err);
    if (status == CTKD_OK)
        status = ctkd__picture_decode(reader, file, NULL, &picture, err);
    if (status != CTKD_OK)
        return status;
    out->damaged = picture.damaged;
    out->cmyk = info.cmyk;
    out->orientation = info.orientation;
    out->width = info.width;
    out->height = info.height;
    return CTKD_OK;
}

static void survey_file(struct surveyor *s, struct ctkd__picture_reader *reader, size_t i)
{
    struct ctkd__surveyed *const out = &s->out->files[i];
    char place[CTKD__TREE_PLACE_MAX];
    struct ctkd__tree_bytes bytes = { 0 };
    ctkd_error err = { 0 };
    const uint32_t file = file_of(s->layout, i);
    ctkd__tree_place(s->tree, file, place, sizeof place);
    ctkd_status status = ctkd__tree_read(s->tree, file, CTKD__IMAGE_BYTES_MAX, &bytes, &err);
    if (status == CTKD_OK) {
        const struct ctkd__picture_file picture = { place, bytes.bytes, bytes.size };
        ctkd__sha256_bytes(bytes.bytes, bytes.size, out->sha256);
        status = look(reader, &picture, out, &err);
    }
    ctkd__tree_bytes_free(&bytes);
    if (status != CTKD_OK && status != CTKD_ENOMEM)
        out->fault = strdup(err.message);
    if (status == CTKD_ENOMEM || (status != CTKD_OK && !out->fault))
        atomic_store(&s->status, CTKD_ENOMEM);
}

static void *survey_share(struct surveyor *s, bool tells)
{
    struct ctkd__picture_reader *reader;
    const size_t total = s->out->count;
    if (ctkd__picture_reader_create(s->pixels_max, false, &reader, NULL) != CTKD_OK) {
        atomic_store(&s->status, CTKD_ENOMEM);
        return NULL;
    }
    for (size_t i; (i = atomic_fetch_add(&s->next, 1)) < total && !atomic_load(&s->status);) {
        survey_file(s, reader, i);
        const size_t done = atomic_fetch_add(&s->done, 1) + 1;
        if (tells && s->progress)
            s->progress(s->context, done, total);
    }
    ctkd__picture_reader_destroy(reader);
    return NULL;
}

static void *help_survey(void *argument)
{
    return survey_share(argument, false);
}

static void survey_files(struct surveyor *s)
{
    pthread_t threads[HELPERS_MAX];
    const size_t helpers = ctkd__helpers_start(threads, HELPERS_MAX, help_survey, s);
    survey_share(s, true);
    for (size_t i = 0; i < helpers; i++)
        pthread_join(threads[i], NULL);
}

/* --- all files */

/* Orders copies next to each other; among copies test images first, then by the order of the
   layout. */
static int by_contents(const void *a, const void *b)
{
    const struct ctkd__surveyed *const x = *(struct ctkd__surveyed *const *)a,
                                       *const y = *(struct ctkd__surveyed *const *)b;
    const int order = strcmp(x->sha256, y->sha256);
    if (order)
        return order;
    return x->test != y->test ? (x->test ? -1 : 1) : (x > y) - (x < y);
}

static void mark_copies(struct ctkd__survey *survey, struct ctkd__surveyed **sorted)
{
    for (size_t first = 0, end; first < survey->count; first = end) {
        bool contradicts = false;
        end = first + 1;
        for (; end < survey->count && sorted[first]->sha256[0] &&
               strcmp(sorted[end]->sha256, sorted[first]->sha256) == 0;
             end++) {
            sorted[end]->same = (size_t)(sorted[first] - survey->files);
            contradicts |= strcmp(sorted[end]->class, sorted[first]->class) != 0;
            survey->copies++;
            survey->across_parts += sorted[first]->test && !sorted[end]->test;
        }
        for (size_t i = first; i < end; i++)
            sorted[i]->contradicts = contradicts;
    }
}

static int by_size(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static size_t shorter(const struct ctkd__surveyed *file)
{
    return file->width < file->height ? file->width : file->height;
}

static size_t longer(const struct ctkd__surveyed *file)
{
    return file->width < file->height ? file->height : file->width;
}

/* The median of a side over the files that can be read. */
static size_t median(const struct ctkd__survey *survey,
                     size_t (*side)(const struct ctkd__surveyed *file), size_t *room)
{
    size_t n = 0;
    for (size_t i = 0; i < survey->count; i++)
        if (!survey->files[i].fault)
            room[n++] = side(&survey->files[i]);
    qsort(room, n, sizeof *room, by_size);
    return n ? room[n / 2] : 0;
}

static void mark_sizes(struct ctkd__survey *survey, size_t *room)
{
    const size_t low = median(survey, shorter, room), high = median(survey, longer, room);
    for (size_t i = 0; i < survey->count; i++) {
        struct ctkd__surveyed *const file = &survey->files[i];
        file->odd = !file->fault && (longer(file) > 3 * shorter(file) || 4 * shorter(file) < low ||
                                     longer(file) > 4 * high);
    }
}

static void count_findings(struct ctkd__survey *survey)
{
    for (size_t i = 0; i < survey->count; i++) {
        const struct ctkd__surveyed *const file = &survey->files[i];
        survey->unreadable += file->fault != NULL;
        survey->damaged += file->damaged;
        survey->cmyk += file->cmyk;
        survey->rotated += !file->fault && file->orientation != 1;
        survey->odd += file->odd;
    }
}

static ctkd_status compare_files(struct ctkd__survey *survey, ctkd_error *err)
{
    struct ctkd__surveyed **const sorted = calloc(survey->count + 1, sizeof(void *));
    size_t *const room = calloc(survey->count + 1, sizeof *room);
    const bool enough = sorted && room;
    if (enough) {
        for (size_t i = 0; i < survey->count; i++)
            sorted[i] = &survey->files[i];
        qsort(sorted, survey->count, sizeof(void *), by_contents);
        mark_copies(survey, sorted);
        mark_sizes(survey, room);
        count_findings(survey);
    }
    free(sorted);
    free(room);
    return enough ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "survey: out of memory");
}

ctkd_status ctkd__survey_make(const struct ctkd__tree *tree, const struct ctkd__layout *layout,
                              uint64_t pixels_max, ctkd__survey_progress progress, void *context,
                              struct ctkd__survey *out, ctkd_error *err)
{
    struct surveyor s = { .tree = tree,
                          .layout = layout,
                          .out = out,
                          .pixels_max = pixels_max,
                          .progress = progress,
                          .context = context };
    *out = (struct ctkd__survey){ .count = layout->train.count + layout->test.count };
    out->files = calloc(out->count + 1, sizeof *out->files);
    if (!out->files)
        return ctkd__fail(err, CTKD_ENOMEM, "survey: out of memory");
    for (size_t i = 0; i < out->count; i++) {
        struct ctkd__surveyed *const file = &out->files[i];
        file->name = ctkd__tree_name(tree, file_of(layout, i)) + layout->base_bytes;
        file->class = layout->classes->items[label_of(layout, i)];
        file->test = i >= layout->train.count;
        file->orientation = 1;
        file->same = i;
    }
    survey_files(&s);
    const ctkd_status status = atomic_load(&s.status)
                                   ? ctkd__fail(err, CTKD_ENOMEM, "survey: out of memory")
                                   : compare_files(out, err);
    if (status != CTKD_OK)
        ctkd__survey_free(out);
    return status;
}

void ctkd__survey_free(struct ctkd__survey *survey)
{
    for (size_t i = 0; i < survey->count && survey->files; i++)
        free(survey->files[i].fault);
    free(survey->files);
    *survey = (struct ctkd__survey){ 0 };
}

bool ctkd__survey_excludes(const struct ctkd__surveyed *file, size_t index)
{
    return file->fault || file->same != index || file->contradicts;
}
