#include "cli/cli.h"

#include <signal.h>

#include "train/loop.h"
#include "util/error.h"

static volatile sig_atomic_t stop;

/* The first signal asks for an orderly end; the second one ends at once. */
static void handle_signal(int number)
{
    stop = 1;
    signal(number, SIG_DFL);
}

static void show_session(const struct ctkd__session *session, const struct ctkd__run *run)
{
    const struct ctkd__network_info *info = &session->info;
    ctkd__cli_note("student.init", session->note);
    fprintf(stderr, "%s, %zu training and %zu test images of %zux%zux%zu, %zu classes\n",
            info->dataset, ctkd__loader_samples(session->data.train),
            ctkd__loader_samples(session->data.test), info->channels, info->height, info->width,
            info->classes);
    fprintf(stderr, "%s, %zu parameters, %s kernels, %zu threads, run directory %s\n",
            info->network, ctkd__graph_trainable(session->graph), session->engine.kernels->name,
            ctkd__workers_count(session->engine.workers), run->dir);
}

static void show_teacher(const struct ctkd__session *session, const struct ctkd__score *score)
{
    ctkd__cli_note(session->teacher->file, session->teacher->note);
    fprintf(stderr, "teacher %s (%s): test top-1 %.2f %%, top-5 %.2f %%, loss %.4f\n",
            session->teacher->info.network, session->teacher->file, score->top1, score->top5,
            score->loss);
}

static ctkd_status train(const struct ctkd__command *command, const struct ctkd__config *config,
                         struct ctkd__session *session, ctkd_error *err)
{
    struct ctkd__score teacher;
    ctkd_status status = CTKD_OK;
    if (session->teacher) {
        status = ctkd__session_check_teacher(session, &teacher, err);
        if (status != CTKD_OK)
            return status;
        show_teacher(session, &teacher);
    }
    struct ctkd__run run;
    status = ctkd__run_create(&run, config, err);
    if (status == CTKD_OK && config->train.tune)
        status = ctkd__run_save_choices(&run, session->engine.choices, err);
    if (status == CTKD_OK) {
        show_session(session, &run);
        const struct ctkd__loop loop = { .session = session,
                                         .run = &run,
                                         .command = command->name,
                                         .teacher_score = session->teacher ? &teacher : NULL,
                                         .stop = &stop,
                                         .progress = stderr };
        status = ctkd__loop_run(&loop, err);
    }
    ctkd__run_close(&run);
    return status;
}

/* The configuration of a command line. */
static ctkd_status configure(int argc, char **argv, const struct ctkd__arguments *arguments,
                             bool distil, struct ctkd__config *config, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    if (arguments->json)
        return ctkd__fail(err, CTKD_EINVAL, "--json found, expected with `ctkd eval` only");
    if (arguments->n_positionals > 1)
        return ctkd__fail(err, CTKD_EINVAL, "'%s' found, expected one CONFIG and key=value",
                          arguments->positionals[1]);
    if (arguments->n_positionals == 1)
        status =
            ctkd__sections_read_yaml(ctkd__config_sections(config), arguments->positionals[0], err);
    if (status == CTKD_OK)
        status = ctkd__arguments_apply(argc, argv, config, err);
    if (status == CTKD_OK)
        status = ctkd__config_check(config, distil, err);
    if (status == CTKD_OK)
        status = ctkd__run_resolve(config, distil, err);
    return status;
}

static int configure_and_train(const struct ctkd__command *command, bool distil, int argc,
                               char **argv, struct ctkd__config *config)
{
    struct ctkd__arguments arguments;
    struct ctkd__session *session = NULL;
    ctkd_error err = { 0 };
    if (ctkd__arguments_scan(argc, argv, &arguments, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (arguments.help)
        return ctkd__cli_help(command);
    if (configure(argc, argv, &arguments, distil, config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    signal(SIGINT, handle_signal);
    signal(SIGTERM, handle_signal);
    ctkd_status status = ctkd__run_check(config, &err); /* before minutes are spent on data */
    if (status == CTKD_OK)
        status = ctkd__session_open(config, distil, &session, &err);
    if (status == CTKD_OK)
        status = train(command, config, session, &err);
    ctkd__session_close(session);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
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
    .summary = "train a network on labels (teachers, baselines)",
    .details = "student.network is the network that is trained. The run directory then holds "
               "config.yaml,\n"
               "log.jsonl, summary.json, last.safetensors and best.safetensors (of the epoch with "
               "the best\n"
               "test top-1, over all epochs).",
    .options = true,
    .run = run,
};
