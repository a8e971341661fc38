/*
 * The flags of a subcommand are a table in its entry. The command line is read by this table, and
 * help, messages, manual page and shell completion are made from it.
 *
 *     enum { OUTPUT, BEST };
 *     static const struct ctkd__flag flags[] = {
 *         [OUTPUT] = { "--output", "-o", "FILE", "write the table to FILE", NULL },
 *         [BEST] = { "--best", NULL, NULL, "take the best epoch, not the last", NULL },
 *         CTKD__FLAG_END,
 *     };
 *     ...
 *     if (!ctkd__line_read(command, argc, argv, &line, &status))
 *         return status;
 *     const char *const file = ctkd__line_value(&line, OUTPUT);
 */
#ifndef CTKD_CLI_FLAGS_H
#define CTKD_CLI_FLAGS_H

#include <stdbool.h>

#include "config/arguments.h"

struct ctkd__command;

/* Every command takes --help and -h in addition to its own flags. */
struct ctkd__flag {
    const char *name;           /* "--output" */
    const char *letter;         /* "-o"; NULL: none */
    const char *value;          /* the name of its value in help, "FILE"; NULL: it takes none */
    const char *help;           /* what it does, beginning with a verb, without a full stop */
    const char *const *choices; /* allowed values, ending with NULL; NULL: any text */
};
#define CTKD__FLAG_END                                                                             \
    {                                                                                              \
        NULL, NULL, NULL, NULL, NULL                                                               \
    }
/* Flags that mean the same in every command. */
#define CTKD__FLAG_JSON                                                                            \
    {                                                                                              \
        "--json", NULL, NULL, "print one JSON object instead of text", NULL                        \
    }

#define CTKD__FLAG_PRESET                                                                          \
    {                                                                                              \
        "--preset", NULL, "NAME",                                                                  \
            "begin with the defaults of the published scripts (published) or of ctkd (ctkd); "     \
            "auto takes the former with one of their flags and without a CONFIG",                  \
            ctkd__preset_names                                                                     \
    }

/* The index in a table of the flag that the first `length` characters of `text` name (after the
   first two, '-' equals '_'); -1: none. */
int ctkd__flag_find(const struct ctkd__flag *flags, const char *text, size_t length);

/* The arguments of a subcommand; argv[0] is the first after its name. */
struct ctkd__line {
    const struct ctkd__command *command;
    int argc;
    char **argv;
    int n_configuration; /* how many belong to the configuration; set by ctkd__line_split */
};

/* A part of a line. */
enum {
    CTKD__WORD_NAME = -1,          /* a file, a directory, a network ... */
    CTKD__WORD_SETTING = -2,       /* key=value */
    CTKD__WORD_CONFIGURATION = -3, /* a flag that sets a key, such as --kd_T (arguments.h) */
    CTKD__WORD_HELP = -4
};
struct ctkd__word {
    int flag;         /* its index in the table, or one of the above */
    const char *text; /* the value of a flag, NULL if it takes none; else the word as written */
    int used;         /* number of arguments, 1 or 2 */
};

/* Reads and checks a line: flags by the table, with values as "--flag value" or "--flag=value", and
   the number of names. False: the command ends here, after printing its help or an error; *status
   is its exit status. */
bool ctkd__line_read(const struct ctkd__command *command, int argc, char **argv,
                     struct ctkd__line *out, int *status);

/* The next word of a line that was read; begin with *at = 0. False after the last. */
bool ctkd__line_next(const struct ctkd__line *line, int *at, struct ctkd__word *word);
/* Whether the line has a flag, and its last value (NULL: it does not have it). */
bool ctkd__line_has(const struct ctkd__line *line, int flag);
const char *ctkd__line_value(const struct ctkd__line *line, int flag);
/* The number of names, and name i (NULL after the last). */
size_t ctkd__line_names(const struct ctkd__line *line);
const char *ctkd__line_name(const struct ctkd__line *line, size_t i);

/* The value of a flag as a number in [least, most]; *out is unchanged if the line does not have the
   flag. CTKD_ERANGE: it is no such number. */
ctkd_status ctkd__line_number(const struct ctkd__line *line, int flag, double least, double most,
                              double *out, ctkd_error *err);
/* The same for a whole number. */
ctkd_status ctkd__line_whole(const struct ctkd__line *line, int flag, long long least,
                             long long most, long long *out, ctkd_error *err);

/* Applies every setting of the line to the command's own settings (ctkd__command.settings). */
ctkd_status ctkd__line_apply(const struct ctkd__line *line, struct ctkd__sections sections,
                             ctkd_error *err);

/* Moves the words that belong to a configuration (names, settings, flags of keys) before the flags
   of the command; both keep their order. */
void ctkd__line_split(struct ctkd__line *line);

#endif
