#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/folder/tree.h"
#include "io/jsonl.h"
#include "run/origin.h"
#include "run/predictor.h"
#include "util/error.h"
#include "util/say.h"
#include "util/text.h"

enum form { TEXT, CSV_LINES, JSON_LINES };

struct writer {
    const struct ctkd__predictor *predictor;
    enum form form;
    size_t top; /* <= classes */
    struct ctkd__ranked *ranked;
    size_t unread;
};

static void write_text(const struct writer *w, const char *place)
{
    char text[24], line[4 * CTKD__TREE_PLACE_MAX];
    ctkd__text_line(place, line, sizeof line);
    printf("%s: ", line);
    for (size_t i = 0; i < w->top; i++)
        printf("%s%s %.2f %%", i ? ", " : "",
               ctkd__predictor_class(w->predictor, w->ranked[i].label, text),
               100 * w->ranked[i].probability);
    putchar('\n');
}

/* Writes a field of CSV, quoted if necessary (RFC 4180). */
static void write_field(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++)
        printf(*text == '"' ? "\"\"" : "%c", *text);
    putchar('"');
}

static void write_csv(const struct writer *w, const char *place)
{
    char text[24];
    for (size_t i = 0; i < w->top; i++) {
        write_field(place);
        printf(",%zu,%zu,", i + 1, w->ranked[i].label);
        write_field(ctkd__predictor_class(w->predictor, w->ranked[i].label, text));
        printf(",%.9g\n", w->ranked[i].probability);
    }
}

static ctkd_status write_json(const struct writer *w, const char *place, ctkd_error *err)
{
    struct ctkd__jsonl json = { .stream = stdout };
    char text[24];
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "file", place);
    ctkd__jsonl_list_begin(&json, "classes");
    for (size_t i = 0; i < w->top; i++) {
        ctkd__jsonl_item_begin(&json);
        ctkd__jsonl_string(&json, "class",
                           ctkd__predictor_class(w->predictor, w->ranked[i].label, text));
        ctkd__jsonl_integer(&json, "label", (int64_t)w->ranked[i].label);
        ctkd__jsonl_number(&json, "probability", w->ranked[i].probability);
        ctkd__jsonl_item_end(&json);
    }
    ctkd__jsonl_list_end(&json);
    return ctkd__jsonl_end(&json, err);
}

static ctkd_status write_prediction(void *context, const struct ctkd__prediction *prediction,
                                    ctkd_error *err)
{
    struct writer *const w = context;
    if (prediction->unread) {
        w->unread++;
        fflush(stdout); /* keeps the order of the files where both go to one terminal */
        ctkd__say(stderr, "ctkd: %s", prediction->unread);
        return CTKD_OK;
    }
    ctkd__rank_classes(ctkd__predictor_classes(w->predictor), prediction->logits, w->top,
                       w->ranked);
    if (w->form == JSON_LINES)
        return write_json(w, prediction->place, err);
    if (w->form == CSV_LINES)
        write_csv(w, prediction->place);
    else
        write_text(w, prediction->place);
    return ferror(stdout) ? ctkd__fail(err, CTKD_EIO, "cannot write standard output") : CTKD_OK;
}

enum { JSON, CSV, TOP };
static const struct ctkd__flag flags[] = {
    [JSON] = { "--json", NULL, NULL,
               "print a JSON object for each image, one per line, instead of text", NULL },
    [CSV] = { "--csv", NULL, NULL,
              "print file,rank,label,class,probability as CSV, a line for each class", NULL },
    [TOP] = { "--top", NULL, "N", "print the N most probable classes of each image (default 5)",
              NULL },
    CTKD__FLAG_END,
};

static ctkd_status predict(const struct ctkd__line *line, const struct ctkd__config *config,
                           const struct ctkd__pictures *pictures, struct writer *w, ctkd_error *err)
{
    const char *const path = ctkd__line_name(line, 0);
    char note[CTKD__NOTE_BYTES];
    long long top = 5;
    struct ctkd__predictor *predictor;
    ctkd_status status = ctkd__line_whole(line, TOP, 1, 1 << 20, &top, err);
    if (status == CTKD_OK)
        status = ctkd__predictor_open(config, path, &predictor, note, err);
    if (status != CTKD_OK)
        return status;
    ctkd__cli_note(path, note);
    ctkd__cli_note_threads(ctkd__predictor_engine(predictor));
    const size_t classes = ctkd__predictor_classes(predictor);
    w->predictor = predictor;
    w->form = ctkd__line_has(line, JSON)  ? JSON_LINES
              : ctkd__line_has(line, CSV) ? CSV_LINES
                                          : TEXT;
    w->top = (size_t)top < classes ? (size_t)top : classes;
    w->ranked = calloc(w->top, sizeof *w->ranked);
    if (!w->ranked)
        status = ctkd__fail(err, CTKD_ENOMEM, "predict: out of memory");
    if (w->form == CSV_LINES && status == CTKD_OK)
        printf("file,rank,label,class,probability\n");
    if (status == CTKD_OK)
        status = ctkd__predictor_run(predictor, pictures, write_prediction, w, err);
    free(w->ranked);
    ctkd__predictor_close(predictor);
    return status;
}

/* The files of the command line. */
static ctkd_status find_pictures(const struct ctkd__line *line, struct ctkd__pictures **out,
                                 ctkd_error *err)
{
    ctkd_status status = ctkd__pictures_create(out, err);
    for (size_t i = 1; i < ctkd__line_names(line) && status == CTKD_OK; i++)
        status = ctkd__pictures_add(*out, ctkd__line_name(line, i), err);
    const size_t others = status == CTKD_OK ? ctkd__pictures_others(*out) : 0;
    if (others)
        ctkd__say(stderr, "note: %zu file%s of the folders %s, and %s left out", others,
                  others == 1 ? "" : "s",
                  others == 1 ? "does not have the name of an image"
                              : "do not have names of images",
                  others == 1 ? "is" : "are");
    if (status == CTKD_OK && ctkd__pictures_count(*out) == 0)
        status =
            ctkd__fail(err, CTKD_ENOTFOUND, "%s: found no image (.jpg, .png, .webp, .ppm, ...)",
                       ctkd__line_name(line, 1));
    return status;
}

static int configure_and_predict(const struct ctkd__command *command, int argc, char **argv,
                                 struct ctkd__config *config)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    char note[CTKD__NOTE_BYTES];
    int ended;
    if (!ctkd__line_read(command, argc, argv, &line, &ended))
        return ended;
    ctkd__line_split(&line);
    if (ctkd__line_has(&line, JSON) && ctkd__line_has(&line, CSV)) {
        ctkd__fail(&err, CTKD_EINVAL, "found --json and --csv, expected one of them");
        return ctkd__cli_misused(command, &err);
    }
    /* Weights that do not name their data set must not get the default one. What data.classes was
       in a run is in its weights: from here on it is what the command line says. */
    const struct ctkd__sections sections = ctkd__config_sections(config);
    if (ctkd__sections_set(sections, "predict", "data.set", "", &err) != CTKD_OK ||
        ctkd__origin_configure(ctkd__line_name(&line, 0), config, note, &err) != CTKD_OK ||
        ctkd__sections_set(sections, "predict", "data.classes", "0", &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    ctkd__cli_note("note", note);
    ctkd_status status = ctkd__arguments_apply(line.n_configuration, line.argv, config, &err);
    if (status == CTKD_OK && ctkd__config_classes(config))
        status = ctkd__fail(&err, CTKD_EINVAL,
                            "data.classes: found %s, expected a file with one class name per line: "
                            "the number of classes is that of the weights",
                            config->data.classes);
    if (status != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    ctkd__cli_note_unused(config, CTKD__READER_OF_LIST, NULL, "`ctkd predict`", command->keys);
    struct ctkd__pictures *pictures;
    struct writer writer = { .unread = 0 };
    status = find_pictures(&line, &pictures, &err);
    if (status == CTKD_OK)
        status = predict(&line, config, pictures, &writer, &err);
    const size_t count = status == CTKD_OK ? ctkd__pictures_count(pictures) : 0;
    ctkd__pictures_destroy(pictures);
    if (status == CTKD_OK && writer.unread)
        status = ctkd__fail(&err, CTKD_EFORMAT, "%zu of %zu images could not be read",
                            writer.unread, count);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_with_config(command, argc, argv, configure_and_predict);
}

static const char *const keys[] = { "data.set",
                                    "data.classes",
                                    "data.channels",
                                    "data.pad_to",
                                    "data.mean",
                                    "data.std",
                                    "data.size",
                                    "data.resize",
                                    "data.orientation",
                                    "data.max_pixels",
                                    "data.roi",
                                    CTKD__ENGINE_KEYS,
                                    "student.network",
                                    "student.weights",
                                    "teacher.mean",
                                    "teacher.std",
                                    NULL };

const struct ctkd__command ctkd__command_predict = {
    .name = "predict",
    .arguments = "RUN_OR_FILE IMAGE_OR_FOLDER... [key=value ...]",
    .summary = "name the classes of image files with their probabilities",
    .details =
        "RUN_OR_FILE is a run directory (its last.safetensors) or a file of weights. Of a folder, "
        "all images in it and below are taken, in the order of the bytes of their names.\n\n"
        "The network sees the evaluation view of each image: the shorter side resized "
        "(data.resize), the centre cropped (data.size), and normalised as the file says (else by "
        "teacher.mean and teacher.std, or data.mean and data.std). A network of small images, such "
        "as CIFAR's, sees the centre square resized to their size.\n\n"
        "Classes have the names in the file data.classes, else those that the weights carry, else "
        "their numbers. An image that cannot be read is reported on stderr, the others are still "
        "predicted, and the exit status is then 1.",
    .keys = keys,
    .options = true,
    .flags = flags,
    .names_min = 2,
    .names_max = 1 << 20,
    .weights = true,
    .run = run,
};
