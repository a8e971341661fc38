#include "util/say.h"

#include <stdarg.h>

#include "util/text.h"

enum { LONGEST = 8192 }; /* room for paths of up to PATH_MAX bytes */

void ctkd__say(FILE *out, const char *format, ...)
{
    char text[LONGEST], line[4 * LONGEST];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ctkd__text_line(text, line, sizeof line);
    fprintf(out, "%s\n", line);
}
