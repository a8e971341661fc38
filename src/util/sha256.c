#include "util/sha256.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/error.h"

void ctkd__sha256_text(struct sha256_ctx *context, char out[CTKD__SHA256_DIGITS + 1])
{
    unsigned char digest[SHA256_DIGEST_SIZE];
    sha256_digest(context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void ctkd__sha256_bytes(const void *data, size_t bytes, char out[CTKD__SHA256_DIGITS + 1])
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, bytes, data);
    ctkd__sha256_text(&context, out);
}

ctkd_status ctkd__sha256_file(const char *path, char out[CTKD__SHA256_DIGITS + 1], ctkd_error *err)
{
    FILE *const stream = fopen(path, "rbe");
    if (!stream)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    struct sha256_ctx context;
    unsigned char bytes[1 << 14];
    size_t n;
    sha256_init(&context);
    while ((n = fread(bytes, 1, sizeof bytes, stream)) > 0)
        sha256_update(&context, n, bytes);
    const bool failed = ferror(stream) != 0;
    fclose(stream);
    if (failed)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(errno));
    ctkd__sha256_text(&context, out);
    return CTKD_OK;
}
