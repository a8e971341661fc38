/*
 * A trained network from a file, compiled for inference: the teacher, and what `ctkd eval`
 * evaluates. Where a method asks for it, the forward pass of a step is a second program's, with the
 * batch's statistics in its batch norms. It takes images as the student's loader normalises them
 * and honours the normalisation that it was trained with: x_own = x * scale + shift per channel.
 */
#ifndef CTKD_TRAIN_TEACHER_H
#define CTKD_TRAIN_TEACHER_H

#include "nn/engine.h"
#include "train/evaluate.h"
#include "weights/weights_file.h"

struct ctkd__teacher_args {
    const char *role;    /* first level of the keys that messages name, and of
                               rows in a profile: "teacher" or "student"; kept */
    const char *path;    /* run directory or weights file of any format */
    const char *network; /* "": as the file says */
    const char *weights; /* which set of them in the file; "" or NULL: the preferred one */
    /* file with the names of its outputs, of which those of `images` are used; "" or NULL: as the
       file says, and then it may have no others */
    const char *classes;
    const char *mean, *std; /* teacher.mean and .std; "": as the file says, else as `images` */
    const struct ctkd__network_info
        *images;        /* dataset, classes, size and normalisation of the batches */
    size_t classes_max; /* it may have so many: more than `images` where the labels say only at
                           least how many there are */
    size_t batch_max;
    /* ctkd__teacher_keep_taps follows and compiles it; no forward pass comes before */
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
    struct ctkd__graph *graph;
    struct ctkd__weights *weights;
    struct ctkd__inference *inference;
    struct ctkd__training *training; /* forward only, of batch statistics; NULL: not asked for */
    enum ctkd__source normalisation_source; /* whose mean and std info has */
    bool rescales;
    float scale[CTKD__CHANNELS_MAX], shift[CTKD__CHANNELS_MAX];
    /* Where its outputs are not the classes of the data in their order: which of them are, by name
       (class_columns.h), and its own logits of a batch. info has the classes of the data. */
    uint32_t *columns;
    float *own_logits;
    size_t own_classes;
    float *x; /* a rescaled batch; NULL when the normalisations agree */
    size_t batch_max;
    struct ctkd__dist *dist; /* NULL: one rank */
    const float **taps;      /* [n_taps] of [n][c][h][w]: of the last _forward */
    float **tap_memory;      /* of the inference program's; the training program has its own */
    size_t *tap_floats;      /* of an image */
    size_t n_taps;
};

/* Errors say what the file holds and what the data set needs: classes, channels, size, names. */
ctkd_status ctkd__teacher_open(const struct ctkd__teacher_args *args,
                               const struct ctkd__engine *engine, struct ctkd__teacher **out,
                               ctkd_error *err);
void ctkd__teacher_close(struct ctkd__teacher *teacher);

/* Has its images normalised otherwise from now on: comma lists as teacher.mean and .std, "" for no
   change. CTKD_ERANGE: a deviation that is not positive, constants of pixels of 0 to 255. */
ctkd_status ctkd__teacher_normalise(struct ctkd__teacher *teacher,
                                    const struct ctkd__network_info *images, const char *mean,
                                    const char *std, ctkd_error *err);
/* Back to the mean and std of `info`, which were the teacher's before. */
void ctkd__teacher_restore(struct ctkd__teacher *teacher, const struct ctkd__network_info *images,
                           const struct ctkd__network_info *info,
                           enum ctkd__source normalisation_source);

/* From now on _forward keeps the values of these nodes of teacher->graph in taps; compiles the
   teacher where it was opened with compiled_by_taps. At most once with a node. */
ctkd_status ctkd__teacher_keep_taps(struct ctkd__teacher *teacher, const int *nodes, size_t count,
                                    const struct ctkd__engine *engine, ctkd_error *err);

/* The same, and _forward is that of a network in training: its batch norms use the statistics of
   the batch. Its running statistics stay as they are: only _forward_evaluation reads them. */
ctkd_status ctkd__teacher_use_batch_statistics(struct ctkd__teacher *teacher, const int *nodes,
                                               size_t count, const struct ctkd__engine *engine,
                                               ctkd_error *err);

/* Makes all weights and running statistics read-only memory until close. */
ctkd_status ctkd__teacher_protect(struct ctkd__teacher *teacher, ctkd_error *err);

/* The forward pass of a step: with batch statistics where a method asks for them, and taps. With
   several ranks the rows of this one alone: training.h. */
ctkd_status ctkd__teacher_forward(struct ctkd__teacher *teacher, size_t n, const float *x,
                                  float *logits, ctkd_error *err);

/* After it: rows of tap `index` that other ranks have become those of all. */
ctkd_status ctkd__teacher_share_tap(struct ctkd__teacher *teacher, size_t n, size_t index,
                                    ctkd_error *err);

/* A ctkd__forward whose context is the teacher: in evaluation mode, without taps; n <= batch_max.
 */
ctkd_status ctkd__teacher_forward_evaluation(void *teacher, size_t n, const float *x, float *logits,
                                             ctkd_error *err);

/* CTKD_ERANGE when top1 is more than `tolerance` points below `expected`, or below what the file
   says when expected is 0. */
ctkd_status ctkd__teacher_check_top1(const struct ctkd__teacher *teacher, double top1,
                                     double expected, double tolerance, ctkd_error *err);

#endif
