#include "cli/cli.h"

#include <stddef.h>
#include <string.h>

#include "io/jsonl.h"
#include "io/onnx.h"
#include "util/text.h"
#include "weights/weights_file.h"

enum { NETWORKS_MAX = 8, TEXT_MAX = 60 };

struct contents {
    struct ctkd__weights_file file;
    size_t elements, bytes;
    const char *networks[NETWORKS_MAX];
    size_t n_networks;
};

/* The tensors of the file. Those of an ONNX model of free size have not become parameters yet. */
static struct ctkd__tensors *tensors_of(struct contents *contents)
{
    struct ctkd__weights_file *const file = &contents->file;
    return file->model ? &file->model->initialisers : &file->tensors;
}

/* Whether the file is a run's last.ckpt, which holds no network in a readable form. */
static bool is_checkpoint(const struct contents *contents)
{
    return ctkd__weights_are_checkpoint(&contents->file.tensors);
}

static const char *format_of(const struct contents *contents)
{
    return is_checkpoint(contents) ? "checkpoint of a run (--resume continues from it)"
                                   : contents->file.format->title;
}

static ctkd_status read_contents(const char *path, const char *weights, struct contents *out,
                                 ctkd_error *err)
{
    *out = (struct contents){ 0 };
    ctkd_status status = ctkd__weights_file_read_set(path, weights, &out->file, err);
    if (status != CTKD_OK)
        return status;
    struct ctkd__tensors *const tensors = tensors_of(out);
    for (size_t i = 0; i < tensors->count; i++) {
        out->elements += ctkd__tensor_elements(&tensors->items[i]);
        out->bytes += tensors->items[i].bytes;
    }
    if (!is_checkpoint(out)) {
        status = ctkd__match_strip(tensors, err);
        if (status == CTKD_OK)
            status =
                ctkd__match_networks(tensors, NETWORKS_MAX, out->networks, &out->n_networks, err);
    }
    if (status != CTKD_OK)
        ctkd__weights_file_fini(&out->file);
    return status;
}

/* For a model whose images may have any size: prints a letter for each free dimension. */
static void print_free(const struct ctkd__network_info *info)
{
    const size_t sizes[3] = { info->channels, info->height, info->width };
    printf("  says       ");
    if (info->classes)
        printf("%zu classes, ", info->classes);
    printf("images ");
    for (int i = 0; i < 3; i++)
        if (sizes[i])
            printf("%s%zu", i ? "x" : "", sizes[i]);
        else
            printf("%s%c", i ? "x" : "", "CHW"[i]);
    printf(", any size for a letter\n");
}

static void print_known(const struct ctkd__known_file *known)
{
    char text[CTKD__NOTE_BYTES];
    ctkd__known_file_text(known, text, sizeof text);
    printf("  known      %s\n", text);
}

static void print_info(const struct contents *contents)
{
    const struct ctkd__network_info *const info = &contents->file.info;
    if (info->network[0])
        printf("  says       network %s\n", info->network);
    if (info->dataset[0])
        printf("  says       trained on %s\n", info->dataset);
    if (contents->file.model)
        print_free(info);
    else if (info->classes && info->height && info->width)
        printf("  says       %zu classes, images %zux%zux%zu\n", info->classes, info->channels,
               info->height, info->width);
    else if (info->classes)
        printf("  says       %zu classes, %zu channel%s, images of any size\n", info->classes,
               info->channels, info->channels == 1 ? "" : "s");
    for (size_t c = 0; info->has_normalisation && c < info->channels; c++)
        printf("  says       channel %zu: mean %.6g, deviation %.6g\n", c, (double)info->mean[c],
               (double)info->std[c]);
    if (contents->file.note[0])
        printf("  guessed    %s\n", contents->file.note);
    if (info->has_top1)
        printf("  says       top-1 %.2f %%\n", info->top1);
}

static void print_text(struct contents *contents)
{
    const struct ctkd__tensors *tensors = tensors_of(contents);
    printf("%s\n  format     %s\n  tensors    %zu, %zu values, %zu bytes\n", contents->file.path,
           format_of(contents), tensors->count, contents->elements, contents->bytes);
    const struct ctkd__sets *const sets = &contents->file.sets;
    for (size_t i = 0; i < sets->count && (sets->count > 1 || sets->items[0].name[0]); i++)
        printf("  weights    %s, %zu tensors%s\n", sets->items[i].name, sets->items[i].count,
               i == sets->taken ? ", shown here" : " (weights=NAME takes them)");
    if (contents->file.verified)
        printf("  SHA-256    that of the file beside it\n");
    print_info(contents);
    if (contents->file.known)
        print_known(contents->file.known);
    if (contents->file.guess[0])
        printf("  guess      network %s, by the folder's name\n", contents->file.guess);
    for (size_t i = 0; i < contents->n_networks; i++)
        printf("  fits       %s\n", contents->networks[i]);
    size_t channels, classes;
    if (contents->n_networks && ctkd__match_sizes(tensors, &channels, &classes))
        printf("  for        %zu channel%s, %zu classes\n", channels, channels == 1 ? "" : "s",
               classes);
    if (contents->n_networks == 0 && !is_checkpoint(contents))
        printf("  fits       none of `ctkd models`\n");
    printf("metadata\n");
    for (size_t i = 0; i < tensors->n_metadata; i++) {
        const char *value = tensors->values[i];
        const int shown = (int)strcspn(value, "\n");
        printf("  %-28s %.*s%s\n", tensors->keys[i], shown < TEXT_MAX ? shown : TEXT_MAX, value,
               strlen(value) > (size_t)(shown < TEXT_MAX ? shown : TEXT_MAX) ? " ..." : "");
    }
    printf("tensors\n");
    for (size_t i = 0; i < tensors->count; i++) {
        char shape[256];
        printf("  %-44s %-5s %s\n", tensors->items[i].name,
               ctkd__dtype_text(tensors->items[i].type),
               ctkd__tensor_shape_text(&tensors->items[i], shape, sizeof shape));
    }
}

static ctkd_status print_json(struct contents *contents, ctkd_error *err)
{
    const struct ctkd__tensors *tensors = tensors_of(contents);
    struct ctkd__jsonl json = { .stream = stdout };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "file", contents->file.path);
    ctkd__jsonl_string(&json, "format", format_of(contents));
    ctkd__jsonl_integer(&json, "tensors", (int64_t)tensors->count);
    ctkd__jsonl_integer(&json, "values", (int64_t)contents->elements);
    ctkd__jsonl_integer(&json, "bytes", (int64_t)contents->bytes);
    ctkd__jsonl_string(&json, "weights", contents->file.sets.items[contents->file.sets.taken].name);
    char others[512] = "";
    for (size_t i = 0, used = 0; i < contents->file.sets.count; i++)
        ctkd__text_append(others, sizeof others, &used, "%s%s", used ? "," : "",
                          contents->file.sets.items[i].name);
    ctkd__jsonl_string(&json, "sets", others);
    ctkd__jsonl_string(&json, "network", contents->file.info.network);
    ctkd__jsonl_string(&json, "guess", contents->file.guess);
    ctkd__jsonl_string(&json, "fits", contents->n_networks ? contents->networks[0] : "");
    ctkd__jsonl_boolean(&json, "verified", contents->file.verified);
    return ctkd__jsonl_end(&json, err);
}

enum { JSON };
static const struct ctkd__flag flags[] = { [JSON] = CTKD__FLAG_JSON, CTKD__FLAG_END };

struct inspection {
    char *weights;
};
static const ctkd_option settings[] = {
    { "weights", CTKD_OPTION_STRING, offsetof(struct inspection, weights), 0, 0, 0, "", NULL,
      "which of several sets of weights is shown; empty: the first" },
    CTKD_OPT_END,
};

static int inspect(const struct ctkd__line *line, void *values)
{
    const struct inspection *const inspection = values;
    struct contents contents;
    ctkd_error err = { 0 };
    ctkd_status status =
        read_contents(ctkd__line_name(line, 0), inspection->weights, &contents, &err);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    if (ctkd__line_has(line, JSON))
        status = print_json(&contents, &err);
    else
        print_text(&contents);
    ctkd__weights_file_fini(&contents.file);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct inspection inspection = { NULL };
    return ctkd__cli_with_settings(command, argc, argv, &inspection, inspect);
}

const struct ctkd__command ctkd__command_inspect = {
    .name = "inspect",
    .arguments = "RUN_OR_FILE [weights=NAME]",
    .summary = "show what a weights file holds and which network it fits",
    .details = "The output has the format, the tensors with shapes and types, the metadata, the "
               "check sum, and the networks of `ctkd models` whose parameters the file has. Of "
               "several sets of weights, such as a model and its running average, the first is "
               "shown, or the one that weights=NAME names. Half-precision tensors are shown as "
               "F32, to which they are converted when they are read.",
    .flags = flags,
    .names_min = 1,
    .names_max = 1,
    .settings = settings,
    .weights = true,
    .run = run,
};
