#include "cli/cli.h"

#include <string.h>

#include "util/error.h"
#include "weights/convert.h"

static const struct ctkd__alias flags[] = {
    { "--fold", "fold", "true", "" },
    { "--normalise", "normalise", "true", "" },
    { NULL, NULL, NULL, NULL },
};

static ctkd_status read_arguments(int argc, char **argv, struct ctkd__sections sections,
                                  const char *files[2], ctkd_error *err)
{
    size_t n = 0;
    for (int i = 0; i < argc; i++) {
        const char *const equals = strchr(argv[i], '=');
        const struct ctkd__alias *flag = flags;
        while (flag->flag && strcmp(flag->flag, argv[i]) != 0)
            flag++;
        ctkd_status status = CTKD_OK;
        if (flag->flag) {
            status = ctkd__sections_set(sections, "command line", flag->key, flag->value, err);
        } else if (argv[i][0] == '-' && argv[i][1]) {
            status = ctkd__fail(err, CTKD_EINVAL, "unknown option '%s', expected %s or %s", argv[i],
                                flags[0].flag, flags[1].flag);
        } else if (equals) {
            char key[64];
            snprintf(key, sizeof key, "%.*s", (int)(equals - argv[i]), argv[i]);
            status = ctkd__sections_set(sections, "command line", key, equals + 1, err);
        } else if (n == 2) {
            status = ctkd__fail(err, CTKD_EINVAL, "found '%s', expected IN and OUT", argv[i]);
        } else {
            files[n++] = argv[i];
        }
        if (status != CTKD_OK)
            return status;
    }
    return n == 2 ? CTKD_OK
                  : ctkd__fail(err, CTKD_EINVAL, "found %zu files, expected IN and OUT", n);
}

static int convert(const struct ctkd__command *command, int argc, char **argv,
                   struct ctkd__sections sections, const struct ctkd__convert_options *options)
{
    const char *files[2];
    char note[CTKD__NOTE_BYTES];
    ctkd_error err = { 0 };
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return ctkd__cli_help(command);
    if (read_arguments(argc, argv, sections, files, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (ctkd__convert(files[0], files[1], options, note, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    ctkd__cli_note(files[0], note);
    return CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__convert_options options = { 0 };
    const struct ctkd__section section = { "", ctkd__convert_table, &options };
    const struct ctkd__sections sections = { &section, 1 };
    ctkd_error err = { 0 };
    int status;
    if (ctkd__sections_defaults(sections, &err) == CTKD_OK)
        status = convert(command, argc, argv, sections, &options);
    else
        status = ctkd__cli_failed(&err);
    ctkd__sections_fini(sections);
    return status;
}

const struct ctkd__command ctkd__command_convert = {
    .name = "convert",
    .arguments = "IN OUT [key=value ...]",
    .summary = "convert weights from one format to another",
    .details =
        "IN is a run directory or weights; its format is found by its contents, that of OUT "
        "by its\n"
        "ending (.onnx: opset 13, any batch size). OUT may be - for standard output, with format=.",
    .settings = ctkd__convert_table,
    .flags = flags,
    .weights = true,
    .run = run,
};
