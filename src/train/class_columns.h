/* Which outputs of a network are the classes of the data, by their names. */
#ifndef CTKD_TRAIN_CLASS_COLUMNS_H
#define CTKD_TRAIN_CLASS_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctkd/status.h"
#include "util/names.h"

/*
 * (*columns)[k] becomes the output of `own`, the network's classes, that has the name of class k of
 * `data`; freed by the caller. NULL where every output is the class of its place.
 *
 *   CTKD_ESHAPE  a class of the data is missing, or without `select` the network has others: the
 *                message begins with `file` and names them
 *   CTKD_ENOMEM
 */
ctkd_status ctkd__class_columns(const char *file, const struct ctkd__names *own,
                                const struct ctkd__names *data, bool select, uint32_t **columns,
                                ctkd_error *err);

/* logits [n][data], column k from column columns[k] of own_logits [n][own]. */
void ctkd__class_columns_take(size_t n, size_t own, size_t data, const uint32_t *columns,
                              const float *own_logits, float *logits);

#endif
