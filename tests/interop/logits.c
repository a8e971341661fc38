/*
 * usage: interop_logits IMAGES WEIGHTS... [key=value ...]
 * The first batch of test images (train.batch, data.*), as a network takes them, into the file
 * IMAGES, and what each WEIGHTS file, as a teacher, says of them into WEIGHTS.logits: floats,
 * row-major. For the scripts beside this file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/arguments.h"
#include "train/session.h"
#include "util/error.h"

static ctkd_status write_floats(const char *path, const float *values, size_t n, ctkd_error *err)
{
    FILE *const stream = fopen(path, "wb");
    const bool written = stream && fwrite(values, sizeof *values, n, stream) == n;
    const bool closed = stream && fclose(stream) == 0;
    return written && closed ? CTKD_OK : ctkd__fail(err, CTKD_EIO, "%s: cannot be written", path);
}

static ctkd_status write_images(const char *path, const struct ctkd__batch *batch,
                                const struct ctkd__network_info *info, ctkd_error *err)
{
    const size_t plane = info->height * info->width, n = batch->n * info->channels * plane;
    float *const x = malloc(n * sizeof *x);
    if (!x)
        return ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    ctkd__batch_images_write(batch->x, batch->n, info->channels, plane, x);
    const ctkd_status status = write_floats(path, x, n, err);
    free(x);
    return status;
}

static ctkd_status answer(const char *path, const struct ctkd__data *data,
                          const struct ctkd__engine *engine, const struct ctkd__batch *batch,
                          ctkd_error *err)
{
    const struct ctkd__teacher_args args = { .role = "teacher",
                                             .path = path,
                                             .network = "",
                                             .mean = "",
                                             .std = "",
                                             .images = &data->images,
                                             .batch_max = batch->n };
    const size_t n = batch->n * data->images.classes;
    struct ctkd__teacher *teacher;
    char to[1024];
    float *const logits = malloc(n * sizeof *logits);
    if (!logits)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    ctkd_status status = ctkd__teacher_open(&args, engine, &teacher, err);
    if (status == CTKD_OK)
        status = ctkd__teacher_forward_evaluation(teacher, batch->n, batch->x, logits, err);
    ctkd__teacher_close(teacher);
    snprintf(to, sizeof to, "%s.logits", path);
    if (status == CTKD_OK)
        status = write_floats(to, logits, n, err);
    free(logits);
    return status;
}

static ctkd_status run(int argc, char **argv, struct ctkd__config *config, ctkd_error *err)
{
    struct ctkd__data data = { 0 };
    struct ctkd__engine engine = { 0 };
    struct ctkd__batch batch = { .n = 0 };
    ctkd_status status = ctkd__arguments_apply(argc, argv, config, err);
    if (status == CTKD_OK)
        status = ctkd__data_open(config, 0, NULL, &data, err);
    const struct ctkd__engine_config asked = ctkd__config_engine(config, NULL);
    if (status == CTKD_OK)
        status = ctkd__engine_open(&asked, &engine, err);
    if (status == CTKD_OK) {
        ctkd__loader_start(data.test, 1, 0);
        status = ctkd__loader_next(data.test, &batch, err);
        if (status == CTKD_OK && batch.n == 0)
            status = ctkd__fail(err, CTKD_EINVAL, "no test images");
    }
    if (status == CTKD_OK)
        status = write_images(argv[0], &batch, &data.images, err);
    for (int i = 1; i < argc && status == CTKD_OK; i++)
        if (!strchr(argv[i], '='))
            status = answer(argv[i], &data, &engine, &batch, err);
    ctkd__engine_close(&engine);
    ctkd__data_close(&data);
    return status;
}

int main(int argc, char **argv)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    ctkd_status status = ctkd__config_create(&config, &err);
    if (status == CTKD_OK)
        status = run(argc - 1, argv + 1, config, &err);
    ctkd__config_destroy(config);
    if (status != CTKD_OK)
        fprintf(stderr, "interop_logits: %s\n", err.message);
    return status == CTKD_OK ? 0 : 1;
}
