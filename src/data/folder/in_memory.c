#include "data/folder/in_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "util/error.h"
#include "util/thread.h"

enum { THREADS_MAX = 16 };

/* Reads image `id`; `place` gets what messages call it, and is file->name. */
static ctkd_status read_image(const struct ctkd__image_source *source, size_t id,
                              char place[CTKD__TREE_PLACE_MAX], struct ctkd__tree_bytes *bytes,
                              struct ctkd__picture_file *file, ctkd_error *err)
{
    const ctkd_status status = ctkd__image_source_read(source, id, bytes, err);
    ctkd__image_source_place(source, id, place, CTKD__TREE_PLACE_MAX);
    *file = (struct ctkd__picture_file){ place, bytes->bytes, bytes->size };
    return status;
}

/* --- images shared out among threads */

/* Images that threads claim in order. The first one that fails or settles the question ends the
   work; all images before it have been seen, so that the outcome does not depend on the number of
   threads. */
struct share {
    const struct ctkd__image_source *source;
    size_t count;
    void *(*thread)(void *share);
    atomic_size_t next;
    pthread_mutex_t lock; /* guards all that follows */
    size_t end;           /* the first image that ends the work; SIZE_MAX: none */
    ctkd_error err;       /* of that image; CTKD_OK: not a failure */
};

/* Image `id` ends the work, with CTKD_OK or a failure. */
static void share_end(struct share *share, size_t id, ctkd_status status, const ctkd_error *err)
{
    pthread_mutex_lock(&share->lock);
    if (id < share->end) {
        share->end = id;
        share->err = status == CTKD_OK ? (ctkd_error){ .status = CTKD_OK } : *err;
    }
    pthread_mutex_unlock(&share->lock);
    atomic_store(&share->next, share->count);
}

/* The next image for this thread; false: there is none. */
static bool share_next(struct share *share, size_t *id)
{
    *id = atomic_fetch_add(&share->next, 1);
    return *id < share->count;
}

static ctkd_status share_out(struct share *share, size_t first, ctkd_error *err)
{
    pthread_t threads[THREADS_MAX];
    const size_t others = first < share->count ? share->count - first - 1 : 0;
    pthread_mutex_init(&share->lock, NULL);
    atomic_store(&share->next, first);
    share->end = SIZE_MAX;
    const size_t helpers = ctkd__helpers_start(threads, others < THREADS_MAX ? others : THREADS_MAX,
                                               share->thread, share);
    share->thread(share);
    for (size_t i = 0; i < helpers; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&share->lock);
    return ctkd__fail_as(err, &share->err);
}

/* --- sizes */

struct size_job {
    struct share share;
    const size_t *size; /* that the others should have */
};

/* Height and width of image `id`, from its header. */
static ctkd_status size_of(const struct ctkd__image_source *source, size_t id, size_t size[2],
                           ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    struct ctkd__tree_bytes bytes;
    struct ctkd__picture_file file;
    struct ctkd__picture_info info;
    ctkd_status status = read_image(source, id, place, &bytes, &file, err);
    if (status == CTKD_OK)
        status = ctkd__picture_probe(&file, &info, err);
    ctkd__tree_bytes_free(&bytes);
    if (status != CTKD_OK)
        return status;
    if (source->views.upright)
        ctkd__picture_info_upright(&info);
    size[0] = info.height;
    size[1] = info.width;
    return CTKD_OK;
}

static void *compare_sizes(void *argument)
{
    struct size_job *const job = argument;
    for (size_t id, size[2]; share_next(&job->share, &id);) {
        ctkd_error err;
        const ctkd_status status = size_of(job->share.source, id, size, &err);
        if (status != CTKD_OK || size[0] != job->size[0] || size[1] != job->size[1])
            share_end(&job->share, id, status, &err);
    }
    return NULL;
}

ctkd_status ctkd__image_source_one_size(const struct ctkd__image_source *source, size_t count,
                                        size_t side_max, bool *one, size_t size[2], ctkd_error *err)
{
    struct size_job job = { { .source = source, .count = count, .thread = compare_sizes }, size };
    *one = false;
    if (count == 0)
        return CTKD_OK;
    ctkd_status status = size_of(source, 0, size, err);
    if (status != CTKD_OK || size[0] > side_max || size[1] > side_max)
        return status;
    status = share_out(&job.share, 1, err);
    *one = status == CTKD_OK && job.share.end == SIZE_MAX;
    return status;
}

/* --- pixels */

struct memory_job {
    struct share share;
    const size_t *size;
    size_t image; /* bytes */
    uint8_t *pixels;
};

static void copy_planes(const struct ctkd__picture *picture, uint8_t *out)
{
    const size_t plane = picture->height * picture->width;
    for (size_t y = 0; y < picture->height; y++)
        for (size_t x = 0; x < picture->width; x++, out++)
            for (size_t c = 0; c < 3; c++)
                out[c * plane] = picture->pixels[y * picture->stride + 3 * x + c];
}

static ctkd_status load_image(const struct memory_job *job, struct ctkd__viewer *viewer,
                              struct ctkd__picture_reader *reader, size_t id, ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    struct ctkd__tree_bytes bytes;
    struct ctkd__picture_file file;
    struct ctkd__picture picture;
    uint8_t *const out = job->pixels + id * job->image;
    ctkd_status status = read_image(job->share.source, id, place, &bytes, &file, err);
    if (status == CTKD_OK && !job->size) {
        status = ctkd__viewer_evaluation(viewer, &file, out, err);
    } else if (status == CTKD_OK) {
        status = ctkd__picture_decode(reader, &file, NULL, &picture, err);
        if (status == CTKD_OK && (picture.height != job->size[0] || picture.width != job->size[1]))
            status = ctkd__fail(err, CTKD_ESHAPE, "%s: found %zu x %zu pixels, expected %zu x %zu",
                                place, picture.width, picture.height, job->size[1], job->size[0]);
        if (status == CTKD_OK)
            copy_planes(&picture, out);
    }
    ctkd__tree_bytes_free(&bytes);
    return status;
}

static void *load_share(void *argument)
{
    struct memory_job *const job = argument;
    struct ctkd__viewer *viewer = NULL;
    struct ctkd__picture_reader *reader = NULL;
    ctkd_error err;
    ctkd_status status = ctkd__viewer_create(&job->share.source->views, &viewer, &err);
    if (status == CTKD_OK)
        status =
            ctkd__picture_reader_create(job->share.source->views.pixels_max, false, &reader, &err);
    if (status != CTKD_OK)
        share_end(&job->share, 0, status, &err);
    else
        ctkd__picture_reader_upright(reader, job->share.source->views.upright);
    for (size_t id; share_next(&job->share, &id);) {
        status = load_image(job, viewer, reader, id, &err);
        if (status != CTKD_OK)
            share_end(&job->share, id, status, &err);
    }
    ctkd__picture_reader_destroy(reader);
    ctkd__viewer_destroy(viewer);
    return NULL;
}

ctkd_status ctkd__image_source_load(const struct ctkd__image_source *source, size_t count,
                                    const size_t *size, uint8_t *pixels, ctkd_error *err)
{
    const size_t side = source->views.size;
    struct memory_job job = { .share = { .source = source, .count = count, .thread = load_share },
                              .size = size,
                              .image = 3 * (size ? size[0] * size[1] : side * side),
                              .pixels = pixels };
    return share_out(&job.share, 0, err);
}
