#include "weights/format.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"
#include "util/file_kind.h"

#define DECLARE(word) extern const struct ctkd__weights_format ctkd__weights_format_##word;
CTKD__WEIGHTS_FORMAT_LIST(DECLARE)
#undef DECLARE

#define ADDRESS(word) &ctkd__weights_format_##word,
static const struct ctkd__weights_format *const list[] = { CTKD__WEIGHTS_FORMAT_LIST(ADDRESS)
                                                               NULL };
#undef ADDRESS

#define NAME(word) #word,
const char *const ctkd__weights_format_choice[] = { "auto", CTKD__WEIGHTS_FORMAT_LIST(NAME) NULL };
#undef NAME

const struct ctkd__weights_format *const *ctkd__weights_formats(void)
{
    return list;
}

/* A comma-separated list with "or" before its last part. */
struct sentence {
    char *text;
    size_t bytes, used;
    const char *pending; /* not yet written: it may be the last */
    bool begun;
};

static void put_pending(struct sentence *s, const char *separator)
{
    if (s->pending && s->used < s->bytes)
        s->used += (size_t)snprintf(s->text + s->used, s->bytes - s->used, "%s%s",
                                    s->begun ? separator : "", s->pending);
    s->begun |= s->pending != NULL;
}

static void add(struct sentence *s, const char *word)
{
    put_pending(s, ", ");
    s->pending = word;
}

const char *ctkd__weights_format_list(enum ctkd__format_text text, bool networks, char *out,
                                      size_t bytes)
{
    struct sentence s = { .text = out, .bytes = bytes };
    out[0] = '\0';
    for (const struct ctkd__weights_format *const *format = list; *format; format++) {
        if (networks && !(*format)->holds_network)
            continue;
        switch (text) {
        case CTKD__FORMAT_NAMES:
            add(&s, (*format)->name);
            break;
        case CTKD__FORMAT_NOUNS:
            add(&s, (*format)->noun);
            break;
        case CTKD__FORMAT_ENDINGS:
            for (const char *const *ending = (*format)->endings; *ending; ending++)
                add(&s, *ending);
            break;
        }
    }
    put_pending(&s, " or ");
    return out;
}

ctkd_status ctkd__weights_format_of_file(const char *path, const struct ctkd__weights_format **out,
                                         ctkd_error *err)
{
    unsigned char b[CTKD__FILE_KIND_BYTES];
    char expected[160];
    size_t n;
    const ctkd_status status = ctkd__file_first_bytes(path, b, &n, err);
    if (status != CTKD_OK)
        return status;
    for (const struct ctkd__weights_format *const *format = list; *format; format++)
        if ((*format)->detect(path, b, n)) {
            *out = *format;
            return CTKD_OK;
        }
    return ctkd__file_kind_fail(
        path, b, n, ctkd__weights_format_list(CTKD__FORMAT_NOUNS, false, expected, sizeof expected),
        err);
}

ctkd_status ctkd__weights_format_of_name(const char *path, const struct ctkd__weights_format **out,
                                         ctkd_error *err)
{
    char expected[160];
    const size_t n = strlen(path);
    for (const struct ctkd__weights_format *const *format = list; *format; format++)
        for (const char *const *ending = (*format)->endings; *ending; ending++) {
            const size_t m = strlen(*ending);
            if (n > m && strcmp(path + n - m, *ending) == 0) {
                *out = *format;
                return CTKD_OK;
            }
        }
    return ctkd__fail(
        err, CTKD_EINVAL, "%s: expected a name in %s", path,
        ctkd__weights_format_list(CTKD__FORMAT_ENDINGS, false, expected, sizeof expected));
}
