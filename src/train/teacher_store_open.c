/* Opening a store: whether the teacher can have one, which file is its own, and what a run is
   told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctkd/random.h"
#include "nn/conv/dnnl_version.h"
#include "store/logit_folder.h"
#include "train/teacher_store.h"
#include "util/error.h"
#include "util/file.h"
#include "util/sha256.h"

enum { IDENTITY_BYTES = 3072, NAME_DIGITS = 16 };

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
        memcpy(store->x + i * store->image, probes + i % CTKD__STORE_PROBES * store->image,
               store->image * sizeof *probes);
    return ctkd__teacher_forward_here(store->teacher, n, ctkd__batch_images_of(store->x),
                                      store->logits, err);
}

/* A library chooses its code by the number of images, and the code for one number may add in
   another order than that for another. So every number of images that a worker can compute at once
   is tried. `sum` becomes the SHA-256 of the logits of the probes. *bad: a number of images for
   each worker with which some logits differ in bits from those of an image computed alone, or 0. */
static ctkd_status try_teacher(struct ctkd__teacher_store *store, size_t samples, size_t workers,
                               size_t *bad, char sum[CTKD__SHA256_DIGITS + 1], ctkd_error *err)
{
    const size_t k = store->classes, batch = store->teacher->batch_max;
    float *const probes = malloc(CTKD__STORE_PROBES * store->image * sizeof *probes);
    float *const answers = malloc(CTKD__STORE_PROBES * k * sizeof *answers);
    ctkd_status status = CTKD_OK;
    *bad = 0;
    if (!probes || !answers)
        status = ctkd__fail(err, CTKD_ENOMEM, "teacher.store: out of memory");
    for (size_t i = 0; i < CTKD__STORE_PROBES && status == CTKD_OK; i++) {
        make_probe(store, samples, i, probes + i * store->image);
        memcpy(store->x, probes + i * store->image, store->image * sizeof *probes);
        status = ctkd__teacher_forward_here(store->teacher, 1, ctkd__batch_images_of(store->x),
                                            answers + i * k, err);
    }
    for (size_t part = 1; part <= CTKD__STORE_PROBES && status == CTKD_OK && !*bad; part++) {
        const size_t n = part * workers < batch ? part * workers : batch;
        status = try_probes(store, probes, n, err);
        for (size_t i = 0; i < n && status == CTKD_OK; i++)
            if (memcmp(store->logits + i * k, answers + i % CTKD__STORE_PROBES * k,
                       k * sizeof *answers) != 0)
                *bad = part;
    }
    if (status == CTKD_OK)
        ctkd__sha256_bytes(answers, CTKD__STORE_PROBES * k * sizeof *answers, sum);
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
static void identify(const struct ctkd__teacher_store_args *args, const char *answers,
                     char out[IDENTITY_BYTES])
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
             draws_text(args, draws, sizeof draws), args->engine->kernels->name,
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
    identify(args, answers, identity);
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
