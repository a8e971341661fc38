#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Messages quote what files hold, and a message is one line: control characters become '?'. */
static void one_line(char *message)
{
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

ctkd_status ctkd__fail(ctkd_error *err, ctkd_status status, const char *format, ...)
{
    if (!err)
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    one_line(err->message);
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
    if (n >= 0 && (size_t)n + 2 < sizeof err->message) {
        memcpy(err->message + n, ": ", 3);
        strncat(err->message, inner, sizeof err->message - (size_t)n - 3);
    }
    one_line(err->message);
    err->status = status;
    return status;
}
