#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/text.h"

enum { MESSAGE_BYTES = sizeof((ctkd_error *)0)->message };

/* Leaves out the middle of a text that does not fit, without splitting UTF-8 characters: the
   beginning names the file, whose path may be long, and the end gives the reason. */
static void shorten(const char *text, char out[MESSAGE_BYTES])
{
    static const char gap[] = "...";
    const size_t room = MESSAGE_BYTES - 1, length = strlen(text);
    const size_t head = room / 2;
    size_t tail = length - (room - head - strlen(gap));
    if (length <= room) {
        memcpy(out, text, length + 1);
        return;
    }
    while (((unsigned char)text[tail] & 0xc0) == 0x80)
        tail++;
    snprintf(out, MESSAGE_BYTES, "%.*s%s%s", ctkd__text_cut(text, head), text, gap, text + tail);
}

/* Messages quote what files hold. */
static void keep_message(ctkd_error *err, const char *text)
{
    char message[MESSAGE_BYTES], line[4 * MESSAGE_BYTES];
    shorten(text, message);
    ctkd__text_line(message, line, sizeof line);
    shorten(line, err->message); /* escapes are longer */
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
