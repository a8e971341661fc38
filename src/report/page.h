/*
 * A report on runs as one self-contained HTML page without scripts, with styles for light, dark and
 * print. Every text from outside (names, paths, values) is escaped.
 */
#ifndef CTKD_REPORT_PAGE_H
#define CTKD_REPORT_PAGE_H

#include "report/compare.h"
#include "report/curves.h"
#include "report/metrics.h"

/* A row of a table of two columns. */
struct ctkd__page_entry {
    char *name, *value;
};
struct ctkd__page_entries {
    struct ctkd__page_entry *items;
    size_t count;
};
/* Copies a row to the end. CTKD_ENOMEM. */
ctkd_status ctkd__page_entries_add(struct ctkd__page_entries *entries, const char *name,
                                   const char *value, ctkd_error *err);
void ctkd__page_entries_free(struct ctkd__page_entries *entries);

/* An image that the student classified wrongly. */
struct ctkd__page_picture {
    char *bytes;                     /* in base64 */
    const char *type;                /* of them: "png", "jpeg" */
    char *name;                      /* of its file; NULL: it is none */
    size_t id;                       /* its place among the test images in use */
    int32_t label, student, teacher; /* classes; teacher -1: none */
    double confidence;               /* of the student, 0 to 1 */
};

/* One run, or the first run of an arm. */
struct ctkd__page_run {
    const char *dir;
    char note[640];                     /* why something is missing; "": nothing is */
    struct ctkd__json_rows *summary;    /* summary.json; NULL: the run has not ended */
    struct ctkd__json_rows *notes;      /* notes.jsonl; NULL: none */
    struct ctkd__page_entries settings; /* keys that differ from the recipe or its defaults */
    bool has_recipe;
    struct ctkd__page_entries environment; /* what it ran on, and the command that repeats it */
    struct ctkd__metrics metrics;          /* n 0: not evaluated */
    char teacher[1024];                    /* of metrics.agreement; "": none */
    const char *const *names;              /* of classes; NULL: numbers */
    struct ctkd__page_picture *wrong;      /* [n_wrong], most confident first */
    size_t n_wrong;
};

/* The finished runs of an arm. */
struct ctkd__page_arm {
    struct ctkd__spread spread; /* of the metric; n 0: no run has ended, or they do not fit */
    struct ctkd__interval t;    /* of the mean */
    size_t unfinished;          /* runs that are left out */
    char differences[1024];     /* keys in which it differs from the first arm, with its values */
};

struct ctkd__page {
    const struct ctkd__curves *curves; /* [count] */
    const struct ctkd__page_run *runs; /* [count] */
    const struct ctkd__page_arm *arms; /* [count] */
    size_t count;
    const struct ctkd__comparison *comparison; /* [count]; NULL: not compared */
    const struct ctkd__compare_options *compare_options;
};

/* Write errors are left in the stream, for the caller to check. */
void ctkd__page_write(const struct ctkd__page *page, FILE *out);

/* The parts of one run that come from its evaluation; used by _write. */
void ctkd__page_write_evaluation(const struct ctkd__page_run *run, FILE *out);

#endif
