/* SHA-256 as 64 hexadecimal digits. */
#ifndef CTKD_UTIL_SHA256_H
#define CTKD_UTIL_SHA256_H

#include <stddef.h>

#include <nettle/sha2.h>

#include "ctkd/status.h"

enum { CTKD__SHA256_DIGITS = 2 * SHA256_DIGEST_SIZE };

/* Ends the sum and resets the context. */
void ctkd__sha256_text(struct sha256_ctx *context, char out[CTKD__SHA256_DIGITS + 1]);
void ctkd__sha256_bytes(const void *data, size_t bytes, char out[CTKD__SHA256_DIGITS + 1]);
/* CTKD_EIO: the file cannot be opened or read. */
ctkd_status ctkd__sha256_file(const char *path, char out[CTKD__SHA256_DIGITS + 1], ctkd_error *err);

#endif
