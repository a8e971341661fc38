/* NumPy's .npy files (format 1.0), written only. */
#ifndef CTKD_IO_NPY_H
#define CTKD_IO_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

/* Rows of float32: an array [rows][columns], little-endian, in C order. */
ctkd_status ctkd__npy_write_floats(const char *path, const float *values, size_t rows,
                                   size_t columns, ctkd_error *err);
/* An array [n] of int64. */
ctkd_status ctkd__npy_write_integers(const char *path, const int64_t *values, size_t n,
                                     ctkd_error *err);

#endif
