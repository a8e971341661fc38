/* Networks from files measured on a data set's test images: what `ctkd eval` and `ctkd check` do.
 */
#ifndef CTKD_TRAIN_MEASURE_H
#define CTKD_TRAIN_MEASURE_H

#include "train/normalisation_trials.h"
#include "train/session.h"

struct ctkd__measure {
    const struct ctkd__config *config; /* borrowed */
    struct ctkd__data data;
    struct ctkd__engine engine;
};

struct ctkd__measurement {
    char file[1024];
    char note[CTKD__NOTE_BYTES];    /* what was guessed about the weights; "": nothing */
    struct ctkd__network_info info; /* of the network; dataset: the one it was measured on */
    bool promised;                  /* the file or its manifest says its top-1 */
    struct ctkd__score score;
};

enum ctkd__measure_role { CTKD__MEASURE_STUDENT, CTKD__MEASURE_TEACHER };

/* The test images of data.set and an engine. */
ctkd_status ctkd__measure_open(const struct ctkd__config *config, struct ctkd__measure *out,
                               ctkd_error *err);
void ctkd__measure_close(struct ctkd__measure *measure);

/* Opens the network of `path` for the measure's images. It is the student's or the teacher's of the
   configuration: `role` is the section whose keys say what its file does not. mean, std: as
   teacher.mean and .std, "": as the file says, else as the data set. */
ctkd_status ctkd__measure_network(struct ctkd__measure *measure, enum ctkd__measure_role role,
                                  const char *path, const char *mean, const char *std,
                                  struct ctkd__teacher **out, ctkd_error *err);
/* Its score on all images. */
ctkd_status ctkd__measure_run(struct ctkd__measure *measure, struct ctkd__teacher *network,
                              struct ctkd__measurement *out, ctkd_error *err);
/* How the known normalisations do (train/normalisation_trials.h). */
ctkd_status ctkd__measure_try(struct ctkd__measure *measure, struct ctkd__teacher *network,
                              struct ctkd__trials *out, ctkd_error *err);

#endif
