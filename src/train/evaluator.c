#include "train/evaluator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dist/dist_compare.h"
#include "nn/conv/dnnl_version.h"
#include "train/class_columns.h"
#include "train/teacher.h"
#include "util/error.h"
#include "util/options_inner.h"
#include "util/sha256.h"
#include "util/tensors.h"

ctkd_status ctkd__evaluator_open(const struct ctkd__config *config, struct ctkd__dist *dist,
                                 struct ctkd__evaluator *out, ctkd_error *err)
{
    *out = (struct ctkd__evaluator){ .config = config, .dist = dist };
    struct ctkd__engine_config engine = ctkd__config_engine(config, dist);
    if (dist) /* slices do not change an image's logits, but would restrict the number of ranks */
        engine.slices = 0;
    ctkd_status status = ctkd__data_open(config, 0, dist, &out->data, err);
    if (status == CTKD_OK)
        status = ctkd__engine_open(&engine, &out->engine, err);
    if (status == CTKD_OK)
        status = ctkd__data_use_engine(&out->data, &out->engine, err);
    if (status != CTKD_OK)
        ctkd__evaluator_close(out);
    return status;
}

void ctkd__evaluator_close(struct ctkd__evaluator *evaluator)
{
    ctkd__engine_close(&evaluator->engine);
    ctkd__data_close(&evaluator->data);
    *evaluator = (struct ctkd__evaluator){ 0 };
}

/* --- what the ranks must have in common */

static ctkd_status describe_keys(const struct ctkd__config *config, struct ctkd__tensors *list,
                                 ctkd_error *err)
{
    struct ctkd__option_at at = { 0 };
    const struct ctkd__sections sections = ctkd__config_sections(config);
    ctkd_status status = CTKD_OK;
    while (status == CTKD_OK && ctkd__options_next(sections, &at)) {
        char text[64];
        if (!ctkd__key_may_differ(at.key, CTKD__BETWEEN_RANKS))
            status =
                ctkd__tensors_set(list, at.key, ctkd__option_value(&at, text, sizeof text), err);
    }
    return status;
}

static ctkd_status set_digest(struct ctkd__tensors *list, const char *item, const void *bytes,
                              size_t n, ctkd_error *err)
{
    char digest[CTKD__SHA256_DIGITS + 1];
    ctkd__sha256_bytes(bytes, n, digest);
    return ctkd__tensors_set(list, item, digest, err);
}

static ctkd_status describe_network(const struct ctkd__teacher *network, struct ctkd__tensors *list,
                                    ctkd_error *err)
{
    const struct ctkd__weights *const weights = network->weights;
    const struct ctkd__network_info *const info = &network->info;
    ctkd_status status = ctkd__tensors_set(list, "network", info->network, err);
    if (status == CTKD_OK)
        status = set_digest(list, "weights (SHA-256)", weights->values,
                            weights->n_values * sizeof(float), err);
    if (status == CTKD_OK)
        status = set_digest(list, "running statistics (SHA-256)", weights->buffers,
                            weights->n_buffers * sizeof(float), err);
    if (status == CTKD_OK)
        status = set_digest(list, "mean of pixels (SHA-256)", info->mean, sizeof info->mean, err);
    if (status == CTKD_OK)
        status =
            set_digest(list, "deviation of pixels (SHA-256)", info->std, sizeof info->std, err);
    char columns[CTKD__SHA256_DIGITS + 1];
    ctkd__class_columns_digest(info->classes, network->columns, columns);
    return status == CTKD_OK
               ? ctkd__tensors_set(list, "classes of its outputs (SHA-256)", columns, err)
               : status;
}

/* What does not depend on the network. */
static ctkd_status describe_evaluator(const struct ctkd__evaluator *evaluator,
                                      struct ctkd__tensors *list, ctkd_error *err)
{
    char code[96];
    struct ctkd__data_digest digest;
    ctkd__data_digest(evaluator->data.dataset, &digest);
    ctkd_status status = ctkd__dist_describe(evaluator->data.images.class_names, list, err);
    const struct {
        const char *item, *value;
    } items[] = { { "kernels", evaluator->engine.kernels->name },
                  { "oneDNN", ctkd__dnnl_code(code, sizeof code) },
                  { "test images (SHA-256)", digest.test_images },
                  { "test labels (SHA-256)", digest.test_labels } };
    for (size_t i = 0; i < sizeof items / sizeof *items && status == CTKD_OK; i++)
        status = ctkd__tensors_set(list, items[i].item, items[i].value, err);
    return status == CTKD_OK ? describe_keys(evaluator->config, list, err) : status;
}

/* Compares a network among the ranks and, with the first one, program, data and keys. */
static ctkd_status compare(struct ctkd__evaluator *evaluator, const struct ctkd__teacher *network,
                           ctkd_error *err)
{
    struct ctkd__tensors own = { 0 };
    if (!evaluator->dist)
        return CTKD_OK;
    ctkd_status status = evaluator->compared ? CTKD_OK : describe_evaluator(evaluator, &own, err);
    if (status == CTKD_OK)
        status = describe_network(network, &own, err);
    if (status == CTKD_OK)
        status = ctkd__dist_compare(evaluator->dist, &own, NULL, err);
    evaluator->compared = status == CTKD_OK;
    ctkd__tensors_fini(&own);
    return status;
}

/* --- networks */

ctkd_status ctkd__evaluator_network(struct ctkd__evaluator *evaluator,
                                    enum ctkd__evaluated_role role, const char *path,
                                    const char *mean, const char *std, const char *classes,
                                    struct ctkd__teacher **out, ctkd_error *err)
{
    const struct ctkd__config *config = evaluator->config;
    const bool teacher = role == CTKD__EVALUATED_TEACHER;
    const struct ctkd__teacher_args args = {
        .role = teacher ? "teacher" : "student",
        .path = path,
        .network = teacher ? config->teacher.network : config->student.network,
        .classes = classes,
        .weights = teacher ? config->teacher.weights : config->student.weights,
        .mean = mean,
        .std = std,
        .images = &evaluator->data.images,
        .classes_max = ctkd__data_classes_max(&evaluator->data),
        .batch_max = ctkd__config_pass(config)
    };
    ctkd_status status = ctkd__teacher_open(&args, &evaluator->engine, out, err);
    if (status == CTKD_OK)
        status = compare(evaluator, *out, err);
    if (status == CTKD_OK)
        return status;
    ctkd__teacher_close(*out);
    *out = NULL;
    return status;
}

ctkd_status ctkd__evaluator_run(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                                struct ctkd__evaluation *out, struct ctkd__predictions *kept,
                                ctkd_error *err)
{
    *out = (struct ctkd__evaluation){ 0 };
    snprintf(out->file, sizeof out->file, "%s", network->file);
    snprintf(out->note, sizeof out->note, "%s", network->note);
    out->info = network->info;
    out->promised = network->info.has_top1;
    snprintf(out->info.dataset, sizeof out->info.dataset, "%s", evaluator->data.images.dataset);
    const size_t classes = network->info.classes;
    float *const logits = calloc(network->batch_max * classes, sizeof *logits);
    const ctkd_status status =
        logits ? ctkd__evaluate(evaluator->data.test, classes, ctkd__teacher_forward_evaluation,
                                network, evaluator->dist, logits, &out->scores, kept, err)
               : ctkd__fail(err, CTKD_ENOMEM, "evaluation: out of memory");
    free(logits);
    return status;
}

ctkd_status ctkd__evaluator_predict(struct ctkd__evaluator *evaluator,
                                    enum ctkd__evaluated_role role, const char *path,
                                    const char *mean, const char *std, struct ctkd__evaluation *out,
                                    struct ctkd__predictions *kept, ctkd_error *err)
{
    struct ctkd__teacher *network;
    const char *const classes =
        role == CTKD__EVALUATED_TEACHER ? evaluator->config->teacher.classes : "";
    ctkd_status status =
        ctkd__evaluator_network(evaluator, role, path, mean, std, classes, &network, err);
    if (status == CTKD_OK)
        status = ctkd__evaluator_run(evaluator, network, out, kept, err);
    ctkd__teacher_close(network);
    return status;
}

ctkd_status ctkd__evaluator_predict_teacher(struct ctkd__evaluator *evaluator, const char *path,
                                            const char *mean, const char *std,
                                            const struct ctkd__predictions *student,
                                            struct ctkd__predictions *teacher, ctkd_error *err)
{
    struct ctkd__evaluation found;
    const ctkd_status status = ctkd__evaluator_predict(evaluator, CTKD__EVALUATED_TEACHER, path,
                                                       mean, std, &found, teacher, err);
    if (status == CTKD_OK && teacher->classes != student->classes)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found %zu classes, expected the student's %zu",
                          found.file, teacher->classes, student->classes);
    return status;
}

ctkd_status ctkd__evaluator_try_normalisations(struct ctkd__evaluator *evaluator,
                                               struct ctkd__teacher *network,
                                               struct ctkd__trials *out, ctkd_error *err)
{
    return ctkd__normalisation_try(network, evaluator->data.test, &evaluator->data.images,
                                   evaluator->dist, out, err);
}
