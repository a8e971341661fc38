#include "cli/cli.h"
#include "cli/doctor_data.h"
#include "cli/examination.h"
#include "io/jsonl.h"
#include "run/run.h"
#include "util/error.h"

static void print_lines(const struct ctkd__examination *d)
{
    for (size_t i = 0; i < d->findings.count; i++) {
        const struct ctkd__finding *finding = &d->findings.items[i];
        printf("%-8s %-14s %s\n", finding->problem ? "PROBLEM" : "ok", finding->check,
               finding->text);
    }
    printf("%zu problem%s\n", d->findings.problems, d->findings.problems == 1 ? "" : "s");
}

static ctkd_status print_json(const struct ctkd__session *session,
                              const struct ctkd__examination *d, ctkd_error *err)
{
    struct ctkd__jsonl json = { .stream = stdout };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_integer(&json, "problems", (int64_t)d->findings.problems);
    for (size_t i = 0; i < d->findings.count; i++) /* one text per check: "ok", or what is wrong */
        ctkd__jsonl_string(&json, d->findings.items[i].check,
                           d->findings.items[i].problem ? d->findings.items[i].text : "ok");
    if (session->teacher)
        ctkd__jsonl_number(&json, "teacher_top1", d->teacher.top1);
    ctkd__jsonl_number(&json, "gradient_ce", (double)d->first.gradient_ce);
    ctkd__jsonl_number(&json, "gradient_kd", (double)d->first.gradient_kd);
    ctkd__jsonl_number(&json, "gradient_method", (double)d->first.gradient_method);
    ctkd__jsonl_number(&json, "step_seconds", d->cost.step);
    ctkd__jsonl_number(&json, "evaluation_seconds", d->cost.evaluation);
    ctkd__jsonl_number(&json, "run_seconds", d->cost.run);
    ctkd__jsonl_number(&json, "memory_bytes", d->cost.memory_bytes);
    ctkd__jsonl_number(&json, "disk_bytes", d->cost.disk_bytes);
    return ctkd__jsonl_end(&json, err);
}

/* Whether the command line is one of `ctkd distill`, as far as the published defaults go. */
static bool names_teacher(const struct ctkd__line *line)
{
    struct ctkd__config *config;
    bool found = false;
    if (ctkd__config_create(&config, NULL) != CTKD_OK)
        return false;
    if (ctkd__arguments_apply(line->n_configuration, line->argv, config, NULL) == CTKD_OK)
        found = config->teacher.path[0] != '\0';
    ctkd__config_destroy(config);
    return found;
}

enum { JSON, PRESET, EXCLUDE };
static const struct ctkd__flag flags[] = {
    [JSON] = CTKD__FLAG_JSON,
    [PRESET] = CTKD__FLAG_PRESET,
    [EXCLUDE] = { "--exclude", NULL, "FILE",
                  "with DATA: write the names of the images to leave out into FILE, for "
                  "data.exclude",
                  NULL },
    CTKD__FLAG_END,
};

/* The image files of `name` instead of a run. */
static int examine_data(const struct ctkd__command *command, const struct ctkd__line *line,
                        const char *set, struct ctkd__config *config)
{
    ctkd_error err = { 0 };
    if (ctkd__sections_set(ctkd__config_sections(config), "DATA", "data.set", set, &err) !=
            CTKD_OK ||
        ctkd__arguments_apply(line->n_configuration, line->argv, config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    return ctkd__doctor_data(config, ctkd__line_value(line, EXCLUDE), ctkd__line_has(line, JSON));
}

static int configure_and_examine(const struct ctkd__command *command, int argc, char **argv,
                                 struct ctkd__config *config)
{
    struct ctkd__line line;
    struct ctkd__arguments arguments;
    struct ctkd__session *session = NULL;
    struct ctkd__examination found;
    ctkd_error err = { 0 };
    int ended;
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended))
        return ended;
    char set[4200];
    if (arguments.n_positionals && ctkd__doctor_is_data(arguments.positionals[0], set, sizeof set))
        return examine_data(command, &line, set, config);
    if (ctkd__line_has(&line, EXCLUDE)) {
        ctkd__fail(&err, CTKD_EINVAL,
                   "found --exclude without DATA, expected a folder of images or imagefolder:PATH");
        return ctkd__cli_misused(command, &err);
    }
    if (ctkd__cli_configure(&line, &arguments, names_teacher(&line), config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    const bool distil = config->teacher.path[0];
    if (ctkd__config_check(config, distil, &err) != CTKD_OK ||
        ctkd__run_resolve(config, distil, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    ctkd_status status = ctkd__session_open(config, distil, NULL, &session, &err);
    if (status == CTKD_OK)
        status = ctkd__examine(session, &found, &err);
    if (status == CTKD_OK && ctkd__line_has(&line, JSON))
        status = print_json(session, &found, &err);
    else if (status == CTKD_OK)
        print_lines(&found);
    ctkd__session_close(session);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    return found.findings.problems ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_with_config(command, argc, argv, configure_and_examine);
}

const struct ctkd__command ctkd__command_doctor = {
    .name = "doctor",
    .arguments = "[CONFIG | DATA] [key=value ...]",
    .summary = "examine a run before it costs anything",
    .details =
        "Doctor takes the arguments of `ctkd train` or, with a teacher.path, of `ctkd distill`. It "
        "makes a few steps, writes nothing, and checks data, teacher, balance of the losses, time, "
        "memory and disk. Each check prints a line: ok, or PROBLEM and what to do about it. The "
        "exit status is 1 if there is a problem.\n\nA run makes the same checks when it begins and "
        "prints only the problems.\n\nWith DATA, a folder of images or imagefolder:PATH, every "
        "file is decoded. A line names each file that cannot be read, is a copy of another, is "
        "damaged, is in CMYK, is rotated by its EXIF, or has an odd size: one side more than 3 "
        "times the other, or more than 4 times off the median. The exit status is 1 if a file "
        "cannot be read or an image is in both parts.",
    .options = true,
    .flags = flags,
    .names_max = 1,
    .run = run,
};
