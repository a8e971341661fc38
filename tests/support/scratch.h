/* One folder for a whole test program, made at first use and removed at exit. */
#ifndef CTKD_TESTS_SCRATCH_H
#define CTKD_TESTS_SCRATCH_H

#include <stddef.h>

/* The path of a name in the folder; as temp_path. */
const char *scratch_path(const char *name);
/* Writes a file there and returns its path. */
const char *scratch_write(const char *name, const void *bytes, size_t n);
const char *scratch_text(const char *name, const char *text);

#endif
