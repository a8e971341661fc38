/* Writes manual pages in the language of man(7). `Text in backquotes` becomes bold, and a dash
   stays a dash that can be copied. Lines are broken after sentences and words as mandoc -Tlint
   wants. */
#ifndef CTKD_CLI_ROFF_H
#define CTKD_CLI_ROFF_H

#include <stdio.h>

/* The page's title line; the date is that of the environment variable SOURCE_DATE_EPOCH, or today.
 */
void ctkd__roff_title(const char *name, int section, FILE *out);
void ctkd__roff_section(const char *name, FILE *out);
/* Text without a macro before it. */
void ctkd__roff_words(const char *text, FILE *out);
/* Paragraphs as in ctkd__command.details. The first follows a heading and gets no .PP. */
void ctkd__roff_paragraphs(const char *text, FILE *out);
/* An item of a list: `term` in bold, `rest` after it (may be ""), and `text`, its meaning. */
void ctkd__roff_item(const char *term, const char *rest, const char *text, FILE *out);

#endif
