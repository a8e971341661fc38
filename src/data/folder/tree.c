#include "data/folder/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/folder/tree_build.h"
#include "util/error.h"

void ctkd__tree_bytes_free(struct ctkd__tree_bytes *bytes)
{
    free(bytes->bytes);
    *bytes = (struct ctkd__tree_bytes){ 0 };
}

/* --- building */

static ctkd_status no_memory(const struct ctkd__tree *tree, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for %zu names", tree->path, tree->count);
}

/* Room for one item more in an array that doubles. */
static bool grow(void **items, size_t count, size_t *capacity, size_t bytes)
{
    if (count < *capacity)
        return true;
    const size_t more = *capacity ? 2 * *capacity : 256;
    void *const new = realloc(*items, more * bytes);
    if (!new)
        return false;
    *items = new;
    *capacity = more;
    return true;
}

static ctkd_status add_name(struct ctkd__tree *tree, const char *name, uint32_t *out,
                            ctkd_error *err)
{
    const size_t n = strlen(name) + 1;
    if (tree->text_bytes > UINT32_MAX - n)
        return ctkd__fail(err, CTKD_ERANGE, "%s: found more than 4 GB of file names", tree->path);
    if (tree->text_capacity - tree->text_bytes < n) {
        const size_t capacity = 2 * tree->text_capacity + n;
        char *const text = realloc(tree->text, capacity);
        if (!text)
            return no_memory(tree, err);
        tree->text = text;
        tree->text_capacity = capacity;
    }
    memcpy(tree->text + tree->text_bytes, name, n);
    *out = (uint32_t)tree->text_bytes;
    tree->text_bytes += n;
    return CTKD_OK;
}

ctkd_status ctkd__tree_add_file(struct ctkd__tree *tree, const char *name,
                                const struct ctkd__tree_file *file, ctkd_error *err)
{
    if (!grow((void **)&tree->files, tree->count, &tree->capacity, sizeof *tree->files))
        return no_memory(tree, err);
    struct ctkd__tree_file *const added = &tree->files[tree->count];
    *added = *file;
    const ctkd_status status = add_name(tree, name, &added->name, err);
    tree->count += status == CTKD_OK;
    return status;
}

ctkd_status ctkd__tree_add_folder(struct ctkd__tree *tree, const char *name, ctkd_error *err)
{
    if (!grow((void **)&tree->folders, tree->n_folders, &tree->folders_capacity,
              sizeof *tree->folders))
        return no_memory(tree, err);
    const ctkd_status status = add_name(tree, name, &tree->folders[tree->n_folders], err);
    tree->n_folders += status == CTKD_OK;
    return status;
}

int ctkd__tree_compare(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    const int x = *a == '/' ? 1 : *a ? 1 + (unsigned char)*a : 0;
    const int y = *b == '/' ? 1 : *b ? 1 + (unsigned char)*b : 0;
    return x - y;
}

static int files_compare(const void *a, const void *b, void *text)
{
    const struct ctkd__tree_file *const x = a, *const y = b;
    return ctkd__tree_compare((char *)text + x->name, (char *)text + y->name);
}

static int folders_compare(const void *a, const void *b, void *text)
{
    return ctkd__tree_compare((char *)text + *(const uint32_t *)a,
                              (char *)text + *(const uint32_t *)b);
}

ctkd_status ctkd__tree_sort(struct ctkd__tree *tree, ctkd_error *err)
{
    if (tree->n_folders)
        qsort_r(tree->folders, tree->n_folders, sizeof *tree->folders, folders_compare, tree->text);
    if (tree->count)
        qsort_r(tree->files, tree->count, sizeof *tree->files, files_compare, tree->text);
    for (size_t i = 1; i < tree->count; i++)
        if (strcmp(ctkd__tree_name(tree, i - 1), ctkd__tree_name(tree, i)) == 0)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: found %.300s twice, expected it once",
                              tree->path, ctkd__tree_name(tree, i));
    return CTKD_OK;
}

/* --- opening */

static ctkd_status scan(struct ctkd__tree *tree, ctkd_error *err)
{
    struct stat info;
    if (stat(tree->path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", tree->path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return ctkd__tree_scan_folder(tree, err);
    return ctkd__fail(err, CTKD_EFORMAT, "%s: found a file, expected a folder", tree->path);
}

ctkd_status ctkd__tree_open(const char *path, struct ctkd__tree **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__tree *const tree = calloc(1, sizeof *tree);
    if (!tree || !(tree->path = strdup(path))) {
        free(tree);
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    }
    tree->archive = -1;
    const ctkd_status status = scan(tree, err);
    if (status == CTKD_OK)
        *out = tree;
    else
        ctkd__tree_close(tree);
    return status;
}

void ctkd__tree_close(struct ctkd__tree *tree)
{
    if (!tree)
        return;
    if (tree->archive >= 0)
        close(tree->archive);
    free(tree->files);
    free(tree->folders);
    free(tree->text);
    free(tree->path);
    free(tree);
}

/* --- names */

const char *ctkd__tree_path(const struct ctkd__tree *tree)
{
    return tree->path;
}

size_t ctkd__tree_count(const struct ctkd__tree *tree)
{
    return tree->count;
}

const char *ctkd__tree_name(const struct ctkd__tree *tree, size_t i)
{
    return tree->text + tree->files[i].name;
}

size_t ctkd__tree_folders(const struct ctkd__tree *tree)
{
    return tree->n_folders;
}

const char *ctkd__tree_folder(const struct ctkd__tree *tree, size_t i)
{
    return tree->text + tree->folders[i];
}

/* The first file that is not before `name`. */
static size_t lower_bound(const struct ctkd__tree *tree, const char *name)
{
    size_t low = 0, high = tree->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (ctkd__tree_compare(ctkd__tree_name(tree, middle), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t ctkd__tree_find(const struct ctkd__tree *tree, const char *name)
{
    const size_t i = lower_bound(tree, name);
    return i < tree->count && strcmp(ctkd__tree_name(tree, i), name) == 0 ? i : tree->count;
}

static bool is_below(const char *name, const char *prefix, size_t length)
{
    return strncmp(name, prefix, length) == 0 && (length == 0 || name[length] == '/');
}

size_t ctkd__tree_below(const struct ctkd__tree *tree, const char *prefix, size_t *end)
{
    const size_t length = strlen(prefix);
    size_t first = lower_bound(tree, prefix), low = first, high = tree->count;
    while (first < tree->count && strcmp(ctkd__tree_name(tree, first), prefix) == 0)
        low = ++first;   /* an archive may have a file of that name too */
    while (low < high) { /* they are together */
        const size_t middle = low + (high - low) / 2;
        if (is_below(ctkd__tree_name(tree, middle), prefix, length))
            low = middle + 1;
        else
            high = middle;
    }
    *end = low;
    return first;
}

/* --- reading */

void ctkd__tree_place(const struct ctkd__tree *tree, size_t i, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s%s%s", tree->path, tree->archive >= 0 ? ": " : "/",
             ctkd__tree_name(tree, i));
}

static ctkd_status cannot_read(const struct ctkd__tree *tree, size_t i, const char *why,
                               ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    ctkd__tree_place(tree, i, place, sizeof place);
    return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", place, why);
}

/* All of an open file. */
static ctkd_status read_file(const struct ctkd__tree *tree, size_t i, int file, size_t limit,
                             struct ctkd__tree_bytes *out, ctkd_error *err)
{
    struct stat info;
    if (fstat(file, &info) != 0)
        return cannot_read(tree, i, strerror(errno), err);
    if (!S_ISREG(info.st_mode))
        return cannot_read(tree, i, "it is not a regular file", err);
    const size_t size = (size_t)info.st_size;
    if (size > limit) {
        char place[CTKD__TREE_PLACE_MAX];
        ctkd__tree_place(tree, i, place, sizeof place);
        return ctkd__fail(err, CTKD_ERANGE, "%s: found %zu bytes, expected at most %zu", place,
                          size, limit);
    }
    out->bytes = malloc(size + 1);
    if (!out->bytes)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for a file of %zu bytes", tree->path,
                          size);
    while (out->size < size) {
        const ssize_t n = read(file, out->bytes + out->size, size - out->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cannot_read(tree, i, strerror(errno), err);
        if (n == 0)
            break; /* it has become shorter */
        out->size += (size_t)n;
    }
    out->bytes[out->size] = '\0';
    return CTKD_OK;
}

ctkd_status ctkd__tree_read(const struct ctkd__tree *tree, size_t i, size_t limit,
                            struct ctkd__tree_bytes *out, ctkd_error *err)
{
    char path[CTKD__TREE_PLACE_MAX];
    *out = (struct ctkd__tree_bytes){ 0 };
    ctkd__tree_place(tree, i, path, sizeof path);
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return cannot_read(tree, i, strerror(errno), err);
    const ctkd_status status = read_file(tree, i, file, limit, out, err);
    close(file);
    if (status != CTKD_OK)
        ctkd__tree_bytes_free(out);
    return status;
}
