/** @file plugin_inner.h  What the files that implement ctkd_plugin share: its parts, options and
 * checks.
 */
#ifndef CTKD_LIB_PLUGIN_INNER_H
#define CTKD_LIB_PLUGIN_INNER_H

#include "ctkd/plugin.h"

struct ctkd_plugin {
    ctkd_plugin_config config; /* its strings are not kept */
    const ctkd_loss_def *method;
    ctkd_loss_def own; /* a copy of the caller's */
    void *method_config;
    size_t workspace_size;
    double *workspace; /* [workspace_size], the method's */
    ctkd_temperature *temperature;
    size_t count;                  /* of theta's parameters */
    float *parameters, *gradient;  /* the temperature's */
    float *velocity;               /* [count] */
    float *tau, *dtau, *dtau_part; /* [n_max] */
    float *ds, *ds_part;           /* [n_max, k] */
    float *s, *t;                  /* [n_max, k]: rows that were converted or picked */
    float *weights;                /* [n_max], of the picked rows */
    int32_t *labels;               /* [n_max], likewise */
    size_t *picked;                /* [n_max], their places in the batch */
};

/** Reads a config of any version into one of the present version and checks it; err says which
    field is wrong. */
ctkd_status ctkd__plugin_config_read(const ctkd_plugin_config *from, ctkd_plugin_config *config,
                                     ctkd_error *err);

/** Whether every value is finite. */
bool ctkd__all_finite(size_t n, const float *x);

#endif
