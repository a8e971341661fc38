/* How a tree is built from a folder (tree_folder.c) or an archive (tree_zip.c, tree_tar.c). */
#ifndef CTKD_DATA_TREE_BUILD_H
#define CTKD_DATA_TREE_BUILD_H

#include "data/folder/tree.h"

enum { CTKD__TREE_NAME_MAX = 4096, CTKD__TREE_ARCHIVES_MAX = 4 };

/* How the bytes of a file are stored. */
enum ctkd__tree_storage {
    CTKD__STORED_FILE, /* in the file of its name */
    CTKD__STORED_PLAIN,
    CTKD__STORED_ZIP, /* behind a local header; plain, or deflated where `deflated` */
    CTKD__STORED_NOT  /* in an archive: a link, or encrypted: unreadable */
};

struct ctkd__tree_file {
    uint64_t offset; /* in the archive; of the local header in a .zip */
    uint32_t size, packed, crc32;
    uint32_t name;   /* offset in the text */
    uint8_t storage; /* enum ctkd__tree_storage */
    uint8_t archive; /* index */
    bool deflated;
};

/* The time of what lies in an archive. A folder may have any other one: 0 too. */
#define CTKD__TREE_NO_TIME INT64_MIN

struct ctkd__tree_folder {
    uint32_t name;      /* offset in the text */
    int64_t changed_ns; /* when, since 1970, or CTKD__TREE_NO_TIME */
};

struct ctkd__tree_archive {
    char *path;
    int file;
    uint64_t bytes;
};

struct ctkd__tree {
    char *path;
    const struct ctkd__tree_mount *mounts; /* while it is made */
    struct ctkd__tree_archive archives[CTKD__TREE_ARCHIVES_MAX];
    size_t n_archives;
    size_t count, capacity;
    struct ctkd__tree_file *files;
    size_t n_folders, folders_capacity;
    struct ctkd__tree_folder *folders;
    int64_t changed_ns; /* of the tree's own folder, or CTKD__TREE_NO_TIME */
    char *text;
    size_t text_bytes, text_capacity;
};

/* Whether a part of a name begins with a dot, or is what macOS puts into archives. */
bool ctkd__tree_is_hidden(const char *name);

/* Adds a file or a folder; the name is copied, file->name is set here. CTKD_ERANGE: more than 4 GB
   of names. */
ctkd_status ctkd__tree_add_file(struct ctkd__tree *tree, const char *name,
                                const struct ctkd__tree_file *file, ctkd_error *err);
ctkd_status ctkd__tree_add_folder(struct ctkd__tree *tree, const char *name, int64_t changed_ns,
                                  ctkd_error *err);
/* The same of a name as an archive has it, below `folder` (""): cleaned, and left out where a part
   of it is hidden. `file` NULL: a folder. */
ctkd_status ctkd__tree_add_member(struct ctkd__tree *tree, const char *folder, const char *name,
                                  size_t length, const struct ctkd__tree_file *file,
                                  ctkd_error *err);

/* The order of names: by bytes, with a slash before all others. */
int ctkd__tree_compare(const char *a, const char *b);
/* Sorts files and folders by name; a name that occurs twice is CTKD_EFORMAT. */
ctkd_status ctkd__tree_sort(struct ctkd__tree *tree, ctkd_error *err);

/* `size` bytes at `offset` of an archive. CTKD_EFORMAT: it ends before. */
ctkd_status ctkd__tree_archive_read(const struct ctkd__tree_archive *archive, uint64_t offset,
                                    void *out, size_t size, ctkd_error *err);

/* These fill a tree. Those for archives add the files of the tree's last archive below `folder`. */
ctkd_status ctkd__tree_scan_folder(struct ctkd__tree *tree, ctkd_error *err);
ctkd_status ctkd__tree_scan_zip(struct ctkd__tree *tree, const char *folder, ctkd_error *err);
ctkd_status ctkd__tree_scan_tar(struct ctkd__tree *tree, const char *folder, ctkd_error *err);
/* Opens an archive, as the next one of the tree. */
ctkd_status ctkd__tree_open_archive(struct ctkd__tree *tree, const char *path, ctkd_error *err);
/* The same, and scans it, known by its contents. */
ctkd_status ctkd__tree_scan_archive(struct ctkd__tree *tree, const char *path, const char *folder,
                                    ctkd_error *err);

/* Frees everything but the path: the tree is then as before its scan. */
void ctkd__tree_clear(struct ctkd__tree *tree);

/* The bytes of a file of a .zip. */
ctkd_status ctkd__tree_read_zip(const struct ctkd__tree *tree, size_t i,
                                struct ctkd__tree_bytes *out, ctkd_error *err);

#endif
