#include "train/measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "train/teacher.h"
#include "util/error.h"

const struct ctkd__constants ctkd__known_constants[] = {
    { "CIFAR-10", "0.4914,0.4822,0.4465", "0.2470,0.2435,0.2616", 3 },
    { "CIFAR-100 (published code)", "0.5071,0.4867,0.4408", "0.2675,0.2565,0.2761", 3 },
    { "ImageNet", "0.485,0.456,0.406", "0.229,0.224,0.225", 3 },
    { "-1 to 1", "0.5", "0.5", 0 },
    { "0 to 1", "0", "1", 0 },
    { NULL, NULL, NULL, 0 },
};

ctkd_status ctkd__measure_open(const struct ctkd__config *config, struct ctkd__measure *out,
                               ctkd_error *err)
{
    *out = (struct ctkd__measure){ .config = config };
    ctkd_status status = ctkd__data_open(config, false, false, &out->data, err);
    if (status == CTKD_OK)
        status = ctkd__engine_open(config, &out->engine, err);
    if (status != CTKD_OK)
        ctkd__measure_close(out);
    return status;
}

void ctkd__measure_close(struct ctkd__measure *measure)
{
    ctkd__engine_close(&measure->engine);
    ctkd__data_close(&measure->data);
    *measure = (struct ctkd__measure){ 0 };
}

ctkd_status ctkd__measure_run(struct ctkd__measure *measure, enum ctkd__measure_role role,
                              const char *path, const char *mean, const char *std,
                              struct ctkd__measurement *out, ctkd_error *err)
{
    const struct ctkd__config *config = measure->config;
    const bool teacher = role == CTKD__MEASURE_TEACHER;
    const struct ctkd__teacher_args args = {
        .role = teacher ? "teacher" : "student",
        .path = path,
        .network = teacher ? config->teacher.network : config->student.network,
        .weights = teacher ? config->teacher.weights : config->student.weights,
        .mean = mean,
        .std = std,
        .images = &measure->data.images,
        .more_classes = measure->data.dataset->classes_open,
        .batch_max = (size_t)config->train.batch
    };
    struct ctkd__teacher *network;
    *out = (struct ctkd__measurement){ 0 };
    ctkd_status status = ctkd__teacher_open(&args, &measure->engine, &network, err);
    if (status != CTKD_OK)
        return status;
    snprintf(out->file, sizeof out->file, "%s", network->file);
    snprintf(out->note, sizeof out->note, "%s", network->note);
    out->info = network->info;
    out->promised = network->info.has_top1;
    snprintf(out->info.dataset, sizeof out->info.dataset, "%s", measure->data.images.dataset);
    const size_t classes = network->info.classes;
    float *logits = calloc((size_t)measure->config->train.batch * classes, sizeof *logits);
    status = logits ? ctkd__evaluate(measure->data.test, classes, ctkd__teacher_predict, network,
                                     logits, &out->score, err)
                    : ctkd__fail(err, CTKD_ENOMEM, "evaluation: out of memory");
    free(logits);
    ctkd__teacher_close(network);
    return status;
}
