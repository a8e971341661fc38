/* Options as text: the resolved YAML and the help. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/options_inner.h"

/* A float's shortest decimal, not %.9g: 0.1f as "0.100000001" would be above a range that ends at
 * 0.1. */
static const char *f32_text(float value, char *text, size_t bytes)
{
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, bytes, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return text;
}

const char *ctkd__option_value(const struct ctkd__option_at *at, char *text, size_t bytes)
{
    const void *field = ctkd__option_field(at->section, at->option);
    switch (at->option->type) {
    case CTKD_OPTION_F32:
        return f32_text(*(const float *)field, text, bytes);
    case CTKD_OPTION_I64:
        snprintf(text, bytes, "%" PRId64, *(const int64_t *)field);
        return text;
    case CTKD_OPTION_BOOL:
        return *(const bool *)field ? "true" : "false";
    case CTKD_OPTION_CHOICE:
        return at->option->choices[*(const int *)field];
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        break;
    }
    const char *string = *(char *const *)field;
    return string ? string : "";
}

static void write_value(const struct ctkd__option_at *at, FILE *out)
{
    char text[32];
    const char *value = ctkd__option_value(at, text, sizeof text);
    if (!ctkd__option_is_text(at->option)) {
        fprintf(out, " %s\n", value);
        return;
    }
    /* Quoted, so that no reader takes "1" or "no" for another type. _set lets no control character
     * in. */
    fputs(" \"", out);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        fputc(*value, out);
    }
    fputs("\"\n", out);
}

/* Whether an option before `at` already began the map `key`[0, length). */
static bool map_begun(struct ctkd__sections sections, const struct ctkd__option_at *at,
                      size_t length)
{
    struct ctkd__option_at before = { 0 };
    while (ctkd__options_next(sections, &before) && before.option != at->option)
        if (strncmp(before.key, at->key, length) == 0 && before.key[length] == '.')
            return true;
    return false;
}

/* Writes the map of all keys that begin with `prefix`; sections may interleave, a map comes once.
 */
static void write_map(struct ctkd__sections sections, const char *prefix, int depth, FILE *out)
{
    struct ctkd__option_at at = { 0 };
    const size_t length = strlen(prefix);
    while (ctkd__options_next(sections, &at)) {
        if (strncmp(at.key, prefix, length) != 0)
            continue;
        const size_t part = strcspn(at.key + length, ".");
        if (at.key[length + part] && map_begun(sections, &at, length + part))
            continue;
        fprintf(out, "%*s%.*s:", 2 * depth, "", (int)part, at.key + length);
        if (at.key[length + part] == '\0') {
            write_value(&at, out);
            continue;
        }
        fputc('\n', out);
        at.key[length + part + 1] = '\0';
        write_map(sections, at.key, depth + 1, out);
    }
}

void ctkd__sections_write_yaml(struct ctkd__sections sections, FILE *out)
{
    write_map(sections, "", 0, out);
}

/* The default, through the same text as values: a config of one field. */
static const char *default_text(const ctkd_option *option, char *text, size_t bytes)
{
    switch (option->type) {
    case CTKD_OPTION_F32:
        return f32_text((float)option->value, text, bytes);
    case CTKD_OPTION_I64:
        snprintf(text, bytes, "%.17g", option->value);
        return text;
    case CTKD_OPTION_BOOL:
        return option->value != 0 ? "true" : "false";
    case CTKD_OPTION_CHOICE:
        return option->choices[(int)option->value];
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        break;
    }
    snprintf(text, bytes, "\"%s\"", option->text ? option->text : "");
    return text;
}

void ctkd__sections_help(struct ctkd__sections sections, const struct ctkd__alias *aliases,
                         FILE *out)
{
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(sections, &at)) {
        char expected[256], text[128];
        fprintf(out, "  %-30s %s; %s (default %s)", at.key, at.option->help,
                ctkd__option_expected(at.option, expected, sizeof expected),
                default_text(at.option, text, sizeof text));
        for (const struct ctkd__alias *alias = aliases; alias && alias->flag; alias++)
            if (strcmp(alias->key, at.key) == 0)
                fprintf(out, "; also %s%s%s%s%s", alias->flag, alias->value ? " = " : "",
                        alias->value ? alias->value : "", alias->note ? ", " : "",
                        alias->note ? alias->note : "");
        fputc('\n', out);
    }
}
