#include "cli/cli.h"

#include <ctype.h>
#include <string.h>

#include "config/published.h"
#include "util/text.h"
#include "weights/format.h"

/* Paragraphs as in ctkd__command.details. */
static void print_paragraphs(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n"), *table = strstr(text, "\n ");
        char paragraph[1200];
        if (text[0] == ' ') { /* a line that is not filled */
            const size_t length = strcspn(text, "\n");
            printf("%.*s\n", (int)length, text);
            text += length + (text[length] == '\n');
            continue;
        }
        if (!end || (table && table < end))
            end = table;
        const size_t length = end ? (size_t)(end - text) : strlen(text);
        snprintf(paragraph, sizeof paragraph, "%.*s", (int)length, text);
        putchar('\n');
        ctkd__text_wrap(paragraph, 0, 0, stdout);
        text += length;
        text += strspn(text, "\n");
    }
}

/* "  -o, --output FILE     write the table to FILE" */
static void print_flag(const struct ctkd__flag *flag)
{
    const int used =
        printf("  %s%s%s%s%s ", flag->letter ? flag->letter : "  ", flag->letter ? ", " : "  ",
               flag->name, flag->value ? " " : "", flag->value ? flag->value : "");
    ctkd__text_wrap(flag->help, 24, (size_t)used, stdout);
}

bool ctkd__cli_flag(const struct ctkd__command *command, size_t i, struct ctkd__flag *out,
                    char text[CTKD__FLAG_TEXT])
{
    for (const struct ctkd__flag *flag = command->flags; flag && flag->name; flag++)
        if (i-- == 0) {
            *out = *flag;
            return true;
        }
    const bool all_keys = command->options && !command->keys;
    for (const struct ctkd__alias *alias = ctkd__argument_aliases(); alias->flag; alias++)
        if (all_keys && alias->value && i-- == 0) {
            snprintf(text, CTKD__FLAG_TEXT, "set %s=%s", alias->key, alias->value);
            *out = (struct ctkd__flag){ alias->flag, NULL, NULL, text, NULL };
            return true;
        }
    *out = (struct ctkd__flag){ "--help", "-h", NULL, "show this help", NULL };
    return i == 0;
}

static void print_flags(const struct ctkd__command *command)
{
    struct ctkd__flag flag;
    char text[CTKD__FLAG_TEXT];
    printf("\nOptions:\n");
    for (size_t i = 0; ctkd__cli_flag(command, i, &flag, text); i++)
        print_flag(&flag);
}

const char *ctkd__cli_format_text(const struct ctkd__weights_format *format, char *text,
                                  size_t bytes)
{
    snprintf(text, bytes, "tensors%s%s%s", format->holds_sets ? " in one or more sets" : "",
             format->holds_metadata ? ", with metadata" : "",
             format->holds_network ? " and the network itself" : "");
    return text;
}

/* "  pth          .pth .pt .th   tensors in one or more sets, with metadata" */
static void print_formats(void)
{
    printf("\nWeights are files of these formats, known by their contents:\n");
    for (const struct ctkd__weights_format *const *f = ctkd__weights_formats(); *f; f++) {
        char endings[64] = "", text[160];
        size_t used = 0;
        for (const char *const *ending = (*f)->endings; *ending; ending++)
            ctkd__text_append(endings, sizeof endings, &used, "%s%s", used ? " " : "", *ending);
        const int column = printf("  %-12s %-14s ", (*f)->name, endings);
        ctkd__text_wrap(ctkd__cli_format_text(*f, text, sizeof text), 30, (size_t)column, stdout);
    }
}

/* The flags of the published scripts and the keys that they set. */
static void print_published(const struct ctkd__command *command)
{
    char text[1024];
    size_t used = 0;
    ctkd__text_append(text, sizeof text, &used,
                      "The flags of the published scripts, written with - or _, set the keys "
                      "beside which they stand below. These change nothing here:");
    for (const struct ctkd__idle_flag *idle = ctkd__idle_flags; idle->flag; idle++)
        ctkd__text_append(text, sizeof text, &used, "%s %s%s", idle == ctkd__idle_flags ? "" : ",",
                          idle->flag, idle[1].flag ? "" : ".");
    putchar('\n');
    ctkd__text_wrap(text, 0, 0, stdout);
    if (ctkd__flag_find(command->flags, "--preset", strlen("--preset")) < 0)
        return;
    putchar('\n');
    ctkd__text_wrap("With one of them and without a CONFIG, a key that is not set has the default "
                    "of the published parser (--preset published); --preset ctkd takes the "
                    "defaults below.",
                    0, 0, stdout);
}

static int print_keys(const struct ctkd__command *command)
{
    struct ctkd__config *config;
    ctkd_error err = { 0 };
    if (ctkd__config_create(&config, &err) != CTKD_OK)
        return ctkd__cli_failed(&err);
    printf("\nKeys, as key=value or in a YAML file (dots nest):\n\n");
    ctkd__sections_help(ctkd__config_sections(config), ctkd__argument_aliases(), command->keys,
                        stdout);
    ctkd__config_destroy(config);
    return CTKD__EXIT_DONE;
}

int ctkd__cli_help(const struct ctkd__command *command)
{
    char text[400];
    snprintf(text, sizeof text, "%s %s", command->name, command->arguments);
    const int column = printf("usage: ctkd ");
    ctkd__text_wrap(text, (size_t)column, (size_t)column, stdout);
    printf("\n%c%s.\n", toupper((unsigned char)command->summary[0]), command->summary + 1);
    if (command->details)
        print_paragraphs(command->details);
    print_flags(command);
    if (command->weights)
        print_formats();
    if (command->settings) {
        const struct ctkd__section section = { "", command->settings, NULL, NULL };
        printf("\nSettings, as key=value:\n\n");
        ctkd__sections_help((struct ctkd__sections){ &section, 1, NULL }, NULL, NULL, stdout);
    }
    if (!command->options)
        return CTKD__EXIT_DONE;
    if (!command->keys)
        print_published(command);
    return print_keys(command);
}
