#include "train/opened_data.h"

#include <stdio.h>
#include <string.h>

#include "data/dev_part.h"
#include "util/error.h"
#include "util/sha256.h"
#include "util/text.h"

/* The constants of the data set, or data.mean and .std. A grey channel may be repeated to several:
   all of them get its constants. */
static ctkd_status set_normalisation(const struct ctkd__config *config,
                                     const struct ctkd__dataset *dataset,
                                     struct ctkd__loader_config *loader, ctkd_error *err)
{
    const size_t channels = dataset->train.channels;
    memcpy(loader->mean, dataset->mean, sizeof loader->mean);
    memcpy(loader->std, dataset->std, sizeof loader->std);
    ctkd_status status =
        ctkd__text_floats("data.mean", config->data.mean, channels, loader->mean, err);
    if (status == CTKD_OK)
        status = ctkd__text_floats("data.std", config->data.std, channels, loader->std, err);
    for (size_t c = 0; c < channels && status == CTKD_OK; c++)
        if (!(loader->std[c] > 0))
            status = ctkd__fail(err, CTKD_ERANGE, "data.std: found %g, expected above 0",
                                (double)loader->std[c]);
    for (size_t c = 1; c < CTKD__CHANNELS_MAX && channels == 1; c++) {
        loader->mean[c] = loader->mean[0];
        loader->std[c] = loader->std[0];
    }
    return status;
}

/* The value of ctkd__network_info.resize for the test images. */
static size_t resize_of(const struct ctkd__dataset *dataset,
                        const struct ctkd__network_info *images)
{
    const struct ctkd__images *const test = &dataset->test;
    const struct ctkd__view_settings *const views =
        dataset->folder ? &dataset->folder->test.views : NULL;
    if (test->height != test->width || images->height != images->width)
        return 0;
    if (views && views->size == images->height)
        return views->resize;
    return test->height != images->height ? test->height : 0;
}

static void describe_images(struct ctkd__data *data, const struct ctkd__loader_config *loader)
{
    struct ctkd__network_info *images = &data->images;
    snprintf(images->dataset, sizeof images->dataset, "%s", data->dataset->name);
    images->classes = data->dataset->classes;
    images->class_names = data->dataset->class_names;
    images->channels = ctkd__loader_channels(data->test);
    images->height = ctkd__loader_height(data->test);
    images->width = ctkd__loader_width(data->test);
    images->resize = resize_of(data->dataset, images);
    images->has_normalisation = true;
    memcpy(images->mean, loader->mean, sizeof images->mean);
    memcpy(images->std, loader->std, sizeof images->std);
}

/* Whether a step computes the teacher's answers to the first pass of the next batch while the ranks
   sum their gradients: where these are summed once in a step. */
static bool looks_ahead(const struct ctkd__config *config, unsigned use,
                        const struct ctkd__dist *dist)
{
    return ctkd__dist_size(dist) > 1 && config->train.overlap && ctkd__dist_concurrent(dist) &&
           config->teacher.path[0] && !(use & CTKD__DATA_VIEWS) &&
           (use & CTKD__DATA_WHOLE_GROUPS ||
            ctkd__config_pass(config) == (size_t)config->train.batch);
}

/* The loader of the training images and, with data.dev, that of those held out. */
static ctkd_status open_training_images(const struct ctkd__config *config, unsigned use, bool two,
                                        const struct ctkd__loader_config *test,
                                        struct ctkd__data *data, ctkd_error *err)
{
    const struct ctkd__images *const images = &data->dataset->train;
    struct ctkd__dev_part part = { .dev = NULL };
    struct ctkd__loader_config train = *test, dev = *test;
    ctkd_status status = CTKD_OK;
    if (config->data.dev > 0)
        status = ctkd__dev_part_choose(images, (double)config->data.dev, &part, err);
    if (status == CTKD_OK && images->source && config->data.augment == CTKD__AUGMENT_FLIP)
        status = ctkd__fail(err, CTKD_EINVAL,
                            "data.augment: found flip for image files of which random parts are "
                            "shown, expected crop_flip or none, or data.view=crop_flip");
    dev.limit = 0;
    dev.pool = part.dev;
    dev.n_pool = part.n_dev;
    if (status == CTKD_OK && part.dev)
        status = ctkd__loader_create(images, &dev, &data->dev, err);
    train.batch = (size_t)config->train.batch;
    train.limit = (size_t)config->data.limit;
    train.limit_key = "data.limit";
    train.pool = part.rest;
    train.n_pool = part.n_rest;
    train.shuffle = true;
    train.augment = config->data.augment != CTKD__AUGMENT_NONE;
    train.crop_padding = config->data.augment == CTKD__AUGMENT_CROP_FLIP ? 4 : 0;
    train.rotation = (double)config->data.rotation;
    train.strong = use & CTKD__DATA_VIEWS;
    train.whole_groups = use & CTKD__DATA_WHOLE_GROUPS;
    train.holds_two = two;
    if (status == CTKD_OK)
        status = ctkd__loader_create(images, &train, &data->train, err);
    ctkd__dev_part_free(&part);
    return status;
}

ctkd_status ctkd__data_open(const struct ctkd__config *config, unsigned use,
                            const struct ctkd__dist *dist, struct ctkd__data *data, ctkd_error *err)
{
    *data = (struct ctkd__data){ 0 };
    struct ctkd__loader_config test = { .batch = ctkd__config_pass(config),
                                        .limit = (size_t)config->data.test_limit,
                                        .limit_key = "data.test_limit",
                                        .channels = (size_t)config->data.channels,
                                        .pad_to = (size_t)config->data.pad_to,
                                        .parts = ctkd__dist_size(dist),
                                        .part = ctkd__dist_rank(dist),
                                        .group = ctkd__config_pass(config),
                                        .readers = (size_t)config->data.readers,
                                        .threads = (size_t)config->data.threads,
                                        .seed = (uint64_t)config->train.seed };
    struct ctkd__dataset_options options;
    ctkd_status status = ctkd__config_dataset(config, &options, err);
    if (status == CTKD_OK)
        status = ctkd__dataset_open(config->data.set, &options, &data->dataset, err);
    if (status == CTKD_OK)
        status = set_normalisation(config, data->dataset, &test, err);
    if (status == CTKD_OK)
        status = ctkd__loader_create(&data->dataset->test, &test, &data->test, err);
    if (status == CTKD_OK && use & CTKD__DATA_TRAINING)
        status =
            open_training_images(config, use, looks_ahead(config, use, dist), &test, data, err);
    if (status == CTKD_OK)
        describe_images(data, &test);
    else
        ctkd__data_close(data);
    return status;
}

void ctkd__data_take_classes(struct ctkd__data *data, const struct ctkd__network_info *network)
{
    if (!data->dataset->classes_open || network->classes <= data->images.classes)
        return;
    data->dataset->classes = data->images.classes = network->classes;
}

size_t ctkd__data_classes_max(const struct ctkd__data *data)
{
    const struct ctkd__dataset_def *const def = ctkd__dataset_find(data->dataset->name);
    return data->dataset->classes_open && def ? def->classes_max : data->images.classes;
}

struct ctkd__facts ctkd__data_facts(const struct ctkd__data *data)
{
    const struct ctkd__folder *const folder = data->dataset->folder;
    return (struct ctkd__facts){ .in_memory = !data->dataset->test.source,
                                 .as_they_are = folder && folder->as_they_are,
                                 .has_test = !folder || !folder->layout.held_out,
                                 .ranks = 1 };
}

static void run_in_workers(void *workers, void (*fn)(void *argument, size_t worker), void *argument)
{
    ctkd__workers_run(workers, fn, argument);
}

ctkd_status ctkd__data_use_engine(struct ctkd__data *data, const struct ctkd__engine *engine,
                                  ctkd_error *err)
{
    const struct ctkd__team team = { engine->workers, ctkd__workers_count(engine->workers),
                                     run_in_workers };
    ctkd_status status = data->train ? ctkd__loader_use_team(data->train, &team, err) : CTKD_OK;
    if (status == CTKD_OK && data->dev)
        status = ctkd__loader_use_team(data->dev, &team, err);
    return status == CTKD_OK ? ctkd__loader_use_team(data->test, &team, err) : status;
}

void ctkd__data_close(struct ctkd__data *data)
{
    ctkd__loader_destroy(data->train);
    ctkd__loader_destroy(data->dev);
    ctkd__loader_destroy(data->test);
    ctkd__dataset_close(data->dataset);
    *data = (struct ctkd__data){ 0 };
}

/* Image files are identified by the list of them, because reading all would take as long as an
   epoch. */
static void digest_images(const struct ctkd__images *images, const struct ctkd__layout_part *part,
                          char *pixels, char *labels)
{
    const size_t image = images->channels * images->height * images->width;
    if (images->source)
        memcpy(pixels, part->sha256, sizeof part->sha256);
    else
        ctkd__sha256_bytes(images->pixels, images->count * image, pixels);
    ctkd__sha256_bytes(images->labels, images->count * sizeof *images->labels, labels);
}

void ctkd__data_digest(const struct ctkd__dataset *dataset, struct ctkd__data_digest *digest)
{
    const struct ctkd__layout *const layout = dataset->folder ? &dataset->folder->layout : NULL;
    digest_images(&dataset->train, layout ? &layout->train : NULL, digest->train_images,
                  digest->train_labels);
    digest_images(&dataset->test, layout ? &layout->test : NULL, digest->test_images,
                  digest->test_labels);
}

struct ctkd__engine_config ctkd__config_engine(const struct ctkd__config *config,
                                               struct ctkd__dist *dist)
{
    /* A thread works on whole images, so threads beyond the number of images would be idle. Leaving
       them out changes neither the order of the sums nor a bit of the result. train.slices fixes
       the number of parts instead, some of which may be empty. */
    const size_t ranks = ctkd__dist_size(dist);
    const size_t threads = (size_t)config->train.threads,
                 images = (ctkd__config_pass(config) + ranks - 1) / ranks;
    const bool capped = config->train.slices == 0 && threads > images;
    return (struct ctkd__engine_config){ .isa = config->train.isa,
                                         .threads = capped ? images : threads,
                                         .slices = (size_t)config->train.slices,
                                         .dist = dist,
                                         .conv = config->train.conv,
                                         .choices = config->train.choices,
                                         .measure = config->train.tune,
                                         .profile = config->train.profile,
                                         .keys = "train." };
}
