/**
 * @file pooled.h  Losses of logits that run on the caller's threads. The functions of ctkd/loss.h
 * call these without a pool; a pool does not change any bit of the result.
 */
#ifndef CTKD_LIB_LOSS_POOLED_H
#define CTKD_LIB_LOSS_POOLED_H

#include "ctkd/loss.h"

CTKD_NODISCARD ctkd_status ctkd__cross_entropy(const ctkd_pool *pool, size_t n, size_t k,
                                               const float *s, const int32_t *labels, float *loss,
                                               float *ds);
CTKD_NODISCARD ctkd_status ctkd__cross_entropy_soft(const ctkd_pool *pool, size_t n, size_t k,
                                                    const float *s, const float *y, float *loss,
                                                    float *ds);
CTKD_NODISCARD ctkd_status ctkd__kd_loss(const ctkd_pool *pool, size_t n, size_t k, const float *s,
                                         const float *t, const float *tau, size_t n_tau,
                                         ctkd_kd_form form, float *loss, float *ds, float *dt,
                                         float *dtau);
CTKD_NODISCARD ctkd_status ctkd__dkd_loss(const ctkd_pool *pool, size_t n, size_t k, const float *s,
                                          const float *t, const int32_t *labels, const float *tau,
                                          size_t n_tau, float alpha, float beta, float *loss,
                                          float *ds, float *dt, float *dtau);

#endif
