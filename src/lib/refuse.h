/**
 * @file refuse.h  Failing with a reason. libctkd has no stdio, so a message is joined from parts.
 */
#ifndef CTKD_LIB_REFUSE_H
#define CTKD_LIB_REFUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/status.h"

enum { CTKD__NUMBER_BYTES = 32 };

/** Writes `value` as %.6g does, in any locale; returns out. */
const char *ctkd__number_text(double value, char out[CTKD__NUMBER_BYTES]);

/** Reads a decimal number that makes up all of `text`, with a decimal point in every locale; within
   an ulp, and exactly up to 15 digits and powers of ten up to 22. False if it is not a number. */
bool ctkd__number_read(const char *text, double *value);

/** Writes status and the parts (up to a NULL) as one line into err (may be NULL), cut to its size;
   returns status. */
ctkd_status ctkd__refuse(ctkd_error *err, ctkd_status status, ...);

/** The message of a failed ctkd__struct_read; `what` names the struct. */
ctkd_status ctkd__refuse_struct(ctkd_error *err, ctkd_status status, const char *what);

/** The macro adds the terminating NULL, so that callers cannot forget it. */
#define CTKD__REFUSE(err, status, ...)                                                             \
    ctkd__refuse((err), (status), __VA_ARGS__, (const char *)NULL)

/**
 * Reads a struct whose writer may have been compiled with another version (`size`, ctkd/loss.h)
 * into one of this version.
 * @param first  its size in 0.1.0; from_size 0 means this size
 * @return CTKD_OK; CTKD_EINVAL (smaller than in 0.1.0); CTKD_EUNSUPPORTED (it uses members that are
 *         not known here)
 */
ctkd_status ctkd__struct_read(void *own, size_t own_size, size_t first, const void *from,
                              size_t from_size);

#endif
