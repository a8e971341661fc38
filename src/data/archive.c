#include "data/archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "util/error.h"

enum { BLOCK_BYTES = 1 << 18, FIRST_BYTES = 1 << 16, PATH_BYTES = 4096 };

/* How a file is to be understood; only gzip and xz, since other filters may start programs. */
enum kind { PLAIN, GZIPPED, TAR };

static bool is_kind(const char *path, mode_t kind)
{
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

/* false when folder/name does not fit, which no existing file has. */
static bool join(char out[PATH_BYTES], const char *folder, const char *name, const char *ending)
{
    const int n = snprintf(out, PATH_BYTES, "%s/%s%s", folder, name, ending);
    return n > 0 && n < PATH_BYTES;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* libarchive's reason: reading failed, or the content is not what it should be. */
static ctkd_status reader_fail(struct archive *reader, const char *path, enum kind kind,
                               ctkd_error *err)
{
    const char *const reason = archive_error_string(reader);
    const int code = archive_errno(reader);
    if (code == EIO || code == EACCES || code == EPERM || code == ENOENT)
        return ctkd__fail(err, CTKD_EIO, "%s: %s", path, reason);
    return ctkd__fail(err, CTKD_EFORMAT, "%s: %s%s", path, reason,
                      kind == TAR ? ", expected a .tar, .tar.gz or .tar.xz archive" : "");
}

static ctkd_status reader_open(const char *path, enum kind kind, struct archive **out,
                               ctkd_error *err)
{
    struct archive *reader = *out = archive_read_new();
    if (!reader)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    if (kind == TAR) {
        archive_read_support_filter_gzip(reader);
        archive_read_support_filter_xz(reader);
        archive_read_support_format_tar(reader);
    } else {
        if (kind == GZIPPED)
            archive_read_support_filter_gzip(reader);
        archive_read_support_format_raw(reader);
        archive_read_support_format_empty(reader); /* raw does not take an empty file */
    }
    if (archive_read_open_filename(reader, path, BLOCK_BYTES) != ARCHIVE_OK)
        return reader_fail(reader, path, kind, err);
    return CTKD_OK;
}

static ctkd_status too_long(const struct ctkd__member *member, uint64_t found, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: %llu bytes or more, expected at most %zu",
                      member->place, (unsigned long long)found, member->limit);
}

/* Reads the entry that the reader stands at, never more than one byte beyond the limit. */
static ctkd_status member_read(struct archive *reader, struct archive_entry *entry,
                               struct ctkd__member *member, ctkd_error *err)
{
    size_t capacity = FIRST_BYTES;
    if (archive_entry_size_is_set(entry)) {
        const int64_t declared = archive_entry_size(entry);
        if (declared < 0 || (uint64_t)declared > member->limit)
            return too_long(member, (uint64_t)declared, err);
        capacity = (size_t)declared + 1; /* one more, to meet the end without growing */
    }
    for (;;) {
        if (member->size == capacity || !member->bytes) {
            if (member->bytes)
                capacity = 2 * capacity <= member->limit ? 2 * capacity : member->limit + 1;
            uint8_t *grown = realloc(member->bytes, capacity);
            if (!grown)
                return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", member->place);
            member->bytes = grown;
        }
        const la_ssize_t n =
            archive_read_data(reader, member->bytes + member->size, capacity - member->size);
        if (n == 0)
            return CTKD_OK;
        if (n < 0)
            return reader_fail(reader, member->place, PLAIN, err);
        member->size += (size_t)n;
        if (member->size > member->limit)
            return too_long(member, member->size, err);
    }
}

static struct ctkd__member *member_find(struct ctkd__member *members, size_t count,
                                        struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (!name || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(base_name(name), members[i].name) == 0)
            return &members[i];
    return NULL;
}

/* Moves to the next entry; *entry is NULL at the end. */
static ctkd_status entry_next(struct archive *reader, const char *path, enum kind kind,
                              struct archive_entry **entry, ctkd_error *err)
{
    const int result = archive_read_next_header(reader, entry);
    if (result >= ARCHIVE_WARN && result != ARCHIVE_EOF) /* a warning is about names or times */
        return CTKD_OK;
    *entry = NULL;
    return result == ARCHIVE_EOF ? CTKD_OK : reader_fail(reader, path, kind, err);
}

static ctkd_status tar_members(struct archive *reader, const char *path,
                               struct ctkd__member *members, size_t count, ctkd_error *err)
{
    struct archive_entry *entry;
    ctkd_status status;
    while ((status = entry_next(reader, path, TAR, &entry, err)) == CTKD_OK && entry) {
        struct ctkd__member *member = member_find(members, count, entry);
        if (!member)
            continue;
        if (member->bytes)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: %s occurs twice, expected once", path,
                              member->name);
        snprintf(member->place, sizeof member->place, "%.*s: %.40s", CTKD__PLACE_MAX - 50, path,
                 member->name);
        status = member_read(reader, entry, member, err);
        if (status != CTKD_OK)
            return status;
    }
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (!members[i].bytes)
            return ctkd__fail(err, CTKD_ENOTFOUND, "%s: no member %s, expected it in the archive",
                              path, members[i].name);
    return CTKD_OK;
}

static ctkd_status tar_read(const char *path, struct ctkd__member *members, size_t count,
                            ctkd_error *err)
{
    struct archive *reader;
    ctkd_status status = reader_open(path, TAR, &reader, err);
    if (status == CTKD_OK)
        status = tar_members(reader, path, members, count, err);
    archive_read_free(reader);
    return status;
}

static ctkd_status file_read(const char *path, enum kind kind, struct ctkd__member *member,
                             ctkd_error *err)
{
    snprintf(member->place, sizeof member->place, "%.*s", CTKD__PLACE_MAX - 1, path);
    struct archive *reader;
    struct archive_entry *entry;
    ctkd_status status = reader_open(path, kind, &reader, err);
    if (status == CTKD_OK)
        status = entry_next(reader, path, kind, &entry, err);
    if (status == CTKD_OK && entry) /* no entry: an empty file */
        status = member_read(reader, entry, member, err);
    archive_read_free(reader);
    return status;
}

/* Finds NAME or NAME.gz in a folder. */
static bool folder_find(const char *folder, const char *name, char path[PATH_BYTES],
                        enum kind *kind)
{
    *kind = PLAIN;
    if (join(path, folder, name, "") && is_kind(path, S_IFREG))
        return true;
    *kind = GZIPPED;
    return join(path, folder, name, ".gz") && is_kind(path, S_IFREG);
}

static ctkd_status folder_read(const char *folder, struct ctkd__member *members, size_t count,
                               ctkd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char path[PATH_BYTES];
        enum kind kind;
        if (!folder_find(folder, members[i].name, path, &kind))
            return ctkd__fail(err, CTKD_ENOTFOUND, "%s: no file %s or %s.gz, expected one", folder,
                              members[i].name, members[i].name);
        const ctkd_status status = file_read(path, kind, &members[i], err);
        if (status != CTKD_OK)
            return status;
    }
    return CTKD_OK;
}

static bool folder_holds_any(const char *folder, const struct ctkd__member *members, size_t count)
{
    char path[PATH_BYTES];
    enum kind kind;
    for (size_t i = 0; i < count; i++)
        if (folder_find(folder, members[i].name, path, &kind))
            return true;
    return false;
}

/* The first of `places` in a folder, or the folder itself when there is none. */
static void place_find(const char *folder, const char *const *places, char out[PATH_BYTES])
{
    for (; *places; places++)
        if (join(out, folder, *places, "") && (is_kind(out, S_IFREG) || is_kind(out, S_IFDIR)))
            return;
    snprintf(out, PATH_BYTES, "%s", folder);
}

ctkd_status ctkd__archive_read(const char *path, const char *const *places,
                               struct ctkd__member *members, size_t count, ctkd_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "%s: %s", path, strerror(errno));
    char found[PATH_BYTES];
    snprintf(found, sizeof found, "%s", path);
    if (S_ISDIR(info.st_mode) && !folder_holds_any(path, members, count))
        place_find(path, places, found);
    for (size_t i = 0; i < count; i++) {
        members[i].bytes = NULL;
        members[i].size = 0;
    }
    const ctkd_status status = is_kind(found, S_IFDIR) ? folder_read(found, members, count, err)
                                                       : tar_read(found, members, count, err);
    if (status != CTKD_OK)
        ctkd__members_free(members, count);
    return status;
}

void ctkd__members_free(struct ctkd__member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(members[i].bytes);
        members[i].bytes = NULL;
        members[i].size = 0;
    }
}

static size_t tar_which(const char *path, const char *const *names, size_t count)
{
    struct archive *reader;
    struct archive_entry *entry;
    size_t which = count;
    if (reader_open(path, TAR, &reader, NULL) == CTKD_OK)
        while (which == count && entry_next(reader, path, TAR, &entry, NULL) == CTKD_OK && entry)
            for (which = 0; which < count; which++) {
                struct ctkd__member member = { .name = names[which] };
                if (member_find(&member, 1, entry))
                    break;
            }
    archive_read_free(reader);
    return which;
}

static size_t folder_which(const char *folder, const char *const *names, size_t count)
{
    size_t which = 0;
    for (; which < count; which++) {
        const struct ctkd__member member = { .name = names[which] };
        if (folder_holds_any(folder, &member, 1))
            break;
    }
    return which;
}

size_t ctkd__archive_which(const char *path, const char *const *places, const char *const *names)
{
    size_t count = 0;
    while (names[count])
        count++;
    char found[PATH_BYTES];
    snprintf(found, sizeof found, "%s", path);
    if (is_kind(path, S_IFDIR) && folder_which(path, names, count) == count)
        place_find(path, places, found);
    return is_kind(found, S_IFDIR) ? folder_which(found, names, count)
                                   : tar_which(found, names, count);
}
