#include "data/cifar.h"

#include <string.h>

#include "data/archive.h"
#include "data/images.h"
#include "util/error.h"

enum { FILES_MAX = 6 };

const struct ctkd__cifar_labels ctkd__cifar10_labels = { .bytes = 1, .classes = { 10 } };
const struct ctkd__cifar_labels ctkd__cifar100_labels = { .bytes = 2, .classes = { 20, 100 } };

/* What is published: the training files in order, then the test file. */
struct layout {
    const struct ctkd__cifar_labels *labels;
    const char *files[FILES_MAX];
    size_t count;
    size_t records; /* of each file, published; fewer are fine */
    const char *places[5];
    const char *python_file; /* the form that is only recognised */
    const char *python_places[4];
};

static const struct layout cifar10 = {
    .labels = &ctkd__cifar10_labels,
    .files = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
               "data_batch_5.bin", "test_batch.bin" },
    .count = 6,
    .records = 10000,
    .places = { "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz",
                "cifar-10-binary.tar" },
    .python_file = "data_batch_1",
    .python_places = { "cifar-10-batches-py", "cifar-10-python.tar.gz", "cifar-10-python.tar.xz" },
};

static const struct layout cifar100 = {
    .labels = &ctkd__cifar100_labels,
    .files = { "train.bin", "test.bin" },
    .count = 2,
    .records = 50000,
    .places = { "cifar-100-binary", "cifar-100-binary.tar.gz", "cifar-100-binary.tar.xz",
                "cifar-100-binary.tar" },
    .python_file = "train",
    .python_places = { "cifar-100-python", "cifar-100-python.tar.gz", "cifar-100-python.tar.xz" },
};

ctkd_status ctkd__cifar_count(const char *place, size_t size,
                              const struct ctkd__cifar_labels *labels, size_t *count,
                              ctkd_error *err)
{
    const size_t record = labels->bytes + CTKD__CIFAR_PIXELS;
    *count = size / record;
    if (size > 0 && size % record == 0)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EFORMAT, "%s: %zu bytes, expected a multiple of %zu, one record",
                      place, size, record);
}

ctkd_status ctkd__cifar_unpack(const char *place, const uint8_t *bytes, size_t count,
                               const struct ctkd__cifar_labels *labels, struct ctkd__images *images,
                               size_t first, ctkd_error *err)
{
    static const char *const kinds[2][2] = { { "label" }, { "coarse label", "fine label" } };
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < labels->bytes; j++) {
            const ctkd_status status = ctkd__label_check(place, i, kinds[labels->bytes - 1][j],
                                                         bytes[j], labels->classes[j], err);
            if (status != CTKD_OK)
                return status;
        }
        images->labels[first + i] = bytes[labels->bytes - 1];
        memcpy(images->pixels + (first + i) * CTKD__CIFAR_PIXELS, bytes + labels->bytes,
               CTKD__CIFAR_PIXELS);
        bytes += labels->bytes + CTKD__CIFAR_PIXELS;
    }
    return CTKD_OK;
}

/* Joins files into one part; each is freed once copied, so that memory holds little more than one
 * copy. */
static ctkd_status join_files(struct ctkd__member *files, size_t n,
                              const struct ctkd__cifar_labels *labels, struct ctkd__images *images,
                              ctkd_error *err)
{
    size_t counts[FILES_MAX], first = 0;
    images->channels = 3;
    images->height = images->width = 32;
    for (size_t i = 0; i < n; i++) {
        const ctkd_status status =
            ctkd__cifar_count(files[i].place, files[i].size, labels, &counts[i], err);
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

static ctkd_status cifar_load(const struct layout *layout, const char *path,
                              struct ctkd__dataset *dataset, ctkd_error *err)
{
    struct ctkd__member files[FILES_MAX];
    for (size_t i = 0; i < layout->count; i++)
        files[i] = (struct ctkd__member){
            .name = layout->files[i],
            .limit = layout->records * (layout->labels->bytes + CTKD__CIFAR_PIXELS),
        };
    ctkd_status status = ctkd__archive_read(path, layout->places, files, layout->count, err);
    char place[CTKD__PLACE_MAX];
    if (status == CTKD_ENOTFOUND &&
        ctkd__archive_holds(path, layout->python_places, layout->python_file, place))
        return ctkd__fail(err, CTKD_EUNSUPPORTED,
                          "%s: the Python form is not read; use the binary archive (%s)", place,
                          layout->places[1]);
    if (status != CTKD_OK)
        return status;
    const size_t n = layout->count - 1;
    status = join_files(files, n, layout->labels, &dataset->train, err);
    if (status == CTKD_OK)
        status = join_files(files + n, 1, layout->labels, &dataset->test, err);
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
    .files = "cifar-10-binary.tar.gz (or .tar.xz, .tar), or a folder with it or with "
             "data_batch_{1..5}.bin "
             "and test_batch.bin",
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
    .files = "cifar-100-binary.tar.gz (or .tar.xz, .tar), or a folder with it or with train.bin "
             "and test.bin",
    .classes = 100,
    .channels = 3,
    .height = 32,
    .width = 32,
    .n_train = 50000,
    .n_test = 10000,
    .mean = { 0.5071f, 0.4867f, 0.4408f },
    .std = { 0.2675f, 0.2565f, 0.2761f },
    .load = cifar100_load,
};
