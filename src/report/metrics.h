/*
 * Metrics of a classifier's logits beyond top-1: classes, confusions, calibration, and how far a
 * student agrees with its teacher. They are computed in double; the definitions are those of
 * scikit-learn and torchmetrics, against which tests/golden/metrics.py checks them.
 *
 * The class of an image is that of its greatest logit, of equal ones the first. Its confidence is
 * that class's probability p = softmax(logits). What has no value (the precision of a class that is
 * never predicted) is NaN.
 */
#ifndef CTKD_REPORT_METRICS_H
#define CTKD_REPORT_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "ctkd/status.h"

enum { CTKD__CALIBRATION_BINS = 15 };

/* One class. precision = correct / predicted, recall = correct / labelled, and
   f1 = 2 correct / (predicted + labelled). */
struct ctkd__class_metrics {
    size_t labelled, predicted, correct; /* images */
    double precision, recall, f1;
};

/* A pair of classes and the images of `label` that were put into `predicted`. */
struct ctkd__confusion {
    size_t label, predicted, images;
};

/* Images whose confidence is in [b / 15, (b + 1) / 15); 1 belongs to the last bin. */
struct ctkd__calibration_bin {
    size_t n;
    double confidence, accuracy; /* means over its images */
};

/* A student beside its teacher, over a part of the images. */
struct ctkd__agreement {
    size_t n;
    double same;    /* percent of images that both put into one class */
    double kl;      /* mean of sum_j t_j log(t_j / s_j), t and s the probabilities; nats */
    double student; /* percent that the student gets right */
};
enum ctkd__agreement_part {
    CTKD__AGREEMENT_ALL,
    CTKD__AGREEMENT_TEACHER_RIGHT,
    CTKD__AGREEMENT_TEACHER_WRONG,
    CTKD__AGREEMENT_PARTS
};

struct ctkd__metrics {
    size_t n, classes;
    double top1;  /* percent */
    double nll;   /* mean of -log p_label, nats */
    double brier; /* mean of sum_j (p_j - [j = label])^2: 0 to 2 */
    double ece;   /* sum over bins of n_b / n |accuracy - confidence|: 0 to 1 */
    /* Means over the classes that are labelled or predicted at all; an undefined value counts 0. */
    double precision, recall, f1;
    struct ctkd__class_metrics *by_class; /* [classes] */
    /* Pairs of different classes that occur, by label and then predicted class. Kept as a list,
       because a matrix of 21 thousand classes would take 3.8 GB. */
    struct ctkd__confusion *confusions;
    size_t n_confusions;
    struct ctkd__calibration_bin bins[CTKD__CALIBRATION_BINS]; /* the reliability diagram */
    struct ctkd__agreement agreement[CTKD__AGREEMENT_PARTS];   /* n 0 without a teacher */
};

/* Metrics of logits [n][classes] for labels [n] in 0..classes-1, n >= 1, classes >= 1. `teacher`:
   logits [n][classes] of the teacher, or NULL. CTKD_ENAN: a logit is not finite; CTKD_ERANGE: a
   label; CTKD_ENOMEM. The caller frees *out with ctkd__metrics_free, also after an error. */
ctkd_status ctkd__metrics(size_t n, size_t classes, const float *logits, const int32_t *labels,
                          const float *teacher, struct ctkd__metrics *out, ctkd_error *err);
void ctkd__metrics_free(struct ctkd__metrics *metrics);

/* The class of a row of logits: the first of the greatest. */
size_t ctkd__predicted_class(size_t classes, const float *logits);

#endif
