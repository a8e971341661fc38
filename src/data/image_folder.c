/* Data sets of image files in folders of classes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/folder/in_memory.h"
#include "data/images.h"
#include "util/cgroup.h"
#include "util/error.h"

enum {
    SMALL_SIDE = 96, /* images of one size up to this are kept in memory, as CIFAR's */
    SIZE_DEFAULT = 224
};

static void add_note(struct ctkd__dataset *dataset, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_note(struct ctkd__dataset *dataset, const char *format, ...)
{
    const size_t used = strlen(dataset->note), left = sizeof dataset->note - used;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(dataset->note + used, left, format, arguments);
    va_end(arguments);
}

static void describe(struct ctkd__dataset *dataset)
{
    const struct ctkd__layout *const layout = &dataset->folder->layout;
    const char *const path = ctkd__tree_path(dataset->folder->tree);
    if (layout->held_out)
        add_note(dataset,
                 "%.200s has no validation folder: %zu of %zu images are held out as test images "
                 "(data.holdout=%g)",
                 path, layout->test.count, layout->train.count + layout->test.count,
                 dataset->options.layout.holdout);
    if (layout->unused[0])
        add_note(dataset,
                 "%s%s not used: test images are those of the first of val/, valid/, validation/, "
                 "test/ and testing/",
                 dataset->note[0] ? "; " : "", layout->unused);
    if (layout->not_read[0])
        add_note(dataset,
                 "%s%s left out: JPEG, PNG, WebP and PPM are read (`ctkd doctor` lists them)",
                 dataset->note[0] ? "; " : "", layout->not_read);
}

/* Memory for all images of a part that fit; a part of the machine's is for the rest. */
static ctkd_status alloc_pixels(const struct ctkd__dataset *dataset, struct ctkd__images *images,
                                ctkd_error *err)
{
    const double bytes = (double)images->count * (double)images->channels * (double)images->height *
                         (double)images->width;
    if (bytes > ctkd__memory_limit() / 2)
        return ctkd__fail(
            err, CTKD_ERANGE,
            "data.view=crop_flip: %zu images of %zux%zu would take %.1f GB of memory; "
            "expected data.view=resized_crop, or a smaller data.size",
            images->count, images->height, images->width, bytes / 1e9);
    return ctkd__images_alloc(ctkd__tree_path(dataset->folder->tree), images, err);
}

/* Decodes a part now: native (height, width) or, where that is NULL, as in evaluation. */
static ctkd_status load_part(struct ctkd__dataset *dataset, const struct ctkd__image_source *source,
                             const struct ctkd__layout_part *part, const size_t *native,
                             struct ctkd__images *images, ctkd_error *err)
{
    images->count = part->count;
    images->channels = 3;
    images->height = native ? native[0] : source->views.size;
    images->width = native ? native[1] : source->views.size;
    ctkd_status status = alloc_pixels(dataset, images, err);
    if (status != CTKD_OK)
        return status;
    memcpy(images->labels, part->labels, part->count * sizeof *part->labels);
    return ctkd__image_source_load(source, part->count, native, images->pixels, err);
}

static ctkd_status attach_part(const struct ctkd__image_source *source,
                               const struct ctkd__layout_part *part, struct ctkd__images *images,
                               ctkd_error *err)
{
    images->labels = malloc((part->count + 1) * sizeof *images->labels);
    if (!images->labels)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory for %zu labels", part->count);
    memcpy(images->labels, part->labels, part->count * sizeof *part->labels);
    images->count = part->count;
    images->channels = 3;
    images->height = images->width = source->views.size;
    images->source = source;
    return CTKD_OK;
}

/* Whether images are kept in memory, and as they are: their height and width. */
static ctkd_status choose_view(const struct ctkd__dataset *dataset, bool *in_memory, bool *native,
                               size_t size[2], ctkd_error *err)
{
    const struct ctkd__dataset_options *const options = &dataset->options;
    const struct ctkd__folder *const folder = dataset->folder;
    size_t other[2] = { 0, 0 };
    bool one = false;
    ctkd_status status = CTKD_OK;
    *in_memory = options->view == CTKD__FILE_VIEW_CROP_FLIP;
    *native = false;
    if (options->view == CTKD__FILE_VIEW_RESIZED_CROP)
        return CTKD_OK;
    const size_t most = *in_memory ? SIZE_MAX : SMALL_SIDE;
    status = ctkd__image_source_one_size(&folder->train, folder->layout.train.count, most, &one,
                                         size, err);
    if (status == CTKD_OK && one)
        status = ctkd__image_source_one_size(&folder->test, folder->layout.test.count, most, &one,
                                             other, err);
    one = one && size[0] == other[0] && size[1] == other[1];
    *in_memory = *in_memory || one;
    *native = one && (options->size == 0 || (options->size == size[0] && options->size == size[1]));
    return status;
}

static ctkd_status set_views(struct ctkd__dataset *dataset, ctkd_error *err)
{
    const struct ctkd__dataset_options *const options = &dataset->options;
    struct ctkd__folder *const folder = dataset->folder;
    struct ctkd__view_settings views = ctkd__view_settings_defaults();
    struct ctkd__viewer *viewer;
    views.size = options->size ? options->size : SIZE_DEFAULT;
    views.resize = options->resize ? options->resize : ctkd__view_resize_for(views.size);
    views.crop.area_min = options->crop_area[0];
    views.crop.area_max = options->crop_area[1];
    views.pixels_max = options->pixels_max;
    views.upright = options->upright;
    views.roi = options->roi;
    folder->train = (struct ctkd__image_source){ folder->tree, folder->layout.train.files, views };
    folder->test = (struct ctkd__image_source){ folder->tree, folder->layout.test.files, views };
    const ctkd_status status = ctkd__viewer_create(&views, &viewer, err); /* checks them */
    ctkd__viewer_destroy(viewer);
    return status;
}

static ctkd_status load_images(struct ctkd__dataset *dataset, ctkd_error *err)
{
    struct ctkd__folder *const folder = dataset->folder;
    const struct ctkd__layout *const layout = &folder->layout;
    bool in_memory, native;
    size_t size[2];
    ctkd_status status = set_views(dataset, err);
    if (status == CTKD_OK)
        status = choose_view(dataset, &in_memory, &native, size, err);
    if (status != CTKD_OK)
        return status;
    const size_t *const as_they_are = native ? size : NULL;
    folder->as_they_are = native;
    if (native && size[0] == size[1]) { /* the views are these images */
        folder->train.views.size = folder->train.views.resize = size[0];
        folder->test.views.size = folder->test.views.resize = size[0];
    }
    status = in_memory ? load_part(dataset, &folder->train, &layout->train, as_they_are,
                                   &dataset->train, err)
                       : attach_part(&folder->train, &layout->train, &dataset->train, err);
    if (status != CTKD_OK)
        return status;
    return in_memory
               ? load_part(dataset, &folder->test, &layout->test, as_they_are, &dataset->test, err)
               : attach_part(&folder->test, &layout->test, &dataset->test, err);
}

static ctkd_status image_folder_load(const struct ctkd__dataset_def *def, const char *path,
                                     struct ctkd__dataset *dataset, ctkd_error *err)
{
    struct ctkd__folder *const folder = calloc(1, sizeof *folder);
    if (!folder)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    dataset->folder = folder;
    ctkd_status status = ctkd__tree_open(path, def->mounts, &folder->tree, err);
    if (status == CTKD_OK)
        status = ctkd__layout_find(folder->tree, &dataset->options.layout, &folder->layout, err);
    if (status != CTKD_OK)
        return status;
    const size_t asked = dataset->classes;
    dataset->class_names = folder->layout.classes;
    dataset->classes = folder->layout.classes->count;
    if (asked && asked != dataset->classes)
        return ctkd__fail(err, CTKD_EINVAL,
                          "data.classes: found %zu, but %s has %zu classes; expected that number, "
                          "0, or a file with one class name per line",
                          asked, path, dataset->classes);
    describe(dataset);
    return load_images(dataset, err);
}

/* The archives as they are published may lie in the folder instead of what is in them. */
static const struct ctkd__tree_mount imagenet_mounts[] = {
    { "ILSVRC2012_img_train.tar", "train" },
    { "ILSVRC2012_img_val.tar", "val" },
    { NULL, NULL },
};

#define IMAGE_FILES                                                                                \
    .channels = 3, .classes_max = 1 << 20, .in_files = true, .load = image_folder_load
#define IMAGENET_CONSTANTS .mean = { 0.485f, 0.456f, 0.406f }, .std = { 0.229f, 0.224f, 0.225f }

const struct ctkd__dataset_def ctkd__dataset_image_folder = {
    .name = "imagefolder",
    .photographs = true,
    .title = "your own images: a folder for each class",
    .source = "your own; the layout of torchvision's ImageFolder",
    .files = "folder, .zip or .tar with train/CLASS/IMAGE and val/CLASS/IMAGE (or valid, "
             "validation, test), or CLASS/IMAGE alone",
    IMAGE_FILES,
    IMAGENET_CONSTANTS,
};

const struct ctkd__dataset_def ctkd__dataset_imagenet = {
    .name = "imagenet",
    .photographs = true,
    .title = "ImageNet (ILSVRC 2012): 1000 classes, or some of them",
    .source = "Russakovsky et al. 2015, IJCV 115",
    .files = "folder with train/WNID/IMAGE and val/WNID/IMAGE or val/IMAGE and a list of labels, "
             "Kaggle's folder, or a folder with the published ILSVRC2012_*.tar and devkit_t12",
    IMAGE_FILES,
    IMAGENET_CONSTANTS,
    .mounts = imagenet_mounts,
};

const struct ctkd__dataset_def ctkd__dataset_tiny_imagenet = {
    .name = "tiny-imagenet",
    .title = "Tiny-ImageNet: 200 classes, 64x64",
    .source = "Le and Yang 2015, Stanford CS 231N",
    .files = "tiny-imagenet-200 as a folder, .zip or .tar, as published",
    IMAGE_FILES,
    .mean = { 0.4802f, 0.4481f, 0.3975f },
    .std = { 0.2302f, 0.2265f, 0.2262f },
};
