#include "store/logit_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "util/text.h"

static ctkd_status add(struct ctkd__logit_folder *folder, const char *path, bool leftover,
                       ctkd_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return errno == ENOENT ? CTKD_OK /* removed meanwhile */
                               : ctkd__fail(err, CTKD_EIO, "%s: %s", path, strerror(errno));
    struct ctkd__logit_entry *const grown =
        realloc(folder->entries, (folder->count + 1) * sizeof *grown);
    if (!grown)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    folder->entries = grown;
    struct ctkd__logit_entry *const entry = &grown[folder->count++];
    *entry = (struct ctkd__logit_entry){ .occupied = (uint64_t)info.st_blocks * 512,
                                         .used = info.st_mtime,
                                         .leftover = leftover };
    snprintf(entry->path, sizeof entry->path, "%s", path);
    return CTKD_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct ctkd__logit_entry *)a)->path,
                  ((const struct ctkd__logit_entry *)b)->path);
}

/* Leftovers first, because they are removed in any case; then by the time of last use. */
static int by_use(const void *a, const void *b)
{
    const bool left = ((const struct ctkd__logit_entry *)a)->leftover;
    if (left != ((const struct ctkd__logit_entry *)b)->leftover)
        return left ? -1 : 1;
    const time_t x = ((const struct ctkd__logit_entry *)a)->used;
    const time_t y = ((const struct ctkd__logit_entry *)b)->used;
    return x == y ? by_path(a, b) : (x > y) - (x < y);
}

/* Whether the name is that of a file whose creation was cut short: STORE.logits.PID.NN, or
   STORE.logits.PID.new by an earlier version. */
static bool is_leftover(const char *name)
{
    static const char ending[] = ".logits";
    const char *const at = strstr(name, ".logits.");
    char of[sizeof((struct dirent *)0)->d_name];
    if (!at)
        return false;
    snprintf(of, sizeof of, "%.*s%s", (int)(at - name), name, ending);
    return ctkd__text_ends(name, ".new") || ctkd__is_temporary(name, of);
}

static ctkd_status read_folder(DIR *dir, const char *path, struct ctkd__logit_folder *out,
                               ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    for (struct dirent *entry; status == CTKD_OK && (entry = readdir(dir));) {
        char file[sizeof out->entries->path];
        const bool leftover = is_leftover(entry->d_name);
        const int n = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (n > 0 && (size_t)n < sizeof file &&
            (leftover || ctkd__text_ends(entry->d_name, ".logits")))
            status = add(out, file, leftover, err);
    }
    return status;
}

ctkd_status ctkd__logit_folder_read(const char *path, struct ctkd__logit_folder *out,
                                    ctkd_error *err)
{
    *out = (struct ctkd__logit_folder){ .count = 0 };
    DIR *const dir = opendir(path);
    ctkd_status status;
    if (dir) {
        status = read_folder(dir, path, out, err);
        closedir(dir);
    } else if (errno == ENOTDIR) {
        status = add(out, path, false, err);
    } else {
        status = ctkd__fail(err, CTKD_EIO, "%s: cannot open: %s", path, strerror(errno));
    }
    if (status != CTKD_OK)
        ctkd__logit_folder_free(out);
    else if (out->count)
        qsort(out->entries, out->count, sizeof *out->entries, by_path);
    return status;
}

void ctkd__logit_folder_free(struct ctkd__logit_folder *folder)
{
    free(folder->entries);
    *folder = (struct ctkd__logit_folder){ .count = 0 };
}

/* Removes the file unless a process uses it, which would hold a shared lock on it. */
static ctkd_status remove_unused(const struct ctkd__logit_entry *entry, bool *in_use,
                                 ctkd_error *err)
{
    const int descriptor = open(entry->path, O_RDONLY | O_CLOEXEC);
    *in_use = false;
    if (descriptor < 0)
        return errno == ENOENT
                   ? CTKD_OK
                   : ctkd__fail(err, CTKD_EIO, "%s: cannot open: %s", entry->path, strerror(errno));
    *in_use = flock(descriptor, LOCK_EX | LOCK_NB) != 0;
    const bool removed = *in_use || unlink(entry->path) == 0;
    const int why = errno;
    close(descriptor);
    return removed ? CTKD_OK
                   : ctkd__fail(err, CTKD_EIO, "cannot remove %s: %s", entry->path, strerror(why));
}

/* Whether nothing was written to the file: it is empty, or begins with a hole. */
static bool is_blank(const char *path)
{
    char first = 0;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const bool blank = descriptor >= 0 && read(descriptor, &first, 1) >= 0 && first == 0;
    if (descriptor >= 0)
        close(descriptor);
    return blank;
}

/* Drops entries that are named like a store but are none: they are not ours to remove. A file whose
   creation was cut short may have no header yet. */
static void keep_stores(struct ctkd__logit_folder *folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < folder->count; i++) {
        const struct ctkd__logit_entry *const entry = &folder->entries[i];
        if (ctkd__logit_file_is_one(entry->path) || (entry->leftover && is_blank(entry->path)))
            folder->entries[kept++] = *entry;
    }
    folder->count = kept;
}

ctkd_status ctkd__logit_folder_prune(const char *path, uint64_t bytes,
                                     void (*tell)(const struct ctkd__logit_entry *entry,
                                                  bool in_use),
                                     ctkd_error *err)
{
    struct ctkd__logit_folder folder;
    uint64_t occupied = 0;
    ctkd_status status = ctkd__logit_folder_read(path, &folder, err);
    keep_stores(&folder);
    if (status == CTKD_OK && folder.count == 0 && !ctkd__is_folder(path))
        status = ctkd__fail(err, CTKD_EFORMAT,
                            "%s: found no store of logits, expected a folder of them", path);
    for (size_t i = 0; i < folder.count; i++)
        occupied += folder.entries[i].occupied;
    if (folder.count)
        qsort(folder.entries, folder.count, sizeof *folder.entries, by_use);
    for (size_t i = 0; i < folder.count && status == CTKD_OK; i++) {
        const struct ctkd__logit_entry *const entry = &folder.entries[i];
        bool in_use;
        if (!entry->leftover && occupied <= bytes)
            continue;
        status = remove_unused(entry, &in_use, err);
        if (status != CTKD_OK)
            break;
        tell(entry, in_use);
        occupied -= in_use ? 0 : entry->occupied;
    }
    ctkd__logit_folder_free(&folder);
    return status;
}

const char *ctkd__logit_size_text(uint64_t bytes, char *out, size_t n)
{
    if (bytes < 1000000)
        snprintf(out, n, "%.0f kB", 1e-3 * (double)bytes);
    else if (bytes < 1000000000)
        snprintf(out, n, "%.1f MB", 1e-6 * (double)bytes);
    else
        snprintf(out, n, "%.2f GB", 1e-9 * (double)bytes);
    return out;
}
