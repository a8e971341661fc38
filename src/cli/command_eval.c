#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "cli/ranks.h"
#include "io/jsonl.h"
#include "io/npy.h"
#include "report/metrics_write.h"
#include "run/origin.h"
#include "train/evaluator.h"
#include "train/teacher.h"
#include "util/error.h"
#include "util/file.h"

/* What is asked for, and what was found. */
struct evaluated {
    bool details;
    const char *teacher, *dump; /* NULL: not asked for */
    struct ctkd__evaluation found;
    char note[CTKD__NOTE_BYTES]; /* on the normalisation; "": nothing */
    const char *normalisation;
    struct ctkd__predictions student_predictions, teacher_predictions;
    struct ctkd__metrics metrics;
};

/* Keeps the logits only if they are needed: those of a large data set take much memory. */
static ctkd_status run_student(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                               struct evaluated *e, ctkd_error *err)
{
    return ctkd__evaluator_run(evaluator, network, &e->found,
                               e->details || e->dump ? &e->student_predictions : NULL, err);
}

/* Where the data set's constants are only a guess and give poor results, tries the usual ones and
   evaluates with the best. The note says so. */
static ctkd_status doubt(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                         struct evaluated *e, ctkd_error *err)
{
    struct ctkd__trials trials;
    if (network->normalisation_source != CTKD__SOURCE_DATA ||
        !ctkd__normalisation_doubtful(e->found.scores.top1, e->found.info.classes))
        return CTKD_OK;
    ctkd_status status = ctkd__evaluator_try_normalisations(evaluator, network, &trials, err);
    if (status != CTKD_OK || trials.best == 0)
        return status;
    const struct ctkd__trial *const best = &trials.items[trials.best];
    snprintf(e->note, sizeof e->note,
             "does not say how its images are normalised: %s (teacher.mean=%s teacher.std=%s) is "
             "used, which gives %.2f %% of %zu images, against %.2f %% with %s",
             best->name, best->mean, best->std, best->top1, trials.n, trials.items[0].top1,
             trials.items[0].name);
    status = ctkd__teacher_normalise(network, &evaluator->data.images, best->mean, best->std, err);
    if (status != CTKD_OK)
        return status;
    ctkd__predictions_free(&e->student_predictions);
    return run_student(evaluator, network, e, err);
}

static ctkd_status evaluate_student(struct ctkd__evaluator *evaluator, const char *path,
                                    struct evaluated *e, ctkd_error *err)
{
    struct ctkd__teacher *network;
    const struct ctkd__config *const config = evaluator->config;
    ctkd_status status = ctkd__evaluator_network(
        evaluator, CTKD__EVALUATED_STUDENT, path, config->teacher.mean, config->teacher.std,
        e->teacher ? "" : config->teacher.classes, &network, err);
    if (status == CTKD_OK)
        status = run_student(evaluator, network, e, err);
    if (status == CTKD_OK)
        status = doubt(evaluator, network, e, err);
    if (status == CTKD_OK)
        e->normalisation = e->note[0] ? "tried" : ctkd__source_text(network->normalisation_source);
    ctkd__teacher_close(network);
    return status;
}

static ctkd_status evaluate(const char *path, const struct ctkd__config *config,
                            struct ctkd__dist *dist, struct evaluated *e, ctkd_error *err)
{
    struct ctkd__evaluator evaluator;
    ctkd_status status = ctkd__evaluator_open(config, dist, &evaluator, err);
    if (status != CTKD_OK)
        return status;
    ctkd__cli_note_threads(&evaluator.engine);
    const struct ctkd__facts facts = ctkd__data_facts(&evaluator.data);
    ctkd__cli_note_unused(config, CTKD__READER_EVALUATES, &facts, "`ctkd eval`",
                          ctkd__command_eval.keys);
    status = evaluate_student(&evaluator, path, e, err);
    if (status == CTKD_OK && e->teacher)
        status = ctkd__evaluator_predict_teacher(
            &evaluator, e->teacher, "", "", &e->student_predictions, &e->teacher_predictions, err);
    ctkd__evaluator_close(&evaluator);
    const struct ctkd__predictions *const p = &e->student_predictions;
    if (status == CTKD_OK && e->details)
        status = ctkd__metrics(p->n, p->classes, p->logits, p->labels,
                               e->teacher_predictions.logits, &e->metrics, err);
    return status;
}

/* --- logits as files */

static ctkd_status dump_integers(const char *path, const int32_t *values, size_t n, ctkd_error *err)
{
    int64_t *const wide = calloc(n, sizeof *wide);
    if (!wide)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < n; i++)
        wide[i] = values ? values[i] : (int64_t)i;
    const ctkd_status status = ctkd__npy_write_integers(path, wide, n, err);
    free(wide);
    return status;
}

static ctkd_status dump_logits(const char *path, const struct ctkd__predictions *p, ctkd_error *err)
{
    return p->n ? ctkd__npy_write_floats(path, p->logits, p->n, p->classes, err) : CTKD_OK;
}

static ctkd_status dump(const struct evaluated *e, ctkd_error *err)
{
    static const char *const names[] = { "logits", "labels", "ids", "teacher_logits" };
    char paths[4][1100];
    const struct ctkd__predictions *const p = &e->student_predictions;
    if (strlen(e->dump) >= 1024)
        return ctkd__fail(err, CTKD_EINVAL, "--dump: the name has %zu bytes, expected at most 1023",
                          strlen(e->dump));
    for (size_t i = 0; i < 4; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s.npy", e->dump, names[i]);
    ctkd_status status = ctkd__folders_create(e->dump, err);
    if (status == CTKD_OK)
        status = dump_logits(paths[0], p, err);
    if (status == CTKD_OK)
        status = dump_integers(paths[1], p->labels, p->n, err);
    if (status == CTKD_OK)
        status = dump_integers(paths[2], NULL, p->n, err);
    return status == CTKD_OK ? dump_logits(paths[3], &e->teacher_predictions, err) : status;
}

/* --- output */

static const char *const *class_names(const struct evaluated *e)
{
    const struct ctkd__names *const names = e->found.info.class_names;
    return names ? names->items : NULL;
}

static ctkd_status print_json(const struct evaluated *e, ctkd_error *err)
{
    const struct ctkd__scores *const scores = &e->found.scores;
    struct ctkd__jsonl json = { .stream = stdout };
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "network", e->found.info.network);
    ctkd__jsonl_string(&json, "dataset", e->found.info.dataset);
    ctkd__jsonl_number(&json, "top1", scores->top1);
    ctkd__jsonl_number(&json, "top5", scores->top5);
    ctkd__jsonl_number(&json, "loss", scores->loss);
    ctkd__jsonl_integer(&json, "n", (int64_t)scores->n);
    ctkd__jsonl_string(&json, "constants", e->normalisation);
    if (e->details)
        ctkd__metrics_json(&e->metrics, class_names(e), &json);
    return ctkd__jsonl_end(&json, err);
}

static void print_text(const struct evaluated *e)
{
    const struct ctkd__scores *const scores = &e->found.scores;
    printf("%s on %s: top-1 %.2f %%, top-5 %.2f %%, loss %.4f, n %zu\n",
           e->found.info.network[0] ? e->found.info.network : "(imported)", e->found.info.dataset,
           scores->top1, scores->top5, scores->loss, scores->n);
    if (e->details)
        ctkd__metrics_print(&e->metrics, class_names(e), e->teacher, stdout);
}

enum { DETAILS, TEACHER, DUMP, JSON };
static const struct ctkd__flag flags[] = {
    [DETAILS] = { "--details", NULL, NULL,
                  "add precision, recall and F1 of each class, confusions, calibration, NLL and "
                  "Brier score",
                  NULL },
    [TEACHER] = { "--teacher", NULL, "RUN_OR_FILE",
                  "evaluate this network too and add how far the student agrees with it", NULL },
    [DUMP] = { "--dump", NULL, "DIR",
               "write logits.npy, labels.npy and ids.npy (and teacher_logits.npy) into DIR", NULL },
    [JSON] = CTKD__FLAG_JSON,
    CTKD__FLAG_END,
};

/* Prints what was asked for; only rank 0 does. */
static ctkd_status tell(const struct ctkd__line *line, const struct evaluated *e, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    ctkd__cli_note(e->found.file, e->found.note);
    ctkd__cli_note(e->found.file, e->note);
    if (e->dump)
        status = dump(e, err);
    if (status == CTKD_OK && ctkd__line_has(line, JSON))
        status = print_json(e, err);
    else if (status == CTKD_OK)
        print_text(e);
    return status;
}

/* The keys that need no --teacher. */
#define ALONE                                                                                      \
    CTKD__TEST_IMAGE_KEYS, CTKD__ENGINE_KEYS, "student.network", "student.weights",                \
        "teacher.classes", "teacher.mean", "teacher.std"
static const char *const keys_alone[] = { ALONE, NULL };

static ctkd_status configure(const struct ctkd__line *line, const struct ctkd__arguments *arguments,
                             struct ctkd__config *config, bool *misused, ctkd_error *err)
{
    char origin[CTKD__NOTE_BYTES];
    ctkd_status status = ctkd__origin_configure(arguments->positionals[0], config, origin, err);
    if (status != CTKD_OK)
        return status;
    ctkd__cli_note("note", origin);
    if (!ctkd__line_value(line, TEACHER)) /* a run's are those of its teacher */
        status =
            ctkd__sections_reset(ctkd__config_sections(config), "eval", "teacher.classes", err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__arguments_apply(line->n_configuration, line->argv, config, err);
    *misused = status != CTKD_OK;
    if (status == CTKD_OK)
        ctkd__cli_note_unused(config, CTKD__READER_EVALUATES, NULL, "`ctkd eval`",
                              ctkd__line_has(line, TEACHER) ? line->command->keys : keys_alone);
    return status;
}

/* The same on all ranks. A mistake that only one of them sees is one of all, too. */
static ctkd_status configure_ranks(const struct ctkd__line *line,
                                   const struct ctkd__arguments *arguments,
                                   struct ctkd__config *config, struct ctkd__dist *dist,
                                   bool *misused, ctkd_error *err)
{
    const ctkd_status own = configure(line, arguments, config, misused, err);
    const ctkd_status status = ctkd__dist_agree(dist, own, err);
    uint64_t word = *misused;
    if (ctkd__dist_failed_together(dist))
        (void)!ctkd__dist_max(dist, CTKD__CHANNEL_MAIN, &word, NULL);
    *misused = word != 0;
    return status;
}

static int configure_and_evaluate(const struct ctkd__command *command, int argc, char **argv,
                                  struct ctkd__config *config)
{
    struct ctkd__line line;
    struct ctkd__arguments arguments;
    struct ctkd__dist *dist = NULL;
    ctkd_error err = { 0 };
    bool misused = false;
    int ended = CTKD__EXIT_DONE;
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended) ||
        !ctkd__ranks_meet(false, &dist, &ended))
        return ended;
    ctkd__dist_set_timeout(dist, (double)config->train.timeout_seconds);
    struct evaluated e = { .details =
                               ctkd__line_has(&line, DETAILS) || ctkd__line_has(&line, TEACHER),
                           .teacher = ctkd__line_value(&line, TEACHER),
                           .dump = ctkd__line_value(&line, DUMP) };
    const bool tells = ctkd__dist_rank(dist) == 0;
    ctkd_status status = configure_ranks(&line, &arguments, config, dist, &misused, &err);
    if (status == CTKD_OK)
        status = evaluate(arguments.positionals[0], config, dist, &e, &err);
    if (status == CTKD_OK && tells)
        status = tell(&line, &e, &err);
    if (status != CTKD_OK && misused) /* all ranks know of it: one prints it */
        ended = ctkd__ranks_misused(dist, command, &err);
    else if (status != CTKD_OK)
        ended = ctkd__ranks_failed(dist, &err);
    ctkd__metrics_free(&e.metrics);
    ctkd__predictions_free(&e.student_predictions);
    ctkd__predictions_free(&e.teacher_predictions);
    ctkd__dist_close(dist);
    return ended;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_with_config(command, argc, argv, configure_and_evaluate);
}

static const char *const keys[] = { ALONE, "teacher.network", "teacher.weights", NULL };

const struct ctkd__command ctkd__command_eval = {
    .name = "eval",
    .arguments = "RUN_OR_FILE [key=value ...]",
    .summary = "measure a network on the test images of a data set",
    .details =
        "RUN_OR_FILE is a run directory (its last.safetensors) or a file of weights. The data set "
        "is that of the run, if a config.yaml beside the weights agrees with them, or else the one "
        "that the file names; data.set=NAME:PATH overrides it.\n\n"
        "student.network names the network where the file does not; teacher.mean and teacher.std "
        "say how its images are normalised, and teacher.classes (without --teacher) names its "
        "outputs. Where nothing says how and the constants of the data "
        "set give poor results, the known ones are tried (see `ctkd check`), and a note says which "
        "were used.\n\n"
        "With --json one object is printed: network, dataset, top1, top5, loss, n, constants; with "
        "--details also nll, brier, ece, macro_precision, macro_recall, macro_f1, per_class, "
        "confusions, reliability and agreement, which doc/runs.md defines.",
    .keys = keys,
    .options = true,
    .ranks = true,
    .flags = flags,
    .names_min = 1,
    .names_max = 1,
    .weights = true,
    .run = run,
};
