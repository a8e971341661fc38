/** @file by_rows.h  What KD and DKD share: means over samples of a KL of one row of logits. */
#ifndef CTKD_LIB_LOSS_BY_ROWS_H
#define CTKD_LIB_LOSS_BY_ROWS_H

#include "ctkd/loss.h"
#include "lib/math/rows.h"

/** The results for one sample. */
struct ctkd__row_outputs {
    struct ctkd__row_gradient ds, dt; /**< of the batch mean, hence over n; all classes */
    double loss, dtau;                /**< of the row, not divided by n */
};

struct ctkd__by_rows {
    size_t n, k, n_tau; /**< samples, classes; 1 or n temperatures */
    const float *s, *t, *tau;
    const int32_t *skip; /**< the class of each row that its KL leaves out; NULL: none */
    /** Fills out->loss and out->dtau, and writes the gradients that out names, of a row that is not
        yet prepared. */
    void (*row)(const void *context, struct ctkd__kl_row *row, double n,
                struct ctkd__row_outputs *out);
    const void *context;
    float *loss, *ds, *dt, *dtau; /**< as in ctkd/loss.h; all but loss may be NULL */
};

/** The caller has checked the arguments. A pool does not change any bit of the result. */
void ctkd__by_rows(const ctkd_pool *pool, const struct ctkd__by_rows *rows);

#endif
