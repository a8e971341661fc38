/* Manual pages in the language of man(7). `commands in these quotes` become bold; a dash stays a
 * dash that can be copied. Sentences and words are broken into lines as mandoc -Tlint wants them.
 */
#ifndef CTKD_CLI_ROFF_H
#define CTKD_CLI_ROFF_H

#include <stdio.h>

/* The page's title line; the date is that of the environment variable SOURCE_DATE_EPOCH, or today.
 */
void ctkd__roff_title(const char *name, int section, FILE *out);
void ctkd__roff_section(const char *name, FILE *out);
/* Words without a macro before them. */
void ctkd__roff_words(const char *text, FILE *out);
/* Paragraphs as in ctkd__command.details. The first needs no .PP behind a heading. */
void ctkd__roff_paragraphs(const char *text, FILE *out);
/* An item of a list: `term` in bold, `rest` behind it (may be ""), and what it means. */
void ctkd__roff_item(const char *term, const char *rest, const char *text, FILE *out);

#endif
