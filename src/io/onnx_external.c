#include "io/onnx_external.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/manifest.h"
#include "util/error.h"
#include "util/file_kind.h"
#include "util/text.h"

/* Tensors that share bytes are rare but allowed; a small file must not fill the memory. */
enum { TIMES_READ = 4 };

struct ctkd__onnx_external_id {
    dev_t device;
    ino_t inode;
};

static void close_file(struct ctkd__onnx_external *external)
{
    if (external->path[0])
        close(external->file);
    external->path[0] = '\0';
}

void ctkd__onnx_external_fini(struct ctkd__onnx_external *external)
{
    close_file(external);
    free(external->seen);
    external->seen = NULL;
    external->n_seen = 0;
}

ctkd_status ctkd__onnx_place_set(struct ctkd__onnx_place *place, const char *model,
                                 const char *name, const char *key, const char *value,
                                 ctkd_error *err)
{
    const bool is_length = strcmp(key, "length") == 0;
    if (strcmp(key, "location") == 0)
        place->location = value;
    if (!is_length && strcmp(key, "offset") != 0)
        return CTKD_OK;
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: %s: external data: found %s '%.40s', expected a number of bytes",
                          model, name, is_length ? "length" : "offset",
                          ctkd__text_is_line(value) ? value : "?");
    *(is_length ? &place->length : &place->offset) = number;
    place->has_length |= is_length;
    return CTKD_OK;
}

/* A model may come from an untrusted source, so it may name only files in its own folder and below.
   Links in that folder are followed, because the user placed them there, not the model. */
static bool is_inside(const char *location)
{
    if (!location || !location[0] || location[0] == '/' || !ctkd__text_is_line(location))
        return false;
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

/* For a file that was not opened before: compares its checksum, and adds its size to the bytes that
   may be read. */
static ctkd_status check_new_file(struct ctkd__onnx_external *external, const struct stat *info,
                                  ctkd_error *err)
{
    struct ctkd__manifest manifest;
    for (size_t i = 0; i < external->n_seen; i++)
        if (external->seen[i].inode == info->st_ino && external->seen[i].device == info->st_dev)
            return CTKD_OK;
    if ((external->n_seen & (external->n_seen - 1)) == 0) { /* 0 and powers of two */
        const size_t room = external->n_seen ? 2 * external->n_seen : 1;
        void *const larger = realloc(external->seen, room * sizeof *external->seen);
        if (!larger)
            return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", external->model);
        external->seen = larger;
    }
    external->seen[external->n_seen].device = info->st_dev;
    external->seen[external->n_seen++].inode = info->st_ino;
    if (external->size > (UINT64_MAX - external->left) / TIMES_READ)
        external->left = UINT64_MAX;
    else
        external->left += external->size * TIMES_READ;
    return ctkd__manifest_read(external->path, &manifest, err);
}

static ctkd_status open_file(struct ctkd__onnx_external *external, const char *name,
                             const char *path, ctkd_error *err)
{
    struct stat info;
    close_file(external);
    /* O_NONBLOCK: opening a pipe would wait for a writer. */
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &info) != 0) {
        const int why = errno;
        if (file >= 0)
            close(file);
        return ctkd__fail(err, CTKD_EIO,
                          "%s: %s: %s: %s; expected the file with the weights (external data) in "
                          "the model's folder",
                          external->model, name, path, strerror(why));
    }
    external->file = file;
    snprintf(external->path, sizeof external->path, "%s", path);
    if (!S_ISREG(info.st_mode))
        return ctkd__fail(
            err, CTKD_EFORMAT,
            "%s: %s: %s: not a regular file, expected one with the weights (external data)",
            external->model, name, path);
    unsigned char first[CTKD__FILE_KIND_BYTES];
    const ssize_t n = pread(file, first, sizeof first, 0);
    const char *const stand_in = n > 0 ? ctkd__file_stand_in(first, (size_t)n) : NULL;
    if (stand_in)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: %s: %s: found %s, expected the weights (external data)",
                          external->model, name, path, stand_in);
    external->size = (uint64_t)info.st_size;
    return check_new_file(external, &info, err);
}

ctkd_status ctkd__onnx_external_find(struct ctkd__onnx_external *external,
                                     const struct ctkd__onnx_place *place, const char *name,
                                     size_t bytes, ctkd_error *err)
{
    char path[sizeof external->path];
    const char *const model = external->model;
    if (!is_inside(place->location))
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: %s: found external data in '%.80s', expected the name of a file in "
                          "the model's folder",
                          model, name,
                          place->location && ctkd__text_is_line(place->location) ? place->location
                                                                                 : "");
    const char *const slash = strrchr(model, '/');
    const int n = snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash + 1 - model) : 0, model,
                           place->location);
    if (n < 0 || (size_t)n >= sizeof path)
        return ctkd__fail(err, CTKD_ERANGE,
                          "%s: %s: the name of its data file is longer than %zu bytes", model, name,
                          sizeof path - 1);
    if (strcmp(path, external->path) != 0) {
        const ctkd_status status = open_file(external, name, path, err);
        if (status != CTKD_OK)
            return status;
    }
    if (place->offset > external->size || bytes > external->size - place->offset)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: %s: %s has %" PRIu64 " bytes, expected %zu from byte %" PRIu64 " on",
                          model, name, path, external->size, bytes, place->offset);
    if (bytes > external->left)
        return ctkd__fail(err, CTKD_EFORMAT,
                          "%s: %s: the model refers to more than %d times the bytes of %s", model,
                          name, TIMES_READ, external->n_seen > 1 ? "all its files" : path);
    external->left -= bytes;
    return CTKD_OK;
}

ctkd_status ctkd__onnx_external_read(struct ctkd__onnx_external *external,
                                     const struct ctkd__onnx_place *place, void *to, size_t bytes,
                                     ctkd_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t n =
            pread(external->file, (char *)to + done, bytes - done, (off_t)(place->offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", external->path,
                              n < 0 ? strerror(errno) : "the file was truncated meanwhile");
        done += (size_t)n;
    }
    return CTKD_OK;
}
