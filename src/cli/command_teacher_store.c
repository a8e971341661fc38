#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/flags.h"
#include "cli/stop.h"
#include "io/jsonl.h"
#include "store/logit_folder.h"
#include "train/session.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/say.h"

enum { JSON, GIGABYTES };
static const struct ctkd__flag flags[] = {
    [JSON] = CTKD__FLAG_JSON,
    [GIGABYTES] = { "--gigabytes", NULL, "N", "prune: how much may stay on the disk", NULL },
    CTKD__FLAG_END,
};

/* --- info and verify */

struct totals {
    bool json, verify;
    size_t unreadable;
    uint64_t damaged;
};

static ctkd_status print_json(const char *path, const struct ctkd__logit_file *file,
                              const struct ctkd__logit_count *count, const struct totals *totals,
                              ctkd_error *err)
{
    static const char *const keys[] = { "teacher", "weights", "data", "images", "kernels" };
    const struct ctkd__logit_shape shape = ctkd__logit_file_shape(file);
    struct ctkd__jsonl json = { .stream = stdout };
    uint64_t occupied, available;
    ctkd__logit_file_disk(file, &occupied, &available);
    ctkd__jsonl_begin(&json);
    ctkd__jsonl_string(&json, "file", path);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char value[160];
        ctkd__jsonl_string(&json, keys[i],
                           ctkd__logit_file_line(file, keys[i], value, sizeof value));
    }
    ctkd__jsonl_integer(&json, "samples", (int64_t)shape.samples);
    ctkd__jsonl_integer(&json, "views", (int64_t)shape.views);
    ctkd__jsonl_integer(&json, "classes", (int64_t)shape.classes);
    ctkd__jsonl_integer(&json, "answers", (int64_t)count->present);
    if (totals->verify)
        ctkd__jsonl_integer(&json, "damaged", (int64_t)count->damaged);
    ctkd__jsonl_integer(&json, "bytes", (int64_t)occupied);
    ctkd__jsonl_integer(&json, "bytes_max", (int64_t)ctkd__logit_file_bytes_max(&shape));
    return ctkd__jsonl_end(&json, err);
}

static void print_text(const char *path, const struct ctkd__logit_file *file,
                       const struct ctkd__logit_count *count, const struct totals *totals)
{
    const struct ctkd__logit_shape shape = ctkd__logit_file_shape(file);
    const uint64_t rows = shape.samples * shape.views;
    uint64_t occupied, available;
    char a[160], b[160], sizes[2][32];
    ctkd__logit_file_disk(file, &occupied, &available);
    printf("%s\n", path);
    printf("  teacher  %s, weights %.16s...\n", ctkd__logit_file_line(file, "teacher", a, sizeof a),
           ctkd__logit_file_line(file, "weights", b, sizeof b));
    printf("  data     %s, images %.16s...\n", ctkd__logit_file_line(file, "data", a, sizeof a),
           ctkd__logit_file_line(file, "images", b, sizeof b));
    printf("  kernels  %s\n", ctkd__logit_file_line(file, "kernels", a, sizeof a));
    printf("  answers  %" PRIu64 " of %" PRIu64 " (%.1f %%): %" PRIu64 " samples, %" PRIu64
           " views, %" PRIu64 " classes\n",
           count->present, rows, 100 * (double)count->present / (double)rows, shape.samples,
           shape.views, shape.classes);
    printf("  disk     %s of at most %s\n",
           ctkd__logit_size_text(occupied, sizes[0], sizeof sizes[0]),
           ctkd__logit_size_text(ctkd__logit_file_bytes_max(&shape), sizes[1], sizeof sizes[1]));
    if (totals->verify && count->damaged)
        printf("  damaged  %" PRIu64 " answers, the first of sample %" PRIu64 ", view %" PRIu64
               "; runs compute them again\n",
               count->damaged, count->first_damaged / shape.views,
               count->first_damaged % shape.views);
    else if (totals->verify)
        printf("  verified all answers are as they were written\n");
}

/* A damaged file is reported, and the others are still examined. */
static ctkd_status show_file(const char *path, struct totals *totals, ctkd_error *err)
{
    struct ctkd__logit_file *file;
    struct ctkd__logit_count count;
    ctkd_error why = { 0 };
    if (ctkd__logit_file_open(path, &file, &why) != CTKD_OK) {
        ctkd__say(stderr, "ctkd: %s", why.message);
        totals->unreadable++;
        return CTKD_OK;
    }
    ctkd_status status = ctkd__logit_file_count(file, totals->verify, &count, err);
    if (status == CTKD_OK && totals->json)
        status = print_json(path, file, &count, totals, err);
    else if (status == CTKD_OK)
        print_text(path, file, &count, totals);
    totals->damaged += status == CTKD_OK ? count.damaged : 0;
    ctkd__logit_file_close(file);
    return status;
}

static int show(const struct ctkd__line *line, bool verify)
{
    struct totals totals = { .json = ctkd__line_has(line, JSON), .verify = verify };
    struct ctkd__logit_folder folder;
    ctkd_error err = { 0 };
    ctkd_status status = ctkd__logit_folder_read(ctkd__line_name(line, 0), &folder, &err);
    for (size_t i = 0; i < folder.count && status == CTKD_OK; i++)
        if (!folder.entries[i].leftover)
            status = show_file(folder.entries[i].path, &totals, &err);
    if (status == CTKD_OK && folder.count == 0)
        ctkd__say(stderr, "note: %s holds no file of a store", ctkd__line_name(line, 0));
    ctkd__logit_folder_free(&folder);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    return totals.unreadable || totals.damaged ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}

static int info(const struct ctkd__command *command, const struct ctkd__line *line)
{
    (void)command;
    return show(line, false);
}

static int verify(const struct ctkd__command *command, const struct ctkd__line *line)
{
    (void)command;
    return show(line, true);
}

/* --- prune */

static void tell_pruned(const struct ctkd__logit_entry *entry, bool in_use)
{
    char size[32];
    printf("%s %s, %s\n", in_use ? "in use, stays:" : "removed", entry->path,
           ctkd__logit_size_text(entry->occupied, size, sizeof size));
}

static int prune(const struct ctkd__command *command, const struct ctkd__line *line)
{
    ctkd_error err = { 0 };
    double gigabytes = -1;
    if (ctkd__line_number(line, GIGABYTES, 0, 1e6, &gigabytes, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    if (gigabytes < 0) {
        ctkd__fail(&err, CTKD_EINVAL,
                   "prune: expected --gigabytes N, how much may stay; 0 removes all");
        return ctkd__cli_misused(command, &err);
    }
    const ctkd_status status = ctkd__logit_folder_prune(
        ctkd__line_name(line, 0), (uint64_t)(gigabytes * 1e9), tell_pruned, &err);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

/* --- fill */

struct filling {
    double began, shown;
};

static bool go_on(void *context, uint64_t rows, uint64_t all)
{
    struct filling *const f = context;
    const double now = ctkd__clock_seconds();
    const bool live = isatty(STDERR_FILENO);
    if (now - f->shown >= (live ? 0.5 : 60) || (live && rows == all)) {
        f->shown = now;
        fprintf(stderr, "%s%.1f %% of %" PRIu64 " answers, %.0f s left%s", live ? "\r\033[K" : "",
                100 * (double)rows / (double)all, all,
                (now - f->began) * (double)(all - rows) / (double)rows,
                live && rows < all ? "" : "\n");
        fflush(stderr);
    }
    return !*ctkd__stop_asked();
}

static ctkd_status fill_store(const struct ctkd__config *config, ctkd_error *err)
{
    struct ctkd__session *session;
    struct ctkd__teacher_store_counts counts = { 0 };
    char note[CTKD__STORE_NOTE];
    struct filling filling = { .began = ctkd__clock_seconds() };
    ctkd_status status = ctkd__session_open(config, true, NULL, &session, err);
    if (status == CTKD_OK)
        status = ctkd__session_open_store(session, note, err);
    if (status == CTKD_OK && !session->store)
        status = ctkd__fail(err, CTKD_EUNSUPPORTED, "teacher.store: %s", note);
    if (status == CTKD_OK) {
        ctkd__say(stderr, "teacher.store: %s", note);
        ctkd__cli_note_threads(&session->engine);
        filling.shown = ctkd__clock_seconds();
        status = ctkd__teacher_store_fill(session->store, go_on, &filling, &counts, err);
        printf("%zu answers computed, %zu were there, %zu of them damaged\n", counts.misses,
               counts.hits + counts.damaged, counts.damaged);
    }
    ctkd__session_close(session);
    if (status == CTKD_OK && *ctkd__stop_asked())
        return ctkd__fail(err, CTKD_EINTERRUPTED,
                          "stopped by a signal; the same command continues");
    return status;
}

static int fill(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__arguments arguments;
    struct ctkd__config *config;
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int ended;
    if (!ctkd__cli_scan(command, argc, argv, &line, &arguments, &ended))
        return ended;
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    ctkd_status status = ctkd__cli_configure(&line, &arguments, true, config, &err);
    if (status == CTKD_OK)
        status = ctkd__config_check(config, true, &err);
    if (status == CTKD_OK && !ctkd__teacher_store_asked(config->teacher.store))
        status = ctkd__fail(&err, CTKD_EINVAL, "teacher.store: found '%s', expected a folder",
                            config->teacher.store);
    ctkd__stop_watch();
    if (status != CTKD_OK)
        ended = ctkd__cli_misused(command, &err);
    else if (fill_store(config, &err) == CTKD_OK)
        ended = CTKD__EXIT_DONE;
    else {
        ended = ctkd__cli_failed(&err);
        if (*ctkd__stop_asked())
            ended = ctkd__stop_status(*ctkd__stop_asked());
    }
    ctkd__config_destroy(config);
    return ended;
}

/* --- the command */

static const struct {
    const char *name;
    int (*run)(const struct ctkd__command *command, const struct ctkd__line *line);
} actions[] = { { "info", info }, { "verify", verify }, { "prune", prune } };

static int refuse_action(const struct ctkd__command *command, const char *name)
{
    const char *const names[] = { "info", "verify", "fill", "prune", NULL };
    ctkd_error err = { 0 };
    ctkd__unknown("action", name, names, "expected info, verify, fill or prune", &err);
    return ctkd__cli_misused(command, &err);
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int ended;
    if (argc > 0 && strcmp(argv[0], "fill") == 0)
        return fill(command, argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (argc == 0 || strcmp(argv[0], actions[i].name) != 0)
            continue;
        if (!ctkd__line_read(command, argc - 1, argv + 1, &line, &ended))
            return ended;
        if (ctkd__line_names(&line) == 1)
            return actions[i].run(command, &line);
        ctkd__fail(&err, CTKD_EINVAL, "%s: found no folder, expected the one of teacher.store",
                   actions[i].name);
        return ctkd__cli_misused(command, &err);
    }
    if (!ctkd__line_read(command, argc, argv, &line, &ended)) /* --help */
        return ended;
    return refuse_action(command, ctkd__line_names(&line) ? ctkd__line_name(&line, 0) : "");
}

const struct ctkd__command ctkd__command_teacher_store = {
    .name = "teacher-store",
    .arguments = "info|verify|prune FOLDER, or fill [CONFIG] [key=value ...]",
    .summary = "show, check, fill or shrink a store of a teacher's answers (teacher.store)",
    .details = "info lists the files of a store with their teacher, data, kernels, number of "
               "answers and size.\n\nverify reads all answers and counts those that are damaged; "
               "the exit status is 1 if there is one.\n\nfill computes every view that is missing, "
               "for the run that CONFIG and settings describe (teacher.store names the folder). If "
               "it is stopped, the same command continues.\n\nprune removes the files that were "
               "used longest ago until at most --gigabytes N are left; files in use stay.\n\ninfo "
               "and verify also take one of the files of a store instead of FOLDER.",
    .options = true,
    .flags = flags,
    .names_max = 1,
    .run = run,
};
