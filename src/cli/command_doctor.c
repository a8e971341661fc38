#include "cli/cli.h"

#include <stdarg.h>

#include "cli/doctor_data.h"
#include "cli/examination.h"
#include "cli/ranks.h"
#include "io/jsonl.h"
#include "run/run.h"
#include "util/error.h"

static void print_line(bool problem, const char *check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void print_line(bool problem, const char *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%-8s %-14s ", problem ? "PROBLEM" : "ok", check);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

/* --- ranks */

static void print_places(const struct ctkd__dist *dist, const struct ctkd__rank_trial *ranks)
{
    for (size_t r = 0; r < ranks->size; r++) {
        const struct ctkd__rank_place *const place = &ranks->places[r];
        const size_t other = ctkd__ranks_shared(ranks->places, r);
        char list[256], shared[96] = "";
        if (other < r)
            snprintf(shared, sizeof shared,
                     ", which it shares with rank %zu: fewer ranks on this machine are faster",
                     other);
        else if (place->threads > place->cores)
            snprintf(shared, sizeof shared, ": threads will wait for each other");
        print_line(ctkd__rank_trial_crowded(ranks, r), "placement",
                   "%s: %zu thread%s on %zu core%s (CPUs %s)%s%s", ctkd__dist_who(dist, r),
                   place->threads, place->threads == 1 ? "" : "s", place->cores,
                   place->cores == 1 ? "" : "s", ctkd__cpus_text(&place->cpus, list, sizeof list),
                   place->pinned ? ", one each" : "", shared);
    }
}

/* How the gradients are exchanged. */
static void print_overlap(const struct ctkd__rank_trial *ranks)
{
    const char *const last = ranks->whole_groups ? " of the last" : "";
    if (ranks->whole_groups)
        print_line(false, "exchange",
                   "each rank has whole batch-norm groups, and exchanges once in a step");
    if (ranks->buckets)
        print_line(false, "exchange",
                   "gradients are exchanged beside the backward pass%s, in %zu part%s", last,
                   ranks->buckets, ranks->buckets == 1 ? "" : "s");
    else
        print_line(
            false, "exchange", "gradients are exchanged behind the backward pass%s: %s", last,
            ranks->concurrent ? "train.overlap=false" : "this MPI lets only one thread use it");
}

static void print_exchange(const struct ctkd__examination *d)
{
    const struct ctkd__rank_trial *const ranks = &d->ranks;
    const struct ctkd__topic_cost *const topics = ranks->topics;
    for (int i = 0; i < CTKD__TRIALS; i++) {
        const struct ctkd__dist_trial *const trial = &ranks->trials[i];
        if (i == CTKD__TRIAL_WORD)
            print_line(false, "exchange", "latency of 4 bytes: %.4f ms", 1e3 * trial->seconds);
        else
            print_line(false, "exchange", "sum of %.3f MB%s: %.3f ms, each rank sends %.3f GB/s",
                       1e-6 * (double)trial->bytes,
                       i == CTKD__TRIAL_OWN ? " (the gradient of this run)" : "",
                       1e3 * trial->seconds, 1e-9 * ctkd__rank_trial_bandwidth(trial));
    }
    print_line(false, "exchange",
               "a step sends %.0f bytes of gradients, %.0f for batch norms, %.0f of logits and "
               "%.0f others, in %.0f exchanges",
               topics[CTKD__TOPIC_GRADIENTS].bytes, topics[CTKD__TOPIC_NORMS].bytes,
               topics[CTKD__TOPIC_LOGITS].bytes, topics[CTKD__TOPIC_OTHER].bytes,
               topics[CTKD__TOPIC_GRADIENTS].exchanges + topics[CTKD__TOPIC_NORMS].exchanges +
                   topics[CTKD__TOPIC_LOGITS].exchanges + topics[CTKD__TOPIC_OTHER].exchanges);
    print_overlap(ranks);
    print_line(false, "exchange",
               "that is predicted to take %.3f ms (gradients %.3f, batch norms %.3f, logits %.3f, "
               "others %.3f) beside a step of %.3f ms, of which %.3f ms are exposed (gradients "
               "%.3f)",
               1e3 * ranks->predicted, 1e3 * topics[CTKD__TOPIC_GRADIENTS].predicted,
               1e3 * topics[CTKD__TOPIC_NORMS].predicted,
               1e3 * topics[CTKD__TOPIC_LOGITS].predicted,
               1e3 * topics[CTKD__TOPIC_OTHER].predicted, 1e3 * d->cost.step, 1e3 * ranks->exposed,
               1e3 * topics[CTKD__TOPIC_GRADIENTS].exposed);
    print_line(false, "exchange",
               "the steps waited %.3f ms each in exchanges, which includes the time until the "
               "slowest rank was there",
               1e3 * ranks->waited);
}

static void write_places(const struct ctkd__dist *dist, const struct ctkd__rank_trial *ranks,
                         struct ctkd__jsonl *json)
{
    ctkd__jsonl_list_begin(json, "placement");
    for (size_t r = 0; r < ranks->size; r++) {
        const struct ctkd__rank_place *const place = &ranks->places[r];
        char list[1024];
        ctkd__jsonl_item_begin(json);
        ctkd__jsonl_string(json, "rank", ctkd__dist_who(dist, r));
        ctkd__jsonl_integer(json, "threads", (int64_t)place->threads);
        ctkd__jsonl_integer(json, "cores", (int64_t)place->cores);
        ctkd__jsonl_string(json, "cpus", ctkd__cpus_text(&place->cpus, list, sizeof list));
        ctkd__jsonl_boolean(json, "problem", ctkd__rank_trial_crowded(ranks, r));
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
}

static void write_exchange(const struct ctkd__rank_trial *ranks, struct ctkd__jsonl *json)
{
    static const char *const names[] = { [CTKD__TOPIC_OTHER] = "others",
                                         [CTKD__TOPIC_GRADIENTS] = "gradients",
                                         [CTKD__TOPIC_NORMS] = "batch_norms",
                                         [CTKD__TOPIC_LOGITS] = "logits" };
    ctkd__jsonl_list_begin(json, "exchange");
    for (int i = 0; i < CTKD__TRIALS; i++) {
        ctkd__jsonl_item_begin(json);
        ctkd__jsonl_integer(json, "bytes", (int64_t)ranks->trials[i].bytes);
        ctkd__jsonl_number(json, "seconds", ranks->trials[i].seconds);
        ctkd__jsonl_number(json, "bytes_per_second", ctkd__rank_trial_bandwidth(&ranks->trials[i]));
        ctkd__jsonl_item_end(json);
    }
    ctkd__jsonl_list_end(json);
    ctkd__jsonl_object_begin(json, "step_exchange");
    for (int t = 0; t < CTKD__TOPICS; t++) {
        ctkd__jsonl_object_begin(json, names[t]);
        ctkd__jsonl_number(json, "exchanges", ranks->topics[t].exchanges);
        ctkd__jsonl_number(json, "bytes", ranks->topics[t].bytes);
        ctkd__jsonl_number(json, "predicted_seconds", ranks->topics[t].predicted);
        ctkd__jsonl_number(json, "exposed_seconds", ranks->topics[t].exposed);
        ctkd__jsonl_number(json, "waited_seconds", ranks->topics[t].waited);
        ctkd__jsonl_object_end(json);
    }
    ctkd__jsonl_object_end(json);
    ctkd__jsonl_integer(json, "gradient_parts", (int64_t)ranks->buckets); /* 0: behind backward */
    ctkd__jsonl_boolean(json, "whole_groups", ranks->whole_groups);
    ctkd__jsonl_number(json, "exposed_seconds", ranks->exposed);
    ctkd__jsonl_number(json, "waited_seconds", ranks->waited);
}

/* --- output */

static void print_lines(const struct ctkd__session *session, const struct ctkd__examination *d)
{
    for (size_t i = 0; i < d->findings.count; i++) {
        const struct ctkd__finding *finding = &d->findings.items[i];
        print_line(finding->problem, finding->check, "%s", finding->text);
    }
    if (session->dist) {
        print_places(session->dist, &d->ranks);
        print_exchange(d);
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
    if (session->dist) {
        write_places(session->dist, &d->ranks, &json);
        write_exchange(&d->ranks, &json);
    }
    return ctkd__jsonl_end(&json, err);
}

/* Whether the command line sets teacher.path: then the published defaults are those of
   distilling. */
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

/* Examines the image files of data set `set` instead of a run. */
static int examine_data(const struct ctkd__command *command, const struct ctkd__line *line,
                        const char *set, struct ctkd__config *config)
{
    static const char *const keys[] = { "data.set",         "data.classes",
                                        "data.class_order", "data.exclude",
                                        "data.holdout",     "data.allow_empty",
                                        "data.max_pixels",  NULL };
    ctkd_error err = { 0 };
    if (ctkd__sections_set(ctkd__config_sections(config), "DATA", "data.set", set, &err) !=
            CTKD_OK ||
        ctkd__arguments_apply(line->n_configuration, line->argv, config, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    ctkd__cli_note_unused(config, CTKD__READER_OF_LIST, NULL, "`ctkd doctor DATA`", keys);
    return ctkd__doctor_data(config, ctkd__line_value(line, EXCLUDE), ctkd__line_has(line, JSON));
}

/* The run of a configuration, by all ranks; the first of them tells. */
static int examine_run(const struct ctkd__line *line, const struct ctkd__config *config,
                       struct ctkd__dist *dist)
{
    struct ctkd__session *session = NULL;
    struct ctkd__examination found = { .cost = { 0 } };
    ctkd_error err = { 0 };
    const bool first = ctkd__dist_rank(dist) == 0;
    ctkd__dist_set_timeout(dist, (double)config->train.timeout_seconds);
    ctkd_status status = ctkd__session_open(config, config->teacher.path[0], dist, &session, &err);
    if (status == CTKD_OK)
        ctkd__cli_note_unused_in(session);
    if (status == CTKD_OK)
        status = ctkd__ranks_compare(session, "doctor", &err);
    if (status == CTKD_OK)
        status = ctkd__examine(session, &found, &err);
    if (status == CTKD_OK && first && ctkd__line_has(line, JSON))
        status = print_json(session, &found, &err);
    else if (status == CTKD_OK && first)
        print_lines(session, &found);
    int ended = first && found.findings.problems ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
    if (status != CTKD_OK)
        ended = ctkd__ranks_failed(dist, &err);
    ctkd__examination_fini(&found);
    ctkd__session_close(session);
    return ended;
}

static ctkd_status configure(const struct ctkd__line *line, const struct ctkd__arguments *arguments,
                             struct ctkd__config *config, ctkd_error *err)
{
    if (ctkd__line_has(line, EXCLUDE))
        return ctkd__fail(err, CTKD_EINVAL,
                          "found --exclude without DATA, expected a folder of images or "
                          "imagefolder:PATH");
    const ctkd_status status =
        ctkd__cli_configure(line, arguments, names_teacher(line), config, err);
    return status == CTKD_OK ? ctkd__cli_settle(config, config->teacher.path[0], err) : status;
}

/* Between the ranks' meeting and their parting. */
static int examine_ranks(const struct ctkd__command *command, const struct ctkd__line *line,
                         const struct ctkd__arguments *arguments, struct ctkd__config *config,
                         struct ctkd__dist **dist)
{
    char set[4200];
    ctkd_error err = { 0 };
    ctkd_status status = CTKD_OK;
    int ended;
    const bool data = arguments->n_positionals &&
                      ctkd__doctor_is_data(arguments->positionals[0], set, sizeof set);
    if (data && *dist)
        status = ctkd__fail(&err, CTKD_EINVAL, "%s: found %zu ranks, expected one process",
                            arguments->positionals[0], ctkd__dist_size(*dist));
    else if (data)
        return examine_data(command, line, set, config);
    else
        status = configure(line, arguments, config, &err);
    if (ctkd__dist_agree(*dist, status, &err) != CTKD_OK)
        return ctkd__ranks_misused(*dist, command, &err);
    if (!*dist && config->train.mpi == CTKD__MPI_YES && !ctkd__ranks_meet(true, dist, &ended))
        return ended;
    return examine_run(line, config, *dist);
}

static int configure_and_examine(const struct ctkd__command *command, int argc, char **argv,
                                 struct ctkd__config *config)
{
    struct ctkd__line line;
    struct ctkd__arguments arguments;
    struct ctkd__dist *dist = NULL;
    int ended;
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended) ||
        !ctkd__ranks_meet(false, &dist, &ended))
        return ended;
    ended = examine_ranks(command, &line, &arguments, config, &dist);
    ctkd__dist_close(dist);
    return ended;
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
        "prints only the problems.\n\nUnder mpirun it also prints where the threads of each rank "
        "work, what an exchange between the ranks costs, and what a step spends on it.\n\nWith "
        "DATA, a folder, .zip or .tar of images or imagefolder:PATH, every "
        "file is decoded. A line names each file that cannot be read, is left out, is a copy of "
        "another, is damaged, is in CMYK, is rotated by its EXIF, or has an odd size: one side "
        "more than 3 times the other, or more than 4 times off the median. The exit status is 1 if "
        "a file cannot be read or an image is in both parts.",
    .options = true,
    .flags = flags,
    .names_max = 1,
    .ranks = true,
    .run = run,
};
