/* Curves of runs and arms as SVG or PNG: loss, accuracy, temperature and reversal strength over
 * epochs (the "temperature learning curves" of Li et al. 2023). */
#ifndef CTKD_REPORT_PLOT_H
#define CTKD_REPORT_PLOT_H

#include <stdio.h>

#include "report/curves.h"

enum { CTKD__PLOT_RUNS_MAX = 8 };

/* Which panels are drawn, where there are values for them. */
enum ctkd__plot_panel {
    CTKD__PLOT_LOSS = 1,
    CTKD__PLOT_TOP1 = 2,
    CTKD__PLOT_TAU = 4,
    CTKD__PLOT_LAMBDA = 8,
    CTKD__PLOT_ALL = 15
};
/* The one that is called loss, top1, tau or lambda; or CTKD_ENOTFOUND. */
ctkd_status ctkd__plot_panel_find(const char *name, enum ctkd__plot_panel *out, ctkd_error *err);

/* Draws 1 to CTKD__PLOT_RUNS_MAX runs or arms into a new file, whose ending says how: .svg, whose
   colours follow the viewer's light or dark, or .png, light, for which the program rsvg-convert
   must be installed. "-", a device or a pipe: SVG. CTKD_EFORMAT: a log without epochs, or none has
   a value to draw. */
ctkd_status ctkd__plot_runs(const char *const *runs, size_t count, enum ctkd__plot_panel panels,
                            const char *file, ctkd_error *err);

/* Writes the same picture as an element <svg> of a page. False: there is nothing to draw. */
bool ctkd__plot_write(const struct ctkd__curves *curves, size_t count, enum ctkd__plot_panel panels,
                      FILE *out);

/* Text with <, >, & and quotes as entities, for SVG and HTML. */
void ctkd__markup_text(const char *text, FILE *out);

#endif
