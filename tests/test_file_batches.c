#include "data/folder/file_batches.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/affine.h"
#include "data/augment.h"
#include "data/loader.h"
#include "support/check.h"
#include "support/next_batch.h"
#include "support/photos.h"
#include "support/temp_files.h"

enum { SIZE = 24, PIXELS = 3 * SIZE * SIZE, TRAIN = 11, TEST = 4 };

/* Threads that may still start, and reads of image files: the linker puts these in place. */
static size_t threads_left = SIZE_MAX;
static atomic_size_t reads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *argument)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(thread, attributes, fn, argument);
}

ctkd_status __real_ctkd__image_source_read(const struct ctkd__image_source *source, size_t id,
                                           struct ctkd__tree_bytes *out, ctkd_error *err);
ctkd_status __wrap_ctkd__image_source_read(const struct ctkd__image_source *source, size_t id,
                                           struct ctkd__tree_bytes *out, ctkd_error *err);
ctkd_status __wrap_ctkd__image_source_read(const struct ctkd__image_source *source, size_t id,
                                           struct ctkd__tree_bytes *out, ctkd_error *err)
{
    atomic_fetch_add(&reads, 1);
    return __real_ctkd__image_source_read(source, id, out, err);
}

/* A folder of pictures, JPEGs and PNGs among them. */
static char folder[600];

static int folder_make(void **state)
{
    if (temp_folder_make(state) != 0)
        return -1;
    snprintf(folder, sizeof folder, "%s", (char *)*state);
    photo_folder_write(folder, TRAIN, TEST);
    photo_copy(folder, "train/ant/x.jpg", "jpeg_420.jpg");
    photo_copy(folder, "train/ant/y.jpg", "jpeg_cmyk.jpg");
    photo_copy(folder, "train/bee/x.png", "png_rgba.png");
    photo_copy(folder, "val/bee/x.JPEG", "jpeg_grey.jpg");
    return 0;
}

static struct ctkd__dataset *dataset_open(const struct ctkd__dataset_options *options)
{
    struct ctkd__dataset *dataset;
    char spec[700];
    ctkd_error err;
    snprintf(spec, sizeof spec, "imagefolder:%s", folder);
    check_ok(ctkd__dataset_open(spec, options, &dataset, &err), &err);
    return dataset;
}

static struct ctkd__dataset_options options_make(void)
{
    struct ctkd__dataset_options options = ctkd__dataset_options_defaults();
    options.size = SIZE;
    options.view = CTKD__FILE_VIEW_RESIZED_CROP;
    return options;
}

static struct ctkd__loader_config config_make(size_t batch)
{
    return (struct ctkd__loader_config){ .batch = batch,
                                         .shuffle = true,
                                         .augment = true,
                                         .strong = true,
                                         .seed = 5,
                                         .mean = { 0.5f, 0.4f, 0.3f },
                                         .std = { 0.2f, 0.25f, 0.3f } };
}

/* What an epoch hands out from batch `first` on. */
struct epoch {
    size_t n;
    bool own[40]; /* whether the image is of the loader's part, the others' stay 0 */
    uint64_t ids[40];
    int32_t labels[40];
    float x[40 * PIXELS], strong[40 * PIXELS];
};

/* Threads of a team that last as long as a call. */
struct call {
    void (*fn)(void *argument, size_t worker);
    void *argument;
    size_t worker;
};

static void *call_run(void *argument)
{
    const struct call *const call = argument;
    call->fn(call->argument, call->worker);
    return NULL;
}

static void team_run(void *context, void (*fn)(void *argument, size_t worker), void *argument)
{
    const size_t count = *(const size_t *)context;
    struct call calls[8];
    pthread_t threads[8];
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct call){ fn, argument, i };
        pthread_create(&threads[i], NULL, call_run, &calls[i]);
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* Image i as a network reads it. */
static void write_image(struct ctkd__batch_images pixels, size_t i, float *out)
{
    assert_null(pixels.values);
    ctkd__batch_images_write(ctkd__batch_images_from(pixels, i * PIXELS), 1, 3, SIZE * SIZE, out);
}

static void collect(struct ctkd__loader *loader, const struct ctkd__loader_config *config,
                    size_t number, size_t first, struct epoch *epoch)
{
    struct ctkd__batch batch;
    const size_t parts = config->parts ? config->parts : 1;
    epoch->n = 0;
    ctkd__loader_start(loader, number, first);
    while (next_batch(loader, &batch)) {
        assert_in_range(epoch->n + batch.n, 1, 40);
        memcpy(epoch->ids + epoch->n, batch.ids, batch.n * sizeof *batch.ids);
        memcpy(epoch->labels + epoch->n, batch.labels, batch.n * sizeof *batch.labels);
        for (size_t i = batch.n * config->part / parts; i < batch.n * (config->part + 1) / parts;
             i++) {
            const size_t at = (epoch->n + i) * PIXELS;
            epoch->own[epoch->n + i] = true;
            write_image(batch.x, i, epoch->x + at);
            if (batch.strong.bytes)
                write_image(batch.strong, i, epoch->strong + at);
        }
        epoch->n += batch.n;
    }
    assert_false(next_batch(loader, &batch)); /* and it stays over */
}

/* Epoch 3 of a loader with these threads, and of the same loader again after another epoch. */
static struct epoch *epoch_of(const struct ctkd__images *images, struct ctkd__loader_config config,
                              size_t team, size_t first)
{
    struct epoch *const epoch = calloc(1, sizeof *epoch), *const again = calloc(1, sizeof *again);
    struct ctkd__loader *loader;
    struct ctkd__batch batch;
    ctkd_error err;
    assert_true(epoch && again);
    check_ok(ctkd__loader_create(images, &config, &loader, &err), &err);
    assert_false(next_batch(loader, &batch)); /* nothing before the start */
    const struct ctkd__team threads = { &team, team, team_run };
    if (team)
        check_ok(ctkd__loader_use_team(loader, &threads, &err), &err);
    collect(loader, &config, 3, first, epoch);
    ctkd__loader_start(loader, 4, 0);
    assert_true(next_batch(loader, &batch)); /* left in the middle */
    collect(loader, &config, 3, first, again);
    assert_memory_equal(epoch, again, sizeof *epoch);
    free(again);
    ctkd__loader_destroy(loader);
    return epoch;
}

/* How many image files an epoch reads. */
static size_t reads_of(const struct ctkd__images *images, const struct ctkd__loader_config *config)
{
    struct epoch *const epoch = calloc(1, sizeof *epoch);
    struct ctkd__loader *loader;
    ctkd_error err;
    assert_non_null(epoch);
    check_ok(ctkd__loader_create(images, config, &loader, &err), &err);
    const size_t before = atomic_load(&reads);
    collect(loader, config, 3, 0, epoch);
    const size_t count = atomic_load(&reads) - before;
    ctkd__loader_destroy(loader);
    free(epoch);
    return count;
}

static void the_same_bits_with_any_threads(void **state)
{
    static const struct {
        size_t readers, threads, team;
    } cases[] = { { 1, 0, 2 }, { 8, 0, 3 }, { 2, 1, 0 }, { 1, 4, 2 }, { 3, 3, 1 } };
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    struct ctkd__loader_config config = config_make(5);
    struct epoch *const expected = epoch_of(&dataset->train, config, 0, 0);
    assert_int_equal(expected->n, 2 * TRAIN + 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config.readers = cases[i].readers;
        config.threads = cases[i].threads;
        struct epoch *const epoch = epoch_of(&dataset->train, config, cases[i].team, 0);
        assert_memory_equal(epoch, expected, sizeof *epoch);
        free(epoch);
    }
    free(expected);
    ctkd__dataset_close(dataset);
}

/* Batches of 6, the last of fewer, also from the second batch on; each image is read by one part.
 */
static void parts_have_their_images_alone(void **state)
{
    enum { BATCH = 6, PARTS = 3 };
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    for (size_t threads = 0; threads < 3; threads += 2)
        for (size_t first = 0; first < 2; first++) {
            struct ctkd__loader_config config = config_make(BATCH);
            config.threads = threads;
            struct epoch *const whole = epoch_of(&dataset->train, config, 0, first);
            config.parts = PARTS;
            size_t owned = 0, read = 0;
            for (config.part = 0; config.part < PARTS; config.part++) {
                struct epoch *const part = epoch_of(&dataset->train, config, 2, first);
                assert_int_equal(part->n, whole->n);
                assert_memory_equal(part->ids, whole->ids, sizeof whole->ids);
                assert_memory_equal(part->labels, whole->labels, sizeof whole->labels);
                for (size_t i = 0; i < whole->n; i++) {
                    if (!part->own[i])
                        continue;
                    owned++;
                    assert_memory_equal(part->x + i * PIXELS, whole->x + i * PIXELS,
                                        PIXELS * sizeof *part->x);
                    assert_memory_equal(part->strong + i * PIXELS, whole->strong + i * PIXELS,
                                        PIXELS * sizeof *part->strong);
                }
                free(part);
                read += reads_of(&dataset->train, &config);
            }
            assert_int_equal(owned, whole->n);
            assert_int_equal(read, dataset->train.count);
            free(whole);
        }
    struct ctkd__loader_config uneven = config_make(7);
    struct ctkd__loader *loader;
    ctkd_error err = { 0 };
    uneven.parts = PARTS;
    assert_int_equal(ctkd__loader_create(&dataset->train, &uneven, &loader, &err), CTKD_ERANGE);
    assert_string_equal(err.message, "loader: found batches of 7 image files (groups of 7) in 3 "
                                     "parts, expected a multiple of them");
    ctkd__dataset_close(dataset);
}

static void the_same_bits_from_a_folder_and_its_archives(void **state)
{
    static const char *const formats[] = { "gnutar", "pax", "zip", "zip:compression=store" };
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    const struct ctkd__loader_config config = config_make(5);
    struct epoch *const expected = epoch_of(&dataset->train, config, 0, 0);
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        struct ctkd__dataset *packed;
        char path[700], spec[800];
        ctkd_error err;
        snprintf(path, sizeof path, "%s.archive", folder);
        photo_archive(folder, formats[f], path);
        snprintf(spec, sizeof spec, "imagefolder:%s", path);
        check_ok(ctkd__dataset_open(spec, &options, &packed, &err), &err);
        struct epoch *const epoch = epoch_of(&packed->train, config, 2, 0);
        assert_memory_equal(epoch, expected, sizeof *epoch);
        assert_string_equal(packed->folder->layout.train.sha256,
                            dataset->folder->layout.train.sha256);
        free(epoch);
        ctkd__dataset_close(packed);
        remove(path);
    }
    free(expected);
    ctkd__dataset_close(dataset);
}

/* By the angle of its epoch and id, whoever decodes it; strong views have operations of their
   own. */
static void training_views_are_rotated_about_their_centre(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    struct ctkd__loader_config config = config_make(5);
    memset(config.mean, 0, sizeof config.mean);
    for (size_t c = 0; c < 3; c++)
        config.std[c] = 1;
    struct epoch *const plain = epoch_of(&dataset->train, config, 0, 0);
    config.rotation = 20;
    for (size_t threads = 0; threads < 3; threads += 2) {
        config.threads = threads;
        struct epoch *const epoch = epoch_of(&dataset->train, config, 2, 0);
        assert_memory_equal(epoch->strong, plain->strong, sizeof plain->strong);
        for (size_t i = 0; i < plain->n; i++) {
            uint8_t view[PIXELS], plane[SIZE * SIZE];
            const struct ctkd__raster image = { 3, SIZE, SIZE, view };
            for (size_t j = 0; j < PIXELS; j++)
                view[j] = (uint8_t)(plain->x[i * PIXELS + j] * 255.0f + 0.5f);
            ctkd__rotate(&image, ctkd__rotation_draw(config.seed, 3, plain->ids[i], 20), plane);
            for (size_t j = 0; j < PIXELS; j++)
                assert_true(epoch->x[i * PIXELS + j] == (float)view[j] / 255.0f);
        }
        free(epoch);
    }
    free(plain);
    ctkd__dataset_close(dataset);
}

static void an_epoch_begins_at_any_batch_and_with_any_batch_size(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    struct epoch *const expected = epoch_of(&dataset->train, config_make(64), 0, 0);
    for (size_t batch = 1; batch < 9; batch += 3)
        for (size_t threads = 0; threads < 3; threads += 2) {
            struct ctkd__loader_config config = config_make(batch);
            config.threads = threads;
            for (size_t first = 0; first * batch < expected->n; first += 2) {
                struct epoch *const epoch = epoch_of(&dataset->train, config, 0, first);
                const size_t skip = first * batch;
                assert_int_equal(epoch->n, expected->n - skip);
                assert_memory_equal(epoch->ids, expected->ids + skip,
                                    epoch->n * sizeof *epoch->ids);
                assert_memory_equal(epoch->x, expected->x + skip * PIXELS,
                                    epoch->n * PIXELS * sizeof *epoch->x);
                assert_memory_equal(epoch->strong, expected->strong + skip * PIXELS,
                                    epoch->n * PIXELS * sizeof *epoch->strong);
                free(epoch);
            }
        }
    free(expected);
    ctkd__dataset_close(dataset);
}

static void every_image_is_its_files_view(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    const struct ctkd__image_source *const source = dataset->train.source;
    struct ctkd__loader_config config = config_make(4);
    struct ctkd__viewer *viewer;
    ctkd_error err;
    check_ok(ctkd__viewer_create(&source->views, &viewer, &err), &err);
    for (int augment = 0; augment < 2; augment++) {
        config.augment = augment;
        config.strong = false;
        struct epoch *const epoch = epoch_of(&dataset->train, config, 0, 0);
        float tables[3][256];
        for (size_t c = 0; c < 3; c++)
            ctkd__normalise_table(config.mean[c], config.std[c], tables[c]);
        for (size_t i = 0; i < epoch->n; i++) {
            uint8_t view[PIXELS];
            struct ctkd__tree_bytes bytes;
            const size_t id = epoch->ids[i];
            check_ok(ctkd__image_source_read(source, id, &bytes, &err), &err);
            const struct ctkd__picture_file file = { "file", bytes.bytes, bytes.size };
            if (augment)
                check_ok(ctkd__viewer_training(viewer, &file, config.seed, 3, id, view, &err),
                         &err);
            else
                check_ok(ctkd__viewer_evaluation(viewer, &file, view, &err), &err);
            ctkd__tree_bytes_free(&bytes);
            for (size_t p = 0; p < PIXELS; p++)
                assert_true(epoch->x[i * PIXELS + p] == tables[p / (SIZE * SIZE)][view[p]]);
            assert_int_equal(epoch->labels[i], id >= TRAIN + 2);
        }
        free(epoch);
    }
    ctkd__viewer_destroy(viewer);
    ctkd__dataset_close(dataset);
}

/* Adds a file, and expects an epoch to fail with this text, however it is decoded. */
static void check_bad_file(const char *name, const char *bytes,
                           struct ctkd__dataset_options options, const char *text)
{
    photo_text(folder, name, bytes);
    struct ctkd__dataset *const dataset = dataset_open(&options);
    for (size_t threads = 0; threads < 2; threads++) {
        struct ctkd__loader_config config = config_make(6);
        struct ctkd__loader *loader;
        struct ctkd__batch batch = { .n = 1 };
        ctkd_error err = { 0 };
        config.shuffle = config.augment = false;
        config.threads = threads;
        ctkd_status status = ctkd__loader_create(&dataset->train, &config, &loader, &err);
        check_ok(status, &err);
        ctkd__loader_start(loader, 1, 0);
        while (status == CTKD_OK && batch.n)
            status = ctkd__loader_next(loader, &batch, &err);
        if (status == CTKD_OK || !strstr(err.message, text) || !strstr(err.message, name))
            fail_msg("status %d, '%s' lacks '%s' or '%s'", (int)status, status ? err.message : "",
                     text, name);
        ctkd__loader_start(loader, 1, 0); /* up to there it is as before */
        check_ok(ctkd__loader_next(loader, &batch, &err), &err);
        assert_int_equal(batch.n, 6);
        ctkd__loader_destroy(loader);
    }
    ctkd__dataset_close(dataset);
    remove(temp_path(folder, name));
}

static void a_file_that_is_no_image_is_named(void **state)
{
    (void)state;
    struct ctkd__dataset_options options = options_make();
    check_bad_file("train/bee/a.jpg", "", options, "the file is empty, expected an image");
    check_bad_file("train/bee/a.jpg", "<html>not found</html>", options,
                   "found no image (first bytes 3c 68 74), expected JPEG");
    check_bad_file("train/bee/a.jpg", "GIF89a", options, "GIF is not supported");
    check_bad_file("train/bee/a.ppm", "P6 60000 60000 255\n", options,
                   "found 60000 x 60000 pixels, expected at most 178956970 (data.max_pixels)");
    check_bad_file("train/bee/a.ppm", "P6 60 60 255\nabc", options, "damaged");
    options.pixels_max = 83 * 61; /* the largest of the others */
    check_bad_file("train/bee/a.ppm", "P6 83 62 255\n", options,
                   "found 83 x 62 pixels, expected at most 5063 (data.max_pixels)");
}

static void a_file_that_vanishes_is_named_when_it_is_its_turn(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    photo_write(folder, "train/bee/zz.ppm", 50, 50, 1, 99);
    struct ctkd__dataset *const dataset = dataset_open(&options);
    remove(temp_path(folder, "train/bee/zz.ppm"));
    for (size_t threads = 0; threads < 3; threads += 2) {
        struct ctkd__loader_config config = config_make(1);
        struct ctkd__loader *loader;
        struct ctkd__batch batch;
        ctkd_error err;
        config.shuffle = false;
        config.holds_two = true;
        config.threads = threads;
        check_ok(ctkd__loader_create(&dataset->train, &config, &loader, &err), &err);
        ctkd__loader_start(loader, 1, 0);
        for (size_t i = 0; i < 2 * TRAIN + 3; i++)
            assert_true(next_batch(loader, &batch));
        assert_int_equal(ctkd__loader_peek(loader, &batch, NULL), CTKD_EIO);
        assert_int_equal(batch.n, 0);
        assert_int_equal(ctkd__loader_next(loader, &batch, &err), CTKD_EIO);
        assert_int_equal(batch.n, 0);
        assert_non_null(strstr(err.message, "train/bee/zz.ppm: No such file or directory"));
        ctkd__loader_destroy(loader);
    }
    ctkd__dataset_close(dataset);
}

static void a_loader_of_files_can_be_destroyed_at_any_time(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    for (size_t taken = 0; taken < 12; taken++) {
        struct ctkd__loader_config config = config_make(3);
        struct ctkd__loader *loader;
        struct ctkd__batch batch;
        ctkd_error err;
        config.threads = taken % 3;
        check_ok(ctkd__loader_create(&dataset->train, &config, &loader, &err), &err);
        if (taken > 0)
            ctkd__loader_start(loader, taken, 0);
        for (size_t i = 1; i < taken; i++)
            next_batch(loader, &batch);
        ctkd__loader_destroy(loader);
    }
    ctkd__dataset_close(dataset);
}

static void a_thread_that_does_not_start_is_an_error(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    struct ctkd__loader_config config = config_make(3);
    config.readers = 2;
    config.threads = 3;
    for (size_t started = 0; started <= 5; started++) {
        struct ctkd__loader *loader;
        ctkd_error err;
        threads_left = started;
        const ctkd_status status = ctkd__loader_create(&dataset->train, &config, &loader, &err);
        threads_left = SIZE_MAX;
        assert_int_equal(status, started < 5 ? CTKD_EBACKEND : CTKD_OK);
        if (started == 3)
            assert_string_equal(err.message, "data.threads: cannot start thread 2");
        ctkd__loader_destroy(loader);
    }
    ctkd__dataset_close(dataset);
}

static void nothing_is_read_behind_the_last_batch(void **state)
{
    (void)state;
    const struct ctkd__dataset_options options = options_make();
    struct ctkd__dataset *const dataset = dataset_open(&options);
    const struct ctkd__loader_config config = config_make(5);
    struct ctkd__loader *loader;
    struct ctkd__batch batch;
    ctkd_error err;
    check_ok(ctkd__loader_create(&dataset->train, &config, &loader, &err), &err);
    const size_t before = atomic_load(&reads);
    ctkd__loader_start(loader, 3, ctkd__loader_batches(loader));
    usleep(20000); /* for readers that would */
    assert_false(next_batch(loader, &batch));
    assert_int_equal(atomic_load(&reads), before);
    ctkd__loader_destroy(loader);
    ctkd__dataset_close(dataset);
}

static void small_images_of_one_size_are_kept_in_memory(void **state)
{
    char small[700], spec[800];
    struct ctkd__dataset *dataset;
    ctkd_error err;
    snprintf(small, sizeof small, "%s/small", (char *)*state);
    for (unsigned i = 0; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "%c/%u.ppm", 'a' + (int)(i % 2), i);
        photo_write(small, name, 20, 16, i % 2, i);
    }
    snprintf(spec, sizeof spec, "imagefolder:%s", small);
    check_ok(ctkd__dataset_open(spec, NULL, &dataset, &err), &err);
    assert_null(dataset->train.source);
    assert_int_equal(dataset->train.count + dataset->test.count, 12);
    assert_int_equal(dataset->train.height, 16);
    assert_int_equal(dataset->train.width, 20);
    const size_t id = 0, file = dataset->folder->layout.train.files[id];
    struct ctkd__tree_bytes bytes;
    check_ok(ctkd__tree_read(dataset->folder->tree, file, 10000, &bytes, &err), &err);
    const uint8_t *const rgb = bytes.bytes + bytes.size - 3 * 16 * 20;
    for (size_t p = 0; p < 3 * 16 * 20; p++)
        assert_int_equal(dataset->train.pixels[p], rgb[p % 320 * 3 + p / 320]);
    ctkd__tree_bytes_free(&bytes);
    ctkd__dataset_close(dataset);
    /* As they would be evaluated, where a size is asked for. */
    struct ctkd__dataset_options options = options_make();
    options.view = CTKD__FILE_VIEW_CROP_FLIP;
    check_ok(ctkd__dataset_open(spec, &options, &dataset, &err), &err);
    assert_null(dataset->train.source);
    assert_int_equal(dataset->test.width, SIZE);
    ctkd__dataset_close(dataset);
}

static void the_first_image_that_differs_or_fails_decides_where_images_are_kept(void **state)
{
    char photos[700], spec[800];
    struct ctkd__dataset *dataset;
    ctkd_error err;
    snprintf(photos, sizeof photos, "%s/first", (char *)*state);
    snprintf(spec, sizeof spec, "imagefolder:%s", photos);
    for (unsigned i = 0; i < 60; i++) {
        char name[64];
        snprintf(name, sizeof name, "train/%c/%02u.ppm", 'a' + (int)(i / 30), i);
        photo_write(photos, name, 20, 16, i % 2, i);
    }
    photo_write(photos, "val/a/0.ppm", 20, 16, 0, 0);
    photo_write(photos, "val/b/0.ppm", 20, 16, 1, 0);
    photo_text(photos, "train/a/20.ppm", "no image");
    photo_text(photos, "train/b/50.ppm", "no image");
    for (int i = 0; i < 5; i++) { /* whichever thread is first */
        assert_int_equal(ctkd__dataset_open(spec, NULL, &dataset, &err), CTKD_EFORMAT);
        assert_non_null(strstr(err.message, "train/a/20.ppm: found no image"));
    }
    photo_write(photos, "train/a/10.ppm", 21, 16, 0, 0); /* no reason to read on */
    for (int i = 0; i < 5; i++) {
        check_ok(ctkd__dataset_open(spec, NULL, &dataset, &err), &err);
        assert_non_null(dataset->train.source);
        ctkd__dataset_close(dataset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits_with_any_threads),
        cmocka_unit_test(parts_have_their_images_alone),
        cmocka_unit_test(the_same_bits_from_a_folder_and_its_archives),
        cmocka_unit_test(training_views_are_rotated_about_their_centre),
        cmocka_unit_test(an_epoch_begins_at_any_batch_and_with_any_batch_size),
        cmocka_unit_test(every_image_is_its_files_view),
        cmocka_unit_test(a_file_that_is_no_image_is_named),
        cmocka_unit_test(a_file_that_vanishes_is_named_when_it_is_its_turn),
        cmocka_unit_test(a_loader_of_files_can_be_destroyed_at_any_time),
        cmocka_unit_test(a_thread_that_does_not_start_is_an_error),
        cmocka_unit_test(nothing_is_read_behind_the_last_batch),
        cmocka_unit_test_setup_teardown(small_images_of_one_size_are_kept_in_memory,
                                        temp_folder_make, temp_folder_remove),
        cmocka_unit_test_setup_teardown(
            the_first_image_that_differs_or_fails_decides_where_images_are_kept, temp_folder_make,
            temp_folder_remove),
    };
    return cmocka_run_group_tests(tests, folder_make, temp_folder_remove);
}
