/*
 * A trained network from a file, compiled for inference: the teacher of a run, or what `ctkd eval`
 * evaluates. Where a method asks for batch statistics, a second program with those in its batch
 * norms runs the forward pass of a step. The network takes images as the loader normalises them and
 * converts them to the normalisation that it was trained with: x_own = x * scale + shift per
 * channel.
 */
#ifndef CTKD_TRAIN_TEACHER_H
#define CTKD_TRAIN_TEACHER_H

#include "nn/engine.h"
#include "train/evaluate.h"
#include "weights/weights_file.h"

struct ctkd__teacher_args {
    const char *role;    /* "teacher" or "student", for messages and profiles; borrowed */
    const char *path;    /* run directory or weights file of any format */
    const char *network; /* "": as the file says */
    const char *weights; /* which set of weights in the file; "" or NULL: the preferred one */
    /* File with the names of the network's outputs, from which those of `images` are picked. "" or
       NULL: the names in the weights file, which must then be exactly those of `images`. */
    const char *classes;
    const char *mean, *std; /* teacher.mean and .std; "": as the file says, else as `images` */
    const struct ctkd__network_info
        *images;        /* dataset, classes, size and normalisation of the batches */
    size_t classes_max; /* most classes that the network may have: more than those of `images` where
                           the labels give only a lower bound */
    size_t batch_max;
    /* Leaves the compilation to ctkd__teacher_keep_taps, which must come before any forward
       pass. */
    bool compiled_by_taps;
};

/* Where a normalisation comes from. */
enum ctkd__source { CTKD__SOURCE_FILE, CTKD__SOURCE_DATA, CTKD__SOURCE_KEYS };
const char *ctkd__source_text(enum ctkd__source source);

struct ctkd__teacher {
    const char *role; /* of its arguments */
    char file[1024];
    char note[CTKD__NOTE_BYTES]; /* what was guessed about the weights; "": nothing */
    struct ctkd__network_info info;
    size_t own_resize; /* as ctkd__weights_file_resize for these images; 0: the file does not say */
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__inference *inference;
    struct ctkd__training *training; /* forward only, of batch statistics; NULL: not asked for */
    enum ctkd__source normalisation_source; /* whose mean and std info has */
    bool rescales;
    float scale[CTKD__CHANNELS_MAX], shift[CTKD__CHANNELS_MAX];
    /* Where the outputs are not the classes of the data in their order: the output of each class
       (class_columns.h), and a buffer for the network's own logits. info has the classes of the
       data. NULL and 0 otherwise. */
    uint32_t *columns;
    float *own_logits;
    size_t own_classes;
    float *x; /* buffer for a rescaled batch; NULL while the normalisations have always agreed */
    float tables[CTKD__CHANNELS_MAX][256]; /* of the last batch of bytes, rescaled */
    size_t batch_max;
    /* The ranks that share a batch of an evaluation, and of a step; NULL: it is of one rank. */
    struct ctkd__dist *dist, *pass_dist;
    const float **taps; /* [n_taps] of [n][c][h][w]: of the last _forward */
    float **tap_memory; /* [n_taps] taps of the inference program; NULL with `training` */
    size_t *tap_floats; /* [n_taps] floats of one image */
    size_t n_taps;
};

/* CTKD_ESHAPE: the network does not fit the images; the message says what the file holds and what
   the data set needs (classes, channels, size, names). The engine must outlive the teacher. */
ctkd_status ctkd__teacher_open(const struct ctkd__teacher_args *args,
                               const struct ctkd__engine *engine, struct ctkd__teacher **out,
                               ctkd_error *err);
void ctkd__teacher_close(struct ctkd__teacher *teacher);

/* Changes the normalisation of the network's images: comma-separated lists as in teacher.mean and
   .std, "" for no change. CTKD_ERANGE: a deviation that is not positive, constants for pixels of 0
   to 255, or values beyond the range of a float. */
ctkd_status ctkd__teacher_normalise(struct ctkd__teacher *teacher,
                                    const struct ctkd__network_info *images, const char *mean,
                                    const char *std, ctkd_error *err);
/* Restores the mean and std of `info`, which must have been the teacher's before. */
void ctkd__teacher_restore(struct ctkd__teacher *teacher, const struct ctkd__network_info *images,
                           const struct ctkd__network_info *info,
                           enum ctkd__source normalisation_source);

/* Makes _forward keep the values of `count` nodes of teacher->graph in teacher->taps, and compiles
   the teacher if it was opened with compiled_by_taps. Call it at most once with count above 0. */
ctkd_status ctkd__teacher_keep_taps(struct ctkd__teacher *teacher, const int *nodes, size_t count,
                                    const struct ctkd__engine *engine, ctkd_error *err);

/* As _keep_taps, but _forward becomes that of a network in training, whose batch norms use the
   statistics of the batch. The running statistics do not change: only _forward_evaluation reads
   them. */
ctkd_status ctkd__teacher_use_batch_statistics(struct ctkd__teacher *teacher, const int *nodes,
                                               size_t count, const struct ctkd__engine *engine,
                                               ctkd_error *err);

/* Makes all weights and running statistics read-only memory until close. */
ctkd_status ctkd__teacher_protect(struct ctkd__teacher *teacher, ctkd_error *err);

/* The forward pass of a step, with taps, and with batch statistics where a method asks for them.
   x [n][c][h][w] as normalised by the loader, logits [n][classes]. With several ranks it computes
   only the rows of this rank (nn/compile/training.h). */
ctkd_status ctkd__teacher_forward(struct ctkd__teacher *teacher, size_t n,
                                  struct ctkd__batch_images x, float *logits, ctkd_error *err);

/* In evaluation mode, without taps, of n <= batch_max images of this rank alone, all of which it
   computes. */
ctkd_status ctkd__teacher_forward_here(struct ctkd__teacher *teacher, size_t n,
                                       struct ctkd__batch_images x, float *logits, ctkd_error *err);

/* After _forward: gathers the rows of tap `index` from all ranks. All ranks call it. */
ctkd_status ctkd__teacher_share_tap(struct ctkd__teacher *teacher, size_t n, size_t index,
                                    ctkd_error *err);

/* A ctkd__forward whose context is the teacher: in evaluation mode, without taps; n <= batch_max.
 */
ctkd_status ctkd__teacher_forward_evaluation(void *teacher, size_t n, struct ctkd__batch_images x,
                                             float *logits, ctkd_error *err);

/* CTKD_ERANGE when top1 is more than `tolerance` points below `expected`, or below what the file
   says when expected is 0. */
ctkd_status ctkd__teacher_check_top1(const struct ctkd__teacher *teacher, double top1,
                                     double expected, double tolerance, ctkd_error *err);

#endif
