/* The subcommands of ctkd, and what they share. Data go to stdout, messages for people to
   stderr. */
#ifndef CTKD_CLI_CLI_H
#define CTKD_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/flags.h"
#include "cli/list.h"
#include "config/arguments.h"
#include "nn/engine.h"
#include "train/session.h"
#include "util/run_folders.h"

enum ctkd__exit {
    CTKD__EXIT_DONE = 0,
    CTKD__EXIT_FAILED = 1,
    CTKD__EXIT_USAGE = 2,
    CTKD__EXIT_LATER =
        75, /* a time limit of ours or of a batch system: saved, resume later (EX_TEMPFAIL) */
    CTKD__EXIT_INTERRUPTED = 130
};

/* One subcommand. The overview, the help, the manual page and the completion are made from it. */
struct ctkd__command {
    const char *name;
    const char *arguments;          /* of the usage line: names, settings, required flags */
    const char *summary;            /* one line, which begins with a verb */
    const char *details;            /* paragraphs, separated by empty lines; a line that begins with
                                       a blank is kept as it is, others are filled; may be NULL */
    const struct ctkd__flag *flags; /* its own, beside --help; may be NULL */
    size_t names_min, names_max;    /* how many names (files, runs ...) it takes */
    const char *(*choice)(size_t i); /* i-th allowed name, NULL after the last; NULL: any name */
    const ctkd_option *settings;     /* its own settings, key=value; may be NULL */
    const char *const *keys;         /* that it uses, or whole sections ("data."); NULL: all keys */
    bool options;         /* takes the settings of a configuration; --help ends with its keys */
    bool passes_settings; /* takes settings, which it reads itself */
    bool ranks;           /* may run on several MPI ranks; other commands refuse to */
    bool weights;         /* takes weights files; --help lists their formats */
    /* argv[0] is the first argument after the name; the exit status is returned. */
    int (*run)(const struct ctkd__command *command, int argc, char **argv);
};

/* For ctkd__command.keys: what an engine for forward passes is opened with, and the test images. */
#define CTKD__ENGINE_KEYS                                                                          \
    "train.batch", "train.batch_norm_group", "train.threads", "train.slices", "train.isa",         \
        "train.conv", "train.tune", "train.choices"
#define CTKD__TEST_IMAGE_KEYS                                                                      \
    "data.set", "data.labels", "data.classes", "data.test_limit", "data.channels", "data.pad_to",  \
        "data.mean", "data.std", "data.view", "data.size", "data.resize", "data.orientation",      \
        "data.class_order", "data.holdout", "data.allow_empty", "data.exclude", "data.max_pixels", \
        "data.roi", "data.readers", "data.threads", "train.seed"

#define CTKD__COMMAND_DECLARE(word) extern const struct ctkd__command ctkd__command_##word;
CTKD__COMMAND_LIST(CTKD__COMMAND_DECLARE)
#undef CTKD__COMMAND_DECLARE

/* The list of cli/list.h; ends with NULL. */
extern const struct ctkd__command *const ctkd__commands[];
/* The entry of that name, or NULL. */
const struct ctkd__command *ctkd__command_find(const char *name);

/* Prints the help of a command on stdout. */
int ctkd__cli_help(const struct ctkd__command *command);
/* The i-th flag that help, manual page and completion show: the command's own flags, our own flags
   of keys, --help. False after the last. `text` has room for its help. */
enum { CTKD__FLAG_TEXT = 80 };
bool ctkd__cli_flag(const struct ctkd__command *command, size_t i, struct ctkd__flag *out,
                    char text[CTKD__FLAG_TEXT]);
/* "tensors in one or more sets, with metadata"; returns text. */
struct ctkd__weights_format;
const char *ctkd__cli_format_text(const struct ctkd__weights_format *format, char *text,
                                  size_t bytes);

/* The index of `name` among the command's choices. CTKD_ENOTFOUND: it is none of them; the message
   suggests the nearest. */
ctkd_status ctkd__cli_choose(const struct ctkd__command *command, const char *name, size_t *i,
                             ctkd_error *err);

/* Prints the message of a failure, one line, and returns its exit status. */
int ctkd__cli_failed(const ctkd_error *err);
/* The same for a mistake on the command line or in a configuration: the exit status is 2, unless a
   file could not be read or memory ran out. */
int ctkd__cli_misused(const struct ctkd__command *command, const ctkd_error *err);
/* The exit status alone. */
int ctkd__cli_misuse_status(const ctkd_error *err);

/* From now on only failures are printed and no notes, which another rank prints. */
void ctkd__cli_mute(void);

/* Prints what was guessed about weights on stderr; an empty note prints nothing. */
void ctkd__cli_note(const char *file, const char *note);

/* Warns on stderr if an engine has more threads than cores or than the CPU quota. */
void ctkd__cli_note_threads(const struct ctkd__engine *engine);

/* Reads the line of a command with options, splits it, and scans the part that belongs to the
   configuration (arguments.h), which is then argv[0, n_configuration). False as ctkd__line_read. */
bool ctkd__cli_scan(const struct ctkd__command *command, int argc, char **argv,
                    struct ctkd__line *line, struct ctkd__arguments *arguments, int *status);

/* Notes on stderr which keys that were given `who` ("`ctkd eval`", "this run") does not use; `keys`
   as ctkd__command.keys, facts: NULL, or what has been opened since (ctkd__config_unused). */
void ctkd__cli_note_unused(const struct ctkd__config *config, enum ctkd__reader reader,
                           const struct ctkd__facts *facts, const char *who,
                           const char *const *keys);
/* The same of a run whose session is open. */
void ctkd__cli_note_unused_in(const struct ctkd__session *session);

/* Applies the preset, the CONFIG if one is given, and the settings; notes on stderr what they
   imply. */
ctkd_status ctkd__cli_configure(const struct ctkd__line *line,
                                const struct ctkd__arguments *arguments, bool distil,
                                struct ctkd__config *config, ctkd_error *err);

/* Checks the configuration of a run, notes on stderr what it does not use of the keys given, and
   resolves it. */
ctkd_status ctkd__cli_settle(struct ctkd__config *config, bool distil, ctkd_error *err);

/* The arms that the names of a line stand for, at most `most`; freed by the caller, also after an
   error. */
ctkd_status ctkd__cli_arms(const struct ctkd__line *line, size_t most,
                           struct ctkd__arm_folders *out, ctkd_error *err);

/* Runs a command's body with a configuration of defaults, which is destroyed afterwards; returns
   its exit status. */
int ctkd__cli_with_config(const struct ctkd__command *command, int argc, char **argv,
                          int (*body)(const struct ctkd__command *command, int argc, char **argv,
                                      struct ctkd__config *config));

/* Reads the line of a command with settings of its own (ctkd__command.settings) into `values` and
   runs its body; returns the exit status. Strings of `values` are freed afterwards. */
int ctkd__cli_with_settings(const struct ctkd__command *command, int argc, char **argv,
                            void *values, int (*body)(const struct ctkd__line *line, void *values));

/* `ctkd train` and `ctkd distill`. */
extern const struct ctkd__flag ctkd__train_flags[];
int ctkd__cli_train(const struct ctkd__command *command, bool distil, int argc, char **argv);

#endif
