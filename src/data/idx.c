#include "data/idx.h"

#include <stdbool.h>
#include <string.h>

#include "data/archive.h"
#include "data/images.h"
#include "util/error.h"
#include "util/file_kind.h"

enum { DIMENSIONS_MAX = 3 };

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
        return ctkd__fail(err, CTKD_EFORMAT, "%s: %zu bytes, expected a header of %zu", place, size,
                          header);
    const uint32_t magic = 0x0800u + (uint32_t)dimensions;
    if (big_endian(bytes) != magic && ctkd__file_kind(bytes, size))
        return ctkd__file_kind_fail(place, bytes, size, "an IDX file of unsigned bytes", err);
    if (big_endian(bytes) != magic)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: magic 0x%08x, expected 0x%08x", place,
                          big_endian(bytes), magic);
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
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: %zu bytes after the header, expected %s%zu for %zu items as it says",
                          place, size - header, fits ? "" : "above ", fits ? expected : SIZE_MAX,
                          sizes[0]);
    *body = bytes + header;
    return CTKD_OK;
}

ctkd_status ctkd__idx_parse(const char *pixels_place, const uint8_t *pixels, size_t pixels_size,
                            const char *labels_place, const uint8_t *labels, size_t labels_size,
                            size_t classes, struct ctkd__images *images, ctkd_error *err)
{
    size_t shape[DIMENSIONS_MAX] = { 0 }, count[DIMENSIONS_MAX] = { 0 };
    const uint8_t *pixel = NULL, *label = NULL;
    ctkd_status status = idx_header(pixels_place, pixels, pixels_size, 3, shape, &pixel, err);
    if (status == CTKD_OK)
        status = idx_header(labels_place, labels, labels_size, 1, count, &label, err);
    if (status != CTKD_OK)
        return status;
    if (count[0] != shape[0])
        return ctkd__fail(err, CTKD_EFORMAT, "%s: %zu labels, expected %zu as %s has images",
                          labels_place, count[0], shape[0], pixels_place);
    for (size_t i = 0; i < count[0]; i++) {
        status = ctkd__label_check(labels_place, i, "label", label[i], classes, err);
        if (status != CTKD_OK)
            return status;
    }
    images->count = shape[0];
    images->channels = 1;
    images->height = shape[1];
    images->width = shape[2];
    status = ctkd__images_alloc(pixels_place, images, err);
    if (status != CTKD_OK)
        return status;
    memcpy(images->pixels, pixel, shape[0] * shape[1] * shape[2]);
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

static ctkd_status idx_load(const struct ctkd__dataset_def *def, const char *path,
                            const char *const *places, struct ctkd__dataset *dataset,
                            ctkd_error *err)
{
    /* Room for larger sets in this format (EMNIST has 697932 training images). */
    const size_t pixels_limit = (size_t)1 << 30, labels_limit = (size_t)1 << 21;
    struct ctkd__member files[4] = {
        { .name = "train-images-idx3-ubyte", .limit = pixels_limit },
        { .name = "train-labels-idx1-ubyte", .limit = labels_limit },
        { .name = "t10k-images-idx3-ubyte", .limit = pixels_limit },
        { .name = "t10k-labels-idx1-ubyte", .limit = labels_limit },
    };
    ctkd_status status = ctkd__archive_read(path, places, files, 4, err);
    if (status != CTKD_OK)
        return status;
    const struct ctkd__images *train = &dataset->train, *test = &dataset->test;
    status = idx_parse_part(files, def->classes, &dataset->train, err);
    if (status == CTKD_OK)
        status = idx_parse_part(files + 2, def->classes, &dataset->test, err);
    if (status == CTKD_OK && (train->height != test->height || train->width != test->width))
        status = ctkd__fail(err, CTKD_ESHAPE, "%s: images of %zux%zu, expected %zux%zu as in %s",
                            files[2].place, test->height, test->width, train->height, train->width,
                            files[0].place);
    ctkd__members_free(files, 4);
    return status;
}

static ctkd_status fashion_mnist_load(const struct ctkd__dataset_def *def, const char *path,
                                      struct ctkd__dataset *dataset, ctkd_error *err)
{
    static const char *const places[] = { "fashion-mnist", "FashionMNIST/raw", NULL };
    return idx_load(def, path, places, dataset, err);
}

static ctkd_status mnist_load(const struct ctkd__dataset_def *def, const char *path,
                              struct ctkd__dataset *dataset, ctkd_error *err)
{
    static const char *const places[] = { "mnist", "MNIST/raw", NULL };
    return idx_load(def, path, places, dataset, err);
}

#define IDX_FILES                                                                                  \
    "folder or tar archive with {train,t10k}-{images-idx3,labels-idx1}-ubyte; in a folder also "   \
    "as .gz"

const struct ctkd__dataset_def ctkd__dataset_fashion_mnist = {
    .name = "fashion-mnist",
    .title = "Fashion-MNIST: 10 kinds of clothing, grey 28x28",
    .source = "Xiao et al. 2017, arXiv:1708.07747",
    .files = IDX_FILES,
    .default_path = "/usr/share/datasets/fashion-mnist", /* Debian's dataset-fashion-mnist */
    .classes = 10,
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
    .channels = 1,
    .height = 28,
    .width = 28,
    .n_train = 60000,
    .n_test = 10000,
    .mean = { 0.1307f },
    .std = { 0.3081f },
    .load = mnist_load,
};
