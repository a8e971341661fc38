/* Curves of runs as one SVG: temperature, reversal strength and accuracy over epochs (the
 * "temperature learning curves" of Li et al. 2023). */
#ifndef CTKD_REPORT_PLOT_H
#define CTKD_REPORT_PLOT_H

#include <stddef.h>

#include "ctkd/status.h"

enum { CTKD__PLOT_RUNS_MAX = 8 };

/* Draws the epochs in log.jsonl of 1 to CTKD__PLOT_RUNS_MAX run directories into a new file. Light
   and dark follow the viewer. CTKD_EFORMAT: a log without epochs. */
ctkd_status ctkd__plot_runs(const char *const *runs, size_t count, const char *file,
                            ctkd_error *err);

#endif
