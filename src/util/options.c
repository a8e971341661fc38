#include "util/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/error.h"
#include "util/options_inner.h"
#include "util/path.h"
#include "util/text.h"

void *ctkd__option_field(const struct ctkd__section *section, const ctkd_option *option)
{
    return (char *)section->config + option->offset;
}

bool ctkd__options_next(struct ctkd__sections sections, struct ctkd__option_at *at)
{
    if (at->option)
        at->option++;
    else if (sections.count)
        at->option = sections.items[0].options;
    while (at->index < sections.count && (!at->option || !at->option->name)) {
        at->index++;
        at->option = at->index < sections.count ? sections.items[at->index].options : NULL;
    }
    if (at->index >= sections.count)
        return false;
    at->section = &sections.items[at->index];
    snprintf(at->key, sizeof at->key, "%s%s", at->section->prefix, at->option->name);
    return true;
}

bool ctkd__option_is_text(const ctkd_option *option)
{
    return option->type == CTKD_OPTION_STRING || option->type == CTKD_OPTION_PATH;
}

/* The default of a field, NULL for a text. */
static void set_default_number(const struct ctkd__option_at *at)
{
    void *field = ctkd__option_field(at->section, at->option);
    switch (at->option->type) {
    case CTKD_OPTION_F32:
        *(float *)field = (float)at->option->value;
        break;
    case CTKD_OPTION_I64:
        *(int64_t *)field = (int64_t)at->option->value;
        break;
    case CTKD_OPTION_BOOL:
        *(bool *)field = at->option->value != 0;
        break;
    case CTKD_OPTION_CHOICE:
        *(int *)field = (int)at->option->value;
        break;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        *(char **)field = NULL;
        break;
    }
}

bool ctkd__option_is_default(const struct ctkd__option_at *at)
{
    const ctkd_option *const option = at->option;
    const void *const field = ctkd__option_field(at->section, option);
    switch (option->type) {
    case CTKD_OPTION_F32:
        return memcmp(field, &(float){ (float)option->value }, sizeof(float)) == 0;
    case CTKD_OPTION_I64:
        return *(const int64_t *)field == (int64_t)option->value;
    case CTKD_OPTION_BOOL:
        return *(const bool *)field == (option->value != 0);
    case CTKD_OPTION_CHOICE:
        return *(const int *)field == (int)option->value;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        return strcmp(*(char *const *)field, option->text ? option->text : "") == 0;
    }
    return false;
}

static enum ctkd__given given(const struct ctkd__option_at *at)
{
    const unsigned char *const notes = at->section->given;
    return notes ? (enum ctkd__given)notes[at->option - at->section->options] : CTKD__GIVEN_NOT;
}

bool ctkd__option_is_given(const struct ctkd__option_at *at)
{
    return given(at) == CTKD__GIVEN;
}

bool ctkd__option_is_set(const struct ctkd__option_at *at)
{
    return given(at) != CTKD__GIVEN_NOT;
}

static void note_given(const struct ctkd__option_at *at, enum ctkd__given by)
{
    if (at->section->given)
        at->section->given[at->option - at->section->options] = (unsigned char)by;
}

void ctkd__sections_forget_given(struct ctkd__sections sections)
{
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(sections, &at))
        note_given(&at, CTKD__GIVEN_NOT);
}

void ctkd__sections_given_by_base(struct ctkd__sections sections)
{
    struct ctkd__option_at at = { 0 };
    const bool resolved = ctkd__sections_all_given(sections);
    while (ctkd__options_next(sections, &at))
        if (ctkd__option_is_set(&at))
            note_given(&at, resolved ? CTKD__GIVEN_NOT : CTKD__GIVEN_BY_BASE);
}

bool ctkd__sections_all_given(struct ctkd__sections sections)
{
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(sections, &at))
        if (!ctkd__option_is_given(&at))
            return false;
    return true;
}

ctkd_status ctkd__sections_defaults(struct ctkd__sections sections, ctkd_error *err)
{
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(sections, &at)) /* all are set: _fini must be safe */
        set_default_number(&at);
    at = (struct ctkd__option_at){ 0 };
    while (ctkd__options_next(sections, &at)) {
        if (!ctkd__option_is_text(at.option))
            continue;
        char *copy = strdup(at.option->text ? at.option->text : "");
        *(char **)ctkd__option_field(at.section, at.option) = copy;
        if (!copy)
            return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", at.key);
    }
    return CTKD_OK;
}

void ctkd__sections_fini(struct ctkd__sections sections)
{
    struct ctkd__option_at at = { 0 };
    while (ctkd__options_next(sections, &at))
        if (ctkd__option_is_text(at.option)) {
            char **field = ctkd__option_field(at.section, at.option);
            free(*field);
            *field = NULL;
        }
}

const char *ctkd__nearest(const char *name, const char *const *names)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (; *names; names++) {
        const size_t distance = ctkd__edit_distance(name, *names);
        if (distance < least) {
            least = distance;
            nearest = *names;
        }
    }
    return nearest && ctkd__is_near(name, least) ? nearest : NULL;
}

ctkd_status ctkd__unknown(const char *what, const char *name, const char *const *names,
                          const char *otherwise, ctkd_error *err)
{
    const char *const nearest = ctkd__nearest(name, names);
    return nearest
               ? ctkd__fail(err, CTKD_ENOTFOUND, "unknown %s '%.80s', did you mean '%s'?", what,
                            name, nearest)
               : ctkd__fail(err, CTKD_ENOTFOUND, "unknown %s '%.80s'; %s", what, name, otherwise);
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

enum { CANDIDATES_MAX = 4 };

/* Known keys that an unknown one may be meant for, the nearest first. */
struct candidates {
    char keys[CANDIDATES_MAX][CTKD__OPTION_KEY_MAX];
    size_t distances[CANDIDATES_MAX], count;
    int kind; /* of all of them, see kind_of */
};
enum { NEAR_KEY, SAME_END, NEAR_END, NOT_NEAR };

/* How a known key is like an unknown one: by spelling, or by its last part alone. */
static int kind_of(const char *key, const char *known, size_t *distance)
{
    const size_t of_ends = ctkd__edit_distance(last_part(key), last_part(known));
    *distance = ctkd__edit_distance(key, known);
    if (ctkd__is_near(key, *distance))
        return NEAR_KEY;
    if (of_ends == 0)
        return SAME_END;
    if (!ctkd__is_near(last_part(key), of_ends))
        return NOT_NEAR;
    *distance = of_ends;
    return NEAR_END;
}

/* All keys with the same ending are kept; of those with a similar spelling only the nearest. */
static void add_candidate(struct candidates *all, int kind, const char *key, size_t distance)
{
    const bool one = kind != SAME_END && all->count > 0;
    if (kind > all->kind || (kind == all->kind && one && distance > all->distances[0]))
        return;
    if (kind < all->kind || (one && distance < all->distances[0]))
        all->count = 0;
    all->kind = kind;
    size_t i = all->count < CANDIDATES_MAX ? all->count++ : CANDIDATES_MAX;
    for (; i > 0 && distance < all->distances[i - 1]; i--)
        if (i < CANDIDATES_MAX) {
            memcpy(all->keys[i], all->keys[i - 1], sizeof all->keys[i]);
            all->distances[i] = all->distances[i - 1];
        }
    if (i < CANDIDATES_MAX) {
        snprintf(all->keys[i], sizeof all->keys[i], "%s", key);
        all->distances[i] = distance;
    }
}

static void find_candidates(struct ctkd__sections sections, const char *key, struct candidates *out)
{
    struct ctkd__option_at at = { 0 };
    *out = (struct candidates){ .kind = NOT_NEAR };
    while (ctkd__options_next(sections, &at)) {
        size_t distance;
        const int kind = kind_of(key, at.key, &distance);
        if (kind != NOT_NEAR)
            add_candidate(out, kind, at.key, distance);
    }
}

bool ctkd__options_find(struct ctkd__sections sections, const char *key, struct ctkd__option_at *at)
{
    *at = (struct ctkd__option_at){ 0 };
    while (ctkd__options_next(sections, at))
        if (strcmp(at->key, key) == 0)
            return true;
    return false;
}

bool ctkd__options_is_section(struct ctkd__sections sections, const char *key)
{
    struct ctkd__option_at at = { 0 };
    const size_t length = strlen(key);
    while (ctkd__options_next(sections, &at))
        if (strncmp(at.key, key, length) == 0 && at.key[length] == '.')
            return true;
    return false;
}

ctkd_status ctkd__options_unknown(struct ctkd__sections sections, const char *where,
                                  const char *key, ctkd_error *err)
{
    struct candidates found;
    char list[CANDIDATES_MAX * (CTKD__OPTION_KEY_MAX + 4)] = "";
    if (ctkd__options_is_section(sections, key))
        return ctkd__fail(err, CTKD_ENOTFOUND, "%s: %.80s: found a value, expected a map of keys",
                          where, key);
    find_candidates(sections, key, &found);
    if (found.count == 0)
        return ctkd__fail(err, CTKD_ENOTFOUND, "%s: %.80s: unknown key", where, key);
    for (size_t i = 0, used = 0; i < found.count; i++)
        ctkd__text_append(list, sizeof list, &used, "%s%s",
                          i == 0                 ? ""
                          : i + 1 == found.count ? " or "
                                                 : ", ",
                          found.keys[i]);
    return ctkd__fail(err, CTKD_ENOTFOUND, "%s: %.80s: unknown key, did you mean %s?", where, key,
                      list);
}

/* Whether `key` ends in `end`, from a dot on. */
static bool ends_in(const char *key, const char *end)
{
    const size_t n = strlen(key), m = strlen(end);
    return m > 0 && n > m && key[n - m - 1] == '.' && strcmp(key + n - m, end) == 0;
}

ctkd_status ctkd__sections_complete(struct ctkd__sections sections, const char *where,
                                    const char *key, char out[CTKD__KEY_MAX], ctkd_error *err)
{
    struct ctkd__option_at at;
    char list[sizeof err->message] = "";
    size_t count = 0, used = 0;
    snprintf(out, CTKD__KEY_MAX, "%s", key);
    if (ctkd__options_find(sections, key, &at) || ctkd__options_find_name(sections, key, &at))
        return CTKD_OK;
    at = (struct ctkd__option_at){ 0 };
    while (ctkd__options_next(sections, &at)) {
        if (!ends_in(at.key, key))
            continue;
        snprintf(out, CTKD__KEY_MAX, "%s", at.key);
        ctkd__text_append(list, sizeof list, &used, "%s%s", count ? ", " : "", at.key);
        count++;
    }
    if (count == 0)
        return ctkd__options_unknown(sections, where, key, err);
    return count == 1 ? CTKD_OK
                      : ctkd__fail(err, CTKD_EINVAL,
                                   "%s: %.80s: found the last part of %zu keys, expected one of %s",
                                   where, key, count, list);
}

const char *ctkd__option_expected(const ctkd_option *option, char *text, size_t bytes)
{
    size_t used = 0;
    switch (option->type) {
    case CTKD_OPTION_F32:
        snprintf(text, bytes, "a number from %.9g to %.9g", option->min, option->max);
        break;
    case CTKD_OPTION_I64:
        snprintf(text, bytes, "a whole number from %.17g to %.17g", option->min, option->max);
        break;
    case CTKD_OPTION_BOOL:
        snprintf(text, bytes, "true or false");
        break;
    case CTKD_OPTION_CHOICE:
        for (size_t i = 0; option->choices[i]; i++)
            ctkd__text_append(text, bytes, &used, "%s%s", i ? ", " : "one of ", option->choices[i]);
        break;
    case CTKD_OPTION_STRING:
        snprintf(text, bytes, "one line of UTF-8 text");
        break;
    case CTKD_OPTION_PATH:
        snprintf(text, bytes, "one line of UTF-8 text; ~/ is the home directory");
        break;
    }
    return text;
}

/* Decimal or exponent form only: strtof would also take "inf", "nan", hexadecimal and blanks
 * before. */
static bool parse_f32(const char *text, const ctkd_option *option, float *out)
{
    char *end = NULL;
    if (text[strspn(text, "0123456789.eE+-")] != '\0')
        return false;
    const double value = strtod(text, &end); /* the range is of the text: 0.1f is above 0.1 */
    const float rounded = strtof(text, NULL);
    if (end == text || *end || !(value >= option->min && value <= option->max) ||
        !isfinite(rounded))
        return false;
    *out = rounded;
    return true;
}

/* Also takes whole numbers in the form of floats, as scripts may write them: 10.0, 1e3. */
static bool parse_i64(const char *text, const ctkd_option *option, int64_t *out)
{
    char *end = NULL;
    if (text[strspn(text, "0123456789.eE+-")] != '\0')
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end != text && *end && errno == 0) {
        const double real = strtod(text, &end);
        if (!(fabs(real) <= 9007199254740992.0) || real != floor(real)) /* exact up to 2^53 */
            return false;
        value = (long long)real;
    }
    if (end == text || *end || errno == ERANGE || (double)value < option->min ||
        (double)value > option->max)
        return false;
    *out = value;
    return true;
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const names[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(text, names[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

static bool parse_choice(const char *text, const ctkd_option *option, int *out)
{
    for (int i = 0; option->choices[i]; i++)
        if (strcmp(text, option->choices[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

ctkd_status ctkd__option_refuse(const struct ctkd__option_at *at, const char *where,
                                const char *found, ctkd_error *err)
{
    char expected[256];
    const char *nearest =
        at->option->type == CTKD_OPTION_CHOICE ? ctkd__nearest(found, at->option->choices) : NULL;
    return ctkd__fail(err, CTKD_ERANGE, "%s: %s: found %.60s, expected %s%s%s%s", where, at->key,
                      *found ? found : "nothing",
                      ctkd__option_expected(at->option, expected, sizeof expected),
                      nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

bool ctkd__options_find_name(struct ctkd__sections sections, const char *key,
                             struct ctkd__option_at *at)
{
    char name[CTKD__OPTION_KEY_MAX];
    snprintf(name, sizeof name, "%.*s.name", CTKD__OPTION_KEY_MAX - 6, key);
    return ctkd__options_find(sections, name, at) && at->option->type == CTKD_OPTION_STRING;
}

/* Replaces the text of a field; a copy first, as `value` may be the old one. */
static ctkd_status set_text(const struct ctkd__option_at *at, const char *where, const char *value,
                            ctkd_error *err)
{
    char **field = ctkd__option_field(at->section, at->option);
    char *copy = NULL;
    ctkd_status status = CTKD_OK;
    if (at->option->type == CTKD_OPTION_PATH)
        status = ctkd__path_expand(value, &copy, err);
    else if (!(copy = strdup(value)))
        status = ctkd__fail(err, CTKD_ENOMEM, "out of memory");
    if (status != CTKD_OK)
        return ctkd__fail_within(err, status, "%s: %s", where, at->key);
    free(*field);
    *field = copy;
    return CTKD_OK;
}

ctkd_status ctkd__sections_set(struct ctkd__sections sections, const char *where, const char *key,
                               const char *value, ctkd_error *err)
{
    struct ctkd__option_at at;
    if (!ctkd__options_find(sections, key, &at) && !ctkd__options_find_name(sections, key, &at))
        return ctkd__options_unknown(sections, where, key, err);
    void *field = ctkd__option_field(at.section, at.option);
    bool good = false;
    switch (at.option->type) {
    case CTKD_OPTION_F32:
        good = parse_f32(value, at.option, field);
        break;
    case CTKD_OPTION_I64:
        good = parse_i64(value, at.option, field);
        break;
    case CTKD_OPTION_BOOL:
        good = parse_bool(value, field);
        break;
    case CTKD_OPTION_CHOICE:
        good = parse_choice(value, at.option, field);
        break;
    case CTKD_OPTION_STRING:
    case CTKD_OPTION_PATH:
        good = ctkd__text_is_line(value);
        break;
    }
    if (!good)
        return ctkd__option_refuse(&at, where, value, err);
    note_given(&at, CTKD__GIVEN);
    return ctkd__option_is_text(at.option) ? set_text(&at, where, value, err) : CTKD_OK;
}

ctkd_status ctkd__sections_reset(struct ctkd__sections sections, const char *where, const char *key,
                                 ctkd_error *err)
{
    struct ctkd__option_at at;
    if (!ctkd__options_find(sections, key, &at) && !ctkd__options_find_name(sections, key, &at))
        return ctkd__options_unknown(sections, where, key, err);
    note_given(&at, CTKD__GIVEN_NOT);
    if (ctkd__option_is_text(at.option))
        return set_text(&at, where, at.option->text ? at.option->text : "", err);
    set_default_number(&at);
    return CTKD_OK;
}
