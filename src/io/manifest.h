/* What the files beside a weights file say: FILE.sha256 as sha256sum writes it, or
   manifest.json. */
#ifndef CTKD_IO_MANIFEST_H
#define CTKD_IO_MANIFEST_H

#include <stdbool.h>

#include "ctkd/status.h"

struct ctkd__manifest {
    bool verified;    /* there was a SHA-256, and it matches the file */
    char network[64]; /* "": not said */
    bool has_top1;
    double top1; /* percent */
};

/*
 * manifest.json in the same folder is an object {"file", "sha256", "network", "top1"} or a list of
 * such; the one whose "file" is the file's name counts. Neither file: all zeros and CTKD_OK.
 * CTKD_EFORMAT: a checksum that does not match the file, or a damaged manifest.
 */
ctkd_status ctkd__manifest_read(const char *path, struct ctkd__manifest *out, ctkd_error *err);

#endif
