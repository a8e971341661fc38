#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/folder/tree_build.h"
#include "util/error.h"

/* A folder that is being read, and those above it, to which no link may lead back. */
struct place {
    const struct place *above;
    dev_t device;
    ino_t inode;
};

struct scan {
    struct ctkd__tree *tree;
    char name[CTKD__TREE_NAME_MAX]; /* of the present folder, relative to the tree */
    ctkd_error *err;
};

/* Names in one folder. */
struct listing {
    char *text;
    size_t bytes, text_capacity;
    size_t *names; /* offsets in the text; the byte before a name is its kind */
    size_t count, capacity;
};
enum { KIND_FILE = 'f', KIND_FOLDER = 'd' };

static ctkd_status cannot_read(const struct scan *scan, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EIO, "cannot read %s%s%s: %s", scan->tree->path,
                      scan->name[0] ? "/" : "", scan->name, strerror(errno));
}

/* What an entry is; 0: nothing that is read (a socket, a device). A link that leads nowhere counts
   as a file: only reading that file fails. */
static int kind_of(int folder, const struct dirent *entry)
{
    struct stat info;
    if (entry->d_type == DT_REG)
        return KIND_FILE;
    if (entry->d_type == DT_DIR)
        return KIND_FOLDER;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return 0;
    if (fstatat(folder, entry->d_name, &info, 0) != 0)
        return KIND_FILE;
    return S_ISDIR(info.st_mode) ? KIND_FOLDER : S_ISREG(info.st_mode) ? KIND_FILE : 0;
}

static bool listing_add(struct listing *list, int kind, const char *name)
{
    const size_t n = strlen(name) + 2;
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 64;
        size_t *const names = realloc(list->names, capacity * sizeof *names);
        if (!names)
            return false;
        list->names = names;
        list->capacity = capacity;
    }
    if (list->text_capacity - list->bytes < n) {
        const size_t capacity = 2 * list->text_capacity + n;
        char *const text = realloc(list->text, capacity);
        if (!text)
            return false;
        list->text = text;
        list->text_capacity = capacity;
    }
    list->text[list->bytes] = (char)kind;
    memcpy(list->text + list->bytes + 1, name, n - 1);
    list->names[list->count++] = list->bytes + 1;
    list->bytes += n;
    return true;
}

static int by_text(const void *a, const void *b, void *text)
{
    const char *const base = text;
    return strcmp(base + *(const size_t *)a, base + *(const size_t *)b);
}

static ctkd_status listing_read(const struct scan *scan, DIR *dir, struct listing *list)
{
    struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        const int kind = ctkd__tree_is_hidden(entry->d_name) ? 0 : kind_of(dirfd(dir), entry);
        if (kind && !listing_add(list, kind, entry->d_name))
            return ctkd__fail(scan->err, CTKD_ENOMEM, "%s: out of memory", scan->tree->path);
    }
    if (errno)
        return cannot_read(scan, scan->err);
    if (list->count)
        qsort_r(list->names, list->count, sizeof *list->names, by_text, list->text);
    return CTKD_OK;
}

static ctkd_status scan_folder(struct scan *scan, int descriptor, const struct place *above);

/* One entry, whose name is put behind the folder's. */
static ctkd_status scan_entry(struct scan *scan, int folder, const struct place *place,
                              const char *name)
{
    const size_t length = strlen(scan->name);
    if (length + 1 + strlen(name) >= sizeof scan->name)
        return ctkd__fail(scan->err, CTKD_ERANGE, "%s/%.60s...: found a name of more than %d bytes",
                          scan->tree->path, scan->name, CTKD__TREE_NAME_MAX);
    snprintf(scan->name + length, sizeof scan->name - length, "%s%s", length ? "/" : "", name);
    ctkd_status status;
    if (name[-1] == KIND_FILE) {
        status =
            ctkd__tree_add_file(scan->tree, scan->name, &(struct ctkd__tree_file){ 0 }, scan->err);
    } else {
        const int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = inner < 0 ? cannot_read(scan, scan->err) : scan_folder(scan, inner, place);
    }
    scan->name[length] = '\0';
    return status;
}

/* Scans a folder; closes the descriptor. */
static ctkd_status scan_folder(struct scan *scan, int descriptor, const struct place *above)
{
    struct listing list = { 0 };
    struct stat info;
    ctkd_status status = CTKD_OK;
    DIR *const dir = fdopendir(descriptor);
    if (!dir || fstat(descriptor, &info) != 0) {
        status = cannot_read(scan, scan->err);
        dir ? closedir(dir) : close(descriptor);
        return status;
    }
    for (const struct place *p = above; p && status == CTKD_OK; p = p->above)
        if (p->device == info.st_dev && p->inode == info.st_ino)
            status = ctkd__fail(scan->err, CTKD_EFORMAT,
                                "%s/%s: this link leads back to a folder above it, expected files "
                                "that have one name",
                                scan->tree->path, scan->name);
    const struct place place = { above, info.st_dev, info.st_ino };
    const int64_t changed_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    if (!above)
        scan->tree->changed_ns = changed_ns;
    else if (status == CTKD_OK)
        status = ctkd__tree_add_folder(scan->tree, scan->name, changed_ns, scan->err);
    if (status == CTKD_OK)
        status = listing_read(scan, dir, &list);
    for (size_t i = 0; i < list.count && status == CTKD_OK; i++)
        status = scan_entry(scan, dirfd(dir), &place, list.text + list.names[i]);
    closedir(dir);
    free(list.names);
    free(list.text);
    return status;
}

ctkd_status ctkd__tree_scan_folder(struct ctkd__tree *tree, ctkd_error *err)
{
    struct scan scan = { .tree = tree, .err = err };
    const int descriptor = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return descriptor < 0 ? cannot_read(&scan, err) : scan_folder(&scan, descriptor, NULL);
}
