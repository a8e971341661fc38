/*
 * The flags of a subcommand are a table in its entry. Its command line is read by it, and its help,
 * its messages, its manual page and the completion of shells are made from it.
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

/* Every command takes --help and -h beside its own. */
struct ctkd__flag {
    const char *name;           /* "--output" */
    const char *letter;         /* "-o"; NULL: none */
    const char *value;          /* the word for its value, "FILE"; NULL: it takes none */
    const char *help;           /* what it does, beginning with a verb, without a full stop */
    const char *const *choices; /* of its value, ending with NULL; NULL: any text */
};
#define CTKD__FLAG_END                                                                             \
    {                                                                                              \
        NULL, NULL, NULL, NULL, NULL                                                               \
    }
/* Flags that mean the same wherever they are. */
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

/* The place of a flag in a table, as it is written ('-' and '_' are the same behind the first two
   characters), in its first `length` characters; -1: none. */
int ctkd__flag_find(const struct ctkd__flag *flags, const char *text, size_t length);

/* The arguments of a subcommand; argv[0] is the first after its name. */
struct ctkd__line {
    const struct ctkd__command *command;
    int argc;
    char **argv;
    int n_configuration; /* of them; set by ctkd__line_split */
};

/* A part of a line. */
enum {
    CTKD__WORD_NAME = -1,          /* a file, a directory, a network ... */
    CTKD__WORD_SETTING = -2,       /* key=value */
    CTKD__WORD_CONFIGURATION = -3, /* a flag that sets a key, such as --kd_T (arguments.h) */
    CTKD__WORD_HELP = -4
};
struct ctkd__word {
    int flag;         /* its place in the table, or one of the above */
    const char *text; /* the value of a flag, NULL for one without; else as it is written */
    int used;         /* arguments: 1 or 2 */
};

/* Reads a line: flags by the table, a value as "--flag value" or "--flag=value", the number of
   names. False when the command ends here, after its --help or a misuse that has been told: *status
   is its exit status. */
bool ctkd__line_read(const struct ctkd__command *command, int argc, char **argv,
                     struct ctkd__line *out, int *status);

/* The words of a line that was read, in order: begins at *at = 0; false behind the last. */
bool ctkd__line_next(const struct ctkd__line *line, int *at, struct ctkd__word *word);
/* Whether a flag is there, and its last value (NULL: it is not there). */
bool ctkd__line_has(const struct ctkd__line *line, int flag);
const char *ctkd__line_value(const struct ctkd__line *line, int flag);
/* How many names there are, and one of them (NULL behind the last). */
size_t ctkd__line_names(const struct ctkd__line *line);
const char *ctkd__line_name(const struct ctkd__line *line, size_t i);

/* The value of a flag as a number in [least, most]; *out stays as it is where the flag is not
   there. */
ctkd_status ctkd__line_number(const struct ctkd__line *line, int flag, double least, double most,
                              double *out, ctkd_error *err);
/* The same for a whole number. */
ctkd_status ctkd__line_whole(const struct ctkd__line *line, int flag, long long least,
                             long long most, long long *out, ctkd_error *err);

/* Applies every setting to the command's own (ctkd__command.settings). */
ctkd_status ctkd__line_apply(const struct ctkd__line *line, struct ctkd__sections sections,
                             ctkd_error *err);

/* Moves what belongs to a configuration (names, settings, flags of keys) before the flags of the
   command, both in their order. */
void ctkd__line_split(struct ctkd__line *line);

#endif
