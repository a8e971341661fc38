/* Folders of small pictures that tests make themselves. */
#ifndef CTKD_TESTS_PHOTOS_H
#define CTKD_TESTS_PHOTOS_H

#include <stddef.h>

/* Writes a PPM of width x height below `folder`, with the folders that its name needs: stripes
   whose number tells `kind`, on a ground that tells `id`. */
void photo_write(const char *folder, const char *name, size_t width, size_t height, unsigned kind,
                 unsigned id);
/* A copy of tests/golden/pictures/GOLDEN, or any bytes, below `folder`. */
void photo_copy(const char *folder, const char *name, const char *golden);
void photo_text(const char *folder, const char *name, const char *bytes);

/* Writes all files below `folder` that a data set would see into an archive, the last one first;
   format: "zip", "zip:compression=store" (libarchive's names of formats and their options),
   "ustar", "pax", "gnutar". */
void photo_archive(const char *folder, const char *format, const char *archive);

/* train/{ant,bee}/N.ppm and val/{ant,bee}/N.ppm of sizes that differ, 40 to 70 pixels a side. */
void photo_folder_write(const char *folder, size_t n_train, size_t n_test);

#endif
