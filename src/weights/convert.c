#include "weights/convert.h"

#include <stdio.h>
#include <string.h>

#include "nn/models/models.h"
#include "util/error.h"
#include "util/text.h"

typedef struct ctkd__convert_options options;

#define TEXT(field, help)                                                                          \
    {                                                                                              \
#field, CTKD_OPTION_STRING, offsetof(options, field), 0, 0, 0, "", NULL, help              \
    }

const ctkd_option ctkd__convert_table[] = {
    CTKD_OPT_CHOICE(
        options, format, 0, ctkd__weights_format_choice,
        "format of OUT; auto: by the ending of its name, which - (standard output) lacks"),
    TEXT(network,
         "network of the weights (see `ctkd models`); empty: the one the file names or fits"),
    TEXT(weights,
         "which of several sets of weights, as `ctkd inspect` lists them; empty: the first"),
    CTKD_OPT_I64(options, classes, 0, 0, CTKD__MODEL_CLASSES_MAX,
                 "number of classes; 0: as the file says, or as its last layer has"),
    CTKD_OPT_I64(options, channels, 0, 0, CTKD__CHANNELS_MAX,
                 "channels of the images; 0: as the file says, or as its first layer has"),
    CTKD_OPT_I64(options, height, 0, 0, CTKD__MODEL_SIDE_MAX,
                 "height of the images; 0: as the file says, or as published"),
    CTKD_OPT_I64(options, width, 0, 0, CTKD__MODEL_SIDE_MAX, "width of the images; 0: the height"),
    TEXT(mean, "channel means for normalisation, comma list; empty: as the file says"),
    TEXT(std, "channel deviations for normalisation; empty: as the file says"),
    CTKD_OPT_BOOL(options, fold, 0, ".onnx: fold batch norms into the convolutions"),
    CTKD_OPT_BOOL(options, normalise, 0,
                  ".onnx: the model takes pixels / 255 and normalises them itself"),
    CTKD_OPT_END,
};

static ctkd_status apply_options(const options *o, struct ctkd__network_info *info, ctkd_error *err)
{
    const size_t channels = info->channels;
    if (o->mean[0] == '\0' && o->std[0] == '\0')
        return CTKD_OK;
    if (channels == 0 || channels > CTKD__CHANNELS_MAX ||
        (!info->has_normalisation && (!o->mean[0] || !o->std[0])))
        return ctkd__fail(err, CTKD_EINVAL, "mean, std: expected both, for 1 to %d channels",
                          CTKD__CHANNELS_MAX);
    ctkd_status status = ctkd__text_floats("mean", o->mean, channels, info->mean, err);
    if (status == CTKD_OK)
        status = ctkd__text_floats("std", o->std, channels, info->std, err);
    for (size_t c = 0; c < channels && status == CTKD_OK; c++)
        if (!(info->std[c] > 0))
            status = ctkd__fail(err, CTKD_ERANGE, "std: found %g, expected above 0",
                                (double)info->std[c]);
    info->has_normalisation = true;
    return status;
}

/* Sizes that are asked for replace those of the file. An ONNX model has fixed sizes unless they are
   free; free ones must be given, because the new file needs one size. */
static ctkd_status take_sizes(const options *o, struct ctkd__weights_file *file, ctkd_error *err)
{
    struct ctkd__network_info *const info = &file->info;
    const struct {
        const char *key;
        int64_t asked;
        size_t *size;
    } sizes[] = { { "classes", o->classes, &info->classes },
                  { "channels", o->channels, &info->channels },
                  { "height", o->height, &info->height },
                  { "width", o->width ? o->width : o->height, &info->width } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].asked == 0 && file->model && *sizes[i].size == 0 && i > 0)
            return ctkd__fail(err, CTKD_EINVAL,
                              "%s: the %s of its images is free; set %s=SIZE for the new file",
                              file->path, sizes[i].key, sizes[i].key);
        if (sizes[i].asked == 0)
            continue;
        if ((file->graph || (file->model && *sizes[i].size)) &&
            *sizes[i].size != (size_t)sizes[i].asked)
            return ctkd__fail(err, CTKD_EINVAL, "%s: found %zu %s, expected %zu", file->path,
                              *sizes[i].size, sizes[i].key, (size_t)sizes[i].asked);
        *sizes[i].size = (size_t)sizes[i].asked;
    }
    return CTKD_OK;
}

/* Sizes for what is still open: from the layers of the network, else from the published images. */
static struct ctkd__model_args sizes_of(const options *o, const struct ctkd__weights_file *file)
{
    struct ctkd__model_args sizes;
    const struct ctkd__model_family *family = NULL;
    const char *const said = file->info.network[0] ? file->info.network : file->guess;
    const char *const network = o->network[0] ? o->network : said;
    ctkd__match_sizes(&file->tensors, &sizes.channels, &sizes.classes);
    ctkd__model_find(network, &family);
    sizes.height = sizes.width = family ? family->side : 32;
    return sizes;
}

/* Sets the new file's metadata, for a format that holds only pairs of strings and tensors. */
static ctkd_status set_metadata(struct ctkd__weights_file *file, ctkd_error *err)
{
    const ctkd_status status = ctkd__network_info_set(&file->info, &file->tensors, err);
    return status == CTKD_OK ? ctkd__tensors_set(&file->tensors, "format", "pt", err) : status;
}

static ctkd_status write(const char *out, const struct ctkd__weights_format *format,
                         const options *o, const struct ctkd__graph *graph,
                         struct ctkd__weights_file *file, char note[CTKD__NOTE_BYTES],
                         ctkd_error *err)
{
    const struct ctkd__export_args args = { .graph = graph,
                                            .tensors = &file->tensors,
                                            .info = &file->info,
                                            .fold = o->fold,
                                            .normalise = o->normalise };
    if (!format->holds_metadata)
        ctkd__note_add(note, "%s has no place for the network's name, sizes and normalisation",
                       format->noun);
    else if (!format->holds_network) {
        const ctkd_status status = set_metadata(file, err);
        if (status != CTKD_OK)
            return status;
    }
    return format->write(out, &args, err);
}

/* Finds the name of the one network that fits, so that the new file has it. */
static ctkd_status name_network(struct ctkd__weights_file *file, ctkd_error *err)
{
    struct ctkd__network_info *const info = &file->info;
    const char *names[2];
    size_t count = 0;
    ctkd_status status = ctkd__match_strip(&file->tensors, err);
    if (status == CTKD_OK)
        status = ctkd__match_networks(&file->tensors, 2, names, &count, err);
    if (status != CTKD_OK || count != 1)
        return status;
    struct ctkd__model_args found;
    ctkd__match_sizes(&file->tensors, &found.channels, &found.classes); /* right, as it fits */
    if ((info->channels && info->channels != found.channels) ||
        (info->classes && info->classes != found.classes))
        return ctkd__fail(err, CTKD_ESHAPE,
                          "%s: found %zu channels and %zu classes, expected %zu and %zu",
                          file->path, found.channels, found.classes, info->channels, info->classes);
    snprintf(info->network, sizeof info->network, "%s", names[0]);
    info->channels = found.channels;
    info->classes = found.classes;
    return CTKD_OK;
}

/* If the file says no image size, the size that the graph was built for must not become the file's:
   a new weights file says none either, but an ONNX model needs one. */
static void own_size(struct ctkd__weights_file *file, bool with_network, size_t height,
                     size_t width, char note[CTKD__NOTE_BYTES])
{
    struct ctkd__network_info *const info = &file->info;
    if (height && width)
        return;
    if (with_network) {
        ctkd__note_add(note,
                       "the file does not state the image size: the model assumes %zux%zu (set "
                       "height and width for another)",
                       info->height, info->width);
        return;
    }
    info->height = height;
    info->width = width;
}

static ctkd_status convert(const char *out, const struct ctkd__weights_format *format,
                           const options *o, struct ctkd__weights_file *file,
                           char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    struct ctkd__graph *graph = NULL;
    const bool with_network = format->holds_network, imported = file->graph || file->model;
    const struct ctkd__model_args sizes = sizes_of(o, file);
    ctkd_status status = take_sizes(o, file, err);
    const size_t height = file->info.height, width = file->info.width;
    if (status == CTKD_OK && (with_network || o->network[0] || imported))
        status = ctkd__weights_file_graph(file, o->network, &sizes, &graph, note, err);
    if (status == CTKD_OK && graph)
        own_size(file, with_network, height, width, note);
    else if (status == CTKD_OK && file->note[0])
        ctkd__note_add(note, "%s", file->note);
    if (status == CTKD_OK && !with_network && imported && !file->graph) {
        file->info.network[0] = '\0'; /* taken as it is: the tensors are not that network's */
        status = ctkd__tensors_set(&file->tensors, "network", "", err);
    }
    if (status == CTKD_OK && !with_network && !file->info.network[0])
        status = name_network(file, err);
    if (status == CTKD_OK)
        status = apply_options(o, &file->info, err);
    if (status == CTKD_OK)
        status = write(out, format, o, graph, file, note, err);
    ctkd__graph_destroy(graph);
    return status;
}

/* The format that was asked for, else by the name's ending; refuses a name with another format's
   ending. */
static ctkd_status format_of(const char *out, const options *o,
                             const struct ctkd__weights_format **format, ctkd_error *err)
{
    char names[160];
    if (o->format == 0 && strcmp(out, "-") == 0)
        return ctkd__fail(
            err, CTKD_EINVAL, "-: standard output has no ending; set format=%s",
            ctkd__weights_format_list(CTKD__FORMAT_NAMES, false, names, sizeof names));
    const struct ctkd__weights_format *by_name = NULL;
    const ctkd_status status = ctkd__weights_format_of_name(out, &by_name, o->format ? NULL : err);
    if (o->format == 0) {
        *format = by_name;
        return status;
    }
    *format = ctkd__weights_formats()[o->format - 1];
    return by_name && by_name != *format
               ? ctkd__fail(err, CTKD_EINVAL,
                            "%s: found format=%s, expected the format of the ending", out,
                            (*format)->name)
               : CTKD_OK;
}

ctkd_status ctkd__convert(const char *in, const char *out, const options *o,
                          char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    struct ctkd__weights_file file;
    const struct ctkd__weights_format *format = NULL;
    char endings[160];
    note[0] = '\0';
    ctkd_status status = format_of(out, o, &format, err);
    if (status != CTKD_OK)
        return status;
    if (!format->holds_network && (o->fold || o->normalise))
        return ctkd__fail(
            err, CTKD_EINVAL, "%s: fold and normalise apply to %s only", out,
            ctkd__weights_format_list(CTKD__FORMAT_ENDINGS, true, endings, sizeof endings));
    status = ctkd__weights_file_read_set(in, o->weights, &file, err);
    if (status == CTKD_OK)
        status = convert(out, format, o, &file, note, err);
    if (status == CTKD_OK)
        ctkd__note_sets(note, &file.sets, "weights");
    ctkd__weights_file_fini(&file);
    return status;
}
