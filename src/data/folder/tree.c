#include "data/folder/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/folder/tree_build.h"
#include "data/folder/tree_cache.h"
#include "util/error.h"

/* A tree of fewer files is scanned as fast as it is read from the cache. */
enum { CACHED_FILES = 10000 };

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

/* Makes room for one more item in an array that doubles. */
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

ctkd_status ctkd__tree_add_folder(struct ctkd__tree *tree, const char *name, int64_t changed_ns,
                                  ctkd_error *err)
{
    if (!grow((void **)&tree->folders, tree->n_folders, &tree->folders_capacity,
              sizeof *tree->folders))
        return no_memory(tree, err);
    struct ctkd__tree_folder *const added = &tree->folders[tree->n_folders];
    added->changed_ns = changed_ns;
    const ctkd_status status = add_name(tree, name, &added->name, err);
    tree->n_folders += status == CTKD_OK;
    return status;
}

bool ctkd__tree_is_hidden(const char *name)
{
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (part[0] == '.' || strncmp(part, "__MACOSX", 8) == 0)
            return true;
    }
    return false;
}

ctkd_status ctkd__tree_add_member(struct ctkd__tree *tree, const char *folder, const char *name,
                                  size_t length, const struct ctkd__tree_file *file,
                                  ctkd_error *err)
{
    char clean[CTKD__TREE_NAME_MAX];
    size_t n = (size_t)snprintf(clean, sizeof clean, "%s", folder);
    const size_t begin = n;
    if (memchr(name, '\0', length))
        length = strlen(name);
    const bool windows = memchr(name, '\\', length) && !memchr(name, '/', length);
    while (length && (name[0] == '/' || (name[0] == '.' && length > 1 && name[1] == '/'))) {
        const size_t skip = name[0] == '/' ? 1 : 2;
        name += skip;
        length -= skip;
    }
    if (length == 0 || (length == 1 && name[0] == '.'))
        return CTKD_OK; /* the folder of the archive itself */
    if (length + n + 2 > sizeof clean)
        return ctkd__fail(err, CTKD_ERANGE, "%s: found a name of more than %zu bytes", tree->path,
                          sizeof clean - 2);
    if (n)
        clean[n++] = '/';
    for (size_t i = 0; i < length; i++) {
        const char c = windows && name[i] == '\\' ? '/' : name[i];
        if (c != '/' || (n > 0 && clean[n - 1] != '/')) /* of slashes in a row one is kept */
            clean[n++] = c;
    }
    n -= n > 0 && clean[n - 1] == '/';
    if (n == begin)
        return CTKD_OK;
    clean[n] = '\0';
    if (ctkd__tree_is_hidden(clean + begin + (begin > 0)))
        return CTKD_OK;
    return file ? ctkd__tree_add_file(tree, clean, file, err)
                : ctkd__tree_add_folder(tree, clean, CTKD__TREE_NO_TIME, err);
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
    const struct ctkd__tree_folder *const x = a, *const y = b;
    return ctkd__tree_compare((char *)text + x->name, (char *)text + y->name);
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

ctkd_status ctkd__tree_archive_read(const struct ctkd__tree_archive *archive, uint64_t offset,
                                    void *out, size_t size, ctkd_error *err)
{
    uint8_t *to = out;
    if (offset > archive->bytes || size > archive->bytes - offset)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: damaged archive: it ends at byte %llu, expected %zu bytes from byte "
                          "%llu on",
                          archive->path, (unsigned long long)archive->bytes, size,
                          (unsigned long long)offset);
    while (size) {
        const ssize_t n = pread(archive->file, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", archive->path,
                              n < 0 ? strerror(errno) : "the file was truncated meanwhile");
        to += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return CTKD_OK;
}

/* What an archive is, by its first bytes. */
static ctkd_status scan_by_kind(struct ctkd__tree *tree, const struct ctkd__tree_archive *archive,
                                const char *folder, ctkd_error *err)
{
    uint8_t begin[265] = { 0 };
    const size_t n = archive->bytes < sizeof begin ? (size_t)archive->bytes : sizeof begin;
    const ctkd_status status = ctkd__tree_archive_read(archive, 0, begin, n, err);
    if (status != CTKD_OK)
        return status;
    if (memcmp(begin, "PK\3\4", 4) == 0 || memcmp(begin, "PK\5\6", 4) == 0)
        return ctkd__tree_scan_zip(tree, folder, err);
    if (memcmp(begin + 257, "ustar", 5) == 0)
        return ctkd__tree_scan_tar(tree, folder, err);
    const bool compressed = memcmp(begin, "\x1f\x8b", 2) == 0 || memcmp(begin, "BZh", 3) == 0 ||
                            memcmp(begin,
                                   "\xfd"
                                   "7zXZ",
                                   5) == 0 ||
                            memcmp(begin, "\x28\xb5\x2f\xfd", 4) == 0;
    if (!compressed)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found a file that begins with bytes %02x %02x %02x %02x, expected a "
                          "folder, a .zip or a .tar",
                          archive->path, begin[0], begin[1], begin[2], begin[3]);
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: found a compressed file, from which images cannot be read one by one, "
                      "expected a folder, a .zip or a .tar",
                      archive->path);
}

ctkd_status ctkd__tree_open_archive(struct ctkd__tree *tree, const char *path, ctkd_error *err)
{
    struct stat info;
    if (tree->n_archives == CTKD__TREE_ARCHIVES_MAX)
        return ctkd__fail(err, CTKD_ERANGE, "%s: found more than %d archives", tree->path,
                          CTKD__TREE_ARCHIVES_MAX);
    struct ctkd__tree_archive *const archive = &tree->archives[tree->n_archives];
    archive->file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (archive->file < 0)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(errno));
    archive->path = strdup(path);
    if (!archive->path || fstat(archive->file, &info) != 0 || !S_ISREG(info.st_mode)) {
        const ctkd_status status =
            archive->path
                ? ctkd__fail(err, CTKD_EFORMAT,
                             "%s: found no regular file, expected a folder or an archive", path)
                : ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
        close(archive->file);
        free(archive->path);
        return status;
    }
    archive->bytes = (uint64_t)info.st_size;
    tree->n_archives++;
    return CTKD_OK;
}

ctkd_status ctkd__tree_scan_archive(struct ctkd__tree *tree, const char *path, const char *folder,
                                    ctkd_error *err)
{
    const ctkd_status status = ctkd__tree_open_archive(tree, path, err);
    return status == CTKD_OK
               ? scan_by_kind(tree, &tree->archives[tree->n_archives - 1], folder, err)
               : status;
}

static ctkd_status scan_mounts(struct ctkd__tree *tree, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (const struct ctkd__tree_mount *m = tree->mounts; m && m->archive && status == CTKD_OK;
         m++) {
        char path[CTKD__TREE_PLACE_MAX];
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", tree->path, m->archive);
        if (stat(path, &info) == 0)
            status = ctkd__tree_scan_archive(tree, path, m->folder, err);
    }
    return status;
}

static ctkd_status scan(struct ctkd__tree *tree, ctkd_error *err)
{
    struct stat info;
    if (stat(tree->path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", tree->path, strerror(errno));
    const bool folder = S_ISDIR(info.st_mode);
    tree->changed_ns = CTKD__TREE_NO_TIME; /* of a folder the scan knows it */
    ctkd_status status = folder ? ctkd__tree_scan_folder(tree, err)
                                : ctkd__tree_scan_archive(tree, tree->path, "", err);
    if (status == CTKD_OK && folder)
        status = scan_mounts(tree, err);
    if (status == CTKD_OK && tree->n_archives) /* a folder is scanned in order */
        status = ctkd__tree_sort(tree, err);
    return status;
}

ctkd_status ctkd__tree_open(const char *path, const struct ctkd__tree_mount *mounts,
                            struct ctkd__tree **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__tree *const tree = calloc(1, sizeof *tree);
    if (!tree || !(tree->path = strdup(path))) {
        free(tree);
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    }
    tree->mounts = mounts;
    const int64_t began = (int64_t)time(NULL);
    const bool known = ctkd__tree_cache_read(tree);
    const ctkd_status status = known ? CTKD_OK : scan(tree, err);
    if (status == CTKD_OK && !known && tree->count >= CACHED_FILES)
        ctkd__tree_cache_write(tree, began);
    tree->mounts = NULL;
    if (status == CTKD_OK)
        *out = tree;
    else
        ctkd__tree_close(tree);
    return status;
}

void ctkd__tree_clear(struct ctkd__tree *tree)
{
    char *const path = tree->path;
    const struct ctkd__tree_mount *const mounts = tree->mounts;
    for (size_t i = 0; i < tree->n_archives; i++) {
        close(tree->archives[i].file);
        free(tree->archives[i].path);
    }
    free(tree->files);
    free(tree->folders);
    free(tree->text);
    *tree = (struct ctkd__tree){ .path = path, .mounts = mounts };
}

void ctkd__tree_close(struct ctkd__tree *tree)
{
    if (!tree)
        return;
    ctkd__tree_clear(tree);
    free(tree->path);
    free(tree);
}

/* --- names */

const char *ctkd__tree_path(const struct ctkd__tree *tree)
{
    return tree->path;
}

bool ctkd__tree_is_on_disk(const struct ctkd__tree *tree, size_t i)
{
    return tree->files[i].storage == CTKD__STORED_FILE;
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
    return tree->text + tree->folders[i].name;
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
    const struct ctkd__tree_file *const file = &tree->files[i];
    const bool own = file->storage == CTKD__STORED_FILE;
    snprintf(out, bytes, "%s%s%s", own ? tree->path : tree->archives[file->archive].path,
             own ? "/" : ": ", ctkd__tree_name(tree, i));
}

static ctkd_status cannot_read(const struct ctkd__tree *tree, size_t i, const char *why,
                               ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    ctkd__tree_place(tree, i, place, sizeof place);
    return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", place, why);
}

static ctkd_status too_long(const struct ctkd__tree *tree, size_t i, size_t size, size_t limit,
                            ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    ctkd__tree_place(tree, i, place, sizeof place);
    return ctkd__fail(err, CTKD_ERANGE, "%s: found %zu bytes, expected at most %zu", place, size,
                      limit);
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
    if (size > limit)
        return too_long(tree, i, size, limit, err);
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
            break; /* the file was truncated meanwhile */
        out->size += (size_t)n;
    }
    return CTKD_OK;
}

static ctkd_status read_own(const struct ctkd__tree *tree, size_t i, size_t limit,
                            struct ctkd__tree_bytes *out, ctkd_error *err)
{
    char path[CTKD__TREE_PLACE_MAX];
    ctkd__tree_place(tree, i, path, sizeof path);
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return cannot_read(tree, i, strerror(errno), err);
    const ctkd_status status = read_file(tree, i, file, limit, out, err);
    close(file);
    return status;
}

static ctkd_status read_member(const struct ctkd__tree *tree, size_t i, size_t limit,
                               struct ctkd__tree_bytes *out, ctkd_error *err)
{
    const struct ctkd__tree_file *const file = &tree->files[i];
    const struct ctkd__tree_archive *const archive = &tree->archives[file->archive];
    if (file->storage == CTKD__STORED_NOT)
        return cannot_read(tree, i,
                           "it is a link, encrypted or compressed in a way that is not supported "
                           "(an archive of what links lead to: tar --dereference)",
                           err);
    if (file->size > limit)
        return too_long(tree, i, file->size, limit, err);
    if (file->storage == CTKD__STORED_ZIP)
        return ctkd__tree_read_zip(tree, i, out, err);
    out->bytes = malloc((size_t)file->size + 1);
    if (!out->bytes)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for a file of %u bytes",
                          archive->path, file->size);
    out->size = file->size;
    return ctkd__tree_archive_read(archive, file->offset, out->bytes, out->size, err);
}

ctkd_status ctkd__tree_read(const struct ctkd__tree *tree, size_t i, size_t limit,
                            struct ctkd__tree_bytes *out, ctkd_error *err)
{
    *out = (struct ctkd__tree_bytes){ 0 };
    const ctkd_status status = tree->files[i].storage == CTKD__STORED_FILE
                                   ? read_own(tree, i, limit, out, err)
                                   : read_member(tree, i, limit, out, err);
    if (status == CTKD_OK)
        out->bytes[out->size] = '\0';
    else
        ctkd__tree_bytes_free(out);
    return status;
}
