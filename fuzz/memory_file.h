/* A file in memory with a path, for readers that take one. */
#ifndef CTKD_FUZZ_MEMORY_FILE_H
#define CTKD_FUZZ_MEMORY_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Fills the one file of the program and returns its path; every reader opens it anew. */
static inline const char *memory_file(const uint8_t *bytes, size_t n)
{
    static int file = -1;
    static char path[64];
    if (file < 0)
        file = memfd_create("input", 0);
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, bytes, n, 0) != (ssize_t)n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return path;
}

#endif
