/*
 * Normalisations x = (pixel - mean) / deviation: what their constants tell about the pixels that a
 * network takes. The constants are those of pixels of 0 to 1.
 */
#ifndef CTKD_WEIGHTS_NORMALISATION_H
#define CTKD_WEIGHTS_NORMALISATION_H

#include <stdbool.h>
#include <stddef.h>

/* Room for a comma list of each channel's number. */
enum { CTKD__NORMALISATION_BYTES = 96 };

/* Writes such a list, "0.485,0.456,0.406". */
void ctkd__normalisation_list(size_t channels, const float *values, char *text, size_t bytes);

/* Whether images of pixels between `low` and `high` can have these constants in all channels: a
   mean between them, a deviation above 0 and at most their distance (a model that subtracts a mean
   only has the deviation 1). */
bool ctkd__normalisation_fits(size_t channels, const float *mean, const float *std, double low,
                              double high);

/* The pixels that constants are for: 0 to 1, 0 to 255, or neither. */
enum ctkd__pixels { CTKD__PIXELS_UNIT, CTKD__PIXELS_BYTES, CTKD__PIXELS_UNKNOWN };

/*
 * Constants that pixels of 0 to 1 cannot have, but bytes can (some mean or deviation is at least
 * 16), become those of the same images with pixels of 0 to 1; `note` says what was found and taken.
 * Other constants that pixels of 0 to 1 cannot have stay unchanged, and note says so. Otherwise
 * note is "" and nothing changes.
 */
enum ctkd__pixels ctkd__normalisation_question(size_t channels, float *mean, float *std, char *note,
                                               size_t bytes);

#endif
