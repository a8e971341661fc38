#include "cli/cli.h"

#include <inttypes.h>

#include "cli/dry_run.h"
#include "cli/stop.h"
#include "run/loop.h"
#include "run/notes.h"
#include "run/start.h"
#include "util/clock.h"
#include "util/error.h"

enum { DRY_RUN };
const struct ctkd__flag ctkd__train_flags[] = {
    [DRY_RUN] = { "--dry-run", NULL, NULL,
                  "check everything and print the run as it would be, but start and write nothing",
                  NULL },
    CTKD__FLAG_PRESET,
    CTKD__FLAG_END,
};

static void show_session(const struct ctkd__session *session, const struct ctkd__run *run)
{
    const struct ctkd__network_info *info = &session->info;
    ctkd__cli_note("student.init", session->note);
    fprintf(stderr, "%s, %zu training and %zu test images of %zux%zux%zu, %zu classes\n",
            info->dataset, ctkd__loader_samples(session->data.train),
            ctkd__loader_samples(session->data.test), info->channels, info->height, info->width,
            info->classes);
    if (session->data.dev)
        fprintf(stderr,
                "%zu of the training images are held out, by which the best epoch is chosen "
                "(data.dev)\n",
                ctkd__loader_samples(session->data.dev));
    fprintf(stderr, "%s, %zu parameters, %s kernels, %zu threads, run directory %s\n",
            info->network, ctkd__graph_trainable(session->graph), session->engine.kernels->name,
            ctkd__workers_count(session->engine.workers), run->dir);
}

/* What `ctkd doctor` would call a problem, and how to mend it. */
static ctkd_status note_findings(struct ctkd__session *session, const struct ctkd__run *run,
                                 const struct ctkd__scores *teacher, ctkd_error *err)
{
    struct ctkd__findings findings = { 0 };
    ctkd_status status = CTKD_OK;
    ctkd__preflight_session(session, &findings);
    if (session->teacher)
        status = ctkd__preflight_teacher(session, teacher, &findings, err);
    ctkd__note_findings(run->dir, &findings, 0, "", stderr);
    return status;
}

static void show_teacher(const struct ctkd__session *session, const struct ctkd__scores *scores)
{
    ctkd__cli_note(session->teacher->file, session->teacher->note);
    fprintf(stderr, "teacher %s (%s): test top-1 %.2f %%, top-5 %.2f %%, loss %.4f\n",
            session->teacher->info.network, session->teacher->file, scores->top1, scores->top5,
            scores->loss);
    if (session->teacher->training)
        fprintf(stderr, "teacher in training: statistics of each batch in its batch norms\n");
}

static ctkd_status open_store(struct ctkd__session *session, ctkd_error *err)
{
    char note[CTKD__STORE_NOTE];
    const ctkd_status status = ctkd__session_open_store(session, note, err);
    if (note[0])
        fprintf(stderr, "teacher.store: %s\n", note);
    return status;
}

static void show_resumed(const struct ctkd__session *session, const struct ctkd__run *run,
                         const char *note)
{
    ctkd__cli_note(run->dir, note);
    fprintf(stderr, "resumed: epoch %" PRIu64 ", step %" PRIu64 " of %" PRIu64 "\n",
            session->state.epoch, session->state.epoch_step, session->schedule.steps_per_epoch);
}

static ctkd_status train(const struct ctkd__command *command, const struct ctkd__start *start,
                         double began, ctkd_error *err)
{
    struct ctkd__session *const session = start->session;
    struct ctkd__scores teacher;
    ctkd_status status = CTKD_OK;
    if (session->teacher) {
        status = ctkd__session_evaluate_teacher(session, &teacher, err);
        if (status != CTKD_OK)
            return status;
        show_teacher(session, &teacher);
        status = open_store(session, err);
        if (status != CTKD_OK)
            return status;
    }
    struct ctkd__run run;
    char note[CTKD__CHECKPOINT_NOTE];
    status = ctkd__start_run(start, &run, note, err);
    if (status == CTKD_OK) {
        if (start->resume)
            show_resumed(session, &run, note);
        show_session(session, &run);
        if (!start->resume)
            status = note_findings(session, &run, &teacher, err);
        const struct ctkd__loop loop = { .session = session,
                                         .run = &run,
                                         .command = command->name,
                                         .teacher_scores = session->teacher ? &teacher : NULL,
                                         .stop = ctkd__stop_asked(),
                                         .now = ctkd__stop_now(),
                                         .leave = ctkd__stop_leave,
                                         .began = began,
                                         .resumed = start->resume,
                                         .progress = stderr };
        if (status == CTKD_OK)
            status = ctkd__loop_run(&loop, err);
    }
    ctkd__run_close(&run);
    return status;
}

/* The configuration of a run. */
static ctkd_status configure(const struct ctkd__line *line, const struct ctkd__arguments *arguments,
                             bool distil, struct ctkd__config *config, ctkd_error *err)
{
    ctkd_status status = ctkd__cli_configure(line, arguments, distil, config, err);
    if (status == CTKD_OK)
        status = ctkd__config_check(config, distil, err);
    if (status == CTKD_OK)
        status = ctkd__run_resolve(config, distil, err);
    return status;
}

/* The run that the command line asks for, to be tried out: what would refuse it does so here. */
static int try_out(const struct ctkd__command *command, struct ctkd__config *config, bool distil,
                   bool resume)
{
    ctkd_error err = { 0 };
    ctkd_status status = ctkd__run_check_free(config, &err);
    if (status == CTKD_OK) /* as the run would record it */
        status = ctkd__sections_set(ctkd__config_sections(config), "dry run", "run.force", "false",
                                    &err);
    if (status == CTKD_OK)
        status = ctkd__dry_run(command, config, distil, resume, &err);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

static int configure_and_train(const struct ctkd__command *command, bool distil, int argc,
                               char **argv, struct ctkd__config *config)
{
    struct ctkd__line line;
    struct ctkd__arguments arguments;
    struct ctkd__session *session = NULL;
    ctkd_error err = { 0 };
    int ended;
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended))
        return ended;
    if (configure(&line, &arguments, distil, config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    const double began = ctkd__clock_seconds();
    bool resume;
    ctkd_status status = ctkd__start_plan(config, &resume, &err);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    if (ctkd__line_has(&line, DRY_RUN))
        return try_out(command, config, distil, resume);
    ctkd__stop_watch();
    status = ctkd__session_open(config, distil, NULL, &session, &err);
    const struct ctkd__start start = { command->name, resume, session,
                                       arguments.n_positionals ? arguments.positionals[0] : NULL };
    if (status == CTKD_OK)
        status = train(command, &start, began, &err);
    ctkd__session_close(session);
    if (status == CTKD_OK)
        return CTKD__EXIT_DONE;
    const int failed = ctkd__cli_failed(&err);
    if (status != CTKD_EINTERRUPTED)
        return failed;
    return ctkd__stop_status(*ctkd__stop_asked());
}

int ctkd__cli_train(const struct ctkd__command *command, bool distil, int argc, char **argv)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    const int status = configure_and_train(command, distil, argc, argv, config);
    ctkd__config_destroy(config);
    return status;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_train(command, false, argc, argv);
}

const struct ctkd__command ctkd__command_train = {
    .name = "train",
    .arguments = "[CONFIG] [key=value ...]",
    .summary = "train a network on labels: a teacher or a baseline",
    .details = "CONFIG is a YAML file, or a run directory, which stands for the config.yaml in it, "
               "wherever the directory has been copied or moved. student.network names the network "
               "that is trained.\n\n"
               "The run directory then holds config.yaml, log.jsonl, summary.json, "
               "last.safetensors, best.safetensors (the weights of the epoch with the best test "
               "top-1) and last.ckpt, from which --resume continues bit for bit.\n\n"
               "--dry-run prints the resolved configuration with the parameters, multiply-adds, "
               "memory and, from a few measured steps, the expected minutes of the run. Its output "
               "is a CONFIG.\n\n"
               "Exit status: 0 the run is done; 75 it was saved and can be resumed later "
               "(train.max_minutes, SIGUSR1, SIGUSR2, SIGXCPU); 129, 130 and 143 it was saved "
               "after SIGHUP, SIGINT and SIGTERM; 1 it failed; 2 the command line or the "
               "configuration is wrong.",
    .flags = ctkd__train_flags,
    .names_max = 1,
    .options = true,
    .run = run,
};
