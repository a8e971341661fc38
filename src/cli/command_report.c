#include "cli/cli.h"

#include "run/run_page.h"
#include "util/error.h"

enum { SETTINGS_MAX = 16, PICTURES = 24, PICTURES_MAX = 200 };

enum { OUTPUT, WRONG, NO_EVALUATION };
static const struct ctkd__flag flags[] = {
    [OUTPUT] = { "--output", "-o", "FILE", "write the page to FILE; - is standard output", NULL },
    [WRONG] = { "--wrong", NULL, "N", "show N images that the student got wrong (default 24)",
                NULL },
    [NO_EVALUATION] = { "--no-evaluation", NULL, NULL,
                        "do not evaluate the networks: no classes, confusions or images", NULL },
    CTKD__FLAG_END,
};

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__arm_folders runs = { .count = 0 };
    const char *settings[SETTINGS_MAX];
    struct ctkd__line line;
    struct ctkd__word word;
    ctkd_error err = { 0 };
    double pictures = PICTURES;
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    struct ctkd__page_request request = { .settings = settings,
                                          .evaluates = !ctkd__line_has(&line, NO_EVALUATION) };
    for (int at = 0; ctkd__line_next(&line, &at, &word);)
        if (word.flag == CTKD__WORD_SETTING && request.n_settings < SETTINGS_MAX)
            settings[request.n_settings++] = word.text;
    const char *const file = ctkd__line_value(&line, OUTPUT);
    if (ctkd__line_number(&line, WRONG, 0, PICTURES_MAX, &pictures, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (!file) {
        ctkd__fail(&err, CTKD_EINVAL, "found no -o FILE; usage: ctkd %s %s", command->name,
                   command->arguments);
        return ctkd__cli_misused(command, &err);
    }
    request.pictures = (size_t)pictures;
    ctkd_status failed = ctkd__cli_arms(&line, CTKD__PAGE_RUNS_MAX, &runs, &err);
    request.paths = (const char *const *)runs.paths;
    request.count = runs.count;
    if (failed == CTKD_OK)
        failed = ctkd__run_page(&request, file, stderr, &err);
    ctkd__arm_folders_free(&runs);
    return failed == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

const struct ctkd__command ctkd__command_report = {
    .name = "report",
    .arguments = "RUN... -o FILE [key=value ...]",
    .summary = "write one page of HTML about runs",
    .details =
        "Each RUN is a run directory, or a folder of runs that differ in their seed; the folder of "
        "a sweep stands for its arms, in the order of their names. The page has curves, scores of "
        "classes, confusions, calibration, agreement with the teacher, images "
        "that the student got wrong, the differences between several arms, and the settings. For "
        "this the networks are evaluated again on their test images; data.set=NAME:PATH says where "
        "these are now, and train.threads sets the number of threads. The page needs no other file "
        "and no network.",
    .flags = flags,
    .passes_settings = true,
    .names_min = 1,
    .names_max = CTKD__PAGE_RUNS_MAX,
    .run = run,
};
