#include "util/file_kind.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "util/error.h"

/* Bytes that only one kind of file has at an offset. The first row that fits counts. */
struct magic {
    size_t offset, length;
    const char *bytes;
    const char *kind;
};
#define MAGIC(offset, bytes, kind)                                                                 \
    {                                                                                              \
        offset, sizeof bytes - 1, bytes, kind                                                      \
    }

static const struct magic magics[] = {
    MAGIC(0, "\x1f\x8b", "a gzip file (`gunzip` unpacks it)"),
    MAGIC(0, "BZh", "a bzip2 file (`bunzip2` unpacks it)"),
    MAGIC(0, "\xfd\x37zXZ\0", "an xz file (`unxz` unpacks it)"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "a Zstandard file (`unzstd` unpacks it)"),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", "a 7z archive"),
    MAGIC(0, "Rar!\x1a\x07", "a RAR archive"),
    MAGIC(257, "ustar", "a tar archive"),
    MAGIC(0, "%PDF-", "a PDF document"),
    MAGIC(0, "\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and MATLAB write"),
    MAGIC(0, "\x93NUMPY", "a NumPy array (.npy)"),
    MAGIC(0, "MATLAB 5.0", "a MATLAB file"),
    MAGIC(0, "SQLite format 3", "an SQLite data base"),
    MAGIC(0, "GGUF", "a GGUF model"),
    MAGIC(4, "TFL3", "a TensorFlow Lite model"),
    MAGIC(0, "\x89PNG\r\n\x1a\n", "a PNG image"),
    MAGIC(0, "\xff\xd8\xff", "a JPEG image"),
    MAGIC(0, "GIF8", "a GIF image"),
    MAGIC(0,
          "\x7f"
          "ELF",
          "a program (ELF)"),
};

/* The name of a zip archive's first entry shows what the archive holds. */
static const char *zip_kind(const unsigned char *b, size_t n)
{
    if (n >= 4 && memcmp(b, "PK\5\6", 4) == 0)
        return "an empty zip archive";
    if (n < 30 || memcmp(b, "PK\3\4", 4) != 0)
        return n >= 4 && memcmp(b, "PK\3\4", 4) == 0 ? "a truncated zip archive" : NULL;
    const size_t said = (size_t)(b[26] | b[27] << 8), length = said < n - 30 ? said : n - 30;
    char name[CTKD__FILE_KIND_BYTES];
    snprintf(name, sizeof name, "%.*s", (int)length, (const char *)b + 30);
    const size_t m = strlen(name);
    if (m > 4 && strcmp(name + m - 4, ".npy") == 0)
        return "an archive of NumPy arrays (.npz)";
    if (strcmp(name, "[Content_Types].xml") == 0)
        return "an office document";
    if (strcmp(name, "metadata.json") == 0 || strcmp(name, "config.json") == 0)
        return "a Keras model";
    if (strstr(name, "/data.pkl") || strstr(name, "/byteorder") || strstr(name, "/version"))
        return "a PyTorch checkpoint";
    return "a zip archive (`unzip` unpacks it)";
}

/* Protocol buffers have no magic number; their first fields tell these apart. */
static const char *protobuf_kind(const unsigned char *b, size_t n)
{
    if (n >= 3 && b[0] == 0x08 && b[1] == 1 && b[2] == 0x12) /* schema version 1, then a graph */
        return "a TensorFlow SavedModel";
    if (n >= 3 && b[0] == 0x08 && b[1] >= 3 && b[1] < 32) /* ir_version */
        return "an ONNX model";
    if (n >= 4 && b[0] == 0x0a && b[2] == 0x0a && b[3] > 0 && b[3] < b[1] && b[1] < 0x80)
        return "a TensorFlow graph"; /* a node that begins with its name */
    return NULL;
}

static bool begins(const char *text, size_t n, const char *word)
{
    return n >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

/* Skips a byte order mark and white space. */
static const char *skip_space(const char *text, size_t *n)
{
    if (begins(text, *n, "\xef\xbb\xbf"))
        text += 3, *n -= 3;
    while (*n && isspace((unsigned char)*text))
        text++, --*n;
    return text;
}

const char *ctkd__file_stand_in(const void *bytes, size_t n)
{
    static const char *const pages[] = { "<!doctype html", "<html",   "<head",
                                         "<body",          "<script", "<title" };
    const char *const text = skip_space(bytes, &n);
    if (begins(text, n, "version https://git-lfs.github.com/"))
        return "a Git LFS pointer (`git lfs pull` fetches the file)";
    if (begins(text, n, "/annex/objects/"))
        return "a git-annex pointer (`git annex get` fetches the file)";
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (begins(text, n, pages[i]))
            return "a web page (HTML) instead of the file that it offers for download";
    return NULL;
}

bool ctkd__file_is_text(const void *bytes, size_t n)
{
    const unsigned char *const b = bytes;
    for (size_t i = 0; i < n && i < CTKD__FILE_KIND_BYTES; i++)
        if ((b[i] < 0x20 && !isspace(b[i])) || b[i] == 0x7f || b[i] >= 0xf8)
            return false;
    return true;
}

static const char *text_kind(const void *bytes, size_t n)
{
    if (!ctkd__file_is_text(bytes, n))
        return NULL;
    const char *const text = skip_space(bytes, &n);
    if (begins(text, n, "<?xml"))
        return "an XML document";
    if (n && (*text == '{' || *text == '['))
        return "a JSON document";
    return n ? "a text file" : "a text file with nothing but white space";
}

const char *ctkd__file_kind(const void *bytes, size_t n)
{
    const unsigned char *const b = bytes;
    n = n < CTKD__FILE_KIND_BYTES ? n : CTKD__FILE_KIND_BYTES;
    if (n == 0)
        return "an empty file (0 bytes)";
    const char *kind = ctkd__file_stand_in(bytes, n);
    for (size_t i = 0; i < sizeof magics / sizeof *magics && !kind; i++) {
        const struct magic *const m = &magics[i];
        if (n >= m->offset + m->length && memcmp(b + m->offset, m->bytes, m->length) == 0)
            kind = m->kind;
    }
    if (!kind && n > 8 && b[8] == '{' && (b[5] | b[6] | b[7]) == 0)
        kind = "a .safetensors file";
    if (!kind && n >= 2 && b[0] == 0x80 && b[1] <= 5)
        kind = "a Python pickle";
    if (!kind)
        kind = zip_kind(b, n);
    if (!kind)
        kind = protobuf_kind(b, n);
    if (!kind)
        kind = text_kind(b, n);
    size_t zeros = 0;
    while (zeros < n && b[zeros] == 0)
        zeros++;
    return !kind && zeros == n ? "a file that begins with zeros" : kind;
}

ctkd_status ctkd__file_kind_fail(const char *path, const void *bytes, size_t n,
                                 const char *expected, ctkd_error *err)
{
    const unsigned char *const b = bytes;
    const char *const kind = ctkd__file_kind(bytes, n);
    char digits[16] = "";
    for (size_t i = 0; i < 4 && i < n; i++)
        snprintf(digits + 3 * i, sizeof digits - 3 * i, " %02x", b[i]);
    if (kind)
        return ctkd__fail(err, CTKD_EFORMAT, "%s: found %s, expected %s", path, kind, expected);
    return ctkd__fail(err, CTKD_EFORMAT, "%s: found the first bytes%s, expected %s", path, digits,
                      expected);
}

ctkd_status ctkd__file_check_regular(const char *path, ctkd_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
        return CTKD_OK;
    return ctkd__fail(err, CTKD_EIO,
                      "%s: found %s, expected a regular file, because it is read more than once",
                      path, S_ISFIFO(info.st_mode) ? "a pipe" : "a device or socket");
}

ctkd_status ctkd__file_first_bytes(const char *path, unsigned char out[CTKD__FILE_KIND_BYTES],
                                   size_t *n, ctkd_error *err)
{
    const ctkd_status status = ctkd__file_check_regular(path, err);
    if (status != CTKD_OK)
        return status;
    FILE *const stream = fopen(path, "rbe");
    if (!stream)
        return ctkd__fail(err, CTKD_EIO, "cannot open %s: %s", path, strerror(errno));
    memset(out, 0, CTKD__FILE_KIND_BYTES);
    *n = fread(out, 1, CTKD__FILE_KIND_BYTES, stream);
    const int failed = ferror(stream) ? errno : 0;
    fclose(stream);
    if (failed)
        return ctkd__fail(err, CTKD_EIO, "cannot read %s: %s", path, strerror(failed));
    return CTKD_OK;
}
