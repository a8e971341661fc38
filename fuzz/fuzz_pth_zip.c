#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/pth.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { STORAGES = 16, STORAGE_BYTES = 64, ROOM = 64 << 10 };

static void add(struct archive *zip, const char *name, const void *bytes, size_t n)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (int64_t)n);
    archive_entry_set_filetype(entry, AE_IFREG);
    if (archive_write_header(zip, entry) != ARCHIVE_OK ||
        archive_write_data(zip, bytes, n) != (la_ssize_t)n)
        abort();
    archive_entry_free(entry);
}

/* The input is the pickle of a checkpoint in the zip form: the archive around it has sums that
   changes by chance would never match. Its storages are 0, 1, ... of 64 bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static char file[ROOM + 65536];
    size_t used = 0;
    if (n > ROOM)
        return 0;
    struct archive *zip = archive_write_new();
    archive_write_set_format_zip(zip);
    archive_write_zip_set_compression_store(zip);
    if (archive_write_open_memory(zip, file, sizeof file, &used) != ARCHIVE_OK)
        abort();
    add(zip, "archive/data.pkl", bytes, n);
    for (int i = 0; i < STORAGES; i++) {
        char name[64];
        const uint8_t storage[STORAGE_BYTES] = { (uint8_t)i };
        snprintf(name, sizeof name, "archive/data/%d", i);
        add(zip, name, storage, sizeof storage);
    }
    archive_write_free(zip);
    struct ctkd__tensors list = { 0 };
    ctkd_error err = { .status = CTKD_OK };
    if (ctkd__pth_read_bytes("input", file, used, &list, &err) != err.status)
        abort();
    ctkd__tensors_fini(&list);
    return 0;
}
