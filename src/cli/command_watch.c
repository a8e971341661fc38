#include "cli/cli.h"

#include "cli/stop.h"
#include "run/watch.h"

enum { PATHS_MAX = 16 };

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    const char *paths[PATHS_MAX];
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    const size_t count = ctkd__line_names(&line);
    for (size_t i = 0; i < count; i++)
        paths[i] = ctkd__line_name(&line, i);
    ctkd__stop_watch();
    return ctkd__watch(paths, count, ctkd__stop_asked(), stdout, &err) == CTKD_OK
               ? CTKD__EXIT_DONE
               : ctkd__cli_failed(&err);
}

const struct ctkd__command ctkd__command_watch = {
    .name = "watch",
    .arguments = "RUN...",
    .summary = "show runs while they train",
    .details = "Each RUN is a run directory, or a folder of runs such as that of a sweep. Loss, "
               "accuracies and temperature are drawn as small curves and refreshed every second, "
               "until all runs have ended or were stopped, or you type q; the folder of a sweep is "
               "watched until the sweep ends. The runs are not disturbed. Where not all fit on the "
               "terminal, those that train come first. Without a terminal, each new epoch is "
               "printed as a line of text.",
    .names_min = 1,
    .names_max = PATHS_MAX,
    .run = run,
};
