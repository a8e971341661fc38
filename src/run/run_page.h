/* What `ctkd report` shows of runs: read from their directories, and evaluated again. */
#ifndef CTKD_RUN_RUN_PAGE_H
#define CTKD_RUN_RUN_PAGE_H

#include <stdbool.h>

#include "report/page.h"
#include "report/plot.h"

enum { CTKD__PAGE_RUNS_MAX = CTKD__PLOT_RUNS_MAX };

struct ctkd__page_request {
    const char *const *paths; /* run directories, or arms: folders of runs with different seeds */
    size_t count;             /* 1 to CTKD__PAGE_RUNS_MAX */
    bool
        evaluates; /* the networks on their test images, beside their teachers where these are there */
    size_t pictures;             /* of wrong images for each run */
    const char *const *settings; /* key=value for the evaluation (data.set, train.threads) */
    size_t n_settings;
};

/* Writes the page to `file` ("-": standard output). Notes on what is left out go to `notes`. */
ctkd_status ctkd__run_page(const struct ctkd__page_request *request, const char *file, FILE *notes,
                           ctkd_error *err);

#endif
