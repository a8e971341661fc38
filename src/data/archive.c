#include "data/archive.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "data/compressed.h"
#include "util/error.h"
#include "util/file_kind.h"
#include "util/text.h"

enum { BLOCK_BYTES = 1 << 16, FIRST_BYTES = 1 << 16, PATH_BYTES = 4096, NAME_BYTES = 256 };

/* A tar archive that is being read, or a single file (tar is NULL). */
struct archive_source {
    struct ctkd__compressed *file;
    struct archive *tar;
    ctkd_error failure; /* of the file, when the archive asked for more of it */
    uint8_t block[BLOCK_BYTES];
};

static bool is_kind(const char *path, mode_t kind)
{
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

/* False when folder/name does not fit into `out`: no existing file has such a long path. */
static bool join(char out[PATH_BYTES], const char *folder, const char *name, const char *ending)
{
    const int n = snprintf(out, PATH_BYTES, "%s/%s%s", folder, name, ending);
    return n > 0 && n < PATH_BYTES;
}

/* What libarchive reads next. */
static la_ssize_t tar_feed(struct archive *tar, void *context, const void **bytes)
{
    struct archive_source *source = context;
    size_t got;
    if (ctkd__compressed_read(source->file, source->block, BLOCK_BYTES, &got, &source->failure) !=
        CTKD_OK) {
        archive_set_error(tar, EIO, "%s", source->failure.message);
        return -1;
    }
    *bytes = source->block;
    return (la_ssize_t)got;
}

/* Reports why reading failed: the file's own error, or libarchive's reason. */
static ctkd_status tar_failure(const struct archive_source *source, const char *path,
                               ctkd_error *err)
{
    if (source->failure.status != CTKD_OK) {
        if (err)
            *err = source->failure;
        return source->failure.status;
    }
    return ctkd__fail(err, CTKD_EFORMAT,
                      "%s: found %s, expected a .tar, .tar.gz or .tar.xz archive", path,
                      archive_error_string(source->tar));
}

/* Call source_close also after a failure. */
static ctkd_status tar_open(const char *path, struct archive_source *source, ctkd_error *err)
{
    *source = (struct archive_source){ 0 };
    const ctkd_status status = ctkd__compressed_open(path, &source->file, err);
    if (status != CTKD_OK)
        return status;
    source->tar = archive_read_new();
    if (!source->tar)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    archive_read_support_format_tar(source->tar);
    if (archive_read_open(source->tar, source, NULL, tar_feed, NULL) != ARCHIVE_OK)
        return tar_failure(source, path, err);
    return CTKD_OK;
}

static void source_close(struct archive_source *source)
{
    archive_read_free(source->tar);
    ctkd__compressed_close(source->file);
}

static ctkd_status source_read(struct archive_source *source, const char *place, uint8_t *out,
                               size_t size, size_t *got, ctkd_error *err)
{
    if (!source->tar)
        return ctkd__compressed_read(source->file, out, size, got, err);
    const la_ssize_t n = archive_read_data(source->tar, out, size);
    *got = n > 0 ? (size_t)n : 0;
    return n >= 0 ? CTKD_OK : tar_failure(source, place, err);
}

static ctkd_status too_long(const struct ctkd__member *member, uint64_t found, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: found %llu bytes or more, expected at most %zu",
                      member->place, (unsigned long long)found, member->limit);
}

/* Reads a member to its end, never more than one byte beyond the limit. `declared`: its size where
   that is known, else -1. */
static ctkd_status member_read(struct archive_source *source, int64_t declared,
                               struct ctkd__member *member, ctkd_error *err)
{
    size_t capacity = FIRST_BYTES;
    if (declared >= 0) {
        if ((uint64_t)declared > member->limit)
            return too_long(member, (uint64_t)declared, err);
        capacity = (size_t)declared + 1; /* one more byte, to meet the end without growing */
    }
    for (;;) {
        size_t n;
        if (member->size == capacity || !member->bytes) {
            if (member->bytes)
                capacity = 2 * capacity <= member->limit ? 2 * capacity : member->limit + 1;
            uint8_t *grown = realloc(member->bytes, capacity);
            if (!grown)
                return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", member->place);
            member->bytes = grown;
        }
        const ctkd_status status = source_read(source, member->place, member->bytes + member->size,
                                               capacity - member->size, &n, err);
        if (status != CTKD_OK || n == 0)
            return status;
        member->size += n;
        if (member->size > member->limit)
            return too_long(member, member->size, err);
    }
}

/* Name `i` of a member, its own first; NULL behind the last. */
static const char *member_name(const struct ctkd__member *member, size_t i)
{
    return i == 0 ? member->name : member->also ? member->also[i - 1] : NULL;
}

static bool member_is(const struct ctkd__member *member, const char *name)
{
    for (size_t i = 0; member_name(member, i); i++)
        if (strcmp(name, member_name(member, i)) == 0)
            return true;
    return false;
}

static struct ctkd__member *member_find(struct ctkd__member *members, size_t count,
                                        struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (!name || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (member_is(&members[i], ctkd__base_name(name)))
            return &members[i];
    return NULL;
}

/* Moves to the next entry; *entry is NULL at the end. */
static ctkd_status entry_next(struct archive_source *source, const char *path,
                              struct archive_entry **entry, ctkd_error *err)
{
    const int result = archive_read_next_header(source->tar, entry);
    if (result >= ARCHIVE_WARN && result != ARCHIVE_EOF) /* a warning is about names or times */
        return CTKD_OK;
    *entry = NULL;
    return result == ARCHIVE_EOF ? CTKD_OK : tar_failure(source, path, err);
}

static ctkd_status entry_read(struct archive_source *source, const char *path,
                              struct archive_entry *entry, struct ctkd__member *member,
                              ctkd_error *err)
{
    if (member->bytes)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found %s twice, expected it once", path,
                          member->name);
    snprintf(member->place, sizeof member->place, "%.*s: %.40s", CTKD__PLACE_MAX - 50, path,
             member->name);
    return member_read(source, archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1,
                       member, err);
}

static ctkd_status tar_members(struct archive_source *source, const char *path,
                               struct ctkd__member *members, size_t count, ctkd_error *err)
{
    struct archive_entry *entry;
    ctkd_status status;
    while ((status = entry_next(source, path, &entry, err)) == CTKD_OK && entry) {
        struct ctkd__member *member = member_find(members, count, entry);
        if (member)
            status = entry_read(source, path, entry, member, err);
        if (status != CTKD_OK)
            return status;
    }
    if (status == CTKD_OK) /* the sums lie behind the end of the archive */
        status = ctkd__compressed_finish(source->file, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (!members[i].bytes)
            return ctkd__fail(err, CTKD_ENOTFOUND,
                              "%s: found no member %s, expected it in the archive", path,
                              members[i].name);
    return CTKD_OK;
}

static ctkd_status tar_read(const char *path, struct ctkd__member *members, size_t count,
                            ctkd_error *err)
{
    struct archive_source source;
    ctkd_status status = tar_open(path, &source, err);
    if (status == CTKD_OK)
        status = tar_members(&source, path, members, count, err);
    source_close(&source);
    return status;
}

/* Reads a single file, plain or compressed as its contents say; one whose name ends in .gz must be
   compressed. */
static ctkd_status file_read(const char *path, bool called_gz, struct ctkd__member *member,
                             ctkd_error *err)
{
    struct archive_source source = { 0 };
    snprintf(member->place, sizeof member->place, "%.*s", CTKD__PLACE_MAX - 1, path);
    ctkd_status status = ctkd__compressed_open(path, &source.file, err);
    if (status == CTKD_OK && called_gz && !ctkd__compressed_is(source.file))
        status = ctkd__fail(err, CTKD_EFORMAT,
                            "%s: found uncompressed data, expected gzip data as its name says; "
                            "remove .gz from the name to have it read as it is",
                            path);
    if (status == CTKD_OK)
        status = member_read(&source, -1, member, err);
    source_close(&source);
    return status;
}

/* Finds NAME or NAME.gz in a folder, for each name of a member. */
static bool folder_find(const char *folder, const struct ctkd__member *member,
                        char path[PATH_BYTES], bool *called_gz)
{
    for (size_t i = 0; member_name(member, i); i++) {
        *called_gz = false;
        if (join(path, folder, member_name(member, i), "") && is_kind(path, S_IFREG))
            return true;
        *called_gz = true;
        if (join(path, folder, member_name(member, i), ".gz") && is_kind(path, S_IFREG))
            return true;
    }
    return false;
}

/* --- a file whose name is nearly right */

/* The name without .gz and similar endings; *packed: whether another program must unpack the
   file. */
static void bare_name(const char *name, char out[NAME_BYTES], bool *packed)
{
    static const char *const endings[] = { ".zip", ".bz2", ".xz", ".zst", ".7z", ".Z", ".gz" };
    snprintf(out, NAME_BYTES, "%s", name);
    *packed = false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t length = strlen(out), ending = strlen(endings[i]);
        if (length <= ending || strcmp(out + length - ending, endings[i]) != 0)
            continue;
        out[length - ending] = '\0';
        *packed = strcmp(endings[i], ".gz") != 0;
        return;
    }
}

/* The smallest edit distance between a name and those of a member; SIZE_MAX: the name means another
   file. */
static size_t name_distance(const struct ctkd__member *member, const char *name)
{
    const size_t telling = 12; /* a shorter match inside a longer name may be chance */
    size_t least = SIZE_MAX;
    for (size_t i = 0; member_name(member, i); i++) {
        const char *const wanted = member_name(member, i);
        const size_t distance = ctkd__edit_distance(name, wanted);
        if (ctkd__is_near(wanted, distance) && distance < least)
            least = distance;
        if (strlen(wanted) >= telling && strstr(name, wanted) && least == SIZE_MAX)
            least = SIZE_MAX - 1;
    }
    return least;
}

/* Writes the end of a message, naming the file that was probably meant as this member; "" if there
   is none. */
static void folder_nearly(const char *folder, const struct ctkd__member *members, size_t count,
                          size_t wanted, char out[NAME_BYTES + 64])
{
    size_t least = SIZE_MAX;
    DIR *const listing = opendir(folder);
    out[0] = '\0';
    for (const struct dirent *at; listing && (at = readdir(listing)) != NULL;) {
        char name[NAME_BYTES];
        bool packed, other = false;
        bare_name(at->d_name, name, &packed);
        for (size_t i = 0; i < count; i++)
            other = other || (i != wanted && member_is(&members[i], name));
        const size_t distance = other ? SIZE_MAX : name_distance(&members[wanted], name);
        if (distance >= least)
            continue;
        least = distance;
        snprintf(out, NAME_BYTES + 64, "; did you mean %s? %s it.", at->d_name,
                 packed ? "Unpack" : "Rename");
    }
    if (listing)
        closedir(listing);
}

static ctkd_status folder_read(const char *folder, struct ctkd__member *members, size_t count,
                               ctkd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char path[PATH_BYTES], nearly[NAME_BYTES + 64];
        bool called_gz;
        if (!folder_find(folder, &members[i], path, &called_gz)) {
            folder_nearly(folder, members, count, i, nearly);
            return ctkd__fail(err, CTKD_ENOTFOUND,
                              "%s: found neither %s nor %s.gz, expected one of them%s", folder,
                              members[i].name, members[i].name, nearly);
        }
        const ctkd_status status = file_read(path, called_gz, &members[i], err);
        if (status != CTKD_OK)
            return status;
    }
    return CTKD_OK;
}

static bool folder_holds_any(const char *folder, const struct ctkd__member *members, size_t count)
{
    char path[PATH_BYTES];
    bool called_gz;
    for (size_t i = 0; i < count; i++)
        if (folder_find(folder, &members[i], path, &called_gz))
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

/* Names a regular file that its first bytes show to be something else, before libarchive only says
   "unrecognised". An old tar archive has no such first bytes. */
static ctkd_status check_kind(const char *path, ctkd_error *err)
{
    unsigned char first[CTKD__FILE_KIND_BYTES];
    size_t n;
    ctkd_status status = ctkd__file_first_bytes(path, first, &n, err);
    const bool may_be =
        status == CTKD_OK &&
        (memcmp(first, "\x1f\x8b", 2) == 0 || memcmp(first, "\xfd\x37zXZ", 5) == 0 ||
         memcmp(first + 257, "ustar", 5) == 0 || !ctkd__file_kind(first, n));
    return status != CTKD_OK || may_be
               ? status
               : ctkd__file_kind_fail(path, first, n, "a .tar, .tar.gz or .tar.xz archive", err);
}

/* Refuses a file that stands in the place of a data file without being one. */
static ctkd_status check_member(const struct ctkd__member *member, ctkd_error *err)
{
    const char *const kind = ctkd__file_stand_in(member->bytes, member->size);
    return kind ? ctkd__fail(err, CTKD_EFORMAT, "%s: found %s, expected the data file %s",
                             member->place, kind, member->name)
                : CTKD_OK;
}

ctkd_status ctkd__archive_read(const char *path, const char *const *places,
                               struct ctkd__member *members, size_t count, ctkd_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "%s: %s", path, strerror(errno));
    ctkd_status status = ctkd__file_check_regular(path, err);
    if (status != CTKD_OK)
        return status;
    char found[PATH_BYTES];
    snprintf(found, sizeof found, "%s", path);
    if (S_ISDIR(info.st_mode) && !folder_holds_any(path, members, count))
        place_find(path, places, found);
    for (size_t i = 0; i < count; i++) {
        members[i].bytes = NULL;
        members[i].size = 0;
    }
    if (is_kind(found, S_IFDIR)) {
        status = folder_read(found, members, count, err);
    } else {
        status = check_kind(found, err);
        if (status == CTKD_OK)
            status = tar_read(found, members, count, err);
    }
    for (size_t i = 0; i < count && status == CTKD_OK; i++)
        status = check_member(&members[i], err);
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
    struct archive_source source;
    struct archive_entry *entry;
    size_t which = count;
    if (ctkd__file_check_regular(path, NULL) != CTKD_OK) /* a pipe's bytes would be gone */
        return count;
    if (tar_open(path, &source, NULL) == CTKD_OK)
        while (which == count && entry_next(&source, path, &entry, NULL) == CTKD_OK && entry)
            for (which = 0; which < count; which++) {
                struct ctkd__member member = { .name = names[which] };
                if (member_find(&member, 1, entry))
                    break;
            }
    source_close(&source);
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
