/* Collects what `ctkd report` shows of runs: reads their directories and evaluates them again. */
#ifndef CTKD_RUN_RUN_PAGE_H
#define CTKD_RUN_RUN_PAGE_H

#include <stdbool.h>

#include "report/page.h"
#include "report/plot.h"

enum { CTKD__PAGE_RUNS_MAX = CTKD__PLOT_RUNS_MAX };

struct ctkd__page_request {
    const char *const *paths; /* run directories, or arms: folders of runs with different seeds */
    size_t count;             /* 1 to CTKD__PAGE_RUNS_MAX */
    bool evaluates;           /* networks, and teachers if available, on their test images */
    size_t pictures;          /* of wrongly classified images, at most, for each run */
    const char *const *settings; /* key=value for the evaluation (data.set, train.threads) */
    size_t n_settings;
};

/* Writes the page to `file` ("-": standard output), and notes on what it leaves out to `notes`. */
ctkd_status ctkd__run_page(const struct ctkd__page_request *request, const char *file, FILE *notes,
                           ctkd_error *err);

#endif
