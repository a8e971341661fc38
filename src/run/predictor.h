/*
 * Runs a trained network on image files. Each file becomes the evaluation view of the network's
 * training data: for a network trained on image files the shorter side is resized and the centre
 * cropped; for one trained on a data set of small images (CIFAR, MNIST) the centre square is
 * resized to their size and padded as they were. A network with one input channel, or trained on
 * grey images, gets the luma.
 */
#ifndef CTKD_RUN_PREDICTOR_H
#define CTKD_RUN_PREDICTOR_H

#include "config/config.h"
#include "data/folder/pictures.h"
#include "nn/engine.h"
#include "util/names.h"
#include "weights/weights_file.h"

struct ctkd__predictor;

/*
 * Opens the network of `path`, a run directory or a weights file. `config` is that of
 * ctkd__origin_configure with the command line's settings (data.set "": nothing is known of its
 * images); student.* names network and set of weights, teacher.mean and .std the normalisation it
 * was trained with, data.* its images. It must live until close. `note`: what was assumed, in one
 * line; "": nothing.
 */
ctkd_status ctkd__predictor_open(const struct ctkd__config *config, const char *path,
                                 struct ctkd__predictor **out, char note[CTKD__NOTE_BYTES],
                                 ctkd_error *err);
void ctkd__predictor_close(struct ctkd__predictor *predictor);

/* The engine that runs the network; valid until close. */
const struct ctkd__engine *ctkd__predictor_engine(const struct ctkd__predictor *predictor);
size_t ctkd__predictor_classes(const struct ctkd__predictor *predictor);
/* The name of a class (valid until close), or its number written into `text`. */
const char *ctkd__predictor_class(const struct ctkd__predictor *predictor, size_t label,
                                  char text[24]);

/* One file. */
struct ctkd__prediction {
    const char *place;   /* what messages call it */
    const char *unread;  /* why it could not be read, with its name; NULL: it was read */
    const float *logits; /* [classes]; NULL if it could not be read */
};
typedef ctkd_status (*ctkd__predicted)(void *context, const struct ctkd__prediction *prediction,
                                       ctkd_error *err);

/* Calls `predicted` for each file, in order, in the caller's thread; its argument is valid during
   the call. A file that cannot be read does not end the run; a status of `predicted` that is not
   CTKD_OK does, and is returned. CTKD_ENAN: a logit is not finite. */
ctkd_status ctkd__predictor_run(struct ctkd__predictor *predictor,
                                const struct ctkd__pictures *pictures, ctkd__predicted predicted,
                                void *context, ctkd_error *err);

struct ctkd__ranked {
    size_t label;
    double probability;
};
/* Writes the n <= classes most probable classes to out[n], in descending order, equal ones by
   label. The softmax is computed in double. */
void ctkd__rank_classes(size_t classes, const float *logits, size_t n, struct ctkd__ranked *out);

#endif
