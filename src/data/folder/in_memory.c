#include "data/folder/in_memory.h"

#include <pthread.h>
#include <sched.h>
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

ctkd_status ctkd__image_source_one_size(const struct ctkd__image_source *source, size_t count,
                                        size_t side_max, bool *one, size_t size[2], ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    *one = count > 0;
    for (size_t i = 0; i < count && *one && status == CTKD_OK; i++) {
        char place[CTKD__TREE_PLACE_MAX];
        struct ctkd__tree_bytes bytes;
        struct ctkd__picture_file file;
        struct ctkd__picture_info info;
        status = read_image(source, i, place, &bytes, &file, err);
        if (status == CTKD_OK)
            status = ctkd__picture_probe(&file, &info, err);
        ctkd__tree_bytes_free(&bytes);
        if (status != CTKD_OK)
            return status;
        if (source->views.upright)
            ctkd__picture_info_upright(&info);
        if (i == 0) {
            size[0] = info.height;
            size[1] = info.width;
        }
        *one = info.height == size[0] && info.width == size[1] && info.height <= side_max &&
               info.width <= side_max;
    }
    return status;
}

struct memory_job {
    const struct ctkd__image_source *source;
    size_t count;
    const size_t *size;
    size_t image; /* bytes */
    uint8_t *pixels;
    atomic_size_t next;
    pthread_mutex_t lock;
    size_t failed; /* the first image that cannot be read */
    ctkd_status status;
    ctkd_error err;
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
    ctkd_status status = read_image(job->source, id, place, &bytes, &file, err);
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

static void note_failure(struct memory_job *job, size_t id, ctkd_status status,
                         const ctkd_error *err)
{
    pthread_mutex_lock(&job->lock);
    if (id < job->failed) {
        job->failed = id;
        job->status = status;
        job->err = *err;
    }
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->next, job->count);
}

static void *load_share(void *argument)
{
    struct memory_job *const job = argument;
    struct ctkd__viewer *viewer = NULL;
    struct ctkd__picture_reader *reader = NULL;
    ctkd_error err;
    ctkd_status status = ctkd__viewer_create(&job->source->views, &viewer, &err);
    if (status == CTKD_OK)
        status = ctkd__picture_reader_create(job->source->views.pixels_max, false, &reader, &err);
    if (status != CTKD_OK)
        note_failure(job, 0, status, &err);
    else
        ctkd__picture_reader_upright(reader, job->source->views.upright);
    for (size_t id; (id = atomic_fetch_add(&job->next, 1)) < job->count;) {
        status = load_image(job, viewer, reader, id, &err);
        if (status != CTKD_OK)
            note_failure(job, id, status, &err);
    }
    ctkd__picture_reader_destroy(reader);
    ctkd__viewer_destroy(viewer);
    return NULL;
}

/* Threads beside the caller: what cannot be started is not needed. */
static size_t start_helpers(struct memory_job *job, pthread_t threads[THREADS_MAX])
{
    cpu_set_t cpus;
    const size_t processors =
        sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
    size_t count = 0;
    while (count + 1 < processors && count < THREADS_MAX && count + 1 < job->count &&
           ctkd__thread_start(&threads[count], load_share, job) == 0)
        count++;
    return count;
}

ctkd_status ctkd__image_source_load(const struct ctkd__image_source *source, size_t count,
                                    const size_t *size, uint8_t *pixels, ctkd_error *err)
{
    const size_t side = source->views.size;
    struct memory_job job = { .source = source,
                              .count = count,
                              .size = size,
                              .image = 3 * (size ? size[0] * size[1] : side * side),
                              .pixels = pixels,
                              .failed = SIZE_MAX };
    pthread_t threads[THREADS_MAX];
    pthread_mutex_init(&job.lock, NULL);
    const size_t helpers = start_helpers(&job, threads);
    load_share(&job);
    for (size_t i = 0; i < helpers; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&job.lock);
    return job.status == CTKD_OK ? CTKD_OK : ctkd__fail(err, job.status, "%s", job.err.message);
}
