#include <string.h>

#include "data/cifar.h"
#include "data/images.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* One file of either form, without the archive around it. */
static void join_one(const uint8_t *bytes, size_t n, const struct ctkd__cifar_labels *labels,
                     ctkd_status (*join)(struct ctkd__member *, size_t,
                                         const struct ctkd__cifar_labels *, struct ctkd__images *,
                                         ctkd_error *))
{
    struct ctkd__images images = { 0 };
    struct ctkd__member file = { .bytes = malloc(n ? n : 1), .size = n, .place = "input" };
    ctkd_error err = { .status = CTKD_OK };
    if (!file.bytes)
        abort();
    memcpy(file.bytes, bytes, n);
    const ctkd_status status = join(&file, 1, labels, &images, &err);
    if (status != err.status)
        abort();
    for (size_t i = 0; status == CTKD_OK && i < images.count; i++)
        if (images.labels[i] < 0 || (size_t)images.labels[i] >= labels->classes[labels->used])
            abort();
    ctkd__images_free(&images);
    ctkd__members_free(&file, 1);
}

/* The input as an archive of each set, and as a file of one. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const sets[] = { "cifar10", "cifar100" };
    const char *const path = memory_file(bytes, n);
    for (int i = 0; i < 2; i++) {
        struct ctkd__dataset *dataset;
        ctkd_error err = { .status = CTKD_OK };
        char spec[128];
        snprintf(spec, sizeof spec, "%s:%s", sets[i], path);
        const ctkd_status status = ctkd__dataset_open(spec, NULL, &dataset, &err);
        if (status != err.status || (status == CTKD_OK) != (dataset != NULL))
            abort();
        ctkd__dataset_close(dataset);
    }
    join_one(bytes, n, &ctkd__cifar10_labels, ctkd__cifar_python_join);
    join_one(bytes, n, &ctkd__cifar100_fine, ctkd__cifar_python_join);
    join_one(bytes, n, &ctkd__cifar100_coarse, ctkd__cifar_binary_join);
    return 0;
}
