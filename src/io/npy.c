#include "io/npy.h"

#include <string.h>

#include "util/error.h"
#include "util/file.h"

/* The description is padded with blanks so that the values begin at a multiple of this. */
enum { ALIGNMENT = 64, PREFIX = 10, HEADER_MAX = 2 * ALIGNMENT };

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "values are written as they lie in memory, which must be little-endian"
#endif

/* shape: "3" or "3, 10"; type: "f4" or "i8" */
static void write_header(FILE *out, const char *type, const char *shape)
{
    char text[HEADER_MAX];
    const int used =
        snprintf(text, sizeof text, "{'descr': '<%s', 'fortran_order': False, 'shape': (%s), }",
                 type, shape);
    const int total = (PREFIX + used + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - PREFIX;
    fwrite("\x93NUMPY\1", 1, 7, out);
    fputc(0, out);
    fputc(total & 255, out);
    fputc(total >> 8, out);
    fprintf(out, "%-*s\n", total - 1, text);
}

static ctkd_status write_array(const char *path, const char *type, const char *shape,
                               const void *values, size_t bytes, ctkd_error *err)
{
    struct ctkd__new_file file;
    const ctkd_status status = ctkd__new_file_open(&file, path, err);
    if (status != CTKD_OK)
        return status;
    write_header(file.stream, type, shape);
    fwrite(values, 1, bytes, file.stream);
    return ctkd__new_file_commit(&file, err);
}

ctkd_status ctkd__npy_write_floats(const char *path, const float *values, size_t rows,
                                   size_t columns, ctkd_error *err)
{
    char shape[48];
    snprintf(shape, sizeof shape, "%zu, %zu", rows, columns);
    return write_array(path, "f4", shape, values, rows * columns * sizeof *values, err);
}

ctkd_status ctkd__npy_write_integers(const char *path, const int64_t *values, size_t n,
                                     ctkd_error *err)
{
    char shape[48];
    snprintf(shape, sizeof shape, "%zu,", n);
    return write_array(path, "i8", shape, values, n * sizeof *values, err);
}
