#include "run/start.h"

#include <inttypes.h>
#include <stdio.h>

#include "run/notes.h"
#include "run/run_data.h"
#include "util/error.h"
#include "util/run_files.h"

/* Uses the convolutions that the run chose when it began: measured again, they might differ. */
static ctkd_status use_recorded_choices(struct ctkd__config *config, ctkd_error *err)
{
    char path[CTKD__RUN_PATH_BYTES];
    ctkd__run_file_path(config->run.dir, CTKD__RUN_CHOICES, path, sizeof path);
    config->train.tune = false;
    return ctkd__sections_set(ctkd__config_sections(config), config->run.dir, "train.choices", path,
                              err);
}

/* Resuming was asked for, but the directory has no checkpoint: whether a run may start in it. */
static ctkd_status plan_again(struct ctkd__config *config, int asked, ctkd_error *err)
{
    if (asked == CTKD__RESUME_YES && !ctkd__run_begun(config))
        return ctkd__fail(err, CTKD_ENOTFOUND,
                          "run.dir: %s holds no run to resume (--resume=auto starts one)",
                          config->run.dir);
    const enum ctkd__run_end end = ctkd__run_end(config->run.dir);
    if (!config->run.force && end != CTKD__RUN_END_NONE)
        return ctkd__fail(err, CTKD_EEXIST,
                          "run.dir: %s holds %s run without %s, which resuming needs; --force "
                          "replaces it",
                          config->run.dir,
                          end == CTKD__RUN_END_DONE ? "a finished" : "an interrupted",
                          ctkd__run_file_name(CTKD__RUN_CHECKPOINT));
    /* An empty directory needs no force: a run that another process begins in it meanwhile must not
       be replaced. */
    config->run.force = config->run.force || ctkd__run_check(config, NULL) == CTKD_EEXIST;
    return CTKD_OK;
}

ctkd_status ctkd__start_plan(struct ctkd__config *config, bool *resume, ctkd_error *err)
{
    const int asked = config->run.resume;
    config->run.resume = CTKD__RESUME_NO; /* belongs to the command line, not to the run */
    *resume = asked != CTKD__RESUME_NO && ctkd__checkpoint_exists(config->run.dir);
    if (*resume)
        return config->train.tune ? use_recorded_choices(config, err) : CTKD_OK;
    const ctkd_status status = asked == CTKD__RESUME_NO ? CTKD_OK : plan_again(config, asked, err);
    return status == CTKD_OK ? ctkd__run_check(config, err) : status;
}

static ctkd_status create(const struct ctkd__start *start, struct ctkd__run *run, ctkd_error *err)
{
    struct ctkd__session *const session = start->session;
    ctkd_status status = ctkd__run_create(run, session->config, err);
    if (status == CTKD_OK)
        status = ctkd__run_data_save(run->dir, session->data.dataset, err);
    if (status == CTKD_OK && start->recipe)
        status = ctkd__run_save_recipe(run, start->recipe, err);
    return status == CTKD_OK && session->config->train.tune
               ? ctkd__run_save_choices(run, session->engine.choices, err)
               : status;
}

/* Notes what the directory has lost of the run up to its checkpoint. No step needs it, so the run
   goes on. */
static void note_losses(const struct ctkd__run *run, const struct ctkd__run_state *state,
                        uint64_t log_found, uint64_t log_bytes, char note[CTKD__CHECKPOINT_NOTE])
{
    char path[CTKD__RUN_PATH_BYTES], text[sizeof path + 200];
    ctkd__run_file_path(run->dir, CTKD__RUN_LOG, path, sizeof path);
    snprintf(text, sizeof text,
             "%s: found %" PRIu64 " bytes, expected the %" PRIu64 " of the checkpoint: lines are "
             "lost, which also results.csv and the report will lack",
             path, log_found, log_bytes);
    if (log_found < log_bytes)
        ctkd__checkpoint_add_note(note, CTKD__CHECKPOINT_NOTE, text);
    ctkd__run_file_path(run->dir, CTKD__RUN_BEST, path, sizeof path);
    snprintf(text, sizeof text,
             "%s: found no file, expected the best weights so far, of epoch %" PRIu64
             ": only a better epoch writes it again",
             path, state->best_epoch);
    if (state->best_epoch && !ctkd__run_file_exists(run->dir, CTKD__RUN_BEST))
        ctkd__checkpoint_add_note(note, CTKD__CHECKPOINT_NOTE, text);
}

ctkd_status ctkd__start_run(const struct ctkd__start *start, struct ctkd__run *run,
                            char note[CTKD__CHECKPOINT_NOTE], ctkd_error *err)
{
    struct ctkd__session *const session = start->session;
    uint64_t log_bytes, log_found;
    note[0] = '\0';
    if (!start->resume)
        return create(start, run, err);
    ctkd_status status = ctkd__run_open(run, session->config, err);
    if (status == CTKD_OK)
        status = ctkd__run_data_check(run->dir, session->data.dataset, err);
    if (status == CTKD_OK)
        status = ctkd__checkpoint_load(session, start->command, run->dir, &log_bytes, note,
                                       CTKD__CHECKPOINT_NOTE, err);
    if (status == CTKD_OK)
        status = ctkd__run_continue_log(run, session->config, log_bytes, &log_found, err);
    if (status == CTKD_OK)
        note_losses(run, &session->state, log_found, log_bytes, note);
    const struct ctkd__note kept = { .subject = "resumed",
                                     .text = note,
                                     .epoch = session->state.epoch };
    if (status == CTKD_OK && note[0])
        ctkd__note(run->dir, &kept, "", NULL);
    return status;
}
