/* Evaluates networks from files on a data set's test images, for `ctkd eval` and `ctkd check`. */
#ifndef CTKD_TRAIN_EVALUATOR_H
#define CTKD_TRAIN_EVALUATOR_H

#include "train/normalisation_trials.h"
#include "train/opened_data.h"
#include "train/teacher.h"

struct ctkd__evaluator {
    const struct ctkd__config *config; /* borrowed */
    struct ctkd__dist *dist;           /* borrowed; NULL: one rank */
    struct ctkd__data data;
    struct ctkd__engine engine;
    bool compared; /* program, data and keys among the ranks */
};

struct ctkd__evaluation {
    char file[1024];
    char note[CTKD__NOTE_BYTES];    /* what was guessed about the weights; "": nothing */
    struct ctkd__network_info info; /* of the network; dataset: the one it was evaluated on */
    bool promised;                  /* the file or its manifest states a top-1 */
    struct ctkd__scores scores;
};

enum ctkd__evaluated_role { CTKD__EVALUATED_STUDENT, CTKD__EVALUATED_TEACHER };

/* Opens the test images of data.set and an engine. dist: NULL, or the ranks that share the images
   of each batch; all ranks must make the same calls, and all get the results. */
ctkd_status ctkd__evaluator_open(const struct ctkd__config *config, struct ctkd__dist *dist,
                                 struct ctkd__evaluator *out, ctkd_error *err);
void ctkd__evaluator_close(struct ctkd__evaluator *evaluator);

/* Opens the network of `path` for the evaluator's images. `role` chooses the section of the
   configuration, student or teacher, whose keys supply what the file does not say. mean, std: lists
   as in teacher.mean and .std; "": those of the file or, if it has none, of the data set. classes:
   as teacher.classes; "": as the file says. CTKD_EINVAL: ranks differ in the network, the data, the
   keys or the program. */
ctkd_status ctkd__evaluator_network(struct ctkd__evaluator *evaluator,
                                    enum ctkd__evaluated_role role, const char *path,
                                    const char *mean, const char *std, const char *classes,
                                    struct ctkd__teacher **out, ctkd_error *err);
/* Evaluates it on all images. `kept`: NULL, or gains the predictions (train/evaluate.h). */
ctkd_status ctkd__evaluator_run(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                                struct ctkd__evaluation *out, struct ctkd__predictions *kept,
                                ctkd_error *err);
/* Opens a network, evaluates it and closes it. */
ctkd_status ctkd__evaluator_predict(struct ctkd__evaluator *evaluator,
                                    enum ctkd__evaluated_role role, const char *path,
                                    const char *mean, const char *std, struct ctkd__evaluation *out,
                                    struct ctkd__predictions *kept, ctkd_error *err);
/* The predictions of a teacher, to compare with a student's. CTKD_EINVAL: the numbers of classes
   differ. */
ctkd_status ctkd__evaluator_predict_teacher(struct ctkd__evaluator *evaluator, const char *path,
                                            const char *mean, const char *std,
                                            const struct ctkd__predictions *student,
                                            struct ctkd__predictions *teacher, ctkd_error *err);
/* Tries the known normalisations (train/normalisation_trials.h). */
ctkd_status ctkd__evaluator_try_normalisations(struct ctkd__evaluator *evaluator,
                                               struct ctkd__teacher *network,
                                               struct ctkd__trials *out, ctkd_error *err);

#endif
