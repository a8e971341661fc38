/* Weights from one format to another. */
#ifndef CTKD_WEIGHTS_CONVERT_H
#define CTKD_WEIGHTS_CONVERT_H

#include "ctkd/option.h"
#include "weights/weights_file.h"

struct ctkd__convert_options {
    int format; /* 0: by the name of the new file; else 1 + the format's index in the list */
    char *network, *weights, *mean, *std;
    int64_t classes, channels, height, width;
    bool fold, normalise;
};
/* The table of these options; the owner of the config frees its strings (ctkd__sections_fini). */
extern const ctkd_option ctkd__convert_table[];

/* Converts `in` to `out`, whose format follows from its ending unless it is asked for; "-" is
   standard output. Without a network's name, formats of tensors alone keep them as they are; one
   that holds the network needs to know it, or finds the one that fits. */
ctkd_status ctkd__convert(const char *in, const char *out,
                          const struct ctkd__convert_options *options, char note[CTKD__NOTE_BYTES],
                          ctkd_error *err);

#endif
