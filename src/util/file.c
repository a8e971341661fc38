#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file_kind.h"

/* Not mkstemp: it creates files that only their owner may read, whatever the umask. */
int ctkd__temporary_open(const char *path, char *name, size_t bytes)
{
    for (int i = 0; i < 100; i++) {
        const int n = snprintf(name, bytes, "%s.%d.%02d", path, getpid(), i);
        if (n < 0 || (size_t)n >= bytes) {
            errno = ENAMETOOLONG;
            return -1;
        }
        const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

bool ctkd__is_temporary(const char *name, const char *of)
{
    static const char digits[] = "0123456789";
    const size_t length = strlen(of);
    if (strncmp(name, of, length) != 0 || name[length] != '.')
        return false;
    const char *const process = name + length + 1, *const end = process + strspn(process, digits);
    return end > process && end[0] == '.' && strspn(end + 1, digits) == 2 && end[3] == '\0';
}

/* Replaces file->path, as long as it is a link, by the link's target, which need not exist. */
static int follow_links(struct ctkd__new_file *file)
{
    char target[sizeof file->path];
    for (int i = 0; i < 40; i++) {
        const ssize_t n = readlink(file->path, target, sizeof target);
        if (n < 0)
            return 0; /* not a link, or nothing there */
        const char *const slash = strrchr(file->path, '/');
        const size_t folder = target[0] == '/' || !slash ? 0 : (size_t)(slash + 1 - file->path);
        if (folder + (size_t)n >= sizeof file->path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(file->path + folder, target, (size_t)n);
        file->path[folder + (size_t)n] = '\0';
    }
    errno = ELOOP;
    return -1;
}

/* The descriptor to write to; -1 with errno. */
static int open_target(struct ctkd__new_file *file)
{
    struct stat info;
    if (strcmp(file->path, "-") == 0) {
        snprintf(file->path, sizeof file->path, "standard output"); /* for messages */
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    if (stat(file->path, &info) == 0 && !S_ISREG(info.st_mode))
        return open(file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY); /* a folder: EISDIR */
    return follow_links(file) == 0
               ? ctkd__temporary_open(file->path, file->temporary, sizeof file->temporary)
               : -1;
}

ctkd_status ctkd__new_file_open(struct ctkd__new_file *file, const char *path, ctkd_error *err)
{
    *file = (struct ctkd__new_file){ 0 };
    const size_t length = strlen(path);
    if (length == 0 || length >= sizeof file->path)
        return ctkd__fail(err, CTKD_EINVAL, "%s: found a name of %zu bytes, expected 1 to %zu",
                          path, length, sizeof file->path - 1);
    memcpy(file->path, path, length + 1);
    const int fd = open_target(file);
    if (fd < 0)
        return ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", path, strerror(errno));
    file->stream = fdopen(fd, "wb");
    if (!file->stream) { /* EINVAL: a closed stdout is replaced by a read-only file */
        const int why = errno == EINVAL ? EBADF : errno;
        close(fd);
        if (file->temporary[0])
            unlink(file->temporary);
        return why == ENOMEM
                   ? ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", path)
                   : ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", file->path, strerror(why));
    }
    return CTKD_OK;
}

bool ctkd__is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool ctkd__is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

ctkd_status ctkd__folders_create(const char *path, ctkd_error *err)
{
    char part[4096];
    if (path[0] == '\0') /* "" would make FOLDER/FILE a file of the root */
        return ctkd__fail(err, CTKD_EINVAL, "found an empty name of a folder, expected a name");
    if (strlen(path) >= sizeof part)
        return ctkd__fail(err, CTKD_ERANGE, "%s: the name is too long", path);
    for (const char *at = path; *at; at++) {
        if (at[1] && at[1] != '/')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)(at + 1 - path), path);
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return ctkd__fail(err, CTKD_EIO, "cannot create %s: %s", part, strerror(errno));
    }
    return CTKD_OK;
}

/* fsync gives EINVAL where a file system cannot sync folders. */
int ctkd__folder_sync(const char *path)
{
    char copy[sizeof((struct ctkd__new_file *)0)->path];
    snprintf(copy, sizeof copy, "%s", path);
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : -1; /* a folder may be writable but not readable */
    const int result = fsync(fd) != 0 && errno != EINVAL ? -1 : 0;
    close(fd);
    return result;
}

/* Why an earlier write failed, whose errno is lost: one more byte finds it again. A pipe or a
   device gets an empty write instead, because its reader would get that byte. */
static int find_reason(FILE *stream)
{
    struct stat info;
    struct pollfd end = { .fd = fileno(stream) };
    if (fstat(end.fd, &info) == 0 && S_ISREG(info.st_mode)) {
        clearerr(stream);
        return fputc(0, stream) == EOF || fflush(stream) != 0 ? errno : EIO;
    }
    if (write(end.fd, "", 0) < 0)
        return errno;
    return poll(&end, 1, 0) > 0 && end.revents & POLLERR ? EPIPE : EIO;
}

ctkd_status ctkd__new_file_commit(struct ctkd__new_file *file, ctkd_error *err)
{
    FILE *stream = file->stream;
    file->stream = NULL;
    int failed = ferror(stream);
    if (failed) {
        errno = find_reason(stream);
    } else {
        failed = fflush(stream) != 0 || (file->temporary[0] && fsync(fileno(stream)) != 0);
    }
    const int why = errno;
    if (fclose(stream) != 0 && !failed)
        failed = 1;
    else
        errno = why;
    const bool renames = file->temporary[0] != '\0';
    if (!failed && renames)
        failed = rename(file->temporary, file->path) != 0 || ctkd__folder_sync(file->path) != 0;
    if (!failed)
        return CTKD_OK;
    const ctkd_status status =
        ctkd__fail(err, CTKD_EIO, "cannot write %s: %s", file->path, strerror(errno));
    if (renames)
        unlink(file->temporary);
    return status;
}

void ctkd__new_file_abandon(struct ctkd__new_file *file)
{
    if (!file->stream)
        return;
    fclose(file->stream);
    file->stream = NULL;
    if (file->temporary[0])
        unlink(file->temporary);
}

/* Reads to the end of a stream. `hint` is the size if it is known: a pipe has none. */
static ctkd_status read_stream(FILE *stream, const char *path, size_t limit, size_t hint,
                               char **text, size_t *bytes, ctkd_error *err)
{
    size_t capacity = (hint < limit ? hint : limit) + 2, used = 0;
    char *buffer = malloc(capacity);
    while (buffer) {
        used += fread(buffer + used, 1, capacity - 1 - used, stream);
        if (used > limit || used < capacity - 1)
            break;
        capacity = capacity > limit / 2 ? limit + 2 : 2 * capacity;
        char *larger = realloc(buffer, capacity);
        if (!larger)
            free(buffer);
        buffer = larger;
    }
    if (!buffer)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory for %zu bytes", path, capacity);
    if (ferror(stream) || used > limit) {
        const char *const kind = used > limit && !ctkd__file_is_text(buffer, used)
                                     ? ctkd__file_kind(buffer, used)
                                     : NULL;
        free(buffer);
        if (used > limit)
            return ctkd__fail(err, CTKD_EFORMAT, "%s: %s%slarger than the limit of %zu bytes", path,
                              kind ? kind : "", kind ? ", " : "", limit);
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(errno));
    }
    buffer[used] = '\0';
    *text = buffer;
    *bytes = used;
    return CTKD_OK;
}

ctkd_status ctkd__file_read(const char *path, size_t limit, char **text, size_t *bytes,
                            ctkd_error *err)
{
    *text = NULL;
    *bytes = 0;
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    struct stat info;
    const size_t hint = fstat(fileno(stream), &info) == 0 ? (size_t)info.st_size : 0;
    const ctkd_status status = read_stream(stream, path, limit, hint, text, bytes, err);
    fclose(stream);
    return status;
}
