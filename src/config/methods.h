/*
 * The losses that a configuration names beside the cross-entropy: method.name as a list, each with
 * its options and weight.
 */
#ifndef CTKD_CONFIG_METHODS_H
#define CTKD_CONFIG_METHODS_H

#include "config/config.h"

enum { CTKD__METHODS_MAX = 8 };

struct ctkd__method {
    const ctkd_loss_def *def;
    const void *config; /* of the configuration, as def->eval takes it */
    float weight;
};

struct ctkd__methods {
    struct ctkd__method items[CTKD__METHODS_MAX];
    size_t count;
    float kd_weight;  /* of the KD loss that every distillation has */
    unsigned needs;   /* CTKD_NEEDS_* of all of them */
    bool has_kd;      /* method.name names it too */
    bool has_main;    /* some loss has a value in the main stage */
    bool has_initial; /* some loss has an initial stage */
    bool initial_trains_student;
};

/*
 * Resolves method.name and method.weight. method.name: "none", or a comma list of names; "kd" is
 * the KD loss that is always there, so that `method: [kd, pkt]` means what it says. method.weight:
 * "" for the default of each method (for kd: method.kd_weight), or as many numbers as there are
 * names. Errors name the key and what was expected. *out borrows from the configuration.
 */
ctkd_status ctkd__methods_resolve(const struct ctkd__config *config, struct ctkd__methods *out,
                                  ctkd_error *err);

/* Whether it is the name of the loss that every distillation has, and whose options are keys of
   their own (method.kd_weight, method.kd_form), not of a section "method.kd.". */
bool ctkd__methods_is_kd(const char *name);

/* temperature.kind with `auto` resolved: fixed if the loss of some method grows without bound with
   tau (CTKD_GROWS_WITH_TAU), because a learned temperature would then grow until the student
   diverges; else global. */
ctkd_temperature_kind ctkd__methods_temperature_kind(const struct ctkd__config *config);
/* "fixed", "global" or "instance". */
const char *ctkd__methods_temperature_text(const struct ctkd__config *config);
/* The first method whose loss grows without bound with tau, or NULL. */
const ctkd_loss_def *ctkd__methods_growing(const struct ctkd__methods *methods);

/* "pkt+sp", or "kd" if there is no method, for names of runs and summaries. Returns text. */
const char *ctkd__methods_text(const struct ctkd__methods *methods, char *text, size_t bytes);

#endif
