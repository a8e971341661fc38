#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/dry_run.h"
#include "cli/stop.h"
#include "run/arm.h"
#include "run/checkpoint.h"
#include "run/run.h"
#include "run/sweep.h"
#include "train/teacher_store.h"
#include "util/error.h"
#include "util/file.h"
#include "util/options_inner.h"
#include "util/say.h"
#include "util/text.h"

enum { ARMS_MAX = 64, WORDS_MAX = 128, SEEDS_MAX = 1000, NAME_BYTES = 128 };
static const long long seed_max = 9007199254740992; /* of train.seed: 2^53 */

/* A CONFIG or an --arm of the command line, with its own settings. */
struct arm {
    char name[NAME_BYTES];
    const char *config; /* NULL: none */
    const char *settings[WORDS_MAX];
    size_t n_settings;
};

struct sweep_request {
    struct arm arms[ARMS_MAX];
    size_t n_arms;
    const char *configs[ARMS_MAX];
    size_t n_configs;
    const char *common[WORDS_MAX]; /* settings of every arm */
    size_t n_common;
    int64_t seeds[SEEDS_MAX];
    size_t n_seeds;
    const char *dir;
    long long jobs;
    bool print, dry_run;
};

enum { ARM, SEEDS, JOBS, DIR_OF_RUNS, PRINT, DRY_RUN };
static const struct ctkd__flag flags[] = {
    [ARM] = { "--arm", NULL, "NAME", "begin an arm, to which the settings that follow belong",
              NULL },
    [SEEDS] = { "--seeds", NULL, "LIST", "run each arm with these seeds: 1..8 or 1,2,5 (default 1)",
                NULL },
    [JOBS] = { "--jobs", NULL, "N", "run N at a time, on cores of their own (default 1)", NULL },
    [DIR_OF_RUNS] = { "--dir", NULL, "DIR", "write the runs into DIR (default runs/sweep)", NULL },
    [PRINT] = { "--print", NULL, NULL,
                "print the command lines of the runs that are left and run nothing", NULL },
    [DRY_RUN] = { "--dry-run", NULL, NULL,
                  "try a few steps of each arm's first run that is left and print the expected "
                  "minutes; starts and writes nothing",
                  NULL },
    CTKD__FLAG_END,
};

/* --- the command line */

static bool has_seed(const struct sweep_request *r, long long seed)
{
    for (size_t i = 0; i < r->n_seeds; i++)
        if (r->seeds[i] == seed)
            return true;
    return false;
}

/* "1..8", "3" and lists of them: "1..4,7". Two runs of a seed would share a directory. */
static ctkd_status take_seeds(const char *text, struct sweep_request *r, ctkd_error *err)
{
    r->n_seeds = 0;
    for (const char *at = text; *at;) {
        char *end;
        const long long first = strtoll(at, &end, 10);
        long long last = first;
        const bool number = end != at;
        if (number && strncmp(end, "..", 2) == 0) {
            at = end + 2;
            last = strtoll(at, &end, 10);
        }
        if (!number || end == at || (*end && *end != ',') || first < 0 || last < first ||
            last > seed_max || last - first >= (long long)(SEEDS_MAX - r->n_seeds))
            return ctkd__fail(err, CTKD_EINVAL,
                              "--seeds: found '%s', expected seeds such as 1..8 or 1,2,5 (at most "
                              "%d)",
                              text, SEEDS_MAX);
        for (long long seed = first; seed <= last; seed++) {
            if (has_seed(r, seed))
                return ctkd__fail(err, CTKD_EINVAL, "--seeds: found %lld twice, expected it once",
                                  seed);
            r->seeds[r->n_seeds++] = seed;
        }
        at = *end ? end + 1 : end;
    }
    return r->n_seeds ? CTKD_OK : ctkd__fail(err, CTKD_EINVAL, "--seeds: found nothing");
}

static ctkd_status take_word(const char *word, const char **list, size_t *count, ctkd_error *err)
{
    if (*count == WORDS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "found '%s', expected at most %d settings", word,
                          WORDS_MAX);
    list[(*count)++] = word;
    return CTKD_OK;
}

static ctkd_status add_arm(struct sweep_request *r, const char *name, struct arm **out,
                           ctkd_error *err)
{
    if (r->n_arms == ARMS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "found '%s', expected at most %d arms", name, ARMS_MAX);
    if (!name[0] || name[0] == '.' || strchr(name, '/') || strlen(name) >= NAME_BYTES)
        return ctkd__fail(err, CTKD_EINVAL, "found the arm '%s', expected a name of a folder",
                          name);
    for (size_t i = 0; i < r->n_arms; i++)
        if (strcmp(r->arms[i].name, name) == 0)
            return ctkd__fail(err, CTKD_EINVAL, "found two arms '%s', expected a name for each",
                              name);
    *out = &r->arms[r->n_arms++];
    snprintf((*out)->name, sizeof(*out)->name, "%s", name);
    return CTKD_OK;
}

/* "configs/cifar100/PAIR/kd.yaml" is the arm "kd". */
static ctkd_status arm_of_config(struct sweep_request *r, const char *path, ctkd_error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s", ctkd__base_name(path));
    char *const ending = strrchr(name, '.');
    if (ending && ending != name)
        *ending = '\0';
    struct arm *arm = NULL;
    const ctkd_status status = add_arm(r, name, &arm, err);
    if (!status)
        arm->config = path;
    return status;
}

static ctkd_status take_config(struct sweep_request *r, const char *path, ctkd_error *err)
{
    if (r->n_configs == ARMS_MAX)
        return ctkd__fail(err, CTKD_EINVAL, "found '%s', expected at most %d CONFIGs", path,
                          ARMS_MAX);
    r->configs[r->n_configs++] = path;
    return CTKD_OK;
}

static ctkd_status parse_words(const struct ctkd__line *line, struct sweep_request *r,
                               ctkd_error *err)
{
    struct arm *own = NULL; /* the --arm whose settings follow */
    struct ctkd__word word;
    ctkd_status status = CTKD_OK;
    for (int at = 0; status == CTKD_OK && ctkd__line_next(line, &at, &word);)
        switch (word.flag) {
        case CTKD__WORD_NAME:
            status = take_config(r, word.text, err);
            break;
        case CTKD__WORD_SETTING:
            status = own ? take_word(word.text, own->settings, &own->n_settings, err)
                         : take_word(word.text, r->common, &r->n_common, err);
            break;
        case ARM:
            status = add_arm(r, word.text, &own, err);
            break;
        case SEEDS:
            status = take_seeds(word.text, r, err);
            break;
        case DIR_OF_RUNS:
            r->dir = word.text;
            if (!r->dir[0]) /* the runs would lie in the root */
                status = ctkd__fail(err, CTKD_EINVAL, "--dir: found no name, expected a folder");
            break;
        case PRINT:
            r->print = true;
            break;
        case DRY_RUN:
            r->dry_run = true;
            break;
        }
    return status == CTKD_OK ? ctkd__line_whole(line, JOBS, 1, 1024, &r->jobs, err) : status;
}

/* Every CONFIG is an arm; with --arm, a single CONFIG is the base of all arms. */
static ctkd_status parse(const struct ctkd__line *line, struct sweep_request *r, ctkd_error *err)
{
    ctkd_status status = parse_words(line, r, err);
    if (!status && r->n_arms && r->n_configs > 1)
        return ctkd__fail(err, CTKD_EINVAL, "found %zu CONFIGs beside --arm, expected one",
                          r->n_configs);
    for (size_t i = 0; i < r->n_arms && r->n_configs; i++)
        r->arms[i].config = r->configs[0];
    for (size_t i = 0, given = r->n_arms; i < r->n_configs && !given && !status; i++)
        status = arm_of_config(r, r->configs[i], err);
    if (!status && r->n_arms == 0)
        status = ctkd__fail(err, CTKD_EINVAL, "found no arm, expected CONFIGs or --arm NAME");
    return status;
}

/* --- the runs */

static char *join(const char *key, const char *value)
{
    char *text = NULL;
    return asprintf(&text, "%s%s", key, value) < 0 ? NULL : text;
}

/* Builds argv: "ctkd", "distill", CONFIG, common settings, those of the arm, seed, directory,
   --resume=auto. False: out of memory. */
static bool make_arguments(const struct sweep_request *r, const struct arm *arm,
                           struct ctkd__sweep_run *run)
{
    char seed[32];
    size_t n = 0;
    run->argv = calloc(r->n_common + arm->n_settings + 10, sizeof *run->argv);
    if (!run->argv)
        return false;
    snprintf(seed, sizeof seed, "%" PRId64, run->seed);
    run->argv[n++] = join("ctkd", "");
    run->argv[n++] = join("train", ""); /* settled when the configuration is known */
    if (arm->config)
        run->argv[n++] = join(arm->config, "");
    for (size_t i = 0; i < r->n_common; i++)
        run->argv[n++] = join(r->common[i], "");
    for (size_t i = 0; i < arm->n_settings; i++)
        run->argv[n++] = join(arm->settings[i], "");
    run->argv[n++] = join("train.seed=", seed);
    run->argv[n++] = join("run.dir=", run->dir);
    run->argv[n++] = join("--resume=auto", "");
    for (size_t i = 0; i < n; i++)
        if (!run->argv[i])
            return false;
    return true;
}

/* Resolves the run's configuration as its process will, and checks it before any run starts. A run
   with a teacher distils. */
static ctkd_status configure(struct ctkd__sweep_run *run, ctkd_error *err)
{
    struct ctkd__arguments arguments;
    char note[CTKD__ARGUMENTS_NOTE];
    int argc = 0;
    while (run->argv[2 + argc])
        argc++;
    ctkd_status status = ctkd__config_create(&run->config, err);
    if (!status)
        status = ctkd__arguments_scan(argc, run->argv + 2, &arguments, err);
    if (!status)
        status = ctkd__arguments_configure(argc, run->argv + 2, &arguments, true, run->config, note,
                                           err);
    if (status)
        return status;
    const bool distil = run->config->teacher.path[0] != '\0';
    if (distil) {
        free(run->argv[1]);
        run->argv[1] = join("distill", "");
        if (!run->argv[1])
            return ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
    }
    status = ctkd__config_check(run->config, distil, err);
    return status ? status : ctkd__run_resolve(run->config, distil, err);
}

/* Sets a key in a run's configuration, and in its command line before the words of the seed, the
   directory and --resume. */
static ctkd_status insert_setting(struct ctkd__sweep_run *run, const char *key, const char *value,
                                  ctkd_error *err)
{
    enum { BEHIND = 3 };
    char *word = NULL;
    size_t n = 0;
    while (run->argv[n])
        n++;
    if (asprintf(&word, "%s=%s", key, value) < 0)
        return ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
    memmove(run->argv + n - BEHIND + 1, run->argv + n - BEHIND, BEHIND * sizeof *run->argv);
    run->argv[n - BEHIND] = word;
    return ctkd__sections_set(ctkd__config_sections(run->config), "sweep", key, value, err);
}

/* Runs of a sweep share the teacher's logits unless teacher.store is set, by a word, a CONFIG or
   its base files: sets it to DIR/teacher-store. */
static ctkd_status share_teacher(const struct sweep_request *r, struct ctkd__sweep_run *run,
                                 ctkd_error *err)
{
    const struct ctkd__sections sections = ctkd__config_sections(run->config);
    struct ctkd__option_at store;
    const bool told =
        !run->config->teacher.path[0] || ctkd__teacher_store_asked(run->config->teacher.store) ||
        (ctkd__options_find(sections, "teacher.store", &store) && ctkd__option_is_set(&store));
    if (told)
        return CTKD_OK;
    char folder[1088];
    snprintf(folder, sizeof folder, "%s/teacher-store", r->dir);
    return insert_setting(run, "teacher.store", folder, err);
}

/* A run that was stopped is resumed with the threads that it began with, also when --jobs or the
   machine would give it others: the same bits are worth more than the cores. */
static ctkd_status keep_threads(struct ctkd__sweep_run *run, ctkd_error *err)
{
    const size_t threads = run->config->train.slices ? 0 : ctkd__checkpoint_threads(run->dir);
    const size_t asked = (size_t)run->config->train.threads;
    char text[32];
    if (threads && asked && asked != threads)
        return ctkd__fail(err, CTKD_EEXIST,
                          "%s: found a run that began with train.threads %zu, expected %zu, which "
                          "would change its bits; set train.threads=%zu or remove the run",
                          run->dir, threads, asked, threads);
    snprintf(text, sizeof text, "%zu", threads);
    return threads && !asked ? insert_setting(run, "train.threads", text, err) : CTKD_OK;
}

static ctkd_status plan_run(const struct sweep_request *r, const struct arm *arm, int64_t seed,
                            struct ctkd__sweep_run *run, ctkd_error *err)
{
    run->arm = arm->name;
    run->seed = seed;
    const int n =
        snprintf(run->dir, sizeof run->dir, "%s/%s/seed-%" PRId64, r->dir, arm->name, seed);
    if (n < 0 || (size_t)n >= sizeof run->dir)
        return ctkd__fail(err, CTKD_ERANGE, "--dir: the name is too long");
    snprintf(run->console, sizeof run->console, "%s.console", run->dir);
    if (!make_arguments(r, arm, run))
        return ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
    ctkd_status status = configure(run, err);
    if (!status)
        status = share_teacher(r, run, err);
    bool finished = false;
    if (!status)
        status = ctkd__sweep_finished(run, &finished, err);
    if (!status && !finished)
        status = keep_threads(run, err);
    run->state = finished ? CTKD__SWEEP_DONE : CTKD__SWEEP_WAITING;
    return status;
}

/* Plans all arms of a seed, then those of the next, so that an unfinished sweep has whole pairs. */
static ctkd_status plan(const struct sweep_request *r, struct ctkd__sweep *sweep, ctkd_error *err)
{
    sweep->runs = calloc(r->n_seeds * r->n_arms, sizeof *sweep->runs);
    if (!sweep->runs)
        return ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
    ctkd_status status = CTKD_OK;
    for (size_t s = 0; s < r->n_seeds && !status; s++)
        for (size_t a = 0; a < r->n_arms && !status; a++)
            status = plan_run(r, &r->arms[a], r->seeds[s], &sweep->runs[sweep->count++], err);
    return status;
}

static void free_plan(struct ctkd__sweep *sweep)
{
    for (size_t i = 0; i < sweep->count; i++) {
        for (char **word = sweep->runs[i].argv; word && *word; word++)
            free(*word);
        free(sweep->runs[i].argv);
        ctkd__config_destroy(sweep->runs[i].config);
    }
    free(sweep->runs);
}

/* --- running */

/* Prints the command of a run as a line for the shell. */
static ctkd_status print_command(const struct ctkd__sweep_run *run, ctkd_error *err)
{
    for (char **word = run->argv; *word; word++) {
        const size_t room = 4 * strlen(*word) + 3;
        char *const text = malloc(room);
        if (!text)
            return ctkd__fail(err, CTKD_ENOMEM, "sweep: out of memory");
        printf("%s%s", word == run->argv ? "" : " ", ctkd__text_shell(*word, text, room));
        free(text);
    }
    putchar('\n');
    return CTKD_OK;
}

static ctkd_status print_commands(const struct ctkd__sweep *sweep, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (size_t i = 0; i < sweep->count && status == CTKD_OK; i++)
        if (sweep->runs[i].state == CTKD__SWEEP_WAITING)
            status = print_command(&sweep->runs[i], err);
    return status;
}

static const char *last_top1(const struct ctkd__sweep_run *run, char text[32])
{
    struct ctkd__arm arm;
    text[0] = '\0';
    if (ctkd__arm_read(run->dir, "test_top1", CTKD__ARM_LAST, &arm, NULL) == CTKD_OK) {
        snprintf(text, 32, "  test %.2f %%", arm.runs->value);
        ctkd__arm_free(&arm);
    }
    return text;
}

static size_t count_in(const struct ctkd__sweep *sweep, enum ctkd__sweep_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < sweep->count; i++)
        count += sweep->runs[i].state == state;
    return count;
}

static void show(void *context, const struct ctkd__sweep_run *run)
{
    const struct ctkd__sweep *const sweep = context;
    char text[32];
    switch (run->state) {
    case CTKD__SWEEP_WAITING:
        break;
    case CTKD__SWEEP_RUNNING:
        ctkd__say(stderr, "%s seed %" PRId64 ": started", run->arm, run->seed);
        break;
    case CTKD__SWEEP_DONE:
        ctkd__say(stderr, "%s seed %" PRId64 ": done (%zu of %zu)%s", run->arm, run->seed,
                  count_in(sweep, CTKD__SWEEP_DONE), sweep->count, last_top1(run, text));
        break;
    case CTKD__SWEEP_STOPPED:
        ctkd__say(stderr, "%s seed %" PRId64 ": stopped; the same sweep resumes it", run->arm,
                  run->seed);
        break;
    case CTKD__SWEEP_FAILED:
        ctkd__say(stderr, "%s seed %" PRId64 ": failed, see %s", run->arm, run->seed, run->console);
        break;
    }
}

static void show_mean(const struct arm *arm, const struct ctkd__compared_arm *values)
{
    enum { WIDTH = 16 };
    const struct ctkd__spread spread = ctkd__spread(values->values, values->n);
    const size_t columns = ctkd__text_columns(arm->name);
    const int pad = columns < WIDTH ? (int)(WIDTH - columns) : 0;
    if (spread.n > 1)
        ctkd__say(stderr, "%s%*s %6.2f +- %.2f over %zu runs", arm->name, pad, "", spread.mean,
                  spread.deviation, spread.n);
    else
        ctkd__say(stderr, "%s%*s %6.2f of one run", arm->name, pad, "", spread.mean);
}

/* Prints the row of an arm, below a line that says which epoch counts where *choice is another one.
   Runs of an earlier sweep that lie beside these may not fit: the sweep has done its work then. */
static void show_arm(const struct sweep_request *r, const struct arm *arm, const char **choice)
{
    char path[1024 + NAME_BYTES];
    struct ctkd__arm runs;
    struct ctkd__compared_arm values;
    ctkd_error why = { 0 };
    snprintf(path, sizeof path, "%s/%s", r->dir, arm->name);
    if (ctkd__arm_read(path, "test_top1", CTKD__ARM_AUTO, &runs, &why) != CTKD_OK) {
        ctkd__say(stderr, "note: no mean of %s: %s", arm->name, why.message);
        return;
    }
    const char *const counts = ctkd__arm_choice_text(runs.choice);
    if (!*choice || strcmp(*choice, counts) != 0)
        ctkd__say(stderr, "test top-1 in %%, %s:", counts);
    *choice = counts;
    if (ctkd__arm_describe(&runs, &values, &why) == CTKD_OK)
        show_mean(arm, &values);
    else
        ctkd__say(stderr, "note: no mean of %s: %s", arm->name, why.message);
    ctkd__arm_describe_free(&values);
    ctkd__arm_free(&runs);
}

/* The end of a sweep: the means of its arms, and the command that compares them. */
static void show_arms(const struct sweep_request *r)
{
    const char *choice = NULL;
    for (size_t i = 0; i < r->n_arms; i++)
        show_arm(r, &r->arms[i], &choice);
    if (r->n_arms < 2)
        return;
    char command[8192] = "";
    size_t used = 0;
    for (size_t i = 0; i < r->n_arms; i++) {
        char path[1024 + NAME_BYTES], word[4 * sizeof path];
        snprintf(path, sizeof path, "%s/%s", r->dir, r->arms[i].name);
        ctkd__text_append(command, sizeof command, &used, " %s",
                          ctkd__text_shell(path, word, sizeof word));
    }
    if (used < sizeof command) /* a cut command would compare others */
        ctkd__say(stderr, "whether they differ: ctkd compare%s", command);
}

static ctkd_status execute(const struct sweep_request *r, struct ctkd__sweep *sweep,
                           ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    int lock = -1;
    for (size_t i = 0; i < r->n_arms && !status; i++) {
        char folder[1024];
        snprintf(folder, sizeof folder, "%s/%s", r->dir, r->arms[i].name);
        status = ctkd__folders_create(folder, err);
    }
    const size_t skipped = count_in(sweep, CTKD__SWEEP_DONE);
    if (!status && skipped)
        ctkd__say(stderr, "%zu of %zu runs are finished already", skipped, sweep->count);
    ctkd__stop_watch();
    sweep->stop = ctkd__stop_asked();
    sweep->changed = show;
    sweep->context = sweep;
    if (!status)
        status = ctkd__sweep_mark(r->dir, &lock, err); /* for `ctkd watch` */
    if (!status)
        status = ctkd__sweep_execute(sweep, err);
    if (lock >= 0)
        close(lock);
    const size_t failed = count_in(sweep, CTKD__SWEEP_FAILED);
    const size_t stopped = count_in(sweep, CTKD__SWEEP_STOPPED);
    if (!status && failed)
        return ctkd__fail(err, CTKD_EBACKEND, "%zu of %zu runs failed", failed, sweep->count);
    if (!status && stopped)
        return ctkd__fail(err, CTKD_EINTERRUPTED, "%zu of %zu runs were stopped before their end",
                          stopped, sweep->count);
    if (status == CTKD_OK)
        show_arms(r);
    return status;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__sweep sweep = { .runs = NULL };
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status = CTKD__EXIT_DONE;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    struct sweep_request *const request = calloc(1, sizeof *request);
    if (!request) {
        ctkd__fail(&err, CTKD_ENOMEM, "sweep: out of memory");
        return ctkd__cli_failed(&err);
    }
    request->dir = "runs/sweep";
    request->jobs = 1;
    request->n_seeds = 1;
    request->seeds[0] = 1;
    if (parse(&line, request, &err) || plan(request, &sweep, &err)) {
        status = ctkd__cli_misused(command, &err);
    } else if (request->print) {
        if (print_commands(&sweep, &err) != CTKD_OK)
            status = ctkd__cli_failed(&err);
    } else if (request->dry_run) {
        if (ctkd__dry_run_sweep(&sweep, request->n_arms, &err) != CTKD_OK)
            status = ctkd__cli_failed(&err);
    } else {
        sweep.jobs = (size_t)request->jobs;
        const ctkd_status failed = execute(request, &sweep, &err);
        if (failed)
            status = ctkd__cli_failed(&err);
        if (failed == CTKD_EINTERRUPTED && *ctkd__stop_asked())
            status = ctkd__stop_status(*ctkd__stop_asked());
        else if (failed == CTKD_EINTERRUPTED)
            status = CTKD__EXIT_LATER;
    }
    free_plan(&sweep);
    free(request);
    return status;
}

const struct ctkd__command ctkd__command_sweep = {
    .name = "sweep",
    .arguments = "CONFIG... [key=value ...] | [CONFIG] [key=value ...] --arm NAME "
                 "[key=value ...] ...",
    .summary = "run several arms over several seeds, each run on cores of its own",
    .details = "Each CONFIG is an arm, named after its file. Or each --arm is one, whose own "
               "settings follow it, on a common CONFIG. Settings before the first --arm are for "
               "all arms. An arm with a teacher.path distils; one without trains on labels.\n\n"
               "Runs are ordinary run directories, DIR/ARM/seed-N; what they write to the terminal "
               "is in seed-N.console beside them. `ctkd compare DIR/ARM DIR/ARM` reads them.\n\n"
               "Runs with a teacher share its answers in DIR/teacher-store, so that arms of a seed "
               "compute each view once (doc/teacher-store.md); teacher.store=off, or another "
               "folder, overrides this.\n\n"
               "--jobs divides the cores among the runs that go side by side, and the CPUs that a "
               "container or a batch system grants, if these are fewer.\n\n"
               "Finished runs are skipped, stopped and killed ones resumed with the threads that "
               "they began with, so that the same command completes a sweep, bit for bit, also "
               "with other --jobs, and ends with the mean of each arm. SIGINT "
               "and SIGTERM stop and save all runs. "
               "A run that fails does not stop the others. The output of --print is for GNU "
               "parallel or a job array.\n\n"
               "Exit status: 0 all runs are finished; 1 a run failed; 75 a run stopped early; 130 "
               "and 143 the sweep was stopped.",
    .flags = flags,
    .names_max = ARMS_MAX,
    .passes_settings = true,
    .run = run,
};
