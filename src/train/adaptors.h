/*
 * What the methods of a run read of the two networks, and their adaptors as layers behind the
 * student's: the trainer's side of ctkd/adaptor.h. A graph says names and shapes alone: methods are
 * planned on those of student and teacher before anything is compiled. The student's nodes and
 * parameters stay the first of the joint graph, in their order: the student alone is a part of it
 * and shares its weights.
 */
#ifndef CTKD_TRAIN_ADAPTORS_H
#define CTKD_TRAIN_ADAPTORS_H

#include "config/methods.h"
#include "nn/weights.h"

enum { CTKD__READS_MAX = 128, CTKD__TAPS_MAX = 32 };

/* One map that a method reads. */
struct ctkd__read {
    size_t c, h, w;
    bool gradient, parameter; /* parameter: [c], without a batch */
    int output;               /* index among the stage's outputs of the training program, or -1 */
    int tap;                  /* index among the teacher's taps that are read as they are, or -1 */
    const float *norm_weight, *norm_bias; /* as ctkd_map's; of the teacher's weights */
};

/* A stage: what the training program must give, and what each method reads of it. */
struct ctkd__stage_reads {
    int outputs[CTKD__READS_MAX]; /* nodes of the joint graph */
    struct ctkd__read reads[CTKD__READS_MAX];
    size_t n_outputs, n_reads;
    size_t first[CTKD__METHODS_MAX + 1]; /* method m reads first[m] to first[m + 1] - 1 */
};

struct ctkd__adaptors {
    struct ctkd__graph *graph;  /* student, then adaptors; borrowed */
    struct ctkd__graph student; /* the student alone, a part of `graph` */
    int taps[CTKD__TAPS_MAX];   /* nodes of the teacher's graph whose values are needed */
    int sides[CTKD__TAPS_MAX];  /* node of the joint graph that the tap enters at, or -1 */
    size_t n_taps;
    bool batch_statistics; /* the teacher's, as ctkd_builder.batch_statistics */
    struct ctkd__stage_reads initial, main;
    /* CTKD_STAGE_* of each parameter of the graph: those in which it may be trained and some loss
       takes a gradient from it or from what is made of it. In the others nothing moves it, neither
       weight decay nor momentum. */
    unsigned char *trained_in;
};

struct ctkd__adaptors_args {
    const struct ctkd__methods *methods;
    struct ctkd__graph *student; /* finished; grows by the adaptors; borrowed until destroy */
    const char *student_name, *teacher_name;
    const struct ctkd__graph *teacher;
    const struct ctkd__weights *teacher_weights; /* borrowed until destroy */
};

/* CTKD_ESHAPE: the two networks do not fit a method; the message says why. */
ctkd_status ctkd__adaptors_create(const struct ctkd__adaptors_args *args,
                                  struct ctkd__adaptors **out, ctkd_error *err);
void ctkd__adaptors_destroy(struct ctkd__adaptors *adaptors);

#endif
