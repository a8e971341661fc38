/* Files of a .zip where they lie: its central directory at the end, a local header before each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/folder/tree_build.h"
#include "util/error.h"

enum {
    END_BYTES = 22, /* end of central directory */
    COMMENT_MAX = 65535,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    DEFLATE_MOST = 1032, /* the most bytes that one deflated byte expands to */
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30
};
static const uint64_t directory_max = (uint64_t)1 << 31;

static uint32_t u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const uint8_t *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

static ctkd_status damaged(const struct ctkd__tree_archive *archive, const char *what,
                           ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: damaged .zip: %s", archive->path, what);
}

struct directory {
    uint64_t offset, bytes, entries;
};

/* Reads the record of large archives; a locator before the end record says where it is. */
static ctkd_status read_end64(const struct ctkd__tree_archive *archive, uint64_t end_at,
                              struct directory *out, ctkd_error *err)
{
    uint8_t locator[LOCATOR_BYTES], end[END64_BYTES];
    if (end_at < LOCATOR_BYTES)
        return CTKD_OK;
    ctkd_status status =
        ctkd__tree_archive_read(archive, end_at - LOCATOR_BYTES, locator, LOCATOR_BYTES, err);
    if (status != CTKD_OK || u32(locator) != 0x07064b50)
        return status;
    status = ctkd__tree_archive_read(archive, u64(locator + 8), end, END64_BYTES, err);
    if (status != CTKD_OK)
        return status;
    if (u32(end) != 0x06064b50)
        return damaged(archive, "no directory record where its end says", err);
    *out = (struct directory){ u64(end + 48), u64(end + 40), u64(end + 32) };
    return CTKD_OK;
}

static ctkd_status find_directory(const struct ctkd__tree_archive *archive, struct directory *out,
                                  ctkd_error *err)
{
    const uint64_t most = END_BYTES + COMMENT_MAX;
    const size_t size = (size_t)(archive->bytes < most ? archive->bytes : most);
    uint8_t *const tail = malloc(size + 1);
    if (!tail)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", archive->path);
    ctkd_status status = ctkd__tree_archive_read(archive, archive->bytes - size, tail, size, err);
    size_t at = size >= END_BYTES ? size - END_BYTES + 1 : 0;
    while (status == CTKD_OK && at > 0) {
        at--;
        if (u32(tail + at) == 0x06054b50 && u16(tail + at + 20) <= size - at - END_BYTES)
            break;
    }
    if (status == CTKD_OK && (size < END_BYTES || u32(tail + at) != 0x06054b50))
        status = damaged(archive, "no directory at its end (it may be cut off)", err);
    if (status == CTKD_OK) {
        *out = (struct directory){ u32(tail + at + 16), u32(tail + at + 12), u16(tail + at + 10) };
        status = read_end64(archive, archive->bytes - size + at, out, err);
    }
    free(tail);
    if (status == CTKD_OK && (out->bytes > archive->bytes || out->bytes > directory_max ||
                              out->offset > archive->bytes - out->bytes))
        status = damaged(archive, "its directory does not lie inside it", err);
    return status;
}

/* Sizes and place of large files come in an extra field of kind 1, those that are all ones above.
 */
static bool read_extra64(const uint8_t *extra, size_t n, uint64_t *size, uint64_t *packed,
                         uint64_t *offset)
{
    uint64_t *const values[] = { size, packed, offset };
    while (n >= 4) {
        const size_t bytes = u16(extra + 2);
        if (bytes > n - 4)
            return false;
        size_t at = 0;
        for (size_t i = 0; u16(extra) == 1 && i < 3; i++) {
            if (*values[i] != UINT32_MAX)
                continue;
            if (bytes - at < 8)
                return false;
            *values[i] = u64(extra + 4 + at);
            at += 8;
        }
        extra += 4 + bytes;
        n -= 4 + bytes;
    }
    return true;
}

static ctkd_status add_entry(struct ctkd__tree *tree, const char *folder, const uint8_t *entry,
                             size_t name_bytes, size_t extra_bytes, ctkd_error *err)
{
    enum { ENCRYPTED = 1, DEFLATED = 8, UNIX = 3, LINK = 0120000, KIND = 0170000 };
    const struct ctkd__tree_archive *const archive = &tree->archives[tree->n_archives - 1];
    char *const name = (char *)(uintptr_t)(entry + ENTRY_BYTES);
    uint64_t packed = u32(entry + 20), size = u32(entry + 24), offset = u32(entry + 42);
    const uint32_t method = u16(entry + 10);
    if (!read_extra64(entry + ENTRY_BYTES + name_bytes, extra_bytes, &size, &packed, &offset))
        return damaged(archive, "an extra field that is cut off", err);
    const bool folder_entry =
        name_bytes && (name[name_bytes - 1] == '/' || name[name_bytes - 1] == '\\');
    const bool link = entry[5] == UNIX && (u32(entry + 38) >> 16 & KIND) == LINK;
    const bool readable = !(u16(entry + 8) & ENCRYPTED) && (method == 0 || method == DEFLATED) &&
                          !link && size < UINT32_MAX && packed < UINT32_MAX &&
                          (method || size == packed);
    const struct ctkd__tree_file file = { .offset = offset,
                                          .size = (uint32_t)(size < UINT32_MAX ? size : UINT32_MAX),
                                          .packed =
                                              (uint32_t)(packed < UINT32_MAX ? packed : UINT32_MAX),
                                          .crc32 = u32(entry + 16),
                                          .storage = readable ? CTKD__STORED_ZIP : CTKD__STORED_NOT,
                                          .archive = (uint8_t)(tree->n_archives - 1),
                                          .deflated = method == DEFLATED };
    return ctkd__tree_add_member(tree, folder, name, name_bytes, folder_entry ? NULL : &file, err);
}

ctkd_status ctkd__tree_scan_zip(struct ctkd__tree *tree, const char *folder, ctkd_error *err)
{
    const struct ctkd__tree_archive *const archive = &tree->archives[tree->n_archives - 1];
    struct directory directory = { 0 };
    ctkd_status status = find_directory(archive, &directory, err);
    if (status != CTKD_OK)
        return status;
    const size_t bytes = (size_t)directory.bytes;
    uint8_t *const entries = malloc(bytes + 1);
    if (!entries)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for a directory of %zu bytes",
                          archive->path, bytes);
    status = ctkd__tree_archive_read(archive, directory.offset, entries, bytes, err);
    size_t at = 0;
    for (uint64_t i = 0; i < directory.entries && status == CTKD_OK; i++) {
        const uint8_t *const entry = entries + at;
        if (bytes - at < ENTRY_BYTES || u32(entry) != 0x02014b50) {
            status = damaged(archive, "an invalid entry in its directory", err);
            break;
        }
        const size_t name = u16(entry + 28), extra = u16(entry + 30), comment = u16(entry + 32);
        if (name + extra + comment > bytes - at - ENTRY_BYTES)
            status = damaged(archive, "an entry of its directory that is cut off", err);
        else
            status = add_entry(tree, folder, entry, name, extra, err);
        at += ENTRY_BYTES + name + extra + comment;
    }
    free(entries);
    return status;
}

/* --- reading */

static ctkd_status damaged_file(const struct ctkd__tree *tree, size_t i, const char *what,
                                ctkd_error *err)
{
    char place[CTKD__TREE_PLACE_MAX];
    ctkd__tree_place(tree, i, place, sizeof place);
    return ctkd__fail(err, CTKD_EFORMAT, "%s: damaged .zip: %s", place, what);
}

static bool inflate_all(const uint8_t *packed, size_t n, uint8_t *out, size_t size)
{
    z_stream stream = { .next_in = (uint8_t *)(uintptr_t)packed,
                        .avail_in = (uInt)n,
                        .next_out = out,
                        .avail_out = (uInt)size };
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return false;
    const int result = inflate(&stream, Z_FINISH);
    const bool complete = result == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    return complete;
}

ctkd_status ctkd__tree_read_zip(const struct ctkd__tree *tree, size_t i,
                                struct ctkd__tree_bytes *out, ctkd_error *err)
{
    const struct ctkd__tree_file *const file = &tree->files[i];
    const struct ctkd__tree_archive *const archive = &tree->archives[file->archive];
    uint8_t local[LOCAL_BYTES], *packed = NULL;
    ctkd_status status = ctkd__tree_archive_read(archive, file->offset, local, LOCAL_BYTES, err);
    if (status == CTKD_OK && u32(local) != 0x04034b50)
        status = damaged_file(tree, i, "no header before the file", err);
    if (status != CTKD_OK)
        return status;
    const uint64_t data = file->offset + LOCAL_BYTES + u16(local + 26) + u16(local + 28);
    /* Checked before memory is allocated for the sizes in the directory: deflate shrinks data to
       about a thousandth at most. */
    if (data > archive->bytes || file->packed > archive->bytes - data ||
        file->size / DEFLATE_MOST > file->packed)
        return damaged_file(tree, i, "its sizes do not fit the archive", err);
    out->bytes = malloc((size_t)file->size + 1);
    if (file->deflated)
        packed = malloc((size_t)file->packed + 1);
    if (!out->bytes || (file->deflated && !packed))
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", archive->path);
    if (status == CTKD_OK)
        status =
            ctkd__tree_archive_read(archive, data, packed ? packed : out->bytes, file->packed, err);
    if (status == CTKD_OK && packed && !inflate_all(packed, file->packed, out->bytes, file->size))
        status = damaged_file(tree, i, "it cannot be decompressed", err);
    free(packed);
    if (status == CTKD_OK && crc32(0, out->bytes, file->size) != file->crc32)
        status = damaged_file(tree, i, "its checksum does not match", err);
    out->size = file->size;
    return status;
}
