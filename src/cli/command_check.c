#include "cli/cli.h"

#include <math.h>
#include <string.h>

#include "io/jsonl.h"
#include "train/measure.h"
#include "util/error.h"

enum { SUBSET = 1000 };

/* What there is to begin with: teacher.mean and .std, else the constants of the file or the data.
 */
static struct ctkd__constants given_by(const struct ctkd__config *config)
{
    const bool own = config->teacher.mean[0] || config->teacher.std[0];
    return (struct ctkd__constants){ own ? "as teacher.mean and .std say"
                                         : "as the file or the data set says",
                                     config->teacher.mean, config->teacher.std, 0 };
}

/* Candidate `i`, the given constants first; NULL behind the last. */
static const struct ctkd__constants *candidate(const struct ctkd__constants *given, size_t i,
                                               size_t channels)
{
    if (i == 0)
        return given;
    const struct ctkd__constants *at = ctkd__known_constants;
    for (; at->name; at++)
        if ((at->channels == 0 || at->channels == channels) && --i == 0)
            return at;
    return NULL;
}

/* Tries all constants on a part of the test images; *best is the one to use. Another one than the
   given is taken when it is better by more than chance: three standard errors of both. */
static ctkd_status try_constants(const char *path, struct ctkd__config *config, bool quiet,
                                 const struct ctkd__constants *given,
                                 const struct ctkd__constants **best, ctkd_error *err)
{
    struct ctkd__measure measure;
    struct ctkd__measurement found;
    double first = 0, top = -1;
    const int64_t limit = config->data.test_limit;
    if (limit == 0 || limit > SUBSET)
        config->data.test_limit = SUBSET;
    ctkd_status status = ctkd__measure_open(config, &measure, err);
    if (status == CTKD_ERANGE && limit == 0) { /* a data set of fewer images */
        config->data.test_limit = 0;
        *err = (ctkd_error){ 0 };
        status = ctkd__measure_open(config, &measure, err);
    }
    config->data.test_limit = limit;
    const struct ctkd__constants *at;
    for (size_t i = 0;
         status == CTKD_OK && (at = candidate(given, i, measure.data.images.channels)) != NULL;
         i++) {
        status = ctkd__measure_run(&measure, CTKD__MEASURE_TEACHER, path, at->mean, at->std, &found,
                                   err);
        if (status != CTKD_OK)
            break;
        if (!quiet && i == 0)
            printf("%s\n  network    %s, %zu classes, images %zux%zux%zu\n", found.file,
                   found.info.network[0] ? found.info.network : "(imported)", found.info.classes,
                   found.info.channels, found.info.height, found.info.width);
        if (!quiet && i == 0 && found.note[0])
            printf("  weights    %s\n", found.note);
        if (!quiet)
            printf("  constants  %-34s top-1 %6.2f %% of %zu images\n", at->name, found.score.top1,
                   found.score.n);
        if (i == 0)
            first = found.score.top1;
        const double error = 3 * 100 * sqrt(0.5 / (double)found.score.n);
        if (i == 0 || (found.score.top1 > top && found.score.top1 > first + error)) {
            top = found.score.top1;
            *best = at;
        }
    }
    if (measure.config)
        ctkd__measure_close(&measure);
    return status;
}

static ctkd_status report(const struct ctkd__measurement *found, const struct ctkd__constants *best,
                          bool is_new, bool as_json, ctkd_error *err)
{
    if (as_json) {
        struct ctkd__jsonl json = { .stream = stdout };
        ctkd__jsonl_begin(&json);
        ctkd__jsonl_string(&json, "network", found->info.network);
        ctkd__jsonl_string(&json, "dataset", found->info.dataset);
        ctkd__jsonl_string(&json, "constants", best->name);
        ctkd__jsonl_string(&json, "mean", best->mean);
        ctkd__jsonl_string(&json, "std", best->std);
        ctkd__jsonl_number(&json, "top1", found->score.top1);
        ctkd__jsonl_number(&json, "promised_top1",
                           found->promised ? found->info.top1 : (double)NAN);
        ctkd__jsonl_integer(&json, "n", (int64_t)found->score.n);
        return ctkd__jsonl_end(&json, err);
    }
    printf("  accuracy   top-1 %.2f %%, top-5 %.2f %% of %zu images, constants %s\n",
           found->score.top1, found->score.top5, found->score.n, best->name);
    if (found->promised)
        printf("  promised   top-1 %.2f %%\n", found->info.top1);
    if (is_new)
        printf("  set        teacher.mean=%s teacher.std=%s\n", best->mean, best->std);
    return CTKD_OK;
}

static ctkd_status check(const char *path, struct ctkd__config *config, bool as_json,
                         ctkd_error *err)
{
    const struct ctkd__constants given = given_by(config), *best = &given;
    struct ctkd__measure measure;
    struct ctkd__measurement found;
    char file[1024];
    ctkd_status status =
        ctkd__network_file_find(path, file, sizeof file, err); /* before the data */
    if (status == CTKD_OK)
        status = try_constants(path, config, as_json, &given, &best, err);
    if (status == CTKD_OK)
        status = ctkd__measure_open(config, &measure, err);
    if (status != CTKD_OK)
        return status;
    status = ctkd__measure_run(&measure, CTKD__MEASURE_TEACHER, path, best->mean, best->std, &found,
                               err);
    if (status == CTKD_OK)
        status = report(&found, best, best != &given, as_json, err);
    ctkd__measure_close(&measure);
    return status;
}

static int configure_and_check(const struct ctkd__command *command, int argc, char **argv,
                               struct ctkd__config *config)
{
    struct ctkd__arguments arguments;
    ctkd_error err = { 0 };
    const struct ctkd__sections sections = ctkd__config_sections(config);
    if (ctkd__cli_scan(command, argc, argv, &arguments, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (arguments.help)
        return ctkd__cli_help(command);
    if (arguments.n_positionals != 2) {
        ctkd__fail(&err, CTKD_EINVAL, "%zu names found, expected TEACHER and DATA",
                   arguments.n_positionals);
        return ctkd__cli_misused(command, &err);
    }
    if (ctkd__sections_set(sections, "DATA", "data.set", arguments.positionals[1], &err) !=
            CTKD_OK ||
        ctkd__arguments_apply(argc, argv, config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (check(arguments.positionals[0], config, arguments.json, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    return CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    const int status = configure_and_check(command, argc, argv, config);
    ctkd__config_destroy(config);
    return status;
}

const struct ctkd__command ctkd__command_check = {
    .name = "check",
    .arguments = "TEACHER DATA [key=value ...] [--json]",
    .summary = "what a teacher is, how good it is, and which normalisation it wants",
    .details = "TEACHER is a run directory or weights (.safetensors, .pth, .onnx), DATA a data set "
               "as data.set takes it.\n"
               "The known constants are tried on 1000 test images, the best on all; where they are "
               "clearly better\n"
               "than what the file or the data set says, the settings to use are printed. "
               "Takes the keys of\n"
               "`ctkd distill`: teacher.network names the network where the file does not.",
    .options = true,
    .json = true,
    .run = run,
};
