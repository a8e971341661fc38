#include "data/cifar.h"

#include <string.h>

#include "data/images.h"
#include "util/error.h"
#include "util/file_kind.h"

enum { FILES_MAX = 6, BINARY = 0, PYTHON = 1 };

const struct ctkd__cifar_labels ctkd__cifar10_labels = {
    .count = 1, .classes = { 10 }, .kinds = { "label" }, .keys = { "labels" }
};
#define TWO_LABELS(which)                                                                          \
    {                                                                                              \
        .count = 2, .used = (which), .classes = { 20, 100 },                                       \
        .kinds = { "coarse label", "fine label" }, .keys = {                                       \
            "coarse_labels",                                                                       \
            "fine_labels"                                                                          \
        }                                                                                          \
    }
const struct ctkd__cifar_labels ctkd__cifar100_coarse = TWO_LABELS(0);
const struct ctkd__cifar_labels ctkd__cifar100_fine = TWO_LABELS(1);

/* The published files: the training files in order, then the test file, in two forms. */
struct cifar_layout {
    const struct ctkd__cifar_labels *labels[2]; /* by enum ctkd__labels */
    const char *files[2][FILES_MAX];
    size_t count;
    size_t records; /* of each file, published; fewer are fine */
    const char *places[9];
};

static const struct cifar_layout cifar10 = {
    .labels = { &ctkd__cifar10_labels },
    .files = { { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                 "data_batch_5.bin", "test_batch.bin" },
               { "data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5",
                 "test_batch" } },
    .count = 6,
    .records = 10000,
    .places = { "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz",
                "cifar-10-binary.tar", "cifar-10-batches-py", "cifar-10-python.tar.gz",
                "cifar-10-python.tar.xz", "cifar-10-python.tar" },
};

static const struct cifar_layout cifar100 = {
    .labels = { &ctkd__cifar100_fine, &ctkd__cifar100_coarse },
    .files = { { "train.bin", "test.bin" }, { "train", "test" } },
    .count = 2,
    .records = 50000,
    .places = { "cifar-100-binary", "cifar-100-binary.tar.gz", "cifar-100-binary.tar.xz",
                "cifar-100-binary.tar", "cifar-100-python", "cifar-100-python.tar.gz",
                "cifar-100-python.tar.xz", "cifar-100-python.tar" },
};

ctkd_status ctkd__cifar_count(const char *place, size_t size,
                              const struct ctkd__cifar_labels *labels, size_t *count,
                              ctkd_error *err)
{
    const size_t record = labels->count + CTKD__CIFAR_PIXELS;
    *count = size / record;
    if (size > 0 && size % record == 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: found %zu bytes, expected a multiple of %zu, which is one record", place,
                      size, record);
}

ctkd_status ctkd__cifar_unpack(const char *place, const uint8_t *bytes, size_t count,
                               const struct ctkd__cifar_labels *labels, struct ctkd__images *images,
                               size_t first, ctkd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < labels->count; j++) {
            const ctkd_status status =
                ctkd__label_check(place, i, labels->kinds[j], bytes[j], labels->classes[j], err);
            if (status != CTKD_OK)
                return status;
        }
        images->labels[first + i] = bytes[labels->used];
        memcpy(images->pixels + (first + i) * CTKD__CIFAR_PIXELS, bytes + labels->count,
               CTKD__CIFAR_PIXELS);
        bytes += labels->count + CTKD__CIFAR_PIXELS;
    }
    return CTKD_OK;
}

ctkd_status ctkd__cifar_binary_join(struct ctkd__member *files, size_t n,
                                    const struct ctkd__cifar_labels *labels,
                                    struct ctkd__images *images, ctkd_error *err)
{
    size_t counts[FILES_MAX], first = 0;
    images->channels = 3;
    images->height = images->width = 32;
    for (size_t i = 0; i < n; i++) {
        const ctkd_status status =
            ctkd__cifar_count(files[i].place, files[i].size, labels, &counts[i], err);
        if (status == CTKD_EFORMAT && files[i].size && files[i].bytes[0] /* labels are often 0 */
            && ctkd__file_kind(files[i].bytes, files[i].size))
            return ctkd__file_kind_fail(files[i].place, files[i].bytes, files[i].size,
                                        "a file of CIFAR in its binary form", err);
        if (status != CTKD_OK)
            return status;
        images->count += counts[i];
    }
    ctkd_status status = ctkd__images_alloc(files[0].place, images, err);
    for (size_t i = 0; status == CTKD_OK && i < n; first += counts[i++]) {
        status = ctkd__cifar_unpack(files[i].place, files[i].bytes, counts[i], labels, images,
                                    first, err);
        ctkd__members_free(&files[i], 1);
    }
    return status;
}

/* The most bytes of a file with this many images: beside an image's pixels, which Python 3 writes
   in protocol 2 as UTF-8, a pickle holds its labels and its name. */
static size_t size_limit(int form, const struct ctkd__cifar_labels *labels, size_t records)
{
    const size_t head = (size_t)1 << 16, name = 256;
    return form == BINARY ? records * (labels->count + CTKD__CIFAR_PIXELS)
                          : records * (name + 2 * CTKD__CIFAR_PIXELS) + head;
}

static ctkd_status cifar_load(const struct cifar_layout *layout, const char *path,
                              struct ctkd__dataset *dataset, ctkd_error *err)
{
    struct ctkd__member files[FILES_MAX];
    const struct ctkd__cifar_labels *const labels = layout->labels[dataset->options.labels];
    const char *const firsts[] = { layout->files[BINARY][0], layout->files[PYTHON][0], NULL };
    /* if there is neither, the message names the binary files */
    const int form = ctkd__archive_which(path, layout->places, firsts) == PYTHON ? PYTHON : BINARY;
    for (size_t i = 0; i < layout->count; i++)
        files[i] = (struct ctkd__member){ .name = layout->files[form][i],
                                          .limit = size_limit(form, labels, layout->records) };
    ctkd_status status = ctkd__archive_read(path, layout->places, files, layout->count, err);
    if (status != CTKD_OK)
        return status;
    ctkd_status (*const join)(struct ctkd__member *, size_t, const struct ctkd__cifar_labels *,
                              struct ctkd__images *, ctkd_error *) =
        form == PYTHON ? ctkd__cifar_python_join : ctkd__cifar_binary_join;
    const size_t n = layout->count - 1;
    status = join(files, n, labels, &dataset->train, err);
    if (status == CTKD_OK)
        status = join(files + n, 1, labels, &dataset->test, err);
    ctkd__members_free(files, layout->count);
    return status;
}

static ctkd_status cifar10_load(const struct ctkd__dataset_def *def, const char *path,
                                struct ctkd__dataset *dataset, ctkd_error *err)
{
    (void)def;
    return cifar_load(&cifar10, path, dataset, err);
}

static ctkd_status cifar100_load(const struct ctkd__dataset_def *def, const char *path,
                                 struct ctkd__dataset *dataset, ctkd_error *err)
{
    (void)def;
    return cifar_load(&cifar100, path, dataset, err);
}

const struct ctkd__dataset_def ctkd__dataset_cifar10 = {
    .name = "cifar10",
    .title = "CIFAR-10: 10 classes of objects, RGB 32x32",
    .source = "Krizhevsky 2009, Learning multiple layers of features from tiny images",
    .files = "cifar-10-binary.tar.gz or cifar-10-python.tar.gz (or .tar.xz, .tar), or a folder "
             "with one or with {data_batch_{1..5},test_batch}, with or without .bin",
    .classes = 10,
    .channels = 3,
    .height = 32,
    .width = 32,
    .n_train = 50000,
    .n_test = 10000,
    .mean = { 0.4914f, 0.4822f, 0.4465f },
    .std = { 0.2470f, 0.2435f, 0.2616f },
    .load = cifar10_load,
};

const struct ctkd__dataset_def ctkd__dataset_cifar100 = {
    .name = "cifar100",
    .title = "CIFAR-100: 100 classes of objects, RGB 32x32",
    .source = "Krizhevsky 2009, Learning multiple layers of features from tiny images",
    .files = "cifar-100-binary.tar.gz or cifar-100-python.tar.gz (or .tar.xz, .tar), or a folder "
             "with one or with {train,test}, with or without .bin",
    .classes = 100,
    .coarse_classes = 20,
    .channels = 3,
    .height = 32,
    .width = 32,
    .n_train = 50000,
    .n_test = 10000,
    .mean = { 0.5071f, 0.4867f, 0.4408f },
    .std = { 0.2675f, 0.2565f, 0.2761f },
    .load = cifar100_load,
};
