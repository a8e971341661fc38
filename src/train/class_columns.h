/* Which outputs of a network are the classes of the data, matched by name. */
#ifndef CTKD_TRAIN_CLASS_COLUMNS_H
#define CTKD_TRAIN_CLASS_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctkd/status.h"
#include "util/names.h"
#include "util/sha256.h"

/*
 * (*columns)[k] becomes the index in `own`, the network's classes, of the name of class k of
 * `data`; freed by the caller. *columns is NULL where the two lists are equal (util/names.h keeps
 * equal lists as one), so that output k is class k.
 *
 *   CTKD_ESHAPE  the network lacks a class of the data or, without `select`, has others;
 *                the message begins with `file` and names them
 *   CTKD_ENOMEM
 */
ctkd_status ctkd__class_columns(const char *file, const struct ctkd__names *own,
                                const struct ctkd__names *data, bool select, uint32_t **columns,
                                ctkd_error *err);

/* Digest of columns [data], by which ranks and a run that is resumed are compared; "none": NULL. */
void ctkd__class_columns_digest(size_t data, const uint32_t *columns,
                                char digest[CTKD__SHA256_DIGITS + 1]);

/* Writes logits [n][data]: column k is column columns[k] of own_logits [n][own]. They must not
   overlap. */
void ctkd__class_columns_take(size_t n, size_t own, size_t data, const uint32_t *columns,
                              const float *own_logits, float *logits);

#endif
