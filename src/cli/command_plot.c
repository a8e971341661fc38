#include "cli/cli.h"

#include <string.h>

#include "report/plot.h"
#include "util/error.h"

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    const char *runs[CTKD__PLOT_RUNS_MAX], *file = NULL;
    size_t count = 0;
    ctkd_error err = { 0 };
    ctkd_status status = CTKD_OK;
    for (int i = 0; i < argc && status == CTKD_OK; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return ctkd__cli_help(command);
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            file = argv[++i];
        else if (argv[i][0] == '-')
            status = ctkd__fail(&err, CTKD_EINVAL, "unknown option '%s', expected RUN... -o FILE",
                                argv[i]);
        else if (count == CTKD__PLOT_RUNS_MAX)
            status = ctkd__fail(&err, CTKD_EINVAL, "found '%s', expected at most %d runs", argv[i],
                                CTKD__PLOT_RUNS_MAX);
        else
            runs[count++] = argv[i];
    }
    if (status == CTKD_OK && (!file || count == 0))
        status = ctkd__fail(&err, CTKD_EINVAL, "found %s, expected RUN... -o FILE",
                            file ? "no run" : "no -o FILE");
    if (status != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    status = ctkd__plot_runs(runs, count, file, &err);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

const struct ctkd__command ctkd__command_plot = {
    .name = "plot",
    .arguments = "RUN... -o FILE.svg|-",
    .summary = "temperature, lambda and accuracy of runs over epochs, as SVG",
    .details = "RUN is a run directory; up to eight share the picture. The band around tau is the "
               "range within an epoch.\nWhat no run has a value for is left out. - is standard "
               "output.",
    .run = run,
};
