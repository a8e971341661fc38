/** @file maps.h  What the losses on features share: checks of their maps, and the usual plans. */
#ifndef CTKD_LIB_MAPS_H
#define CTKD_LIB_MAPS_H

#include <stdbool.h>
#include <stddef.h>

#include "ctkd/loss.h"

/** Values of one sample of a map (or of a parameter). */
static inline size_t ctkd__map_size(const ctkd_map *map)
{
    return map->c * map->h * map->w;
}

/**
 * The argument check that losses on features share.
 * @param group  maps come in groups of this many, at least one
 * @return CTKD_OK; CTKD_EINVAL: n is 0, or loss, maps or the x of one is NULL, or the part is none
 * of n samples; CTKD_ESHAPE: the number of maps is not a multiple of group, or a map has no values
 */
CTKD_NODISCARD ctkd_status ctkd__maps_check(const ctkd_loss_args *a, size_t group);

/** The same for maps in pairs of student and teacher that must have the same height and width. */
CTKD_NODISCARD ctkd_status ctkd__map_pairs_check(const ctkd_loss_args *a);

/** The largest height times width; SIZE_MAX when that overflows. */
size_t ctkd__largest_area(const ctkd_map *maps, size_t n_maps);

/** Whether both have the same channels, height and width. */
bool ctkd__maps_alike(const ctkd_map *a, const ctkd_map *b);

/** Writes 0 to the gradients of all maps of samples. */
void ctkd__maps_clear_gradients(const ctkd_loss_args *a);

/** Reads tap `index` of the student, with gradient, then that of the teacher, in the main stage. */
void ctkd__read_both(ctkd_builder *builder, int index);

/** Taps 1, 2, ... below the returned index are maps that both networks have (the pooled vector is
    not one). Maps that only the deeper network has are left out. If there are none, it refuses and
    returns 1. */
size_t ctkd__maps_end(ctkd_builder *builder);

/** Averages both values to the smaller height and width of the two. */
void ctkd__pool_alike(ctkd_builder *builder, int *x, int *y);

/** Reads all maps but the stem in pairs, student (with gradient) then teacher, pooled alike, in the
    main stage. */
void ctkd__read_map_pairs(ctkd_builder *builder);

#endif
