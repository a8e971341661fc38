/*
 * The time to open a data set, and the loader's time per batch.
 *     bench_loader [NAME:PATH] [BATCH]        default: fashion-mnist 64
 */
#include <stdio.h>
#include <stdlib.h>

#include "data/dataset.h"
#include "data/loader.h"
#include "util/clock.h"
#include "util/median.h"

/* Median over epochs of the time per batch while nothing else runs: the loader's own speed. */
static int run(const char *what, const struct ctkd__dataset *dataset,
               struct ctkd__loader_config config)
{
    enum { EPOCHS = 5 };
    struct ctkd__loader *loader;
    ctkd_error err;
    if (ctkd__loader_create(&dataset->train, &config, &loader, &err) != CTKD_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    double times[EPOCHS], first = 0;
    for (int e = 0; e < EPOCHS; e++) {
        struct ctkd__batch batch;
        const double begin = ctkd__clock_seconds();
        ctkd__loader_start(loader, (uint64_t)e + 1, 0);
        for (size_t b = 0; ctkd__loader_next(loader, &batch, &err) == CTKD_OK && batch.n; b++)
            if (b == 0)
                first = 1e3 * (ctkd__clock_seconds() - begin);
        times[e] = 1e3 * (ctkd__clock_seconds() - begin) / (double)ctkd__loader_batches(loader);
    }
    printf("%-22s %zu x %zux%zux%zu  %.3f ms a batch (first of an epoch %.3f ms)\n", what,
           config.batch, ctkd__loader_channels(loader), ctkd__loader_height(loader),
           ctkd__loader_width(loader), ctkd__sort_median(EPOCHS, times), first);
    ctkd__loader_destroy(loader);
    return 0;
}

int main(int argc, char **argv)
{
    const char *spec = argc > 1 ? argv[1] : "fashion-mnist";
    struct ctkd__dataset *dataset;
    ctkd_error err;
    const double begin = ctkd__clock_seconds();
    if (ctkd__dataset_open(spec, NULL, &dataset, &err) != CTKD_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("open %s: %.0f ms, %zu + %zu images\n", dataset->name,
           1e3 * (ctkd__clock_seconds() - begin), dataset->train.count, dataset->test.count);
    struct ctkd__loader_config config = { .batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 64,
                                          .crop_padding = 4 };
    for (size_t c = 0; c < CTKD__CHANNELS_MAX; c++) {
        config.mean[c] = dataset->mean[c];
        config.std[c] = dataset->std[c];
    }
    int failed = run("test (in order)", dataset, config);
    config.shuffle = config.augment = true;
    failed |= run("training (augmented)", dataset, config);
    if (dataset->train.channels == 1) {
        config.channels = 3;
        config.pad_to = 32;
        failed |= run("training, as 3x32x32", dataset, config);
    }
    ctkd__dataset_close(dataset);
    return failed;
}
