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

/* What an earlier call left in `kept`, which is CTKD_OK or the error of a failure: writes that
   error into err (may be NULL) and returns its status. */
ctkd_status ctkd__fail_as(ctkd_error *err, const ctkd_error *kept);

#endif
