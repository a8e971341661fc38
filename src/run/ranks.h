/* What the ranks of a run must agree on before its first step, and where each of them works. */
#ifndef CTKD_RUN_RANKS_H
#define CTKD_RUN_RANKS_H

#include "train/session.h"

/* Ranks of one machine whose affinity masks are equal divide its cores among them, in their order;
   masks that differ are a launcher's work and stay. Before any team of workers is made. */
ctkd_status ctkd__ranks_place(struct ctkd__dist *dist, ctkd_error *err);

/* CTKD_EINVAL on all ranks where one has something else than rank 0: the program, the keys of the
   configuration but for places of files, kernels, oneDNN, data, classes, the teacher's weights. */
ctkd_status ctkd__ranks_compare(const struct ctkd__session *session, const char *command,
                                ctkd_error *err);

#endif
