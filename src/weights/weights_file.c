#include "weights/weights_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/manifest.h"
#include "util/error.h"
#include "util/sha256.h"
#include "weights/normalisation.h"

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

/* Some models divide by 255 in their own code and have constants for pixels of 0 to 255. */
static void question_normalisation(struct ctkd__weights_file *file)
{
    struct ctkd__network_info *const info = &file->info;
    if (info->has_normalisation)
        (void)ctkd__normalisation_question(info->channels, info->mean, info->std, file->note,
                                           sizeof file->note);
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
    const ctkd_status status = file->format->import(file, true, err);
    if (status == CTKD_OK)
        question_normalisation(file);
    return status;
}

bool ctkd__weights_are_checkpoint(const struct ctkd__tensors *tensors)
{
    const char *const format = ctkd__tensors_get(tensors, "format");
    return format && strncmp(format, "ctkd checkpoint", 15) == 0;
}

static ctkd_status read_tensors(struct ctkd__weights_file *file, const char *wanted,
                                ctkd_error *err)
{
    if (wanted[0] && !file->format->holds_sets) /* the graph itself has the constants */
        return ctkd__fail(
            err, CTKD_EINVAL,
            "%s: found weights '%.60s', but %s has a single set of weights without a name",
            file->path, wanted, file->format->noun);
    ctkd_status status = file->format->read(file, wanted, err);
    if (status == CTKD_OK)
        status = ctkd__network_info_get(file->model ? &file->model->initialisers : &file->tensors,
                                        file->path, &file->info, err);
    if (status == CTKD_OK && file->model)
        status = file->format->import(file, false, err);
    if (status == CTKD_OK)
        question_normalisation(file);
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

/* A file that does not say what it is may be a widely used published one. */
static ctkd_status take_known(struct ctkd__weights_file *file, ctkd_error *err)
{
    static const float mean[] = { 0.485f, 0.456f, 0.406f }, std[] = { 0.229f, 0.224f, 0.225f };
    struct ctkd__network_info *const info = &file->info;
    char sha256[CTKD__SHA256_DIGITS + 1];
    size_t bytes = 0;
    for (size_t i = 0; i < file->tensors.count; i++)
        bytes += file->tensors.items[i].bytes;
    if (info->network[0] || bytes < ctkd__known_file_bytes_min)
        return CTKD_OK;
    const ctkd_status status = ctkd__sha256_file(file->path, sha256, err);
    if (status != CTKD_OK)
        return status;
    file->known = ctkd__known_file_find(sha256);
    if (!file->known)
        return CTKD_OK;
    snprintf(info->network, sizeof info->network, "%s", file->known->network);
    info->channels = 3;
    info->has_normalisation = true;
    memcpy(info->mean, mean, sizeof mean);
    memcpy(info->std, std, sizeof std);
    return CTKD_OK;
}

void ctkd__weights_file_note(const struct ctkd__weights_file *file, char note[CTKD__NOTE_BYTES])
{
    char text[CTKD__NOTE_BYTES];
    if (!file->known)
        return;
    ctkd__known_file_text(file->known, text, sizeof text);
    ctkd__note_add(note, "%s", text);
}

size_t ctkd__weights_file_resize(const struct ctkd__weights_file *file, size_t side)
{
    if (file->known)
        return side == 224 ? (size_t)file->known->resize : 0;
    return file->info.height == side && file->info.width == side ? file->info.resize : 0;
}

void ctkd__weights_file_note_resize(const struct ctkd__weights_file *file, size_t side,
                                    size_t resize, char note[CTKD__NOTE_BYTES])
{
    const size_t own = ctkd__weights_file_resize(file, side);
    if (own && resize && own != resize)
        ctkd__note_add(note,
                       "here images are resized to %zu in evaluation: its own accuracy needs "
                       "data.resize=%zu",
                       resize, own);
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
        status = ctkd__weights_format_of_file(out->path, &out->format, err);
    /* Check the checksum first, so that the contents of a wrong file are never read. */
    struct ctkd__manifest manifest;
    if (status == CTKD_OK)
        status = ctkd__manifest_read(out->path, &manifest, err);
    if (status == CTKD_OK)
        status = read_tensors(out, wanted ? wanted : "", err);
    if (status == CTKD_OK)
        status = ctkd__tensors_widen(&out->tensors, err);
    if (status == CTKD_OK) /* oneDNN's ReLU would turn NaN into 0 and a score be plausible */
        status = ctkd__tensors_check_finite(out->path, &out->tensors, err);
    if (status == CTKD_OK && !out->model && out->tensors.count == 0)
        status = ctkd__fail(err, CTKD_EFORMAT, "%s: found no tensors, expected weights", out->path);
    if (status == CTKD_OK) {
        take_accuracy(out);
        take_manifest(out, &manifest);
        take_folder(out);
        status = take_known(out, err);
    }
    if (status != CTKD_OK)
        ctkd__weights_file_fini(out);
    return status;
}

/* --- the network of the weights */

/* The one network that fits. The folder's name chooses among several, and says what the weights
   should be when none fits: then the message can state the difference, or the tensors match by
   order if only names differ. */
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
        return ctkd__fail(
            err, CTKD_ENOTFOUND,
            "%s: the file does not name its network and fits none of `ctkd models`; set network",
            file->path);
    else
        return ctkd__fail(
            err, CTKD_EINVAL,
            "%s: the file does not name its network and fits %zu, such as %s and %s; set network",
            file->path, count, names[0], names[1]);
    return CTKD_OK;
}

/* Builds the graph of the network that info names. An imported model counts as that network only if
   all its tensors match (otherwise *out is NULL): one with folded batch norms does not. */
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
                                   guessed ? ", guessed from the folder's name" : "");
}

static ctkd_status find_graph(struct ctkd__weights_file *file, const char *network,
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
        guessed = true; /* taken only if all its tensors match that network's */
        snprintf(info->network, sizeof info->network, "%s", file->guess);
    }
    if (status == CTKD_OK && info->network[0])
        status = build_and_match(file, imported, guessed, out, note, err);
    if (status == CTKD_OK && guessed && *out)
        ctkd__note_add(note, "its network, %s, is guessed from the folder's name", info->network);
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

/* Whether these weights fit no network, or not the named one: another set may fit. */
static bool is_misfit(ctkd_status status)
{
    return status == CTKD_ESHAPE || status == CTKD_ENOTFOUND;
}

/* The first of the file's other sets that fits, read anew into *file. */
static ctkd_status try_other_sets(struct ctkd__weights_file *file, const char *network,
                                  const struct ctkd__model_args *sizes, struct ctkd__graph **out,
                                  char note[CTKD__NOTE_BYTES])
{
    const struct ctkd__sets sets = file->sets;
    ctkd_status status = CTKD_ESHAPE;
    for (size_t i = 0; i < sets.count && is_misfit(status); i++) {
        struct ctkd__weights_file other;
        if (i == sets.taken)
            continue;
        status = ctkd__weights_file_read_set(file->path, sets.items[i].name, &other, NULL);
        if (status == CTKD_OK)
            status = find_graph(&other, network, sizes, out, note, NULL);
        if (status != CTKD_OK) {
            ctkd__weights_file_fini(&other);
            continue;
        }
        other.sets.asked = false; /* so that the note mentions the choice */
        ctkd__weights_file_fini(file);
        *file = other;
        ctkd__note_add(note, "the weights of %s do not fit", sets.items[sets.taken].name);
    }
    return status;
}

ctkd_status ctkd__weights_file_graph(struct ctkd__weights_file *file, const char *network,
                                     const struct ctkd__model_args *sizes, struct ctkd__graph **out,
                                     char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    const struct ctkd__network_info info = file->info;
    const ctkd_status status = find_graph(file, network, sizes, out, note, err);
    if (!is_misfit(status) || file->sets.count < 2 || file->sets.asked)
        return status;
    const ctkd_error first = err ? *err : (ctkd_error){ 0 };
    const ctkd_status other = try_other_sets(file, network, sizes, out, note);
    if (other == CTKD_OK)
        return CTKD_OK;
    file->info = info;
    note[0] = '\0';
    if (err)
        *err = first;
    return other == CTKD_ENOMEM ? ctkd__fail(err, other, "%s: out of memory", file->path) : status;
}
