/*
 * Makes batches of views of image files as a run does, without a network: one thread decodes,
 * crops, resizes and normalises, and another one reads files ahead (on the same processor if the
 * caller binds this program to one).
 *     bench_images NAME:PATH BATCH      for each line "train" or "evaluation" of the standard input
 * runs an epoch of that part and prints the number of images and the seconds. compare_images.py
 * uses it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "data/loader.h"
#include "util/clock.h"

static ctkd_status open_loader(const struct ctkd__dataset *dataset, bool train, size_t batch,
                               struct ctkd__loader **out, ctkd_error *err)
{
    struct ctkd__loader_config config = {
        .batch = batch, .shuffle = train, .augment = train, .readers = 1, .seed = 1
    };
    memcpy(config.mean, dataset->mean, sizeof config.mean);
    memcpy(config.std, dataset->std, sizeof config.std);
    return ctkd__loader_create(train ? &dataset->train : &dataset->test, &config, out, err);
}

static ctkd_status run_epoch(struct ctkd__loader *loader, uint64_t epoch, ctkd_error *err)
{
    struct ctkd__batch batch = { .n = 1 };
    ctkd_status status = CTKD_OK;
    const double begin = ctkd__clock_seconds();
    ctkd__loader_start(loader, epoch, 0);
    while (status == CTKD_OK && batch.n)
        status = ctkd__loader_next(loader, &batch, err);
    printf("%zu %.6f\n", ctkd__loader_samples(loader), ctkd__clock_seconds() - begin);
    fflush(stdout);
    return status;
}

int main(int argc, char **argv)
{
    struct ctkd__dataset_options options = ctkd__dataset_options_defaults();
    struct ctkd__dataset *dataset = NULL;
    struct ctkd__loader *train = NULL, *evaluation = NULL;
    const int batch = argc > 2 ? atoi(argv[2]) : 0;
    ctkd_error err;
    char line[32];
    if (argc != 3 || batch < 1) {
        fprintf(stderr, "usage: bench_images NAME:PATH BATCH\n");
        return 2;
    }
    options.view = CTKD__FILE_VIEW_RESIZED_CROP;
    ctkd_status status = ctkd__dataset_open(argv[1], &options, &dataset, &err);
    if (status == CTKD_OK)
        status = open_loader(dataset, true, (size_t)batch, &train, &err);
    if (status == CTKD_OK)
        status = open_loader(dataset, false, (size_t)batch, &evaluation, &err);
    for (uint64_t epoch = 1; status == CTKD_OK && fgets(line, sizeof line, stdin); epoch++)
        status = run_epoch(line[0] == 't' ? train : evaluation, epoch, &err);
    if (status != CTKD_OK)
        fprintf(stderr, "%s\n", err.message);
    ctkd__loader_destroy(train);
    ctkd__loader_destroy(evaluation);
    ctkd__dataset_close(dataset);
    return status != CTKD_OK;
}
