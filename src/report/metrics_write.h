/* Metrics as text for people and as members of a JSON object. */
#ifndef CTKD_REPORT_METRICS_WRITE_H
#define CTKD_REPORT_METRICS_WRITE_H

#include <stdio.h>

#include "io/jsonl.h"
#include "report/metrics.h"

/* The most frequent confusions, at most `capacity`, descending; returns how many. */
size_t ctkd__metrics_confusions(const struct ctkd__metrics *metrics, struct ctkd__confusion *out,
                                size_t capacity);

/* names: [classes], or NULL: classes are shown by number. teacher: the name to show for it. */
void ctkd__metrics_print(const struct ctkd__metrics *metrics, const char *const *names,
                         const char *teacher, FILE *out);
/* nll, brier, ece, macro_precision, macro_recall, macro_f1, per_class, confusions (all pairs that
   occur), reliability, and with a teacher agreement. */
void ctkd__metrics_json(const struct ctkd__metrics *metrics, const char *const *names,
                        struct ctkd__jsonl *json);

#endif
