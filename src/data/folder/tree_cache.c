#include "data/folder/tree_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "util/file.h"
#include "util/sha256.h"

/* Of the file; native numbers: a machine with others has another magic. */
static const char magic[16] = "ctkd index 3\n";
enum { NUMBERS = 0x01020304, KEY_MAX = 2 * CTKD__TREE_PLACE_MAX, SETTLED_SECONDS = 2 };
static const uint64_t bytes_max = (uint64_t)1 << 34;

struct index_header {
    char magic[16];
    uint32_t byte_order, crc; /* of all that follows this struct */
    uint64_t key_bytes, n_archives, n_folders, n_files, text_bytes;
    int64_t changed_ns; /* of the tree's own folder, or CTKD__TREE_NO_TIME */
};

/* What an archive was when it was scanned. */
struct archive_stamp {
    uint64_t bytes, inode;
    int64_t changed_ns;
};

static int64_t time_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

/* Makes the key of a tree: its path and what is mounted. Returns the key's length; 0: no such
   path. */
static size_t make_key(const struct ctkd__tree *tree, char key[KEY_MAX])
{
    char *const path = realpath(tree->path, NULL);
    size_t n = path ? (size_t)snprintf(key, KEY_MAX, "%s", path) : 0;
    free(path);
    for (const struct ctkd__tree_mount *m = tree->mounts; n && m && m->archive; m++)
        n += (size_t)snprintf(key + n, n < KEY_MAX ? KEY_MAX - n : 0, "\n%s %s", m->archive,
                              m->folder);
    return n < KEY_MAX ? n : 0;
}

/* The cache file of a key; false if there is no cache folder. */
static bool cache_path(const char *key, size_t n, char *out, size_t bytes)
{
    char digest[65];
    const char *const cache = getenv("XDG_CACHE_HOME"), *const home = getenv("HOME");
    const bool own = cache && cache[0] == '/';
    if (!own && !(home && home[0] == '/'))
        return false;
    ctkd__sha256_bytes(key, n, digest);
    const int length = snprintf(out, bytes, "%s%s/ctkd/index-%.32s", own ? cache : home,
                                own ? "" : "/.cache", digest);
    return length > 0 && (size_t)length < bytes;
}

/* --- writing */

static bool stamp_archive(const struct ctkd__tree_archive *archive, struct archive_stamp *out)
{
    struct stat info;
    if (fstat(archive->file, &info) != 0)
        return false;
    *out = (struct archive_stamp){ (uint64_t)info.st_size, (uint64_t)info.st_ino, time_of(&info) };
    return true;
}

static bool is_settled(const struct ctkd__tree *tree, int64_t began)
{
    const int64_t limit = (began - SETTLED_SECONDS) * 1000000000;
    bool settled = tree->changed_ns < limit;
    for (size_t i = 0; i < tree->n_folders; i++)
        settled &= tree->folders[i].changed_ns < limit;
    for (size_t i = 0; i < tree->n_archives; i++) {
        struct archive_stamp stamp;
        settled &= stamp_archive(&tree->archives[i], &stamp) && stamp.changed_ns < limit;
    }
    return settled;
}

/* Adds a piece of the file to the sum and, unless stream is NULL, writes it. */
static void put(FILE *stream, const void *bytes, size_t n, uint32_t *crc)
{
    if (n == 0) /* crc32 restarts the sum at NULL */
        return;
    if (stream)
        fwrite(bytes, 1, n, stream);
    else
        *crc = (uint32_t)crc32_z(*crc, bytes, n);
}

static bool put_all(const struct ctkd__tree *tree, const char *key, size_t n, FILE *stream,
                    uint32_t *crc)
{
    put(stream, key, n, crc);
    for (size_t i = 0; i < tree->n_archives; i++) {
        struct archive_stamp stamp;
        if (!stamp_archive(&tree->archives[i], &stamp))
            return false;
        put(stream, &stamp, sizeof stamp, crc);
    }
    put(stream, tree->folders, tree->n_folders * sizeof *tree->folders, crc);
    put(stream, tree->files, tree->count * sizeof *tree->files, crc);
    put(stream, tree->text, tree->text_bytes, crc);
    return true;
}

void ctkd__tree_cache_write(const struct ctkd__tree *tree, int64_t began)
{
    char key[KEY_MAX], path[CTKD__TREE_PLACE_MAX];
    struct ctkd__new_file file;
    const size_t n = make_key(tree, key);
    struct index_header header = { .byte_order = NUMBERS,
                                   .key_bytes = n,
                                   .n_archives = tree->n_archives,
                                   .n_folders = tree->n_folders,
                                   .n_files = tree->count,
                                   .text_bytes = tree->text_bytes,
                                   .changed_ns = tree->changed_ns };
    memcpy(header.magic, magic, sizeof magic);
    if (n == 0 || !is_settled(tree, began) || !cache_path(key, n, path, sizeof path) ||
        !put_all(tree, key, n, NULL, &header.crc))
        return;
    char *const slash = strrchr(path, '/');
    *slash = '\0';
    const bool there = ctkd__folders_create(path, NULL) == CTKD_OK;
    *slash = '/';
    if (!there || ctkd__new_file_open(&file, path, NULL) != CTKD_OK)
        return;
    fwrite(&header, sizeof header, 1, file.stream);
    if (put_all(tree, key, n, file.stream, NULL))
        (void)!ctkd__new_file_commit(&file, NULL);
    else
        ctkd__new_file_abandon(&file);
}

/* --- reading */

static bool get(FILE *stream, void *out, uint64_t n, uint32_t *crc)
{
    if (fread(out, 1, (size_t)n, stream) != n)
        return false;
    *crc = (uint32_t)crc32_z(*crc, out, (size_t)n);
    return true;
}

/* An array of the file in new memory. */
static bool get_array(FILE *stream, void **out, uint64_t count, size_t bytes, uint32_t *crc)
{
    *out = count < bytes_max / bytes ? malloc((size_t)count * bytes + 1) : NULL;
    return *out && get(stream, *out, count * bytes, crc);
}

/* Opens the archives in the order in which a scan does, and compares what they were with what they
   are. */
static bool open_archives(struct ctkd__tree *tree, const struct archive_stamp *stamps, size_t n)
{
    struct stat info;
    bool same = stat(tree->path, &info) == 0;
    const bool folder = same && S_ISDIR(info.st_mode);
    if (same && !folder)
        same = ctkd__tree_open_archive(tree, tree->path, NULL) == CTKD_OK;
    for (const struct ctkd__tree_mount *m = tree->mounts; same && folder && m && m->archive; m++) {
        char path[CTKD__TREE_PLACE_MAX];
        snprintf(path, sizeof path, "%s/%s", tree->path, m->archive);
        if (stat(path, &info) == 0)
            same = ctkd__tree_open_archive(tree, path, NULL) == CTKD_OK;
    }
    same = same && tree->n_archives == n;
    for (size_t i = 0; i < n && same; i++) {
        struct archive_stamp now;
        same = stamp_archive(&tree->archives[i], &now) && now.bytes == stamps[i].bytes &&
               now.inode == stamps[i].inode && now.changed_ns == stamps[i].changed_ns;
    }
    return same;
}

/* Whether every index and offset in the arrays is valid. */
static bool is_sound(const struct ctkd__tree *tree)
{
    const size_t n = tree->text_bytes;
    bool sound = tree->count == 0 || (n > 0 && tree->text[n - 1] == '\0');
    for (size_t i = 0; i < tree->n_folders; i++)
        sound &= tree->folders[i].name < n;
    for (size_t i = 0; i < tree->count; i++) {
        const struct ctkd__tree_file *const file = &tree->files[i];
        sound &= file->name < n &&
                 (file->storage == CTKD__STORED_FILE || file->archive < tree->n_archives);
    }
    return sound;
}

static bool folders_are_as_before(const struct ctkd__tree *tree)
{
    struct stat info;
    char path[CTKD__TREE_PLACE_MAX];
    if (tree->changed_ns == CTKD__TREE_NO_TIME)
        return true;
    bool same = stat(tree->path, &info) == 0 && time_of(&info) == tree->changed_ns;
    for (size_t i = 0; i < tree->n_folders && same; i++) {
        if (tree->folders[i].changed_ns == CTKD__TREE_NO_TIME)
            continue;
        snprintf(path, sizeof path, "%s/%s", tree->path, tree->text + tree->folders[i].name);
        same = stat(path, &info) == 0 && time_of(&info) == tree->folders[i].changed_ns;
    }
    return same;
}

static bool read_arrays(struct ctkd__tree *tree, FILE *stream, const struct index_header *header,
                        uint32_t *crc)
{
    void *folders = NULL, *files = NULL, *text = NULL;
    const bool complete =
        get_array(stream, &folders, header->n_folders, sizeof *tree->folders, crc) &&
        get_array(stream, &files, header->n_files, sizeof *tree->files, crc) &&
        get_array(stream, &text, header->text_bytes, 1, crc) && *crc == header->crc;
    tree->folders = folders;
    tree->files = files;
    tree->text = text;
    if (!complete)
        return false;
    tree->n_folders = tree->folders_capacity = (size_t)header->n_folders;
    tree->count = tree->capacity = (size_t)header->n_files;
    tree->text_bytes = tree->text_capacity = (size_t)header->text_bytes;
    tree->changed_ns = header->changed_ns;
    return true;
}

static bool read_index(struct ctkd__tree *tree, FILE *stream, const char *key, size_t n)
{
    struct index_header header;
    struct archive_stamp stamps[CTKD__TREE_ARCHIVES_MAX];
    char other[KEY_MAX];
    uint32_t crc = 0;
    return fread(&header, sizeof header, 1, stream) == 1 &&
           memcmp(header.magic, magic, sizeof magic) == 0 && header.byte_order == NUMBERS &&
           header.key_bytes == n && header.n_archives <= CTKD__TREE_ARCHIVES_MAX &&
           get(stream, other, n, &crc) && memcmp(other, key, n) == 0 &&
           get(stream, stamps, header.n_archives * sizeof *stamps, &crc) &&
           open_archives(tree, stamps, (size_t)header.n_archives) &&
           read_arrays(tree, stream, &header, &crc) && is_sound(tree) &&
           folders_are_as_before(tree);
}

bool ctkd__tree_cache_read(struct ctkd__tree *tree)
{
    char key[KEY_MAX], path[CTKD__TREE_PLACE_MAX];
    const size_t n = make_key(tree, key);
    if (n == 0 || !cache_path(key, n, path, sizeof path))
        return false;
    FILE *const stream = fopen(path, "re");
    if (!stream)
        return false;
    const bool read = read_index(tree, stream, key, n);
    fclose(stream);
    if (!read)
        ctkd__tree_clear(tree);
    return read;
}
