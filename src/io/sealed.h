/* A .safetensors file that carries a checksum of its own contents: what checkpoints are. */
#ifndef CTKD_IO_SEALED_H
#define CTKD_IO_SEALED_H

#include "util/tensors.h"

/* Adds the metadata "checksum" (SHA-256 of all other metadata and of every tensor, in order) to
   the list, writes it beside `path` under a temporary name, syncs, renames, and reads the file back
   to prove that it is intact. */
ctkd_status ctkd__sealed_write(const char *path, struct ctkd__tensors *list, ctkd_error *err);

/* CTKD_EFORMAT: no checksum, or not that of the contents. The list is empty on failure. */
ctkd_status ctkd__sealed_read(const char *path, struct ctkd__tensors *list, ctkd_error *err);

#endif
