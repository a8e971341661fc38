#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/roff.h"
#include "util/error.h"
#include "util/file.h"
#include "util/options_inner.h"
#include "util/text.h"
#include "weights/format.h"

/* --- parts of pages */

static void write_name(const char *page, const char *summary, FILE *out)
{
    ctkd__roff_section("NAME", out);
    char text[160];
    snprintf(text, sizeof text, "%s - %s", page, summary);
    ctkd__roff_words(text, out);
}

static void write_flag(const struct ctkd__flag *flag, FILE *out)
{
    char term[80], rest[80];
    snprintf(term, sizeof term, "%s%s%s", flag->letter ? flag->letter : "",
             flag->letter ? ", " : "", flag->name);
    snprintf(rest, sizeof rest, "%s%s", flag->value ? " " : "", flag->value ? flag->value : "");
    ctkd__roff_item(term, rest, flag->help, out);
}

static void write_flags(const struct ctkd__command *command, FILE *out)
{
    struct ctkd__flag flag;
    char text[CTKD__FLAG_TEXT];
    ctkd__roff_section("OPTIONS", out);
    for (size_t i = 0; ctkd__cli_flag(command, i, &flag, text); i++)
        write_flag(&flag, out);
}

static void write_keys(struct ctkd__sections sections, const struct ctkd__alias *aliases,
                       const char *const *prefixes, FILE *out)
{
    struct ctkd__option_at at = { 0 };
    struct ctkd__option_help help;
    while (ctkd__options_next(sections, &at)) {
        char about[sizeof help.about + 4];
        if (!ctkd__key_begins_with(at.key, prefixes))
            continue;
        ctkd__option_help(&at, aliases, &help);
        snprintf(about, sizeof about, " (%s)", help.about);
        ctkd__roff_item(at.key, about, help.help, out);
    }
}

static ctkd_status write_configuration(const char *const *prefixes, FILE *out, ctkd_error *err)
{
    struct ctkd__config *config;
    const ctkd_status status = ctkd__config_create(&config, err);
    if (status == CTKD_OK)
        write_keys(ctkd__config_sections(config), ctkd__argument_aliases(), prefixes, out);
    ctkd__config_destroy(config);
    return status;
}

static void write_formats(FILE *out)
{
    ctkd__roff_section("WEIGHTS", out);
    ctkd__roff_words("Weights are files of these formats, known by their contents:", out);
    for (const struct ctkd__weights_format *const *f = ctkd__weights_formats(); *f; f++) {
        char rest[80] = "", text[160];
        size_t used = 0;
        for (const char *const *ending = (*f)->endings; *ending; ending++)
            ctkd__text_append(rest, sizeof rest, &used, " %s", *ending);
        ctkd__cli_format_text(*f, text, sizeof text);
        ctkd__roff_item((*f)->name, rest, text, out);
    }
}

/* --- pages */

static const char exit_status[] =
    "0: the work is done. 1: it failed. 2: the command line or the configuration is wrong. A run "
    "that was saved and can be resumed ends with 75 (train.max_minutes, SIGUSR1, SIGUSR2, "
    "SIGXCPU), or with 129, 130 or 143 (SIGHUP, SIGINT, SIGTERM).";

static ctkd_status write_command(const struct ctkd__command *command, FILE *out, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    char page[64], title[64];
    snprintf(page, sizeof page, "ctkd-%s", command->name);
    for (size_t i = 0; i == 0 || title[i - 1]; i++)
        title[i] = (char)toupper((unsigned char)page[i]);
    ctkd__roff_title(title, 1, out);
    write_name(page, command->summary, out);
    ctkd__roff_section("SYNOPSIS", out);
    fprintf(out, "\\fBctkd %s\\fR [\\fIOPTION\\fR ...\\&]\n", command->name);
    ctkd__roff_words(command->arguments, out);
    ctkd__roff_section("DESCRIPTION", out);
    ctkd__roff_paragraphs(command->details ? command->details : command->summary, out);
    write_flags(command, out);
    if (command->weights)
        write_formats(out);
    if (command->settings) {
        const struct ctkd__section section = { "", command->settings, NULL, NULL };
        ctkd__roff_section("SETTINGS", out);
        ctkd__roff_words("These are written key=value:", out);
        write_keys((struct ctkd__sections){ &section, 1, NULL }, NULL, NULL, out);
    }
    if (command->keys) {
        ctkd__roff_section("KEYS", out);
        ctkd__roff_words("Of the keys of `ctkd(5)`, which are written key=value, these are used:",
                         out);
        status = write_configuration(command->keys, out, err);
    } else if (command->options || command->passes_settings) {
        ctkd__roff_section("KEYS", out);
        ctkd__roff_words("`ctkd(5)` lists the keys, which are written key=value.", out);
    }
    ctkd__roff_section("SEE ALSO", out);
    fputs("\\fBctkd\\fR(1), \\fBctkd\\fR(5)\n", out);
    return status;
}

static void write_overview(FILE *out)
{
    ctkd__roff_title("CTKD", 1, out);
    write_name("ctkd", "train and distil neural networks on CPUs", out);
    ctkd__roff_section("SYNOPSIS", out);
    fputs("\\fBctkd\\fR \\fICOMMAND\\fR [\\fIARGUMENT\\fR ...\\&]\n.br\n"
          "\\fBctkd\\fR \\-\\-help | \\-\\-version\n",
          out);
    ctkd__roff_section("DESCRIPTION", out);
    ctkd__roff_words(
        "Ctkd trains networks for the classification of images and distils small ones (students) "
        "from large ones (teachers), with Curriculum Temperature for Knowledge Distillation (Li et "
        "al., AAAI 2023) and with the losses that `ctkd methods` lists. Each command has a "
        "manual page, such as `ctkd-train(1)`, and `ctkd COMMAND --help` shows the same.",
        out);
    ctkd__roff_section("COMMANDS", out);
    for (size_t i = 0; ctkd__commands[i]; i++)
        ctkd__roff_item(ctkd__commands[i]->name, "", ctkd__commands[i]->summary, out);
    ctkd__roff_section("EXIT STATUS", out);
    ctkd__roff_words(exit_status, out);
    ctkd__roff_section("ENVIRONMENT", out);
    ctkd__roff_item("CTKD_MAX_ISA", "",
                    "limits the kernels to the instructions of avx512, avx2 or portable.", out);
    ctkd__roff_item("ONEDNN_MAX_CPU_ISA", "", "limits oneDNN, for example to AVX2 or SSE41.", out);
    ctkd__roff_section("SEE ALSO", out);
    for (size_t i = 0; ctkd__commands[i]; i++)
        fprintf(out, "\\fBctkd\\-%s\\fR(1),\n", ctkd__commands[i]->name);
    fputs("\\fBctkd\\fR(5), \\fBlibctkd\\fR(3)\n", out);
}

static ctkd_status write_file_format(FILE *out, ctkd_error *err)
{
    ctkd__roff_title("CTKD", 5, out);
    write_name("ctkd", "configuration of ctkd", out);
    ctkd__roff_section("DESCRIPTION", out);
    ctkd__roff_paragraphs(
        "A CONFIG is a YAML file of nested keys: tau: 4 below temperature: is the key "
        "temperature.tau. On the command line a key is written temperature.tau=4, in one word, and "
        "the end of it (tau) is enough where no other key ends alike.\n\n"
        "Settings take effect in this order, and later ones win: defaults; the files that base: "
        "names (one, or a list, relative to the file that names them); the file itself; key=value "
        "and flags on the command line. An empty value, ~ and null reset a key to its default. At "
        "the beginning of a path, ~/ is the home directory. The config.yaml of a run directory "
        "holds every key as it was used and repeats the run.\n\n"
        "The flags of the published scripts, written with - or _, set the keys beside which they "
        "stand.",
        out);
    ctkd__roff_section("KEYS", out);
    const ctkd_status status = write_configuration(NULL, out, err);
    ctkd__roff_section("EXAMPLE", out);
    fputs(".nf\n", out);
    fputs("data: {set: cifar100:data}\n"
          "student: {network: resnet8x4}\n"
          "teacher: {path: runs/resnet32x4}\n"
          "temperature: {kind: global, curriculum_epochs: 10}\n",
          out);
    fputs(".fi\n", out);
    ctkd__roff_section("SEE ALSO", out);
    fputs("\\fBctkd\\fR(1), \\fBctkd\\-train\\fR(1), \\fBctkd\\-distill\\fR(1)\n", out);
    return status;
}

/* --- the command */

/* Page i: ctkd(1), ctkd(5), then one for each command. */
static bool page_path(size_t i, const char *dir, char *path, size_t bytes)
{
    int n;
    if (i < 2)
        n = snprintf(path, bytes, "%s/man%d/ctkd.%d", dir, i ? 5 : 1, i ? 5 : 1);
    else if (ctkd__commands[i - 2])
        n = snprintf(path, bytes, "%s/man1/ctkd-%s.1", dir, ctkd__commands[i - 2]->name);
    else
        return false;
    return n > 0 && (size_t)n < bytes;
}

static ctkd_status write_page(size_t i, FILE *out, ctkd_error *err)
{
    if (i == 0)
        write_overview(out);
    else if (i == 1)
        return write_file_format(out, err);
    else
        return write_command(ctkd__commands[i - 2], out, err);
    return CTKD_OK;
}

static ctkd_status write_all(const char *dir, ctkd_error *err)
{
    char path[1024];
    ctkd_status status = CTKD_OK;
    for (int section = 1; section <= 5 && status == CTKD_OK; section += 4) {
        snprintf(path, sizeof path, "%s/man%d", dir, section);
        status = ctkd__folders_create(path, err);
    }
    for (size_t i = 0; status == CTKD_OK && page_path(i, dir, path, sizeof path); i++) {
        struct ctkd__new_file file;
        status = ctkd__new_file_open(&file, path, err);
        if (status != CTKD_OK)
            return status;
        status = write_page(i, file.stream, err);
        if (status == CTKD_OK)
            status = ctkd__new_file_commit(&file, err);
        else
            ctkd__new_file_abandon(&file);
    }
    return status;
}

enum { ALL };
static const struct ctkd__flag flags[] = {
    [ALL] = { "--all", NULL, "DIR", "write all pages into DIR/man1 and DIR/man5", NULL },
    CTKD__FLAG_END,
};

static const char *page_name(size_t i)
{
    static const char *const others[] = { "ctkd", "config" };
    if (i < sizeof others / sizeof *others)
        return others[i];
    return ctkd__commands[i - 2] ? ctkd__commands[i - 2]->name : NULL;
}

static int run(const struct ctkd__command *command, int argc, char **argv)
{
    struct ctkd__line line;
    ctkd_error err = { 0 };
    int status;
    if (!ctkd__line_read(command, argc, argv, &line, &status))
        return status;
    const char *const name = ctkd__line_name(&line, 0), *const dir = ctkd__line_value(&line, ALL);
    size_t page = 0;
    if (name && ctkd__cli_choose(command, name, &page, &err) != CTKD_OK)
        return ctkd__cli_misused(command, &err);
    const ctkd_status failed = dir ? write_all(dir, &err) : write_page(page, stdout, &err);
    return failed == CTKD_OK ? CTKD__EXIT_DONE : ctkd__cli_failed(&err);
}

const struct ctkd__command ctkd__command_man = {
    .name = "man",
    .arguments = "[COMMAND|config]",
    .summary = "write manual pages",
    .details = "Writes the page of a command, of the keys (config) or, without a name, the "
               "overview to standard output, as man(1) reads it: `ctkd man train | man -l -`. The "
               "date is that of SOURCE_DATE_EPOCH where this is set. Packages install what --all "
               "writes.",
    .flags = flags,
    .names_max = 1,
    .choice = page_name,
    .run = run,
};
