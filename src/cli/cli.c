#include "cli/cli.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "cli/stop.h"
#include "config/published.h"
#include "util/error.h"
#include "weights/format.h"

/* "  pth          .pth .pt .th  several sets of weights" */
static void print_formats(void)
{
    printf("\nWeights are files of these formats, known by their contents:\n");
    for (const struct ctkd__weights_format *const *f = ctkd__weights_formats(); *f; f++) {
        char endings[64] = "";
        size_t used = 0;
        for (const char *const *ending = (*f)->endings; *ending && used < sizeof endings; ending++)
            used += (size_t)snprintf(endings + used, sizeof endings - used, "%s%s", used ? " " : "",
                                     *ending);
        printf("  %-12s %-14s tensors%s%s%s\n", (*f)->name, endings,
               (*f)->holds_sets ? " in one or more sets" : "",
               (*f)->holds_metadata ? ", what they are of as metadata" : "",
               (*f)->holds_network ? ", and the network itself" : "");
    }
}

int ctkd__cli_help(const struct ctkd__command *command)
{
    printf("usage: ctkd %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
    if (command->details)
        printf("\n%s\n", command->details);
    if (command->weights)
        print_formats();
    if (command->settings) {
        const struct ctkd__section section = { "", command->settings, NULL };
        printf("\nSettings, as key=value:\n\n");
        ctkd__sections_help((struct ctkd__sections){ &section, 1 }, command->flags, stdout);
    }
    if (!command->options)
        return CTKD__EXIT_DONE;
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    printf("\nFlags of the published scripts, with - or _, set the keys beside which they stand; "
           "these change\nnothing here:");
    for (const struct ctkd__idle_flag *idle = ctkd__idle_flags; idle->flag; idle++)
        printf("%s %s", idle == ctkd__idle_flags ? "" : ",", idle->flag);
    printf(".\n");
    if (command->preset)
        printf("With one of them and without a CONFIG, what is not set is as in the published "
               "parser\n(--preset published); --preset ctkd takes the defaults below.\n");
    printf("\nKeys, as key=value or in a YAML file (dots nest):\n\n");
    ctkd__sections_help(ctkd__config_sections(config), ctkd__argument_aliases(), stdout);
    ctkd__config_destroy(config);
    return CTKD__EXIT_DONE;
}

int ctkd__cli_failed(const ctkd_error *err)
{
    if (ferror(stdout) && ctkd__stop_unread()) /* its reader has what it wanted: not a failure */
        return 128 + SIGPIPE;
    fprintf(stderr, "ctkd: %s\n", err->message);
    return err->status == CTKD_EINTERRUPTED ? CTKD__EXIT_INTERRUPTED : CTKD__EXIT_FAILED;
}

int ctkd__cli_misused(const struct ctkd__command *command, const ctkd_error *err)
{
    if (err->status == CTKD_EIO || err->status == CTKD_ENOMEM)
        return ctkd__cli_failed(err);
    fprintf(stderr, "ctkd %s: %s\n", command->name, err->message);
    return CTKD__EXIT_USAGE;
}

void ctkd__cli_note(const char *file, const char *note)
{
    if (note[0])
        fprintf(stderr, "%s: %s\n", file, note);
}

/* "--json is not for `ctkd train`, but for eval, inspect, check and doctor" */
static ctkd_status refuse_switch(const char *flag, size_t offset, ctkd_error *err)
{
    char takers[160] = "";
    size_t used = 0;
    const char *separator = "";
    for (size_t i = 0; ctkd__commands[i]; i++)
        if (*(const bool *)((const char *)ctkd__commands[i] + offset)) {
            used += (size_t)snprintf(takers + used, sizeof takers - used, "%s%s", separator,
                                     ctkd__commands[i]->name);
            separator = ", ";
        }
    return ctkd__fail(err, CTKD_EINVAL, "found %s, which only these commands take: %s", flag,
                      takers);
}

ctkd_status ctkd__cli_scan(const struct ctkd__command *command, int argc, char **argv,
                           struct ctkd__arguments *arguments, ctkd_error *err)
{
    const ctkd_status status = ctkd__arguments_scan(argc, argv, arguments, err);
    if (status != CTKD_OK || arguments->help)
        return status;
    if (arguments->json && !command->json)
        return refuse_switch("--json", offsetof(struct ctkd__command, json), err);
    if (arguments->dry_run && !command->dry_run)
        return refuse_switch("--dry-run", offsetof(struct ctkd__command, dry_run), err);
    if (arguments->preset != CTKD__PRESET_AUTO && !command->preset)
        return refuse_switch("--preset", offsetof(struct ctkd__command, preset), err);
    return CTKD_OK;
}

void ctkd__cli_note_unused(const struct ctkd__command *command, int argc, char **argv)
{
    char unused[512];
    ctkd__arguments_unused(argc, argv, command->keys, unused, sizeof unused);
    if (unused[0])
        fprintf(stderr, "note: `ctkd %s` does not use %s\n", command->name, unused);
}

ctkd_status ctkd__cli_configure(int argc, char **argv, const struct ctkd__arguments *arguments,
                                bool distil, struct ctkd__config *config, ctkd_error *err)
{
    char note[CTKD__ARGUMENTS_NOTE];
    if (arguments->n_positionals > 1)
        return ctkd__fail(err, CTKD_EINVAL, "found '%s', expected one CONFIG and key=value",
                          arguments->positionals[1]);
    const ctkd_status status =
        ctkd__arguments_configure(argc, argv, arguments, distil, config, note, err);
    for (char *line = note, *end; status == CTKD_OK && (end = strchr(line, '\n')); line = end + 1)
        fprintf(stderr, "note: %.*s\n", (int)(end - line), line);
    return status;
}

/* What a command without options takes as `text`: true and `out` filled, or false with why. */
static bool take_name(const struct ctkd__command *command, const char *text, size_t positionals,
                      struct ctkd__arguments *out, ctkd_error *err)
{
    const char *const names[] = { "--help", command->json ? "--json" : NULL, NULL };
    if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
        out->help = true;
    } else if (strcmp(text, "--json") == 0 && command->json) {
        out->json = true;
    } else if (text[0] == '-') {
        const char *nearest = ctkd__nearest(text, names);
        ctkd__fail(err, CTKD_ENOTFOUND, "unknown option '%.80s'%s%s%s; usage: ctkd %s %s", text,
                   nearest ? ", did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "",
                   command->name, command->arguments);
        return false;
    } else if (strchr(text, '=') && access(text, F_OK) != 0) {
        if (positionals == 0)
            ctkd__fail(err, CTKD_EINVAL, "found '%.80s', expected no argument", text);
        else
            ctkd__fail(err, CTKD_EINVAL, "found '%.80s', expected a name; usage: ctkd %s %s", text,
                       command->name, command->arguments);
        return false;
    } else if (out->n_positionals == positionals) {
        ctkd__fail(err, CTKD_EINVAL, "found '%.80s', expected %s", text,
                   positionals > 1 ? "fewer names"
                   : positionals   ? "one name"
                                   : "no argument");
        return false;
    } else {
        out->positionals[out->n_positionals++] = text;
    }
    return true;
}

bool ctkd__cli_names(const struct ctkd__command *command, int argc, char **argv, size_t positionals,
                     struct ctkd__arguments *arguments, int *status)
{
    ctkd_error err = { 0 };
    *arguments = (struct ctkd__arguments){ 0 };
    for (int i = 0; i < argc; i++)
        if (!take_name(command, argv[i], positionals, arguments, &err)) {
            *status = ctkd__cli_misused(command, &err);
            return false;
        }
    if (arguments->help)
        *status = ctkd__cli_help(command);
    return !arguments->help;
}
