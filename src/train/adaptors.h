/*
 * What the methods of a run read of the two networks, and their adaptors as layers appended to the
 * student's graph: the trainer's side of ctkd/adaptor.h. A graph holds only names and shapes, so
 * methods are planned on the graphs of student and teacher before anything is compiled. The
 * student's nodes and parameters come first in the joint graph, in their own order, so that the
 * student alone is a prefix of it and shares its weights.
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
    int tap; /* index in ctkd__adaptors.taps of a teacher's map that is read directly, or -1 */
    const float *norm_weight, *norm_bias; /* as in ctkd_map; borrowed from the teacher's weights */
};

/* A stage: the outputs that the training program must provide, and what each method reads. */
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
    /* For each parameter of the graph the CTKD_STAGE_* bits of the stages that train it: those that
       its method allows and in which some loss depends on it. In other stages nothing moves it,
       neither weight decay nor momentum. */
    unsigned char *trained_in;
};

struct ctkd__adaptors_args {
    const struct ctkd__methods *methods;
    struct ctkd__graph *student; /* finished; grows by the adaptors; borrowed until destroy */
    const char *student_name, *teacher_name;
    const struct ctkd__graph *teacher;
    const struct ctkd__weights *teacher_weights; /* borrowed until destroy; NULL: no norm_weight */
};

/* Plans every method; the student's graph keeps its adaptors. Any status that a method's plan
   returns; CTKD_ESHAPE: the two networks do not fit a method, and the message says why.
   CTKD_ENOMEM. */
ctkd_status ctkd__adaptors_create(const struct ctkd__adaptors_args *args,
                                  struct ctkd__adaptors **out, ctkd_error *err);
void ctkd__adaptors_destroy(struct ctkd__adaptors *adaptors);

#endif
