#include "weights/weights_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/manifest.h"
#include "io/pth.h"
#include "io/safetensors.h"
#include "util/error.h"
#include "util/file_kind.h"
#include "weights/exchange.h"
#include "weights/normalisation.h"

static const char *const format_texts[CTKD__FORMAT_COUNT] = {
#define FORMAT_TEXT(name, text) text,
    CTKD__FORMAT_LIST(FORMAT_TEXT)
#undef FORMAT_TEXT
};

const char *ctkd__format_text(enum ctkd__format format)
{
    return format_texts[format];
}

ctkd_status ctkd__format_of_file(const char *path, enum ctkd__format *out, ctkd_error *err)
{
    unsigned char b[CTKD__FILE_KIND_BYTES];
    size_t n;
    const ctkd_status status = ctkd__file_first_bytes(path, b, &n, err);
    if (status != CTKD_OK)
        return status;
    if (n > 8 && b[8] == '{') /* behind the length of the header */
        *out = CTKD__FORMAT_SAFETENSORS;
    else if (memcmp(b, "PK\3\4", 4) == 0 || (b[0] == 0x80 && b[1] >= 2 && b[1] <= 5))
        *out = CTKD__FORMAT_PTH;            /* zip, or a pickle of protocol 2 to 5 */
    else if ((b[0] == 0x08 && b[1] != 1) || /* field 1, a number: ir_version; 1 is TensorFlow's */
             ctkd__onnx_is_model(path))     /* its fields in another order */
        *out = CTKD__FORMAT_ONNX;
    else
        return ctkd__file_kind_fail(path, b, n, "safetensors, a PyTorch checkpoint or ONNX", err);
    return CTKD_OK;
}

ctkd_status ctkd__format_of_name(const char *path, enum ctkd__format *out, ctkd_error *err)
{
    static const struct {
        const char *ending;
        enum ctkd__format format;
    } endings[] = {
        { ".safetensors", CTKD__FORMAT_SAFETENSORS },
        { ".pth", CTKD__FORMAT_PTH },
        { ".pt", CTKD__FORMAT_PTH },
        { ".th", CTKD__FORMAT_PTH },
        { ".onnx", CTKD__FORMAT_ONNX },
    };
    const size_t n = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t m = strlen(endings[i].ending);
        if (n > m && strcmp(path + n - m, endings[i].ending) == 0) {
            *out = endings[i].format;
            return CTKD_OK;
        }
    }
    return ctkd__fail(err, CTKD_EINVAL,
                      "%s: expected a name in .safetensors, .pth, .pt, .th or .onnx", path);
}

static void drop_model(struct ctkd__weights_file *file)
{
    if (file->model)
        ctkd__onnx_fini(file->model);
    free(file->model);
    file->model = NULL;
}

void ctkd__weights_file_fini(struct ctkd__weights_file *file)
{
    ctkd__tensors_fini(&file->tensors);
    ctkd__graph_destroy(file->graph);
    drop_model(file);
    *file = (struct ctkd__weights_file){ 0 };
}

static void take_size(size_t *size, size_t otherwise)
{
    if (*size == 0)
        *size = otherwise;
}

static ctkd_status copy_metadata(const struct ctkd__tensors *from, struct ctkd__tensors *to,
                                 ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < from->n_metadata && status == CTKD_OK; i++)
        status = ctkd__tensors_set(to, from->keys[i], from->values[i], err);
    return status;
}

/* A ReLU of oneDNN's makes 0 of NaN, so that a network of such weights may even get a score. */
static ctkd_status check_finite(const char *path, const struct ctkd__tensors *tensors,
                                ctkd_error *err)
{
    const ctkd_status status = ctkd__tensors_check_finite(tensors, err);
    return status == CTKD_OK ? status : ctkd__fail_within(err, status, "%s", path);
}

/* Whoever divides by 255 himself has constants of pixels of 0 to 255. */
static void question_constants(struct ctkd__weights_file *file)
{
    struct ctkd__network_info *const info = &file->info;
    if (info->has_constants)
        (void)ctkd__normalisation_question(info->channels, info->mean, info->std, file->note,
                                           sizeof file->note);
}

/* The model as a graph and its parameters; what it says of its images goes into info. */
static ctkd_status import_model(struct ctkd__weights_file *file, ctkd_error *err)
{
    struct ctkd__network_info *const info = &file->info, found;
    ctkd_status status =
        ctkd__onnx_import(file->path, file->model, &file->graph, &file->tensors, &found, err);
    if (status == CTKD_OK)
        status = check_finite(file->path, &file->tensors, err); /* a constant may divide by 0 */
    if (status == CTKD_OK)
        status = copy_metadata(&file->model->initialisers, &file->tensors, err);
    drop_model(file);
    if (status != CTKD_OK)
        return status;
    info->channels = found.channels, info->height = found.height, info->width = found.width;
    info->classes = found.classes;
    info->has_constants = found.has_constants;
    memcpy(info->mean, found.mean, sizeof found.mean);
    memcpy(info->std, found.std, sizeof found.std);
    question_constants(file);
    return CTKD_OK;
}

/* What a model of free size says before the size is known. */
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

static ctkd_status read_onnx(struct ctkd__weights_file *file, ctkd_error *err)
{
    file->model = calloc(1, sizeof *file->model);
    if (!file->model)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->path);
    ctkd_status status = ctkd__onnx_read(file->path, file->model, err);
    if (status == CTKD_OK)
        status = check_finite(file->path, &file->model->initialisers, err);
    if (status == CTKD_OK)
        status = ctkd__network_info_get(&file->model->initialisers, file->path, &file->info, err);
    if (status != CTKD_OK)
        return status;
    if (!ctkd__onnx_is_free(file->model))
        return import_model(file, err);
    take_declared(file);
    return copy_metadata(&file->model->initialisers, &file->tensors, err);
}

ctkd_status ctkd__weights_file_resolve(struct ctkd__weights_file *file,
                                       const struct ctkd__model_args *sizes, ctkd_error *err)
{
    struct ctkd__network_info *const info = &file->info;
    if (!file->model)
        return CTKD_OK;
    take_size(&info->channels, sizes->channels);
    take_size(&info->height, sizes->height);
    take_size(&info->width, sizes->width);
    ctkd__onnx_take_size(file->model, info->channels, info->height, info->width);
    return import_model(file, err);
}

/* A checkpoint of ours holds flat blocks, whose names are not those of a network. */
static bool is_checkpoint(const struct ctkd__tensors *tensors)
{
    const char *const format = ctkd__tensors_get(tensors, "format");
    return format && strncmp(format, "ctkd checkpoint", 15) == 0;
}

static ctkd_status read_tensors(struct ctkd__weights_file *file, const char *wanted,
                                ctkd_error *err)
{
    ctkd_status status;
    switch (file->format) {
    case CTKD__FORMAT_PTH:
        status = ctkd__pth_read_set(file->path, wanted, &file->tensors, &file->sets, err);
        break;
    case CTKD__FORMAT_ONNX: /* its graph says which constants are meant */
        return wanted[0] ? ctkd__fail(err, CTKD_EINVAL,
                                      "%s: weights '%.60s' found, but an ONNX model has one set of "
                                      "weights, which has no name",
                                      file->path, wanted)
                         : read_onnx(file, err);
    default:
        status = ctkd__safetensors_read(file->path, &file->tensors, err);
        if (status == CTKD_OK && !is_checkpoint(&file->tensors))
            status = ctkd__sets_take(&file->tensors, wanted, file->path, &file->sets, err);
        break;
    }
    if (status == CTKD_OK)
        status = ctkd__network_info_get(&file->tensors, file->path, &file->info, err);
    if (status == CTKD_OK)
        question_constants(file);
    return status;
}

/* What other trainers call their best accuracy; as a fraction it would be ambiguous at 1. */
static void take_accuracy(struct ctkd__weights_file *file)
{
    static const char *const keys[] = { "best_acc", "best_prec1", "accuracy" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !file->info.has_top1; i++) {
        const char *const text = ctkd__tensors_get(&file->tensors, keys[i]);
        char *end;
        const double value = text ? strtod(text, &end) : 0;
        if (text && end != text && !*end && value > 1 && value <= 100) {
            file->info.top1 = value;
            file->info.has_top1 = true;
        }
    }
}

static void take_manifest(struct ctkd__weights_file *file, const struct ctkd__manifest *manifest)
{
    file->verified = manifest->verified;
    if (manifest->network[0])
        snprintf(file->info.network, sizeof file->info.network, "%s", manifest->network);
    if (manifest->has_top1) {
        file->info.top1 = manifest->top1;
        file->info.has_top1 = true;
    }
}

/* The longest network name that the folder's begins with, up to an underscore: resnet56_vanilla,
   wrn_40_2_vanilla, vgg13_imagenet_vanilla. */
static void take_folder(struct ctkd__weights_file *file)
{
    char name[1024];
    snprintf(name, sizeof name, "%s", file->path);
    char *const slash = strrchr(name, '/');
    if (!slash || file->info.network[0])
        return;
    *slash = '\0';
    char *const above = strrchr(name, '/');
    char *const folder = above ? above + 1 : name;
    for (char *cut = folder + strlen(folder); cut; cut = strrchr(folder, '_')) {
        *cut = '\0';
        const struct ctkd__model *const model = ctkd__model_find(folder, NULL);
        if (model) {
            snprintf(file->guess, sizeof file->guess, "%s", model->name);
            return;
        }
    }
}

ctkd_status ctkd__weights_file_read(const char *path, struct ctkd__weights_file *out,
                                    ctkd_error *err)
{
    return ctkd__weights_file_read_set(path, "", out, err);
}

ctkd_status ctkd__weights_file_read_set(const char *path, const char *wanted,
                                        struct ctkd__weights_file *out, ctkd_error *err)
{
    *out = (struct ctkd__weights_file){ 0 };
    ctkd_status status = ctkd__network_file_find(path, out->path, sizeof out->path, err);
    if (status == CTKD_OK)
        status = ctkd__format_of_file(out->path, &out->format, err);
    /* The checksum comes before the contents: nothing of a wrong file is looked at. */
    struct ctkd__manifest manifest;
    if (status == CTKD_OK)
        status = ctkd__manifest_read(out->path, &manifest, err);
    if (status == CTKD_OK)
        status = read_tensors(out, wanted ? wanted : "", err);
    if (status == CTKD_OK)
        status = ctkd__tensors_widen(&out->tensors, err);
    if (status == CTKD_OK)
        status = check_finite(out->path, &out->tensors, err);
    if (status == CTKD_OK && !out->model && out->tensors.count == 0)
        status = ctkd__fail(err, CTKD_EFORMAT, "%s: no tensors found, expected weights", out->path);
    if (status != CTKD_OK) {
        ctkd__weights_file_fini(out);
        return status;
    }
    take_accuracy(out);
    take_manifest(out, &manifest);
    take_folder(out);
    return CTKD_OK;
}

/* --- the network of the weights */

/* The one network that fits. The folder's name chooses among several, and names what the weights
   should be when none fits: the difference is then a better message, or only one of names. */
static ctkd_status find_network(struct ctkd__weights_file *file, bool *guessed, ctkd_error *err)
{
    const char *names[8], *found = NULL;
    size_t count;
    ctkd_status status = ctkd__match_strip(&file->tensors, err);
    if (status == CTKD_OK)
        status = ctkd__match_networks(&file->tensors, 8, names, &count, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (count == 1 || strcmp(names[i], file->guess) == 0)
            found = names[i];
    *guessed = count != 1 && file->guess[0] && (found || count == 0);
    if (*guessed)
        found = file->guess;
    if (found)
        snprintf(file->info.network, sizeof file->info.network, "%s", found);
    else if (count == 0)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s does not name its network and fits none of `ctkd models`; expected "
                          "its name (network)",
                          file->path);
    else
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s does not name its network and fits %zu, such as %s and %s; expected "
                          "its name (network)",
                          file->path, count, names[0], names[1]);
    return CTKD_OK;
}

/* The graph of the network that info names. An imported model is that only when all its tensors
   are (*out is NULL otherwise): one with folded batch norms is not. */
static ctkd_status build_and_match(struct ctkd__weights_file *file, bool imported, bool guessed,
                                   struct ctkd__graph **out, char note[CTKD__NOTE_BYTES],
                                   ctkd_error *err)
{
    const struct ctkd__model_args args = { file->info.channels, file->info.height, file->info.width,
                                           file->info.classes };
    ctkd_status status = ctkd__model_build(file->info.network, &args, out, err);
    const bool differs = imported && status != CTKD_ENOMEM &&
                         (status != CTKD_OK || !ctkd__match_fits(*out, &file->tensors));
    if (differs)
        status = CTKD_OK;
    else if (status == CTKD_OK)
        status = ctkd__match(*out, &file->tensors, note, err);
    if (status != CTKD_OK || differs) {
        ctkd__graph_destroy(*out);
        *out = NULL;
    }
    return status == CTKD_OK
               ? CTKD_OK
               : ctkd__fail_within(err, status, "%s (%s%s)", file->path, file->info.network,
                                   guessed ? ", a guess by the folder's name" : "");
}

ctkd_status ctkd__weights_file_graph(struct ctkd__weights_file *file, const char *network,
                                     const struct ctkd__model_args *sizes, struct ctkd__graph **out,
                                     char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    struct ctkd__network_info *const info = &file->info;
    *out = NULL;
    note[0] = '\0';
    ctkd_status status = ctkd__weights_file_resolve(file, sizes, err);
    if (status != CTKD_OK)
        return status;
    take_size(&info->channels, sizes->channels);
    take_size(&info->height, sizes->height);
    take_size(&info->width, sizes->width);
    take_size(&info->classes, sizes->classes);
    if (network[0])
        snprintf(info->network, sizeof info->network, "%s", network);
    const bool imported = !network[0] && file->graph;
    bool guessed = false;
    if (!info->network[0] && !imported)
        status = find_network(file, &guessed, err);
    else if (!info->network[0] && file->guess[0]) {
        guessed = true; /* taken if all its tensors are that network's, to the last */
        snprintf(info->network, sizeof info->network, "%s", file->guess);
    }
    if (status == CTKD_OK && info->network[0])
        status = build_and_match(file, imported, guessed, out, note, err);
    if (status == CTKD_OK && guessed && *out)
        ctkd__note_add(note, "its network, %s, is a guess by the folder's name", info->network);
    if (status == CTKD_OK && guessed && !*out)
        info->network[0] = '\0';
    if (status == CTKD_OK && !*out) {
        *out = file->graph;
        file->graph = NULL;
    }
    if (status == CTKD_OK && file->note[0])
        ctkd__note_add(note, "%s", file->note);
    return status;
}
