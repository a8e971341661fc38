/* Reading and writing .safetensors: an 8-byte little-endian header length, a JSON header, raw data.
 */
#ifndef CTKD_IO_SAFETENSORS_H
#define CTKD_IO_SAFETENSORS_H

#include "util/tensors.h"

/* Reads every tensor and the string metadata into an empty list. Sizes are checked against the file
   before anything is allocated. */
ctkd_status ctkd__safetensors_read(const char *path, struct ctkd__tensors *out, ctkd_error *err);

/* Writes to a temporary name beside `path`, syncs, renames. */
ctkd_status ctkd__safetensors_write(const char *path, const struct ctkd__tensors *list,
                                    ctkd_error *err);

#endif
