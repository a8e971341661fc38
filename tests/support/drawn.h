/* Networks, pixels and directions that tests/golden/networks.py draws too, and comparison with an
   entry of its files of golden values. */
#ifndef CTKD_TESTS_DRAWN_H
#define CTKD_TESTS_DRAWN_H

#include "nn/graph.h"
#include "support/check.h"
#include "util/tensors.h"

/* As in networks.py. */
enum { DRAWN_CLASSES = 10, DRAWN_SAMPLES = 8, DRAWN_ENTRY = 3 + DRAWN_SAMPLES };

/* Every parameter of a graph: its value, and the random direction of its projection. */
void drawn_parameters(const struct ctkd__graph *graph, uint64_t seed, struct ctkd__tensors *values,
                      struct ctkd__tensors *directions);
/* The n values of a batch of images; freed by the caller. */
float *drawn_pixels(uint64_t seed, size_t n);
/* The label of image i. */
int32_t drawn_label(size_t i);
/* Value j of the random direction of tap i. */
float drawn_tap_direction(uint64_t seed, size_t i, size_t j);

/* How far a tensor is from its golden entry, relative to its norm, to which `floor` is added: some
   gradients are 0, so that all of ours is rounding (a bias before a batch norm, also before a
   convolution in between). */
struct drawn_difference {
    double norm, projection; /* of the norms; of the projections on a random direction */
    double element;          /* largest of the chosen elements, relative to the rms */
};

/* `expected`: index, norm, projection, and `samples` elements (0 or DRAWN_SAMPLES). */
struct drawn_difference drawn_compare(const float *expected, size_t index, size_t samples,
                                      const float *values, const float *direction, size_t n,
                                      double floor);

#endif
