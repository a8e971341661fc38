/* Losses of logits tried on N samples of K classes. */
#ifndef CTKD_TESTS_LOGIT_RIG_H
#define CTKD_TESTS_LOGIT_RIG_H

#include "ctkd/loss.h"

enum { N = 6, K = 9, NK = N * K, CONFIG_BYTES = 256, N_TAUS = 3, WORKSPACE = 16 * NK };

extern const float taus[N_TAUS], tau_each[N];
extern const int32_t labels[N];
extern double workspace[WORKSPACE];

struct outputs {
    float loss, ds[NK], dt[NK], dtau[N];
};

/* Those that read logits alone; tests/test_feature_losses.c has the others. */
const ctkd_loss_def *const *logit_losses(void);

ctkd_status evaluate_view(const ctkd_loss_def *def, const void *config, ctkd_view view,
                          const float *s, const float *t, const int32_t *y, const float *tau,
                          size_t n_tau, struct outputs *out);
/* Of the one view that there is. */
ctkd_status evaluate_with(const ctkd_loss_def *def, const void *config, const float *s,
                          const float *t, const int32_t *y, const float *tau, size_t n_tau,
                          struct outputs *out);
/* With the options' defaults and `labels`. */
ctkd_status evaluate(const ctkd_loss_def *def, const float *s, const float *t, const float *tau,
                     size_t n_tau, struct outputs *out);
/* A switch that `evaluate` sets to the other of its values; NULL: none. */
extern const ctkd_option *varied;

float loss_at(const ctkd_loss_def *def, const float *s, const float *t, const float *tau,
              size_t n_tau);
void fill_logits(float *s, float *t);

#endif
