#include "cli/cli.h"

#include <string.h>

#include "util/error.h"

int ctkd__cli_help(const struct ctkd__command *command)
{
    printf("usage: ctkd %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
    if (command->details)
        printf("\n%s\n", command->details);
    if (!command->options)
        return CTKD__EXIT_DONE;
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    printf("\nKeys, as key=value or in a YAML file (dots nest):\n\n");
    ctkd__sections_help(ctkd__config_sections(config), ctkd__argument_aliases(), stdout);
    ctkd__config_destroy(config);
    return CTKD__EXIT_DONE;
}

int ctkd__cli_failed(const ctkd_error *err)
{
    fprintf(stderr, "ctkd: %s\n", err->message);
    return err->status == CTKD_EINTERRUPTED ? CTKD__EXIT_INTERRUPTED : CTKD__EXIT_FAILED;
}

int ctkd__cli_misused(const struct ctkd__command *command, const ctkd_error *err)
{
    if (err->status == CTKD_EIO || err->status == CTKD_ENOMEM)
        return ctkd__cli_failed(err);
    fprintf(stderr, "ctkd %s: %s\n", command->name, err->message);
    return CTKD__EXIT_USAGE;
}

void ctkd__cli_note(const char *file, const char *note)
{
    if (note[0])
        fprintf(stderr, "%s: %s\n", file, note);
}

bool ctkd__cli_names(const struct ctkd__command *command, int argc, char **argv, size_t positionals,
                     struct ctkd__arguments *arguments, int *status)
{
    ctkd_error err = { 0 };
    for (int i = 0; i < argc; i++)
        if (strchr(argv[i], '=') ||
            (argv[i][0] == '-' && strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0)) {
            ctkd__fail(&err, CTKD_EINVAL, "'%s' found, expected %s", argv[i],
                       positionals ? "a name or nothing" : "no argument");
            *status = ctkd__cli_misused(command, &err);
            return false;
        }
    if (ctkd__arguments_scan(argc, argv, arguments, &err) != CTKD_OK) {
        *status = ctkd__cli_misused(command, &err);
        return false;
    }
    if (arguments->help) {
        *status = ctkd__cli_help(command);
        return false;
    }
    if (arguments->n_positionals > positionals) {
        ctkd__fail(&err, CTKD_EINVAL, "'%s' found, expected %s",
                   arguments->positionals[positionals],
                   positionals > 1 ? "fewer names"
                   : positionals   ? "one name"
                                   : "no argument");
        *status = ctkd__cli_misused(command, &err);
        return false;
    }
    return true;
}
