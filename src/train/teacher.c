#include "train/teacher.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "train/class_columns.h"
#include "train/normalisation_trials.h"
#include "util/error.h"
#include "util/slice.h"
#include "util/text.h"
#include "weights/match.h"

static ctkd_status expect_side(const struct ctkd__teacher *teacher, const char *what, size_t found,
                               size_t expected, const char *dataset, ctkd_error *err)
{
    if (found == 0 || found == expected)
        return CTKD_OK;
    const struct ctkd__dataset_def *const def = ctkd__dataset_find(dataset);
    return ctkd__fail(err, CTKD_ESHAPE,
                      "%s: found a network of %zu %s, but the images of %s have %zu (%s)",
                      teacher->file, found, what, dataset, expected,
                      def && def->in_files ? "data.size changes them"
                                           : "data.channels and data.pad_to change them");
}

/* A network of another number of classes than the data; of more, those of the data can be chosen
   by name. */
static ctkd_status refuse_classes(const struct ctkd__teacher *teacher, size_t classes,
                                  const struct ctkd__network_info *images, ctkd_error *err)
{
    const bool has_those = classes > images->classes && images->class_names;
    return ctkd__fail(err, CTKD_ESHAPE,
                      "%s: found a network of %zu classes, but data set %s has %zu%s",
                      teacher->file, classes, images->dataset, images->classes,
                      has_those ? "; teacher.classes=FILE with the names of all its outputs, one "
                                  "per line, uses those of the data alone"
                                : "");
}

static ctkd_status check_info(struct ctkd__teacher *teacher, const struct ctkd__teacher_args *args,
                              ctkd_error *err)
{
    const struct ctkd__network_info *info = &teacher->info;
    const struct ctkd__network_info *images = args->images;
    const char *set = images->dataset;
    const bool more = args->classes_max > images->classes;
    if (more && info->classes > args->classes_max)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "%s: found a network of %zu classes, but the labels of %s are of %zu "
                          "classes and allow %zu at most, expected a network of %zu classes, such "
                          "as this one with a new last layer",
                          teacher->file, info->classes, set, images->classes, args->classes_max,
                          images->classes);
    if (info->classes != 0 && info->classes != images->classes &&
        !(more && info->classes > images->classes))
        return refuse_classes(teacher, info->classes, images, err);
    ctkd_status status =
        expect_side(teacher, "channels", info->channels, images->channels, set, err);
    if (status == CTKD_OK)
        status = expect_side(teacher, "rows", info->height, images->height, set, err);
    if (status == CTKD_OK)
        status = expect_side(teacher, "columns", info->width, images->width, set, err);
    return status;
}

const char *ctkd__source_text(enum ctkd__source source)
{
    static const char *const texts[] = { "as the file says", "the data set's",
                                         "as teacher.mean and .std say" };
    return texts[source];
}

/* x_own = (x * std + mean - mean_own) / std_own */
static ctkd_status rescale_to_own(struct ctkd__teacher *teacher,
                                  const struct ctkd__network_info *images, ctkd_error *err)
{
    const struct ctkd__network_info *const info = &teacher->info;
    teacher->rescales = false;
    for (size_t c = 0; c < info->channels; c++) {
        const double mean = (double)images->mean[c], std = (double)images->std[c];
        teacher->scale[c] = (float)(std / (double)info->std[c]);
        teacher->shift[c] = (float)((mean - (double)info->mean[c]) / (double)info->std[c]);
        if (!isfinite(teacher->scale[c]) || !isfinite(teacher->shift[c]))
            return ctkd__fail(
                err, CTKD_ERANGE,
                "%s: mean %g and deviation %g give values that exceed the range of a float",
                teacher->file, (double)info->mean[c], (double)info->std[c]);
        teacher->rescales |= info->mean[c] != images->mean[c] || info->std[c] != images->std[c];
    }
    if (!teacher->rescales || teacher->x)
        return CTKD_OK;
    const size_t image = info->channels * info->height * info->width;
    teacher->x = malloc(teacher->batch_max * image * sizeof *teacher->x);
    return teacher->x ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", teacher->file);
}

/* Refuses constants for pixels of 0 to 255 and suggests those for 0 to 1. A file with such
   constants is accepted with a note, but keys of the configuration are easy to correct. */
static ctkd_status check_given(const struct ctkd__network_info *info, ctkd_error *err)
{
    float mean[CTKD__CHANNELS_MAX], std[CTKD__CHANNELS_MAX];
    char note[CTKD__NOTE_BYTES];
    for (size_t c = 0; c < info->channels; c++)
        if (!(info->std[c] > 0))
            return ctkd__fail(err, CTKD_ERANGE, "teacher.std: found %g, expected above 0",
                              (double)info->std[c]);
    memcpy(mean, info->mean, sizeof mean);
    memcpy(std, info->std, sizeof std);
    if (ctkd__normalisation_question(info->channels, mean, std, note, sizeof note) !=
        CTKD__PIXELS_BYTES)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_ERANGE,
                      "teacher.mean, teacher.std: found %g and %g, expected those of pixels from 0 "
                      "to 1; did you mean %.4g and %.4g?",
                      (double)info->mean[0], (double)info->std[0], (double)mean[0], (double)std[0]);
}

ctkd_status ctkd__teacher_normalise(struct ctkd__teacher *teacher,
                                    const struct ctkd__network_info *images, const char *mean,
                                    const char *std, ctkd_error *err)
{
    struct ctkd__network_info *const info = &teacher->info;
    ctkd_status status = ctkd__text_floats("teacher.mean", mean, info->channels, info->mean, err);
    if (status == CTKD_OK)
        status = ctkd__text_floats("teacher.std", std, info->channels, info->std, err);
    if (status == CTKD_OK && (mean[0] || std[0])) {
        teacher->normalisation_source = CTKD__SOURCE_KEYS;
        status = check_given(info, err);
    }
    return status == CTKD_OK ? rescale_to_own(teacher, images, err) : status;
}

void ctkd__teacher_restore(struct ctkd__teacher *teacher, const struct ctkd__network_info *images,
                           const struct ctkd__network_info *info,
                           enum ctkd__source normalisation_source)
{
    memcpy(teacher->info.mean, info->mean, sizeof info->mean);
    memcpy(teacher->info.std, info->std, sizeof info->std);
    teacher->normalisation_source = normalisation_source;
    /* It cannot fail: this normalisation was in use before, and its buffer is still allocated. */
    (void)!rescale_to_own(teacher, images, NULL);
}

static ctkd_status set_normalisation(struct ctkd__teacher *teacher,
                                     const struct ctkd__teacher_args *args, ctkd_error *err)
{
    struct ctkd__network_info *const info = &teacher->info;
    if (!info->has_normalisation) {
        memcpy(info->mean, args->images->mean, sizeof info->mean);
        memcpy(info->std, args->images->std, sizeof info->std);
        info->has_normalisation = true;
        teacher->normalisation_source = CTKD__SOURCE_DATA;
    }
    return ctkd__teacher_normalise(teacher, args->images, args->mean, args->std, err);
}

static ctkd_status import(struct ctkd__teacher *teacher, const struct ctkd__tensors *tensors,
                          const struct ctkd__engine *engine, ctkd_error *err)
{
    ctkd_status status =
        ctkd__weights_create(teacher->graph, engine->kernels->block, &teacher->weights, err);
    if (status == CTKD_OK)
        status = ctkd__weights_import(teacher->weights, tensors, err);
    if (status != CTKD_OK)
        ctkd__fail_within(err, status, "%s (%s)", teacher->file, teacher->info.network);
    return status;
}

/* Compiles the program, replacing an earlier one: which values are kept decides what can be
   fused. */
static ctkd_status compile_with_taps(struct ctkd__teacher *teacher, const int *nodes, size_t count,
                                     const struct ctkd__engine *engine, ctkd_error *err)
{
    struct ctkd__inference_config config = ctkd__engine_inference(engine, teacher->role);
    struct ctkd__inference *inference;
    config.dist = engine->pass_dist;
    config.slices = engine->slices;
    config.outputs = nodes;
    config.n_outputs = count;
    ctkd_status status = ctkd__inference_create(teacher->graph, &config, &inference, err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s (%s)", teacher->file, teacher->info.network);
    ctkd__inference_destroy(teacher->inference);
    teacher->inference = inference;
    status = ctkd__inference_load(inference, teacher->weights, err);
    return status == CTKD_OK ? status : ctkd__fail_within(err, status, "%s", teacher->file);
}

/* The number of classes of weights that do not state it: that of the data if some matrix has as
   many rows, else that of what looks like the classifier, if it is greater. */
static size_t classes_of_weights(const struct ctkd__tensors *tensors, size_t classes)
{
    size_t channels, found;
    for (size_t i = 0; i < tensors->count; i++)
        if (tensors->items[i].rank == 2 && tensors->items[i].shape[0] == (int64_t)classes)
            return classes;
    return ctkd__match_sizes(tensors, &channels, &found) && found > classes ? found : classes;
}

/* Matches the names of the network's outputs with the classes of the data. `images` gets the number
   of classes that the graph must have. */
static ctkd_status match_classes(struct ctkd__teacher *teacher,
                                 const struct ctkd__teacher_args *args,
                                 struct ctkd__network_info *images, ctkd_error *err)
{
    const struct ctkd__names *own = teacher->info.class_names, *const data = images->class_names;
    const bool given = args->classes && args->classes[0];
    ctkd_status status = given ? ctkd__names_of_file(args->classes, &own, err) : CTKD_OK;
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "teacher.classes");
    if (given && !data)
        return ctkd__fail(err, CTKD_EINVAL,
                          "teacher.classes: found '%s', but data set %s has no names of classes",
                          args->classes, images->dataset);
    if (given && teacher->info.classes && own->count != teacher->info.classes)
        return ctkd__fail(
            err, CTKD_ESHAPE,
            "teacher.classes: %s: found %zu names, expected %zu, one for each output of %s",
            args->classes, own->count, teacher->info.classes, teacher->file);
    if (!own || !data)
        return CTKD_OK;
    status = ctkd__class_columns(teacher->file, own, data, given, &teacher->columns, err);
    if (status != CTKD_OK || !teacher->columns)
        return status;
    teacher->own_classes = images->classes = own->count;
    teacher->own_logits = malloc(teacher->batch_max * own->count * sizeof *teacher->own_logits);
    return teacher->own_logits ? CTKD_OK
                               : ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", teacher->file);
}

/* Adds to the teacher's note how its outputs were matched with the classes. */
static void note_classes(struct ctkd__teacher *teacher, const struct ctkd__network_info *images)
{
    if (teacher->columns && teacher->own_classes > images->classes)
        ctkd__note_add(teacher->note, "%zu of its %zu outputs are the classes of the data by name",
                       images->classes, teacher->own_classes);
    else if (teacher->columns)
        ctkd__note_add(teacher->note, "its classes come in another order: outputs are matched by "
                                      "name");
    else if (images->class_names && images->class_names->count > 1 && !teacher->info.class_names)
        ctkd__note_add(teacher->note,
                       "it does not name its classes: output 0 is taken for %.40s, output 1 for "
                       "%.40s, and so on (teacher.classes names them)",
                       images->class_names->items[0], images->class_names->items[1]);
}

static ctkd_status find_graph(struct ctkd__teacher *teacher, const struct ctkd__teacher_args *args,
                              const struct ctkd__model_args *sizes, struct ctkd__weights_file *file,
                              ctkd_error *err)
{
    size_t channels, classes;
    const ctkd_status status =
        ctkd__weights_file_graph(file, args->network, sizes, &teacher->graph, teacher->note, err);
    if (status == CTKD_ESHAPE && !teacher->columns && args->images->class_names &&
        ctkd__match_sizes(&file->tensors, &channels, &classes) && classes > sizes->classes)
        return refuse_classes(teacher, classes, args->images, err);
    return status;
}

/* Reads the file and finds its graph; what the file leaves open is taken from the images. */
static ctkd_status read_network(struct ctkd__teacher *teacher,
                                const struct ctkd__teacher_args *args,
                                struct ctkd__weights_file *file, ctkd_error *err)
{
    struct ctkd__network_info images = *args->images;
    struct ctkd__teacher_args wanted = *args;
    wanted.images = &images;
    char key[32];
    snprintf(key, sizeof key, "%s.weights", args->role);
    ctkd_status status = ctkd__weights_file_read_set(args->path, args->weights, file, err);
    if (status != CTKD_OK) /* EINVAL: there is no such set */
        return status == CTKD_EINVAL ? ctkd__fail_within(err, status, "%s", key) : status;
    snprintf(teacher->file, sizeof teacher->file, "%s", file->path);
    teacher->info = file->info;
    status = match_classes(teacher, args, &images, err);
    struct ctkd__model_args sizes = { images.channels, images.height, images.width,
                                      images.classes };
    if (teacher->columns)
        wanted.classes_max = images.classes;
    else if (args->classes_max > images.classes)
        sizes.classes = classes_of_weights(&file->tensors, images.classes);
    if (status == CTKD_OK)
        status = check_info(teacher, &wanted, err);
    if (status == CTKD_OK)
        status = find_graph(teacher, &wanted, &sizes, file, err);
    char other[CTKD__NOTE_BYTES];
    ctkd__sets_text(&file->sets, key, other, sizeof other);
    if (status == CTKD_ESHAPE && other[0]) /* all sets of the file were tried */
        return ctkd__fail_within(err, status, "%s, but none of them fits", other);
    if (status != CTKD_OK)
        return status == CTKD_EINVAL || status == CTKD_ENOTFOUND
                   ? ctkd__fail_within(err, status, "%s.network", args->role)
                   : status;
    teacher->info = file->info;
    ctkd__weights_file_note(file, teacher->note);
    ctkd__weights_file_note_resize(file, images.height, images.resize, teacher->note);
    teacher->own_resize = ctkd__weights_file_resize(file, images.height);
    ctkd__note_sets(teacher->note, &file->sets, key);
    note_classes(teacher, args->images);
    status = check_info(teacher, &wanted, err); /* a model of free size says its classes only now */
    if (status == CTKD_OK && (teacher->columns || teacher->info.class_names == NULL)) {
        teacher->info.class_names = args->images->class_names;
        teacher->info.classes = teacher->columns ? args->images->classes : teacher->info.classes;
    }
    return status;
}

ctkd_status ctkd__teacher_open(const struct ctkd__teacher_args *args,
                               const struct ctkd__engine *engine, struct ctkd__teacher **out,
                               ctkd_error *err)
{
    *out = NULL;
    struct ctkd__weights_file file = { 0 };
    struct ctkd__teacher *teacher = calloc(1, sizeof *teacher);
    if (!teacher)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", args->path);
    teacher->role = args->role;
    teacher->batch_max = args->batch_max;
    teacher->dist = engine->dist;
    teacher->pass_dist = engine->pass_dist;
    ctkd_status status = read_network(teacher, args, &file, err);
    if (status == CTKD_OK)
        status = set_normalisation(teacher, args, err);
    if (status == CTKD_OK)
        status = import(teacher, &file.tensors, engine, err);
    if (status == CTKD_OK && !args->compiled_by_taps)
        status = compile_with_taps(teacher, NULL, 0, engine, err);
    ctkd__weights_file_fini(&file);
    if (status == CTKD_OK)
        *out = teacher;
    else
        ctkd__teacher_close(teacher);
    return status;
}

void ctkd__teacher_close(struct ctkd__teacher *teacher)
{
    if (!teacher)
        return;
    ctkd__inference_destroy(teacher->inference);
    ctkd__training_destroy(teacher->training);
    ctkd__weights_destroy(teacher->weights);
    ctkd__graph_destroy(teacher->graph);
    for (size_t i = 0; i < teacher->n_taps && teacher->tap_memory; i++)
        free(teacher->tap_memory[i]);
    free(teacher->tap_memory);
    free(teacher->tap_floats);
    free(teacher->taps);
    free(teacher->x);
    free(teacher->columns);
    free(teacher->own_logits);
    free(teacher);
}

static ctkd_status no_memory(const struct ctkd__teacher *teacher, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for features", teacher->file);
}

ctkd_status ctkd__teacher_keep_taps(struct ctkd__teacher *teacher, const int *nodes, size_t count,
                                    const struct ctkd__engine *engine, ctkd_error *err)
{
    if (count == 0)
        return teacher->inference ? CTKD_OK : compile_with_taps(teacher, NULL, 0, engine, err);
    teacher->n_taps = count;
    teacher->taps = calloc(count, sizeof *teacher->taps);
    teacher->tap_memory = calloc(count, sizeof *teacher->tap_memory);
    teacher->tap_floats = calloc(count, sizeof *teacher->tap_floats);
    if (!teacher->taps || !teacher->tap_memory || !teacher->tap_floats)
        return no_memory(teacher, err);
    for (size_t i = 0; i < count; i++) {
        const struct ctkd__node *const node = &teacher->graph->nodes[nodes[i]];
        teacher->tap_memory[i] =
            calloc(teacher->batch_max * node->c * node->h * node->w, sizeof(float));
        if (!teacher->tap_memory[i])
            return no_memory(teacher, err);
        teacher->taps[i] = teacher->tap_memory[i];
        teacher->tap_floats[i] = node->c * node->h * node->w;
    }
    return compile_with_taps(teacher, nodes, count, engine, err);
}

ctkd_status ctkd__teacher_use_batch_statistics(struct ctkd__teacher *teacher, const int *nodes,
                                               size_t count, const struct ctkd__engine *engine,
                                               ctkd_error *err)
{
    struct ctkd__training_config config =
        ctkd__engine_training(engine, teacher->role, teacher->batch_max);
    config.outputs = nodes;
    config.n_outputs = count;
    config.forward_only = true;
    const ctkd_status status =
        ctkd__training_create(teacher->graph, teacher->weights, &config, &teacher->training, err);
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s", teacher->file);
    teacher->n_taps = count;
    teacher->taps = calloc(count + 1, sizeof *teacher->taps);
    if (!teacher->taps)
        return no_memory(teacher, err);
    for (size_t i = 0; i < count; i++)
        teacher->taps[i] = ctkd__training_output(teacher->training, i);
    return CTKD_OK;
}

ctkd_status ctkd__teacher_protect(struct ctkd__teacher *teacher, ctkd_error *err)
{
    ctkd_status status = ctkd__inference_protect(teacher->inference, err);
    if (status == CTKD_OK)
        status = ctkd__weights_protect(teacher->weights, err);
    return status == CTKD_OK ? status : ctkd__fail_within(err, status, "%s", teacher->file);
}

/* The images first to end - 1 of a batch, which are this rank's. */
struct own_rows {
    size_t first, end;
};

static struct own_rows own_rows(const struct ctkd__dist *dist, size_t n)
{
    const size_t ranks = ctkd__dist_size(dist), rank = ctkd__dist_rank(dist);
    return (struct own_rows){ ctkd__slice_begin(n, ranks, rank),
                              ctkd__slice_begin(n, ranks, rank + 1) };
}

static void rescale(struct ctkd__teacher *teacher, struct own_rows own, const float *x)
{
    const size_t channels = teacher->info.channels;
    const size_t pixels = teacher->info.height * teacher->info.width;
    for (size_t plane = own.first * channels; plane < own.end * channels; plane++) {
        const float scale = teacher->scale[plane % channels];
        const float shift = teacher->shift[plane % channels];
        const float *restrict in = x + plane * pixels;
        float *restrict out = teacher->x + plane * pixels;
        for (size_t i = 0; i < pixels; i++)
            out[i] = in[i] * scale + shift;
    }
}

static void rescale_tables(struct ctkd__teacher *teacher, const float (*tables)[256])
{
    for (size_t c = 0; c < teacher->info.channels; c++)
        for (size_t v = 0; v < 256; v++)
            teacher->tables[c][v] = tables[c][v] * teacher->scale[c] + teacher->shift[c];
}

/* The batch with the normalisation that the teacher was trained with. */
static struct ctkd__batch_images own_view(struct ctkd__teacher *teacher, struct own_rows own,
                                          struct ctkd__batch_images x)
{
    if (!teacher->rescales)
        return x;
    if (!x.values) {
        rescale_tables(teacher, x.tables);
        return (struct ctkd__batch_images){ NULL, x.bytes, teacher->tables };
    }
    rescale(teacher, own, x.values);
    return ctkd__batch_images_of(teacher->x);
}

/* Where the network writes its logits: a buffer of its own if take_columns must pick the classes of
   the data from them. */
static float *own_room(const struct ctkd__teacher *teacher, float *logits)
{
    return teacher->columns ? teacher->own_logits : logits;
}

static void take_columns(const struct ctkd__teacher *teacher, struct own_rows own, float *logits)
{
    if (teacher->columns)
        ctkd__class_columns_take(own.end - own.first, teacher->own_classes, teacher->info.classes,
                                 teacher->columns,
                                 teacher->own_logits + own.first * teacher->own_classes,
                                 logits + own.first * teacher->info.classes);
}

ctkd_status ctkd__teacher_forward_evaluation(void *context, size_t n, struct ctkd__batch_images x,
                                             float *logits, ctkd_error *err)
{
    struct ctkd__teacher *const teacher = context;
    const struct ctkd__network_info *const info = &teacher->info;
    const struct own_rows own = own_rows(teacher->dist, n);
    /* The program finds this rank's rows by itself where the ranks share passes of a step, too. */
    const size_t first = teacher->pass_dist ? 0 : own.first;
    const size_t count = teacher->pass_dist ? n : own.end - own.first;
    if (count == 0)
        return CTKD_OK;
    const size_t classes = teacher->columns ? teacher->own_classes : info->classes;
    const struct ctkd__batch_images view = ctkd__batch_images_from(
        own_view(teacher, own, x), first * info->channels * info->height * info->width);
    const ctkd_status status = ctkd__inference_run_images(
        teacher->inference, count, view, own_room(teacher, logits) + first * classes, NULL, err);
    if (status == CTKD_OK)
        take_columns(teacher, own, logits);
    return status;
}

ctkd_status ctkd__teacher_forward_here(struct ctkd__teacher *teacher, size_t n,
                                       struct ctkd__batch_images x, float *logits, ctkd_error *err)
{
    const struct own_rows all = { 0, n };
    const ctkd_status status = ctkd__inference_run_here(
        teacher->inference, n, own_view(teacher, all, x), own_room(teacher, logits), err);
    if (status == CTKD_OK)
        take_columns(teacher, all, logits);
    return status;
}

ctkd_status ctkd__teacher_forward(struct ctkd__teacher *teacher, size_t n,
                                  struct ctkd__batch_images x, float *logits, ctkd_error *err)
{
    const struct own_rows own = own_rows(teacher->pass_dist, n);
    const struct ctkd__batch_images view = own_view(teacher, own, x);
    float *const room = own_room(teacher, logits);
    const ctkd_status status =
        teacher->training ? ctkd__training_forward_images(teacher->training, n, view, room, err)
                          : ctkd__inference_run_images(teacher->inference, n, view, room,
                                                       teacher->tap_memory, err);
    if (status == CTKD_OK)
        take_columns(teacher, own, logits);
    return status;
}

ctkd_status ctkd__teacher_share_tap(struct ctkd__teacher *teacher, size_t n, size_t index,
                                    ctkd_error *err)
{
    if (teacher->training)
        return ctkd__training_share_output(teacher->training, index, err);
    return ctkd__dist_gather_shares(teacher->pass_dist, n, teacher->tap_memory[index],
                                    teacher->tap_floats[index] * sizeof(float), err);
}

ctkd_status ctkd__teacher_check_top1(const struct ctkd__teacher *teacher, double top1,
                                     double expected, double tolerance, ctkd_error *err)
{
    const bool own = expected == 0 && teacher->info.has_top1;
    if (own)
        expected = teacher->info.top1;
    if (top1 >= expected - tolerance)
        return CTKD_OK;
    return ctkd__fail(err, CTKD_ERANGE,
                      "%s: found test top-1 %.2f %%, expected %.2f %% (%s) within %.2f points "
                      "(teacher.tolerance): wrong data, normalisation or weights; `ctkd check` "
                      "tries the usual normalisations",
                      teacher->file, top1, expected,
                      own ? "as the file says" : "teacher.expect_top1", tolerance);
}
