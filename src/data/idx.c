#include "data/idx.h"

#include <stdbool.h>
#include <string.h>

#include "data/archive.h"
#include "data/images.h"
#include "util/error.h"
#include "util/file_kind.h"

enum { DIMENSIONS_MAX = 4, CLASSES_MAX = 256 /* labels are bytes */ };

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Checks the magic of unsigned bytes in `dimensions` dimensions, reads their sizes and compares
   their product with the bytes that follow, which *body is set to. */
static ctkd_status idx_header(const char *place, const uint8_t *bytes, size_t size,
                              size_t dimensions, size_t sizes[DIMENSIONS_MAX], const uint8_t **body,
                              ctkd_error *err)
{
    const size_t header = 4 + 4 * dimensions;
    if (size < header && ctkd__file_kind(bytes, size))
        return ctkd__file_kind_fail(place, bytes, size, "an IDX file of unsigned bytes", err);
    if (size < header)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found %zu bytes, expected a header of %zu", place,
                          size, header);
    const uint32_t magic = 0x0800u + (uint32_t)dimensions;
    if (big_endian(bytes) != magic && ctkd__file_kind(bytes, size))
        return ctkd__file_kind_fail(place, bytes, size, "an IDX file of unsigned bytes", err);
    if (big_endian(bytes) != magic)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found magic number 0x%08x, expected 0x%08x",
                          place, big_endian(bytes), magic);
    size_t expected = 1;
    bool fits = true;
    for (size_t i = 0; i < dimensions; i++) {
        sizes[i] = big_endian(bytes + 4 + 4 * i);
        if (sizes[i] == 0)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: dimension %zu is 0, expected at least 1",
                              place, i);
        fits = fits && !__builtin_mul_overflow(expected, sizes[i], &expected);
    }
    if (!fits || expected != size - header)
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s: found %zu bytes after the header, expected %s%zu for the %zu items that it states",
            place, size - header, fits ? "" : "above ", fits ? expected : SIZE_MAX, sizes[0]);
    *body = bytes + header;
    return CTKD_OK;
}

/* Takes the shape of the images: [n][rows][columns], or of several channels [n][channels][rows]
   [columns] or, *interleaved, [n][rows][columns][channels], whichever dimension is that small. */
static ctkd_status idx_shape(const char *place, size_t rank, const size_t *sizes,
                             struct ctkd__images *images, bool *interleaved, ctkd_error *err)
{
    *interleaved = rank == 4 && sizes[1] > CTKD__CHANNELS_MAX;
    const size_t *const side = rank == 4 && !*interleaved ? sizes + 2 : sizes + 1;
    const size_t channels = rank == 3 ? 1 : *interleaved ? sizes[3] : sizes[1];
    if (channels > CTKD__CHANNELS_MAX)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found images of %zux%zux%zu, expected 1..%d channels first or last",
                          place, sizes[1], sizes[2], sizes[3], CTKD__CHANNELS_MAX);
    images->count = sizes[0];
    images->channels = channels;
    images->height = side[0];
    images->width = side[1];
    return CTKD_OK;
}

static void copy_pixels(struct ctkd__images *images, const uint8_t *from, bool interleaved)
{
    const size_t plane = images->height * images->width, channels = images->channels;
    if (!interleaved) {
        memcpy(images->pixels, from, images->count * channels * plane);
        return;
    }
    for (size_t i = 0; i < images->count; i++)
        for (size_t p = 0; p < plane; p++)
            for (size_t c = 0; c < channels; c++)
                images->pixels[(i * channels + c) * plane + p] = *from++;
}

ctkd_status ctkd__idx_parse(const char *pixels_place, const uint8_t *pixels, size_t pixels_size,
                            const char *labels_place, const uint8_t *labels, size_t labels_size,
                            size_t classes, struct ctkd__images *images, ctkd_error *err)
{
    size_t shape[DIMENSIONS_MAX] = { 0 }, count[DIMENSIONS_MAX] = { 0 };
    const uint8_t *pixel = NULL, *label = NULL;
    const size_t rank = pixels_size >= 4 && big_endian(pixels) == 0x0804 ? 4 : 3;
    bool interleaved = false;
    ctkd_status status = idx_header(pixels_place, pixels, pixels_size, rank, shape, &pixel, err);
    if (status == CTKD_OK)
        status = idx_shape(pixels_place, rank, shape, images, &interleaved, err);
    if (status == CTKD_OK)
        status = idx_header(labels_place, labels, labels_size, 1, count, &label, err);
    if (status != CTKD_OK)
        return status;
    if (count[0] != shape[0])
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found %zu labels, expected %zu as %s has images",
                          labels_place, count[0], shape[0], pixels_place);
    for (size_t i = 0; i < count[0]; i++) {
        status = ctkd__label_check(labels_place, i, "label", label[i], classes, err);
        if (status != CTKD_OK)
            return status;
    }
    status = ctkd__images_alloc(pixels_place, images, err);
    if (status != CTKD_OK)
        return status;
    copy_pixels(images, pixel, interleaved);
    for (size_t i = 0; i < count[0]; i++)
        images->labels[i] = label[i];
    return CTKD_OK;
}

static ctkd_status idx_parse_part(const struct ctkd__member *files, size_t classes,
                                  struct ctkd__images *images, ctkd_error *err)
{
    return ctkd__idx_parse(files[0].place, files[0].bytes, files[0].size, files[1].place,
                           files[1].bytes, files[1].size, classes, images, err);
}

static void classes_from_labels(struct ctkd__dataset *dataset)
{
    const struct ctkd__images *const parts[] = { &dataset->train, &dataset->test };
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < parts[p]->count; i++)
            if ((size_t)parts[p]->labels[i] >= dataset->classes)
                dataset->classes = (size_t)parts[p]->labels[i] + 1;
    dataset->classes_open = true;
}

static ctkd_status idx_load(const struct ctkd__dataset_def *def, const char *path,
                            const char *const *places, struct ctkd__dataset *dataset,
                            ctkd_error *err)
{
    /* Room for larger sets in this format (EMNIST has 697932 training images). */
    const size_t pixels_limit = (size_t)1 << 30, labels_limit = (size_t)1 << 21;
    /* 7-Zip and Windows write a dot; idx4 has images of several channels. */
    static const char *const also[4][4] = {
        { "train-images.idx3-ubyte", "train-images-idx4-ubyte", "train-images.idx4-ubyte" },
        { "train-labels.idx1-ubyte" },
        { "t10k-images.idx3-ubyte", "t10k-images-idx4-ubyte", "t10k-images.idx4-ubyte" },
        { "t10k-labels.idx1-ubyte" },
    };
    struct ctkd__member files[4] = {
        { "train-images-idx3-ubyte", .also = also[0], .limit = pixels_limit },
        { "train-labels-idx1-ubyte", .also = also[1], .limit = labels_limit },
        { "t10k-images-idx3-ubyte", .also = also[2], .limit = pixels_limit },
        { "t10k-labels-idx1-ubyte", .also = also[3], .limit = labels_limit },
    };
    const size_t classes = dataset->classes ? dataset->classes : def->classes_max;
    ctkd_status status = ctkd__archive_read(path, places, files, 4, err);
    if (status != CTKD_OK)
        return status;
    const struct ctkd__images *train = &dataset->train, *test = &dataset->test;
    status = idx_parse_part(files, classes, &dataset->train, err);
    if (status == CTKD_OK)
        status = idx_parse_part(files + 2, classes, &dataset->test, err);
    if (status == CTKD_OK && (train->channels != test->channels || train->height != test->height ||
                              train->width != test->width))
        status = ctkd__fail(err, CTKD_ESHAPE,
                            "%s: found images of %zux%zux%zu, expected %zux%zux%zu as in %s",
                            files[2].place, test->channels, test->height, test->width,
                            train->channels, train->height, train->width, files[0].place);
    for (size_t c = 1; c < CTKD__CHANNELS_MAX; c++) { /* of other images nothing better is known */
        dataset->mean[c] = def->mean[0];
        dataset->std[c] = def->std[0];
    }
    ctkd__members_free(files, 4);
    if (status == CTKD_OK && dataset->classes == 0)
        classes_from_labels(dataset);
    return status;
}

static ctkd_status fashion_mnist_load(const struct ctkd__dataset_def *def, const char *path,
                                      struct ctkd__dataset *dataset, ctkd_error *err)
{
    static const char *const places[] = { "fashion-mnist", "FashionMNIST/raw", "raw", NULL };
    return idx_load(def, path, places, dataset, err);
}

static ctkd_status mnist_load(const struct ctkd__dataset_def *def, const char *path,
                              struct ctkd__dataset *dataset, ctkd_error *err)
{
    static const char *const places[] = { "mnist", "MNIST/raw", "raw", NULL };
    return idx_load(def, path, places, dataset, err);
}

#define IDX_FILES                                                                                  \
    "folder or tar archive with {train,t10k}-{images-idx3,labels-idx1}-ubyte (or with a dot, "     \
    "images.idx3-ubyte; idx4 for several channels); in a folder also as .gz"

const struct ctkd__dataset_def ctkd__dataset_fashion_mnist = {
    .name = "fashion-mnist",
    .title = "Fashion-MNIST: 10 kinds of clothing, grey 28x28",
    .source = "Xiao et al. 2017, arXiv:1708.07747",
    .files = IDX_FILES,
    .default_path = "/usr/share/datasets/fashion-mnist", /* Debian's dataset-fashion-mnist */
    .classes = 10,
    .classes_max = CLASSES_MAX,
    .channels = 1,
    .height = 28,
    .width = 28,
    .n_train = 60000,
    .n_test = 10000,
    .mean = { 0.2860f },
    .std = { 0.3530f },
    .load = fashion_mnist_load,
};

const struct ctkd__dataset_def ctkd__dataset_mnist = {
    .name = "mnist",
    .title = "MNIST: handwritten digits, grey 28x28",
    .source = "LeCun et al. 1998, Proc. IEEE 86(11)",
    .files = IDX_FILES,
    .classes = 10,
    .classes_max = CLASSES_MAX,
    .channels = 1,
    .height = 28,
    .width = 28,
    .n_train = 60000,
    .n_test = 10000,
    .mean = { 0.1307f },
    .std = { 0.3081f },
    .load = mnist_load,
};
