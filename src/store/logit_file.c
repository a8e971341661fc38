#include "store/logit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#include "util/error.h"
#include "util/file.h"
#include "util/sha256.h"

/* Numbers are written as they are in memory: this program runs only on little-endian machines with
   IEEE float32. */
static const char first_line[] = "ctkd teacher logits 1\n";
static const char sum_key[] = "\nsum ";

enum {
    PATH_BYTES = 1024,
    SUM_DIGITS = 16,
    PUTS_PER_LOOK = 256,   /* rows between checks of the free space on the disk */
    INDEX_WORDS = 1 << 16, /* words of the index read at once */
    ROWS_ALIGNMENT = 4096, /* of the first row, in bytes */
    ATTEMPTS = 8           /* to create and open a file that others may remove meanwhile */
};
static const uint32_t present_bit = UINT32_C(1) << 31;

struct ctkd__logit_file {
    char path[PATH_BYTES];
    int descriptor; /* holds a shared lock, which marks the file as in use */
    int unwritable; /* errno of why it is open for reading alone; 0: it can be written */
    struct ctkd__logit_shape shape;
    uint64_t rows, rows_at;
    size_t row_bytes;
    uint64_t puts;
    char header[CTKD__LOGIT_HEADER + 1];
};

/* --- layout of the file */

static bool lay_out(const struct ctkd__logit_shape *shape, uint64_t *rows, uint64_t *rows_at,
                    uint64_t *end)
{
    uint64_t index, bytes;
    const uint64_t values = shape->classes + shape->sealed;
    if (shape->samples == 0 || shape->views == 0 || shape->classes == 0 ||
        __builtin_mul_overflow(shape->samples, shape->views, rows) ||
        __builtin_mul_overflow(*rows, sizeof(uint32_t), &index) ||
        __builtin_mul_overflow(*rows, values, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes) || bytes > INT64_MAX / 2 ||
        index > INT64_MAX / 4 || shape->classes > INT32_MAX)
        return false;
    *rows_at = (CTKD__LOGIT_HEADER + index + ROWS_ALIGNMENT - 1) / ROWS_ALIGNMENT * ROWS_ALIGNMENT;
    *end = *rows_at + bytes;
    return true;
}

uint64_t ctkd__logit_file_bytes_max(const struct ctkd__logit_shape *shape)
{
    uint64_t rows, rows_at, end;
    return lay_out(shape, &rows, &rows_at, &end) ? end : 0;
}

static off_t index_at(uint64_t row)
{
    return (off_t)(CTKD__LOGIT_HEADER + row * sizeof(uint32_t));
}

static off_t row_at(const struct ctkd__logit_file *file, uint64_t row)
{
    return (off_t)(file->rows_at + row * file->row_bytes);
}

/* --- bytes */

static bool read_all(int descriptor, void *out, size_t bytes, off_t at)
{
    char *to = out;
    while (bytes > 0) {
        const ssize_t n = pread(descriptor, to, bytes, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool write_all(int descriptor, const void *data, size_t bytes, off_t at)
{
    const char *from = data;
    while (bytes > 0) {
        const ssize_t n = pwrite(descriptor, from, bytes, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        from += n;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* The checksum includes the row's number, so that a row written to a wrong place is detected. */
static uint32_t word_of(const struct ctkd__logit_file *file, uint64_t row, const float *logits)
{
    uLong sum = crc32(0, (const Bytef *)&row, sizeof row);
    sum = crc32(sum, (const Bytef *)logits, (uInt)file->row_bytes);
    return present_bit | (uint32_t)sum;
}

/* --- locks */

/* An open file description lock belongs to the opened file: it ends when the file is closed, and
   two openings by the same process exclude each other. */
static int lock_range(int descriptor, short type, off_t start, off_t bytes)
{
    struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = bytes };
    return fcntl(descriptor, F_OFD_SETLK, &range);
}

/* --- the header */

/* The checksum of the header's text before the line "sum". */
static void sum_of(const char *text, size_t bytes, char out[SUM_DIGITS + 1])
{
    char digits[CTKD__SHA256_DIGITS + 1];
    ctkd__sha256_bytes(text, bytes, digits);
    snprintf(out, SUM_DIGITS + 1, "%.*s", SUM_DIGITS, digits);
}

/* Composes the header of a new file, filled up with zeros. False: it is too long, or `identity`
   does not end with a line end. */
static bool compose(const char *identity, const struct ctkd__logit_shape *shape,
                    char header[CTKD__LOGIT_HEADER + 1])
{
    char sum[SUM_DIGITS + 1];
    memset(header, 0, CTKD__LOGIT_HEADER + 1);
    const int n = snprintf(header, CTKD__LOGIT_HEADER - 64,
                           "%ssamples %" PRIu64 "\nviews %" PRIu64 "\nclasses %" PRIu64 "\n%s%s",
                           first_line, shape->samples, shape->views, shape->classes,
                           shape->sealed ? "sealed 1\n" : "", identity);
    if (n < 0 || n >= CTKD__LOGIT_HEADER - 64 || header[n - 1] != '\n')
        return false;
    sum_of(header, (size_t)n, sum);
    snprintf(header + n, 64, "%s%s\n", sum_key + 1, sum);
    return true;
}

static bool sum_is_right(const char *header)
{
    char sum[SUM_DIGITS + 1];
    const char *const at = strstr(header, sum_key);
    if (!at || strchr(at + 1, '\n') != at + sizeof sum_key - 1 + SUM_DIGITS)
        return false;
    sum_of(header, (size_t)(at + 1 - header), sum);
    return strncmp(at + sizeof sum_key - 1, sum, SUM_DIGITS) == 0;
}

/* The value of a line "key value" and its length; NULL without it. */
static const char *find_line(const char *header, const char *key, size_t *length)
{
    const size_t n = strlen(key);
    const char *at = header;
    while (*at && (strncmp(at, key, n) != 0 || at[n] != ' ')) {
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    *length = *at ? strcspn(at + n + 1, "\n") : 0;
    return *at ? at + n + 1 : NULL;
}

static bool find_number(const char *header, const char *key, uint64_t *out)
{
    size_t length;
    char *end;
    const char *const text = find_line(header, key, &length);
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end == text + length;
}

static ctkd_status read_header(struct ctkd__logit_file *file, ctkd_error *err)
{
    struct stat info;
    uint64_t end = 0, sealed = 0;
    if (fstat(file->descriptor, &info) != 0 ||
        !read_all(file->descriptor, file->header, CTKD__LOGIT_HEADER, 0) ||
        strncmp(file->header, first_line, sizeof first_line - 1) != 0)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found no store of logits, expected one that "
                          "begins with '%.*s'",
                          file->path, (int)sizeof first_line - 2, first_line);
    if (!sum_is_right(file->header))
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: the header is damaged: its checksum does not match; remove the file",
                          file->path);
    file->shape.sealed = find_number(file->header, "sealed", &sealed) && sealed == 1;
    if (!find_number(file->header, "samples", &file->shape.samples) ||
        !find_number(file->header, "views", &file->shape.views) ||
        !find_number(file->header, "classes", &file->shape.classes) ||
        !lay_out(&file->shape, &file->rows, &file->rows_at, &end))
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found no numbers of samples, views and classes in the header",
                          file->path);
    if ((uint64_t)info.st_size != end)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: found %jd bytes, expected %" PRIu64 "; remove the file", file->path,
                          (intmax_t)info.st_size, end);
    file->row_bytes = (size_t)(file->shape.classes + file->shape.sealed) * sizeof(float);
    return CTKD_OK;
}

const char *ctkd__logit_file_line(const struct ctkd__logit_file *file, const char *key, char *out,
                                  size_t bytes)
{
    size_t length = 0;
    const char *const text = find_line(file->header, key, &length);
    snprintf(out, bytes, "%.*s", (int)length, text ? text : "");
    return out;
}

struct ctkd__logit_shape ctkd__logit_file_shape(const struct ctkd__logit_file *file)
{
    return file->shape;
}

/* --- opening */

/* Opens and locks the file. CTKD_ENOTFOUND: it does not exist, or was removed (prune) before the
   lock was taken, so that rows written to it would be lost. */
static ctkd_status open_locked(struct ctkd__logit_file *file, ctkd_error *err)
{
    const char *const path = file->path;
    struct stat info;
    file->descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (file->descriptor < 0 && (errno == EACCES || errno == EROFS)) {
        file->unwritable = errno;
        file->descriptor = open(path, O_RDONLY | O_CLOEXEC); /* rows can be read at least */
    }
    if (file->descriptor < 0)
        return ctkd__fail(err, errno == ENOENT ? CTKD_ENOTFOUND : CTKD_EIO, "%s: cannot open: %s",
                          path, strerror(errno));
    if (flock(file->descriptor, LOCK_SH) != 0)
        return ctkd__fail(err, CTKD_EIO, "%s: cannot lock: %s", path, strerror(errno));
    if (fstat(file->descriptor, &info) == 0 && info.st_nlink == 0)
        return ctkd__fail(err, CTKD_ENOTFOUND, "%s: cannot open: it was removed meanwhile", path);
    return CTKD_OK;
}

ctkd_status ctkd__logit_file_open(const char *path, struct ctkd__logit_file **out, ctkd_error *err)
{
    *out = NULL;
    if (strlen(path) >= PATH_BYTES)
        return ctkd__fail(err, CTKD_ERANGE, "%s: the name is too long", path);
    struct ctkd__logit_file *const file = calloc(1, sizeof *file);
    if (!file)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path);
    strcpy(file->path, path);
    ctkd_status status = open_locked(file, err);
    if (status == CTKD_OK)
        status = read_header(file, err);
    if (status == CTKD_OK) {
        (void)lock_range(file->descriptor, F_RDLCK, 0, 1); /* shows _shared that we use it */
        /* Rows are read in random order, so read-ahead would be wasted. */
        (void)posix_fadvise(file->descriptor, 0, 0, POSIX_FADV_RANDOM);
        *out = file;
    } else
        ctkd__logit_file_close(file);
    return status;
}

bool ctkd__logit_file_is_one(const char *path)
{
    char found[sizeof first_line - 1];
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const bool is = descriptor >= 0 && read_all(descriptor, found, sizeof found, 0) &&
                    memcmp(found, first_line, sizeof found) == 0;
    if (descriptor >= 0)
        close(descriptor);
    return is;
}

void ctkd__logit_file_close(struct ctkd__logit_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0)
        close(file->descriptor); /* unlocks */
    free(file);
}

static uint64_t disk_left(int descriptor)
{
    struct statvfs disk;
    return fstatvfs(descriptor, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : UINT64_MAX;
}

/* Writes a new sparse file: the header, and holes for everything else. */
static ctkd_status write_new(int descriptor, const char *path, const char *header, uint64_t end,
                             ctkd_error *err)
{
    const uint64_t left = disk_left(descriptor);
    if (left < CTKD__LOGIT_DISK_RESERVE)
        return ctkd__fail(err, CTKD_EIO,
                          "%s: the disk has %" PRIu64 " MB left, a store leaves the last %d MB to "
                          "others",
                          path, left >> 20, CTKD__LOGIT_DISK_RESERVE >> 20);
    if (ftruncate(descriptor, (off_t)end) != 0 ||
        !write_all(descriptor, header, CTKD__LOGIT_HEADER, 0) || fsync(descriptor) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", path, strerror(errno));
    return CTKD_OK;
}

/* Writes the file under a temporary name first, so that a file of the final name always has its
   header. If another process has created it meanwhile, that file is used. */
static ctkd_status make_file(const char *path, const char *header, uint64_t end, ctkd_error *err)
{
    char temporary[PATH_BYTES + 32];
    const int descriptor = ctkd__temporary_open(path, temporary, sizeof temporary);
    if (descriptor < 0)
        return ctkd__fail(err, CTKD_EIO, "cannot create %s: %s", path, strerror(errno));
    (void)flock(descriptor, LOCK_SH); /* in use, so that prune does not take it for a leftover */
    ctkd_status status = write_new(descriptor, path, header, end, err);
    if (status == CTKD_OK && link(temporary, path) != 0 && errno != EEXIST)
        status = ctkd__fail(err, CTKD_EIO, "cannot create %s: %s", path, strerror(errno));
    close(descriptor);
    unlink(temporary);
    return status;
}

/* CTKD_EFORMAT if the header differs from `expected`; the message shows the first such line. */
static ctkd_status check_identity(const struct ctkd__logit_file *file, const char *expected,
                                  ctkd_error *err)
{
    const char *a = file->header, *b = expected;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (!*a && !*b)
        return CTKD_OK;
    while (a > file->header && a[-1] != '\n') {
        a--;
        b--;
    }
    return ctkd__fail(err, CTKD_EFORMAT, "%s: found '%.*s' in the header, expected '%.*s'",
                      file->path, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}

ctkd_status ctkd__logit_file_create(const char *path, const char *identity,
                                    const struct ctkd__logit_shape *shape,
                                    struct ctkd__logit_file **out, ctkd_error *err)
{
    char header[CTKD__LOGIT_HEADER + 1];
    uint64_t rows, rows_at, end;
    *out = NULL;
    if (strlen(path) >= PATH_BYTES)
        return ctkd__fail(err, CTKD_ERANGE, "%s: the name is too long", path);
    if (!lay_out(shape, &rows, &rows_at, &end) || !compose(identity, shape, header))
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: %" PRIu64 " samples of %" PRIu64 " views are too many", path,
                          shape->samples, shape->views);
    ctkd_status status = CTKD_ENOTFOUND;
    for (int i = 0; i < ATTEMPTS && status == CTKD_ENOTFOUND; i++) {
        status = access(path, F_OK) == 0 ? CTKD_OK : make_file(path, header, end, err);
        if (status == CTKD_OK)
            status = ctkd__logit_file_open(path, out, err);
    }
    if (status == CTKD_OK)
        status = check_identity(*out, header, err);
    if (status == CTKD_OK)
        (void)futimens((*out)->descriptor, NULL); /* the time of last use, by which prune sorts */
    else {
        ctkd__logit_file_close(*out);
        *out = NULL;
    }
    return status;
}

/* --- rows */

float ctkd__logit_seal(const float *view, size_t floats)
{
    const uint32_t sum = (uint32_t)crc32_z(0, (const Bytef *)view, floats * sizeof *view);
    float seal;
    memcpy(&seal, &sum, sizeof seal);
    return seal;
}

enum ctkd__logit_row ctkd__logit_file_get(const struct ctkd__logit_file *file, uint64_t row,
                                          float *out)
{
    uint32_t word;
    if (!read_all(file->descriptor, &word, sizeof word, index_at(row)))
        return CTKD__ROW_DAMAGED;
    if (word == 0)
        return CTKD__ROW_ABSENT;
    if (!read_all(file->descriptor, out, file->row_bytes, row_at(file, row)) ||
        word != word_of(file, row, out))
        return CTKD__ROW_DAMAGED;
    return CTKD__ROW_FOUND;
}

ctkd_status ctkd__logit_file_put(struct ctkd__logit_file *file, uint64_t row, const float *logits,
                                 ctkd_error *err)
{
    if (file->unwritable)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", file->path,
                          strerror(file->unwritable));
    if (file->puts++ % PUTS_PER_LOOK == 0 && disk_left(file->descriptor) < CTKD__LOGIT_DISK_RESERVE)
        return ctkd__fail(err, CTKD_EIO, "%s: the disk has less than %d MB left", file->path,
                          CTKD__LOGIT_DISK_RESERVE >> 20);
    const uint32_t word = word_of(file, row, logits);
    if (!write_all(file->descriptor, logits, file->row_bytes, row_at(file, row)) ||
        !write_all(file->descriptor, &word, sizeof word, index_at(row)))
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", file->path, strerror(errno));
    return CTKD_OK;
}

bool ctkd__logit_file_claim(struct ctkd__logit_file *file, uint64_t row)
{
    return lock_range(file->descriptor, F_WRLCK, index_at(row), sizeof(uint32_t)) == 0 ||
           (errno != EAGAIN && errno != EACCES);
}

bool ctkd__logit_file_shared(const struct ctkd__logit_file *file)
{
    struct flock others = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    return fcntl(file->descriptor, F_OFD_GETLK, &others) != 0 || others.l_type != F_UNLCK;
}

void ctkd__logit_file_release(struct ctkd__logit_file *file)
{
    (void)lock_range(file->descriptor, F_UNLCK, CTKD__LOGIT_HEADER, 0);
}

/* --- all rows */

/* Counts the rows of a part of the index; verifies each of them if `row` has room for one. */
static void count_part(const struct ctkd__logit_file *file, const uint32_t *words, uint64_t first,
                       size_t count, float *row, struct ctkd__logit_count *out)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i] == 0)
            continue;
        out->present++;
        if (!row || ctkd__logit_file_get(file, first + i, row) == CTKD__ROW_FOUND)
            continue;
        if (out->damaged++ == 0)
            out->first_damaged = first + i;
    }
}

ctkd_status ctkd__logit_file_count(const struct ctkd__logit_file *file, bool verify,
                                   struct ctkd__logit_count *out, ctkd_error *err)
{
    uint32_t *const words = malloc(INDEX_WORDS * sizeof *words);
    float *const row = malloc(file->row_bytes);
    ctkd_status status = CTKD_OK;
    *out = (struct ctkd__logit_count){ 0 };
    if (!words || !row)
        status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", file->path);
    for (uint64_t first = 0; first < file->rows && status == CTKD_OK; first += INDEX_WORDS) {
        const uint64_t left = file->rows - first;
        const size_t count = left < INDEX_WORDS ? (size_t)left : INDEX_WORDS;
        if (read_all(file->descriptor, words, count * sizeof *words, index_at(first)))
            count_part(file, words, first, count, verify ? row : NULL, out);
        else
            status = ctkd__fail(err, CTKD_EIO, "%s: cannot read: %s", file->path, strerror(errno));
    }
    free(row);
    free(words);
    return status;
}

void ctkd__logit_file_disk(const struct ctkd__logit_file *file, uint64_t *occupied,
                           uint64_t *available)
{
    struct stat info;
    *occupied = fstat(file->descriptor, &info) == 0 ? (uint64_t)info.st_blocks * 512 : 0;
    *available = disk_left(file->descriptor);
}
