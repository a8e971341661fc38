/*
 * TensorBoard's event files: records of a time, a step and named values. They are only written,
 * never read; the file name must contain "tfevents" for TensorBoard to find it.
 */
#ifndef CTKD_IO_EVENTS_H
#define CTKD_IO_EVENTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctkd/status.h"

struct ctkd__events {
    FILE *stream; /* NULL: closed */
    char path[1024];
};

/* One value of a record: a number, or with `counts` a histogram of buckets of equal width. */
struct ctkd__event_value {
    const char *tag;
    double value;
    const float *counts; /* [n_counts]; NULL: a number */
    size_t n_counts;
    double least, width; /* bucket i holds [least + i width, least + (i + 1) width) */
};

/* A setting of the run for the HParams table: a number where `text` is NULL. */
struct ctkd__event_setting {
    const char *key, *text;
    double number;
};

/* Continues a file after its version and the first `keep` records; what follows them is removed,
   and so is everything from a record on that a crash cut off or damaged. *kept: the number of
   records that remain; 0 for a new file, and for a file that was not of this kind. */
ctkd_status ctkd__events_open(struct ctkd__events *events, const char *path, size_t keep,
                              size_t *kept, ctkd_error *err);
/* Closes the file; safe on one that is all zeros or closed. */
void ctkd__events_close(struct ctkd__events *events);

/* Writes one record and flushes it. Values that are not finite are left out; the record is written
   even if no value remains. wall_time: seconds since 1970. */
ctkd_status ctkd__events_write(struct ctkd__events *events, double wall_time, int64_t step,
                               const struct ctkd__event_value *values, size_t count,
                               ctkd_error *err);
/* The record that makes a run a row of the HParams table; runs of one `group` are averaged. */
ctkd_status ctkd__events_write_settings(struct ctkd__events *events, double wall_time,
                                        const char *group,
                                        const struct ctkd__event_setting *settings, size_t count,
                                        ctkd_error *err);

#endif
