#include "cli/dry_run.h"

#include <inttypes.h>
#include <string.h>

#include "cli/examination.h"
#include "run/checkpoint.h"
#include "run/run.h"
#include "run/start.h"
#include "util/error.h"

static void print_network(const char *role, const struct ctkd__network_info *info,
                          const struct ctkd__graph *graph)
{
    printf("# %-14s %s for %zux%zux%zu images and %zu classes: %zu parameters, %.2f million MACs "
           "an image\n",
           role, info->network[0] ? info->network : "(imported)", info->channels, info->height,
           info->width, info->classes, ctkd__graph_trainable(graph),
           1e-6 * (double)ctkd__graph_macs(graph));
}

static void print_networks(const struct ctkd__session *session,
                           const struct ctkd__examination *found)
{
    const struct ctkd__teacher *teacher = session->teacher;
    print_network("student", &session->info, session->graph);
    if (!teacher)
        return;
    const size_t own = ctkd__graph_trainable(session->graph);
    const size_t all = ctkd__graph_trainable(session->network);
    if (all > own)
        printf("# %-14s %zu parameters beside the student's, which stay with the run\n", "adaptors",
               all - own);
    print_network("teacher", &teacher->info, teacher->graph);
    printf("# %-14s %s: test top-1 %.2f %%, top-5 %.2f %%\n", "", teacher->file,
           found->teacher.top1, found->teacher.top5);
    if (teacher->note[0])
        printf("# %-14s %s\n", "", teacher->note);
}

/* Prints where the run would write, and what happens to files that are there. */
static void print_directory(const struct ctkd__config *config, const struct ctkd__session *session,
                            const struct ctkd__run_state *resumed)
{
    if (resumed)
        printf("# %-14s %s, resumed at epoch %" PRIu64 ", step %" PRIu64 " of %" PRIu64 "\n",
               "run directory", config->run.dir, resumed->epoch, resumed->epoch_step,
               session->schedule.steps_per_epoch);
    else
        printf("# %-14s %s%s\n", "run directory", config->run.dir,
               ctkd__run_begun(config) ? ", whose run is replaced" : "");
}

static void print(const struct ctkd__command *command, const struct ctkd__config *config,
                  const struct ctkd__session *session, const struct ctkd__examination *found,
                  const struct ctkd__run_state *resumed)
{
    printf("# ctkd %s --dry-run: nothing was started or written; this output is a CONFIG\n",
           command->name);
    print_networks(session, found);
    for (size_t i = 0; i < found->findings.count; i++) {
        const struct ctkd__finding *finding = &found->findings.items[i];
        printf("# %-14s %s%s\n", finding->check, finding->problem ? "PROBLEM: " : "",
               finding->text);
    }
    printf("# %-14s %.1f for %s, from the steps measured here\n", "minutes", found->cost.run / 60,
           resumed ? "the rest" : "all epochs");
    print_directory(config, session, resumed);
    ctkd__sections_write_yaml(ctkd__config_sections(config), stdout);
}

/* Opens the session of a run and tries a few steps of it, or of its rest. *state is as before
   these steps. */
static ctkd_status try_run(const char *command, const struct ctkd__config *config, bool distil,
                           bool resume, struct ctkd__session **session,
                           struct ctkd__run_state *state, struct ctkd__examination *found,
                           ctkd_error *err)
{
    ctkd_status status = ctkd__session_open(config, distil, NULL, session, err);
    if (status == CTKD_OK && resume) {
        char note[CTKD__CHECKPOINT_NOTE];
        uint64_t log_bytes;
        status = ctkd__checkpoint_load(*session, command, config->run.dir, &log_bytes, note,
                                       sizeof note, err);
    }
    if (status != CTKD_OK)
        return status;
    *state = (*session)->state;
    return ctkd__examine(*session, found, err);
}

ctkd_status ctkd__dry_run(const struct ctkd__command *command, const struct ctkd__config *config,
                          bool distil, bool resume, ctkd_error *err)
{
    struct ctkd__session *session = NULL;
    struct ctkd__examination found = { .cost = { 0 } };
    struct ctkd__run_state state;
    const ctkd_status status =
        try_run(command->name, config, distil, resume, &session, &state, &found, err);
    if (status == CTKD_OK) {
        ctkd__cli_note_unused_in(session);
        print(command, config, session, &found, resume ? &state : NULL);
    }
    ctkd__examination_fini(&found);
    ctkd__session_close(session);
    return status;
}

/* Estimates the rest of an arm by trying its first unfinished run. */
static ctkd_status try_arm(struct ctkd__sweep_run *run, struct ctkd__examination *found,
                           ctkd_error *err)
{
    struct ctkd__session *session = NULL;
    struct ctkd__run_state state;
    bool resume;
    const char *const command = run->argv[1];
    ctkd_status status = ctkd__start_plan(run->config, &resume, err);
    if (status == CTKD_OK)
        status = ctkd__run_check_free(run->config, err);
    if (status == CTKD_OK)
        status = try_run(command, run->config, strcmp(command, "distill") == 0, resume, &session,
                         &state, found, err);
    ctkd__session_close(session);
    return status == CTKD_OK ? CTKD_OK : ctkd__fail_within(err, status, "%s", run->arm);
}

ctkd_status ctkd__dry_run_sweep(struct ctkd__sweep *sweep, size_t n_arms, ctkd_error *err)
{
    double minutes = 0;
    size_t problems = 0;
    for (size_t arm = 0; arm < n_arms; arm++) {
        struct ctkd__examination found = { 0 };
        struct ctkd__sweep_run *first = NULL;
        size_t left = 0;
        for (size_t i = sweep->count; i > 0; i--)
            if ((i - 1) % n_arms == arm && sweep->runs[i - 1].state == CTKD__SWEEP_WAITING) {
                first = &sweep->runs[i - 1];
                left++;
            }
        const ctkd_status status = first ? try_arm(first, &found, err) : CTKD_OK;
        ctkd__examination_fini(&found); /* the findings stay */
        if (status != CTKD_OK)
            return status;
        printf("%s: %zu of %zu runs left, %.1f minutes each\n", sweep->runs[arm].arm, left,
               sweep->count / n_arms, found.cost.run / 60);
        for (size_t i = 0; i < found.findings.count; i++)
            if (found.findings.items[i].problem)
                printf("  PROBLEM: %s: %s\n", found.findings.items[i].check,
                       found.findings.items[i].text);
        minutes += found.cost.run / 60 * (double)left;
        problems += found.findings.problems;
    }
    printf("%.1f minutes in all, from steps measured on all cores; %zu problem%s; nothing was "
           "started or written\n",
           minutes, problems, problems == 1 ? "" : "s");
    return CTKD_OK;
}
