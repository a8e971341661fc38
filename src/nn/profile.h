/* Where the time of a step goes: calls, milliseconds and floating-point operations per layer. */
#ifndef CTKD_NN_PROFILE_H
#define CTKD_NN_PROFILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctkd/status.h"

struct ctkd__profile;

/* The kind of a row that times weights on their way into another layout. */
#define CTKD__PROFILE_PACKING "weights packed"

ctkd_status ctkd__profile_create(size_t workers, struct ctkd__profile **out);
void ctkd__profile_destroy(struct ctkd__profile *profile);

/* Adds a row for an op kind ("conv forward") and a layer's name in the program of that name.
   `flops` is for one image. Returns its index; -1 when memory is short (such a row is not
   timed). */
int ctkd__profile_row(struct ctkd__profile *profile, const char *program, const char *kind,
                      const char *layer, const char *how, double flops);
/* Sets what runs the row's layer, which may be known only after the row was added. */
void ctkd__profile_set_how(struct ctkd__profile *profile, int row, const char *how);
/* Adds a measured interval of one worker over `images` images. */
void ctkd__profile_add(struct ctkd__profile *profile, int row, size_t worker, uint64_t ns,
                       size_t images);
/* The same for an interval that every worker spent on one call, or waiting for it. */
void ctkd__profile_add_all(struct ctkd__profile *profile, int row, uint64_t ns, size_t images);
void ctkd__profile_reset(struct ctkd__profile *profile);
/* How often weights are packed in a step, then tables per op kind and per layer; times are the mean
   over workers, per step. */
void ctkd__profile_print(const struct ctkd__profile *profile, size_t steps, FILE *out);

#endif
