/* ONNX models: the network with its weights. */
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "weights/exchange.h"
#include "weights/weights_file.h"

static bool detect(const char *path, const unsigned char *bytes, size_t n)
{
    /* A model usually begins with field 1, ir_version, where a TensorFlow model has the value 1.
       Otherwise look whether the fields are in another order. */
    return (n > 1 && bytes[0] == 0x08 && bytes[1] != 1) || ctkd__onnx_is_model(path);
}

static ctkd_status read(struct ctkd__weights_file *file, const char *wanted, ctkd_error *err)
{
    (void)wanted;
    file->model = calloc(1, sizeof *file->model);
    if (!file->model)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->path);
    const ctkd_status status = ctkd__onnx_read(file->path, file->model, err);
    return status == CTKD_OK
               ? ctkd__tensors_check_finite(file->path, &file->model->initialisers, err)
               : status;
}

static ctkd_status copy_metadata(const struct ctkd__tensors *from, struct ctkd__tensors *to,
                                 ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < from->n_metadata && status == CTKD_OK; i++)
        status = ctkd__tensors_set(to, from->keys[i], from->values[i], err);
    return status;
}

/* Imports the model as a graph and its parameters; what it says about its images goes into info. */
static ctkd_status import_model(struct ctkd__weights_file *file, ctkd_error *err)
{
    struct ctkd__network_info *const info = &file->info, found;
    ctkd_status status =
        ctkd__onnx_import(file->path, file->model, &file->graph, &file->tensors, &found, err);
    if (status == CTKD_OK)
        status = ctkd__tensors_check_finite(file->path, &file->tensors,
                                            err); /* a constant may divide by 0 */
    if (status == CTKD_OK)
        status = copy_metadata(&file->model->initialisers, &file->tensors, err);
    ctkd__onnx_fini(file->model);
    free(file->model);
    file->model = NULL;
    if (status != CTKD_OK)
        return status;
    info->channels = found.channels, info->height = found.height, info->width = found.width;
    info->classes = found.classes;
    info->has_normalisation = found.has_normalisation;
    memcpy(info->mean, found.mean, sizeof found.mean);
    memcpy(info->std, found.std, sizeof found.std);
    return CTKD_OK;
}

/* Takes what a model of free size says before the size is known. */
static void take_declared(struct ctkd__weights_file *file)
{
    const struct ctkd__onnx_value *const input = file->model->inputs;
    const struct ctkd__onnx_value *const output = file->model->outputs;
    size_t *const sizes[3] = { &file->info.channels, &file->info.height, &file->info.width };
    for (int i = 0; i < 3; i++)
        *sizes[i] = input->shape[i + 1] > 0 ? (size_t)input->shape[i + 1] : 0;
    if (file->model->n_outputs == 1 && output->rank == 2 && output->shape[1] > 0)
        file->info.classes = (size_t)output->shape[1];
}

static ctkd_status import(struct ctkd__weights_file *file, bool must, ctkd_error *err)
{
    const struct ctkd__network_info *const info = &file->info;
    if (must)
        ctkd__onnx_take_size(file->model, info->channels, info->height, info->width);
    if (must || !ctkd__onnx_is_free(file->model))
        return import_model(file, err);
    take_declared(file);
    return copy_metadata(&file->model->initialisers, &file->tensors, err);
}

static ctkd_status write(const char *path, const struct ctkd__export_args *args, ctkd_error *err)
{
    struct ctkd__onnx_model model = { 0 };
    ctkd_status status = ctkd__onnx_export(args, &model, err);
    if (status == CTKD_OK)
        status = ctkd__onnx_write(path, &model, err);
    ctkd__onnx_fini(&model);
    return status;
}

static const char *const endings[] = { ".onnx", NULL };

const struct ctkd__weights_format ctkd__weights_format_onnx = {
    .name = "onnx",
    .title = "ONNX",
    .noun = "an ONNX model",
    .endings = endings,
    .holds_metadata = true,
    .holds_network = true,
    .detect = detect,
    .read = read,
    .import = import,
    .write = write,
};
