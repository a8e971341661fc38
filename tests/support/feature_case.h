/* One evaluation of a loss of features on made-up networks: its plan is run on lists of shapes, and
   every map, the memory and the other arguments get exactly the room and random values they need.
 */
#ifndef CTKD_TESTS_FEATURE_CASE_H
#define CTKD_TESTS_FEATURE_CASE_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/loss.h"
#include "support/recording_builder.h"

enum { FEATURE_CLASSES = 9, FEATURE_BATCH = 5, FEATURE_SAMPLES = 40 };

/* Pairs of networks, by which a method may be refused: */
enum feature_networks {
    FEATURES_WIDER,  /* the teacher has more channels */
    FEATURES_EQUAL,  /* both have the same shapes */
    FEATURES_LONGER, /* the teacher has one map more, and larger ones */
    FEATURES_PAIRS
};

struct feature_case {
    const ctkd_loss_def *def;
    unsigned stage;
    size_t n; /* samples, at most FEATURE_BATCH */
    _Alignas(16) char config[256];
    struct recorded_read reads[RECORDED_MAX];
    ctkd_map maps[RECORDED_MAX];
    size_t n_maps;
    float *s, *t, *ds, *dt; /* [FEATURE_BATCH, FEATURE_CLASSES] */
    float tau[FEATURE_BATCH], dtau[FEATURE_BATCH], loss;
    int32_t labels[FEATURE_BATCH], all_labels[FEATURE_SAMPLES];
    uint64_t ids[FEATURE_BATCH];
    float *head_weight, *head_bias;
    ctkd_head head;
    ctkd_samples samples;
    double *workspace;
    float *state, *fresh_state;
    size_t n_state;
    const ctkd_pool *pool;
    const ctkd_multiplier *multiplier;
    const ctkd_part *part;
};

/* The options' defaults, except `option` if not NULL. NULL when the plan refuses the networks. */
struct feature_case *feature_case_open(const ctkd_loss_def *def, enum feature_networks networks,
                                       unsigned stage, const char *option, double value);
void feature_case_close(struct feature_case *c);
/* The same with maps of given shapes, in the order of eval, without a plan. */
struct feature_case *feature_case_of_maps(const ctkd_loss_def *def, const ctkd_map *shapes,
                                          const bool *gradients, size_t n_maps, const char *option,
                                          double value);

/* Values of a map in this case: n samples, or a parameter. */
size_t feature_case_values(const struct feature_case *c, size_t map);
/* All arguments, with every output. */
ctkd_loss_args feature_case_args(struct feature_case *c);
/* Evaluates from a fresh state. Outputs are first filled with NaN: what is not written shows. */
ctkd_status feature_case_evaluate(struct feature_case *c);
/* Gives the teacher's maps the values of the student's: false when their shapes differ. */
bool feature_case_make_equal(struct feature_case *c);
/* Every output is a number. */
void feature_case_check_finite(struct feature_case *c);

#endif
