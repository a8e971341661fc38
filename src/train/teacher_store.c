#include "train/teacher_store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctkd/random.h"
#include "nn/conv/dnnl_version.h"
#include "store/logit_folder.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/file.h"
#include "util/sha256.h"
#include "util/slice.h"

enum {
    PROBES = 16, /* images that a teacher is tried with: the most a worker computes at once */
    IDENTITY_BYTES = 3072,
    NAME_DIGITS = 16
};
static const uint64_t wait_limit_ns = 5000000000; /* far longer than computing a share takes */

bool ctkd__teacher_store_asked(const char *folder)
{
    return folder[0] && strcmp(folder, "off") != 0;
}

/* --- whether the logits of an image depend on the other images of the call */

/* Probe i: a view of the first images of the data set, whichever of them the run uses, so that all
   runs try the same probes. Image files would have to be decoded: noise serves as well there. */
static void make_probe(const struct ctkd__teacher_store *store, size_t samples, size_t i, float *x)
{
    if (!store->seals)
        ctkd__loader_make_view(store->loader, (uint32_t)(i % samples), i % store->views, x);
    for (uint64_t j = 0; store->seals && j < store->image; j++)
        x[j] = 4 * ctkd_random_uniform(1, CTKD_RANDOM_TEST, i, j) - 2;
}

/* Logits of the probes 0, 1, ... over and over, `n` images in one call. */
static ctkd_status try_probes(struct ctkd__teacher_store *store, const float *probes, size_t n,
                              ctkd_error *err)
{
    for (size_t i = 0; i < n; i++)
        memcpy(store->x + i * store->image, probes + i % PROBES * store->image,
               store->image * sizeof *probes);
    return ctkd__teacher_forward_here(store->teacher, n, store->x, store->logits, err);
}

/* A library chooses its code by the number of images, and the code for one number may add in
   another order than that for another. So every number of images that a worker can compute at once
   is tried. `sum` becomes the SHA-256 of the logits of the probes. *bad: a number of images for
   each worker with which some logits differ in bits from those of an image computed alone, or 0. */
static ctkd_status try_teacher(struct ctkd__teacher_store *store, size_t samples, size_t workers,
                               size_t *bad, char sum[CTKD__SHA256_DIGITS + 1], ctkd_error *err)
{
    const size_t k = store->classes, batch = store->teacher->batch_max;
    float *const probes = malloc(PROBES * store->image * sizeof *probes);
    float *const answers = malloc(PROBES * k * sizeof *answers);
    ctkd_status status = CTKD_OK;
    *bad = 0;
    if (!probes || !answers)
        status = ctkd__fail(err, CTKD_ENOMEM, "teacher.store: out of memory");
    for (size_t i = 0; i < PROBES && status == CTKD_OK; i++) {
        make_probe(store, samples, i, probes + i * store->image);
        memcpy(store->x, probes + i * store->image, store->image * sizeof *probes);
        status = ctkd__teacher_forward_here(store->teacher, 1, store->x, answers + i * k, err);
    }
    for (size_t part = 1; part <= PROBES && status == CTKD_OK && !*bad; part++) {
        const size_t n = part * workers < batch ? part * workers : batch;
        status = try_probes(store, probes, n, err);
        for (size_t i = 0; i < n && status == CTKD_OK; i++)
            if (memcmp(store->logits + i * k, answers + i % PROBES * k, k * sizeof *answers) != 0)
                *bad = part;
    }
    if (status == CTKD_OK)
        ctkd__sha256_bytes(answers, PROBES * k * sizeof *answers, sum);
    free(answers);
    free(probes);
    return status;
}

/* --- what the logits depend on */

static void digest_weights(const struct ctkd__weights *weights, char out[CTKD__SHA256_DIGITS + 1])
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, weights->n_values * sizeof(float), (const uint8_t *)weights->values);
    sha256_update(&context, weights->n_buffers * sizeof(float), (const uint8_t *)weights->buffers);
    ctkd__sha256_text(&context, out);
}

/* "0.5071,0.4865,0.4409", with enough digits to restore each float. */
static const char *floats_text(const float *values, size_t count, char *out, size_t bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < count && used < bytes; i++)
        used +=
            (size_t)snprintf(out + used, bytes - used, "%s%.9g", i ? "," : "", (double)values[i]);
    return out;
}

/* A line of the settings by which views without numbers are drawn, so that runs with different ones
   do not overwrite each other's rows; "" for views with numbers. */
static const char *draws_text(const struct ctkd__teacher_store_args *args, char *out, size_t bytes)
{
    const struct ctkd__loader_config *const loader = ctkd__loader_settings(args->loader);
    char rotation[48] = "";
    out[0] = '\0';
    if (ctkd__loader_views(args->loader))
        return out;
    if (loader->rotation > 0)
        snprintf(rotation, sizeof rotation, ", rotation %.9g", loader->rotation);
    if (!args->source) {
        snprintf(out, bytes, "draws seed %" PRIu64 ", padding %zu%s\n", args->seed,
                 loader->crop_padding, rotation);
        return out;
    }
    const struct ctkd__view_settings *const views = &args->source->views;
    if (loader->augment)
        snprintf(out, bytes,
                 "draws seed %" PRIu64 ", area %g to %g, ratio %g to %g, upright %d%s\n",
                 args->seed, views->crop.area_min, views->crop.area_max, views->crop.ratio_min,
                 views->crop.ratio_max, views->upright, rotation);
    else
        snprintf(out, bytes, "draws none, resized to %zu, upright %d\n", views->resize,
                 views->upright);
    return out;
}

/* The lines of the file's header: everything that the logits depend on. */
static void identify(const struct ctkd__teacher_store_args *args, const char *kernels,
                     const char *answers, char out[IDENTITY_BYTES])
{
    const struct ctkd__network_info *const images = args->images, *const info =
                                                                      &args->teacher->info;
    const size_t c = images->channels;
    char weights[CTKD__SHA256_DIGITS + 1], text[4][96], version[96], draws[160];
    digest_weights(args->teacher->weights, weights);
    snprintf(out, IDENTITY_BYTES,
             "teacher %s\nweights %s\ndata %s\nimages %s\ninput %zux%zux%zu\nmean %s\nstd "
             "%s\nteacher-mean %s\nteacher-std %s\n%skernels %s, oneDNN %s\nanswers %s\n",
             info->network, weights, images->dataset, args->images_digest, c, images->height,
             images->width, floats_text(images->mean, c, text[0], sizeof text[0]),
             floats_text(images->std, c, text[1], sizeof text[1]),
             floats_text(info->mean, c, text[2], sizeof text[2]),
             floats_text(info->std, c, text[3], sizeof text[3]),
             draws_text(args, draws, sizeof draws), kernels,
             ctkd__dnnl_version(version, sizeof version), answers);
}

/* FOLDER/TEACHER-DATA-DIGITS.logits: another teacher, other images or other kernels have another
   file. */
static ctkd_status name_file(struct ctkd__teacher_store *store,
                             const struct ctkd__teacher_store_args *args,
                             const struct ctkd__logit_shape *shape, const char *identity,
                             ctkd_error *err)
{
    char text[IDENTITY_BYTES + 128], digits[CTKD__SHA256_DIGITS + 1];
    const int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n%s",
                           shape->samples, shape->views, shape->classes, identity);
    ctkd__sha256_bytes(text, (size_t)n, digits);
    const int length =
        snprintf(store->path, sizeof store->path, "%s/%s-%s-%.*s.logits", args->folder,
                 args->teacher->info.network, args->images->dataset, NAME_DIGITS, digits);
    return length > 0 && (size_t)length < sizeof store->path
               ? CTKD_OK
               : ctkd__fail(err, CTKD_ERANGE, "teacher.store: the path is too long");
}

/* --- opening */

/* Why a store cannot be used with this teacher, as a sentence; NULL: it can. */
static const char *refusal(const struct ctkd__teacher_store_args *args)
{
    if (args->teacher->training)
        return "a method asks for the teacher's batch statistics, so that its answers depend on "
               "the batch: it computes them itself";
    if (args->teacher->n_taps)
        return "a method reads the teacher's features, which it must compute itself";
    return NULL;
}

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
    store->dist = args->engine->dist;
    store->views = views;
    store->classes = args->classes;
    store->image = args->images->channels * args->images->height * args->images->width;
    store->share = PROBES * ctkd__workers_count(args->engine->workers);
    store->wait_ns = wait_limit_ns;
    const ctkd_status status = allocate(store, sealed, err);
    if (status == CTKD_OK)
        *out = store;
    else
        ctkd__teacher_store_close(store);
    return status;
}

/* The first key of the header in which another file, of a teacher and data of the same names,
   differs; the digest of the answers comes last, since it changes with most of the others. NULL:
   `entry` is no such file. */
static const char *other_line(const struct ctkd__teacher_store *store,
                              const struct ctkd__logit_entry *entry)
{
    static const char *const keys[] = { "weights", "images",       "input",       "mean",
                                        "std",     "teacher-mean", "teacher-std", "kernels",
                                        "samples", "views",        "classes",     "draws",
                                        "answers" };
    struct ctkd__logit_file *other;
    char a[128], b[128];
    const char *found = NULL;
    const size_t prefix = strlen(store->path) - NAME_DIGITS - strlen(".logits");
    if (strncmp(entry->path, store->path, prefix) != 0 || strcmp(entry->path, store->path) == 0 ||
        entry->leftover || ctkd__logit_file_open(entry->path, &other, NULL) != CTKD_OK)
        return NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !found; i++)
        if (strcmp(ctkd__logit_file_line(store->file, keys[i], a, sizeof a),
                   ctkd__logit_file_line(other, keys[i], b, sizeof b)) != 0)
            found = keys[i];
    ctkd__logit_file_close(other);
    return found;
}

/* Explains in the note why an existing file that seems to be of the same teacher is not used. */
static ctkd_status describe_others(const struct ctkd__teacher_store *store, const char *folder,
                                   char note[CTKD__STORE_NOTE], ctkd_error *err)
{
    struct ctkd__logit_folder others;
    const ctkd_status status = ctkd__logit_folder_read(folder, &others, err);
    for (size_t i = 0; i < others.count; i++) {
        const char *const line = other_line(store, &others.entries[i]);
        const size_t used = strlen(note);
        if (!line)
            continue;
        snprintf(note + used, CTKD__STORE_NOTE - used, "; %s is not of this run: other %s",
                 strrchr(others.entries[i].path, '/') + 1, line);
        break;
    }
    ctkd__logit_folder_free(&others);
    return status;
}

/* "FILE has 1234 of 8100000 answers (0.0 %) and takes 12.3 MB of at most 3.27 GB; ..." */
static ctkd_status describe(const struct ctkd__teacher_store *store, const char *folder,
                            const struct ctkd__logit_shape *shape, char note[CTKD__STORE_NOTE],
                            ctkd_error *err)
{
    struct ctkd__logit_count count;
    uint64_t occupied, available;
    char sizes[3][32];
    const ctkd_status status = ctkd__logit_file_count(store->file, false, &count, err);
    if (status != CTKD_OK)
        return status;
    const uint64_t rows = shape->samples * shape->views, most = ctkd__logit_file_bytes_max(shape);
    ctkd__logit_file_disk(store->file, &occupied, &available);
    const bool tight = most > occupied && available < most - occupied + CTKD__LOGIT_DISK_RESERVE;
    snprintf(note, CTKD__STORE_NOTE,
             "%.300s has %" PRIu64 " of %" PRIu64 " answers (%.1f %%) and takes %s of at most %s; "
             "%s are free%s",
             store->path, count.present, rows, 100 * (double)count.present / (double)rows,
             ctkd__logit_size_text(occupied, sizes[0], sizeof sizes[0]),
             ctkd__logit_size_text(most, sizes[1], sizeof sizes[1]),
             ctkd__logit_size_text(available, sizes[2], sizeof sizes[2]),
             tight ? ", too few for all answers" : "");
    return count.present ? CTKD_OK : describe_others(store, folder, note, err);
}

/* Tries the teacher and opens store->file. It stays NULL, with CTKD_OK and a reason in `note`, when
   the logits depend on the other images of a call or the file cannot be opened. */
static ctkd_status open_file(struct ctkd__teacher_store *store,
                             const struct ctkd__teacher_store_args *args,
                             char note[CTKD__STORE_NOTE], ctkd_error *err)
{
    const struct ctkd__logit_shape shape = { args->samples, store->views, store->classes,
                                             store->seals != NULL };
    char answers[CTKD__SHA256_DIGITS + 1], identity[IDENTITY_BYTES];
    size_t bad;
    ctkd_error why = { 0 };
    ctkd_status status = try_teacher(
        store, args->samples, ctkd__workers_count(args->engine->workers), &bad, answers, err);
    if (status != CTKD_OK)
        return status;
    if (bad) {
        snprintf(note, CTKD__STORE_NOTE,
                 "not used: with these kernels this teacher answers with other bits when it "
                 "computes %zu images at once",
                 bad);
        return CTKD_OK;
    }
    identify(args, args->engine->kernels->name, answers, identity);
    status = name_file(store, args, &shape, identity, err);
    if (status == CTKD_OK)
        status = ctkd__folders_create(args->folder, err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "teacher.store");
    status = ctkd__logit_file_create(store->path, identity, &shape, &store->file, &why);
    if (status == CTKD_OK)
        status = describe(store, args->folder, &shape, note, &why);
    if (status == CTKD_OK)
        return status;
    /* Not an error: the run computes the same bits without a store, only slower. */
    ctkd__logit_file_close(store->file);
    store->file = NULL;
    snprintf(note, CTKD__STORE_NOTE, "not used: %.500s", why.message);
    return CTKD_OK;
}

ctkd_status ctkd__teacher_store_open(const struct ctkd__teacher_store_args *args,
                                     struct ctkd__teacher_store **out, char note[CTKD__STORE_NOTE],
                                     ctkd_error *err)
{
    const char *const why = refusal(args);
    *out = NULL;
    note[0] = '\0';
    if (why) {
        snprintf(note, CTKD__STORE_NOTE, "not used: %s", why);
        return CTKD_OK;
    }
    const size_t numbered = ctkd__loader_views(args->loader);
    const size_t views = numbered                                       ? numbered
                         : ctkd__loader_settings(args->loader)->augment ? args->epochs
                                                                        : 1;
    struct ctkd__teacher_store *store;
    ctkd_status status = ctkd__teacher_store_create(args, views, numbered == 0, &store, err);
    if (status == CTKD_OK)
        status = open_file(store, args, note, err);
    if (status == CTKD_OK && store->file)
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

/* Reads the rows of this rank's images that the file has; returns how many images are missing, listed in
   store->missing. */
static size_t look_up(struct ctkd__teacher_store *store, const struct ctkd__batch *batch,
                      float *logits, struct ctkd__teacher_store_counts *counts)
{
    const size_t ranks = ctkd__dist_size(store->dist), rank = ctkd__dist_rank(store->dist);
    const size_t first = ctkd__slice_begin(batch->n, ranks, rank);
    const size_t end = ctkd__slice_begin(batch->n, ranks, rank + 1);
    size_t missing = 0;
    bool damaged;
    for (size_t i = first; i < end && store->seals; i++)
        store->seals[i] = ctkd__logit_seal(batch->x + i * store->image, store->image);
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
        return ctkd__teacher_forward_here(store->teacher, count, batch->x + first * image,
                                          logits + first * k, err);
    for (size_t m = 0; m < count; m++)
        memcpy(store->x + m * image, batch->x + store->mine[m] * image, image * sizeof *store->x);
    const ctkd_status status =
        ctkd__teacher_forward_here(store->teacher, count, store->x, store->logits, err);
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
    ctkd_status status =
        ctkd__teacher_forward_here(store->teacher, count, store->x, store->logits, err);
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
