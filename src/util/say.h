/* Messages for people. */
#ifndef CTKD_UTIL_SAY_H
#define CTKD_UTIL_SAY_H

#include <stdio.h>

/* Prints a formatted message and a line break. As in errors, bytes that are no UTF-8 and control
   characters are escaped (ctkd__text_line), so that it is one line. */
void ctkd__say(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
