#include "train/measure.h"

#include <stdio.h>
#include <stdlib.h>

#include "train/teacher.h"
#include "util/error.h"

ctkd_status ctkd__measure_open(const struct ctkd__config *config, struct ctkd__measure *out,
                               ctkd_error *err)
{
    *out = (struct ctkd__measure){ .config = config };
    const struct ctkd__engine_config engine = ctkd__config_engine(config);
    ctkd_status status = ctkd__data_open(config, false, false, &out->data, err);
    if (status == CTKD_OK)
        status = ctkd__engine_open(&engine, &out->engine, err);
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

ctkd_status ctkd__measure_network(struct ctkd__measure *measure, enum ctkd__measure_role role,
                                  const char *path, const char *mean, const char *std,
                                  struct ctkd__teacher **out, ctkd_error *err)
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
        .classes_max = ctkd__data_classes_max(&measure->data),
        .batch_max = (size_t)config->train.batch
    };
    return ctkd__teacher_open(&args, &measure->engine, out, err);
}

ctkd_status ctkd__measure_run(struct ctkd__measure *measure, struct ctkd__teacher *network,
                              struct ctkd__measurement *out, ctkd_error *err)
{
    *out = (struct ctkd__measurement){ 0 };
    snprintf(out->file, sizeof out->file, "%s", network->file);
    snprintf(out->note, sizeof out->note, "%s", network->note);
    out->info = network->info;
    out->promised = network->info.has_top1;
    snprintf(out->info.dataset, sizeof out->info.dataset, "%s", measure->data.images.dataset);
    const size_t classes = network->info.classes;
    float *const logits = calloc(network->batch_max * classes, sizeof *logits);
    const ctkd_status status =
        logits ? ctkd__evaluate(measure->data.test, classes, ctkd__teacher_predict, network, logits,
                                &out->score, err)
               : ctkd__fail(err, CTKD_ENOMEM, "evaluation: out of memory");
    free(logits);
    return status;
}

ctkd_status ctkd__measure_try(struct ctkd__measure *measure, struct ctkd__teacher *network,
                              struct ctkd__trials *out, ctkd_error *err)
{
    return ctkd__normalisation_try(network, measure->data.test, &measure->data.images, out, err);
}
