/*
 * The recorded implementation of each convolution, in place of the default of its shape. Choices
 * are measured at the start of a run and written to a file; a run that reads them back repeats the
 * same bits.
 */
#ifndef CTKD_NN_CHOICES_H
#define CTKD_NN_CHOICES_H

#include <stdio.h>

#include "nn/conv/conv.h"

struct ctkd__choice {
    char key[112];     /* ctkd__choices_key of the request */
    char impl[16];     /* name of the implementation */
    size_t tile_block; /* its tile block; 0: its own default */
};

struct ctkd__choices {
    struct ctkd__choice *items;
    size_t count;
    bool measure; /* a convolution without an entry is measured and gets one */
};

/* "avx512 forward 16x32x32 to 16 kernel 3 stride 1 images 32": all that a choice depends on. */
void ctkd__choices_key(const struct ctkd__conv_request *request, char *key, size_t bytes);

/* The entry of a request; measures it first when there is none and `measure` is set. *out is NULL
   when there is none. */
ctkd_status ctkd__choices_find(struct ctkd__choices *choices,
                               const struct ctkd__conv_request *request,
                               const struct ctkd__choice **out, ctkd_error *err);

/* One line per entry: implementation, tile block, key. */
void ctkd__choices_write(const struct ctkd__choices *choices, FILE *out);
/* Reads what _write wrote into an empty list; errors name the file and the line. */
ctkd_status ctkd__choices_read(const char *path, struct ctkd__choices *out, ctkd_error *err);
void ctkd__choices_fini(struct ctkd__choices *choices);

#endif
