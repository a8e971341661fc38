#include "train/teacher_store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"
#include "util/error.h"
#include "util/slice.h"

static const uint64_t wait_limit_ns = 5000000000; /* far longer than computing a share takes */

/* --- memory */

static ctkd_status allocate(struct ctkd__teacher_store *store, bool sealed, ctkd_error *err)
{
    const size_t batch = store->teacher->batch_max;
    store->missing = malloc(batch * sizeof *store->missing);
    store->mine = malloc(batch * sizeof *store->mine);
    store->x = malloc(batch * store->image * sizeof *store->x);
    store->logits = malloc(batch * store->classes * sizeof *store->logits);
    store->row = malloc((store->classes + 1) * sizeof *store->row);
    if (sealed)
        store->seals = malloc(batch * sizeof *store->seals);
    return store->missing && store->mine && store->x && store->logits && store->row &&
                   (store->seals || !sealed)
               ? CTKD_OK
               : ctkd__fail(err, CTKD_ENOMEM, "teacher.store: out of memory");
}

ctkd_status ctkd__teacher_store_create(const struct ctkd__teacher_store_args *args, size_t views,
                                       bool sealed, struct ctkd__teacher_store **out,
                                       ctkd_error *err)
{
    *out = NULL;
    struct ctkd__teacher_store *const store = calloc(1, sizeof *store);
    if (!store)
        return ctkd__fail(err, CTKD_ENOMEM, "teacher.store: out of memory");
    store->teacher = args->teacher;
    store->loader = args->loader;
    store->dist = args->engine->pass_dist;
    store->views = views;
    store->classes = args->classes;
    store->image = args->images->channels * args->images->height * args->images->width;
    store->share = CTKD__STORE_PROBES * ctkd__workers_count(args->engine->workers);
    store->wait_ns = wait_limit_ns;
    const ctkd_status status = allocate(store, sealed, err);
    if (status == CTKD_OK)
        *out = store;
    else
        ctkd__teacher_store_close(store);
    return status;
}

void ctkd__teacher_store_close(struct ctkd__teacher_store *store)
{
    if (!store)
        return;
    ctkd__logit_file_close(store->file);
    free(store->missing);
    free(store->mine);
    free(store->row);
    free(store->seals);
    free(store->x);
    free(store->logits);
    free(store);
}

/* --- looking up and computing logits */

void ctkd__teacher_store_count(struct ctkd__teacher_store_counts *sum,
                               const struct ctkd__teacher_store_counts *part)
{
    sum->hits += part->hits;
    sum->misses += part->misses;
    sum->damaged += part->damaged;
}

/* The values of image i of a batch. */
static void write_image(const struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                        size_t i, float *out)
{
    const size_t channels = store->teacher->info.channels;
    ctkd__batch_images_write(ctkd__batch_images_from(batch->x, i * store->image), 1, channels,
                             store->image / channels, out);
}

static uint64_t row_of(const struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                       size_t i)
{
    return batch->ids[i] * store->views + batch->views[i];
}

static enum ctkd__logit_row get_row(struct ctkd__teacher_store *store,
                                    const struct ctkd__batch *batch, size_t i, float *logits)
{
    const size_t k = store->classes;
    const enum ctkd__logit_row found =
        ctkd__logit_file_get(store->file, row_of(store, batch, i), store->row);
    if (found != CTKD__ROW_FOUND)
        return found;
    if (store->seals && memcmp(&store->row[k], &store->seals[i], sizeof *store->row) != 0)
        return CTKD__ROW_DAMAGED; /* the image's file has changed since */
    memcpy(logits, store->row, k * sizeof *logits);
    return found;
}

static bool find_row(struct ctkd__teacher_store *store, const struct ctkd__batch *batch, size_t i,
                     float *logits, struct ctkd__teacher_store_counts *counts, bool *damaged)
{
    const enum ctkd__logit_row found = get_row(store, batch, i, logits + i * store->classes);
    counts->hits += found == CTKD__ROW_FOUND;
    *damaged = found == CTKD__ROW_DAMAGED;
    return found == CTKD__ROW_FOUND;
}

/* The seal of the values of image i, which are made in store->x. */
static float seal_of(struct ctkd__teacher_store *store, const struct ctkd__batch *batch, size_t i)
{
    write_image(store, batch, i, store->x);
    return ctkd__logit_seal(store->x, store->image);
}

/* Reads the rows of this rank's images that the file has; returns how many images are missing,
   listed in store->missing. */
static size_t look_up(struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                      float *logits, struct ctkd__teacher_store_counts *counts)
{
    const size_t ranks = ctkd__dist_size(store->dist), rank = ctkd__dist_rank(store->dist);
    const size_t first = ctkd__slice_begin(batch->n, ranks, rank);
    const size_t end = ctkd__slice_begin(batch->n, ranks, rank + 1);
    size_t missing = 0;
    bool damaged;
    for (size_t i = first; i < end && store->seals; i++)
        store->seals[i] = seal_of(store, batch, i);
    for (size_t i = first; i < end; i++)
        if (!find_row(store, batch, i, logits, counts, &damaged))
            store->missing[missing++] = i;
    return missing;
}

/* Moves a share of the missing images that no other process computes to store->mine and returns how
   many; *missing of them stay. Rows that were added meanwhile are read and no longer missing. With
   `all`, every missing image is taken, even if another process computes it too. */
static size_t divide(struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                     size_t *missing, bool all, float *logits,
                     struct ctkd__teacher_store_counts *counts)
{
    size_t mine = 0, left = 0;
    for (size_t m = 0; m < *missing; m++) {
        const size_t i = store->missing[m];
        bool damaged;
        if (!all && (mine == store->share ||
                     !ctkd__logit_file_claim(store->file, row_of(store, batch, i)))) {
            store->missing[left++] = i;
            continue;
        }
        if (find_row(store, batch, i, logits, counts, &damaged))
            continue;
        counts->damaged += damaged;
        store->mine[mine++] = i;
    }
    counts->misses += mine;
    *missing = left;
    return mine;
}

/* Computes the `count` > 0 images of store->mine, packed together, and puts their logits into the
   rows of the batch. */
static ctkd_status compute(struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                           size_t count, float *logits, ctkd_error *err)
{
    const size_t k = store->classes, image = store->image, first = store->mine[0];
    if (store->mine[count - 1] - first == count - 1) /* side by side, as on a first run */
        return ctkd__teacher_forward_here(store->teacher, count,
                                          ctkd__batch_images_from(batch->x, first * image),
                                          logits + first * k, err);
    for (size_t m = 0; m < count; m++)
        write_image(store, batch, store->mine[m], store->x + m * image);
    const ctkd_status status = ctkd__teacher_forward_here(
        store->teacher, count, ctkd__batch_images_of(store->x), store->logits, err);
    for (size_t m = 0; m < count && status == CTKD_OK; m++)
        memcpy(logits + store->mine[m] * k, store->logits + m * k, k * sizeof *logits);
    return status;
}

static bool all_finite(const float *values, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++)
        finite = finite && isfinite(values[i]);
    return finite;
}

/* Adds the answer to image i of the batch. */
static ctkd_status put_row(struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                           size_t i, const float *logits, ctkd_error *err)
{
    memcpy(store->row, logits, store->classes * sizeof *logits);
    if (store->seals)
        store->row[store->classes] = store->seals[i];
    return ctkd__logit_file_put(store->file, row_of(store, batch, i), store->row, err);
}

static void keep(struct ctkd__teacher_store *store, const struct ctkd__batch *batch, size_t count,
                 const float *logits)
{
    ctkd_error why = { 0 };
    for (size_t m = 0; m < count && !store->full; m++) {
        const float *const row = logits + store->mine[m] * store->classes;
        if (!all_finite(row, store->classes) ||
            put_row(store, batch, store->mine[m], row, &why) == CTKD_OK)
            continue;
        store->full = true;
        snprintf(
            store->why_full, sizeof store->why_full,
            "%.400s: no more answers are added; the run continues and computes what is missing",
            why.message);
    }
}

/* Waits a moment for another process, which computes all that is missing. False: it has taken too
   long. */
static bool wait_for_others(struct ctkd__teacher_store *store, uint64_t *since)
{
    const struct timespec moment = { .tv_nsec = 100000 };
    const uint64_t now = ctkd__clock_ns();
    *since = *since ? *since : now;
    if (now - *since > store->wait_ns) {
        store->in_vain++;
        return false;
    }
    nanosleep(&moment, NULL);
    return true;
}

/* Arms of a sweep that run in step miss the same rows at the same time. Each claims a share,
   computes it and looks again, so that faster ones do more of the batch. The claims of a process
   that dies end with it. A process that stalls, or a file system without working locks, is waited
   for at most CTKD__STORE_VAIN times; after that this process computes everything itself. A process
   that is alone computes all missing images in one call. */
ctkd_status ctkd__teacher_store_forward(struct ctkd__teacher_store *store,
                                        const struct ctkd__batch *batch, float *logits,
                                        struct ctkd__teacher_store_counts *counts, ctkd_error *err)
{
    size_t missing = look_up(store, batch, logits, counts);
    uint64_t since = 0;
    ctkd_status status = CTKD_OK;
    bool alone = store->full || store->in_vain >= CTKD__STORE_VAIN || missing == 0 ||
                 !ctkd__logit_file_shared(store->file);
    while (missing > 0 && status == CTKD_OK) {
        const size_t before = missing;
        const size_t mine = divide(store, batch, &missing, alone, logits, counts);
        if (mine)
            status = compute(store, batch, mine, logits, err);
        if (mine && status == CTKD_OK)
            keep(store, batch, mine, logits);
        if (!alone)
            ctkd__logit_file_release(store->file);
        if (missing < before)
            since = 0;
        else
            alone = !wait_for_others(store, &since);
    }
    return status;
}

/* --- filling */

/* A walk over all rows of the loader's images. */
struct fill_pass {
    uint64_t at, rows;
    bool alone;     /* computes rows that another process has claimed, instead of skipping them */
    size_t skipped; /* claimed rows that were skipped */
};

/* Collects the next missing rows, at most a batch of them, with their views in store->x. */
static size_t gather(struct ctkd__teacher_store *store, struct fill_pass *pass,
                     struct ctkd__teacher_store_counts *counts)
{
    const uint32_t *const ids = ctkd__loader_chosen(store->loader);
    size_t count = 0;
    for (; pass->at < pass->rows && count < store->teacher->batch_max; pass->at++) {
        const uint32_t id = ids[pass->at / store->views];
        const size_t view = (size_t)(pass->at % store->views);
        const uint64_t row = id * (uint64_t)store->views + view;
        enum ctkd__logit_row found = ctkd__logit_file_get(store->file, row, store->logits);
        if (found != CTKD__ROW_FOUND && !pass->alone) {
            if (!ctkd__logit_file_claim(store->file, row)) {
                pass->skipped++;
                continue;
            }
            found = ctkd__logit_file_get(store->file, row, store->logits);
        }
        counts->hits += found == CTKD__ROW_FOUND;
        counts->damaged += found == CTKD__ROW_DAMAGED;
        if (found == CTKD__ROW_FOUND)
            continue;
        ctkd__loader_make_view(store->loader, id, view, store->x + count * store->image);
        store->missing[count++] = (size_t)row;
    }
    counts->misses += count;
    return count;
}

static ctkd_status add_rows(struct ctkd__teacher_store *store, size_t count, ctkd_error *err)
{
    ctkd_status status = ctkd__teacher_forward_here(
        store->teacher, count, ctkd__batch_images_of(store->x), store->logits, err);
    for (size_t i = 0; i < count && status == CTKD_OK; i++) {
        const float *const row = store->logits + i * store->classes;
        status = all_finite(row, store->classes)
                     ? ctkd__logit_file_put(store->file, store->missing[i], row, err)
                     : ctkd__fail(err, CTKD_ENAN,
                                  "teacher.store: the teacher's logits of image %zu are not finite",
                                  store->missing[i] / store->views);
    }
    return status;
}

static ctkd_status walk(struct ctkd__teacher_store *store, struct fill_pass *pass,
                        bool (*go_on)(void *context, uint64_t rows, uint64_t all), void *context,
                        struct ctkd__teacher_store_counts *counts, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    bool more = true;
    while (more && pass->at < pass->rows && status == CTKD_OK) {
        const size_t count = gather(store, pass, counts);
        if (count)
            status = add_rows(store, count, err);
        ctkd__logit_file_release(store->file);
        more = go_on(context, pass->at, pass->rows);
    }
    return status;
}

static ctkd_status fill_numbered(struct ctkd__teacher_store *store,
                                 bool (*go_on)(void *context, uint64_t rows, uint64_t all),
                                 void *context, struct ctkd__teacher_store_counts *counts,
                                 ctkd_error *err)
{
    struct fill_pass first = { .rows = ctkd__loader_samples(store->loader) * store->views };
    struct fill_pass second = { .rows = first.rows, .alone = true };
    struct ctkd__teacher_store_counts again = { 0 };
    ctkd_status status = walk(store, &first, go_on, context, counts, err);
    if (status != CTKD_OK || first.at < first.rows || first.skipped == 0)
        return status;
    status = walk(store, &second, go_on, context, &again, err);
    if (second.at == second.rows && again.misses < first.skipped)
        counts->hits += first.skipped - again.misses;
    counts->misses += again.misses;
    counts->damaged += again.damaged;
    return status;
}

/* Fills in views without numbers by running the epochs of the loader: each has its own draws. */
static ctkd_status fill_drawn(struct ctkd__teacher_store *store,
                              bool (*go_on)(void *context, uint64_t rows, uint64_t all),
                              void *context, struct ctkd__teacher_store_counts *counts,
                              ctkd_error *err)
{
    const uint64_t rows = ctkd__loader_samples(store->loader) * store->views;
    float *const logits = malloc(store->teacher->batch_max * store->classes * sizeof *logits);
    ctkd_status status =
        logits ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "teacher.store: out of memory");
    bool more = true;
    for (uint64_t epoch = 1, at = 0; epoch <= store->views && more && status == CTKD_OK; epoch++) {
        struct ctkd__batch batch = { .n = 1 };
        ctkd__loader_start(store->loader, epoch, 0);
        while (more && batch.n > 0 && status == CTKD_OK) {
            status = ctkd__loader_next(store->loader, &batch, err);
            if (status != CTKD_OK || batch.n == 0)
                break;
            status = ctkd__teacher_store_forward(store, &batch, logits, counts, err);
            if (status == CTKD_OK && store->full)
                status = ctkd__fail(err, CTKD_EIO, "%s", store->why_full);
            more = go_on(context, at += batch.n, rows);
        }
    }
    free(logits);
    return status;
}

ctkd_status ctkd__teacher_store_fill(struct ctkd__teacher_store *store,
                                     bool (*go_on)(void *context, uint64_t rows, uint64_t all),
                                     void *context, struct ctkd__teacher_store_counts *counts,
                                     ctkd_error *err)
{
    return store->seals ? fill_drawn(store, go_on, context, counts, err)
                        : fill_numbered(store, go_on, context, counts, err);
}
