#include "cli/cli.h"

#include <math.h>

#include "io/jsonl.h"
#include "train/resize_trials.h"
#include "train/teacher.h"
#include "util/error.h"

static void print_trials(const struct ctkd__teacher *network, const struct ctkd__trials *trials)
{
    const struct ctkd__network_info *const info = &network->info;
    printf("%s\n  network    %s, %zu classes, images %zux%zux%zu\n", network->file,
           info->network[0] ? info->network : "(imported)", info->classes, info->channels,
           info->height, info->width);
    if (network->note[0])
        printf("  weights    %s\n", network->note);
    for (size_t i = 0; i < trials->count; i++) {
        const struct ctkd__trial *const trial = &trials->items[i];
        char resized[40] = "";
        if (trial->resize)
            snprintf(resized, sizeof resized, " resized to %zu", trial->resize);
        printf("  constants  %-34s top-1 %6.2f %% of %zu images%s\n", trial->name, trial->top1,
               trials->n, resized);
    }
}

static void print_resizes(const struct ctkd__resize_trials *resizes)
{
    for (size_t i = 0; i < resizes->count; i++)
        printf("  resize     %-34zu top-1 %6.2f %% of %zu images\n", resizes->items[i].resize,
               resizes->items[i].scores.top1, resizes->items[i].scores.n);
    if (resizes->count)
        printf("             %zu fits %s: it has %zu images right that %zu has wrong, and %zu the "
               "other way\n",
               resizes->items[1].resize, resizes->best ? "better" : "no better than chance says",
               resizes->gained, resizes->items[0].resize, resizes->lost);
}

static void json_resizes(struct ctkd__jsonl *json, const struct ctkd__resize_trials *resizes)
{
    if (resizes->count)
        ctkd__jsonl_integer(json, "resize", (int64_t)resizes->items[resizes->best].resize);
    ctkd__jsonl_list_begin(json, "resizes");
    for (size_t i = 0; i < resizes->count; i++) {
        ctkd__jsonl_item_begin(json);
        ctkd__jsonl_integer(json, "resize", (int64_t)resizes->items[i].resize);
        ctkd__jsonl_number(json, "top1", resizes->items[i].scores.top1);
        ctkd__jsonl_number(json, "top5", resizes->items[i].scores.top5);
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
}

static ctkd_status report(const struct ctkd__evaluation *found, const struct ctkd__trials *trials,
                          const struct ctkd__resize_trials *resizes, bool as_json, ctkd_error *err)
{
    const struct ctkd__trial *const best = &trials->items[trials->best];
    if (as_json) {
        struct ctkd__jsonl json = { .stream = stdout };
        ctkd__jsonl_begin(&json);
        ctkd__jsonl_string(&json, "network", found->info.network);
        ctkd__jsonl_string(&json, "dataset", found->info.dataset);
        ctkd__jsonl_string(&json, "constants", best->name);
        ctkd__jsonl_string(&json, "mean", best->mean);
        ctkd__jsonl_string(&json, "std", best->std);
        ctkd__jsonl_number(&json, "top1", found->scores.top1);
        ctkd__jsonl_number(&json, "promised_top1",
                           found->promised ? found->info.top1 : (double)NAN);
        ctkd__jsonl_integer(&json, "n", (int64_t)found->scores.n);
        json_resizes(&json, resizes);
        return ctkd__jsonl_end(&json, err);
    }
    print_resizes(resizes);
    printf("  accuracy   top-1 %.2f %%, top-5 %.2f %% of %zu images, constants %s\n",
           found->scores.top1, found->scores.top5, found->scores.n, best->name);
    if (found->promised)
        printf("  promised   top-1 %.2f %%\n", found->info.top1);
    if (trials->best)
        printf("  set        teacher.mean=%s teacher.std=%s\n", best->mean, best->std);
    if (resizes->best)
        printf("  set        data.resize=%zu\n", resizes->items[resizes->best].resize);
    return CTKD_OK;
}

/* Tries all constants on a part of the test images, resized as usual, and evaluates the best of
   them on all. */
static ctkd_status evaluate_best(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                                 bool as_json, ctkd_error *err)
{
    struct ctkd__trials trials;
    struct ctkd__evaluation found;
    struct ctkd__resize_trials resizes;
    ctkd_status status = ctkd__resize_try_normalisations(evaluator, network, &trials, err);
    if (status == CTKD_OK && !as_json)
        print_trials(network, &trials);
    if (status == CTKD_OK && trials.best)
        status = ctkd__teacher_normalise(network, &evaluator->data.images,
                                         trials.items[trials.best].mean,
                                         trials.items[trials.best].std, err);
    if (status == CTKD_OK)
        status = ctkd__resize_try(evaluator, network, &found, &resizes, err);
    return status == CTKD_OK ? report(&found, &trials, &resizes, as_json, err) : status;
}

static ctkd_status check(const char *path, const struct ctkd__config *config, bool as_json,
                         ctkd_error *err)
{
    struct ctkd__evaluator evaluator;
    struct ctkd__teacher *network;
    char file[1024];
    ctkd_status status =
        ctkd__network_file_find(path, file, sizeof file, err); /* before the data */
    if (status == CTKD_OK)
        status = ctkd__evaluator_open(config, NULL, &evaluator, err);
    if (status != CTKD_OK)
        return status;
    ctkd__cli_note_threads(&evaluator.engine);
    const struct ctkd__facts facts = ctkd__data_facts(&evaluator.data);
    ctkd__cli_note_unused(config, CTKD__READER_EVALUATES, &facts, "`ctkd check`",
                          ctkd__command_check.keys);
    status =
        ctkd__evaluator_network(&evaluator, CTKD__EVALUATED_TEACHER, path, config->teacher.mean,
                                config->teacher.std, config->teacher.classes, &network, err);
    if (status == CTKD_OK)
        status = evaluate_best(&evaluator, network, as_json, err);
    ctkd__teacher_close(network);
    ctkd__evaluator_close(&evaluator);
    return status;
}

enum { JSON };
static const struct ctkd__flag flags[] = { [JSON] = CTKD__FLAG_JSON, CTKD__FLAG_END };

static int configure_and_check(const struct ctkd__command *command, int argc, char **argv,
                               struct ctkd__config *config)
{
    struct ctkd__line line;
    struct ctkd__arguments arguments;
    ctkd_error err = { 0 };
    int ended;
    const struct ctkd__sections sections = ctkd__config_sections(config);
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended))
        return ended;
    if (ctkd__sections_set(sections, "DATA", "data.set", arguments.positionals[1], &err) !=
            CTKD_OK ||
        ctkd__arguments_apply(line.n_configuration, line.argv, config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    ctkd__cli_note_unused(config, CTKD__READER_EVALUATES, NULL, "`ctkd check`", command->keys);
    if (check(arguments.positionals[0], config, ctkd__line_has(&line, JSON), &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    return CTKD__EXIT_DONE;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    return ctkd__cli_with_config(command, argc, argv, configure_and_check);
}

static const char *const keys[] = { CTKD__TEST_IMAGE_KEYS, CTKD__ENGINE_KEYS,
                                    "teacher.network",     "teacher.weights",
                                    "teacher.classes",     "teacher.mean",
                                    "teacher.std",         NULL };

const struct ctkd__command ctkd__command_check = {
    .name = "check",
    .arguments = "TEACHER DATA [key=value ...]",
    .summary = "measure a teacher and find the normalisation that it expects",
    .details = "TEACHER is a run directory or a file of weights; DATA is a data set, written as "
               "for data.set. teacher.network names the network where the file does not.\n\n"
               "The known normalisation constants, among them those for pixels from 0 to 1, from "
               "-1 to 1 and from 0 to 255, are tried on some 1000 test images, and the best of "
               "them on all. Where they are clearly better than those of the file or the data set, "
               "the settings to use are printed.\n\n"
               "Image files of which the file does not say how they are resized before the centre "
               "is cropped are evaluated twice, and all constants are tried with both sizes: for "
               "views of 224 resized to 256, as for "
               "torchvision's V1 weights, and to 232, as for V2; for others in proportion. "
               "data.resize evaluates one size.",
    .keys = keys,
    .options = true,
    .flags = flags,
    .names_min = 2,
    .names_max = 2,
    .weights = true,
    .run = run,
};
