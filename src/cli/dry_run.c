#include "cli/dry_run.h"

#include <inttypes.h>

#include "cli/examination.h"
#include "run/checkpoint.h"
#include "run/run.h"

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
    const size_t all = ctkd__graph_trainable(session->adaptors->graph);
    if (all > own)
        printf("# %-14s %zu parameters beside the student's, which stay with the run\n", "adaptors",
               all - own);
    print_network("teacher", &teacher->info, teacher->graph);
    printf("# %-14s %s: test top-1 %.2f %%, top-5 %.2f %%\n", "", teacher->file,
           found->teacher.top1, found->teacher.top5);
    if (teacher->note[0])
        printf("# %-14s %s\n", "", teacher->note);
}

/* Where the run would write, and what becomes of what is there. */
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

ctkd_status ctkd__dry_run(const struct ctkd__command *command, const struct ctkd__config *config,
                          bool distil, bool resume, ctkd_error *err)
{
    struct ctkd__session *session = NULL;
    struct ctkd__examination found;
    struct ctkd__run_state state; /* before the steps of the examination */
    ctkd_status status = ctkd__session_open(config, distil, &session, err);
    if (status == CTKD_OK && resume) { /* the rest of the run is examined */
        char note[CTKD__CHECKPOINT_NOTE];
        uint64_t log_bytes;
        status = ctkd__checkpoint_load(session, command->name, config->run.dir, &log_bytes, note,
                                       sizeof note, err);
        state = session->state;
    }
    if (status == CTKD_OK)
        status = ctkd__examine(session, &found, err);
    if (status == CTKD_OK)
        print(command, config, session, &found, resume ? &state : NULL);
    ctkd__session_close(session);
    return status;
}
