#include "cli/view_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/folder/layout.h"
#include "data/folder/tree.h"
#include "data/source.h"
#include "selftest/selftest_views.h"
#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

enum { LIST_BYTES_MAX = 1 << 28, BOXES_MAX = 100000, HEAD_WORD = 8 };

/* A list has this line, then "FILE HASH" with one blank between them; other lines that begin with #
   are comments. */
static const char head[] = "# views: %zu boxes, %zu pixels, %15s";
static const char *const orders[] = {
    [CTKD__HORIZONTAL_FIRST] = "horizontal", [CTKD__PILLOW_13] = "pillow_13"
};

struct list_line {
    const char *name, *hash;
    bool seen;
};

struct list {
    char *text;
    struct list_line *items; /* [count], sorted by name */
    size_t count;
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct list_line *)a)->name, ((const struct list_line *)b)->name);
}

static ctkd_status read_head(const char *path, size_t number, const char *line,
                             struct ctkd__view_hash_settings *settings, ctkd_error *err)
{
    char order[16];
    if (sscanf(line, head, &settings->boxes, &settings->size, order) == 3 && settings->boxes > 1 &&
        settings->boxes <= BOXES_MAX && settings->size > 0 && settings->size <= CTKD__VIEW_SIDE_MAX)
        for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
            if (strcmp(order, orders[i]) == 0) {
                settings->order = (enum ctkd__resize_order)i;
                return CTKD_OK;
            }
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: line %zu: found '%.60s', expected '# views: 200 boxes, 224 pixels, "
                      "horizontal' or other numbers (2 to %d boxes, 1 to %d pixels), or pillow_13",
                      path, number, line, BOXES_MAX, CTKD__VIEW_SIDE_MAX);
}

/* Divides a line; false: it is no line of a list. */
static bool read_line(char *line, struct list_line *out)
{
    char *const blank = strrchr(line, ' ');
    if (!blank || blank == line || strlen(blank + 1) != CTKD__SHA256_DIGITS ||
        strspn(blank + 1, "0123456789abcdef") != CTKD__SHA256_DIGITS)
        return false;
    *blank = '\0';
    *out = (struct list_line){ line, blank + 1, false };
    return true;
}

static ctkd_status read_list(const char *path, struct list *list,
                             struct ctkd__view_hash_settings *settings, ctkd_error *err)
{
    size_t size, lines = 1;
    ctkd_status status = ctkd__file_read(path, LIST_BYTES_MAX, &list->text, &size, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < size; i++)
        lines += list->text[i] == '\n';
    list->items = malloc(lines * sizeof *list->items);
    if (!list->items)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    size_t number = 0;
    bool has_head = false;
    for (char *next, *line = list->text; line && status == CTKD_OK; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        if (line[0] == '\0' || (line[0] == '#' && strncmp(line, head, HEAD_WORD) != 0))
            continue;
        if (!has_head)
            status = read_head(path, number, line, settings, err);
        else if (!read_line(line, &list->items[list->count++]))
            status = ctkd__fail(err, CTKD_EFORMAT,
                                "%s: line %zu: found '%.60s', expected the name of a file and %d "
                                "hexadecimal digits",
                                path, number, line, CTKD__SHA256_DIGITS);
        has_head = true;
    }
    if (!has_head)
        status = read_head(path, number, "", settings, err);
    if (status == CTKD_OK)
        qsort(list->items, list->count, sizeof *list->items, compare_entries);
    return status;
}

static void list_free(struct list *list)
{
    free(list->text);
    free(list->items);
}

/* The hash of file i of the tree. */
static ctkd_status hash_file(const struct ctkd__tree *tree, size_t i,
                             struct ctkd__view_hasher *hasher, char hash[CTKD__SHA256_DIGITS + 1],
                             ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    struct ctkd__tree_bytes bytes;
    ctkd_status status = ctkd__tree_read(tree, i, CTKD__IMAGE_BYTES_MAX, &bytes, err);
    if (status != CTKD_OK)
        return status;
    ctkd__tree_place(tree, i, place, sizeof place);
    const struct ctkd__picture_file file = { place, bytes.bytes, bytes.size };
    status = ctkd__view_hash(hasher, &file, hash, err);
    ctkd__tree_bytes_free(&bytes);
    return status;
}

/* The line of a file, which is now seen; NULL: there is none, or no list. */
static const struct list_line *find_line(const struct list *list, const char *name)
{
    const struct list_line wanted = { .name = name };
    if (!list || list->count == 0)
        return NULL;
    struct list_line *const found =
        bsearch(&wanted, list->items, list->count, sizeof *list->items, compare_entries);
    if (found)
        found->seen = true;
    return found;
}

/* Returns how many files differ from the list (NULL: prints them), or cannot be read; *files: how
   many there are. */
static size_t walk(const struct ctkd__tree *tree, struct ctkd__view_hasher *hasher,
                   struct list *list, size_t *files)
{
    size_t differ = 0;
    for (size_t i = 0; i < ctkd__tree_count(tree); i++) {
        char hash[CTKD__SHA256_DIGITS + 1], name[4 * CTKD__TREE_PLACE_MAX];
        ctkd_error err = { 0 };
        if (!ctkd__is_image_name(ctkd__tree_name(tree, i)))
            continue;
        ++*files;
        ctkd__text_line(ctkd__tree_name(tree, i), name, sizeof name);
        const struct list_line *const line = find_line(list, name);
        const ctkd_status status = hash_file(tree, i, hasher, hash, &err);
        const bool equal = status == CTKD_OK && line && strcmp(line->hash, hash) == 0;
        differ += list ? !equal : status != CTKD_OK;
        if (status != CTKD_OK)
            (void)ctkd__cli_failed(&err);
        else if (!list)
            printf("%s %s\n", name, hash);
        else if (!equal)
            printf("%s: %s\n", name, line ? "other views than in the list" : "not in the list");
    }
    for (size_t i = 0; list && i < list->count; i++)
        if (!list->items[i].seen) {
            printf("%s: in the list alone\n", list->items[i].name);
            differ++;
        }
    return differ;
}

int ctkd__view_list(const char *path, const char *against)
{
    struct ctkd__view_hash_settings settings = ctkd__view_hash_defaults();
    struct ctkd__view_hasher *hasher = NULL;
    struct ctkd__tree *tree = NULL;
    struct list list = { 0 };
    ctkd_error err = { 0 };
    size_t files = 0, differ = 0;
    ctkd_status status = against ? read_list(against, &list, &settings, &err) : CTKD_OK;
    if (status == CTKD_OK)
        status = ctkd__tree_open(path, NULL, &tree, &err);
    if (status == CTKD_OK)
        status = ctkd__view_hasher_create(&settings, &hasher, &err);
    if (status == CTKD_OK) {
        if (!against)
            printf("# views: %zu boxes, %zu pixels, %s\n", settings.boxes, settings.size,
                   orders[settings.order]);
        differ = walk(tree, hasher, against ? &list : NULL, &files);
        if (against && differ)
            printf("%zu files differ from %s\n", differ, against);
        else if (against && files)
            printf("%zu files, all views as in %s\n", files, against);
        if (!files)
            status = ctkd__fail(&err, CTKD_ENOTFOUND, "%s: found no image file", path);
    }
    ctkd__view_hasher_destroy(hasher);
    ctkd__tree_close(tree);
    list_free(&list);
    if (status != CTKD_OK)
        return ctkd__cli_failed(&err);
    return differ ? CTKD__EXIT_FAILED : CTKD__EXIT_DONE;
}
