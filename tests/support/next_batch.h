/* Loaders in tests. */
#ifndef CTKD_TESTS_NEXT_BATCH_H
#define CTKD_TESTS_NEXT_BATCH_H

#include "data/loader.h"
#include "support/check.h"

/* The next batch, false when the epoch is over; a failure fails the test. */
static inline bool next_batch(struct ctkd__loader *loader, struct ctkd__batch *batch)
{
    ctkd_error err = { 0 };
    check_ok(ctkd__loader_next(loader, batch, &err), &err);
    return batch->n > 0;
}

/* The first batch of the first epoch. */
static inline struct ctkd__batch first_batch(struct ctkd__loader *loader)
{
    struct ctkd__batch batch;
    ctkd__loader_start(loader, 1, 0);
    assert_true(next_batch(loader, &batch));
    return batch;
}

#endif
