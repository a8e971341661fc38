#include "train/class_columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { LIST_BYTES = 160 };

static int by_name(const void *a, const void *b)
{
    return strcmp(**(const char *const *const *)a, **(const char *const *const *)b);
}

/* Pointers to the names of a list, sorted by name; freed by the caller. NULL: out of memory. */
static const char *const **sorted_names(const struct ctkd__names *names)
{
    const char *const **const sorted = malloc(names->count * sizeof *sorted);
    for (size_t i = 0; sorted && i < names->count; i++)
        sorted[i] = &names->items[i];
    if (sorted)
        qsort(sorted, names->count, sizeof *sorted, by_name);
    return sorted;
}

/* out[i] is the index in `in` of name i of `of`, or in->count where `in` lacks it. False: out of
   memory. */
static bool find_all(const struct ctkd__names *of, const struct ctkd__names *in, uint32_t *out)
{
    const char *const **const sorted = sorted_names(in);
    for (size_t i = 0; sorted && i < of->count; i++) {
        const char *const *const key = &of->items[i];
        const char *const **const found = bsearch(&key, sorted, in->count, sizeof *sorted, by_name);
        out[i] = found ? (uint32_t)(*found - in->items) : (uint32_t)in->count;
    }
    free(sorted);
    return sorted != NULL;
}

/* How many names have no index (`none`), and the first four of them as text. */
static size_t list_missing(const struct ctkd__names *of, const uint32_t *indices, size_t none,
                           char text[LIST_BYTES])
{
    enum { NAMED = 4 };
    size_t missing = 0, used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < of->count; i++)
        if (indices[i] == none && missing++ < NAMED)
            used += (size_t)snprintf(text + used, LIST_BYTES - used, "%s%.30s", used ? ", " : "",
                                     of->items[i]);
    if (missing > NAMED)
        snprintf(text + used, LIST_BYTES - used, " and %zu more", missing - NAMED);
    return missing;
}

static ctkd_status check(const char *file, const struct ctkd__names *own,
                         const struct ctkd__names *data, bool select, const uint32_t *in_own,
                         const uint32_t *in_data, ctkd_error *err)
{
    char lacks[LIST_BYTES], has[LIST_BYTES];
    const size_t missing = list_missing(data, in_own, own->count, lacks);
    const size_t more = select ? 0 : list_missing(own, in_data, data->count, has);
    if (missing && more)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "%s: the network knows %zu of the %zu classes of the data: it lacks %s, "
                          "and has %s; expected the same classes",
                          file, data->count - missing, data->count, lacks, has);
    if (missing)
        return ctkd__fail(err, CTKD_ESHAPE,
                          "%s: the network lacks %zu of the %zu classes of the data: %s; expected "
                          "a network that knows them",
                          file, missing, data->count, lacks);
    if (more)
        return ctkd__fail(
            err, CTKD_ESHAPE,
            "%s: the network has %zu class%s that the data do not have: %s; "
            "expected the same classes, or teacher.classes=FILE with the names of all "
            "its outputs to use those of the data alone",
            file, more, more == 1 ? "" : "es", has);
    return CTKD_OK;
}

ctkd_status ctkd__class_columns(const char *file, const struct ctkd__names *own,
                                const struct ctkd__names *data, bool select, uint32_t **columns,
                                ctkd_error *err)
{
    *columns = NULL;
    if (own == data)
        return CTKD_OK;
    uint32_t *const in_own = malloc(data->count * sizeof *in_own);
    uint32_t *const in_data = malloc(own->count * sizeof *in_data);
    ctkd_status status = CTKD_OK;
    if (!in_own || !in_data || !find_all(data, own, in_own) || !find_all(own, data, in_data))
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file);
    else
        status = check(file, own, data, select, in_own, in_data, err);
    free(in_data);
    if (status == CTKD_OK)
        *columns = in_own;
    else
        free(in_own);
    return status;
}

void ctkd__class_columns_digest(size_t data, const uint32_t *columns,
                                char digest[CTKD__SHA256_DIGITS + 1])
{
    strcpy(digest, "none");
    if (columns)
        ctkd__sha256_bytes(columns, data * sizeof *columns, digest);
}

void ctkd__class_columns_take(size_t n, size_t own, size_t data, const uint32_t *columns,
                              const float *own_logits, float *logits)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < data; k++)
            logits[i * data + k] = own_logits[i * own + columns[k]];
}
