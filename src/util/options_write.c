/* Options as text: the resolved YAML and the help. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/options_inner.h"
#include "util/text.h"

/* A float's shortest decimal. With %.9g 0.1f would be "0.100000001", above a range that ends at
   0.1. */
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
    /* Quoted, so that no reader takes "1" or "no" for another type. Control characters need no
       escape: _set refuses them. */
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

/* Writes the map of all keys that begin with `prefix`; sections may interleave, but every map is
   written once. */
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

/* "a whole number from 1 to 65536"; of text only that it is text. */
static const char *kind_text(const ctkd_option *option, char *text, size_t bytes)
{
    if (option->type == CTKD_OPTION_STRING)
        return "text";
    return option->type == CTKD_OPTION_PATH ? "a path" : ctkd__option_expected(option, text, bytes);
}

/* Appends "; also --mode, --kind (published name)" for the flags that set the key. */
static void append_aliases(const char *key, const struct ctkd__alias *aliases, char *text,
                           size_t bytes)
{
    const char *separator = "; also ";
    for (const struct ctkd__alias *alias = aliases; alias && alias->flag; alias++) {
        const size_t used = strlen(text);
        if (strcmp(alias->key, key) != 0)
            continue;
        const bool says_value = !alias->value || strchr(alias->flag, '=');
        snprintf(text + used, bytes - used, "%s%s%s%s%s%s%s", separator, alias->flag,
                 says_value ? "" : " for ", says_value ? "" : alias->value, alias->note ? " (" : "",
                 alias->note ? alias->note : "", alias->note ? ")" : "");
        separator = ", ";
    }
}

bool ctkd__key_begins_with(const char *key, const char *const *prefixes)
{
    for (; prefixes && *prefixes; prefixes++) {
        const size_t n = strlen(*prefixes);
        if (strncmp(key, *prefixes, n) == 0 && ((*prefixes)[n - 1] == '.' || !key[n]))
            return true;
    }
    return !prefixes;
}

void ctkd__option_help(const struct ctkd__option_at *at, const struct ctkd__alias *aliases,
                       struct ctkd__option_help *out)
{
    char expected[256], value[128];
    snprintf(out->about, sizeof out->about, "%s; default %s",
             kind_text(at->option, expected, sizeof expected),
             default_text(at->option, value, sizeof value));
    snprintf(out->help, sizeof out->help, "%s", at->option->help);
    append_aliases(at->key, aliases, out->help, sizeof out->help);
}

void ctkd__sections_help(struct ctkd__sections sections, const struct ctkd__alias *aliases,
                         const char *const *prefixes, FILE *out)
{
    struct ctkd__option_at at = { 0 };
    struct ctkd__option_help help;
    while (ctkd__options_next(sections, &at)) {
        char heading[CTKD__OPTION_KEY_MAX + sizeof help.about + 4];
        if (!ctkd__key_begins_with(at.key, prefixes))
            continue;
        ctkd__option_help(&at, aliases, &help);
        snprintf(heading, sizeof heading, "%s (%s)", at.key, help.about);
        ctkd__text_wrap(heading, 2, 0, out);
        ctkd__text_wrap(help.help, 6, 0, out);
    }
}
