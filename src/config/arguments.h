/*
 * The command line of a configuration: files, `key=value` (where the last part of the key is enough
 * if it is unique), and the flags of the published scripts (-r, --kd_T, --decay_loops ...), in
 * which '-' and '_' are equivalent. It is read in two passes, so that a CONFIG file may stand
 * anywhere and every setting overrides it, in order.
 *
 * A command line with flags of the published scripts and without a CONFIG starts from the defaults
 * of the published parsers (preset published); any other starts from ours (preset ctkd).
 */
#ifndef CTKD_CONFIG_ARGUMENTS_H
#define CTKD_CONFIG_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum { CTKD__POSITIONALS_MAX = 4 };

enum ctkd__preset { CTKD__PRESET_AUTO, CTKD__PRESET_CTKD, CTKD__PRESET_PUBLISHED };

extern const char *const ctkd__preset_names[]; /* by enum ctkd__preset; ends with NULL */

/* What the command line says apart from settings. */
struct ctkd__arguments {
    const char *positionals[CTKD__POSITIONALS_MAX];
    size_t n_positionals;
    enum ctkd__preset preset; /* of --preset */
    bool published;           /* it has a flag of the published scripts */
    char idle[320];           /* its flags that have no effect here, as written */
};

/* The flags with the keys that they set; ends with a NULL flag. */
const struct ctkd__alias *ctkd__argument_aliases(void);

/* Whether `text`[0, length) is the flag; after the first two characters '-' equals '_'. */
bool ctkd__arguments_same_flag(const char *flag, const char *text, size_t length);
bool ctkd__arguments_is_preset(const char *text, size_t length);
/* Reads the flag at argv[0] without applying it; *used: how many arguments it takes, 1 or 2.
   CTKD_ENOTFOUND: a configuration has no such flag. */
ctkd_status ctkd__arguments_read_flag(int argc, char *const *argv, int *used, ctkd_error *err);
/* Writes the names of all flags of a configuration except --preset, at most `capacity` of them;
   does not append NULL. */
void ctkd__arguments_flag_names(const char **names, size_t capacity);

/* First pass. argv[0] is the first argument, not the program. CTKD_ENOTFOUND: an unknown flag (the
   message suggests the nearest); CTKD_EINVAL: a flag without its value, a setting split by blanks,
   or too many positionals. */
ctkd_status ctkd__arguments_scan(int argc, char *const *argv, struct ctkd__arguments *out,
                                 ctkd_error *err);

/* The defaults that the command line starts from: --preset with CTKD__PRESET_AUTO resolved. */
enum ctkd__preset ctkd__arguments_preset(const struct ctkd__arguments *arguments);

/* Applies the whole command line, after its first pass, to a configuration of defaults: the preset,
   the CONFIG if there is one, every setting, and what the published scripts decide after reading
   their flags. The keys of the CONFIG and of the command line then count as given. `note`: lines
   about values that do not come from the command line itself; "": none.
   `distil` chooses which published script is followed. */
enum { CTKD__ARGUMENTS_NOTE = 640 };
ctkd_status ctkd__arguments_configure(int argc, char *const *argv,
                                      const struct ctkd__arguments *arguments, bool distil,
                                      struct ctkd__config *config, char note[CTKD__ARGUMENTS_NOTE],
                                      ctkd_error *err);

/* Second pass: applies every setting, in order. */
ctkd_status ctkd__arguments_apply(int argc, char *const *argv, struct ctkd__config *config,
                                  ctkd_error *err);

#endif
