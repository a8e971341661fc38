/* What a run is made of, opened from a configuration: data, engine, networks, state, step. */
#ifndef CTKD_TRAIN_SESSION_H
#define CTKD_TRAIN_SESSION_H

#include "train/opened_data.h"
#include "train/schedule.h"
#include "train/step.h"

struct ctkd__session {
    const struct ctkd__config *config; /* borrowed */
    struct ctkd__dist *dist;           /* borrowed; NULL: one rank */
    struct ctkd__data data;
    struct ctkd__data_digest digest; /* of data.dataset */
    struct ctkd__engine engine;
    struct ctkd__network_info info;    /* of the student */
    char note[CTKD__NOTE_BYTES];       /* on student.init, as of a teacher */
    struct ctkd__graph *network;       /* the student, and what methods put on it */
    const struct ctkd__graph *graph;   /* of the student alone: the first part of `network` */
    struct ctkd__inference *inference; /* of the student, for evaluation */
    struct ctkd__teacher *teacher;     /* NULL: trained on labels alone */
    struct ctkd__teacher_store *store; /* of the teacher's logits; NULL: all are computed */
    bool any_store;                    /* of any rank */
    struct ctkd__methods methods;      /* with a teacher */
    struct ctkd__adaptors *adaptors;   /* with a teacher */
    struct ctkd__weights *weights;     /* of network */
    struct ctkd__run_state state;
    struct ctkd__training *training, *initial_training; /* initial: NULL without such a stage */
    struct ctkd__method_losses *method_losses, *initial_method_losses; /* NULL without a method */
    struct ctkd__training_step *step, *initial_step;
    struct ctkd__schedule schedule;
    float *logits; /* of an evaluated batch */
};

/* distil: with the configuration's teacher and methods. dist: NULL, or all ranks open the session,
   step, evaluate and predict together; their states stay bit-identical. `config` and `dist` are
   borrowed until close. */
ctkd_status ctkd__session_open(const struct ctkd__config *config, bool distil,
                               struct ctkd__dist *dist, struct ctkd__session **out,
                               ctkd_error *err);
void ctkd__session_close(struct ctkd__session *session);
/* What only the open session shows of the keys that it reads. */
struct ctkd__facts ctkd__session_facts(const struct ctkd__session *session);

/* Where steps look ahead (ctkd__step_expect), the training batch that ctkd__loader_next will give
   next, or its failure; n is 0 where they do not, and at the end of an epoch. */
ctkd_status ctkd__session_peek(struct ctkd__session *session, struct ctkd__batch *next,
                               ctkd_error *err);

/* Opens the store that teacher.store names, if it names one; later steps use it. All ranks call
   it. `note`: how much
   it holds, or why it is not used; "" when none was asked for. It creates files, so sessions that
   only inspect a run must not call it. */
ctkd_status ctkd__session_open_store(struct ctkd__session *session, char note[CTKD__STORE_NOTE],
                                     ctkd_error *err);

/* Evaluates the teacher on the test images. CTKD_ERANGE: its top-1 is more than teacher.tolerance
   below what its file or teacher.expect_top1 states; `scores` is written then, too. */
ctkd_status ctkd__session_evaluate_teacher(struct ctkd__session *session,
                                           struct ctkd__scores *scores, ctkd_error *err);

/* The student's part of the weights, which are shared with session->weights. */
struct ctkd__weights ctkd__session_student(const struct ctkd__session *session);

/* Evaluates the student with its present weights on the test images and, where there is a
   validation part, on that; else `dev` is not written. `kept`: NULL, or gains the predictions of
   the test images (evaluate.h), which the caller frees, also after an error. */
ctkd_status ctkd__session_evaluate(struct ctkd__session *session, struct ctkd__scores *test,
                                   struct ctkd__scores *dev, struct ctkd__predictions *kept,
                                   ctkd_error *err);
/* The predictions of the student, and of the teacher where there is one, for every test image. If
   `student` holds predictions already (n above 0), they must be those of the present weights and
   are kept. The caller frees both, also after an error. */
ctkd_status ctkd__session_predict(struct ctkd__session *session, struct ctkd__predictions *student,
                                  struct ctkd__predictions *teacher, ctkd_error *err);

#endif
