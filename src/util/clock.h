/* The one clock of this project: it never jumps, and counts from some moment of the past. */
#ifndef CTKD_UTIL_CLOCK_H
#define CTKD_UTIL_CLOCK_H

#include <stdint.h>

uint64_t ctkd__clock_ns(void);
double ctkd__clock_seconds(void);

#endif
