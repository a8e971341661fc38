#include "util/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { FLOATS_MAX = 16 };

size_t ctkd__utf8_next(const char *text, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (n == 0 || s[0] > 0xf4)
        return 0;
    uint32_t value = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) /* the final NUL too */
            return 0;
        value = value << 6 | (s[i] & 0x3fu);
    }
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *code = value;
    return n;
}

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

int ctkd__text_cut(const char *text, size_t most)
{
    size_t n = strnlen(text, most);
    if (text[n])
        while (n > 0 && !begins_character(text[n]))
            n--;
    return (int)n;
}

void ctkd__text_line(const char *text, char *out, size_t bytes)
{
    size_t used = 0;
    while (*text) {
        char piece[4 * 4 + 1];
        uint32_t code = 0;
        const size_t whole = ctkd__utf8_next(text, &code), n = whole ? whole : 1;
        const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        size_t length = 0;
        if (whole && !is_control)
            length = (size_t)snprintf(piece, sizeof piece, "%.*s", (int)n, text);
        for (size_t i = 0; (!whole || is_control) && i < n; i++)
            length += (size_t)snprintf(piece + length, sizeof piece - length, "\\x%02X",
                                       (unsigned char)text[i]);
        if (used + length >= bytes)
            break;
        memcpy(out + used, piece, length);
        used += length;
        text += n;
    }
    out[used] = '\0';
}

void ctkd__text_append(char *text, size_t bytes, size_t *used, const char *format, ...)
{
    va_list arguments;
    if (*used >= bytes)
        return;
    va_start(arguments, format);
    *used += (size_t)vsnprintf(text + *used, bytes - *used, format, arguments);
    va_end(arguments);
}

size_t ctkd__text_columns(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += begins_character(*text);
    return count;
}

void ctkd__text_cell(const char *text, size_t width, FILE *out)
{
    size_t shown = 0;
    for (; *text && (shown < width || !begins_character(*text)); text++) {
        fputc(*text, out);
        shown += begins_character(*text);
    }
    fprintf(out, "%*s", (int)(width > shown ? width - shown : 0), "");
}

bool ctkd__text_ends(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

const char *ctkd__base_name(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void ctkd__last_part(const char *path, char *out, size_t bytes)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    snprintf(out, bytes, "%.*s", (int)(end - begin), path + begin);
}

bool ctkd__text_is_utf8(const char *text)
{
    uint32_t code = 0;
    for (size_t n; *text; text += n)
        if ((n = ctkd__utf8_next(text, &code)) == 0)
            return false;
    return true;
}

bool ctkd__text_is_line(const char *text)
{
    uint32_t code = 0;
    for (size_t n; *text; text += n) {
        n = ctkd__utf8_next(text, &code);
        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
            code == 0x2029 || code == 0xfeff || code == 0xfffe || code == 0xffff)
            return false;
    }
    return true;
}

const char *ctkd__text_shell(const char *word, char *out, size_t bytes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./=:,+-@%";
    if (*word && word[strspn(word, plain)] == '\0') {
        snprintf(out, bytes, "%s", word);
        return out;
    }
    size_t used = (size_t)snprintf(out, bytes, "'");
    for (; *word && used < bytes; word++)
        used += (size_t)snprintf(out + used, bytes - used, *word == '\'' ? "'\\''" : "%c", *word);
    if (used < bytes)
        snprintf(out + used, bytes - used, "'");
    return out;
}

size_t ctkd__edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    const size_t n = strlen(a), m = strlen(b);
    size_t row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

bool ctkd__is_near(const char *name, size_t distance)
{
    const size_t third = strlen(name) / 3;
    return distance <= (third < 1 ? 1 : third > 4 ? 4 : third);
}

ctkd_status ctkd__text_floats(const char *key, const char *text, size_t count, float *out,
                              ctkd_error *err)
{
    float values[FLOATS_MAX];
    size_t n = 0;
    for (const char *at = text; *at;) {
        char *end;
        const float value = strtof(at, &end);
        if (end == at || !isfinite(value) || (*end && *end != ',') || (*end && !end[1]) ||
            n == FLOATS_MAX)
            return ctkd__fail(err, CTKD_ERANGE,
                              "%s: found '%s', expected %zu numbers such as 0.5,0.5", key, text,
                              count);
        values[n++] = value;
        at = *end ? end + 1 : end;
    }
    if (n == 0)
        return CTKD_OK;
    if (n != 1 && n != count)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "%s: found %zu values, expected 1 or %zu (one for each channel)", key, n,
                          count);
    for (size_t i = 0; i < count; i++)
        out[i] = values[n == 1 ? 0 : i];
    return CTKD_OK;
}

void ctkd__text_wrap(const char *text, size_t indent, size_t column, FILE *out)
{
    static const char blanks[] = " \n";
    enum { WIDTH = 80 };
    bool first = true;
    if (column > indent) {
        fputc('\n', out);
        column = 0;
    }
    text += strspn(text, blanks);
    while (*text) {
        const size_t word = strcspn(text, blanks);
        if (!first && column + 1 + word > WIDTH) {
            fputc('\n', out);
            column = 0;
            first = true;
        }
        const size_t gap = !first ? 1 : column < indent ? indent - column : 0;
        fprintf(out, "%*s%.*s", (int)gap, "", (int)word, text);
        column += gap + word;
        first = false;
        text += word;
        text += strspn(text, blanks);
    }
    fputc('\n', out);
}
