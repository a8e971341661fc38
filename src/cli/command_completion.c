#include <string.h>

#include "cli/cli.h"
#include "cli/shells.h"
#include "ctkd/loss.h"
#include "data/dataset.h"
#include "nn/conv/conv.h"
#include "nn/kernels/kernels.h"
#include "nn/models/models.h"
#include "util/file.h"
#include "util/options_inner.h"

/* --- values of keys whose option says only that they are text */

static const char *loss_name(size_t i)
{
    return ctkd_loss_list()[i] ? ctkd_loss_list()[i]->name : NULL;
}

static const char *dataset_name(size_t i)
{
    return ctkd__dataset_list()[i] ? ctkd__dataset_list()[i]->name : NULL;
}

static const char *conv_name(size_t i)
{
    return ctkd__conv_list()[i] ? ctkd__conv_list()[i]->name : NULL;
}

static const char *network_name(size_t i)
{
    for (const struct ctkd__model_family *const *f = ctkd__model_families(); *f; f++)
        for (const struct ctkd__model *model = (*f)->models; model->name; model++)
            if (i-- == 0)
                return model->name;
    return NULL;
}

static const struct list {
    const char *key, *more;
    const char *(*name)(size_t i);
} lists[] = {
    { "data.set", "@files", dataset_name },  { "student.network", "", network_name },
    { "teacher.network", "", network_name }, { "network", "", network_name },
    { "method.name", "none", loss_name },    { "train.isa", "auto", ctkd__kernels_name },
    { "train.conv", "auto", conv_name },
};

/* --- tables, as functions that both bash and zsh understand; words are separated by blanks */

static bool takes_keys(const struct ctkd__command *command)
{
    return command->options || command->passes_settings;
}

static void write_values_of(const char *key, const ctkd_option *option, FILE *out)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].key, key) == 0) {
            for (size_t j = 0; lists[i].name(j); j++)
                fprintf(out, "%s ", lists[i].name(j));
            fputs(lists[i].more, out);
            return;
        }
    switch (option->type) {
    case CTKD_OPTION_CHOICE:
        for (size_t i = 0; option->choices[i]; i++)
            fprintf(out, "%s%s", i ? " " : "", option->choices[i]);
        break;
    case CTKD_OPTION_BOOL:
        fputs("true false", out);
        break;
    case CTKD_OPTION_PATH:
        fputs("@files", out);
        break;
    case CTKD_OPTION_F32:
    case CTKD_OPTION_I64:
    case CTKD_OPTION_STRING:
        break;
    }
}

/* "        COMMAND:KEY) echo 'VALUES' ;;" for each key, with the flags of others that set it. */
static void write_key_values(const char *command, struct ctkd__sections sections,
                             const struct ctkd__alias *aliases, FILE *out)
{
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(sections, &at)) {
        fprintf(out, "        %s:%s", command, at.key);
        for (const struct ctkd__alias *alias = aliases; alias && alias->flag; alias++)
            if (!alias->value && strcmp(alias->key, at.key) == 0)
                fprintf(out, " | %s:%s", command, alias->flag);
        fputs(") echo '", out);
        write_values_of(at.key, at.option, out);
        fputs("' ;;\n", out);
    }
}

static void write_flag_values(const struct ctkd__command *command, FILE *out)
{
    for (const struct ctkd__flag *flag = command->flags; flag && flag->name; flag++) {
        if (!flag->value)
            continue;
        fprintf(out, "        %s:%s", command->name, flag->name);
        if (flag->letter)
            fprintf(out, " | %s:%s", command->name, flag->letter);
        fputs(") echo '", out);
        for (size_t i = 0; flag->choices && flag->choices[i]; i++)
            fprintf(out, "%s%s", i ? " " : "", flag->choices[i]);
        if (!flag->choices && (strstr(flag->value, "FILE") || strstr(flag->value, "DIR")))
            fputs("@files", out);
        fputs("' ;;\n", out);
    }
}

/* The values of each key or flag of a command; @none: the flag takes no value. */
static void write_values(struct ctkd__sections keys, FILE *out)
{
    fputs("_ctkd_values()\n{\n    case $1:$2 in\n", out);
    for (size_t i = 0; ctkd__commands[i]; i++) {
        const struct ctkd__section own = { "", ctkd__commands[i]->settings, NULL, NULL };
        write_flag_values(ctkd__commands[i], out);
        if (own.options)
            write_key_values(ctkd__commands[i]->name, (struct ctkd__sections){ &own, 1, NULL },
                             NULL, out);
    }
    write_key_values("*", keys, ctkd__argument_aliases(), out);
    fputs("        *) echo @none ;;\n    esac\n}\n", out);
}

static void write_keys(const struct ctkd__command *command, struct ctkd__sections keys, FILE *out)
{
    const struct ctkd__section own = { "", command->settings, NULL, NULL };
    if (!takes_keys(command))
        keys = (struct ctkd__sections){ &own, own.options ? 1 : 0, NULL };
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(keys, &at))
        if (ctkd__key_begins_with(at.key, command->keys))
            fprintf(out, " %s", at.key);
}

static void write_flags(const struct ctkd__command *command, FILE *out)
{
    struct ctkd__flag flag;
    char text[CTKD__FLAG_TEXT];
    for (size_t i = 0; ctkd__cli_flag(command, i, &flag, text); i++)
        fprintf(out, " %s", flag.name);
}

static void write_published(const struct ctkd__command *command, FILE *out)
{
    for (const struct ctkd__alias *alias = ctkd__argument_aliases(); alias->flag; alias++)
        if (command->options && !alias->value)
            fprintf(out, " %s", alias->flag);
}

static void write_names(const struct ctkd__command *command, FILE *out)
{
    for (size_t i = 0; command->choice && command->choice(i); i++)
        fprintf(out, " %s", command->choice(i));
    if (!command->choice && command->names_max > 0)
        fputs(takes_keys(command) && !command->keys ? " @configs" : " @files", out);
}

static void write_tables(struct ctkd__sections keys, FILE *out)
{
    static void (*const lists_of[])(const struct ctkd__command *,
                                    FILE *) = { write_flags, write_published, write_names };
    static const char *const names[] = { "flags", "published", "names" };
    fputs("_ctkd_commands()\n{\n    echo '", out);
    for (size_t i = 0; ctkd__commands[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", ctkd__commands[i]->name);
    fputs("'\n}\n_ctkd_summaries()\n{\n    cat <<'END'\n", out);
    for (size_t i = 0; ctkd__commands[i]; i++)
        fprintf(out, "%s:%s\n", ctkd__commands[i]->name, ctkd__commands[i]->summary);
    fputs("END\n}\n", out);
    for (size_t list = 0; list < sizeof names / sizeof *names; list++) {
        fprintf(out, "_ctkd_%s()\n{\n    case $1 in\n", names[list]);
        for (size_t i = 0; ctkd__commands[i]; i++) {
            fprintf(out, "        %s) echo '", ctkd__commands[i]->name);
            lists_of[list](ctkd__commands[i], out);
            fputs("' ;;\n", out);
        }
        fputs("    esac\n}\n", out);
    }
    fputs("_ctkd_keys()\n{\n    case $1 in\n", out);
    for (size_t i = 0; ctkd__commands[i]; i++) {
        fprintf(out, "        %s) echo '", ctkd__commands[i]->name);
        write_keys(ctkd__commands[i], keys, out);
        fputs("' ;;\n", out);
    }
    fputs("    esac\n}\n", out);
    write_values(keys, out);
}

/* --- the command */

static const char *shell_name(size_t i)
{
    static const char *const names[] = { "bash", "zsh", NULL };
    return names[i];
}

static ctkd_status write_script(size_t shell, FILE *out, ctkd_error *err)
{
    struct ctkd__config *config;
    const ctkd_status status = ctkd__config_create(&config, err);
    if (status != CTKD_OK)
        return status;
    fprintf(out, "%s# Completion of ctkd, written by `ctkd completion %s`.\n",
            shell ? "#compdef ctkd\n" : "", shell_name(shell));
    write_tables(ctkd__config_sections(config), out);
    fputs(shell ? ctkd__shell_zsh : ctkd__shell_bash, out);
    ctkd__config_destroy(config);
    return CTKD_OK;
}

enum { OUTPUT };
static const struct ctkd__flag flags[] = {
    [OUTPUT] = { "--output", "-o", "FILE", "write to FILE instead of standard output", NULL },
    CTKD__FLAG_END,
};

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    struct ctkd__new_file file;
    ctkd_error err = { 0 };
    size_t shell;
    int ended;
    if (!ctkd__line_read(command, argc, argv, &line, &ended))
        return ended;
    if (ctkd__cli_choose(command, ctkd__line_name(&line, 0), &shell, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    const char *const path = ctkd__line_value(&line, OUTPUT);
    ctkd_status status = ctkd__new_file_open(&file, path ? path : "-", &err);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    status = write_script(shell, file.stream, &err);
    if (status == CTKD_OK)
        status = ctkd__new_file_commit(&file, &err);
    else
        ctkd__new_file_abandon(&file);
    return status == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

const struct ctkd__command ctkd__command_completion = {
    .name = "completion",
    .arguments = "bash|zsh",
    .summary = "write a script with which a shell completes command lines",
    .details = "It completes commands, flags, keys, values and files. Packages install it; without "
               "one, put `source <(ctkd completion bash)` into ~/.bashrc, or `source <(ctkd "
               "completion zsh)` behind compinit in ~/.zshrc.",
    .flags = flags,
    .names_min = 1,
    .names_max = 1,
    .choice = shell_name,
    .run = run,
};
