#include "cli/cli.h"

#include <stdlib.h>

#include "io/jsonl.h"
#include "train/loop.h"
#include "train/preflight.h"
#include "train/run.h"
#include "util/error.h"

/* Steps that are timed, and how long at most, in seconds; the first one is not counted. */
enum { STEPS = 9 };
static const double step_seconds = 20;

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps as the run would make them, in a session that is thrown away. The report of the first one,
   and the median of their times. */
static ctkd_status try_steps(struct ctkd__session *session, struct ctkd__step_report *first,
                             double *seconds, ctkd_error *err)
{
    double times[STEPS];
    size_t n = 0;
    struct ctkd__batch batch;
    struct ctkd__step_report report;
    const double began = ctkd__loop_clock();
    ctkd_status status = CTKD_OK;
    ctkd__loader_start(session->data.train, 1, 0);
    while (n < STEPS && status == CTKD_OK && (n < 2 || ctkd__loop_clock() - began < step_seconds) &&
           ctkd__loader_next(session->data.train, &batch)) {
        const double start = ctkd__loop_clock();
        const double factor = ctkd__schedule_factor(&session->schedule, 1, n);
        status = ctkd__distiller_step(session->distiller, &batch, 1, factor, &report, err);
        times[n] = ctkd__loop_clock() - start;
        if (n++ == 0)
            *first = report;
        session->state.epoch_step = n;
    }
    const size_t skip = n > 1 ? 1 : 0; /* the first one also touches all memory */
    qsort(times + skip, n - skip, sizeof *times, compare_doubles);
    *seconds = times[skip + (n - skip) / 2];
    return status;
}

struct diagnosis {
    struct ctkd__findings findings;
    struct ctkd__cost cost;
    struct ctkd__score teacher;
    struct ctkd__step_report first;
};

static ctkd_status examine(struct ctkd__session *session, struct diagnosis *out, ctkd_error *err)
{
    struct ctkd__score score;
    ctkd_status status = CTKD_OK;
    ctkd__preflight_session(session, &out->findings);
    if (session->teacher)
        status = ctkd__session_check_teacher(session, &out->teacher, err);
    if (status == CTKD_OK && session->teacher)
        ctkd__preflight_teacher(session, &out->teacher, &out->findings);
    if (status == CTKD_OK)
        status = try_steps(session, &out->first, &out->cost.step, err);
    if (status != CTKD_OK)
        return status;
    ctkd__preflight_balance(session, &out->first, &out->findings);
    const double start = ctkd__loop_clock();
    status = ctkd__session_evaluate(session, &score, err);
    out->cost.evaluation = ctkd__loop_clock() - start;
    if (status == CTKD_OK)
        ctkd__preflight_cost(session, &out->cost, &out->findings);
    return status;
}

static void print_lines(const struct diagnosis *d)
{
    for (size_t i = 0; i < d->findings.count; i++) {
        const struct ctkd__finding *finding = &d->findings.items[i];
        printf("%-8s %-14s %s\n", finding->problem ? "PROBLEM" : "ok", finding->check,
               finding->text);
    }
    printf("%zu problem%s\n", d->findings.problems, d->findings.problems == 1 ? "" : "s");
}

static ctkd_status print_json(const struct ctkd__session *session, const struct diagnosis *d,
                              ctkd_error *err)
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
static bool names_teacher(int argc, char **argv)
{
    struct ctkd__config *config;
    bool found = false;
    if (ctkd__config_create(&config, NULL) != CTKD_OK)
        return false;
    if (ctkd__arguments_apply(argc, argv, config, NULL) == CTKD_OK)
        found = config->teacher.path[0] != '\0';
    ctkd__config_destroy(config);
    return found;
}

static int configure_and_examine(const struct ctkd__command *command, int argc, char **argv,
                                 struct ctkd__config *config)
{
    struct ctkd__arguments arguments;
    struct ctkd__session *session = NULL;
    struct diagnosis diagnosis = { .cost = { 0 } };
    ctkd_error err = { 0 };
    if (ctkd__cli_scan(command, argc, argv, &arguments, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (arguments.help)
        return ctkd__cli_help(command);
    if (ctkd__cli_configure(argc, argv, &arguments, names_teacher(argc, argv), config, &err) !=
        CTKD_OK)
        return ctkd__cli_misused(command, &err);
    const bool distil = config->teacher.path[0];
    if (ctkd__config_check(config, distil, &err) != CTKD_OK ||
        ctkd__run_resolve(config, distil, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    ctkd_status status = ctkd__session_open(config, distil, &session, &err);
    if (status == CTKD_OK)
        status = examine(session, &diagnosis, &err);
    if (status == CTKD_OK && arguments.json)
        status = print_json(session, &diagnosis, &err);
    else if (status == CTKD_OK)
        print_lines(&diagnosis);
    ctkd__session_close(session);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    return diagnosis.findings.problems ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    const int status = configure_and_examine(command, argc, argv, config);
    ctkd__config_destroy(config);
    return status;
}

const struct ctkd__command ctkd__command_doctor = {
    .name = "doctor",
    .arguments = "[CONFIG] [key=value ...] [--json]",
    .summary = "examine a run before it costs anything: data, teacher, balance, time, memory, disk",
    .details =
        "Takes what `ctkd train` or (with a teacher.path) `ctkd distill` takes, makes a few "
        "steps, writes\n"
        "nothing. One line per check, ok or PROBLEM with what to do; exit status 1 when there "
        "is a problem.\n"
        "A run looks at the same things at its beginning and prints only the problems.",
    .options = true,
    .json = true,
    .preset = true,
    .run = run,
};
