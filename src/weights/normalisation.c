#include "weights/normalisation.h"

#include <math.h>
#include <stdio.h>

#include "data/dataset.h"

/* For bytes, means and deviations are several tens; for pixels of 0 to 1, several tenths. A network
   with values between these scales its input in a way of its own. */
static const float bytes_least = 16;

bool ctkd__normalisation_fits(size_t channels, const float *mean, const float *std, double low,
                              double high)
{
    for (size_t c = 0; c < channels; c++)
        if (!((double)mean[c] >= low && (double)mean[c] <= high && std[c] > 0 &&
              (double)std[c] <= high - low))
            return false;
    return true;
}

void ctkd__normalisation_list(size_t channels, const float *values, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t c = 0; c < channels && used < bytes; c++)
        used +=
            (size_t)snprintf(text + used, bytes - used, "%s%.7g", c ? "," : "", (double)values[c]);
}

enum ctkd__pixels ctkd__normalisation_question(size_t channels, float *mean, float *std, char *note,
                                               size_t bytes)
{
    char means[CTKD__NORMALISATION_BYTES], deviations[CTKD__NORMALISATION_BYTES];
    float largest = 0;
    note[0] = '\0';
    if (channels > CTKD__CHANNELS_MAX || ctkd__normalisation_fits(channels, mean, std, 0, 1))
        return CTKD__PIXELS_UNIT;
    ctkd__normalisation_list(channels, mean, means, sizeof means);
    ctkd__normalisation_list(channels, std, deviations, sizeof deviations);
    for (size_t c = 0; c < channels; c++)
        largest = fmaxf(largest, fmaxf(mean[c], std[c]));
    if (largest < bytes_least || !ctkd__normalisation_fits(channels, mean, std, 0, 255)) {
        snprintf(note, bytes,
                 "it normalises with mean %s and deviation %s, which is unusual for pixels from 0 "
                 "to 1: `ctkd check` tries others",
                 means, deviations);
        return CTKD__PIXELS_UNKNOWN;
    }
    for (size_t c = 0; c < channels; c++) {
        mean[c] = (float)((double)mean[c] / 255);
        std[c] = (float)((double)std[c] / 255);
    }
    snprintf(note, bytes,
             "it normalises with mean %s and deviation %s, which is impossible for pixels from 0 "
             "to 1: it gets pixels from 0 to 255",
             means, deviations);
    return CTKD__PIXELS_BYTES;
}
