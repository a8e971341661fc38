#include "data/loader.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "data/augment.h"
#include "data/strong_view.h"
#include "data/subset.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/slice.h"
#include "util/thread.h"

enum {
    AHEAD = 2,             /* batches that wait for the step */
    SLOTS_MAX = AHEAD + 2, /* and those that the step holds */
    SIDE_MAX = 1 << 16,
    READERS = 4 /* of files: enough for a disk that answers in turn, and for a network */
};

struct batch_slot {
    float *x, *strong;             /* of images in memory; strong: NULL without */
    uint8_t *bytes, *strong_bytes; /* of files, instead */
    int32_t *labels;
    uint64_t *ids;
    uint64_t *views;
    size_t n;
};

struct ctkd__loader {
    const struct ctkd__images *images;
    struct ctkd__loader_config config;
    size_t samples, batches, channels, height, width;
    uint32_t *own_order; /* of files: [samples] those of `order` that are this part's */
    size_t *rows;        /* of files: [batch] where the own images of a batch go */
    float tables[CTKD__CHANNELS_MAX][256]; /* per channel of the data */
    uint32_t *chosen;                      /* [samples] ids in use, ascending */
    uint32_t *order;                       /* [samples] of this epoch; the thread's own */
    uint8_t *raster, *plane; /* the thread's own, for rotated and strong views: [channels of the
                                data][height][width], [height][width]; NULL without */
    struct batch_slot slots[SLOTS_MAX];
    size_t n_slots;
    uint64_t waited_ns; /* this and `peeked` only the caller's thread uses */
    struct {
        bool there;
        struct ctkd__batch batch;
        ctkd_error err; /* CTKD_OK, or why there is none */
    } peeked;           /* what _next gives next */
    struct ctkd__file_batches
        *files; /* NULL: images in memory; else no batch waits, and no thread */

    pthread_t thread;
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t changed;
    uint64_t generation; /* starts so far; a batch prepared for an earlier one is dropped */
    uint64_t epoch;
    size_t filled, taken; /* next batch to prepare, next batch to hand out */
    bool stop;
};

static void order_make(struct ctkd__loader *loader, uint64_t epoch)
{
    for (size_t i = 0; i < loader->samples; i++)
        loader->order[i] = loader->chosen[i];
    if (loader->config.shuffle)
        ctkd__shuffle(loader->config.seed, epoch, loader->order, loader->samples);
}

/* Moves a window on the data's image to one on the padded image. */
static void view_centre(const struct ctkd__loader *loader, struct ctkd__view *view)
{
    view->top -= (ptrdiff_t)((loader->height - loader->images->height) / 2);
    view->left -= (ptrdiff_t)((loader->width - loader->images->width) / 2);
}

static const uint8_t *pixels_of(const struct ctkd__images *images, uint32_t id)
{
    return images->pixels + id * images->channels * images->height * images->width;
}

/* `view` is a window on `pixels`, an image of the data's size, without padding. */
static void view_fill(const struct ctkd__loader *loader, const uint8_t *pixels,
                      struct ctkd__view view, float *out)
{
    const struct ctkd__images *images = loader->images;
    const size_t plane = images->height * images->width;
    view_centre(loader, &view);
    for (size_t c = 0; c < loader->channels; c++) {
        const size_t source = images->channels == 1 ? 0 : c;
        ctkd__view_plane(pixels + source * plane, images->height, images->width, &view,
                         loader->tables[source], loader->height, loader->width, out);
        out += loader->height * loader->width;
    }
}

/* The image, rotated by the angle of this epoch; the thread's own until the next call. */
static const uint8_t *rotated(const struct ctkd__loader *loader, uint64_t epoch, uint32_t id)
{
    const struct ctkd__images *const images = loader->images;
    const struct ctkd__loader_config *const config = &loader->config;
    const struct ctkd__raster image = { images->channels, images->height, images->width,
                                        loader->raster };
    memcpy(loader->raster, pixels_of(images, id),
           images->channels * images->height * images->width);
    ctkd__rotate(&image, ctkd__rotation_draw(config->seed, epoch, id, config->rotation),
                 loader->plane);
    return loader->raster;
}

static bool rotates(const struct ctkd__loader_config *config)
{
    return config->augment && config->rotation > 0;
}

/* Returns the number of the view that was drawn. */
static size_t sample_fill(const struct ctkd__loader *loader, uint64_t epoch, uint32_t id,
                          float *out)
{
    const size_t padding = loader->config.crop_padding;
    if (!loader->config.augment) {
        view_fill(loader, pixels_of(loader->images, id), (struct ctkd__view){ 0 }, out);
        return 0;
    }
    const struct ctkd__view view = ctkd__view_draw(loader->config.seed, epoch, id, padding);
    if (rotates(&loader->config)) {
        view_fill(loader, rotated(loader, epoch, id), view, out);
        return (size_t)epoch - 1;
    }
    view_fill(loader, pixels_of(loader->images, id), view, out);
    return ctkd__view_number(&view, padding);
}

static void strong_fill(const struct ctkd__loader *loader, uint64_t epoch, uint32_t id, float *out)
{
    const struct ctkd__images *images = loader->images;
    const size_t plane = loader->height * loader->width;
    const struct ctkd__raster image = { images->channels, loader->height, loader->width,
                                        loader->raster };
    const bool augment = loader->config.augment;
    struct ctkd__strong_view view = ctkd__strong_view_draw(
        loader->config.seed, epoch, id, augment ? loader->config.crop_padding : 0);
    view.view.flip = view.view.flip && augment;
    view_centre(loader, &view.view);
    ctkd__strong_view_make(pixels_of(images, id), images->height, images->width, &view, &image,
                           loader->plane);
    for (size_t c = 0; c < loader->channels; c++) {
        const size_t source = images->channels == 1 ? 0 : c;
        for (size_t i = 0; i < plane; i++)
            *out++ = loader->tables[source][image.pixels[source * plane + i]];
    }
}

/* Whether image i of a batch of n is this part's. */
static bool is_own(const struct ctkd__loader_config *config, size_t n, size_t i)
{
    if (config->parts < 2)
        return true;
    if (config->whole_groups)
        return i / (config->batch / config->parts) == config->part;
    const size_t group = config->group ? config->group : n, first = i / group * group;
    const size_t size = n - first < group ? n - first : group;
    return i - first >= ctkd__slice_begin(size, config->parts, config->part) &&
           i - first < ctkd__slice_begin(size, config->parts, config->part + 1);
}

static size_t batch_size(const struct ctkd__loader *loader, size_t batch)
{
    const size_t left = loader->samples - batch * loader->config.batch;
    return left < loader->config.batch ? left : loader->config.batch;
}

static void slot_fill(const struct ctkd__loader *loader, uint64_t epoch, size_t batch,
                      struct batch_slot *slot)
{
    const size_t begin = batch * loader->config.batch;
    const size_t pixels = loader->channels * loader->height * loader->width;
    slot->n = batch_size(loader, batch);
    for (size_t i = 0; i < slot->n; i++) {
        const uint32_t id = loader->order[begin + i];
        slot->labels[i] = loader->images->labels[id];
        slot->ids[i] = id;
        if (!is_own(&loader->config, slot->n, i))
            continue;
        slot->views[i] = sample_fill(loader, epoch, id, slot->x + i * pixels);
        if (slot->strong)
            strong_fill(loader, epoch, id, slot->strong + i * pixels);
    }
}

/* Whether a slot is free for another batch of this epoch; under the lock. */
static bool can_fill(const struct ctkd__loader *loader)
{
    return loader->generation > 0 && loader->filled < loader->batches &&
           loader->filled - loader->taken < AHEAD;
}

static void *loader_run(void *argument)
{
    struct ctkd__loader *loader = argument;
    uint64_t ordered = 0; /* the generation that `order` is for */
    pthread_mutex_lock(&loader->lock);
    for (;;) {
        while (!loader->stop && !can_fill(loader))
            pthread_cond_wait(&loader->changed, &loader->lock);
        if (loader->stop)
            break;
        const uint64_t generation = loader->generation, epoch = loader->epoch;
        const size_t batch = loader->filled;
        pthread_mutex_unlock(&loader->lock);
        if (ordered != generation)
            order_make(loader, epoch);
        ordered = generation;
        slot_fill(loader, epoch, batch, &loader->slots[batch % loader->n_slots]);
        pthread_mutex_lock(&loader->lock);
        if (loader->generation == generation) {
            loader->filled++;
            pthread_cond_signal(&loader->changed);
        }
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static ctkd_status files_check(const struct ctkd__images *images,
                               const struct ctkd__loader_config *config, ctkd_error *err)
{
    /* The file threads count this part's images: no batch may have more of them than the first. */
    if (config->parts > 1 &&
        (config->batch % config->parts || (config->group % config->parts && !config->whole_groups)))
        return ctkd__fail(err, CTKD_ERANGE,
                          "loader: found batches of %zu image files (groups of %zu) in %zu parts, "
                          "expected a multiple of them",
                          config->batch, config->group ? config->group : config->batch,
                          config->parts);
    if (config->pad_to)
        return ctkd__fail(err, CTKD_EINVAL,
                          "data.pad_to: found %zu for image files, which are resized; expected 0",
                          config->pad_to);
    if (config->channels && config->channels != images->channels)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "data.channels: found %zu for image files, which are read as RGB; "
                          "expected 3, or 0",
                          config->channels);
    return CTKD_OK;
}

static ctkd_status config_check(const struct ctkd__images *images,
                                const struct ctkd__loader_config *config, ctkd_error *err)
{
    if (config->batch == 0)
        return ctkd__fail(err, CTKD_EINVAL, "loader: found batch 0, expected at least 1");
    if (images->count == 0 || images->count >= UINT32_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "loader: found %zu images, expected 1..%u",
                          images->count, UINT32_MAX - 1);
    const size_t available = config->pool ? config->n_pool : images->count;
    if (config->limit > available)
        return ctkd__fail(err, CTKD_ERANGE, "%s: found %zu, expected at most the %zu images%s",
                          config->limit_key ? config->limit_key : "loader: limit", config->limit,
                          available, config->pool ? " that data.dev leaves" : "");
    if (config->augment && config->crop_padding > SIDE_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "loader: found crop padding %zu, expected 0..%d",
                          config->crop_padding, SIDE_MAX);
    if (!(config->rotation >= 0 && config->rotation <= 180))
        return ctkd__fail(err, CTKD_ERANGE, "loader: found rotation %g, expected 0..180 degrees",
                          config->rotation);
    if (config->pad_to && (config->pad_to < images->height || config->pad_to < images->width ||
                           config->pad_to > CTKD__VIEW_SIDE_MAX))
        return ctkd__fail(
            err, CTKD_ERANGE,
            "data.pad_to: found %zu, expected 0, or at least %zu (and at most %d) for "
            "images of %zux%zu",
            config->pad_to, images->height > images->width ? images->height : images->width,
            CTKD__VIEW_SIDE_MAX, images->height, images->width);
    const ctkd_status files = images->source ? files_check(images, config, err) : CTKD_OK;
    if (files != CTKD_OK)
        return files;
    if (images->channels == 0 || images->channels > CTKD__CHANNELS_MAX ||
        config->channels > CTKD__CHANNELS_MAX ||
        (config->channels && images->channels != 1 && config->channels != images->channels))
        return ctkd__fail(
            err, CTKD_ESHAPE,
            "data.channels: found %zu for images of %zu, expected the same number, or "
            "1 repeated up to %d times",
            config->channels, images->channels, CTKD__CHANNELS_MAX);
    if (config->strong && images->channels != 1 && images->channels != 3)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "loader: found a strong view of images of %zu channels, expected 1 or 3",
                          images->channels);
    for (size_t c = 0; c < images->channels; c++) {
        if (!isfinite(config->mean[c]) || !isfinite(config->std[c]) || config->std[c] <= 0.0f)
            return ctkd__fail(err, CTKD_EINVAL,
                              "data.mean, data.std: channel %zu: found %g and %g, expected finite "
                              "values and a deviation above 0",
                              c, (double)config->mean[c], (double)config->std[c]);
        float table[256];
        ctkd__normalise_table(config->mean[c], config->std[c], table);
        if (!isfinite(table[0]) || !isfinite(table[255]))
            return ctkd__fail(
                err, CTKD_ERANGE,
                "data.mean, data.std: channel %zu: found %g and %g, which give values "
                "that exceed the range of a float",
                c, (double)config->mean[c], (double)config->std[c]);
    }
    return CTKD_OK;
}

/* Memory for the views of a batch; false: there is none. */
static bool slot_alloc(const struct ctkd__loader *loader, struct batch_slot *slot, size_t pixels)
{
    const bool strong = loader->config.strong;
    const size_t bytes = pixels * sizeof(float) + 63; /* aligned_alloc wants whole cache lines */
    if (loader->images->source) {
        slot->bytes = malloc(pixels);
        slot->strong_bytes = strong ? malloc(pixels) : NULL;
        return slot->bytes && (slot->strong_bytes || !strong);
    }
    slot->x = aligned_alloc(64, bytes / 64 * 64);
    slot->strong = strong ? aligned_alloc(64, bytes / 64 * 64) : NULL;
    return slot->x && (slot->strong || !strong);
}

static ctkd_status loader_alloc(struct ctkd__loader *loader)
{
    const size_t batch =
        loader->config.batch < loader->samples ? loader->config.batch : loader->samples;
    /* Images are in memory or of a size that views may have, and pad_to has a limit: this
       product fits, the next may not. */
    const size_t pixels = loader->channels * loader->height * loader->width;
    size_t bytes;
    if (__builtin_mul_overflow(pixels * sizeof(float), batch, &bytes) || bytes > SIZE_MAX - 64)
        return CTKD_ENOMEM;
    loader->chosen = malloc(loader->samples * sizeof *loader->chosen);
    loader->order = malloc(loader->samples * sizeof *loader->order);
    bool complete = loader->chosen && loader->order;
    if (loader->images->source) {
        loader->own_order = malloc(loader->samples * sizeof *loader->own_order);
        loader->rows = malloc(batch * sizeof *loader->rows);
        complete = complete && loader->own_order && loader->rows;
    } else if (loader->config.strong || rotates(&loader->config)) {
        const size_t plane = loader->height * loader->width;
        loader->raster = malloc(loader->images->channels * plane);
        loader->plane = malloc(plane);
        complete = complete && loader->raster && loader->plane;
    }
    for (size_t i = 0; i < loader->n_slots; i++) {
        struct batch_slot *slot = &loader->slots[i];
        slot->labels = malloc(batch * sizeof *slot->labels);
        slot->ids = malloc(batch * sizeof *slot->ids);
        slot->views = malloc(batch * sizeof *slot->views);
        complete = slot_alloc(loader, slot, batch * pixels) && complete && slot->labels &&
                   slot->ids && slot->views;
    }
    return complete ? CTKD_OK : CTKD_ENOMEM;
}

static void loader_free(struct ctkd__loader *loader)
{
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        free(loader->slots[i].x);
        free(loader->slots[i].strong);
        free(loader->slots[i].bytes);
        free(loader->slots[i].strong_bytes);
        free(loader->slots[i].labels);
        free(loader->slots[i].ids);
        free(loader->slots[i].views);
    }
    free(loader->plane);
    free(loader->raster);
    free(loader->order);
    free(loader->own_order);
    free(loader->rows);
    free(loader->chosen);
    free(loader);
}

static void loader_shape(struct ctkd__loader *loader)
{
    const struct ctkd__loader_config *config = &loader->config;
    const struct ctkd__images *images = loader->images;
    loader->samples = config->limit ? config->limit : config->pool ? config->n_pool : images->count;
    loader->batches = loader->samples / config->batch + (loader->samples % config->batch != 0);
    loader->channels = config->channels ? config->channels : images->channels;
    loader->height = config->pad_to ? config->pad_to : images->height;
    loader->width = config->pad_to ? config->pad_to : images->width;
    for (size_t c = 0; c < images->channels; c++)
        ctkd__normalise_table(config->mean[c], config->std[c], loader->tables[c]);
}

/* Chooses among the pool if there is one, else among all images. */
static ctkd_status choose_samples(struct ctkd__loader *loader)
{
    const struct ctkd__loader_config *const config = &loader->config;
    const int32_t *const all = loader->images->labels;
    if (!config->pool)
        return ctkd__subset_choose(all, loader->images->count, loader->samples, config->seed,
                                   loader->chosen);
    int32_t *const labels = malloc(config->n_pool * sizeof *labels);
    if (!labels)
        return CTKD_ENOMEM;
    for (size_t i = 0; i < config->n_pool; i++)
        labels[i] = all[config->pool[i]];
    const ctkd_status status =
        ctkd__subset_choose(labels, config->n_pool, loader->samples, config->seed, loader->chosen);
    for (size_t i = 0; i < loader->samples && status == CTKD_OK; i++)
        loader->chosen[i] = config->pool[loader->chosen[i]];
    free(labels);
    return status;
}

/* Fills in the rows of this part's images of a batch; returns how many there are. */
static size_t own_rows(struct ctkd__loader *loader, size_t batch)
{
    const size_t n = batch_size(loader, batch);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (is_own(&loader->config, n, i))
            loader->rows[count++] = i;
    return count;
}

/* Lists this part's images of the batches from `first` on, in order; returns how many come
   before. */
static size_t own_order_make(struct ctkd__loader *loader, size_t first, size_t *count)
{
    size_t before = 0;
    *count = 0;
    for (size_t b = 0; b < loader->batches; b++) {
        const size_t n = own_rows(loader, b);
        before += b < first ? n : 0;
        for (size_t i = 0; i < n; i++)
            loader->own_order[(*count)++] =
                loader->order[b * loader->config.batch + loader->rows[i]];
    }
    return before;
}

static ctkd_status open_files(struct ctkd__loader *loader, ctkd_error *err)
{
    const struct ctkd__loader_config *const config = &loader->config;
    struct ctkd__file_batches_config files = { .source = loader->images->source,
                                               .batch = own_rows(loader, 0),
                                               .augment = config->augment,
                                               .strong = config->strong,
                                               .rotation = config->rotation,
                                               .seed = config->seed,
                                               .readers =
                                                   config->readers ? config->readers : READERS,
                                               .threads = config->threads };
    if (files.batch == 0) /* a batch may have fewer images than there are parts */
        files.batch = 1;
    return ctkd__file_batches_create(&files, &loader->files, err);
}

static int thread_start(struct ctkd__loader *loader)
{
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->changed, NULL);
    const int result = ctkd__thread_start(&loader->thread, loader_run, loader);
    if (result != 0) {
        pthread_cond_destroy(&loader->changed);
        pthread_mutex_destroy(&loader->lock);
    }
    return result;
}

ctkd_status ctkd__loader_create(const struct ctkd__images *images,
                                const struct ctkd__loader_config *config, struct ctkd__loader **out,
                                ctkd_error *err)
{
    *out = NULL;
    ctkd_status status = config_check(images, config, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return ctkd__fail(err, CTKD_ENOMEM, "loader: out of memory");
    loader->images = images;
    loader->config = *config;
    loader->n_slots = (images->source ? 0 : (size_t)AHEAD) + (config->holds_two ? 2 : 1);
    loader_shape(loader);
    status = loader_alloc(loader);
    if (status == CTKD_OK)
        status = choose_samples(loader);
    if (status != CTKD_OK) {
        ctkd__fail(err, status,
                   "loader: out of memory for %zu batches of %zu images of %zux%zux%zu",
                   loader->n_slots, config->batch, loader->channels, loader->height, loader->width);
        goto fail;
    }
    if (images->source) {
        status = open_files(loader, err);
        if (status != CTKD_OK)
            goto fail;
        *out = loader;
        return CTKD_OK;
    }
    const int result = thread_start(loader);
    if (result != 0) {
        status = ctkd__fail(err, CTKD_EBACKEND,
                            "loader: cannot start a background thread (error %d)", result);
        goto fail;
    }
    *out = loader;
    return CTKD_OK;
fail:
    loader_free(loader);
    return status;
}

static void thread_stop(struct ctkd__loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_signal(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
}

void ctkd__loader_destroy(struct ctkd__loader *loader)
{
    if (!loader)
        return;
    if (loader->files)
        ctkd__file_batches_destroy(loader->files);
    else
        thread_stop(loader);
    loader_free(loader);
}

ctkd_status ctkd__loader_use_team(struct ctkd__loader *loader, const struct ctkd__team *team,
                                  ctkd_error *err)
{
    return loader->files ? ctkd__file_batches_use_team(loader->files, team, err) : CTKD_OK;
}

size_t ctkd__loader_samples(const struct ctkd__loader *loader)
{
    return loader->samples;
}

const uint32_t *ctkd__loader_chosen(const struct ctkd__loader *loader)
{
    return loader->chosen;
}

size_t ctkd__loader_batches(const struct ctkd__loader *loader)
{
    return loader->batches;
}

size_t ctkd__loader_channels(const struct ctkd__loader *loader)
{
    return loader->channels;
}

size_t ctkd__loader_height(const struct ctkd__loader *loader)
{
    return loader->height;
}

size_t ctkd__loader_width(const struct ctkd__loader *loader)
{
    return loader->width;
}

size_t ctkd__loader_views(const struct ctkd__loader *loader)
{
    if (loader->files || rotates(&loader->config))
        return 0;
    return loader->config.augment ? ctkd__view_count(loader->config.crop_padding) : 1;
}

const struct ctkd__loader_config *ctkd__loader_settings(const struct ctkd__loader *loader)
{
    return &loader->config;
}

void ctkd__loader_make_view(const struct ctkd__loader *loader, uint32_t id, size_t number,
                            float *out)
{
    const struct ctkd__view view = loader->config.augment
                                       ? ctkd__view_of_number(number, loader->config.crop_padding)
                                       : (struct ctkd__view){ 0 };
    view_fill(loader, pixels_of(loader->images, id), view, out);
}

void ctkd__loader_start(struct ctkd__loader *loader, uint64_t epoch, size_t first)
{
    loader->peeked.there = false;
    if (loader->files) {
        /* The readers use the order until they start on another one. */
        ctkd__file_batches_start(loader->files, epoch, NULL, 0, 0);
        order_make(loader, epoch);
        loader->generation++;
        loader->epoch = epoch;
        loader->taken = first;
        size_t count;
        const size_t before = own_order_make(loader, first, &count);
        ctkd__file_batches_start(loader->files, epoch, loader->own_order, count, before);
        return;
    }
    pthread_mutex_lock(&loader->lock);
    loader->generation++;
    loader->epoch = epoch;
    loader->filled = loader->taken = first;
    pthread_cond_signal(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
}

static struct ctkd__batch slot_batch(const struct ctkd__loader *loader,
                                     const struct batch_slot *slot)
{
    return (struct ctkd__batch){ .n = slot->n,
                                 .x = { slot->x, slot->bytes, loader->tables },
                                 .labels = slot->labels,
                                 .ids = slot->ids,
                                 .strong = { slot->strong, slot->strong_bytes, loader->tables },
                                 .views = slot->views };
}

static ctkd_status take_of_files(struct ctkd__loader *loader, struct ctkd__batch *batch,
                                 ctkd_error *err)
{
    struct batch_slot *const slot = &loader->slots[loader->taken % loader->n_slots];
    if (loader->generation == 0 || loader->taken >= loader->batches)
        return CTKD_OK;
    const size_t begin = loader->taken * loader->config.batch;
    slot->n = batch_size(loader, loader->taken);
    const size_t own = own_rows(loader, loader->taken);
    const ctkd_status status = own ? ctkd__file_batches_fill(loader->files, own, loader->rows,
                                                             slot->bytes, slot->strong_bytes, err)
                                   : CTKD_OK;
    if (status != CTKD_OK) {
        loader->generation = 0; /* nothing follows until the next start */
        return status;
    }
    for (size_t i = 0; i < slot->n; i++) {
        slot->ids[i] = loader->order[begin + i];
        slot->labels[i] = loader->images->labels[slot->ids[i]];
        slot->views[i] = loader->config.augment ? loader->epoch - 1 : 0;
    }
    loader->taken++;
    *batch = slot_batch(loader, slot);
    return CTKD_OK;
}

/* Takes the next batch out of its slot. */
static ctkd_status take(struct ctkd__loader *loader, struct ctkd__batch *batch, ctkd_error *err)
{
    *batch = (struct ctkd__batch){ 0 };
    if (loader->files)
        return take_of_files(loader, batch, err);
    pthread_mutex_lock(&loader->lock);
    const bool more = loader->generation > 0 && loader->taken < loader->batches;
    if (more && loader->filled == loader->taken) {
        const uint64_t begin = ctkd__clock_ns();
        while (loader->filled == loader->taken)
            pthread_cond_wait(&loader->changed, &loader->lock);
        loader->waited_ns += ctkd__clock_ns() - begin;
    }
    if (more) {
        const struct batch_slot *slot = &loader->slots[loader->taken++ % loader->n_slots];
        *batch = slot_batch(loader, slot);
        pthread_cond_signal(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return CTKD_OK;
}

ctkd_status ctkd__loader_peek(struct ctkd__loader *loader, struct ctkd__batch *batch,
                              ctkd_error *err)
{
    if (!loader->peeked.there)
        loader->peeked.err.status = take(loader, &loader->peeked.batch, &loader->peeked.err);
    loader->peeked.there = true;
    *batch = loader->peeked.batch;
    return ctkd__fail_as(err, &loader->peeked.err);
}

ctkd_status ctkd__loader_next(struct ctkd__loader *loader, struct ctkd__batch *batch,
                              ctkd_error *err)
{
    const ctkd_status status = ctkd__loader_peek(loader, batch, err);
    loader->peeked.there = false;
    return status;
}

uint64_t ctkd__loader_waited_ns(const struct ctkd__loader *loader)
{
    return loader->files ? ctkd__file_batches_waited_ns(loader->files) : loader->waited_ns;
}
