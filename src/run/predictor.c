#include "run/predictor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/picture/viewer.h"
#include "nn/models/models.h"
#include "train/session.h"
#include "util/error.h"
#include "util/text.h"

enum { RGB = 3, SIDE_MAX = 1 << 14 };

/* How a file becomes the network's input. */
struct input {
    struct ctkd__network_info images; /* as the network takes them */
    size_t height, width;             /* of the picture in it, before zeros are padded */
    size_t resize;                    /* its shorter side before the centre is cropped; 0: the
                                         picture is resized to height x width */
    bool grey;                        /* luma, in every channel */
    float tables[CTKD__CHANNELS_MAX][256];
};

/* What one thread works with: a viewer, or (input.resize 0) a reader and a resizer. */
struct worker {
    struct ctkd__viewer *viewer;
    struct ctkd__picture_reader *reader;
    struct ctkd__resizer *resizer;
    uint8_t *planes; /* [3][height][width] */
};

struct picture_slot {
    char place[CTKD__TREE_PLACE_MAX];
    ctkd_status status;
    ctkd_error err;
};

struct ctkd__predictor {
    struct input input;
    struct ctkd__engine engine;
    struct ctkd__teacher *network;
    const struct ctkd__names *names; /* [classes]; NULL: they are numbers */
    struct worker *workers;          /* [of the engine] */
    struct picture_slot *slots;      /* [batch] */
    float *x, *logits;               /* of a batch */
    size_t batch;
};

/* --- what the network takes */

/* The family of a network, or NULL if its name is not known. */
static const struct ctkd__model_family *family_of(const char *network)
{
    const struct ctkd__model_family *family = NULL;
    return network[0] && ctkd__model_find(network, &family) ? family : NULL;
}

/* The side of the images for which results of this network are published. Weights that do not name
   their network are matched at either size. */
static size_t published_side(const struct ctkd__config *config, const char *path)
{
    static const size_t sides[] = { 224, 32 };
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct ctkd__weights_file file;
        struct ctkd__graph *graph = NULL;
        char note[CTKD__NOTE_BYTES];
        if (ctkd__weights_file_read_set(path, config->student.weights, &file, NULL) != CTKD_OK)
            break;
        struct ctkd__model_args sizes = { RGB, sides[i], sides[i], file.info.classes };
        ctkd__match_sizes(&file.tensors, &sizes.channels, &sizes.classes);
        const struct ctkd__model_family *family = NULL;
        if (ctkd__weights_file_graph(&file, config->student.network, &sizes, &graph, note, NULL) ==
            CTKD_OK)
            family = family_of(file.info.network);
        ctkd__graph_destroy(graph);
        ctkd__weights_file_fini(&file);
        if (family)
            return family->side;
    }
    return sides[0];
}

/* Sizes that the file does not state: from the keys, else the data set, else the network. */
static void choose_sizes(const struct ctkd__config *config, const char *path,
                         const struct ctkd__dataset_def *def, struct ctkd__network_info *images)
{
    const struct ctkd__model_family *const family =
        family_of(config->student.network[0] ? config->student.network : images->network);
    if (!images->channels)
        images->channels = config->data.channels > 0 ? (size_t)config->data.channels
                           : def                     ? def->channels
                                                     : RGB;
    if (images->height && images->width)
        return;
    size_t side = (size_t)config->data.pad_to;
    side = side ? side : (size_t)config->data.size;
    side = side || !def ? side : def->height;
    side = side || !family ? side : family->side;
    images->height = images->width = side ? side : published_side(config, path);
}

/* data.mean and .std, else the constants of the data set, else those of ImageNet. */
static ctkd_status choose_normalisation(const struct ctkd__config *config,
                                        const struct ctkd__dataset_def *def,
                                        struct ctkd__network_info *images,
                                        char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    static const float means[] = { 0.485f, 0.456f, 0.406f }, stds[] = { 0.229f, 0.224f, 0.225f };
    const bool given = config->data.mean[0] && config->data.std[0];
    if (images->has_normalisation && !def && !given)
        return CTKD_OK;
    const bool known = images->has_normalisation || given || config->teacher.mean[0];
    if (!def && !known && images->channels != RGB)
        return ctkd__fail(err, CTKD_EINVAL,
                          "%s: the file does not say how its images are normalised, expected "
                          "teacher.mean= and teacher.std=",
                          images->network[0] ? images->network : "the network");
    if (!def && !known)
        snprintf(note, CTKD__NOTE_BYTES,
                 "does not say how its images are normalised: the constants of ImageNet are used; "
                 "set teacher.mean and teacher.std for others");
    for (size_t c = 0; c < images->channels; c++) {
        images->mean[c] = def ? def->mean[def->channels == 1 ? 0 : c] : means[c % RGB];
        images->std[c] = def ? def->std[def->channels == 1 ? 0 : c] : stds[c % RGB];
    }
    const size_t n = def && def->channels == 1 ? 1 : images->channels;
    ctkd_status status = ctkd__text_floats("data.mean", config->data.mean, n, images->mean, err);
    if (status == CTKD_OK)
        status = ctkd__text_floats("data.std", config->data.std, n, images->std, err);
    for (size_t c = 0; c < images->channels && status == CTKD_OK; c++) {
        images->mean[c] = images->mean[c < n ? c : 0]; /* a grey channel may be repeated */
        images->std[c] = images->std[c < n ? c : 0];
        if (!(images->std[c] > 0))
            status = ctkd__fail(err, CTKD_ERANGE, "data.std: found %g, expected above 0",
                                (double)images->std[c]);
    }
    return status;
}

/* The shorter side to which an image is resized before it is cropped or, if that is less than the
   side of the network's images, padded. Data sets of small images are not cropped. */
static size_t choose_resize(const struct ctkd__config *config, const struct ctkd__dataset_def *def,
                            const struct ctkd__network_info *images)
{
    const bool small = def && !def->in_files;
    if (config->data.resize > 0)
        return (size_t)config->data.resize;
    if (images->resize)
        return images->resize;
    if (!small)
        return ctkd__view_resize_for(images->height);
    const bool padded = config->data.pad_to > 0 && def->height && def->height < images->height;
    return padded ? def->height : images->height;
}

static ctkd_status choose_view(const struct ctkd__config *config,
                               const struct ctkd__dataset_def *def, struct input *in,
                               ctkd_error *err)
{
    const struct ctkd__network_info *const images = &in->images;
    const size_t asked = (size_t)config->data.resize;
    in->height = images->height;
    in->width = images->width;
    if (images->channels != 1 && images->channels != RGB)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "%s: found a network of %zu channels, expected 1 or 3 for image files",
                          images->network[0] ? images->network : "network", images->channels);
    if (in->height > SIDE_MAX || in->width > SIDE_MAX)
        return ctkd__fail(err, CTKD_ESHAPE, "found a network for %zux%zu images, expected up to %d",
                          images->height, images->width, SIDE_MAX);
    in->grey = images->channels == 1 || (def && def->channels == 1);
    if (in->height != in->width)
        return CTKD_OK;
    if (asked && asked < in->height && !(def && !def->in_files))
        return ctkd__fail(err, CTKD_ERANGE,
                          "data.resize: found %zu, expected at least the side of the network's "
                          "images, %zu",
                          asked, in->height);
    in->resize = choose_resize(config, def, images);
    if (in->resize < in->height)
        in->height = in->width = in->resize;
    return CTKD_OK;
}

/* Classes and sizes as the file states them; what it leaves open is chosen. */
static ctkd_status read_info(const struct ctkd__config *config, const char *path,
                             const struct ctkd__dataset_def *def, struct input *in, ctkd_error *err)
{
    struct ctkd__weights_file file;
    struct ctkd__network_info *const images = &in->images;
    ctkd_status status = ctkd__weights_file_read_set(path, config->student.weights, &file, err);
    if (status != CTKD_OK)
        return status;
    *images = file.info;
    size_t channels = 0, classes = 0;
    if (ctkd__match_sizes(&file.tensors, &channels, &classes)) {
        images->channels = images->channels ? images->channels : channels;
        images->classes = images->classes ? images->classes : classes;
    }
    choose_sizes(config, path, def, images);
    const struct ctkd__model_args sizes = { images->channels, images->height, images->width,
                                            images->classes };
    status = ctkd__weights_file_resolve(&file, &sizes, err);
    images->classes = images->classes ? images->classes : file.info.classes;
    images->resize = ctkd__weights_file_resize(&file, images->height);
    ctkd__weights_file_fini(&file);
    if (status == CTKD_OK && !images->classes)
        status = ctkd__fail(err, CTKD_EFORMAT, "%s: found no layer of classes at its end", path);
    return status;
}

static ctkd_status choose_input(const struct ctkd__config *config, const char *path,
                                struct input *in, char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    const struct ctkd__dataset_def *const def = ctkd__dataset_find(config->data.set);
    ctkd_status status = read_info(config, path, def, in, err);
    if (status == CTKD_OK)
        status = choose_normalisation(config, def, &in->images, note, err);
    if (status == CTKD_OK)
        status = choose_view(config, def, in, err);
    if (status != CTKD_OK)
        return status;
    snprintf(in->images.dataset, sizeof in->images.dataset, "%.*s",
             (int)ctkd__dataset_name_length(config->data.set), config->data.set);
    for (size_t c = 0; c < in->images.channels; c++)
        ctkd__normalise_table(in->images.mean[c], in->images.std[c], in->tables[c]);
    return CTKD_OK;
}

/* --- open */

static ctkd_status open_worker(const struct ctkd__config *config, const struct input *in,
                               struct worker *worker, ctkd_error *err)
{
    struct ctkd__view_settings views = ctkd__view_settings_defaults();
    const bool upright = config->data.orientation == CTKD__ORIENTATION_APPLY;
    ctkd_status status = CTKD_OK;
    if (in->resize) {
        views.size = in->height;
        views.resize = in->resize;
        views.pixels_max = (uint64_t)config->data.max_pixels;
        views.upright = upright;
        views.roi = config->data.roi;
        status = ctkd__viewer_create(&views, &worker->viewer, err);
    } else {
        status = ctkd__picture_reader_create((uint64_t)config->data.max_pixels, config->data.roi,
                                             &worker->reader, err);
        if (status == CTKD_OK)
            ctkd__picture_reader_upright(worker->reader, upright);
        if (status == CTKD_OK)
            status = ctkd__resizer_create(views.order, &worker->resizer, err);
    }
    worker->planes = malloc(RGB * in->height * in->width);
    if (status == CTKD_OK && !worker->planes)
        status = ctkd__fail(err, CTKD_ENOMEM, "predict: out of memory");
    return status;
}

static ctkd_status open_network(struct ctkd__predictor *p, const struct ctkd__config *config,
                                const char *path, ctkd_error *err)
{
    const struct ctkd__teacher_args args = { .role = "student",
                                             .path = path,
                                             .network = config->student.network,
                                             .weights = config->student.weights,
                                             .mean = config->teacher.mean,
                                             .std = config->teacher.std,
                                             .images = &p->input.images,
                                             .classes_max = p->input.images.classes,
                                             .batch_max = p->batch };
    return ctkd__teacher_open(&args, &p->engine, &p->network, err);
}

/* The names of the classes: those of data.classes, else those in the weights file. */
static ctkd_status choose_names(struct ctkd__predictor *p, const struct ctkd__config *config,
                                ctkd_error *err)
{
    struct ctkd__dataset_options options;
    p->names = p->network->info.class_names;
    ctkd_status status = ctkd__config_dataset(config, &options, err);
    if (status != CTKD_OK || !options.layout.class_file[0])
        return status;
    status = ctkd__names_of_file(options.layout.class_file, &p->names, err);
    if (status == CTKD_OK && p->names->count != p->network->info.classes)
        status = ctkd__fail(
            err, CTKD_EFORMAT, "data.classes: %s: found %zu names, expected %zu, the classes of %s",
            options.layout.class_file, p->names->count, p->network->info.classes, p->network->file);
    return status;
}

ctkd_status ctkd__predictor_open(const struct ctkd__config *config, const char *path,
                                 struct ctkd__predictor **out, char note[CTKD__NOTE_BYTES],
                                 ctkd_error *err)
{
    *out = NULL;
    note[0] = '\0';
    struct ctkd__predictor *const p = calloc(1, sizeof *p);
    if (!p)
        return ctkd__fail(err, CTKD_ENOMEM, "predict: out of memory");
    const struct ctkd__engine_config engine = ctkd__config_engine(config, NULL);
    p->batch = (size_t)config->train.batch;
    ctkd_status status = choose_input(config, path, &p->input, note, err);
    if (status == CTKD_OK)
        status = ctkd__engine_open(&engine, &p->engine, err);
    if (status == CTKD_OK)
        status = open_network(p, config, path, err);
    if (status == CTKD_OK)
        status = choose_names(p, config, err);
    if (status != CTKD_OK)
        goto fail;
    const struct ctkd__network_info *const images = &p->input.images;
    const size_t workers = ctkd__workers_count(p->engine.workers);
    p->workers = calloc(workers, sizeof *p->workers);
    p->slots = calloc(p->batch, sizeof *p->slots);
    p->x = calloc(p->batch * images->channels * images->height * images->width, sizeof *p->x);
    p->logits = calloc(p->batch * p->network->info.classes, sizeof *p->logits);
    if (!p->workers || !p->slots || !p->x || !p->logits)
        status = ctkd__fail(err, CTKD_ENOMEM, "predict: out of memory for batches of %zu images",
                            p->batch);
    for (size_t i = 0; i < workers && status == CTKD_OK; i++)
        status = open_worker(config, &p->input, &p->workers[i], err);
    if (status != CTKD_OK)
        goto fail;
    if (p->network->note[0])
        snprintf(note, CTKD__NOTE_BYTES, "%s", p->network->note);
    *out = p;
    return CTKD_OK;
fail:
    ctkd__predictor_close(p);
    return status;
}

const struct ctkd__engine *ctkd__predictor_engine(const struct ctkd__predictor *predictor)
{
    return &predictor->engine;
}

void ctkd__predictor_close(struct ctkd__predictor *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->workers && i < ctkd__workers_count(p->engine.workers); i++) {
        ctkd__viewer_destroy(p->workers[i].viewer);
        ctkd__picture_reader_destroy(p->workers[i].reader);
        ctkd__resizer_destroy(p->workers[i].resizer);
        free(p->workers[i].planes);
    }
    free(p->workers);
    free(p->slots);
    free(p->x);
    free(p->logits);
    ctkd__teacher_close(p->network);
    ctkd__engine_close(&p->engine);
    free(p);
}

size_t ctkd__predictor_classes(const struct ctkd__predictor *p)
{
    return p->network->info.classes;
}

const char *ctkd__predictor_class(const struct ctkd__predictor *p, size_t label, char text[24])
{
    if (p->names)
        return p->names->items[label];
    snprintf(text, 24, "%zu", label);
    return text;
}

/* --- a batch */

struct picture_batch {
    struct ctkd__predictor *predictor;
    const struct ctkd__pictures *pictures;
    size_t first, count;
    atomic_size_t next; /* slot that no worker has taken */
};

/* The bytes of the view, [3][height][width]. */
static ctkd_status read_planes(const struct input *in, const struct worker *worker,
                               const struct ctkd__picture_file *file, ctkd_error *err)
{
    const struct ctkd__box window = { 0, 0, in->width, in->height };
    struct ctkd__picture picture;
    if (in->resize)
        return ctkd__viewer_evaluation(worker->viewer, file, worker->planes, err);
    const ctkd_status status = ctkd__picture_decode(worker->reader, file, NULL, &picture, err);
    if (status != CTKD_OK)
        return status;
    return ctkd__resize(worker->resizer, &picture, in->width, in->height, &window, false,
                        worker->planes) == CTKD_OK
               ? CTKD_OK
               : ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->name);
}

/* ITU-R 601 luma, rounded as Pillow's convert("L") does, so that a grey picture keeps its
   values. */
static void make_grey(uint8_t *planes, size_t plane)
{
    for (size_t i = 0; i < plane; i++)
        planes[i] = (uint8_t)((19595u * planes[i] + 38470u * planes[plane + i] +
                               7471u * planes[2 * plane + i] + 0x8000u) >>
                              16);
}

static void normalise(const struct input *in, const uint8_t *planes, float *x)
{
    const struct ctkd__network_info *const images = &in->images;
    const struct ctkd__view view = { .top = -(ptrdiff_t)((images->height - in->height) / 2),
                                     .left = -(ptrdiff_t)((images->width - in->width) / 2) };
    for (size_t c = 0; c < images->channels; c++)
        ctkd__view_plane(planes + (in->grey ? 0 : c * in->height * in->width), in->height,
                         in->width, &view, in->tables[c], images->height, images->width,
                         x + c * images->height * images->width);
}

static void fill_slot(const struct picture_batch *batch, const struct worker *worker, size_t i)
{
    struct ctkd__predictor *const p = batch->predictor;
    const struct ctkd__network_info *const images = &p->input.images;
    struct picture_slot *const slot = &p->slots[i];
    struct ctkd__tree_bytes bytes = { 0 };
    ctkd__pictures_place(batch->pictures, batch->first + i, slot->place, sizeof slot->place);
    slot->status = ctkd__pictures_read(batch->pictures, batch->first + i, &bytes, &slot->err);
    if (slot->status == CTKD_OK) {
        const struct ctkd__picture_file file = { slot->place, bytes.bytes, bytes.size };
        slot->status = read_planes(&p->input, worker, &file, &slot->err);
    }
    float *const x = p->x + i * images->channels * images->height * images->width;
    if (slot->status == CTKD_OK) {
        if (p->input.grey)
            make_grey(worker->planes, p->input.height * p->input.width);
        normalise(&p->input, worker->planes, x);
    } else { /* goes through the network with the others; its logits are not reported */
        memset(x, 0, images->channels * images->height * images->width * sizeof *x);
    }
    ctkd__tree_bytes_free(&bytes);
}

static void fill_slots(void *context, size_t worker)
{
    struct picture_batch *const batch = context;
    for (size_t i; (i = atomic_fetch_add(&batch->next, 1)) < batch->count;)
        fill_slot(batch, &batch->predictor->workers[worker], i);
}

static bool all_finite(size_t n, const float *values)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static ctkd_status tell(const struct ctkd__predictor *p, size_t i, ctkd__predicted predicted,
                        void *context, ctkd_error *err)
{
    const struct picture_slot *const slot = &p->slots[i];
    const size_t classes = p->network->info.classes;
    const bool read = slot->status == CTKD_OK;
    const struct ctkd__prediction prediction = { .place = slot->place,
                                                 .unread = read ? NULL : slot->err.message,
                                                 .logits = read ? p->logits + i * classes : NULL };
    if (slot->status == CTKD_ENOMEM) /* not the file's fault */
        return ctkd__fail(err, CTKD_ENOMEM, "%s", slot->err.message);
    if (read && !all_finite(classes, prediction.logits))
        return ctkd__fail(err, CTKD_ENAN, "%s: %s: a logit is not finite", p->network->file,
                          slot->place);
    return predicted(context, &prediction, err);
}

ctkd_status ctkd__predictor_run(struct ctkd__predictor *p, const struct ctkd__pictures *pictures,
                                ctkd__predicted predicted, void *context, ctkd_error *err)
{
    const size_t total = ctkd__pictures_count(pictures);
    for (size_t first = 0; first < total; first += p->batch) {
        struct picture_batch batch = { .predictor = p,
                                       .pictures = pictures,
                                       .first = first,
                                       .count =
                                           total - first < p->batch ? total - first : p->batch };
        ctkd__workers_run(p->engine.workers, fill_slots, &batch);
        ctkd_status status = ctkd__teacher_forward_evaluation(
            p->network, batch.count, ctkd__batch_images_of(p->x), p->logits, err);
        for (size_t i = 0; i < batch.count && status == CTKD_OK; i++)
            status = tell(p, i, predicted, context, err);
        if (status != CTKD_OK)
            return status;
    }
    return CTKD_OK;
}

void ctkd__rank_classes(size_t classes, const float *logits, size_t n, struct ctkd__ranked *out)
{
    double most = (double)logits[0], sum = 0;
    for (size_t k = 1; k < classes; k++)
        most = fmax(most, (double)logits[k]);
    for (size_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - most);
    for (size_t k = 0, ranked = 0; k < classes; k++) { /* insertion; n is small */
        const double probability = exp((double)logits[k] - most) / sum;
        size_t at = ranked < n ? ranked++ : n;
        for (; at > 0 && out[at - 1].probability < probability; at--)
            if (at < n)
                out[at] = out[at - 1];
        if (at < n)
            out[at] = (struct ctkd__ranked){ k, probability };
    }
}
