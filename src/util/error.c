#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

ctkd_status ctkd__fail(ctkd_error *err, ctkd_status status, const char *format, ...)
{
    if (!err)
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    err->status = status;
    return status;
}

ctkd_status ctkd__fail_within(ctkd_error *err, ctkd_status status, const char *format, ...)
{
    if (!err)
        return status;
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < sizeof err->message)
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", inner);
    err->status = status;
    return status;
}
