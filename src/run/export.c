#include "run/export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/run_config.h"
#include "ctkd/ctkd.h"
#include "io/jsonl.h"
#include "run/origin.h"
#include "util/error.h"
#include "util/file.h"
#include "util/names.h"
#include "util/run_files.h"
#include "util/sha256.h"
#include "weights/convert.h"

enum { PATH_BYTES = 1024 + 64 };

/* Files of an export, in the order in which they are written. */
enum export_file { WEIGHTS, NETWORK, DESCRIPTION, LABELS, CARD, N_FILES };
static const char *const file_names[N_FILES] = {
    [WEIGHTS] = "model.safetensors", [NETWORK] = "model.onnx", [DESCRIPTION] = "config.json",
    [LABELS] = "labels.txt",         [CARD] = "README.md",
};

/* What is known of the network while its files are written. */
struct exported {
    const char *run, *folder;
    const struct ctkd__export_options *options;
    struct ctkd__network_info info;
    size_t resize;                   /* as the weights say (ctkd__weights_file_resize) */
    struct ctkd__config *config;     /* of the run, or from the file's metadata */
    struct ctkd__json_rows *summary; /* of the run; NULL: no run, or one that has not ended */
};

static const char *path_of(const struct exported *e, enum export_file file, char *out)
{
    snprintf(out, PATH_BYTES, "%s/%s", e->folder, file_names[file]);
    return out;
}

bool ctkd__export_timm_has(const char *network)
{
    static const char *const names[] = { "resnet18",       "resnet34",  "resnet50",
                                         "resnet101",      "resnet152", "wide_resnet50_2",
                                         "resnext50_32x4d" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(network, names[i]) == 0)
            return true;
    return false;
}

/* --- weights and network */

static ctkd_status convert(const struct exported *e, enum export_file file, bool normalises,
                           char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__convert_options options;
    const struct ctkd__section section = { "", ctkd__convert_table, &options, NULL };
    const struct ctkd__sections sections = { &section, 1, NULL };
    ctkd_status status = ctkd__sections_defaults(sections, err);
    options.normalise = normalises;
    if (status == CTKD_OK)
        status = ctkd__convert(e->run, path_of(e, file, path), &options, note, err);
    ctkd__sections_fini(sections);
    return status;
}

/* --- config.json */

/* timm's crop_pct: the side of the view over that of the resized image from which it is cropped; 1
   for images that are not cropped. timm divides the side by it and cuts off the fraction: digits
   that are left out here must not make the quotient smaller. */
static double crop_share(const struct exported *e)
{
    const double size = (double)e->info.height;
    const double resize = (double)(e->resize ? e->resize : (size_t)e->config->data.resize);
    if (resize <= size || size <= 0)
        return 1;
    const double share = floor(1e6 * size / resize) / 1e6;
    return floor(size / share) < resize ? share - 1e-6 : share;
}

static void write_description(const struct exported *e, FILE *out, ctkd_error *err,
                              ctkd_status *status)
{
    const struct ctkd__network_info *const info = &e->info;
    const int64_t input[] = { (int64_t)info->channels, (int64_t)info->height,
                              (int64_t)info->width };
    const bool timm = ctkd__export_timm_has(info->network);
    struct ctkd__jsonl json = { .stream = out };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "architecture", timm ? info->network : "");
    ctkd__jsonl_integer(&json, "num_classes", (int64_t)info->classes);
    ctkd__jsonl_object_begin(&json, "pretrained_cfg");
    ctkd__jsonl_integers(&json, "input_size", input, 3);
    ctkd__jsonl_string(&json, "interpolation", "bilinear");
    ctkd__jsonl_number(&json, "crop_pct", crop_share(e));
    ctkd__jsonl_string(&json, "crop_mode", "center");
    if (info->has_normalisation) {
        ctkd__jsonl_numbers(&json, "mean", info->mean, info->channels);
        ctkd__jsonl_numbers(&json, "std", info->std, info->channels);
    }
    ctkd__jsonl_integer(&json, "num_classes", (int64_t)info->classes);
    if (timm) {
        ctkd__jsonl_string(&json, "first_conv", "conv1");
        ctkd__jsonl_string(&json, "classifier", "fc");
    }
    ctkd__jsonl_object_end(&json);
    if (info->class_names)
        ctkd__jsonl_strings(&json, "label_names", info->class_names->items,
                            info->class_names->count);
    ctkd__jsonl_object_begin(&json, "ctkd");
    ctkd__jsonl_string(&json, "network", info->network);
    ctkd__jsonl_string(&json, "dataset", info->dataset);
    ctkd__jsonl_string(&json, "version", CTKD_VERSION_STRING);
    ctkd__jsonl_object_end(&json);
    *status = ctkd__jsonl_end(&json, err);
}

/* --- the card */

static void write_row(FILE *out, const char *name, const char *text, double number, int digits,
                      const char *unit)
{
    if (text && text[0])
        fprintf(out, "| %s | %s |\n", name, text);
    else if (!text && isfinite(number))
        fprintf(out, "| %s | %.*f%s |\n", name, digits, number, unit);
}

static const char *summary_text(const struct exported *e, const char *key)
{
    const char *const text = e->summary ? ctkd__json_rows_string(e->summary, 0, key) : NULL;
    return text ? text : "";
}

static double summary_number(const struct exported *e, const char *key)
{
    return e->summary ? ctkd__json_rows_number(e->summary, 0, key) : (double)NAN;
}

static void write_facts(const struct exported *e, FILE *out)
{
    const struct ctkd__network_info *const info = &e->info;
    char size[64];
    snprintf(size, sizeof size, "%zu x %zu x %zu", info->channels, info->height, info->width);
    fputs("| | |\n|---|---|\n", out);
    write_row(out, "network", info->network, 0, 0, "");
    write_row(out, "trained on", info->dataset, 0, 0, "");
    write_row(out, "classes", NULL, (double)info->classes, 0, "");
    write_row(out, "input (channels x height x width)", size, 0, 0, "");
    write_row(out, "parameters", NULL, summary_number(e, "parameters"), 0, "");
    write_row(out, "top-1 on test images", NULL,
              info->has_top1 ? info->top1 : summary_number(e, "top1"), 2, " %");
    write_row(out, "top-5 on test images", NULL, summary_number(e, "top5"), 2, " %");
    write_row(out, "test images", NULL, summary_number(e, "n"), 0, "");
    write_row(out, "method", summary_text(e, "method"), 0, 0, "");
    write_row(out, "temperature", summary_text(e, "temperature"), 0, 0, "");
    write_row(out, "teacher", summary_text(e, "teacher"), 0, 0, "");
    write_row(out, "teacher's top-1", NULL, summary_number(e, "teacher_top1"), 2, " %");
    write_row(out, "epochs", NULL, summary_number(e, "epochs"), 0, "");
    write_row(out, "seed", NULL, summary_number(e, "seed"), 0, "");
}

static void write_use(const struct exported *e, FILE *out)
{
    fputs("\n## Use\n\n", out);
    if (e->options->plain)
        fputs("`model.onnx` takes normalised images, (pixel / 255 - mean) / std per channel, as "
              "float32 [n][channels][height][width].\n",
              out);
    else
        fputs("`model.onnx` takes pixels / 255 as float32 [n][channels][height][width] and "
              "normalises them itself.\n",
              out);
    if (e->info.has_normalisation) {
        fputs("\nMean and deviation per channel:", out);
        for (size_t c = 0; c < e->info.channels; c++)
            fprintf(out, "%s %.6g / %.6g", c ? "," : "", (double)e->info.mean[c],
                    (double)e->info.std[c]);
        fputs(".\n", out);
    }
    if (ctkd__export_timm_has(e->info.network))
        fputs("\n```python\nimport timm\nmodel = timm.create_model(\"local-dir:THIS_FOLDER\", "
              "pretrained=True)\n```\n",
              out);
}

static ctkd_status write_provenance(const struct exported *e, FILE *out, ctkd_error *err)
{
    char path[PATH_BYTES], sum[CTKD__SHA256_DIGITS + 1];
    fprintf(out,
            "\n## Provenance\n\nExported by ctkd %s from `%s`.\n\n| file | SHA-256 |\n|---|---|\n",
            CTKD_VERSION_STRING, e->run);
    for (enum export_file file = WEIGHTS; file <= NETWORK; file++) {
        const ctkd_status status = ctkd__sha256_file(path_of(e, file, path), sum, err);
        if (status != CTKD_OK)
            return status;
        fprintf(out, "| `%s` | `%s` |\n", file_names[file], sum);
    }
    return CTKD_OK;
}

static ctkd_status write_settings(const struct exported *e, FILE *out)
{
    if (!e->summary)
        return CTKD_OK;
    fprintf(out, "\nThe run was made by `ctkd %s` with this configuration:\n\n```yaml\n",
            summary_text(e, "command"));
    ctkd__sections_write_yaml(ctkd__config_sections(e->config), out);
    fputs("```\n", out);
    return CTKD_OK;
}

/* --- files */

static ctkd_status write_text(const struct exported *e, enum export_file file, ctkd_error *err)
{
    char path[PATH_BYTES];
    struct ctkd__new_file out;
    ctkd_status status = ctkd__new_file_open(&out, path_of(e, file, path), err);
    if (status != CTKD_OK)
        return status;
    if (file == DESCRIPTION)
        write_description(e, out.stream, err, &status);
    else if (file == LABELS)
        fputs(e->info.class_names->text, out.stream);
    else {
        fprintf(out.stream, "# %s on %s\n\n", e->info.network, e->info.dataset);
        write_facts(e, out.stream);
        write_use(e, out.stream);
        status = write_provenance(e, out.stream, err);
        if (status == CTKD_OK)
            status = write_settings(e, out.stream);
    }
    if (status == CTKD_OK)
        return ctkd__new_file_commit(&out, err);
    ctkd__new_file_abandon(&out);
    return status;
}

static ctkd_status write_file(const struct exported *e, enum export_file file,
                              char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    char unused[CTKD__NOTE_BYTES];
    if (file == WEIGHTS)
        return convert(e, file, false, note, err);
    if (file == NETWORK)
        return convert(e, file, !e->options->plain, unused, err);
    return file == LABELS && !e->info.class_names ? CTKD_OK : write_text(e, file, err);
}

/* Removes the files before `end`, which this export has written, unless they replaced others. */
static void take_back(const struct exported *e, enum export_file end, bool folder_is_new)
{
    char path[PATH_BYTES];
    if (e->options->replaces)
        return;
    for (enum export_file file = WEIGHTS; file < end; file++)
        unlink(path_of(e, file, path));
    if (folder_is_new)
        rmdir(e->folder);
}

static ctkd_status write_files(const struct exported *e, bool folder_is_new,
                               char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    for (enum export_file file = WEIGHTS; file < N_FILES; file++) {
        const ctkd_status status = write_file(e, file, note, err);
        if (status != CTKD_OK) {
            take_back(e, file, folder_is_new);
            return status;
        }
    }
    return CTKD_OK;
}

static ctkd_status check_folder(const struct exported *e, bool *is_new, ctkd_error *err)
{
    char path[PATH_BYTES];
    *is_new = access(e->folder, F_OK) != 0;
    if (strlen(e->folder) >= 1024)
        return ctkd__fail(err, CTKD_EINVAL, "%s: the name has %zu bytes, expected at most 1023",
                          e->folder, strlen(e->folder));
    for (enum export_file file = WEIGHTS; file < N_FILES && !e->options->replaces; file++)
        if (access(path_of(e, file, path), F_OK) == 0)
            return ctkd__fail(err, CTKD_EEXIST, "%s is there already; --force replaces it", path);
    return ctkd__folders_create(e->folder, err);
}

static ctkd_status read_origin(struct exported *e, char note[CTKD__NOTE_BYTES], ctkd_error *err)
{
    struct ctkd__weights_file weights;
    char path[PATH_BYTES];
    ctkd_status status = ctkd__weights_file_read(e->run, &weights, err);
    if (status != CTKD_OK)
        return status;
    e->info = weights.info;
    e->resize = ctkd__weights_file_resize(&weights, weights.info.height);
    snprintf(note, CTKD__NOTE_BYTES, "%s", weights.note);
    ctkd__weights_file_fini(&weights);
    status = ctkd__config_create(&e->config, err);
    if (status == CTKD_OK)
        status = ctkd__origin_configure(e->run, e->config, note, err);
    if (status == CTKD_OK && ctkd__run_file_exists(e->run, CTKD__RUN_SUMMARY))
        status = ctkd__jsonl_read(ctkd__run_file_path(e->run, CTKD__RUN_SUMMARY, path, sizeof path),
                                  &e->summary, err);
    return status;
}

ctkd_status ctkd__export(const char *run, const char *folder,
                         const struct ctkd__export_options *options, char note[CTKD__NOTE_BYTES],
                         ctkd_error *err)
{
    struct exported e = { .run = run, .folder = folder, .options = options };
    bool folder_is_new = false;
    note[0] = '\0';
    ctkd_status status = read_origin(&e, note, err);
    if (status == CTKD_OK)
        status = check_folder(&e, &folder_is_new, err);
    if (status == CTKD_OK)
        status = write_files(&e, folder_is_new, note, err);
    ctkd__json_rows_destroy(e.summary);
    if (e.config)
        ctkd__config_destroy(e.config);
    return status;
}
