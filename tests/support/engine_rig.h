/* A graph with an engine, weights that have no symmetry, images and the same in double: what tests
 * of the engine begin with. */
#ifndef CTKD_TESTS_ENGINE_RIG_H
#define CTKD_TESTS_ENGINE_RIG_H

#include "nn/engine.h"
#include "selftest/selftest_reference.h"
#include "support/slope.h"

/* An engine with these kernels, or the best of this CPU (NULL); closed by ctkd__engine_close. */
struct ctkd__engine engine_with(const struct ctkd__kernels *kernels, size_t threads);

struct engine_rig {
    struct ctkd__graph *graph;
    struct ctkd__engine engine;
    struct ctkd__weights *weights;
    struct ctkd__reference *reference;
    float *x; /* n images */
};

/* Finishes and takes over `graph`. */
struct engine_rig engine_rig_open(struct ctkd__graph *graph, int logits,
                                  const struct ctkd__kernels *kernels, size_t threads, size_t n);
void engine_rig_close(struct engine_rig *rig);

/* Logits of the first n images against those in double; k classes. */
void engine_rig_check_logits(const struct engine_rig *rig, size_t n, size_t k, const float *logits,
                             bool training, double tolerance);

/* Slopes of sum(logits * weights) over n images by elements of every trained parameter (buffers
   have zeros): slow, so found once; freed by the caller. */
double (*engine_rig_slopes(const struct engine_rig *rig, size_t n, const float *weights))[SLOPES];
/* The gradients of a program that has run backward, against these; buffers have none. */
void engine_rig_check_gradients(const struct engine_rig *rig, const struct ctkd__training *training,
                                double (*slopes)[SLOPES], double tolerance, const char *what);

#endif
