/*
 * The command line over a configuration: files, `key=value` (of the key its last part, where that
 * is unique), and the spellings of the published scripts (-r, --kd_T, --decay_loops ...), with '-'
 * and '_' alike. Two passes, so that a CONFIG
 * file may stand anywhere and every setting beside it overrides it, in order.
 *
 * A command line with flags of the published scripts and without a CONFIG begins with the defaults
 * of the published parsers (preset published); any other with ours (preset ctkd).
 */
#ifndef CTKD_CONFIG_ARGUMENTS_H
#define CTKD_CONFIG_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum { CTKD__POSITIONALS_MAX = 4 };

enum ctkd__preset { CTKD__PRESET_AUTO, CTKD__PRESET_CTKD, CTKD__PRESET_PUBLISHED };

extern const char *const ctkd__preset_names[]; /* by enum ctkd__preset; ends with NULL */

/* What is not a setting. */
struct ctkd__arguments {
    const char *positionals[CTKD__POSITIONALS_MAX];
    size_t n_positionals;
    enum ctkd__preset preset; /* as --preset says */
    bool published;           /* a flag of the published scripts is there */
    char idle[320];           /* those that change nothing here, as they are written */
};

/* The flags with the keys that they set; ends with a NULL flag. */
const struct ctkd__alias *ctkd__argument_aliases(void);

/* Whether `text`[0, length) is the flag; '-' and '_' are the same behind the first two. */
bool ctkd__arguments_same_flag(const char *flag, const char *text, size_t length);
bool ctkd__arguments_is_preset(const char *text, size_t length);
/* The flag at argv[0], without effect: how many arguments it uses, 1 or 2. CTKD_ENOTFOUND: none
   that a configuration takes. */
ctkd_status ctkd__arguments_read_flag(int argc, char *const *argv, int *used, ctkd_error *err);
/* The flags of a configuration but --preset, which sets no key; NULL is not appended. */
void ctkd__arguments_flag_names(const char **names, size_t capacity);

/* First pass. CTKD_ENOTFOUND: an unknown flag (the nearest is offered); CTKD_EINVAL: a flag without
   its value, a setting that blanks take apart, or too many positionals. argv[0] is the first
   argument, not the program. */
ctkd_status ctkd__arguments_scan(int argc, char *const *argv, struct ctkd__arguments *out,
                                 ctkd_error *err);

/* What the command line begins with: PRESET_AUTO resolved. */
enum ctkd__preset ctkd__arguments_preset(const struct ctkd__arguments *arguments);

/* Both passes' result on defaults: the preset, the CONFIG when there is one, every setting, and
   what the published scripts do after reading theirs. `note` says what is not in the command line
   itself, in lines; "" when there is nothing. `distil` chooses between the published scripts. */
enum { CTKD__ARGUMENTS_NOTE = 640 };
ctkd_status ctkd__arguments_configure(int argc, char *const *argv,
                                      const struct ctkd__arguments *arguments, bool distil,
                                      struct ctkd__config *config, char note[CTKD__ARGUMENTS_NOTE],
                                      ctkd_error *err);

/* The keys of the command line that begin with none of `prefixes` (NULL ends them), in `text` as a
   comma list without repetition; "" when there is none. Returns text. */
const char *ctkd__arguments_unused(int argc, char *const *argv, const struct ctkd__config *config,
                                   const char *const *prefixes, char *text, size_t bytes);

/* Second pass: applies every setting, in order. */
ctkd_status ctkd__arguments_apply(int argc, char *const *argv, struct ctkd__config *config,
                                  ctkd_error *err);

#endif
