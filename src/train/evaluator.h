/* Networks from files evaluated on a data set's test images: what `ctkd eval` and `ctkd check` do.
 */
#ifndef CTKD_TRAIN_EVALUATOR_H
#define CTKD_TRAIN_EVALUATOR_H

#include "train/normalisation_trials.h"
#include "train/session.h"

struct ctkd__evaluator {
    const struct ctkd__config *config;
    struct ctkd__dist *dist; /* borrowed; NULL: one rank */ /* borrowed */
    struct ctkd__data data;
    struct ctkd__engine engine;
};

struct ctkd__evaluation {
    char file[1024];
    char note[CTKD__NOTE_BYTES];    /* what was guessed about the weights; "": nothing */
    struct ctkd__network_info info; /* of the network; dataset: the one it was evaluated on */
    bool promised;                  /* the file or its manifest says its top-1 */
    struct ctkd__scores scores;
};

enum ctkd__evaluated_role { CTKD__EVALUATED_STUDENT, CTKD__EVALUATED_TEACHER };

/* The test images of data.set and an engine. dist: NULL, or the ranks that share the images of each
   batch; all make the same calls, and all have the results. */
ctkd_status ctkd__evaluator_open(const struct ctkd__config *config, struct ctkd__dist *dist,
                                 struct ctkd__evaluator *out, ctkd_error *err);
void ctkd__evaluator_close(struct ctkd__evaluator *evaluator);

/* Opens the network of `path` for the evaluator's images. It is the student's or the teacher's of
   the configuration: `role` is the section whose keys say what its file does not. mean, std: as
   teacher.mean and .std, "": as the file says, else as the data set. */
ctkd_status ctkd__evaluator_network(struct ctkd__evaluator *evaluator,
                                    enum ctkd__evaluated_role role, const char *path,
                                    const char *mean, const char *std, struct ctkd__teacher **out,
                                    ctkd_error *err);
/* Its scores on all images. `kept`: NULL, or takes the predictions (train/evaluate.h). */
ctkd_status ctkd__evaluator_run(struct ctkd__evaluator *evaluator, struct ctkd__teacher *network,
                                struct ctkd__evaluation *out, struct ctkd__predictions *kept,
                                ctkd_error *err);
/* Both, and the network is closed. */
ctkd_status ctkd__evaluator_predict(struct ctkd__evaluator *evaluator,
                                    enum ctkd__evaluated_role role, const char *path,
                                    const char *mean, const char *std, struct ctkd__evaluation *out,
                                    struct ctkd__predictions *kept, ctkd_error *err);
/* The predictions of a teacher beside a student's. CTKD_EINVAL: of another number of classes. */
ctkd_status ctkd__evaluator_predict_teacher(struct ctkd__evaluator *evaluator, const char *path,
                                            const char *mean, const char *std,
                                            const struct ctkd__predictions *student,
                                            struct ctkd__predictions *teacher, ctkd_error *err);
/* How the known normalisations do (train/normalisation_trials.h). */
ctkd_status ctkd__evaluator_try_normalisations(struct ctkd__evaluator *evaluator,
                                               struct ctkd__teacher *network,
                                               struct ctkd__trials *out, ctkd_error *err);

#endif
