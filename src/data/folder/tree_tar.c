/* Files of a .tar where they lie (POSIX ustar and pax, GNU): a header of 512 bytes before each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/folder/tree_build.h"
#include "util/error.h"

enum { BLOCK = 512, LONG_BYTES_MAX = 1 << 16 };

/* A range of an archive that is a .tar itself: all of it, or a member. */
struct tar_walk {
    struct ctkd__tree *tree;
    const struct ctkd__tree_archive *archive;
    const char *folder; /* below which its files appear */
    uint64_t at, end;
    bool inner;
    /* What extension headers say about the next file; NULL, UINT64_MAX: nothing. */
    char *long_name;
    uint64_t long_size;
};

struct tar_header {
    char name[256 + 2];
    uint64_t size;
    char type;
};

static ctkd_status damaged(const struct tar_walk *walk, const char *what, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_EFORMAT, "%s: damaged .tar: %s at byte %llu", walk->archive->path,
                      what, (unsigned long long)walk->at);
}

/* Octal with blanks or a zero behind it, or with the top bit of its first byte set base 256. */
static bool read_number(const uint8_t *field, size_t n, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    if (field[0] & 0x80) {
        for (i = 0; i < n; i++) {
            if (value >> 55)
                return false;
            value = value << 8 | (i == 0 ? field[0] & 0x7f : field[i]);
        }
        *out = value;
        return true;
    }
    while (i < n && field[i] == ' ')
        i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    *out = value;
    return i == n || field[i] == ' ' || field[i] == 0;
}

/* The sum of all bytes, with those of the sum itself as blanks. */
static bool sum_fits(const uint8_t block[BLOCK])
{
    enum { SUM_AT = 148, SUM_BYTES = 8 };
    uint64_t stored, sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : block[i];
    return read_number(block + SUM_AT, SUM_BYTES, &stored) && stored == sum;
}

static bool is_zero(const uint8_t block[BLOCK])
{
    size_t i = 0;
    while (i < BLOCK && block[i] == 0)
        i++;
    return i == BLOCK;
}

static bool parse_header(const uint8_t block[BLOCK], struct tar_header *header)
{
    enum {
        NAME = 100,
        SIZE_AT = 124,
        TYPE_AT = 156,
        MAGIC_AT = 257,
        PREFIX_AT = 345,
        PREFIX = 155
    };
    if (!sum_fits(block) || !read_number(block + SIZE_AT, 12, &header->size))
        return false;
    header->type = (char)block[TYPE_AT];
    const bool ustar = memcmp(block + MAGIC_AT, "ustar\0", 6) == 0;
    const int prefix = ustar ? (int)strnlen((const char *)block + PREFIX_AT, PREFIX) : 0;
    snprintf(header->name, sizeof header->name, "%.*s%s%.*s", prefix,
             (const char *)block + PREFIX_AT, prefix ? "/" : "",
             (int)strnlen((const char *)block, NAME), (const char *)block);
    return true;
}

/* The text of an extension header (a long name, pax records), freed by the caller. */
static ctkd_status read_text(struct tar_walk *walk, uint64_t size, char **out, ctkd_error *err)
{
    if (size > LONG_BYTES_MAX)
        return damaged(walk, "a header that is too long", err);
    *out = calloc((size_t)size + 1, 1);
    if (!*out)
        return ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", walk->archive->path);
    const ctkd_status status =
        ctkd__tree_archive_read(walk->archive, walk->at + BLOCK, *out, (size_t)size, err);
    if (status != CTKD_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* Records "LENGTH KEY=VALUE\n"; path and size are what matters here. */
static ctkd_status read_pax(struct tar_walk *walk, uint64_t size, ctkd_error *err)
{
    char *text;
    ctkd_status status = read_text(walk, size, &text, err);
    if (status != CTKD_OK)
        return status;
    for (size_t at = 0; at < size && status == CTKD_OK;) {
        char *end;
        const unsigned long length = strtoul(text + at, &end, 10);
        const size_t head = (size_t)(end - (text + at)) + 1;
        if (*end != ' ' || length <= head || length > size - at || text[at + length - 1] != '\n') {
            status = damaged(walk, "an invalid pax header", err);
            break;
        }
        char *const record = text + at + head;
        text[at + length - 1] = '\0';
        if (strncmp(record, "path=", 5) == 0) {
            free(walk->long_name);
            walk->long_name = strdup(record + 5);
            if (!walk->long_name)
                status = ctkd__fail(err, CTKD_ENOMEM, "%s: out of memory", walk->archive->path);
        } else if (strncmp(record, "size=", 5) == 0) {
            walk->long_size = strtoull(record + 5, NULL, 10);
        }
        at += length;
    }
    free(text);
    return status;
}

static ctkd_status walk_tar(struct tar_walk *walk, ctkd_error *err);

static bool ends_with(const char *name, size_t n, const char *ending)
{
    const size_t m = strlen(ending);
    return n > m && memcmp(name + n - m, ending, m) == 0;
}

/* A member that begins with a header is a .tar: the published ImageNet is one of a thousand. */
static ctkd_status add_inner(struct tar_walk *walk, const char *name, size_t n, uint64_t size,
                             bool *done, ctkd_error *err)
{
    uint8_t block[BLOCK];
    struct tar_header first;
    char folder[CTKD__TREE_NAME_MAX];
    *done = false;
    if (walk->inner || size < BLOCK || !ends_with(name, n, ".tar"))
        return CTKD_OK;
    ctkd_status status =
        ctkd__tree_archive_read(walk->archive, walk->at + BLOCK, block, BLOCK, err);
    if (status != CTKD_OK || !parse_header(block, &first))
        return status;
    *done = true;
    if (name[0] == '.' && name[1] == '/') {
        name += 2;
        n -= 2;
    }
    const int length = snprintf(folder, sizeof folder, "%s%s%.*s", walk->folder,
                                walk->folder[0] ? "/" : "", (int)(n - 4), name);
    if (length < 0 || (size_t)length >= sizeof folder)
        return damaged(walk, "a name that is too long", err);
    struct tar_walk inner = { .tree = walk->tree,
                              .archive = walk->archive,
                              .folder = folder,
                              .at = walk->at + BLOCK,
                              .end = walk->at + BLOCK + size,
                              .inner = true,
                              .long_size = UINT64_MAX };
    status = walk_tar(&inner, err);
    free(inner.long_name);
    return status;
}

static ctkd_status add_file(struct tar_walk *walk, const struct tar_header *header, uint64_t size,
                            ctkd_error *err)
{
    const char *const name = walk->long_name ? walk->long_name : header->name;
    const size_t n = strlen(name);
    struct ctkd__tree_file file = { .offset = walk->at + BLOCK,
                                    .size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
                                    .archive = (uint8_t)(walk->tree->n_archives - 1),
                                    .storage = CTKD__STORED_PLAIN };
    bool done = false;
    ctkd_status status = CTKD_OK;
    if (header->type == '5')
        return ctkd__tree_add_member(walk->tree, walk->folder, name, n, NULL, err);
    if (strchr("12S", header->type) && header->type) /* links, and files with holes */
        file.storage = CTKD__STORED_NOT;
    else if (header->type && !strchr("07", header->type))
        return CTKD_OK; /* devices, and headers that do not concern a file's bytes */
    else
        status = add_inner(walk, name, n, size, &done, err);
    return status == CTKD_OK && !done
               ? ctkd__tree_add_member(walk->tree, walk->folder, name, n, &file, err)
               : status;
}

/* An extension header, which describes the next file. */
static ctkd_status walk_extension(struct tar_walk *walk, char type, uint64_t size, ctkd_error *err)
{
    ctkd_status status;
    if (type == 'L') {
        free(walk->long_name);
        walk->long_name = NULL;
        status = read_text(walk, size, &walk->long_name, err);
    } else {
        status = read_pax(walk, size, err);
    }
    walk->at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
    return status;
}

/* The header at walk->at, and what follows it. */
static ctkd_status walk_member(struct tar_walk *walk, const struct tar_header *header,
                               ctkd_error *err)
{
    /* Links and folders have no bytes, whatever their header says. */
    const bool bare = header->type == '1' || header->type == '2' || header->type == '5';
    const uint64_t left = walk->end - walk->at - BLOCK;
    uint64_t size = bare ? 0 : header->size;
    ctkd_status status = CTKD_OK;
    if (header->type == 'L' || header->type == 'x') {
        if (size > left)
            return damaged(walk, "a header that goes beyond its end", err);
        return walk_extension(walk, header->type, size, err);
    }
    if (!bare && walk->long_size != UINT64_MAX)
        size = walk->long_size;
    if (size > left)
        return damaged(walk, "a file that goes beyond its end", err);
    status = add_file(walk, header, size, err);
    free(walk->long_name);
    walk->long_name = NULL;
    walk->long_size = UINT64_MAX;
    walk->at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
    return status;
}

static ctkd_status walk_tar(struct tar_walk *walk, ctkd_error *err)
{
    ctkd_status status = CTKD_OK;
    while (status == CTKD_OK && walk->at < walk->end) {
        uint8_t block[BLOCK];
        struct tar_header header;
        if (walk->end - walk->at < BLOCK)
            return damaged(walk, "a header that is cut off", err);
        status = ctkd__tree_archive_read(walk->archive, walk->at, block, BLOCK, err);
        if (status != CTKD_OK || is_zero(block)) /* the end; what may follow is padding */
            break;
        status = parse_header(block, &header) ? walk_member(walk, &header, err)
                                              : damaged(walk, "no header", err);
    }
    return status;
}

ctkd_status ctkd__tree_scan_tar(struct ctkd__tree *tree, const char *folder, ctkd_error *err)
{
    const struct ctkd__tree_archive *const archive = &tree->archives[tree->n_archives - 1];
    struct tar_walk walk = { .tree = tree,
                             .archive = archive,
                             .folder = folder,
                             .end = archive->bytes,
                             .long_size = UINT64_MAX };
    const ctkd_status status = walk_tar(&walk, err);
    free(walk.long_name);
    return status;
}
