/* A ctkd_builder over networks that are lists of feature shapes: it makes nothing and writes down
   what a method's plan reads. Misuse of the builder (an unknown handle, a name used twice) fails
   the running test. */
#ifndef CTKD_TESTS_RECORDING_BUILDER_H
#define CTKD_TESTS_RECORDING_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/loss.h"

enum { RECORDED_MAX = 256 };

struct recorded_value {
    ctkd_map shape;
    ctkd_side side; /* of the network that it comes from; a parameter is the student's */
    bool parameter;
    bool norm; /* comes with norm_weight and norm_bias */
};

struct recorded_read {
    struct recorded_value value;
    unsigned stages;
    bool gradient;
};

struct recording {
    ctkd_builder builder;
    const ctkd_map *taps[2]; /* by side: the stem, maps, the vector */
    size_t n_taps[2];
    unsigned stages; /* of what is made from here on; 0 before the first train_in */
    struct recorded_value values[RECORDED_MAX];
    size_t n_values;
    char names[RECORDED_MAX][48];
    size_t n_names;
    struct recorded_read reads[RECORDED_MAX];
    size_t n_reads;
    bool batch_statistics; /* asked for */
};

/* A builder of two networks; the lists are used until the last call. */
void recording_start(struct recording *r, const ctkd_map *student, size_t n_student,
                     const ctkd_map *teacher, size_t n_teacher);
/* The reads of one stage, in order; returns how many. */
size_t recording_reads(const struct recording *r, unsigned stage, struct recorded_read *reads);

#endif
