#include "cli/cli.h"

#include "util/error.h"
#include "weights/convert.h"

enum { FOLD, NORMALISE };
static const struct ctkd__flag flags[] = {
    [FOLD] = { "--fold", NULL, NULL, "the same as fold=true", NULL },
    [NORMALISE] = { "--normalise", NULL, NULL, "the same as normalise=true", NULL },
    CTKD__FLAG_END,
};

static ctkd_status configure(const struct ctkd__line *line, struct ctkd__sections sections,
                             ctkd_error *err)
{
    ctkd_status status = ctkd__line_apply(line, sections, err);
    if (status == CTKD_OK && ctkd__line_has(line, FOLD))
        status = ctkd__sections_set(sections, "--fold", "fold", "true", err);
    if (status == CTKD_OK && ctkd__line_has(line, NORMALISE))
        status = ctkd__sections_set(sections, "--normalise", "normalise", "true", err);
    return status;
}

static int convert(const struct ctkd__line *line, const struct ctkd__convert_options *options)
{
    const char *const in = ctkd__line_name(line, 0);
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    if (ctkd__convert(in, ctkd__line_name(line, 1), options, note, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    ctkd__cli_note(in, note);
    return CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__convert_options options = { 0 };
    const struct ctkd__section section = { "", ctkd__convert_table, &options };
    const struct ctkd__sections sections = { &section, 1 };
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    if (ctkd__sections_defaults(sections, &err) != CTKD_OK)
        status = ctkd__cli_failed(&err);
    else if (configure(&line, sections, &err) != CTKD_OK)
        status = ctkd__cli_misused(command, &err);
    else
        status = convert(&line, &options);
    ctkd__sections_fini(sections);
    return status;
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
