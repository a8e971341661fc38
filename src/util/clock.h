/* The one clock of this project: it is monotonic and counts from an arbitrary moment in the
   past. */
#ifndef CTKD_UTIL_CLOCK_H
#define CTKD_UTIL_CLOCK_H

#include <stdint.h>

uint64_t ctkd__clock_ns(void);
double ctkd__clock_seconds(void);

#endif
