/* Weights of a trained network in a .safetensors file, with the metadata that makes the file usable
   by itself. */
#ifndef CTKD_WEIGHTS_NETWORK_FILE_H
#define CTKD_WEIGHTS_NETWORK_FILE_H

#include <stdbool.h>

#include "data/dataset.h"
#include "nn/weights.h"

/* What the metadata say. Strings are empty and numbers 0 where the file says nothing. */
struct ctkd__network_info {
    char network[64], dataset[64];
    const struct ctkd__names *class_names; /* of the outputs, in order; NULL: not known */
    size_t classes, channels, height, width;
    size_t resize; /* shorter side of an image before the centre is cropped, or zeros are padded
                      around it where that is less than height; 0: not known, or as height */
    bool has_normalisation;
    float mean[CTKD__CHANNELS_MAX], std[CTKD__CHANNELS_MAX]; /* of the images it was trained with */
    bool has_top1;
    double top1; /* test top-1, percent */
    uint64_t epoch;
};

/* Reads a list's metadata; CTKD_EFORMAT if they are malformed. `file` begins messages. */
ctkd_status ctkd__network_info_get(const struct ctkd__tensors *tensors, const char *file,
                                   struct ctkd__network_info *info, ctkd_error *err);
/* Writes info into a list's metadata, without what is not known (0, ""). */
ctkd_status ctkd__network_info_set(const struct ctkd__network_info *info,
                                   struct ctkd__tensors *list, ctkd_error *err);

/* The weights file that `path` names: itself, or last.safetensors of a run directory, or the
   published scripts' ckpt_epoch_240.pth. Fails with CTKD_EIO when there is none. */
ctkd_status ctkd__network_file_find(const char *path, char *out, size_t bytes, ctkd_error *err);

/* Reads tensors into an empty list and the metadata into info; malformed metadata are CTKD_EFORMAT.
 */
ctkd_status ctkd__network_file_read(const char *file, struct ctkd__tensors *tensors,
                                    struct ctkd__network_info *info, ctkd_error *err);

/* Writes the complete file or leaves the old one. */
ctkd_status ctkd__network_file_write(const char *file, const struct ctkd__weights *weights,
                                     const struct ctkd__network_info *info, ctkd_error *err);

#endif
