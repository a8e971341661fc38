#include "cli/roff.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctkd/version.h"

void ctkd__roff_title(const char *name, int section, FILE *out)
{
    const char *const epoch = getenv("SOURCE_DATE_EPOCH");
    const time_t now = epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    char date[32] = "";
    struct tm parts;
    if (gmtime_r(&now, &parts))
        strftime(date, sizeof date, "%Y-%m-%d", &parts);
    /* Else roff would hyphenate names of keys and files and stretch their lines. */
    fprintf(out, ".TH %s %d %s \"ctkd %s\" \"ctkd\"\n.nh\n.ad l\n", name, section, date,
            CTKD_VERSION_STRING);
}

void ctkd__roff_section(const char *name, FILE *out)
{
    fprintf(out, ".SH %s\n", name);
}

/* Writes one character; those that are special in roff are escaped. */
static void put_character(char c, FILE *out)
{
    static const char characters[] = "\\-~^'";
    static const char *const escapes[] = { "\\e", "\\-", "\\(ti", "\\(ha", "\\(aq" };
    const char *const at = memchr(characters, c, sizeof characters - 1);
    if (at)
        fputs(escapes[at - characters], out);
    else
        fputc(c, out);
}

/* Writes text[0, length) and turns backquotes into bold; *bold carries over from word to word. */
static void put_word(const char *text, size_t length, bool *bold, FILE *out)
{
    if (text[0] == '.')
        fputs("\\&", out); /* a dot at the beginning of a line would be a macro */
    for (size_t i = 0; i < length; i++)
        if (text[i] == '`') {
            *bold = !*bold;
            fputs(*bold ? "\\fB" : "\\fR", out);
        } else {
            put_character(text[i], out);
        }
}

static bool ends_sentence(const char *text, size_t length)
{
    while (length > 0 && strchr(")\"'", text[length - 1]))
        length--;
    const bool dots = length > 1 && text[length - 2] == '.'; /* RUN... */
    return length > 0 && strchr(".!?", text[length - 1]) && !dots;
}

static void put_words(const char *text, size_t bytes, FILE *out)
{
    enum { WIDTH = 72 };
    bool bold = false;
    size_t column = 0;
    const char *const end = text + bytes;
    for (text += strspn(text, " \n"); text < end;) {
        size_t length = strcspn(text, " \n");
        if (length > (size_t)(end - text))
            length = (size_t)(end - text);
        if (column > 0 && column + 1 + length > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column > 0)
            fputc(' ', out);
        put_word(text, length, &bold, out);
        column += length + 1;
        if (ends_sentence(text, length)) {
            fputc('\n', out);
            column = 0;
        }
        text += length;
        text += strspn(text, " \n");
    }
    if (column > 0)
        fputc('\n', out);
}

void ctkd__roff_words(const char *text, FILE *out)
{
    put_words(text, strlen(text), out);
}

/* Writes lines that begin with a blank as they are. Returns the text after them. */
static const char *put_table(const char *text, FILE *out)
{
    fputs(".PP\n.nf\n", out);
    while (text[0] == ' ') {
        const size_t length = strcspn(text, "\n");
        for (size_t i = 0; i < length; i++)
            put_character(text[i], out);
        fputc('\n', out);
        text += length + (text[length] == '\n');
    }
    fputs(".fi\n", out);
    return text + strspn(text, "\n");
}

void ctkd__roff_paragraphs(const char *text, FILE *out)
{
    for (bool first = true; *text; first = false) {
        if (text[0] == ' ') {
            text = put_table(text, out);
            continue;
        }
        const char *end = strstr(text, "\n\n");
        const char *const table = strstr(text, "\n ");
        if (!end || (table && table < end))
            end = table ? table : text + strlen(text);
        if (!first)
            fputs(".PP\n", out);
        put_words(text, (size_t)(end - text), out);
        text = end + strspn(end, "\n");
    }
}

void ctkd__roff_item(const char *term, const char *rest, const char *text, FILE *out)
{
    fputs(".TP\n\\fB", out);
    for (const char *at = term; *at; at++)
        put_character(*at, out);
    fputs("\\fR", out);
    for (const char *at = rest; *at; at++)
        put_character(*at, out);
    fputc('\n', out);
    ctkd__roff_words(text, out);
}
