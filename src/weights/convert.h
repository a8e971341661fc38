/* Weights from one format to another. */
#ifndef CTKD_WEIGHTS_CONVERT_H
#define CTKD_WEIGHTS_CONVERT_H

#include "ctkd/option.h"
#include "weights/weights_file.h"

struct ctkd__convert_options {
    int format; /* 0: by the name of the new file; else 1 + its place in the list */
    char *network, *weights, *mean, *std;
    int64_t classes, channels, height, width;
    bool fold, normalise;
};
/* Their table; strings are the config's owner's (ctkd__sections_defaults, _fini). */
extern const ctkd_option ctkd__convert_table[];

/* The format of `out` is by its ending, or as asked for; "-" is standard output. Without a
   network's name, formats of tensors alone keep them as they are; one that holds the network needs
   to know it, or finds the one that fits. */
ctkd_status ctkd__convert(const char *in, const char *out,
                          const struct ctkd__convert_options *options, char note[CTKD__NOTE_BYTES],
                          ctkd_error *err);

#endif
