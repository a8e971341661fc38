/*
 * Which tensors of a file belong together. Training libraries put several sets of weights into one
 * file (a model and its average, student and teacher), each behind wrappers of its own ("module.",
 * "_orig_mod.", "state_dict", ...), and other things beside them (counters, criteria).
 *
 * Only names and ranks are looked at, so that all formats are treated alike. A set is what a prefix
 * of wrappers has in common; if any set has convolutions, a group without them does not count as a
 * set.
 */
#ifndef CTKD_IO_SETS_H
#define CTKD_IO_SETS_H

#include <stdbool.h>

#include "util/tensors.h"

enum { CTKD__SETS_MAX = 16, CTKD__SET_NAME_BYTES = 128 };

struct ctkd__set {
    char name[CTKD__SET_NAME_BYTES]; /* the wrappers, without "module" and the like; may be "" */
    size_t count;                    /* tensors */
    size_t cut;                      /* bytes of their names that are wrappers' */
    int rank;                        /* the highest */
    int order;                       /* in which they are preferred: lower first */
    int id;
};

/* In order of preference: the model before its average, student before teacher. */
struct ctkd__sets {
    struct ctkd__set items[CTKD__SETS_MAX];
    size_t count;
    size_t taken; /* index of the one that was chosen */
    bool asked;   /* by its name */
};

/* A tensor of the file, before it is read. */
struct ctkd__set_member {
    const char *name; /* with all prefixes, names of dicts too: "model_ema.module.conv1.weight" */
    size_t outer;     /* bytes of it that are dicts' or objects' around the state dict */
    int rank;
    int set; /* out: id of its set, or -1 */
};

/* Finds the sets of members. CTKD_ENOMEM. */
ctkd_status ctkd__sets_find(struct ctkd__set_member *members, size_t n, struct ctkd__sets *out,
                            ctkd_error *err);

/* Takes the set named `wanted`, or the preferred one when it is "" or NULL. CTKD_EINVAL: there is
   no such set; the message lists the sets of the file and begins with `file`. */
ctkd_status ctkd__sets_choose(struct ctkd__sets *sets, const char *wanted, const char *file,
                              ctkd_error *err);

/* Finds and chooses for a list, which keeps only the tensors of the set, without their wrappers. */
ctkd_status ctkd__sets_take(struct ctkd__tensors *list, const char *wanted, const char *file,
                            struct ctkd__sets *out, ctkd_error *err);

/* Which of several sets was taken without being asked for, and the key that takes another:
   "using the weights of model; ..."; "" when there was no choice. Returns text. */
const char *ctkd__sets_text(const struct ctkd__sets *sets, const char *key, char *text,
                            size_t bytes);

#endif
