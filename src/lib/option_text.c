#include <math.h>
#include <string.h>

#include "ctkd/option.h"
#include "lib/refuse.h"

enum { LONGEST = 63 };

/* How many letters must be inserted, removed or replaced to turn one name into the other. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST + 1];
    const size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const size_t exchanged = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            const size_t moved = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = exchanged < moved ? exchanged : moved;
        }
    }
    return row[m];
}

static ctkd_status refuse_name(const ctkd_option *options, const char *name, ctkd_error *err)
{
    const char *nearest = NULL;
    size_t best = strlen(name) / 3 + 2;
    for (const ctkd_option *option = options; option && option->name; option++) {
        const size_t d = distance(name, option->name);
        if (d < best) {
            best = d;
            nearest = option->name;
        }
    }
    return nearest ? CTKD__REFUSE(err, CTKD_ENOTFOUND, "unknown option \"", name,
                                  "\"; did you mean \"", nearest, "\"?")
                   : CTKD__REFUSE(err, CTKD_ENOTFOUND, "unknown option \"", name, "\"");
}

static bool read_value(const ctkd_option *option, const char *text, double *value)
{
    if (option->type == CTKD_OPTION_BOOL && (!strcmp(text, "true") || !strcmp(text, "false"))) {
        *value = text[0] == 't';
        return true;
    }
    if (option->type != CTKD_OPTION_CHOICE)
        return ctkd__number_read(text, value);
    for (size_t i = 0; option->choices[i]; i++)
        if (strcmp(option->choices[i], text) == 0) {
            *value = (double)i;
            return true;
        }
    return false;
}

static ctkd_status refuse_value(const ctkd_option *option, const char *text, ctkd_error *err)
{
    char low[CTKD__NUMBER_BYTES], high[CTKD__NUMBER_BYTES], choices[256] = "";
    switch (option->type) {
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        return CTKD__REFUSE(
            err, CTKD_EINVAL, option->name,
            ": the option holds text, expected one that holds a number, a choice or a flag");
    case CTKD_OPTION_BOOL:
        return CTKD__REFUSE(err, CTKD_ERANGE, option->name, ": found \"", text,
                            "\", expected true or false");
    case CTKD_OPTION_CHOICE:
        for (size_t i = 0, used = 0; option->choices[i]; i++) {
            const size_t length = strlen(option->choices[i]);
            if (used + length + 3 > sizeof choices)
                break;
            memcpy(choices + used, ", ", 2);
            memcpy(choices + used + 2, option->choices[i], length + 1);
            used += length + 2;
        }
        return CTKD__REFUSE(err, CTKD_ERANGE, option->name, ": found \"", text,
                            "\", expected one of ", choices[0] ? choices + 2 : "");
    case CTKD_OPTION_F32:
    case CTKD_OPTION_I64:
        break;
    }
    return CTKD__REFUSE(err, CTKD_ERANGE, option->name, ": found \"", text, "\", expected ",
                        option->type == CTKD_OPTION_F32 ? "a number" : "an integer", " from ",
                        ctkd__number_text(option->min, low), " to ",
                        ctkd__number_text(option->max, high));
}

ctkd_status ctkd_option_set_text(const ctkd_option *options, void *config, const char *name,
                                 const char *text, ctkd_error *err)
{
    if (!config || !name || !text)
        return CTKD__REFUSE(err, CTKD_EINVAL, "found NULL, expected a config, a name and a text");
    const ctkd_option *option = ctkd_option_find(options, name);
    if (!option)
        return refuse_name(options, name, err);
    double value;
    if (option->type == CTKD_OPTION_STRING || option->type == CTKD_OPTION_PATH ||
        !read_value(option, text, &value))
        return refuse_value(option, text, err);
    const ctkd_status status = ctkd_option_set(options, config, name, value);
    return status == CTKD_OK ? CTKD_OK : refuse_value(option, text, err);
}
