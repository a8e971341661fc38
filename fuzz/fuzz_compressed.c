#include <string.h>

#include "data/archive.h"
#include "data/compressed.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { ROOM = 1 << 20 };

/* All that comes out, at most ROOM bytes, `step` at a time; the status of the end. */
static ctkd_status unpack(const char *path, size_t step, uint8_t *out, size_t *size)
{
    struct ctkd__compressed *file;
    ctkd_error err = { .status = CTKD_OK };
    size_t got = 1;
    *size = 0;
    ctkd_status status = ctkd__compressed_open(path, &file, &err);
    if ((status == CTKD_OK) != (file != NULL))
        abort();
    while (status == CTKD_OK && got > 0 && *size + step <= ROOM) {
        status = ctkd__compressed_read(file, out + *size, step, &got, &err);
        *size += status == CTKD_OK ? got : 0;
    }
    if (status != err.status)
        abort();
    if (status != CTKD_OK && file && ctkd__compressed_finish(file, NULL) != status)
        abort(); /* a failure stays */
    ctkd__compressed_close(file);
    return status;
}

/* The input as a compressed file: what comes out does not depend on how much is asked for at once;
   and as an archive. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static uint8_t some[ROOM], all[ROOM];
    size_t n_some, n_all;
    const char *const path = memory_file(bytes, n);
    const ctkd_status status = unpack(path, 4096, all, &n_all);
    if (unpack(path, 64, some, &n_some) != status && n_all + 4096 <= ROOM)
        abort();
    if (status == CTKD_OK && (n_some < n_all || memcmp(some, all, n_all) != 0))
        abort();
    static const char *const no_places[] = { NULL };
    struct ctkd__member members[2] = { { .name = "large.bin", .limit = ROOM },
                                       { .name = "small.bin", .limit = ROOM } };
    ctkd_error err = { .status = CTKD_OK };
    if (ctkd__archive_read(path, no_places, members, 2, &err) != err.status)
        abort();
    ctkd__members_free(members, 2);
    return 0;
}
