#include "cli/cli.h"

#include <inttypes.h>

#include "cli/dry_run.h"
#include "cli/ranks.h"
#include "cli/stop.h"
#include "run/loop.h"
#include "run/notes.h"
#include "run/ranks.h"
#include "run/start.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/say.h"
#include "util/slice.h"

enum { DRY_RUN };
const struct ctkd__flag ctkd__train_flags[] = {
    [DRY_RUN] = { "--dry-run", NULL, NULL,
                  "check everything and print the run as it would be, but start and write nothing",
                  NULL },
    CTKD__FLAG_PRESET,
    CTKD__FLAG_END,
};

/* What the command line asks for besides the configuration. */
struct run_request {
    bool distil, dry;
    const char *recipe; /* a CONFIG, or NULL */
};

static void show_ranks(const struct ctkd__session *session)
{
    const size_t ranks = ctkd__dist_size(session->dist), slices = session->engine.slices;
    const bool whole_groups = !session->engine.pass_dist;
    char own[128] = "";
    if (!whole_groups && !ctkd__slices_fit(slices, ranks))
        snprintf(own, sizeof own,
                 "; %zu slices of a rank are no power of two: another number of ranks has other "
                 "bits",
                 slices / ranks);
    ctkd__say(stderr, "%zu ranks by %s, %zu slices of a batch%s%s", ranks,
              ctkd__dist_version(session->dist), slices, own,
              whole_groups ? "-norm group; each rank has whole groups"
              : ctkd__dist_concurrent(session->dist)
                  ? ""
                  : "; this MPI lets only one thread use it: gradients are exchanged behind the "
                    "backward pass");
}

static void show_session(const struct ctkd__session *session, const struct ctkd__run *run)
{
    const struct ctkd__network_info *info = &session->info;
    const size_t threads = ctkd__workers_count(session->engine.workers);
    ctkd__cli_note("student.init", session->note);
    ctkd__say(stderr, "%s, %zu training and %zu test images of %zux%zux%zu, %zu classes",
              info->dataset, ctkd__loader_samples(session->data.train),
              ctkd__loader_samples(session->data.test), info->channels, info->height, info->width,
              info->classes);
    if (session->data.dev)
        ctkd__say(stderr,
                  "%zu of the training images are held out, by which the best epoch is chosen "
                  "(data.dev)",
                  ctkd__loader_samples(session->data.dev));
    ctkd__say(stderr, "%s, %zu parameters, %s kernels, %zu thread%s, run directory %s",
              info->network, ctkd__graph_trainable(session->graph), session->engine.kernels->name,
              threads, threads == 1 ? "" : "s", run->dir);
    if (session->dist)
        show_ranks(session);
}

/* Notes the problems that `ctkd doctor` would find, and how to fix them. */
static ctkd_status note_findings(struct ctkd__session *session, const struct ctkd__run *run,
                                 const struct ctkd__scores *teacher, ctkd_error *err)
{
    struct ctkd__findings findings = { 0 };
    ctkd_status status = CTKD_OK;
    ctkd__preflight_session(session, &findings);
    if (session->teacher) /* all ranks try its constants */
        status = ctkd__preflight_teacher(session, teacher, &findings, err);
    if (run)
        ctkd__note_findings(run->dir, &findings, 0, "", stderr);
    return status;
}

static void show_teacher(const struct ctkd__session *session, const struct ctkd__scores *scores)
{
    ctkd__cli_note(session->teacher->file, session->teacher->note);
    ctkd__say(stderr, "teacher %s (%s): test top-1 %.2f %%, top-5 %.2f %%, loss %.4f",
              session->teacher->info.network, session->teacher->file, scores->top1, scores->top5,
              scores->loss);
    if (session->teacher->training)
        ctkd__say(stderr, "teacher in training: statistics of each batch in its batch norms");
}

static ctkd_status open_store(struct ctkd__session *session, ctkd_error *err)
{
    char note[CTKD__STORE_NOTE];
    const ctkd_status status = ctkd__session_open_store(session, note, err);
    if (note[0] && ctkd__dist_rank(session->dist) == 0)
        ctkd__say(stderr, "teacher.store: %s", note);
    return status;
}

static void show_resumed(const struct ctkd__session *session, const struct ctkd__run *run,
                         const char *note)
{
    ctkd__cli_note(run->dir, note);
    if (session->state.stage == CTKD_STAGE_MAIN && session->state.epoch > session->schedule.epochs)
        ctkd__say(stderr,
                  "resumed: all %" PRIu64 " epochs are done; a greater train.epochs continues them",
                  session->schedule.epochs);
    else
        ctkd__say(stderr, "resumed: epoch %" PRIu64 ", step %" PRIu64 " of %" PRIu64,
                  session->state.epoch, session->state.epoch_step,
                  session->schedule.steps_per_epoch);
}

/* Evaluates the teacher on the test images and opens its store, on all ranks. */
static ctkd_status measure_teacher(struct ctkd__session *session, struct ctkd__scores *scores,
                                   ctkd_error *err)
{
    if (!session->teacher)
        return CTKD_OK;
    ctkd_status status = ctkd__session_evaluate_teacher(session, scores, err);
    if (status != CTKD_OK)
        return status;
    if (ctkd__dist_rank(session->dist) == 0)
        show_teacher(session, scores);
    return open_store(session, err);
}

/* Creates or opens the run directory; of several ranks only the first has one. */
static ctkd_status start_files(const struct ctkd__start *start, struct ctkd__run *run,
                               ctkd_error *err)
{
    char note[CTKD__CHECKPOINT_NOTE];
    const ctkd_status status = ctkd__start_run(start, run, note, err);
    if (status != CTKD_OK)
        return status;
    if (start->resume)
        show_resumed(start->session, run, note);
    show_session(start->session, run);
    return CTKD_OK;
}

static ctkd_status train(const struct ctkd__command *command, const struct ctkd__start *start,
                         double began, ctkd_error *err)
{
    struct ctkd__session *const session = start->session;
    const bool first = ctkd__dist_rank(session->dist) == 0;
    struct ctkd__scores teacher;
    struct ctkd__run run = { .lock = -1 };
    ctkd_status status = ctkd__ranks_compare(session, command->name, err);
    if (status == CTKD_OK)
        status = measure_teacher(session, &teacher, err);
    if (status != CTKD_OK)
        return status;
    if (first)
        status = start_files(start, &run, err);
    status = ctkd__dist_agree(session->dist, status, err);
    if (status == CTKD_OK)
        status = ctkd__checkpoint_share(session, err);
    if (status == CTKD_OK && !start->resume)
        status = note_findings(session, first ? &run : NULL, &teacher, err);
    const struct ctkd__loop loop = { .session = session,
                                     .run = first ? &run : NULL,
                                     .command = command->name,
                                     .teacher_scores = session->teacher ? &teacher : NULL,
                                     .stop = ctkd__stop_asked(),
                                     .now = first ? ctkd__stop_now() : NULL,
                                     .leave = ctkd__stop_leave,
                                     .began = began,
                                     .resumed = start->resume,
                                     .progress = first ? stderr : NULL };
    if (status == CTKD_OK)
        status = ctkd__loop_run(&loop, err);
    if (first)
        ctkd__run_close(&run);
    return status;
}

/* The configuration of a run. */
static ctkd_status configure(const struct ctkd__line *line, const struct ctkd__arguments *arguments,
                             bool distil, struct ctkd__config *config, ctkd_error *err)
{
    const ctkd_status status = ctkd__cli_configure(line, arguments, distil, config, err);
    return status == CTKD_OK ? ctkd__cli_settle(config, distil, err) : status;
}

/* Tries out the run that the command line asks for; refuses what the run would refuse. */
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

/* Decides on the rank that has the files what run.resume means. */
static ctkd_status plan(struct ctkd__config *config, struct ctkd__dist *dist, bool *resume,
                        ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    *resume = false;
    if (ctkd__dist_rank(dist) == 0)
        status = ctkd__start_plan(config, resume, err);
    uint64_t word = *resume;
    status = ctkd__dist_agree(dist, status, err);
    if (status == CTKD_OK)
        status = ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &word, err);
    *resume = word != 0;
    return status;
}

/* For a status that all ranks have and one has printed: all leave together. */
static int leave_together(struct ctkd__dist *dist, int status)
{
    ctkd__dist_close(dist);
    return status;
}

static int run_ranks(const struct ctkd__command *command, const struct run_request *request,
                     struct ctkd__config *config, struct ctkd__dist *dist)
{
    const double began = ctkd__clock_seconds();
    struct ctkd__session *session = NULL;
    ctkd_error err = { 0 };
    bool resume;
    ctkd__dist_set_timeout(dist, (double)config->train.timeout_seconds);
    ctkd_status status = plan(config, dist, &resume, &err);
    if (status != CTKD_OK)
        return leave_together(dist, ctkd__ranks_failed(dist, &err));
    if (request->dry)
        return try_out(command, config, request->distil, resume);
    ctkd__stop_watch();
    status = ctkd__session_open(config, request->distil, dist, &session, &err);
    const struct ctkd__start start = { command->name, resume, session, request->recipe };
    if (status == CTKD_OK)
        ctkd__cli_note_unused_in(session);
    if (status == CTKD_OK)
        status = train(command, &start, began, &err);
    int ended = CTKD__EXIT_DONE;
    if (status == CTKD_EINTERRUPTED) { /* all ranks are */
        if (ctkd__dist_rank(dist) == 0)
            ctkd__cli_failed(&err);
        ended = ctkd__stop_status(*ctkd__stop_asked());
    } else if (status != CTKD_OK) {
        ended = ctkd__ranks_failed(dist, &err);
    }
    ctkd__session_close(session);
    return leave_together(dist, ended);
}

static int configure_and_train(const struct ctkd__command *command, bool distil, int argc,
                               char **argv, struct ctkd__config *config)
{
    struct ctkd__line line;
    struct ctkd__arguments arguments;
    struct ctkd__dist *dist = NULL;
    ctkd_error err = { 0 };
    int ended;
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended))
        return ended;
    const struct run_request request = { distil, ctkd__line_has(&line, DRY_RUN),
                                         arguments.n_positionals ? arguments.positionals[0]
                                                                 : NULL };
    if (!request.dry)
        ctkd__stop_watch_warnings();
    if (!ctkd__ranks_meet(false, &dist, &ended))
        return ended;
    ctkd_status status = configure(&line, &arguments, distil, config, &err);
    if (status == CTKD_OK && dist && request.dry)
        status = ctkd__fail(&err, CTKD_EINVAL, "--dry-run: found %zu ranks, expected one process",
                            ctkd__dist_size(dist));
    if (ctkd__dist_agree(dist, status, &err) != CTKD_OK)
        return leave_together(dist, ctkd__ranks_misused(dist, command, &err));
    if (!dist && config->train.mpi == CTKD__MPI_YES && !ctkd__ranks_meet(true, &dist, &ended))
        return ended;
    return run_ranks(command, &request, config, dist);
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
               "last.safetensors, best.safetensors (the weights of the best epoch, chosen on the "
               "test images unless data.dev holds others out) and last.ckpt, from which --resume "
               "continues bit for bit.\n\n"
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
    .ranks = true,
    .run = run,
};
