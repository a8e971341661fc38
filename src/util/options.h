/*
 * Option tables over configs, from text: `key=value`, YAML, help, and the resolved form.
 *
 * The tables are ctkd_option (include/ctkd/option.h); names may hold dots ("temperature.tau_min"),
 * which YAML spells as nested maps. Several tables may be joined under prefixes: a set of sections.
 */
#ifndef CTKD_UTIL_OPTIONS_H
#define CTKD_UTIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctkd/option.h"

/* Who has set an option since _forget_given: nobody, a base file (which other configurations
   share), or the configuration itself. */
enum ctkd__given { CTKD__GIVEN_NOT, CTKD__GIVEN_BY_BASE, CTKD__GIVEN };

/* A table together with the struct that it describes. */
struct ctkd__section {
    const char *prefix; /* "" or "method.dkd." */
    const ctkd_option *options;
    void *config;
    unsigned char *given; /* for each option: enum ctkd__given; NULL: not noted */
};

/* A key that files of older versions hold, with the value, its default then, that asked for
   nothing. */
struct ctkd__former_key {
    const char *key, *value;
};

struct ctkd__sections {
    const struct ctkd__section *items;
    size_t count;
    const struct ctkd__former_key *former; /* a NULL key ends them; NULL: none */
};

/* A second spelling on the command line: "--kd_T" for "temperature.tau", "-r" for
 * "method.ce_weight". */
struct ctkd__alias {
    const char *flag; /* with its dashes */
    const char *key;
    const char *value; /* NULL: the flag takes a value; else a fixed one */
    const char *note;  /* shown in help */
};

/* Defaults of all sections; strings are duplicated, one without a default is "". */
ctkd_status ctkd__sections_defaults(struct ctkd__sections sections, ctkd_error *err);
/* Frees the STRING fields and sets them to NULL. */
void ctkd__sections_fini(struct ctkd__sections sections);

/* Sets one key from text. `where` ("config.yaml:12" or "command line") begins the message. Unknown
   key: CTKD_ENOTFOUND with the known names that it may mean; bad value: CTKD_ERANGE with what is
   allowed. In a PATH, `~/` and `~user/` are expanded (path.h). */
ctkd_status ctkd__sections_set(struct ctkd__sections sections, const char *where, const char *key,
                               const char *value, ctkd_error *err);

/* Writes the key that `key` means on a command line to out: `key` itself if it is a key (or the
   name of a section), else the only known key that ends in a dot and `key` ("epochs" is
   "train.epochs"). CTKD_EINVAL: several keys end so, and the message lists them; CTKD_ENOTFOUND:
   none does, as in _set. */
enum { CTKD__KEY_MAX = 128 };
ctkd_status ctkd__sections_complete(struct ctkd__sections sections, const char *where,
                                    const char *key, char out[CTKD__KEY_MAX], ctkd_error *err);

/* Forgets which keys were set. */
void ctkd__sections_forget_given(struct ctkd__sections sections);
/* From now on those that were set so far are those of base files. If every key was set, as in a
   configuration that was resolved, that says nothing about what was meant and is forgotten. */
void ctkd__sections_given_by_base(struct ctkd__sections sections);
/* Whether every key counts as given. */
bool ctkd__sections_all_given(struct ctkd__sections sections);

/* Sets one key to its default; it then counts as not given. */
ctkd_status ctkd__sections_reset(struct ctkd__sections sections, const char *where, const char *key,
                                 ctkd_error *err);

/*
 * Reads a YAML file: nested maps of scalars, and lists of scalars (joined with commas for a
 * STRING). A top-level `base: FILE` or `base: [FILE, ...]` (relative to this file) is read first,
 * so that a recipe is a few lines on a base; at most 8 deep and 64 in all. Keys of base files do
 * not count as given: others share them. An empty value, and `~` and `null` without quotes, mean
 * the key's default. Duplicate keys, anchors, aliases, tags, tabs and values that do not fit their
 * key are errors with file and line. A former key is skipped with its value, and else unknown.
 */
ctkd_status ctkd__sections_read_yaml(struct ctkd__sections sections, const char *path,
                                     ctkd_error *err);

/* Writes all keys with their values as YAML; _read_yaml reads exactly the same values back. */
void ctkd__sections_write_yaml(struct ctkd__sections sections, FILE *out);

/* For --help, in lines of 80 characters: name, type and range, default; below it help and aliases.
   Prints only keys that begin with one of `prefixes` (ended by NULL; prefixes NULL: all keys). */
void ctkd__sections_help(struct ctkd__sections sections, const struct ctkd__alias *aliases,
                         const char *const *prefixes, FILE *out);

/* The nearest of NULL-terminated names to `name` (edit distance), or NULL when none is near. */
const char *ctkd__nearest(const char *name, const char *const *names);
/* CTKD_ENOTFOUND: "unknown WHAT 'NAME', did you mean 'X'?", or where no name is near "unknown WHAT
   'NAME'; OTHERWISE". */
ctkd_status ctkd__unknown(const char *what, const char *name, const char *const *names,
                          const char *otherwise, ctkd_error *err);

#endif
