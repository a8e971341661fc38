/* What the files of the option parser share: iteration over the options of all sections. */
#ifndef CTKD_UTIL_OPTIONS_INNER_H
#define CTKD_UTIL_OPTIONS_INNER_H

#include <stdbool.h>

#include "util/options.h"

enum { CTKD__OPTION_KEY_MAX = CTKD__KEY_MAX };

/* The iterator and its present option; start with all zeros. */
struct ctkd__option_at {
    size_t index;
    const struct ctkd__section *section;
    const ctkd_option *option;
    char key[CTKD__OPTION_KEY_MAX]; /* prefix and name */
};
bool ctkd__options_next(struct ctkd__sections sections, struct ctkd__option_at *at);
bool ctkd__options_find(struct ctkd__sections sections, const char *key,
                        struct ctkd__option_at *at);
/* Finds the option that a scalar given for a map sets: "method" means "method.name". */
bool ctkd__options_find_name(struct ctkd__sections sections, const char *key,
                             struct ctkd__option_at *at);
/* Whether some key begins with `key` and a dot. */
bool ctkd__options_is_section(struct ctkd__sections sections, const char *key);
/* A STRING or a PATH. */
bool ctkd__option_is_text(const ctkd_option *option);
void *ctkd__option_field(const struct ctkd__section *section, const ctkd_option *option);

/* Whether the configuration itself has set it; whether it or a base file has. */
bool ctkd__option_is_given(const struct ctkd__option_at *at);
bool ctkd__option_is_set(const struct ctkd__option_at *at);
bool ctkd__option_is_default(const struct ctkd__option_at *at);

/* "a whole number from 1 to 65536", "one of fixed, global" into text; returns text. */
const char *ctkd__option_expected(const ctkd_option *option, char *text, size_t bytes);
/* The option's value as text: the shortest that reads back to the same bits; returns text. */
const char *ctkd__option_value(const struct ctkd__option_at *at, char *text, size_t bytes);

/* Whether `key` is one of `prefixes` (NULL ends them) or in the section of one that ends with a dot
   ("data."); NULL itself: every key is. */
bool ctkd__key_begins_with(const char *key, const char *const *prefixes);
/* What the help says about an option. */
struct ctkd__option_help {
    char about[400]; /* "a whole number from 1 to 65536; default 64" */
    char help[1024]; /* its help, and the flags that set it too */
};
void ctkd__option_help(const struct ctkd__option_at *at, const struct ctkd__alias *aliases,
                       struct ctkd__option_help *out);

/* The errors of a value that does not fit and of a key that is not there. */
ctkd_status ctkd__option_refuse(const struct ctkd__option_at *at, const char *where,
                                const char *found, ctkd_error *err);
ctkd_status ctkd__options_unknown(struct ctkd__sections sections, const char *where,
                                  const char *key, ctkd_error *err);

#endif
