#include "cli/cli.h"

#include "weights/convert.h"

enum { FOLD, NORMALISE };
static const struct ctkd__flag flags[] = {
    [FOLD] = { "--fold", NULL, NULL, "the same as fold=true", NULL },
    [NORMALISE] = { "--normalise", NULL, NULL, "the same as normalise=true", NULL },
    CTKD__FLAG_END,
};

static int convert(const struct ctkd__line *line, void *values)
{
    struct ctkd__convert_options *const options = values;
    const char *const in = ctkd__line_name(line, 0);
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    options->fold |= ctkd__line_has(line, FOLD);
    options->normalise |= ctkd__line_has(line, NORMALISE);
    if (ctkd__convert(in, ctkd__line_name(line, 1), options, note, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    ctkd__cli_note(in, note);
    return CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__convert_options options = { 0 };
    return ctkd__cli_with_settings(command, argc, argv, &options, convert);
}

const struct ctkd__command ctkd__command_convert = {
    .name = "convert",
    .arguments = "IN OUT [key=value ...]",
    .summary = "convert weights from one format to another",
    .details = "IN is a run directory or a file of weights, whose format is known by its contents. "
               "The ending of OUT says the format of the output (.onnx: opset 13, any batch size). "
               "OUT may be - for standard output; format= then says the format.",
    .flags = flags,
    .names_min = 2,
    .names_max = 2,
    .settings = ctkd__convert_table,
    .weights = true,
    .run = run,
};
