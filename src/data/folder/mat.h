/* What a MATLAB 5 file says of ImageNet's label numbers: meta.mat of its development kit. */
#ifndef CTKD_DATA_MAT_H
#define CTKD_DATA_MAT_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum { CTKD__SYNSET_BYTES = 16 };

struct ctkd__synset {
    uint32_t number;               /* ILSVRC2012_ID */
    char name[CTKD__SYNSET_BYTES]; /* WNID, "n01440764" */
};

/* The pairs of the array `synsets`, freed by the caller. CTKD_EFORMAT: another file, or a damaged
   one; `place` begins messages. */
ctkd_status ctkd__mat_synsets(const char *place, const uint8_t *bytes, size_t size,
                              struct ctkd__synset **out, size_t *count, ctkd_error *err);

#endif
