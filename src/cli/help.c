#include "cli/cli.h"

#include <string.h>

#include "config/published.h"
#include "weights/format.h"

enum { WIDTH = 80 }; /* of a terminal */

/* Prints text at column `indent`, in lines of WIDTH; the first begins at column `at`. */
static void print_wrapped(const char *text, size_t indent, size_t at)
{
    if (at > indent) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", (int)(indent - at), "");
    for (size_t column = indent; *text;) {
        const size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + word > WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word + strspn(text + word, " ");
    }
    putchar('\n');
}

/* "  -o, --output FILE      write the table to FILE" */
static void print_flag(const struct ctkd__flag *flag)
{
    const int used =
        printf("  %s%s%s%s%s", flag->letter ? flag->letter : "   ", flag->letter ? ", " : " ",
               flag->name, flag->value ? " " : "", flag->value ? flag->value : "");
    print_wrapped(flag->help, 24, used < 23 ? (size_t)used : WIDTH);
}

static void print_flags(const struct ctkd__flag *flags)
{
    static const struct ctkd__flag help = { "--help", "-h", NULL, "show this help", NULL };
    printf("\nOptions:\n");
    for (; flags && flags->name; flags++)
        print_flag(flags);
    print_flag(&help);
}

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
    print_flags(command->flags);
    if (command->weights)
        print_formats();
    if (command->settings) {
        const struct ctkd__section section = { "", command->settings, NULL };
        printf("\nSettings, as key=value:\n\n");
        ctkd__sections_help((struct ctkd__sections){ &section, 1 }, NULL, stdout);
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
    if (ctkd__flag_find(command->flags, "--preset", strlen("--preset")) >= 0)
        printf("With one of them and without a CONFIG, what is not set is as in the published "
               "parser\n(--preset published); --preset ctkd takes the defaults below.\n");
    printf("\nKeys, as key=value or in a YAML file (dots nest):\n\n");
    ctkd__sections_help(ctkd__config_sections(config), ctkd__argument_aliases(), stdout);
    ctkd__config_destroy(config);
    return CTKD__EXIT_DONE;
}
