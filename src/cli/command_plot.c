#include "cli/cli.h"

#include "report/plot.h"
#include "util/error.h"

enum { OUTPUT, ONLY };
static const struct ctkd__flag flags[] = {
    [OUTPUT] = { "--output", "-o", "FILE", "write the picture to FILE; - is standard output",
                 NULL },
    [ONLY] = { "--panel", NULL, "NAME", "draw one panel alone: loss, top1, tau or lambda", NULL },
    CTKD__FLAG_END,
};

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__arm_folders runs = { .count = 0 };
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    const char *const file = ctkd__line_value(&line, OUTPUT);
    if (!file) {
        ctkd__fail(&err, CTKD_EINVAL, "found no -o FILE; usage: ctkd %s %s", command->name,
                   command->arguments);
        return ctkd__cli_misused(command, &err);
    }
    const char *const only = ctkd__line_value(&line, ONLY);
    enum ctkd__plot_panel panels = CTKD__PLOT_ALL;
    if (only && ctkd__plot_panel_find(only, &panels, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    ctkd_status failed = ctkd__cli_arms(&line, CTKD__PLOT_RUNS_MAX, &runs, &err);
    if (failed == CTKD_OK)
        failed = ctkd__plot_runs((const char *const *)runs.paths, runs.count, panels, file, &err);
    ctkd__arm_folders_free(&runs);
    return failed == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

const struct ctkd__command ctkd__command_plot = {
    .name = "plot",
    .arguments = "RUN... -o FILE",
    .summary = "draw loss, accuracy, temperature and lambda over epochs",
    .details =
        "Each RUN is a run directory, or a folder of runs that differ in their seed, which is "
        "drawn as the mean of those that have finished an epoch, with their range. The folder of a "
        "sweep stands for its arms, in the order of their names. Up to eight share the picture. "
        "The band around tau of one run is the range within an epoch. A panel "
        "that no run has values for is left out. "
        "The ending of FILE decides the format, .svg or .png; PNG needs the program "
        "rsvg-convert (Debian: librsvg2-bin).",
    .flags = flags,
    .names_min = 1,
    .names_max = CTKD__PLOT_RUNS_MAX,
    .run = run,
};
