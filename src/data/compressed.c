#include "data/compressed.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include "util/error.h"

enum { BLOCK_BYTES = 1 << 18 };
enum form { PLAIN, GZIP, XZ };

struct ctkd__compressed {
    const char *path;
    FILE *stream;
    enum form form;
    ctkd_error failure; /* sticky: a status other than CTKD_OK ends all reading */
    bool ended;
    z_stream gzip;      /* its input is in `block` */
    bool between;       /* gzip: a member has ended, another may begin */
    struct archive *xz; /* raw: liblzma compares the sums */
    uint8_t block[BLOCK_BYTES];
    size_t at, filled; /* of block, for PLAIN and until the form is known */
};

/* Fills the block once it was used up; 0 bytes at the end. */
static ctkd_status refill(struct ctkd__compressed *file, ctkd_error *err)
{
    if (file->at < file->filled)
        return CTKD_OK;
    file->at = 0;
    file->filled = fread(file->block, 1, sizeof file->block, file->stream);
    if (file->filled == 0 && ferror(file->stream))
        return ctkd__fail(err, CTKD_EIO, "%s: %s", file->path, strerror(errno));
    return CTKD_OK;
}

static ctkd_status damaged(struct ctkd__compressed *file, const char *why, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: the file is damaged: %s", file->path, why);
}

/* --- gzip: members one behind the other (RFC 1952), then nothing or zeros */

/* The reason of an inflate that failed, in the words of gzip's own format. */
static ctkd_status gzip_failure(struct ctkd__compressed *file, int result, ctkd_error *err)
{
    if (result == Z_MEM_ERROR)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->path);
    const char *const why = file->gzip.msg ? file->gzip.msg : "invalid gzip data";
    if (strcmp(why, "incorrect data check") == 0)
        return damaged(file, "its contents do not match gzip's checksum (CRC-32)", err);
    if (strcmp(why, "incorrect length check") == 0)
        return damaged(file, "its contents do not have the length that gzip's trailer states", err);
    return damaged(file, why, err);
}

/* Called between two members: skips zeros (padding) and looks whether another one begins. */
static ctkd_status gzip_next(struct ctkd__compressed *file, ctkd_error *err)
{
    ctkd_status status;
    bool padded = false;
    while ((status = refill(file, err)) == CTKD_OK && file->filled > 0 &&
           file->block[file->at] == 0) {
        file->at++;
        padded = true;
    }
    if (status != CTKD_OK)
        return status;
    if (file->filled == 0) {
        file->ended = true;
        return CTKD_OK;
    }
    if (padded || file->block[file->at] != 0x1f)
        return damaged(file, "more bytes follow the end of its gzip data", err);
    file->between = false;
    const int result = inflateReset(&file->gzip);
    return result == Z_OK ? CTKD_OK : gzip_failure(file, result, err);
}

static ctkd_status gzip_read(struct ctkd__compressed *file, uint8_t *out, size_t size, size_t *got,
                             ctkd_error *err)
{
    while (*got < size && !file->ended) {
        ctkd_status status = file->between ? gzip_next(file, err) : refill(file, err);
        if (status != CTKD_OK)
            return status;
        if (file->ended)
            break;
        if (file->filled == 0)
            return damaged(file, "it ends inside its gzip data", err);
        const size_t room = size - *got < UINT_MAX ? size - *got : UINT_MAX;
        file->gzip.next_in = file->block + file->at;
        file->gzip.avail_in = (uInt)(file->filled - file->at);
        file->gzip.next_out = out + *got;
        file->gzip.avail_out = (uInt)room;
        const int result = inflate(&file->gzip, Z_NO_FLUSH);
        file->at = file->filled - file->gzip.avail_in;
        *got += room - file->gzip.avail_out;
        if (result != Z_OK && result != Z_STREAM_END)
            return gzip_failure(file, result, err);
        file->between = result == Z_STREAM_END;
    }
    return CTKD_OK;
}

/* --- xz */

static ctkd_status xz_failure(struct ctkd__compressed *file, ctkd_error *err)
{
    const char *const why = archive_error_string(file->xz);
    const int code = archive_errno(file->xz);
    if (code == ENOMEM)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->path);
    if (code == EIO)
        return ctkd__fail(err, CTKD_EIO, "%s: %s", file->path, why);
    return damaged(file, why ? why : "invalid xz data", err);
}

/* What libarchive reads next: the block, which stays as it is until it asks again. */
static la_ssize_t xz_feed(struct archive *reader, void *context, const void **bytes)
{
    struct ctkd__compressed *file = context;
    if (refill(file, NULL) != CTKD_OK) {
        archive_set_error(reader, EIO, "%s", strerror(errno));
        return -1;
    }
    const size_t n = file->filled - file->at;
    *bytes = file->block + file->at;
    file->at = file->filled;
    return (la_ssize_t)n;
}

static ctkd_status xz_open(struct ctkd__compressed *file, ctkd_error *err)
{
    struct archive_entry *entry;
    file->xz = archive_read_new();
    if (!file->xz)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->path);
    archive_read_support_filter_xz(file->xz);
    archive_read_support_format_raw(file->xz);
    archive_read_support_format_empty(file->xz); /* raw refuses a file that unpacks to nothing */
    if (archive_read_open(file->xz, file, NULL, xz_feed, NULL) != ARCHIVE_OK)
        return xz_failure(file, err);
    const int result = archive_read_next_header(file->xz, &entry);
    file->ended = result == ARCHIVE_EOF;
    return result == ARCHIVE_OK || result == ARCHIVE_EOF ? CTKD_OK : xz_failure(file, err);
}

static ctkd_status xz_read(struct ctkd__compressed *file, uint8_t *out, size_t size, size_t *got,
                           ctkd_error *err)
{
    while (*got < size && !file->ended) {
        const la_ssize_t n = archive_read_data(file->xz, out + *got, size - *got);
        if (n < 0)
            return xz_failure(file, err);
        file->ended = n == 0;
        *got += (size_t)n;
    }
    return CTKD_OK;
}

/* --- all */

static ctkd_status plain_read(struct ctkd__compressed *file, uint8_t *out, size_t size, size_t *got,
                              ctkd_error *err)
{
    while (*got < size && !file->ended) {
        const ctkd_status status = refill(file, err);
        if (status != CTKD_OK)
            return status;
        const size_t there = file->filled - file->at, wanted = size - *got;
        const size_t n = there < wanted ? there : wanted;
        memcpy(out + *got, file->block + file->at, n);
        file->at += n;
        *got += n;
        file->ended = n == 0;
    }
    return CTKD_OK;
}

static ctkd_status form_find(struct ctkd__compressed *file, ctkd_error *err)
{
    static const uint8_t xz_magic[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
    const ctkd_status status = refill(file, err);
    if (status != CTKD_OK)
        return status;
    if (file->filled >= sizeof xz_magic && memcmp(file->block, xz_magic, sizeof xz_magic) == 0) {
        file->form = XZ;
        return xz_open(file, err);
    }
    if (file->filled < 2 || file->block[0] != 0x1f || file->block[1] != 0x8b)
        return CTKD_OK;
    const int window_of_gzip = 16 + MAX_WBITS; /* tells zlib: gzip only, and compare the sums */
    const int result = inflateInit2(&file->gzip, window_of_gzip);
    if (result != Z_OK)
        return gzip_failure(file, result, err);
    file->form = GZIP;
    return CTKD_OK;
}

ctkd_status ctkd__compressed_open(const char *path, struct ctkd__compressed **out, ctkd_error *err)
{
    *out = NULL;
    struct ctkd__compressed *file = calloc(1, sizeof *file);
    if (!file)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    file->path = path;
    file->stream = fopen(path, "rbe");
    ctkd_status status = CTKD_OK;
    if (!file->stream)
        status = ctkd__fail(err, CTKD_EIO, "%s: %s", path, strerror(errno));
    if (status == CTKD_OK)
        status = form_find(file, err);
    if (status == CTKD_OK)
        *out = file;
    else
        ctkd__compressed_close(file);
    return status;
}

void ctkd__compressed_close(struct ctkd__compressed *file)
{
    if (!file)
        return;
    if (file->form == GZIP)
        inflateEnd(&file->gzip);
    archive_read_free(file->xz);
    if (file->stream)
        fclose(file->stream);
    free(file);
}

bool ctkd__compressed_is(const struct ctkd__compressed *file)
{
    return file->form != PLAIN;
}

ctkd_status ctkd__compressed_read(struct ctkd__compressed *file, void *out, size_t size,
                                  size_t *got, ctkd_error *err)
{
    *got = 0;
    if (file->failure.status == CTKD_OK) {
        ctkd_status (*const reads[])(struct ctkd__compressed *, uint8_t *, size_t, size_t *,
                                     ctkd_error *) = { plain_read, gzip_read, xz_read };
        const ctkd_status status = reads[file->form](file, out, size, got, &file->failure);
        if (status == CTKD_OK)
            return CTKD_OK;
    }
    if (err)
        *err = file->failure;
    return file->failure.status;
}

ctkd_status ctkd__compressed_finish(struct ctkd__compressed *file, ctkd_error *err)
{
    uint8_t rest[4096];
    size_t got;
    ctkd_status status;
    do
        status = ctkd__compressed_read(file, rest, sizeof rest, &got, err);
    while (status == CTKD_OK && got == sizeof rest);
    return status;
}
