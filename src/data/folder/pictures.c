#include "data/folder/pictures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/folder/layout.h"
#include "data/source.h"
#include "util/error.h"
#include "util/file.h"

/* A file: of a tree, or of its own. */
struct listed_file {
    const struct ctkd__tree *tree; /* NULL: path */
    size_t index;
    char *path;
};

struct ctkd__pictures {
    struct listed_file *items;
    size_t count, room, others;
    struct ctkd__tree **trees;
    size_t n_trees;
};

ctkd_status ctkd__pictures_create(struct ctkd__pictures **out, ctkd_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? CTKD_OK : ctkd__fail(err, CTKD_ENOMEM, "images: out of memory");
}

void ctkd__pictures_destroy(struct ctkd__pictures *pictures)
{
    if (!pictures)
        return;
    for (size_t i = 0; i < pictures->count; i++)
        free(pictures->items[i].path);
    for (size_t i = 0; i < pictures->n_trees; i++)
        ctkd__tree_close(pictures->trees[i]);
    free(pictures->trees);
    free(pictures->items);
    free(pictures);
}

static ctkd_status no_memory(const char *path, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
}

/* Takes over item.path. */
static ctkd_status add(struct ctkd__pictures *pictures, struct listed_file item, const char *path,
                       ctkd_error *err)
{
    if (pictures->count == pictures->room) {
        const size_t room = pictures->room ? 2 * pictures->room : 64;
        struct listed_file *const items = realloc(pictures->items, room * sizeof *items);
        if (!items) {
            free(item.path);
            return no_memory(path, err);
        }
        pictures->items = items;
        pictures->room = room;
    }
    pictures->items[pictures->count++] = item;
    return CTKD_OK;
}

static ctkd_status add_folder(struct ctkd__pictures *pictures, const char *path, ctkd_error *err)
{
    struct ctkd__tree **const trees =
        realloc(pictures->trees, (pictures->n_trees + 1) * sizeof(struct ctkd__tree *));
    if (!trees)
        return no_memory(path, err);
    pictures->trees = trees;
    struct ctkd__tree *tree;
    ctkd_status status = ctkd__tree_open(path, NULL, &tree, err);
    if (status != CTKD_OK)
        return status;
    trees[pictures->n_trees++] = tree;
    for (size_t i = 0; i < ctkd__tree_count(tree) && status == CTKD_OK; i++) {
        if (ctkd__is_image_name(ctkd__tree_name(tree, i)))
            status = add(pictures, (struct listed_file){ .tree = tree, .index = i }, path, err);
        else
            pictures->others++;
    }
    return status;
}

ctkd_status ctkd__pictures_add(struct ctkd__pictures *pictures, const char *path, ctkd_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return add_folder(pictures, path, err);
    char *const copy = strdup(path);
    return copy ? add(pictures, (struct listed_file){ .path = copy }, path, err)
                : no_memory(path, err);
}

size_t ctkd__pictures_count(const struct ctkd__pictures *pictures)
{
    return pictures->count;
}

size_t ctkd__pictures_others(const struct ctkd__pictures *pictures)
{
    return pictures->others;
}

ctkd_status ctkd__pictures_read(const struct ctkd__pictures *pictures, size_t i,
                                struct ctkd__tree_bytes *out, ctkd_error *err)
{
    const struct listed_file *const item = &pictures->items[i];
    if (item->tree)
        return ctkd__tree_read(item->tree, item->index, CTKD__IMAGE_BYTES_MAX, out, err);
    char *text;
    const ctkd_status status =
        ctkd__file_read(item->path, CTKD__IMAGE_BYTES_MAX, &text, &out->size, err);
    out->bytes = status == CTKD_OK ? (uint8_t *)text : NULL;
    return status;
}

void ctkd__pictures_place(const struct ctkd__pictures *pictures, size_t i, char *out, size_t bytes)
{
    const struct listed_file *const item = &pictures->items[i];
    if (item->tree)
        ctkd__tree_place(item->tree, item->index, out, bytes);
    else
        snprintf(out, bytes, "%s", item->path);
}
