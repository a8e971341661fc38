#include "cli/cli.h"

#include <string.h>

#include "cli/ranks.h"
#include "cli/stop.h"
#include "run/preflight.h"
#include "run/run.h"
#include "util/error.h"
#include "util/say.h"

static bool muted;

void ctkd__cli_mute(void)
{
    muted = true;
}

int ctkd__cli_failed(const ctkd_error *err)
{
    if (ferror(stdout) && ctkd__stop_unread()) /* the reader has left (`| head`): not a failure */
        return 128 + SIGPIPE;
    ctkd__say(stderr, "ctkd: %s", err->message);
    return err->status == CTKD_EINTERRUPTED ? CTKD__EXIT_INTERRUPTED : CTKD__EXIT_FAILED;
}

int ctkd__cli_misuse_status(const ctkd_error *err)
{
    return err->status == CTKD_EIO || err->status == CTKD_ENOMEM ? CTKD__EXIT_FAILED
                                                                 : CTKD__EXIT_USAGE;
}

int ctkd__cli_misused(const struct ctkd__command *command, const ctkd_error *err)
{
    if (ctkd__cli_misuse_status(err) == CTKD__EXIT_FAILED)
        return ctkd__cli_failed(err);
    ctkd__say(stderr, "ctkd %s: %s", command->name, err->message);
    return CTKD__EXIT_USAGE;
}

ctkd_status ctkd__cli_choose(const struct ctkd__command *command, const char *name, size_t *i,
                             ctkd_error *err)
{
    const char *names[64] = { NULL };
    char otherwise[64];
    for (*i = 0; *i + 1 < sizeof names / sizeof *names; ++*i) {
        names[*i] = command->choice(*i);
        if (!names[*i])
            break;
        if (strcmp(names[*i], name) == 0)
            return CTKD_OK;
    }
    snprintf(otherwise, sizeof otherwise, "usage: ctkd %s %s", command->name, command->arguments);
    return ctkd__unknown("name", name, names, otherwise, err);
}

void ctkd__cli_note(const char *file, const char *note)
{
    if (note[0] && !muted)
        ctkd__say(stderr, "%s: %s", file, note);
}

void ctkd__cli_note_threads(const struct ctkd__engine *engine)
{
    struct ctkd__findings findings = { 0 };
    if (ctkd__preflight_threads(engine, &findings) && !muted)
        ctkd__say(stderr, "note: threads: %s", findings.items[0].text);
}

bool ctkd__cli_scan(const struct ctkd__command *command, int argc, char **argv,
                    struct ctkd__line *line, struct ctkd__arguments *arguments, int *status)
{
    ctkd_error err = { 0 };
    if (!ctkd__line_read(command, argc, argv, line, status))
        return false;
    ctkd__line_split(line);
    if (ctkd__arguments_scan(line->n_configuration, line->argv, arguments, &err) == CTKD_OK)
        return true;
    ctkd__ranks_let_first_speak();
    *status = ctkd__cli_misused(command, &err);
    return false;
}

void ctkd__cli_note_unused(const struct ctkd__config *config, enum ctkd__reader reader,
                           const struct ctkd__facts *facts, const char *who,
                           const char *const *keys)
{
    char unused[1024];
    ctkd__config_unused(config, reader, facts, keys, unused, sizeof unused);
    if (unused[0] && !muted)
        ctkd__say(stderr, "note: %s does not use %s", who, unused);
}

void ctkd__cli_note_unused_in(const struct ctkd__session *session)
{
    const struct ctkd__facts facts = ctkd__session_facts(session);
    ctkd__cli_note_unused(session->config,
                          session->teacher ? CTKD__READER_DISTILS : CTKD__READER_TRAINS, &facts,
                          "this run", NULL);
}

ctkd_status ctkd__cli_configure(const struct ctkd__line *line,
                                const struct ctkd__arguments *arguments, bool distil,
                                struct ctkd__config *config, ctkd_error *err)
{
    char note[CTKD__ARGUMENTS_NOTE];
    const ctkd_status status = ctkd__arguments_configure(line->n_configuration, line->argv,
                                                         arguments, distil, config, note, err);
    for (char *at = note, *end; status == CTKD_OK && !muted && (end = strchr(at, '\n'));
         at = end + 1)
        ctkd__say(stderr, "note: %.*s", (int)(end - at), at);
    return status;
}

ctkd_status ctkd__cli_settle(struct ctkd__config *config, bool distil, ctkd_error *err)
{
    const ctkd_status status = ctkd__config_check(config, distil, err);
    if (status != CTKD_OK)
        return status;
    ctkd__cli_note_unused(config, distil ? CTKD__READER_DISTILS : CTKD__READER_TRAINS, NULL,
                          "this run", NULL);
    return ctkd__run_resolve(config, distil, err);
}

int ctkd__cli_with_config(const struct ctkd__command *command, int argc, char **argv,
                          int (*body)(const struct ctkd__command *command, int argc, char **argv,
                                      struct ctkd__config *config))
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    const int status = body(command, argc, argv, config);
    ctkd__config_destroy(config);
    return status;
}

ctkd_status ctkd__cli_arms(const struct ctkd__line *line, size_t most,
                           struct ctkd__arm_folders *out, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    *out = (struct ctkd__arm_folders){ .count = 0 };
    for (size_t i = 0; i < ctkd__line_names(line) && status == CTKD_OK; i++)
        status = ctkd__arm_folders_add(out, ctkd__line_name(line, i), err);
    if (status == CTKD_OK && out->count > most)
        return ctkd__fail(err, CTKD_EINVAL, "found %zu arms, expected at most %zu", out->count,
                          most);
    return status;
}

int ctkd__cli_with_settings(const struct ctkd__command *command, int argc, char **argv,
                            void *values, int (*body)(const struct ctkd__line *line, void *values))
{
    const struct ctkd__section section = { "", command->settings, values, NULL };
    const struct ctkd__sections sections = { &section, 1, NULL };
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    if (ctkd__sections_defaults(sections, &err) != CTKD_OK)
        status = ctkd__cli_failed(&err);
    else if (ctkd__line_apply(&line, sections, &err) != CTKD_OK)
        status = ctkd__cli_misused(command, &err);
    else
        status = body(&line, values);
    ctkd__sections_fini(sections);
    return status;
}
