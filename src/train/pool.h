/* The engine's workers as the threads of a loss (ctkd_pool). */
#ifndef CTKD_TRAIN_POOL_H
#define CTKD_TRAIN_POOL_H

#include "ctkd/loss.h"
#include "nn/workers.h"

/* `workers` is borrowed for as long as the pool is used. One caller at a time. */
ctkd_pool ctkd__pool(struct ctkd__workers *workers);

#endif
