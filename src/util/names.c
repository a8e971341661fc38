#include "util/names.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

enum { FILE_BYTES_MAX = 1 << 26 };

/* A list that is kept, with its memory. */
struct kept {
    struct ctkd__names names;
    struct kept *next;
    const char *items[]; /* then the text, then a copy of it cut into the items */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *first;

/* Lines of text, without empty ones at its end. */
static size_t count_lines(const char *text)
{
    size_t lines = 0, count = 0;
    while (*text) {
        const size_t n = strcspn(text, "\n");
        lines++;
        if (n > (n && text[n - 1] == '\r'))
            count = lines;
        text += n + (text[n] != '\0');
    }
    return count;
}

static struct kept *make(const char *text, size_t count)
{
    const size_t bytes = strlen(text) + 2, table = count * sizeof(const char *);
    struct kept *const kept = malloc(sizeof *kept + table + 2 * bytes);
    if (!kept)
        return NULL;
    char *const lines = (char *)(kept + 1) + table, *const items = lines + bytes;
    char *line = lines, *item = items;
    for (size_t i = 0; i < count; i++) {
        const size_t n = strcspn(text, "\n"), used = n - (n && text[n - 1] == '\r');
        memcpy(line, text, used);
        line[used] = '\n';
        line += used + 1;
        memcpy(item, text, used);
        item[used] = '\0';
        kept->items[i] = item;
        item += used + 1;
        text += n + (text[n] != '\0');
    }
    *line = '\0';
    kept->names = (struct ctkd__names){ count, kept->items, lines, true };
    for (size_t i = 1; i < count; i++)
        kept->names.sorted &= strcmp(kept->items[i - 1], kept->items[i]) < 0;
    kept->next = NULL;
    return kept;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static ctkd_status check(const char *place, const struct ctkd__names *names, ctkd_error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *const name = names->items[i];
        if (!name[0] || !ctkd__text_is_line(name))
            return ctkd__fail(err, CTKD_EFORMAT,
                              "%s: name %zu: found %s, expected a line of UTF-8 text", place, i + 1,
                              name[0] ? "bytes that are no text" : "an empty line");
    }
    const char **const sorted = malloc(names->count * sizeof *sorted);
    if (!sorted)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", place);
    memcpy(sorted, names->items, names->count * sizeof *sorted);
    qsort(sorted, names->count, sizeof *sorted, by_name);
    ctkd_status status = CTKD_OK;
    for (size_t i = 1; i < names->count && status == CTKD_OK; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = ctkd__fail(err, CTKD_EFORMAT,
                                "%s: found '%.100s' twice, expected names that differ", place,
                                sorted[i]);
    free(sorted);
    return status;
}

/* Returns the list that is already kept with this text, or else keeps this one. */
static const struct ctkd__names *keep(struct kept *kept)
{
    pthread_mutex_lock(&lock);
    struct kept *found = first;
    while (found && strcmp(found->names.text, kept->names.text) != 0)
        found = found->next;
    if (!found) {
        kept->next = first;
        first = found = kept;
    }
    pthread_mutex_unlock(&lock);
    if (found != kept)
        free(kept);
    return &found->names;
}

ctkd_status ctkd__names_of_text(const char *place, const char *text, const struct ctkd__names **out,
                                ctkd_error *err)
{
    *out = NULL;
    const size_t count = count_lines(text);
    if (count == 0)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found no name, expected one per line", place);
    struct kept *const kept = make(text, count);
    if (!kept)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", place);
    const ctkd_status status = check(place, &kept->names, err);
    if (status == CTKD_OK)
        *out = keep(kept);
    else
        free(kept);
    return status;
}

ctkd_status ctkd__names_of_file(const char *path, const struct ctkd__names **out, ctkd_error *err)
{
    char *text = NULL;
    size_t bytes;
    *out = NULL;
    ctkd_status status = ctkd__file_read(path, FILE_BYTES_MAX, &text, &bytes, err);
    if (status == CTKD_OK && strlen(text) != bytes)
        status = ctkd__fail(err, CTKD_EFORMAT, "%s: found a zero byte, expected one name per line",
                            path);
    if (status == CTKD_OK)
        status = ctkd__names_of_text(path, text, out, err);
    free(text);
    return status;
}

size_t ctkd__names_find(const struct ctkd__names *names, const char *name)
{
    size_t i = 0;
    if (names->sorted) {
        const char *const *const found =
            bsearch(&name, names->items, names->count, sizeof *names->items, by_name);
        return found ? (size_t)(found - names->items) : names->count;
    }
    while (i < names->count && strcmp(names->items[i], name) != 0)
        i++;
    return i;
}
