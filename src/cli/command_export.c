#include "cli/cli.h"

#include "run/export.h"
#include "util/error.h"

enum { PLAIN, FORCE };
static const struct ctkd__flag flags[] = {
    [PLAIN] = { "--plain", NULL, NULL,
                "let model.onnx take normalised images instead of pixels from 0 to 1", NULL },
    [FORCE] = { "--force", NULL, NULL, "replace the files of an earlier export", NULL },
    CTKD__FLAG_END,
};

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    char note[CTKD__NOTE_BYTES];
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    const struct ctkd__export_options options = { .plain = ctkd__line_has(&line, PLAIN),
                                                  .replaces = ctkd__line_has(&line, FORCE) };
    const char *const path = ctkd__line_name(&line, 0), *const folder = ctkd__line_name(&line, 1);
    if (ctkd__export(path, folder, &options, note, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    ctkd__cli_note(path, note);
    return CTKD__EXIT_DONE;
}

const struct ctkd__command ctkd__command_export = {
    .name = "export",
    .arguments = "RUN_OR_FILE DIR",
    .summary = "write a trained network as a folder for others to use",
    .details =
        "DIR receives model.safetensors, model.onnx (which normalises pixels itself), config.json "
        "(timm loads the folder as local-dir:DIR where it has the network), labels.txt where "
        "classes have names, and README.md, a card with the accuracy that the network reached, the "
        "data, and the configuration that repeats the run.",
    .flags = flags,
    .names_min = 2,
    .names_max = 2,
    .weights = true,
    .run = run,
};
