#include "config/epochs.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

static bool is_fraction(double value)
{
    return value > 0 && value < 1;
}

/* Rounded, because fractions are written with few digits: 0.0417 of 240 is 10. */
static uint64_t part_of_run(const struct ctkd__config *config, double fraction)
{
    return (uint64_t)fmax(round(fraction * (double)config->train.epochs), 1);
}

uint64_t ctkd__epochs_of(const struct ctkd__config *config, float value)
{
    return is_fraction((double)value) ? part_of_run(config, (double)value) : (uint64_t)value;
}

/* Reads one item of the list: a whole number of epochs, or a fraction below 1. */
static bool read_milestone(const char **at, double *value)
{
    char *end;
    const size_t length = strspn(*at, "0123456789.");
    *value = strtod(*at, &end);
    if (length == 0 || end != *at + length || (*end && *end != ',') || (*end && !end[1]))
        return false;
    *at = *end ? end + 1 : end;
    return is_fraction(*value) || (*value >= 1 && *value <= 1e6 && *value == floor(*value));
}

static ctkd_status refuse_milestones(const char *text, ctkd_error *err)
{
    return ctkd__fail(err, CTKD_ERANGE,
                      "schedule.milestones: found '%s', expected ascending epochs such as "
                      "150,180,210, or ascending fractions of the run such as 0.625,0.75,0.875",
                      text);
}

ctkd_status ctkd__epochs_milestones(const struct ctkd__config *config, uint64_t *milestones,
                                    size_t *count, ctkd_error *err)
{
    const char *const text = config->schedule.milestones;
    double last = 0, value;
    *count = 0;
    for (const char *at = text; *at; last = value) {
        if (!read_milestone(&at, &value) || value < last ||
            (*count > 0 && is_fraction(value) != is_fraction(last)))
            return refuse_milestones(text, err);
        if (*count == CTKD__MILESTONES_MAX)
            return ctkd__fail(err, CTKD_ERANGE, "schedule.milestones: found more than %d epochs",
                              CTKD__MILESTONES_MAX);
        milestones[(*count)++] = is_fraction(value) ? part_of_run(config, value) : (uint64_t)value;
    }
    return CTKD_OK;
}

enum { N_COUNTS = 4 };
struct counts {
    const char *keys[N_COUNTS];
    float *values[N_COUNTS];
};

static struct counts counts_of(struct ctkd__config *config)
{
    return (struct counts){
        { "temperature.curriculum_epochs", "method.warmup_epochs", "method.initial_epochs",
          "schedule.warmup_epochs" },
        { &config->temperature.curriculum_epochs, &config->method.warmup_epochs,
          &config->method.initial_epochs, &config->schedule.warmup_epochs },
    };
}

ctkd_status ctkd__epochs_check(const struct ctkd__config *config, ctkd_error *err)
{
    const struct counts counts = counts_of((struct ctkd__config *)(uintptr_t)config);
    for (size_t i = 0; i < N_COUNTS; i++) {
        const double value = (double)*counts.values[i];
        if (!is_fraction(value) && value != floor(value))
            return ctkd__fail(err, CTKD_ERANGE,
                              "%s: found %g, expected a whole number of epochs, or a fraction of "
                              "train.epochs below 1",
                              counts.keys[i], value);
    }
    uint64_t milestones[CTKD__MILESTONES_MAX];
    size_t n;
    return ctkd__epochs_milestones(config, milestones, &n, err);
}

ctkd_status ctkd__epochs_resolve(struct ctkd__config *config, ctkd_error *err)
{
    const struct counts counts = counts_of(config);
    uint64_t milestones[CTKD__MILESTONES_MAX];
    size_t count, used = 0;
    char text[CTKD__MILESTONES_MAX * 8 + 1] = "";
    const ctkd_status status = ctkd__epochs_milestones(config, milestones, &count, err);
    if (status != CTKD_OK)
        return status;
    for (size_t i = 0; i < N_COUNTS; i++)
        *counts.values[i] = (float)ctkd__epochs_of(config, *counts.values[i]);
    if (strtod(config->schedule.milestones, NULL) >= 1) /* epochs already: keep the text */
        return CTKD_OK;
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRIu64, i ? "," : "",
                                 milestones[i]);
    return ctkd__sections_set(ctkd__config_sections(config), "run", "schedule.milestones", text,
                              err);
}
