#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/text.h"

/* Leaves out the middle of a message that does not fit, without splitting UTF-8 characters: the
   beginning names the file, whose path may be long, and the end gives the reason. */
static void keep_message(ctkd_error *err, const char *text)
{
    static const char gap[] = "...";
    const size_t room = sizeof err->message - 1, length = strlen(text);
    const size_t head = room / 2;
    size_t tail = length - (room - head - strlen(gap));
    if (length <= room) {
        memcpy(err->message, text, length + 1);
    } else {
        while (((unsigned char)text[tail] & 0xc0) == 0x80)
            tail++;
        snprintf(err->message, sizeof err->message, "%.*s%s%s", ctkd__text_cut(text, head), text,
                 gap, text + tail);
    }
    ctkd__text_to_line(err->message); /* messages quote what files hold */
}

enum { LONGEST = 8192 }; /* room for paths of up to PATH_MAX bytes */

ctkd_status ctkd__fail(ctkd_error *err, ctkd_status status, const char *format, ...)
{
    if (!err)
        return status;
    char text[LONGEST];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    keep_message(err, text);
    err->status = status;
    return status;
}

ctkd_status ctkd__fail_within(ctkd_error *err, ctkd_status status, const char *format, ...)
{
    if (!err)
        return status;
    char text[LONGEST + sizeof err->message + 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, LONGEST, format, arguments);
    va_end(arguments);
    const size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, ": %s", err->message);
    keep_message(err, text);
    err->status = status;
    return status;
}

ctkd_status ctkd__fail_as(ctkd_error *err, const ctkd_error *kept)
{
    if (err && kept->status != CTKD_OK)
        *err = *kept;
    return kept->status;
}
