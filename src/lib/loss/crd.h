/** @file crd.h  CRD's choice of samples to compare with: the part of crd.c that tests look at. */
#ifndef CTKD_LIB_LOSS_CRD_H
#define CTKD_LIB_LOSS_CRD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctkd/loss.h"

/** The training set by class: rows of class y, ascending, are rows[start[y]] .. rows[start[y + 1] -
    1]. Both arrays are the caller's. */
struct ctkd__crd_classes {
    size_t k;
    uint32_t *start; /**< [k + 1] */
    uint32_t *rows;  /**< [count] */
};

/** Sorts the set. Every label in 0..k-1, count below 2^32. */
void ctkd__crd_sort(const ctkd_samples *samples, struct ctkd__crd_classes *classes);

/** Bytes of scratch that a draw of m from a set of `count` needs. */
size_t ctkd__crd_scratch_bytes(size_t count, size_t m);

/**
 * m rows of the set that are not of the class of row `id`, ascending: without repetition if there
 * are as many, else drawn independently. A pure function of (seed, step, id).
 * @param classes  that of samples; at least one row is of another class
 * @param rows     out, [m]
 */
void ctkd__crd_negatives(const ctkd_samples *samples, const struct ctkd__crd_classes *classes,
                         uint64_t id, size_t m, void *scratch, uint32_t *rows);

/** A row of the class of row `id`, which it may be itself. */
uint32_t ctkd__crd_relative(const ctkd_samples *samples, const struct ctkd__crd_classes *classes,
                            uint64_t id);

#endif
