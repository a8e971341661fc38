/* Failing with a reason. */
#ifndef CTKD_UTIL_ERROR_H
#define CTKD_UTIL_ERROR_H

#include "ctkd/status.h"

/* Writes status and a formatted line into err (may be NULL) and returns status. The middle of a
   line that is too long is left out. */
ctkd_status ctkd__fail(ctkd_error *err, ctkd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts a formatted prefix (a file, a key) before the message that err already has. */
ctkd_status ctkd__fail_within(ctkd_error *err, ctkd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
